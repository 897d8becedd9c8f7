//! Breaks files the way a bad disk or a bad person does.

use std::fs::{self, OpenOptions, Permissions};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// A byte that was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flip {
    /// Where, from the file's start.
    pub offset: u64,
    /// The bits that were turned over; never 0.
    pub mask: u8,
}

/// Changes one byte of the file, chosen by `seed`: the same seed and size, the same change.
/// Mode and size stay; a second call with the same seed undoes it.
///
/// # Panics
/// When the file is empty or cannot be written.
pub fn flip(path: &Path, seed: u64) -> Flip {
    let mut random = Random(seed);
    let size =
        fs::metadata(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).len();
    assert!(size > 0, "{} is empty: there is no byte to change", path.display());
    let offset = random.below(size);
    let mask = 1 << random.below(8);
    flip_at(path, offset, mask);
    Flip { offset, mask }
}

/// Turns over the bits of `mask` in the byte at `offset`.
///
/// # Panics
/// When there is no such byte, or the file cannot be written.
pub fn flip_at(path: &Path, offset: u64, mask: u8) {
    let shown = path.display();
    let mode = fs::metadata(path).unwrap_or_else(|error| panic!("{shown}: {error}")).permissions();
    // Objects and blobs are read-only.
    fs::set_permissions(path, Permissions::from_mode(mode.mode() | 0o200)).unwrap();
    let file = OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).unwrap_or_else(|error| panic!("{shown}: {error}"));
    file.write_all_at(&[byte[0] ^ mask], offset).unwrap();
    fs::set_permissions(path, mode).unwrap();
}

/// Every file below `folder`, sorted, links not followed.
///
/// # Panics
/// When a folder cannot be read.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_path_buf()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())) {
            let entry = entry.unwrap();
            let kind = entry.file_type().unwrap();
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    found
}

/// The same where the folder may be missing: then there are none.
///
/// # Panics
/// When a folder cannot be read.
pub fn files_if_any(folder: &Path) -> Vec<PathBuf> {
    if folder.exists() { files(folder) } else { Vec::new() }
}

/// Chance that is the same in every run: SplitMix64.
#[derive(Clone, Debug)]
pub struct Random(pub u64);

impl Random {
    /// The next number.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.draw() % end
    }

    /// Brings the items into another order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let other = usize::try_from(self.below(last as u64 + 1)).unwrap();
            items.swap(last, other);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_bit_changes_and_the_same_seed_brings_it_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("blob");
        fs::write(&path, vec![7; 1000]).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o444)).unwrap();
        let first = flip(&path, 42);
        let bits = |bytes: &[u8]| bytes.iter().map(|byte| (byte ^ 7).count_ones()).sum::<u32>();
        assert_eq!(bits(&fs::read(&path).unwrap()), 1);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o444);
        assert_eq!(flip(&path, 42), first);
        assert_eq!(fs::read(&path).unwrap(), vec![7; 1000]);
        assert_ne!(flip(&path, 43), first);
    }

    #[test]
    fn shuffling_keeps_the_items_and_is_the_same_every_time() {
        let shuffled = |seed| {
            let mut items: Vec<u32> = (0..50).collect();
            Random(seed).shuffle(&mut items);
            items
        };
        assert_eq!(shuffled(1), shuffled(1));
        assert_ne!(shuffled(1), shuffled(2));
        let mut sorted = shuffled(1);
        sorted.sort_unstable();
        assert_eq!(sorted, (0..50).collect::<Vec<_>>());
    }
}
