//! What is written after `treelay verify` and `treelay attest`.

use std::path::PathBuf;

use clap::Args;
use treelay_recipes::{Arch, Digest, NotADigest};

use super::args::RegistryArgs;
use crate::attest::{PredicateType, Required};
use crate::dest::{Dest, NotADest};
use crate::sign::RequiredForm;
use crate::signers::KeySpec;

/// `treelay verify`.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// What to verify: an image, the commits of a repository, or with --bundle a file
    /// (file:PATH) or what has a digest (sha256:DIGEST, or sha512:DIGEST as npm has it).
    pub dest: Verifiable,
    /// Accept signatures by this public key: a file, env://VARIABLE, a pkcs11: URI, or exec:PROGRAM.
    #[arg(long, value_name = "PUB")]
    pub key: Vec<KeySpec>,
    /// Refuse what does not have these documents, signed by one of the keys: provenance (SLSA v1),
    /// sbom (SPDX or CycloneDX), or any type that `treelay attest` takes. Those of an index count for
    /// its images, but for an sbom.
    #[arg(long, value_delimiter = ',', value_name = "DOCUMENT,…", requires = "key")]
    pub require: Vec<Required>,
    /// Accept GPG signatures of commits by the keys of this keyring.
    #[arg(long, value_name = "FILE")]
    pub gpg_keyring: Option<PathBuf>,
    /// Accept commits that this remote of the repository's configuration would accept: by its keys,
    /// bound to its collection.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["key", "gpg_keyring"])]
    pub remote: Option<String>,
    /// With --remote: the root of the system whose etc/ostree (remotes.d, and keys for all remotes) and
    /// usr/share/ostree count [default: /, and remotes.d for the repository of this system alone].
    #[arg(long, value_name = "DIR", requires = "remote", conflicts_with_all = ["key", "gpg_keyring"])]
    pub sysroot: Option<PathBuf>,
    /// Do not count signatures of commits by the keys of this file: as in ostree's revoked.ed25519
    /// (lines of base64) or revoked.spki (PEM).
    #[arg(long, value_name = "FILE")]
    pub revoked: Vec<PathBuf>,
    /// The repository, or repository:tag, that image signatures must name [default: the
    /// registry's own name; none for a layout].
    #[arg(long, value_name = "REPO[:TAG]")]
    pub signed_as: Option<String>,
    /// The form of signatures that must be good of every manifest of an image: sig is what podman,
    /// skopeo, rpm-ostree and bootc read, bundle what cosign 3 reads; any takes either and warns of
    /// what is wrong with the other, but refuses when it is missing although the signer made both,
    /// as treelay does. A bundle names no repository.
    #[arg(long, value_name = "any|sig|bundle|both", default_value = "any")]
    pub require_form: RequiredForm,
    /// Judge an image as a host with this policy (containers-policy.json(5)) does; keys are read from
    /// where it says.
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// Say whether this consumer would accept an image, and which of its rules it breaks: podman-5,
    /// rpm-ostree, cosign-2, cosign-3. May be given several times.
    #[arg(long = "as", value_name = "CONSUMER")]
    pub as_consumer: Vec<String>,
    /// Read the layers of images in registries too, not only manifests and configs. Layouts and
    /// repositories are always read whole.
    #[arg(long)]
    pub blobs: bool,
    /// The bundle (.sigstore.json) with the signature of a file.
    #[arg(long, value_name = "FILE")]
    pub bundle: Option<PathBuf>,
    /// What the bundle must say of the file: an attestation of this type, as `treelay attest` takes
    /// it [default: anything; the type is told].
    #[arg(long = "type", value_name = "TYPE")]
    pub predicate_type: Option<PredicateType>,
    /// Whom to trust for certificates, logs and timestamps: a trusted_root.json. Nothing is ever
    /// fetched.
    #[arg(long, value_name = "FILE")]
    pub trusted_root: Option<PathBuf>,
    /// Accept signatures by who has this name in a certificate: an email address, the URI of a
    /// workflow, or a user name.
    #[arg(long, value_name = "WHO", conflicts_with = "identity_regexp")]
    pub identity: Option<String>,
    /// The same by a regular expression, which must match the whole name.
    #[arg(long, value_name = "REGEX")]
    pub identity_regexp: Option<String>,
    /// Who must vouch for that name: the issuer of its OpenID Connect tokens.
    #[arg(long, value_name = "URL", conflicts_with = "issuer_regexp")]
    pub issuer: Option<String>,
    /// The same by a regular expression, which must match the whole.
    #[arg(long, value_name = "REGEX")]
    pub issuer_regexp: Option<String>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub registry: RegistryArgs,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// What `treelay verify` verifies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verifiable {
    /// What a place has.
    Place(Dest),
    /// `file:PATH`: a file. All after `file:` is the path.
    File(PathBuf),
    /// `sha256:DIGEST`: something of which the digest is known.
    Digest(Digest),
    /// `sha512:DIGEST`: the same by the hash with which npm names packages.
    Sha512([u8; 64]),
}

impl std::str::FromStr for Verifiable {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some(("file", "")) => Err("the path after file: is missing".to_owned()),
            Some(("file", path)) => Ok(Self::File(path.into())),
            Some(("sha256", _)) => {
                text.parse().map(Self::Digest).map_err(|error: NotADigest| error.to_string())
            }
            Some(("sha512", hex)) => {
                let mut digest = [0; 64];
                let lower = !hex.bytes().any(|byte| byte.is_ascii_uppercase());
                match hex::decode_to_slice(hex, &mut digest) {
                    Ok(()) if lower => Ok(Self::Sha512(digest)),
                    _ => Err("expected sha512: and 128 lowercase hex digits".to_owned()),
                }
            }
            _ => text.parse().map(Self::Place).map_err(|error: NotADest| {
                format!("{error}; or, with --bundle, file:PATH, sha256:DIGEST or sha512:DIGEST")
            }),
        }
    }
}

impl std::fmt::Display for Verifiable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Place(dest) => dest.fmt(f),
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Digest(digest) => digest.fmt(f),
            Self::Sha512(digest) => write!(f, "sha512:{}", hex::encode(digest)),
        }
    }
}

/// `treelay attest`.
#[derive(Debug, Args)]
pub struct AttestArgs {
    /// The image, or one ref or all refs of an OSTree repository. With nothing else, what is beside it
    /// is listed.
    pub dest: Dest,
    /// The type of document: slsaprovenance1, spdxjson, cyclonedx, openvex, vuln, link, custom, or a
    /// URI.
    #[arg(long = "type", value_name = "TYPE")]
    pub kind: Option<PredicateType>,
    /// The document to put there: a JSON object.
    #[arg(long, value_name = "FILE", requires = "kind", requires = "key")]
    pub predicate: Option<PathBuf>,
    /// Sign with this key: as `treelay sign` takes it.
    #[arg(long, value_name = "KEY", requires = "predicate")]
    pub key: Vec<KeySpec>,
    /// Print the document of this type that is there. Nobody has verified it: `treelay verify
    /// --require` does.
    #[arg(long, requires = "kind", conflicts_with = "predicate")]
    pub show: bool,
    /// Only the image or commit of this arch [default: the index and all that it names; all commits].
    #[arg(long, value_name = "ARCH")]
    pub arch: Option<Arch>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub registry: RegistryArgs,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}
