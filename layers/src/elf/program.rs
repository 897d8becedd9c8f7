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

/// The text that begins at `at` and ends with a NUL.
fn text(bytes: &[u8], at: u64) -> String {
    let rest = usize::try_from(at).ok().and_then(|at| bytes.get(at..)).unwrap_or_default();
    let end = rest.iter().position(|byte| *byte == 0).unwrap_or(rest.len());
    String::from_utf8_lossy(&rest[..end]).into_owned()
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
        program.sections = rows
            .iter()
            .filter(|row| !matches!(number(row, 4, 4), 0 | SHT_NOBITS))
            .map(|row| Section {
                name: text(&names, number(row, 0, 4)),
                offset: number(row, 24, 8),
                size: number(row, 32, 8),
            })
            .collect();
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
        for segment in &segments {
            match segment.kind {
                PT_INTERP => {
                    let bytes = read_at(open, segment.offset, segment.size)?;
                    program.interpreter = Some(text(&bytes, 0));
                }
                PT_DYNAMIC => {
                    let bytes = read_at(open, segment.offset, segment.size)?;
                    dynamic::read(open, &bytes, &segments, &mut program)?;
                }
                _ => {}
            }
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
