//! The command line as it is written. What it means is each command's own affair.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::{
    OsStringValueParser, TryMapValueParser, TypedValueParser as _, ValueParserFactory,
};
use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use treelay_recipes::{Arch, Digest, NotADigest};

use super::bundle_args::BundleCommand;
use super::host_args::{DoctorArgs, HostKitArgs};
use crate::attest::{DocumentKind, PredicateType, Required};
use crate::dest::{Dest, NotADest};
use crate::exec;
use crate::sign::RequiredForm;
use crate::signers::{KeySpec, KeySpecError};

/// Toolchain layers for image-based Linux: one recipe, a signed OCI image and signed OSTree
/// commits.
#[derive(Debug, Parser)]
#[command(name = "treelay", version, about, max_term_width = 100)]
#[command(after_help = PLACES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Say nothing but results and errors.
    #[arg(long, short, global = true)]
    pub quiet: bool,
    /// Where expensive products are kept [default: TREELAY_STORE, else treelay in the user's cache
    /// directory].
    #[arg(long, global = true, value_name = "DIR")]
    pub store: Option<PathBuf>,
    /// Threads [default: as many as there are processors].
    #[arg(long, global = true, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub jobs: Option<u16>,
}

const PLACES: &str = "Places: oci:DIR[:TAG], docker://HOST/REPO[:TAG|@DIGEST], ostree:REPO[:REF], \
                      tree:DIR; treelay verify also takes file:PATH and sha256:DIGEST.\n\
                      Exit status: 0 done; 1 it failed or was refused; 2 the command line or the \
                      recipe is wrong.";

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Build a recipe, and write it to every place given.
    Build(BuildArgs),
    /// Resolve and pin every input of a recipe in the lock file beside it.
    Lock(LockArgs),
    /// Show what a build would do, and what of it is there already.
    Plan(PlanArgs),
    /// Sign an image or the commits of a repository that exist.
    Sign(SignArgs),
    /// Check signatures and every digest of an image or commit.
    Verify(VerifyArgs),
    /// Put documents beside an image or commits, signed, or show what is there.
    Attest(AttestArgs),
    /// Copy an image with its signatures, or commits as an image.
    Copy(CopyArgs),
    /// Show arches, layers, sizes, metadata and signatures.
    Inspect(InspectArgs),
    /// Show which paths differ between two images, two commits, or one of each.
    Diff(DiffArgs),
    /// Make keys.
    #[command(subcommand)]
    Key(KeyCommand),
    /// Write all the files that make hosts trust what some keys sign.
    HostKit(HostKitArgs),
    /// Say what a host would refuse or take unsigned, and how to mend it.
    Doctor(DoctorArgs),
    /// Remove from the store what was not used for long. What running builds use stays.
    Gc(GcArgs),
    /// Look after the store.
    #[command(subcommand)]
    Store(StoreCommand),
    /// Carry the inputs of recipes to where there is no network. (Bundles of signatures are
    /// another thing: see verify --bundle.)
    #[command(subcommand)]
    Bundle(BundleCommand),
    /// Print the JSON Schema of recipes, for editors.
    Schema,
    /// Print a completion script.
    Completions {
        /// The shell it is for.
        shell: Shell,
    },
    /// Print the manual page.
    Man,
}

/// Which recipe, and how its inputs are had.
#[derive(Debug, Args)]
pub struct RecipeArgs {
    /// The recipe.
    #[arg(value_name = "RECIPE.yaml")]
    pub recipe: PathBuf,
    /// Build only for these of the recipe's arches.
    #[arg(long, value_delimiter = ',', value_name = "ARCH,…")]
    pub arch: Vec<Arch>,
    /// Refuse to make or change the lock.
    #[arg(long)]
    pub locked: bool,
    /// Open no connection to fetch anything.
    #[arg(long)]
    pub offline: bool,
}

/// What signs.
#[derive(Debug, Args)]
pub struct KeyArgs {
    /// Sign with this key: a file, env://VARIABLE, a pkcs11: URI, or exec:PROGRAM. Its password is
    /// COSIGN_PASSWORD, a token's PIN TREELAY_PIN; or they are asked for on a terminal.
    #[arg(long, value_name = "KEY")]
    pub key: Vec<KeySpec>,
    /// Sign commits with this key of the user's GnuPG keyring.
    #[arg(long, value_name = "ID")]
    pub gpg_key: Vec<String>,
    /// The name that image signatures carry [default: the registry's own name; for a layout the
    /// recipe's image.reference].
    #[arg(long, value_name = "REPO:TAG")]
    pub sign_as: Option<String>,
}

/// How registries are reached.
#[derive(Debug, Args)]
pub struct RegistryArgs {
    /// Use plain http for every registry, not only on this machine.
    #[arg(long)]
    pub plain_http: bool,
}

