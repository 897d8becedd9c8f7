//! [`Rebuild`]: making the programs of a Go distribution again from its own source.
//!
//! Since 1.21 a release's programs depend on nothing but its source, whatever machine built them.
//! `cmd/dist` builds releases with the flags that are here, without cgo on all arches (its
//! `toolenv`; measured with 1.27.3: equal byte for byte for amd64, arm64 and ppc64le).
//!
//! What is run is `go` for this machine with its tools, in a distribution of which all else is the
//! one that is looked into. So what is proved is that its programs are what its source says, if
//! the toolchain that says so does not lie; and of a toolchain for this very machine, that it makes
//! itself.

use std::borrow::Cow;

use treelay_recipes::{Arch, Digest};

use super::{GoError, running};
use crate::action::{Action, Command, InputTree};
use crate::tree::TreeError;
use crate::{Entry, Node, Tree, TreePath};

/// `cmd/dist` gives them in GOFLAGS, which has the same effect.
const FLAGS: [&str; 4] =
    ["-trimpath", "-buildvcs=false", "-ldflags=-w", "-gcflags=cmd/...=-dwarf=false"];
/// The directory of what is built.
const OUT: &str = "out";

/// The programs of a distribution, to be made again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rebuild {
    arch: Arch,
    /// The canonical tree without its programs.
    source: Tree,
    /// The programs alone.
    programs: Tree,
}

impl Rebuild {
    /// Takes a distribution for `arch` in its canonical form apart.
    ///
    /// # Errors
    /// [`GoError::NotFromSource`] for what is among its programs and has no source there.
    pub fn of(distribution: &Tree, arch: Arch) -> Result<Self, GoError> {
        let (source, programs) = apart(distribution);
        for entry in programs.entries().iter().filter(|entry| entry.file().is_some()) {
            let place = place(&entry.path, arch).filter(|name| is_name(name));
            let folder = place.and_then(|name| source.get(&format!("src/cmd/{name}")));
            if !folder.is_some_and(|folder| matches!(folder.node, Node::Dir)) {
                return Err(GoError::NotFromSource { path: entry.path.clone() });
            }
        }
        Ok(Self { arch, source, programs })
    }

    /// The programs as the distribution has them.
    pub fn programs(&self) -> &Tree {
        &self.programs
    }

    /// How many they are.
    pub fn count(&self) -> usize {
        self.files().count()
    }

    fn files(&self) -> impl Iterator<Item = &Entry> {
        self.programs.entries().iter().filter(|entry| entry.file().is_some())
    }

    /// What makes them, by the programs of a canonical `toolchain` for the arch `by`.
    ///
    /// # Errors
    /// None for canonical trees.
    pub fn action(&self, toolchain: &Tree, by: Arch) -> Result<Action<'static>, TreeError> {
        let (_, tools) = apart(toolchain);
        let files = [&self.source, &tools].map(|tree| tree.entries().iter());
        let files = files.into_iter().flatten().filter(|entry| entry.file().is_some());
        // Where the sources of all arches are the same, this is the toolchain itself.
        let go = Tree::from_entries(files.cloned().collect())?;
        let seen = running::without_tests(&go);
        let mut arguments =
            vec!["/treelay/go/bin/go".to_owned(), "build".into(), "-C=/treelay/go/src".into()];
        arguments.extend(FLAGS.map(str::to_owned));
        arguments.extend([format!("-o=/treelay/{OUT}/"), "--".to_owned()]);
        arguments.extend(self.files().map(|entry| format!("cmd/{}", entry.path.name())));
        let environment =
            running::environment(self.arch).into_iter().chain([running::least_level(self.arch)]);
        Ok(Action {
            command: Command {
                arguments,
                environment: environment
                    .map(|(name, value)| (name.to_owned(), value.to_owned()))
                    .collect(),
                outputs: vec![OUT.to_owned()],
                platform: running::platform(by),
            },
            cache: Some(running::empty_cache()),
            inputs: vec![InputTree { at: "go", tree: Cow::Owned(seen), lasting: true }],
            timeout: running::TIMEOUT,
        })
    }

    /// What the action made, at the places that [`Rebuild::programs`] has.
    ///
    /// # Errors
    /// None for what the action makes.
    pub fn built(&self, outputs: &Tree) -> Result<Tree, TreeError> {
        let built = |entry: &Entry| -> Option<Entry> {
            let made = outputs.get(&format!("{OUT}/{}", entry.path.name()))?;
            let (digest, size): (&Digest, u64) = made.file()?;
            Some(Entry::new_file(entry.path.clone(), entry.mode, *digest, size))
        };
        Tree::from_entries(self.files().filter_map(built).collect())
    }
}

