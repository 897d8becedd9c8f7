//! What is written after `treelay host-kit` and `treelay doctor`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::args::RegistryArgs;
use crate::dest::Dest;
use crate::signers::KeySpec;

/// `treelay host-kit`.
#[derive(Debug, Args)]
pub struct HostKitArgs {
    /// What hosts pull: docker://HOST/REPO for images, ostree:REPO for commits, or both.
    #[arg(required = true, num_args = 1..=2, value_name = "DEST")]
    pub dest: Vec<Dest>,
    /// Trust this public key; several may be given, one of which must have signed.
    #[arg(long, value_name = "PUB")]
    pub key: Vec<KeySpec>,
    /// Where the kit is written: a folder that is new or empty, or has an older kit.
    #[arg(long, short, value_name = "DIR", required_unless_present = "merge")]
    pub output: Option<PathBuf>,
    /// Require signatures in this scope, a host, namespace or repository [default: the repository].
    #[arg(long, value_name = "SCOPE")]
    pub scope: Vec<String>,
    /// A host or namespace with copies of the scope and of its signatures, which name the original.
    #[arg(long, value_name = "SCOPE")]
    pub mirror: Vec<String>,
    /// What becomes of images of registries that no scope covers.
    #[arg(long, value_enum, default_value_t = Others::Accept)]
    pub others: Others,
    /// Put the rules into this policy in place, which is never weakened; what changes is shown. With
    /// --output, the kit's policy is what comes of it.
    #[arg(long, value_name = "FILE")]
    pub merge: Option<PathBuf>,
    /// With --merge: where the policy's default accepts anything, make it reject, and each transport
    /// accept what the default accepted. ostree-image-signed: demands it.
    #[arg(long, requires = "merge")]
    pub secure_default: bool,
    /// With --merge: put these keys in the place of others that the policy has for the same scope, and
    /// open it where a wider scope rejects everything.
    #[arg(long, requires = "merge")]
    pub replace: bool,
    /// With --merge: show what would change, and write nothing.
    #[arg(long, requires = "merge")]
    pub dry_run: bool,
    /// What hosts call the remote of ostree:REPO [default: treelay].
    #[arg(long, value_name = "NAME")]
    pub remote: Option<String>,
    /// Where hosts find ostree:REPO.
    #[arg(long, value_name = "URL")]
    pub ostree_url: Option<String>,
    /// Commits must be signed by a GPG key of this keyring too; with no --key, by it alone.
    #[arg(long, value_name = "FILE")]
    pub gpg_keyring: Option<PathBuf>,
    /// The collection that commits must be bound to.
    #[arg(long, value_name = "ID")]
    pub collection_id: Option<String>,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// What becomes of images that no scope covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Others {
    /// They are pulled as before, signed or not.
    Accept,
    /// They are refused.
    Reject,
}

/// `treelay doctor`.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Images that the host pulls, docker://HOST/REPO:TAG: looked at where they are, and judged as the
    /// host would.
    pub dest: Vec<Dest>,
    /// The root of the host, where it is not this machine.
    #[arg(long, value_name = "DIR", default_value = "/")]
    pub root: PathBuf,
    /// Do not connect to registries: say only what the host's files say of the images.
    #[arg(long)]
    pub offline: bool,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub registry: RegistryArgs,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}
