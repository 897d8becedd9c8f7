//! Comparing what was made with what was made again, from nothing and another way: it must not
//! depend on caches, directories or the number of threads.

use std::collections::BTreeSet;
use std::fmt;
use std::io::{self, Read};

use treelay_layers::elf::Program;
use treelay_layers::{Contents, Tree};
use treelay_recipes::Digest;

use super::{Blobs, BuiltLayer, ExecError, Layers};

/// Where two builds differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The file, such as `usr/bin/server`.
    pub path: String,
    /// How.
    pub how: How,
}

/// How two files differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum How {
    /// Only one of the builds, or only the distribution that was built again, has it.
    Once,
    /// They are the same as files, and other as blobs.
    Encoded {
        /// The digest of one.
        first: Digest,
        /// The digest of the other.
        second: Digest,
    },
    /// From this byte on.
    At {
        /// Counted from 0.
        offset: u64,
        /// The section of the ELF file that it is in, where there is one.
        section: Option<String>,
    },
}

/// `  usr/bin/server from byte 4096 on, in .text`
impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "  {}", self.path)?;
        match &self.how {
            How::Once => write!(f, " is in one of them alone"),
            How::Encoded { first, second } => write!(f, " became {first}, then {second}"),
            How::At { offset, section } => {
                write!(f, " from byte {offset} on")?;
                section.iter().try_for_each(|section| write!(f, ", in {section}"))
            }
        }
    }
}

/// Layers that were made, with the blobs of those that were encoded, and what they were made of.
#[derive(Clone, Copy)]
pub struct Outcome<'a> {
    /// The layers.
    pub layers: &'a Layers<'a>,
    /// Their blobs.
    pub blobs: Option<&'a Blobs>,
    /// The contents of their trees.
    pub contents: &'a dyn Contents,
}

/// Compares what was made with what was made again: every layer's tree, and its blob; how many
/// layers.
///
/// # Errors
/// [`ExecError::NotReproducible`], for the first layer that is not; [`ExecError::Store`] where
/// contents cannot be read.
pub fn compare(first: Outcome<'_>, second: Outcome<'_>) -> Result<usize, ExecError> {
    let contents = Either(first.contents, second.contents);
    let mut seen = BTreeSet::new();
    for (arch, layers) in &first.layers.by_arch {
        let others = second.layers.by_arch.get(arch).map_or(&[][..], Vec::as_slice);
        for layer in layers {
            let same = |other: &&BuiltLayer| (&other.name, other.part) == (&layer.name, layer.part);
            let other = others.iter().find(same);
            let differences = match other.map(|other| other.tree) {
                Some(tree) if tree == layer.tree => {
                    let blob = |outcome: Outcome<'_>| Some(outcome.blobs?.get(&tree)?.0.digest);
                    let blobs = blob(first).zip(blob(second));
                    let differ = blobs.filter(|(first, second)| first != second);
                    let path = || "the layer itself".to_owned();
                    differ
                        .map(|(first, second)| How::Encoded { first, second })
                        .map(|how| Difference { path: path(), how })
                        .into_iter()
                        .collect()
                }
                tree => {
                    let one = first.layers.tree(&layer.tree)?;
                    let tree = tree.map(|tree| second.layers.tree(&tree)).transpose()?;
                    differences(&one, &tree.unwrap_or_default(), &contents)
                        .map_err(ExecError::store("comparing what was built"))?
                }
            };
            if !differences.is_empty() {
                let (layer, arch) = (layer.name.clone(), *arch);
                return Err(ExecError::NotReproducible { layer, arch, differences });
            }
            seen.insert(layer.tree);
        }
    }
    Ok(seen.len())
}

/// Contents that are in one of two places.
struct Either<'a>(&'a dyn Contents, &'a dyn Contents);

impl Contents for Either<'_> {
    fn open(&self, digest: &Digest, size: u64) -> io::Result<Box<dyn Read + Send>> {
        match self.0.open(digest, size) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.1.open(digest, size),
            other => other,
        }
    }
}

/// Every file in which two trees differ, by path.
pub(super) fn differences(
    first: &Tree,
    second: &Tree,
    contents: &dyn Contents,
) -> io::Result<Vec<Difference>> {
    let mut paths: BTreeSet<&str> = BTreeSet::new();
    for tree in [first, second] {
        paths.extend(tree.entries().iter().map(|entry| entry.path.as_str()));
    }
    let mut differences = Vec::new();
    for path in paths {
        let how = match (first.get(path), second.get(path)) {
            (Some(one), Some(other)) if one == other => continue,
            (Some(one), Some(other)) => match (one.file(), other.file()) {
                (Some(one), Some(other)) => difference(one, other, contents)?,
                _ => How::Once,
            },
            _ => How::Once,
        };
        differences.push(Difference { path: path.to_owned(), how });
    }
    Ok(differences)
}

