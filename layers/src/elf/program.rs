//! What a program needs to be loaded: its interpreter and libraries (System V gABI, chapter 5).

mod dynamic;

use std::io::{self, Read};

/// Opens the file from its beginning.
pub type Open<'a> = &'a dyn Fn() -> io::Result<Box<dyn Read + Send>>;

/// What a 64-bit little-endian ELF file asks the system for, and where its sections are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Program {
    /// PT_INTERP: the loader that the kernel starts instead.
    pub interpreter: Option<String>,
    /// DT_NEEDED: libraries.
    pub needed: Vec<String>,
    /// DT_RUNPATH, else DT_RPATH: where it looks for them first; `$ORIGIN` is its own folder.
    pub run_path: Vec<String>,
    /// Versions that it needs of its libraries.
    pub requires: Vec<Required>,
    /// Versions that it offers as a library.
    pub provides: Vec<String>,
    /// Sections with a content in the file, in the order of their table.
    pub sections: Vec<Section>,
}

/// A version that a program needs of a library.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Required {
    /// The library, as [`Program::needed`] has it: `libc.so.6`.
    pub library: String,
    /// The version: `GLIBC_2.38`.
    pub version: String,
}

/// A section with a content in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// Its name.
    pub name: String,
    /// Where it begins in the file.
    pub offset: u64,
    /// Its length in bytes.
    pub size: u64,
}

/// More than any header, table or text of a real program has.
const MOST: u64 = 4 << 20;
const HEADER: u64 = 64;

/// `n` bytes from `offset` on.
pub(crate) fn read_at(open: Open<'_>, offset: u64, n: u64) -> io::Result<Vec<u8>> {
    if n > MOST {
        return Err(broken("a part of it is too long"));
    }
    let mut file = open()?;
    io::copy(&mut file.by_ref().take(offset), &mut io::sink())?;
    let mut bytes = Vec::new();
    file.take(n).read_to_end(&mut bytes)?;
    match bytes.len() as u64 == n {
        true => Ok(bytes),
        false => Err(broken("it ends too early")),
    }
}

fn broken(reason: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("its ELF headers are wrong: {reason}"))
}