/// A distribution without its programs, and they alone.
fn apart(distribution: &Tree) -> (Tree, Tree) {
    let is_program = |entry: &Entry| {
        let path = entry.path.as_str();
        path.starts_with("bin/") || path.starts_with("pkg/") && !path.starts_with("pkg/include/")
    };
    let files = |program: bool| {
        distribution.filter(|entry| entry.file().is_some() && is_program(entry) == program)
    };
    (files(false), files(true))
}

/// The name of the program at a path that programs for `arch` have.
fn place(path: &TreePath, arch: Arch) -> Option<&str> {
    let components: Vec<&str> = path.as_str().split('/').collect();
    match components[..] {
        ["bin", name] => Some(name),
        ["pkg", "tool", of, name] if of.strip_prefix("linux_") == Some(arch.go()) => Some(name),
        _ => None,
    }
}

/// Whether it is the name of a command, and nothing else to `go build`.
fn is_name(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::go::tests::{files, raw};

    fn distribution(arch: Arch, change: impl Fn(&mut Vec<(String, Vec<u8>)>)) -> Tree {
        let mut files = files(arch);
        for name in ["gofmt", "compile"] {
            files.push((format!("src/cmd/{name}/main.go"), b"package main\n".to_vec()));
        }
        change(&mut files);
        crate::go::canonical(&raw(&files, "", 0o644).0).unwrap()
    }

    #[test]
    fn one_toolchain_makes_all_arches() {
        let host = distribution(Arch::Amd64, |_| {});
        let mut trees = Vec::new();
        for arch in Arch::ALL {
            let rebuild = Rebuild::of(&distribution(arch, |_| {}), arch).unwrap();
            assert_eq!(rebuild.count(), 3);
            let action = rebuild.action(&host, Arch::Amd64).unwrap();
            assert_eq!(action.command.environment["GOARCH"], arch.go());
            // What other builds left in a cache is no evidence.
            assert!(action.cache.unwrap().key.is_none());
            assert_eq!(
                action.command.arguments.join(" "),
                "/treelay/go/bin/go build -C=/treelay/go/src -trimpath -buildvcs=false \
                 -ldflags=-w -gcflags=cmd/...=-dwarf=false -o=/treelay/out/ -- \
                 cmd/go cmd/gofmt cmd/compile"
            );
            trees.push(action.inputs[0].tree.clone().into_owned());
        }
        assert!(trees.iter().all(|tree| *tree == host));
    }

    #[test]
    fn the_source_is_the_distributions_own() {
        let host = distribution(Arch::Amd64, |_| {});
        let other = distribution(Arch::Arm64, |files| {
            files.push(("src/cmd/go/evil.go".into(), b"package main\n".to_vec()));
        });
        let rebuild = Rebuild::of(&other, Arch::Arm64).unwrap();
        let action = rebuild.action(&host, Arch::Amd64).unwrap();
        let tree = &action.inputs[0].tree;
        assert!(tree.get("src/cmd/go/evil.go").is_some());
        assert_eq!(tree.get("bin/go"), host.get("bin/go"));
        assert!(tree.get("pkg/tool/linux_arm64").is_none());
        assert!(tree.get("pkg/include/asm.h").is_some());
    }

    #[test]
    fn what_is_built_is_put_where_it_belongs() {
        let own = distribution(Arch::Arm64, |_| {});
        let rebuild = Rebuild::of(&own, Arch::Arm64).unwrap();
        let outputs: Vec<Entry> = rebuild
            .files()
            .map(|entry| {
                let path = TreePath::new(&format!("out/{}", entry.path.name())).unwrap();
                let (digest, size) = entry.file().unwrap();
                Entry::new_file(path, 0o755, *digest, size)
            })
            .collect();
        let all = Tree::from_entries(outputs.clone()).unwrap();
        assert_eq!(rebuild.built(&all).unwrap(), *rebuild.programs());
        let most = Tree::from_entries(outputs[1..].to_vec()).unwrap();
        assert!(rebuild.built(&most).unwrap().get("bin/go").is_none());
    }

    #[test]
    fn what_no_source_makes_is_refused() {
        for path in [
            "bin/evil",
            "bin/-o=x",
            "bin/..x",
            "bin/go/go",
            "pkg/tool/linux_amd64/compile",
            "pkg/tool/compile",
            "pkg/linux_arm64/fmt.a",
        ] {
            let changed = distribution(Arch::Arm64, |files| {
                files.retain(|(other, _)| !path.starts_with(&format!("{other}/")));
                files.push((path.to_owned(), b"x".to_vec()));
            });
            let error = Rebuild::of(&changed, Arch::Arm64).unwrap_err().to_string();
            let expected = format!("nothing in the source of the Go distribution makes its {path}");
            assert_eq!(error, expected);
        }
    }
}