/// `treelay build`.
#[derive(Debug, Args)]
pub struct BuildArgs {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub recipe: RecipeArgs,
    /// Where to write; may be given several times. Without it everything is built and kept in the
    /// store alone.
    #[arg(long, short, value_name = "DEST")]
    pub output: Vec<Dest>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub keys: KeyArgs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub registry: RegistryArgs,
    /// How the processes that layers need are shut in: away from network, home and the rest of the
    /// machine.
    #[arg(long, value_enum, default_value_t = Sandbox::Auto)]
    pub sandbox: Sandbox,
    /// Put documents about images and commits beside them, signed with the keys that are given: where
    /// they come from (SLSA provenance), what is in them (SPDX 2.3, CycloneDX 1.6).
    #[arg(long, value_enum, value_delimiter = ',', value_name = "DOCUMENT,…")]
    pub attest: Vec<Document>,
    /// The URI of the platform that this build runs on, for the provenance; verifiers compare it
    /// [default: urn:treelay:builder:local, which vouches for nothing].
    #[arg(long, value_name = "URI", requires = "attest")]
    pub builder_id: Option<String>,
    /// Make all layers a second time, from nothing but the inputs, in other directories and on
    /// another number of threads, and fail where they are not the same byte for byte.
    #[arg(long)]
    pub check_reproducible: bool,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// How processes are shut in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Sandbox {
    /// By bubblewrap, else by unshare; where neither works, nothing is started.
    Auto,
    /// Not at all: what is built may then depend on this machine.
    Off,
}

impl From<Sandbox> for exec::Sandbox {
    fn from(sandbox: Sandbox) -> Self {
        match sandbox {
            Sandbox::Auto => Self::Auto,
            Sandbox::Off => Self::Off,
        }
    }
}

/// A document that a build makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Document {
    /// From what and how it was made, as SLSA v1 has it.
    Provenance,
    /// Every file and package, as SPDX 2.3.
    Spdx,
    /// Every package and program, as CycloneDX 1.6: what scanners read.
    Cyclonedx,
}

impl From<Document> for DocumentKind {
    fn from(document: Document) -> Self {
        match document {
            Document::Provenance => Self::Provenance,
            Document::Spdx => Self::Spdx,
            Document::Cyclonedx => Self::Cyclonedx,
        }
    }
}

/// `treelay lock`.
#[derive(Debug, Args)]
pub struct LockArgs {
    /// The recipe.
    #[arg(value_name = "RECIPE.yaml")]
    pub recipe: PathBuf,
    /// Find these inputs anew; all of them when none is named.
    #[arg(long, value_name = "INPUT", num_args = 0..)]
    pub update: Option<Vec<String>>,
    /// Change nothing; fail where the lock is missing or does not fit the recipe.
    #[arg(long, conflicts_with = "update")]
    pub check: bool,
    /// Open no connection.
    #[arg(long)]
    pub offline: bool,
    /// How the processes that `verify: [rebuild]` needs are shut in: away from network, home and the
    /// rest of the machine.
    #[arg(long, value_enum, default_value_t = Sandbox::Auto)]
    pub sandbox: Sandbox,
    /// Print what changed, and who served what was fetched, as JSON on one line.
    #[arg(long)]
    pub json: bool,
}

/// `treelay plan`.
#[derive(Debug, Args)]
pub struct PlanArgs {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub recipe: RecipeArgs,
    /// Print the plan as canonical JSON.
    #[arg(long)]
    pub json: bool,
}

/// `treelay sign`.
#[derive(Debug, Args)]
pub struct SignArgs {
    /// What to sign: an image, or one ref or all refs of an OSTree repository.
    pub dest: Dest,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub keys: KeyArgs,
    /// Sign this beside the image's digest, which `cosign verify -a` can ask for; for images.
    #[arg(long, short = 'a', value_name = "KEY=VALUE")]
    pub annotation: Vec<Annotation>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub registry: RegistryArgs,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// What is signed beside a digest.
#[derive(Debug, Clone)]
pub struct Annotation {
    /// Its name.
    pub name: String,
    /// Its text.
    pub value: String,
}

impl std::str::FromStr for Annotation {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((name, value)) if !name.is_empty() => {
                Ok(Self { name: name.to_owned(), value: value.to_owned() })
            }
            _ => Err("expected KEY=VALUE".to_owned()),
        }
    }
}