/// A little-endian number of `n` bytes.
fn number(bytes: &[u8], at: usize, n: usize) -> u64 {
    let field = bytes.get(at..at + n).unwrap_or_default();
    field.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// Bytes of the name of a library, version or section. Many may be one and the same in the file, and
/// each is held in memory.
const MOST_OF_NAME: usize = 1 << 10;
/// Bytes of a path, or of a list of folders.
const MOST_OF_PATH: usize = 64 << 10;

/// The text of at most so many bytes that begins at `at` and ends with a NUL.
fn text(bytes: &[u8], at: u64, most: usize) -> io::Result<String> {
    let rest = usize::try_from(at).ok().and_then(|at| bytes.get(at..)).unwrap_or_default();
    let rest = &rest[..rest.len().min(most + 1)];
    let end = rest.iter().position(|byte| *byte == 0).unwrap_or(rest.len());
    match end > most {
        true => Err(broken("a name in it is too long")),
        false => Ok(String::from_utf8_lossy(&rest[..end]).into_owned()),
    }
}

/// The rows of a table whose offset, size of a row and number of rows stand at `places` of the header.
fn table(open: Open<'_>, header: &[u8], places: [usize; 3]) -> io::Result<Vec<Vec<u8>>> {
    let [offset, size, count] = places;
    let (size, count) = (number(header, size, 2), number(header, count, 2));
    if size == 0 || count == 0 {
        return Ok(Vec::new());
    }
    let bytes = read_at(open, number(header, offset, 8), size * count)?;
    Ok(bytes.chunks_exact(size as usize).map(<[u8]>::to_vec).collect())
}

/// One entry of the program header table.
struct Segment {
    kind: u64,
    offset: u64,
    address: u64,
    size: u64,
}

const PT_LOAD: u64 = 1;
const PT_DYNAMIC: u64 = 2;
const PT_INTERP: u64 = 3;
const SHT_NOBITS: u64 = 8;

impl Program {
    /// Reads the headers of a 64-bit little-endian ELF file.
    ///
    /// # Errors
    /// What reading met; [`io::ErrorKind::InvalidData`] for headers that make no sense.
    pub fn read(open: Open<'_>) -> io::Result<Self> {
        let header = read_at(open, 0, HEADER)?;
        let mut program = Self::loaded(open, &header)?;
        let rows = table(open, &header, [40, 58, 60])?;
        let Some(names) = rows.get(number(&header, 62, 2) as usize) else { return Ok(program) };
        let names = read_at(open, number(names, 24, 8), number(names, 32, 8))?;
        let rows = rows.iter().filter(|row| !matches!(number(row, 4, 4), 0 | SHT_NOBITS));
        let section = |row: &Vec<u8>| {
            let name = text(&names, number(row, 0, 4), MOST_OF_NAME)?;
            Ok(Section { name, offset: number(row, 24, 8), size: number(row, 32, 8) })
        };
        program.sections = rows.map(section).collect::<io::Result<_>>()?;
        Ok(program)
    }

    /// The same without the sections, which stand at the end of a file.
    ///
    /// # Errors
    /// As [`Program::read`].
    pub fn read_loaded(open: Open<'_>) -> io::Result<Self> {
        Self::loaded(open, &read_at(open, 0, HEADER)?)
    }

    fn loaded(open: Open<'_>, header: &[u8]) -> io::Result<Self> {
        let segments: Vec<Segment> = table(open, header, [32, 54, 56])?
            .iter()
            .map(|row| Segment {
                kind: number(row, 0, 4),
                offset: number(row, 8, 8),
                address: number(row, 16, 8),
                size: number(row, 32, 8),
            })
            .collect();
        let mut program = Self::default();
        // Of each there is one (gABI, "Program Header"): of several, Linux takes the first.
        let first = |kind| segments.iter().find(|segment: &&Segment| segment.kind == kind);
        if let Some(segment) = first(PT_INTERP) {
            let bytes = read_at(open, segment.offset, segment.size)?;
            program.interpreter = Some(text(&bytes, 0, MOST_OF_PATH)?);
        }
        if let Some(segment) = first(PT_DYNAMIC) {
            let bytes = read_at(open, segment.offset, segment.size)?;
            dynamic::read(open, &bytes, &segments, &mut program)?;
        }
        Ok(program)
    }

    /// The section that a byte of the file is in.
    pub fn section_at(&self, offset: u64) -> Option<&Section> {
        let mut holding = self.sections.iter();
        holding.find(|one| (one.offset..one.offset.saturating_add(one.size)).contains(&offset))
    }

    /// The section of that name.
    pub fn section(&self, name: &str) -> Option<&Section> {
        self.sections.iter().find(|section| section.name == name)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// A file whose program headers are `segments`: kind, offset, address and size.
    fn with(segments: &[[u64; 4]], rest: &[u8]) -> Vec<u8> {
        let mut file = crate::elf::fixture(true, true, 62);
        file.resize(HEADER as usize, 0);
        file[32..40].copy_from_slice(&HEADER.to_le_bytes());
        file[54..56].copy_from_slice(&56_u16.to_le_bytes());
        file[56..58].copy_from_slice(&(segments.len() as u16).to_le_bytes());
        for [kind, offset, address, size] in segments {
            let mut row = kind.to_le_bytes().to_vec();
            for number in [offset, address, &0, size, &0, &0] {
                row.extend(number.to_le_bytes());
            }
            file.extend(row);
        }
        file.extend(rest);
        file
    }

    /// What is read of a file, and how often it was opened for that.
    fn read(file: Vec<u8>) -> (io::Result<Program>, usize) {
        let opened = AtomicUsize::new(0);
        let program = Program::read(&|| {
            opened.fetch_add(1, Ordering::Relaxed);
            Ok(Box::new(io::Cursor::new(file.clone())))
        });
        (program, opened.into_inner())
    }

    #[test]
    fn of_many_interpreters_one_is_read() {
        let (program, opened) = read(with(&[[PT_INTERP, 0, 0, 1000]; 1000], &[b'x'; 1000]));
        assert!(program.unwrap().interpreter.is_some());
        assert!(opened < 10, "opened {opened} times");
    }

    /// The same bytes of a file as the names of many libraries would be much from little.
    #[test]
    fn names_are_bounded() {
        let dynamic = |needed: usize| -> Vec<u8> {
            let needed = std::iter::repeat_n([1, 0], needed);
            let entries = needed.chain([[5, 0x1000], [10, 1 << 20]]);
            entries.flatten().flat_map(u64::to_le_bytes).collect()
        };
        let file = |needed: usize, name: usize| {
            let (start, dynamic) = (HEADER + 2 * 56, dynamic(needed));
            let length = dynamic.len() as u64;
            let names = start + length;
            let mut names_of = vec![b'x'; name];
            names_of.resize(1 << 20, 0);
            let segments = [[PT_LOAD, names, 0x1000, 1 << 20], [PT_DYNAMIC, start, 0, length]];
            with(&segments, &[dynamic, names_of].concat())
        };
        let program = read(file(3, 100)).0.unwrap();
        assert_eq!(program.needed, vec!["x".repeat(100); 3]);
        let long = read(file(1000, 1 << 20)).0.unwrap_err().to_string();
        assert_eq!(long, "its ELF headers are wrong: a name in it is too long");
        let many = read(file(10_000, 100)).0.unwrap_err().to_string();
        assert_eq!(many, "its ELF headers are wrong: it needs too many libraries");
    }
}
