//! [`Policy`]: whose signatures are accepted, and what a certificate says whose it is.

use std::fmt;

use const_oid::ObjectIdentifier;
use regex::Regex;
use serde::Serialize;
use x509_cert::der::asn1::Utf8StringRef;
use x509_cert::der::{Decode as _, Tag, Tagged as _};
use x509_cert::ext::pkix::name::GeneralName;

use super::certificate::Certificate;

/// Fulcio, `docs/oid-info.md`: the issuer, as bytes without an encoding.
const OID_ISSUER_V1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.57264.1.1");
/// The same as a UTF8String.
const OID_ISSUER_V2: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.57264.1.8");
/// A name of another form: the user name that an issuer gave.
const OID_OTHER_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.57264.1.7");

/// Whose signatures are accepted: both must match.
#[derive(Debug, Clone)]
pub struct Policy {
    /// Who signed: an email address, a URI such as that of a workflow, or a user name.
    pub identity: Matcher,
    /// Who said that it is them: the issuer of OpenID Connect tokens.
    pub issuer: Matcher,
}

/// How a text is compared.
#[derive(Debug, Clone)]
pub struct Matcher(How);

#[derive(Debug, Clone)]
enum How {
    Exactly(String),
    Pattern { written: String, whole: Regex },
}

/// Why a pattern cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{pattern:?} is not a regular expression: {detail}")]
pub struct NotAPattern {
    /// The pattern.
    pub pattern: String,
    /// What is wrong with it.
    pub detail: String,
}

impl Matcher {
    /// Only this very text.
    pub fn exactly(text: &str) -> Self {
        Self(How::Exactly(text.to_owned()))
    }

    /// Texts that a regular expression (syntax of the crate `regex`, which is Go's but for few
    /// things) matches from their first to their last character, whatever anchors it has itself.
    ///
    /// # Errors
    /// [`NotAPattern`]; also for one that is empty, which would match nothing that is.
    pub fn pattern(pattern: &str) -> Result<Self, NotAPattern> {
        let wrong = |detail: String| NotAPattern { pattern: pattern.to_owned(), detail };
        if pattern.is_empty() {
            return Err(wrong("it is empty".to_owned()));
        }
        // By itself first: `a)|(?:b` is one only with something around it.
        Regex::new(pattern).map_err(|error| wrong(error.to_string()))?;
        let whole =
            Regex::new(&format!(r"\A(?:{pattern})\z")).map_err(|error| wrong(error.to_string()))?;
        Ok(Self(How::Pattern { written: pattern.to_owned(), whole }))
    }

    /// Whether a text is accepted.
    pub fn accepts(&self, text: &str) -> bool {
        match &self.0 {
            How::Exactly(expected) => expected == text,
            How::Pattern { whole, .. } => whole.is_match(text),
        }
    }
}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            How::Exactly(text) => f.write_str(text),
            How::Pattern { written, .. } => write!(f, "/{written}/"),
        }
    }
}

/// Of what form the name of a signer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum IdentityForm {
    /// An email address.
    Email,
    /// A URI.
    Uri,
    /// A name of a host.
    Dns,
    /// A user name, Fulcio's `OtherName`.
    UserName,
}

/// Why a signature is not by whom it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// The certificate has no name.
    #[error("the certificate names nobody")]
    Nobody,
    /// It names somebody else.
    #[error("signed by {found}, not by {expected}")]
    OtherIdentity {
        /// Who should have signed.
        expected: String,
        /// Who signed.
        found: String,
    },
    /// It does not say who issued the identity.
    #[error("the certificate does not say who issued the identity, expected {expected}")]
    NoIssuer {
        /// Who should have.
        expected: String,
    },
    /// Somebody else issued the identity.
    #[error("the identity was issued by {found}, not by {expected}")]
    OtherIssuer {
        /// Who should have.
        expected: String,
        /// Who did.
        found: String,
    },
    /// A name is damaged, or there are two that differ.
    #[error("the certificate's names are not acceptable: {detail}")]
    Damaged {
        /// What is wrong.
        detail: String,
    },
}

/// What a certificate says of who signed; true once it is verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Claims {
    pub names: Vec<(IdentityForm, String)>,
    pub issuer: Option<String>,
}