/// `treelay verify`.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// What to verify: an image, the commits of a repository, or with --bundle a file
    /// (file:PATH) or what has a digest (sha256:DIGEST).
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
            _ => text.parse().map(Self::Place).map_err(|error: NotADest| {
                format!("{error}; or, with --bundle, file:PATH or sha256:DIGEST")
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

/// `treelay copy`.
#[derive(Debug, Args)]
pub struct CopyArgs {
    /// From where.
    pub src: Dest,
    /// To where.
    pub dest: Dest,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub keys: KeyArgs,
    /// Leave signatures, attestations and SBOMs behind.
    #[arg(long)]
    pub no_signatures: bool,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub registry: RegistryArgs,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// `treelay inspect`.
#[derive(Debug, Args)]
pub struct InspectArgs {
    /// What to look at.
    pub dest: Dest,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub registry: RegistryArgs,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// `treelay diff`.
#[derive(Debug, Args)]
pub struct DiffArgs {
    /// What it was.
    pub from: Dest,
    /// What it is now.
    pub to: Dest,
    /// Compare only these arches [default: all that both have].
    #[arg(long, value_delimiter = ',', value_name = "ARCH")]
    pub arch: Vec<Arch>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub registry: RegistryArgs,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// `treelay key`.
#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// Make a key pair: PREFIX.key, encrypted in cosign's format, and PREFIX.pub.
    Generate {
        /// Where: PREFIX.key and PREFIX.pub, which must not exist.
        #[arg(long, value_name = "PREFIX")]
        out: PathBuf,
        /// ecdsa-p256 signs everything that hosts check today; ed25519 signs OSTree commits for
        /// every ostree that was built with libsodium or OpenSSL.
        #[arg(long = "type", value_name = "KIND", default_value = "ecdsa-p256")]
        kind: treelay_signing::KeyKind,
    },
    /// Print the public key of a key, as PEM.
    Public {
        /// Either half of it, where --key takes one from: a file, env://VARIABLE, a pkcs11: URI, or
        /// exec:PROGRAM.
        key: KeySpec,
    },
    /// Seal a key of another program in cosign's format: PREFIX.key and PREFIX.pub.
    Import {
        /// A file or env://VARIABLE: what OpenSSL or ostree writes, or a key with another password.
        key: KeySpec,
        /// Where: PREFIX.key and PREFIX.pub, which must not exist.
        #[arg(long, value_name = "PREFIX")]
        out: PathBuf,
    },
}

/// Options that name keys read them by [`KeySpec::parse`].
impl ValueParserFactory for KeySpec {
    type Parser = KeySpecParser;

    fn value_parser() -> Self::Parser {
        OsStringValueParser::new().try_map(|text| Self::parse(&text))
    }
}

/// What reads a [`KeySpec`] on the command line.
pub type KeySpecParser = TryMapValueParser<
    OsStringValueParser,
    fn(OsString) -> std::result::Result<KeySpec, KeySpecError>,
>;

/// `treelay gc`.
#[derive(Debug, Args)]
pub struct GcArgs {
    /// Keep what was used within so many days; 0 keeps only what running builds use.
    #[arg(long, value_name = "N", default_value_t = 30)]
    pub keep_days: u32,
    /// Then remove what was longest unused, until the store is no larger: bytes, or with K, M, G, T
    /// (powers of 1024) [default: any size].
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub max_size: Option<u64>,
    /// Remove nothing, only say what would be.
    #[arg(long)]
    pub dry_run: bool,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// `treelay store`.
#[derive(Debug, Subcommand)]
pub enum StoreCommand {
    /// Read and check everything in the store. Exit status 1 where something is wrong and stays.
    Verify {
        /// Remove what is wrong, so that the next build makes it anew.
        #[arg(long)]
        repair: bool,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
}

/// Bytes: `1500000`, `500M`, `20G`, `20GiB`.
fn size(text: &str) -> Result<u64, String> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let shift = match unit.strip_suffix("iB").unwrap_or(unit) {
        "" if unit.is_empty() => 0,
        "K" => 10,
        "M" => 20,
        "G" => 30,
        "T" => 40,
        _ => return Err("expected a number of bytes, or one with K, M, G or T".to_owned()),
    };
    let number: u64 = number.parse().map_err(|_| "expected a number of bytes".to_owned())?;
    number.checked_mul(1 << shift).ok_or_else(|| "that is too large".to_owned())
}

#[cfg(test)]
mod tests {
    use super::size;

    #[test]
    fn sizes_are_numbers_with_a_unit() {
        for (text, bytes) in [
            ("0", 0),
            ("12", 12),
            ("4K", 4096),
            ("3M", 3 << 20),
            ("20GiB", 20 << 30),
            ("1T", 1 << 40),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in ["", "G", "iB", "1iB", "-1", "1.5G", "1GB", "1 G", "99999999999T"] {
            assert!(size(text).is_err(), "{text:?}");
        }
    }
}
