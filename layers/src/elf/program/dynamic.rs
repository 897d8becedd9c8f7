//! The dynamic section: libraries, where they are looked for, and their versions (the last as in the
//! Linux Standard Base, "Symbol Versioning").

use std::io;

use super::{MOST_OF_NAME, MOST_OF_PATH, Open, PT_LOAD, Program, Required, Segment};
use super::{broken, number, read_at, text};

const DT_NEEDED: u64 = 1;
const DT_STRTAB: u64 = 5;
const DT_STRSZ: u64 = 10;
const DT_RPATH: u64 = 15;
const DT_RUNPATH: u64 = 29;
const DT_VERDEF: u64 = 0x6fff_fffc;
const DT_VERDEFNUM: u64 = 0x6fff_fffd;
const DT_VERNEED: u64 = 0x6fff_fffe;
const DT_VERNEEDNUM: u64 = 0x6fff_ffff;
/// Of what is needed: the program can do without.
const VER_FLG_WEAK: u64 = 2;
/// Of what is offered: the library's own name.
const VER_FLG_BASE: u64 = 1;
/// More than the versions of any library take. glibc's have 2 KiB.
const MOST_VERSIONS: u64 = 256 << 10;
/// Of one list. libstdc++ has 40.
const MOST_ROWS: usize = 1024;

/// Reads what a dynamic section says.
pub(super) fn read(
    open: Open<'_>,
    dynamic: &[u8],
    segments: &[Segment],
    program: &mut Program,
) -> io::Result<()> {
    let entries: Vec<(u64, u64)> =
        dynamic.chunks_exact(16).map(|row| (number(row, 0, 8), number(row, 8, 8))).collect();
    let value = |tag| entries.iter().find(|(found, _)| *found == tag).map(|(_, value)| *value);
    let named = [DT_NEEDED, DT_RPATH, DT_RUNPATH, DT_VERDEF, DT_VERNEED]
        .map(value)
        .iter()
        .any(Option::is_some);
    if !named {
        return Ok(());
    }
    let (Some(address), Some(size)) = (value(DT_STRTAB), value(DT_STRSZ)) else {
        return Err(broken("libraries without a table of names"));
    };
    let (offset, _) = place(segments, address)
        .ok_or_else(|| broken("a table of names outside of its segments"))?;
    let names = read_at(open, offset, size)?;

    let needed = || entries.iter().filter(|(tag, _)| *tag == DT_NEEDED);
    if needed().count() > MOST_ROWS {
        return Err(broken("it needs too many libraries"));
    }
    let needed = needed().map(|(_, at)| text(&names, *at, MOST_OF_NAME));
    program.needed = needed.collect::<io::Result<_>>()?;
    // Who has both goes by the newer one alone (ld.so(8)).
    let path = value(DT_RUNPATH).or(value(DT_RPATH)).map(|at| text(&names, at, MOST_OF_PATH));
    let path = path.transpose()?;
    let parts = path.iter().flat_map(|path| path.split(':')).filter(|part| !part.is_empty());
    program.run_path = parts.map(str::to_owned).collect();

    let table = |place_tag, count_tag| -> io::Result<Option<(Vec<u8>, u64)>> {
        let (Some(address), Some(count)) = (value(place_tag), value(count_tag)) else {
            return Ok(None);
        };
        let (offset, rest) = place(segments, address)
            .ok_or_else(|| broken("a table of versions outside of its segments"))?;
        Ok(Some((read_at(open, offset, rest.min(MOST_VERSIONS))?, count)))
    };
    if let Some((bytes, count)) = table(DT_VERNEED, DT_VERNEEDNUM)? {
        program.requires = required(&bytes, count, &names)?;
    }
    if let Some((bytes, count)) = table(DT_VERDEF, DT_VERDEFNUM)? {
        program.provides = provided(&bytes, count, &names)?;
    }
    Ok(())
}

/// Where in the file an address is, and how many bytes follow in its segment.
fn place(segments: &[Segment], address: u64) -> Option<(u64, u64)> {
    let loads = segments.iter().filter(|segment| segment.kind == PT_LOAD);
    let within =
        |load: &&Segment| (load.address..load.address.saturating_add(load.size)).contains(&address);
    let load = loads.into_iter().find(within)?;
    let skip = address - load.address;
    Some((load.offset.checked_add(skip)?, load.size - skip))
}

/// The rows of a linked list: each says at `next` how far it is to the next one, 0 at the end. None
/// is shorter than 16 bytes.
fn rows(bytes: &[u8], start: usize, next: usize) -> impl Iterator<Item = usize> {
    let following = move |at: &usize| match number(bytes, at + next, 4) {
        0..16 => None,
        step => Some(at.saturating_add(step as usize)).filter(|at| *at < bytes.len()),
    };
    std::iter::successors(Some(start), following)
}