impl Claims {
    pub fn of(certificate: &Certificate) -> Result<Self, IdentityError> {
        let damaged = |detail: String| IdentityError::Damaged { detail };
        let mut names = Vec::new();
        let all = certificate.names().map_err(damaged)?;
        for name in all.iter().flat_map(|all| &all.0) {
            names.push(match name {
                GeneralName::Rfc822Name(text) => (IdentityForm::Email, text.to_string()),
                GeneralName::UniformResourceIdentifier(text) => {
                    (IdentityForm::Uri, text.to_string())
                }
                GeneralName::DnsName(text) => (IdentityForm::Dns, text.to_string()),
                GeneralName::OtherName(other) if other.type_id == OID_OTHER_NAME => {
                    let text = (other.value.tag() == Tag::Utf8String)
                        .then(|| other.value.decode_as::<Utf8StringRef<'_>>().ok())
                        .flatten();
                    let text = text.ok_or_else(|| damaged("the user name".to_owned()))?;
                    (IdentityForm::UserName, text.as_str().to_owned())
                }
                // Of no form that Fulcio writes, so it names nobody.
                _ => continue,
            });
        }
        let old = match certificate.extension(OID_ISSUER_V1) {
            None => None,
            Some(bytes) => Some(
                std::str::from_utf8(bytes)
                    .map_err(|_| damaged("the issuer is no text".to_owned()))?,
            ),
        };
        let new = match certificate.extension(OID_ISSUER_V2) {
            None => None,
            Some(der) => Some(
                Utf8StringRef::from_der(der)
                    .map_err(|_| damaged("the issuer is no text".to_owned()))?,
            ),
        };
        let new = new.as_ref().map(|text| text.as_str());
        if let (Some(old), Some(new)) = (old, new)
            && old != new
        {
            return Err(damaged(format!("two issuers, {old} and {new}")));
        }
        Ok(Self { names, issuer: new.or(old).map(str::to_owned) })
    }

    /// The name that is accepted, with its form, and the issuer.
    pub fn judge(&self, policy: &Policy) -> Result<(IdentityForm, String, String), IdentityError> {
        let Some((_, first)) = self.names.first() else { return Err(IdentityError::Nobody) };
        let accepted = self.names.iter().find(|(_, name)| policy.identity.accepts(name));
        let Some((form, name)) = accepted else {
            return Err(IdentityError::OtherIdentity {
                expected: policy.identity.to_string(),
                found: first.clone(),
            });
        };
        let expected = || policy.issuer.to_string();
        let Some(issuer) = &self.issuer else {
            return Err(IdentityError::NoIssuer { expected: expected() });
        };
        if !policy.issuer.accepts(issuer) {
            return Err(IdentityError::OtherIssuer { expected: expected(), found: issuer.clone() });
        }
        Ok((*form, name.clone(), issuer.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_compared_with_the_whole() {
        for (pattern, text, accepted) in [
            ("a@b.example", "a@b.example", true),
            ("a@b.example", "evil-a@b.example", false),
            ("a@b.example", "a@b.example.evil", false),
            ("https://github.com/org/.*", "https://github.com/org/repo", true),
            (
                "https://github.com/org/.*",
                "https://evil.example/?https://github.com/org/repo",
                false,
            ),
            ("a|b", "b", true),
            ("a|b", "bx", false),
            ("a|ab", "ab", true),
            ("^a$", "a", true),
            ("(?m)^a$", "x\na\ny", false),
            ("a", "a\n", false),
            ("(?i)A@B.example", "a@b.example", true),
        ] {
            let matcher = Matcher::pattern(pattern).unwrap();
            assert_eq!(matcher.accepts(text), accepted, "{pattern} {text:?}");
        }
        for pattern in ["", "a)|(?:.*", "(", "(?x)a # all", "a{9999999}"] {
            assert!(Matcher::pattern(pattern).is_err(), "{pattern:?}");
        }
        assert!(!Matcher::exactly("a.b").accepts("axb"));
        assert!(Matcher::exactly("a.b").accepts("a.b"));
    }

    #[test]
    fn both_the_name_and_its_issuer_must_match() {
        let claims = |names: &[&str], issuer: Option<&str>| Claims {
            names: names.iter().map(|name| (IdentityForm::Email, (*name).to_owned())).collect(),
            issuer: issuer.map(str::to_owned),
        };
        let policy = Policy { identity: Matcher::exactly("a"), issuer: Matcher::exactly("i") };
        let judge = |claims: Claims| claims.judge(&policy).map(|(_, name, _)| name);
        assert_eq!(judge(claims(&["b", "a"], Some("i"))), Ok("a".to_owned()));
        assert_eq!(judge(claims(&[], Some("i"))), Err(IdentityError::Nobody));
        let other = judge(claims(&["b"], Some("i"))).unwrap_err().to_string();
        assert_eq!(other, "signed by b, not by a");
        let other = judge(claims(&["a"], Some("j"))).unwrap_err().to_string();
        assert_eq!(other, "the identity was issued by j, not by i");
        let none = judge(claims(&["a"], None)).unwrap_err();
        assert!(matches!(none, IdentityError::NoIssuer { .. }));
    }
}