/// Where two contents begin to differ.
fn difference(
    one: (&Digest, u64),
    other: (&Digest, u64),
    contents: &dyn Contents,
) -> io::Result<How> {
    let open = || contents.open(one.0, one.1);
    let mut files = [open()?, contents.open(other.0, other.1)?];
    let mut buffers = [Vec::new(), Vec::new()];
    let mut offset = 0;
    loop {
        for (file, buffer) in files.iter_mut().zip(&mut buffers) {
            buffer.clear();
            file.take(1 << 16).read_to_end(buffer)?;
        }
        let [a, b] = &buffers;
        let same = a.iter().zip(b).take_while(|(a, b)| a == b).count();
        offset += same as u64;
        if same < a.len().max(b.len()) || a.is_empty() {
            break;
        }
    }
    // What is no ELF file has no sections.
    let program = Program::read(&open).unwrap_or_default();
    let section = program.section_at(offset).map(|section| section.name.clone());
    Ok(How::At { offset, section })
}

#[cfg(test)]
mod tests {
    use treelay_layers::{ContentSink as _, Entry, TreePath};
    use treelay_recipes::Arch;

    use super::*;
    use crate::exec::Part;
    use crate::store::{LayerBlob, Store, StoreSink};

    /// A layer `server` with one file, and its blob.
    fn made<'s>(store: &'s Store, text: &str, blob: &str) -> (Layers<'s>, Blobs) {
        let (digest, size) = StoreSink::new(store).put(&mut text.as_bytes()).unwrap();
        let path = TreePath::new("usr/bin/server").unwrap();
        let entries = vec![Entry::new_file(path, 0o755, digest, size)];
        let tree = store.put_tree(&Tree::from_entries(entries).unwrap()).unwrap();
        let (name, kind, part) = ("server".to_owned(), "go-build", Part::Whole);
        let mut layers = Layers::new(store);
        layers.by_arch.insert(Arch::Arm64, vec![BuiltLayer { name, kind, part, tree, key: tree }]);
        let (diff_id, digest) = (Digest::of(text), Digest::of(blob));
        let blob = LayerBlob { digest, diff_id, size: 1, raw_size: 1 };
        (layers, Blobs::from([(tree, (blob, false))]))
    }

    #[test]
    fn layers_that_are_not_the_same_again_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let stores = ["a", "b"].map(|name| Store::open(&folder.path().join(name)).unwrap());
        let compare = |first: (&str, &str), second: (&str, &str)| {
            let (first, second) =
                (made(&stores[0], first.0, first.1), made(&stores[1], second.0, second.1));
            super::compare(
                Outcome { layers: &first.0, blobs: Some(&first.1), contents: &stores[0] },
                Outcome { layers: &second.0, blobs: Some(&second.1), contents: &stores[1] },
            )
            .map_err(|error| error.to_string())
        };
        assert_eq!(compare(("abc", "1"), ("abc", "1")), Ok(1));
        let refused =
            "layer \"server\" for arm64 is not reproducible: built again, it has other bytes:\n";
        assert_eq!(
            compare(("abc", "1"), ("abd", "1")),
            Err(format!("{refused}  usr/bin/server from byte 2 on"))
        );
        let (one, two) = (Digest::of("1"), Digest::of("2"));
        assert_eq!(
            compare(("abc", "1"), ("abc", "2")),
            Err(format!("{refused}  the layer itself became {one}, then {two}"))
        );
    }

    #[test]
    fn differences_name_file_and_offset() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("store")).unwrap();
        let tree = |files: &[(&str, Vec<u8>)]| {
            let mut sink = StoreSink::new(&store);
            let entry = |(path, bytes): &(&str, Vec<u8>)| {
                let (digest, size) = sink.put(&mut &bytes[..]).unwrap();
                Entry::new_file(TreePath::new(path).unwrap(), 0o755, digest, size)
            };
            Tree::from_entries(files.iter().map(entry).collect()).unwrap()
        };
        let long = |last: u8| [vec![7; 100_000], vec![last]].concat();
        let first = tree(&[
            ("out/same", long(1)),
            ("out/long", long(1)),
            ("out/short", vec![1, 2]),
            ("out/one", vec![1]),
        ]);
        let second = tree(&[
            ("out/same", long(1)),
            ("out/long", long(2)),
            ("out/short", vec![1, 2, 3]),
            ("out/other", vec![1]),
        ]);
        let found = differences(&first, &second, &store).unwrap();
        let told: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                "  out/long from byte 100000 on",
                "  out/one is in one of them alone",
                "  out/other is in one of them alone",
                "  out/short from byte 2 on",
            ]
        );
        assert_eq!(differences(&first, &first, &store).unwrap(), []);
    }

    #[test]
    fn a_difference_in_a_program_names_the_section() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("store")).unwrap();
        let path = std::env::current_exe().unwrap();
        let mut bytes = std::fs::read(path).unwrap();
        let open = || Ok(Box::new(io::Cursor::new(bytes.clone())) as Box<dyn Read + Send>);
        let text = Program::read(&open).unwrap().section(".text").unwrap().clone();
        let mut sink = StoreSink::new(&store);
        let one = sink.put(&mut &bytes[..]).unwrap();
        let at = text.offset + text.size / 2;
        bytes[at as usize] ^= 1;
        let other = sink.put(&mut &bytes[..]).unwrap();
        let how = difference((&one.0, one.1), (&other.0, other.1), &store).unwrap();
        assert_eq!(how, How::At { offset: at, section: Some(".text".to_owned()) });
    }
}
