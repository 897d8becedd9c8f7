//! What is built: the Go distribution for three arches, and trees made for the scale series.

use std::fs;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::Bench;
use crate::run::{capture, step};

/// The arches of the reference work, as treelay and OCI call them.
pub const ARCHES: [&str; 3] = ["amd64", "arm64", "ppc64le"];

/// Where the distribution is in each arch's tree.
pub const PREFIX: &str = "usr/lib/golang";

/// The reference work from the published distribution: inputs that the lock pins.
pub const FROM_LOCKED: &str = "\
name: go-reference
version: \"1.27.3\"
arch: [amd64, arm64, ppc64le]
epoch: 1700000000
inputs:
  go:
    go-toolchain: {version: 1.27.3, sources: [pypi]}
layers:
  - name: toolchain
    go-toolchain: {input: go, prefix: /usr/lib/golang}
";

/// The reference work from unpacked trees: `trees` has one for each arch.
pub fn from_trees(trees: &Path, compression: &str) -> String {
    let go = trees.join("{{ arch }}").join(PREFIX);
    FROM_LOCKED.replace("sources: [pypi]", &format!("sources: [dir], dir: \"{}\"", go.display()))
        + &format!("image: {{compression: {compression}}}\n")
}

/// One layer for each of the directories, for one arch.
pub fn from_directories(directories: &[PathBuf]) -> String {
    let mut text =
        "name: scale\nversion: \"1\"\narch: [amd64]\nepoch: 1700000000\nlayers:\n".to_owned();
    for (number, directory) in directories.iter().enumerate() {
        text.push_str(&format!(
            "  - name: part{number}\n    directory: {{source: \"{}\", prefix: /part{number}}}\n",
            directory.display()
        ));
    }
    text
}

/// Unpacks the distribution for all arches, once: the folder with a root for each.
pub fn go_trees(bench: &Bench) -> Result<PathBuf> {
    let trees = bench.folder.join("go");
    if !trees.exists() {
        step("unpacking Go for three arches", || {
            let partial = bench.fresh("go.partial")?;
            let published = bench.treelay("published", FROM_LOCKED)?;
            for arch in ARCHES {
                let tree = format!("tree:{}", partial.join(arch).display());
                capture(&mut published.build(&["--arch", arch, "-o", &tree]))?;
            }
            fs::rename(&partial, &trees).with_context(|| format!("moving {}", partial.display()))
        })?;
    }
    // Warm: every later read is from the page cache, for all sides.
    entries(&trees, true)?;
    Ok(trees)
}

/// Copies the trees, to change the copy.
pub fn copy(bench: &Bench, trees: &Path, name: &str) -> Result<PathBuf> {
    let copy = bench.fresh(name)?;
    capture(Command::new("cp").arg("-a").arg(trees).arg(&copy))?;
    Ok(copy)
}

/// Counts what is below `tree`, and reads it where `read` says so.
pub fn entries(tree: &Path, read: bool) -> Result<u64> {
    let (mut count, mut folders) = (0, vec![tree.to_path_buf()]);
    while let Some(folder) = folders.pop() {
        let reading = || format!("reading {}", folder.display());
        for entry in fs::read_dir(&folder).with_context(reading)? {
            let entry = entry.with_context(reading)?;
            let kind = entry.file_type().with_context(reading)?;
            count += 1;
            if kind.is_dir() {
                folders.push(entry.path());
            } else if read && kind.is_file() {
                let path = entry.path();
                let mut file =
                    fs::File::open(&path).with_context(|| format!("opening {}", path.display()))?;
                std::io::copy(&mut file, &mut std::io::sink())
                    .with_context(|| format!("reading {}", path.display()))?;
            }
        }
    }
    Ok(count)
}

/// Files of about `size` bytes each, no two alike, a thousand to a folder; `first` is the number
/// of the first.
pub fn many_files(tree: &Path, first: u64, files: u64, size: usize) -> Result<()> {
    let mut random = Random(first + 1);
    for number in first..first + files {
        let folder = tree.join(format!("d{:04}", number / 1000));
        if number == first || number % 1000 == 0 {
            fs::create_dir_all(&folder)
                .with_context(|| format!("creating {}", folder.display()))?;
        }
        let mut text = format!("file {number}\n").into_bytes();
        while text.len() < size {
            text.extend(random.line());
        }
        let path = folder.join(format!("f{number:07}"));
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(())
}

/// One file of `size` bytes that compresses to about half.
pub fn large_file(path: &Path, size: u64) -> Result<()> {
    let writing = || format!("writing {}", path.display());
    let mut file = BufWriter::with_capacity(1 << 20, fs::File::create(path).with_context(writing)?);
    let (mut random, mut left) = (Random(1), size);
    while left > 0 {
        let line = random.line();
        let part = &line[..line.len().min(usize::try_from(left).unwrap_or(usize::MAX))];
        file.write_all(part).with_context(writing)?;
        left -= part.len() as u64;
    }
    file.flush().with_context(writing)
}

/// xorshift64*: the same input on every machine and in every run.
struct Random(u64);

impl Random {
    /// 64 hexadecimal digits: what is in them compresses to half, and repeats nowhere.
    fn line(&mut self) -> [u8; 65] {
        let mut line = [b'\n'; 65];
        for digits in line[..64].chunks_mut(16) {
            self.0 ^= self.0 >> 12;
            self.0 ^= self.0 << 25;
            self.0 ^= self.0 >> 27;
            let mut bits = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D);
            for digit in digits {
                *digit = b"0123456789abcdef"[(bits & 15) as usize];
                bits >>= 4;
            }
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_files_are_counted_and_differ() {
        let tree = std::env::temp_dir().join(format!("treelay-ci-input-{}", std::process::id()));
        many_files(&tree, 999, 3, 100).unwrap();
        large_file(&tree.join("large"), 1000).unwrap();
        let counted = entries(&tree, true);
        let read = |name: &str| fs::read(tree.join(name));
        let (a, b, c) = (read("d0000/f0000999"), read("d0001/f0001000"), read("d0001/f0001001"));
        let large = read("large");
        fs::remove_dir_all(&tree).unwrap();
        assert_eq!(counted.unwrap(), 6);
        assert!(b.as_ref().unwrap() != c.as_ref().unwrap() && a.unwrap() != b.unwrap());
        assert_eq!(large.unwrap().len(), 1000);
    }

    #[test]
    fn recipes_name_each_layer_and_directory() {
        let text = from_directories(&["a".into(), "b".into()]);
        assert!(text.contains("name: part1\n    directory: {source: \"b\", prefix: /part1}"));
        let text = from_trees(Path::new("go"), "zstd");
        assert!(text.contains("sources: [dir], dir: \"go/{{ arch }}/usr/lib/golang\"}"));
    }
}
