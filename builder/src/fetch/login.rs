//! Logins, which are never shown.

use std::fmt;

use reqwest::RequestBuilder;
use zeroize::Zeroizing;

/// A text that is nobody's business: it has neither `Debug` nor `Display`, and is overwritten when it
/// is dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Keeps a text.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The text, for the one request or key that it is for.
    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

/// What a server lets in.
#[derive(Clone, PartialEq, Eq)]
pub enum Login {
    /// A name and a password (RFC 7617).
    Basic {
        /// The name.
        user: String,
        /// The password.
        password: Secret,
    },
    /// A token (RFC 6750).
    Bearer(Secret),
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Login(..)")
    }
}

impl Login {
    /// Puts it into a request, marked so that nobody who shows the request shows it.
    pub(super) fn apply(&self, request: RequestBuilder) -> RequestBuilder {
        match self {
            Self::Basic { user, password } => request.basic_auth(user, Some(password.reveal())),
            Self::Bearer(token) => request.bearer_auth(token.reveal()),
        }
    }
}
