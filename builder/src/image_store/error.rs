//! Why an image store could not do what was asked, by what a user can mend.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use treelay_recipes::Digest;

/// Result of the image stores.
pub type Result<T> = std::result::Result<T, StoreError>;

/// Why an image store could not do what was asked. No variant ever carries a secret.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No such image, manifest, blob or repository.
    #[error("{place} has no {what}")]
    NotFound {
        /// The store.
        place: String,
        /// What was asked for.
        what: String,
    },
    /// An image was not named, and there are several.
    #[error("{place} holds several images, name one of them, as in {place}:{}: {}", .tags[0], .tags.join(", "))]
    Ambiguous {
        /// The store.
        place: String,
        /// The names there are; untagged images by digest. Never empty.
        tags: Vec<String>,
    },
    /// The registry wants a login, or refuses the one it got.
    #[error("{registry} refuses to {request}: {detail}")]
    Unauthorized {
        /// The registry's host.
        registry: String,
        /// What was asked of it.
        request: String,
        /// Which login was used, and the registry's words.
        detail: String,
    },
    /// The login is good and does not allow this.
    #[error("{registry} forbids to {request}{}", words(.detail))]
    Forbidden {
        /// The registry's host.
        registry: String,
        /// What was asked of it.
        request: String,
        /// The registry's words.
        detail: String,
    },
    /// Too many requests, also after waiting.
    #[error("{registry} limits its use (429){}", again(.retry_after))]
    RateLimited {
        /// The registry's host.
        registry: String,
        /// How long it wants to be left alone.
        retry_after: Option<Duration>,
    },
    /// The registry failed, also when asked again.
    #[error("{registry} failed to {request}: status {status}{}", words(.excerpt))]
    ServerError {
        /// The registry's host.
        registry: String,
        /// What was asked of it.
        request: String,
        /// HTTP status, 500 or more.
        status: u16,
        /// The beginning of its answer.
        excerpt: String,
    },
    /// The registry does not want this request.
    #[error("{registry} refuses to {request}: status {status}{}", words(.excerpt))]
    Refused {
        /// The registry's host.
        registry: String,
        /// What was asked of it.
        request: String,
        /// HTTP status.
        status: u16,
        /// The beginning of its answer.
        excerpt: String,
    },
    /// The registry's answer makes no sense.
    #[error("{registry} gave an answer that cannot be used to {request}: {reason}")]
    BadAnswer {
        /// The registry's host.
        registry: String,
        /// What was asked of it.
        request: String,
        /// What is wrong with it.
        reason: String,
    },
    /// No connection: name, address, route, TLS.
    #[error("{registry} cannot be reached: {reason}")]
    Unreachable {
        /// The registry's host.
        registry: String,
        /// Why.
        reason: String,
    },
    /// The connection ended too early, also when tried again.
    #[error("{registry} hung up while asked to {request}: {reason}")]
    HungUp {
        /// The registry's host.
        registry: String,
        /// What was asked of it.
        request: String,
        /// What was seen of it.
        reason: String,
    },
    /// Nothing moved for too long, also when tried again.
    #[error("{registry} went silent while asked to {request}: nothing moved for {}", seconds(.waited))]
    Timeout {
        /// The registry's host.
        registry: String,
        /// What was asked of it.
        request: String,
        /// How long was waited.
        waited: Duration,
    },
    /// The registry speaks plain http, or sends us to it, and that was not allowed.
    #[error(
        "{registry}: {reason}; plain http is used for loopback hosts only, or with --plain-http"
    )]
    PlainHttpRefused {
        /// The registry's host.
        registry: String,
        /// What was met.
        reason: String,
    },
    /// The directory is not an OCI layout, and must not be made into one.
    #[error("{} is not an OCI layout: {reason}", .path.display())]
    NotALayout {
        /// The directory.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// Content is not what its name says.
    #[error("{place}: content of {expected} has digest {found}")]
    DigestMismatch {
        /// Where the content came from.
        place: String,
        /// What was asked for.
        expected: Digest,
        /// What was there.
        found: Digest,
    },
    /// Content is not as long as it should be.
    #[error("{place}: content of {digest} has {found} bytes, expected {expected}")]
    SizeMismatch {
        /// Where the content came from.
        place: String,
        /// What was asked for.
        digest: Digest,
        /// Bytes it should have.
        expected: u64,
        /// Bytes it has, or had when reading stopped.
        found: u64,
    },
    /// A manifest or answer is longer than anyone accepts.
    #[error("{place}: {what} is longer than {limit} bytes")]
    TooLarge {
        /// The store.
        place: String,
        /// What is too long.
        what: String,
        /// The limit in bytes.
        limit: u64,
    },
    /// A manifest that cannot be understood.
    #[error("{place}: manifest {digest}: {reason}")]
    BadManifest {
        /// The store.
        place: String,
        /// The manifest.
        digest: Digest,
        /// What is wrong with it.
        reason: String,
    },
    /// Others kept replacing what was written, each time it was written again.
    #[error(
        "{place}: others write {what} at the same time, and what was added was lost each time; try again when they are done"
    )]
    Contended {
        /// The store.
        place: String,
        /// What is written, such as `tag sha256-…`.
        what: String,
    },
    /// A file with logins that cannot be used.
    #[error("reading logins from {}: {reason}", .path.display())]
    Logins {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A credential helper that failed.
    #[error("asking credential helper docker-credential-{helper} about {server}: {reason}")]
    LoginHelper {
        /// Its name, without `docker-credential-`.
        helper: String,
        /// What it was asked about.
        server: String,
        /// What went wrong.
        reason: String,
    },
    /// The operating system refused.
    #[error("{doing}")]
    Io {
        /// What was being done, such as `opening /srv/out`.
        doing: String,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
}

impl StoreError {
    /// Gives an [`io::Error`] its context. A [`StoreError`] inside comes out as itself.
    pub fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let doing = doing.into();
        move |error| match error.downcast::<Self>() {
            Ok(inner) => inner,
            Err(source) => Self::Io { doing, source },
        }
    }

    pub(crate) fn into_io(self) -> io::Error {
        match self {
            Self::Io { doing, source } => io::Error::new(source.kind(), Self::Io { doing, source }),
            other => io::Error::other(other),
        }
    }
}

fn words(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(": {text}") }
}

fn seconds(time: &Duration) -> String {
    format!("{} s", time.as_secs_f32())
}

fn again(after: &Option<Duration>) -> String {
    after.map_or_else(String::new, |t| format!("; try again in {}", seconds(&t)))
}