/// `Elf64_Verneed`, each with its `Elf64_Vernaux`.
fn required(bytes: &[u8], count: u64, names: &[u8]) -> io::Result<Vec<Required>> {
    let mut all = Vec::new();
    for row in rows(bytes, 0, 12).take(MOST_ROWS.min(count as usize)) {
        let library = text(names, number(bytes, row + 4, 4), MOST_OF_NAME)?;
        let versions = number(bytes, row + 2, 2);
        let first = row.saturating_add(number(bytes, row + 8, 4) as usize);
        for version in rows(bytes, first, 12).take(MOST_ROWS.min(versions as usize)) {
            if number(bytes, version + 4, 2) & VER_FLG_WEAK == 0 {
                let version = text(names, number(bytes, version + 8, 4), MOST_OF_NAME)?;
                all.push(Required { library: library.clone(), version });
            }
            if all.len() > MOST_ROWS {
                return Err(broken("it needs too many versions"));
            }
        }
    }
    Ok(all)
}

/// `Elf64_Verdef`, each with the first of its `Elf64_Verdaux`: its name; others are what it inherits.
fn provided(bytes: &[u8], count: u64, names: &[u8]) -> io::Result<Vec<String>> {
    let mut all = Vec::new();
    for row in rows(bytes, 0, 16).take(MOST_ROWS.min(count as usize)) {
        if number(bytes, row + 2, 2) & VER_FLG_BASE == 0 {
            let name = row.saturating_add(number(bytes, row + 12, 4) as usize);
            all.push(text(names, number(bytes, name, 4), MOST_OF_NAME)?);
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: &[u8] = b"\0libc.so.6\0GLIBC_2.2.5\0GLIBC_2.38\0libm.so.6\0";

    fn row(halves: &[u16], words: &[u32]) -> Vec<u8> {
        let halves = halves.iter().flat_map(|half| half.to_le_bytes());
        halves.chain(words.iter().flat_map(|word| word.to_le_bytes())).collect()
    }

    #[test]
    fn needed_versions_are_listed_with_their_library() {
        let bytes = [
            row(&[1, 3], &[1, 16, 64]),
            row(&[], &[0]),
            row(&[0, 2], &[11, 16]),
            row(&[], &[0]),
            row(&[0, 3], &[23, 16]),
            row(&[], &[0]),
            // Weak.
            row(&[2, 4], &[23, 0]),
            row(&[1, 1], &[34, 16, 0]),
            row(&[], &[0]),
            row(&[0, 2], &[11, 0]),
        ]
        .concat();
        let told = |count| -> Vec<String> {
            let all = required(&bytes, count, NAMES).unwrap();
            all.iter().map(|one| format!("{} {}", one.library, one.version)).collect()
        };
        let all = ["libc.so.6 GLIBC_2.2.5", "libc.so.6 GLIBC_2.38", "libm.so.6 GLIBC_2.2.5"];
        assert_eq!(told(2), all);
        assert_eq!(told(u64::MAX), all);
        assert_eq!(told(1), all[..2]);
    }

    #[test]
    fn offered_versions_are_listed_without_the_librarys_name() {
        let bytes = [
            row(&[1, 1, 1, 1], &[0, 20, 28]),
            row(&[], &[1, 0]),
            row(&[1, 0, 2, 1], &[0, 20, 28]),
            row(&[], &[11, 0]),
            row(&[1, 0, 3, 2], &[0, 20, 0]),
            row(&[], &[23, 8, 11, 0]),
        ]
        .concat();
        assert_eq!(provided(&bytes, 3, NAMES).unwrap(), ["GLIBC_2.2.5", "GLIBC_2.38"]);
        // Whatever the bytes are, it ends.
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] = 0xff;
            provided(&changed, u64::MAX, NAMES).unwrap();
            required(&changed, u64::MAX, NAMES).unwrap();
            provided(&bytes[..at], 3, NAMES).unwrap();
            required(&bytes[..at], 3, NAMES).unwrap();
        }
    }

    #[test]
    fn this_very_program_needs_versions_of_its_c_library() {
        let path = std::env::current_exe().unwrap();
        let open =
            || std::fs::File::open(&path).map(|file| Box::new(file) as Box<dyn io::Read + Send>);
        let program = Program::read_loaded(&open).unwrap();
        assert_eq!(Program { sections: Vec::new(), ..Program::read(&open).unwrap() }, program);
        let of_libc = |one: &Required| one.library.starts_with("libc.");
        assert!(program.interpreter.is_some() && !program.needed.is_empty());
        assert!(!cfg!(target_env = "gnu") || program.requires.iter().any(of_libc));
    }
}
