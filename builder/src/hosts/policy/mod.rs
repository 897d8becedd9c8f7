//! containers-policy.json(5), as containers/image understands it.
//!
//! - [`Policy`] and what is in it: read by [`Policy::parse`], as strictly as
//!   `signature/policy_config.go` (unknown, doubled or missing members refuse the whole file);
//! - [`Policy::lookup`]: which requirements hold for an image: those of the most specific *scope*,
//!   and no others (`signature/policy_eval.go`, `requirementsForImageRef`);
//! - [`Policy::evaluate`]: whether an image with these signatures is accepted: *all* requirements
//!   must be met, a requirement by *one* signature.
//!
//! | type of requirement | here |
//! |---|---|
//! | `insecureAcceptAnything`, `reject` | as they say |
//! | `sigstoreSigned` with keys | evaluated whole |
//! | `sigstoreSigned` with `rekorPublicKey…`, `fulcio` or `pki` | read; never met, which is told: signatures in the `.sig` form that treelay writes carry neither log entry nor certificate |
//! | `signedBy` | read; never met: it asks for GPG signatures ("simple signing") |
//! | `signedBaseLayer` | read; never met, in containers/image neither |

mod evaluate;
mod identity;
mod parse;
mod scopes;

pub use evaluate::{Attached, ImageAsked, Outcome, ReadFile, Unmet};
pub use parse::PolicyError;
pub use scopes::{Found, TRANSPORTS, above, namespaces};

/// A policy file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// What holds for images that no scope covers. Never empty.
    pub default: Vec<Requirement>,
    /// In the order of the file.
    pub transports: Vec<Transport>,
}

/// The scopes of one transport: `docker`, `oci`, `containers-storage`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transport {
    /// Its name, as in containers-transports(5). One that containers/image does not know is kept
    /// and never used.
    pub name: String,
    /// In the order of the file; `""` is the transport's default.
    pub scopes: Vec<(String, Vec<Requirement>)>,
}

/// What an image must meet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Requirement {
    /// `insecureAcceptAnything`.
    AcceptAnything,
    /// `reject`.
    Reject,
    /// `signedBy`: GPG.
    SignedBy {
        /// `GPGKeys` and its kin.
        key_type: String,
        /// The keyrings.
        keys: Source,
        /// Under which name it must be signed.
        identity: Identity,
    },
    /// `signedBaseLayer`.
    SignedBaseLayer {
        /// Of the base layer.
        identity: Identity,
    },
    /// `sigstoreSigned`.
    Sigstore(SigstoreSigned),
}

impl Requirement {
    /// Its `type` in the file.
    pub fn name(&self) -> &'static str {
        match self {
            Self::AcceptAnything => "insecureAcceptAnything",
            Self::Reject => "reject",
            Self::SignedBy { .. } => "signedBy",
            Self::SignedBaseLayer { .. } => "signedBaseLayer",
            Self::Sigstore(_) => "sigstoreSigned",
        }
    }
}

/// `sigstoreSigned`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SigstoreSigned {
    /// Who must have signed.
    pub signer: Signer,
    /// Keys of the log that must have recorded the signature.
    pub rekor: Option<Source>,
    /// Under which name it must be signed.
    pub identity: Identity,
}

/// Who must have signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signer {
    /// One of these public keys.
    Keys(Source),
    /// Whom a Fulcio certified.
    Fulcio {
        /// The CA.
        ca: Source,
        /// Who attested the address.
        oidc_issuer: String,
        /// Whose certificate it must be.
        subject_email: String,
    },
    /// Whom an X.509 CA certified.
    Pki {
        /// The roots.
        roots: Source,
        /// Certificates between roots and signer.
        intermediates: Option<Source>,
        /// Whose certificate it must be.
        subject_email: Option<String>,
        /// Whose certificate it must be.
        subject_hostname: Option<String>,
    },
}

/// Where keys or certificates are; the name of the member tells which.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// `…Path`.
    Path(String),
    /// `…Paths`: one of them is enough.
    Paths(Vec<String>),
    /// `…Data`: in the policy itself.
    Data(Vec<u8>),
    /// `…Datas`.
    Datas(Vec<Vec<u8>>),
}

impl Source {
    /// The files it names.
    pub fn paths(&self) -> &[String] {
        match self {
            Self::Path(path) => std::slice::from_ref(path),
            Self::Paths(paths) => paths,
            Self::Data(_) | Self::Datas(_) => &[],
        }
    }

    /// What the member's name ends with: `Path`, `Paths`, `Data`, `Datas`.
    pub fn ending(&self) -> &'static str {
        match self {
            Self::Path(_) => "Path",
            Self::Paths(_) => "Paths",
            Self::Data(_) => "Data",
            Self::Datas(_) => "Datas",
        }
    }
}

/// Under which name an image must have been signed: `signedIdentity`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Identity {
    /// Exactly the one it is asked for by.
    MatchExact,
    /// The same where it is asked for by tag; by digest, any in its repository. This one holds
    /// where nothing is said.
    #[default]
    MatchRepoDigestOrExact,
    /// Any in its repository: any signed image of the repository passes for any tag of it.
    MatchRepository,
    /// This one.
    ExactReference(String),
    /// Any in this repository.
    ExactRepository(String),
    /// As the default, after a prefix of the name is replaced: for mirrors.
    RemapIdentity {
        /// What the image's name begins with.
        prefix: String,
        /// What the signed name begins with.
        signed_prefix: String,
    },
}

impl Identity {
    /// Its `type` in the file.
    pub fn name(&self) -> &'static str {
        match self {
            Self::MatchExact => "matchExact",
            Self::MatchRepoDigestOrExact => "matchRepoDigestOrExact",
            Self::MatchRepository => "matchRepository",
            Self::ExactReference(_) => "exactReference",
            Self::ExactRepository(_) => "exactRepository",
            Self::RemapIdentity { .. } => "remapIdentity",
        }
    }
}
