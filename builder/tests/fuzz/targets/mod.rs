//! What is attacked: everything here that reads strangers' bytes, each as a function that takes any
//! bytes, says whether they were accepted, and panics where something is wrong that must not be.
//!
//! They know nothing of whoever makes the bytes: the campaign beside this, or libFuzzer (`builder/fuzz`).

mod archives;
mod documents;
mod keys;
mod programs;
mod proofs;
mod repair;

use archives::{archive, bundle, bundle_file, layer};
pub use repair::repaired;

/// A way in.
#[derive(Clone, Copy)]
pub struct Target {
    /// Its name, and that of its folder in `tests/corpus`.
    pub name: &'static str,
    /// Whether the bytes are accepted.
    pub judge: fn(&[u8]) -> bool,
    /// What the bytes are.
    pub form: Form,
}

/// In which ways bytes are spoiled.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Bytes.
    Binary,
    /// A tar, whose headers get the checksums that they need to be read at all.
    Tar,
    /// An xz, of which the first headers get their checksums.
    Xz,
    /// An answer of a checksum database, whose note gets its signature.
    Note,
    /// Lines.
    Text,
    /// JSON.
    Json,
}

/// All of them.
pub const ALL: &[Target] = &[
    target("tar", archive, Form::Tar),
    target("gzip", archive, Form::Binary),
    target("xz", archive, Form::Xz),
    target("zstd", archive, Form::Binary),
    target("zip", archive, Form::Binary),
    target("ar", archive, Form::Binary),
    target("layer", layer, Form::Tar),
    target("bundle", bundle, Form::Json),
    target("bundle-file", bundle_file, Form::Binary),
    target("recipe", documents::recipe, Form::Text),
    target("lock", documents::lock, Form::Text),
    target("settings", documents::settings, Form::Text),
    target("policy", documents::policy, Form::Json),
    target("registries-d", documents::registries_d, Form::Text),
    target("manifest", documents::manifest, Form::Json),
    target("checksums", documents::checksums, Form::Text),
    target("index-page", documents::index_page, Form::Text),
    target("go-mod", documents::go_mod, Form::Text),
    target("tree", documents::tree, Form::Text),
    target("file-contexts", documents::file_contexts, Form::Text),
    target("elf", programs::elf, Form::Binary),
    target("note", proofs::note, Form::Note),
    target("openpgp-key", proofs::openpgp_key, Form::Binary),
    target("openpgp-signature", proofs::openpgp_signature, Form::Binary),
    target("openpgp-clear", proofs::openpgp_clear, Form::Text),
    target("sigstore", proofs::sigstore, Form::Json),
    target("trusted-root", proofs::trusted_root, Form::Json),
    target("statement", proofs::statement, Form::Json),
    target("public-key", keys::public, Form::Text),
    target("secret-key", keys::secret, Form::Text),
];

const fn target(name: &'static str, judge: fn(&[u8]) -> bool, form: Form) -> Target {
    Target { name, judge, form }
}

/// An error must be one that can be told.
fn told(error: &dyn std::error::Error) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        assert!(!error.to_string().is_empty());
        next = error.source();
    }
    false
}
