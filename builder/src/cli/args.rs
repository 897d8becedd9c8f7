//! The command line as it is written. What it means is each command's own affair.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use clap::builder::{OsStringValueParser, TypedValueParser, ValueParserFactory};
use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use treelay_recipes::Arch;

use super::bundle_args::BundleCommand;
use super::host_args::{DoctorArgs, HostKitArgs};
use super::verify_args::{AttestArgs, VerifyArgs};
use crate::attest::DocumentKind;
use crate::dest::Dest;
use crate::exec;
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
    Verify(Box<VerifyArgs>),
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
    /// Carry the inputs of recipes to where there is no network.
    ///
    /// Bundles of signatures are another thing: see verify --bundle.
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
        KeySpecParser
    }
}

/// What reads a [`KeySpec`] on the command line.
#[derive(Debug, Clone, Copy)]
pub struct KeySpecParser;

impl TypedValueParser for KeySpecParser {
    type Value = KeySpec;

    fn parse_ref(
        &self,
        command: &clap::Command,
        arg: Option<&clap::Arg>,
        text: &OsStr,
    ) -> std::result::Result<KeySpec, clap::Error> {
        let error = match KeySpec::parse(text) {
            Ok(key) => return Ok(key),
            Err(error) => error,
        };
        // A PIN, or a program's argument, would be in every log that keeps the message.
        let schemes = [("pkcs11:", "pkcs11:…"), ("exec:", "exec:…")];
        let hidden =
            schemes.iter().find(|(scheme, _)| text.as_bytes().starts_with(scheme.as_bytes()));
        let shown = hidden.map_or(text, |(_, shown)| OsStr::new(shown));
        let refuse = move |_: OsString| Err::<KeySpec, KeySpecError>(error.clone());
        OsStringValueParser::new().try_map(refuse).parse_ref(command, arg, shown)
    }
}

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
