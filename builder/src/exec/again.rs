//! Doing again what processes did, another way, and comparing: what is built must not depend on
//! caches, directories or the number of threads.

use std::collections::BTreeSet;
use std::fmt;
use std::io::{self, Read};

use treelay_layers::elf::Program;
use treelay_layers::{Contents, Tree};
use treelay_recipes::{Digest, Lock};

use super::{ExecError, Executor, Workshop};
use crate::plan::{Expanded, Plan};
use crate::sources::Sources;

/// Where two builds differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The file, such as `out/server`.
    pub path: String,
    /// How.
    pub how: How,
}

/// How two files differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum How {
    /// Only one of the builds made it.
    Once,
    /// From this byte on.
    At {
        /// Counted from 0.
        offset: u64,
        /// The section of the ELF file that it is in, where there is one.
        section: Option<String>,
    },
}

/// `  out/server from byte 4096 on, in .text`
impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "  {}", self.path)?;
        match &self.how {
            How::Once => write!(f, " was made only once"),
            How::At { offset, section } => {
                write!(f, " from byte {offset} on")?;
                section.iter().try_for_each(|section| write!(f, ", in {section}"))
            }
        }
    }
}

impl Workshop<'_> {
    /// Does everything again that processes did for the layers of `plan`, by `again`, and compares;
    /// how many actions.
    ///
    /// # Errors
    /// [`ExecError::NotReproducible`], for the first layer that is not; others as in a build.
    pub async fn check_reproducible(
        &self,
        plan: &Plan,
        expanded: &Expanded,
        lock: &Lock,
        sources: &Sources,
        again: &dyn Executor,
    ) -> Result<usize, ExecError> {
        let mut seen = BTreeSet::new();
        for planned in &plan.layers {
            let made = self.twice(planned, expanded, lock, sources, again, &mut seen).await?;
            let Some((first, second)) = made else { continue };
            let differences = differences(&first, &second, self.store)
                .map_err(ExecError::store("comparing what was built"))?;
            if !differences.is_empty() {
                let (layer, arch) = (planned.name.clone(), planned.arch);
                return Err(ExecError::NotReproducible { layer, arch, differences });
            }
        }
        Ok(seen.len())
    }
}

/// Every file in which two trees differ, by path.
fn differences(
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

    use super::*;
    use crate::store::{Store, StoreSink};

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
                "  out/one was made only once",
                "  out/other was made only once",
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
