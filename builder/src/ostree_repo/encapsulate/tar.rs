//! GNU tar headers, to the byte as the importers' own exporter writes them: numbers in octal, times 0,
//! no names of owners; a path or link target of more than 100 bytes stands in a member of its own
//! before (`././@LongLink`), and its beginning in the header.

use std::io::{self, Read, Write};

const BLOCK: usize = 512;
/// What the name and link fields hold.
const FIELD: usize = 100;

/// Who owns a member, and what may be done with it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Meta {
    pub uid: u32,
    pub gid: u32,
    /// Permission bits.
    pub mode: u32,
}

/// What the repository itself has.
pub(super) const ROOT_FILE: Meta = Meta { uid: 0, gid: 0, mode: 0o644 };
/// The same of directories.
pub(super) const ROOT_DIR: Meta = Meta { uid: 0, gid: 0, mode: 0o755 };

/// An archive that is being written.
pub(super) struct GnuTar<W> {
    out: W,
}

impl<W: Write> GnuTar<W> {
    pub(super) fn new(out: W) -> Self {
        Self { out }
    }

    pub(super) fn dir(&mut self, path: &str, meta: Meta) -> io::Result<()> {
        self.header(path, "", meta, 0, b'5')
    }

    pub(super) fn bytes(&mut self, path: &str, meta: Meta, bytes: &[u8]) -> io::Result<()> {
        self.file(path, meta, bytes.len() as u64, bytes)
    }

    /// A file of which `content` has exactly `size` bytes.
    pub(super) fn file(
        &mut self,
        path: &str,
        meta: Meta,
        size: u64,
        content: impl Read,
    ) -> io::Result<()> {
        self.header(path, "", meta, size, b'0')?;
        let found = io::copy(&mut content.take(size + 1), &mut self.out)?;
        if found != size {
            let reason = format!("{path} has other than {size} bytes");
            return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
        }
        self.pad(size)
    }

    pub(super) fn hard_link(&mut self, path: &str, target: &str, meta: Meta) -> io::Result<()> {
        self.header(path, target, meta, 0, b'1')
    }

    pub(super) fn symlink(&mut self, path: &str, target: &str, meta: Meta) -> io::Result<()> {
        self.header(path, target, meta, 0, b'2')
    }

    /// Ends the archive.
    pub(super) fn finish(mut self) -> io::Result<W> {
        self.out.write_all(&[0; 2 * BLOCK])?;
        Ok(self.out)
    }

    fn header(
        &mut self,
        path: &str,
        target: &str,
        meta: Meta,
        size: u64,
        kind: u8,
    ) -> io::Result<()> {
        self.long(path, b'L')?;
        self.long(target, b'K')?;
        self.block(cut(path), cut(target), meta, size, kind)
    }

    /// The member that says what does not fit into the header behind it, with a NUL at its end.
    fn long(&mut self, text: &str, kind: u8) -> io::Result<()> {
        if text.len() <= FIELD {
            return Ok(());
        }
        let size = text.len() as u64 + 1;
        self.block("././@LongLink", "", ROOT_FILE, size, kind)?;
        self.out.write_all(text.as_bytes())?;
        self.out.write_all(&[0])?;
        self.pad(size)
    }

    fn block(&mut self, name: &str, link: &str, meta: Meta, size: u64, kind: u8) -> io::Result<()> {
        let mut block = [0; BLOCK];
        block[..name.len()].copy_from_slice(name.as_bytes());
        octal(&mut block[100..108], meta.mode.into());
        number(&mut block[108..116], meta.uid.into());
        number(&mut block[116..124], meta.gid.into());
        number(&mut block[124..136], size);
        octal(&mut block[136..148], 0);
        block[156] = kind;
        block[157..157 + link.len()].copy_from_slice(link.as_bytes());
        block[257..265].copy_from_slice(b"ustar  \0");
        // Its own field counts as spaces.
        let sum: u64 = block.iter().map(|byte| u64::from(*byte)).sum::<u64>() + 8 * u64::from(b' ');
        octal(&mut block[148..156], sum);
        self.out.write_all(&block)
    }

    fn pad(&mut self, size: u64) -> io::Result<()> {
        let over = (size % BLOCK as u64) as usize;
        self.out.write_all(&[0; BLOCK][..(BLOCK - over) % BLOCK])
    }
}

/// What of a text fits into a field of the header.
fn cut(text: &str) -> &str {
    let mut end = text.len().min(FIELD);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// Octal digits, and a NUL.
fn octal(field: &mut [u8], value: u64) {
    let digits = field.len() - 1;
    field[..digits].copy_from_slice(format!("{value:0digits$o}").as_bytes());
}

/// In octal where there is room, else base 256: a set high bit, then the number.
fn number(field: &mut [u8], value: u64) {
    let length = field.len();
    if value < 1 << (3 * (length - 1)).min(63) {
        return octal(field, value);
    }
    let bytes = value.to_be_bytes();
    field.fill(0);
    let room = length.min(bytes.len());
    field[length - room..].copy_from_slice(&bytes[bytes.len() - room..]);
    field[0] |= 0x80;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_readers_read_what_was_written() {
        let long = format!("{}ü/{}", "a".repeat(98), "b".repeat(120));
        let meta = Meta { uid: 3_000_000, gid: 1000, mode: 0o4755 };
        let mut tar = GnuTar::new(Vec::new());
        tar.dir("./", ROOT_DIR).unwrap();
        tar.file(&long, meta, 3, &b"abc"[..]).unwrap();
        tar.hard_link("link", &long, meta).unwrap();
        tar.symlink("symlink", "a/./b//c", ROOT_FILE).unwrap();
        assert!(tar.file("short", meta, 4, &b"abc"[..]).is_err());
        let mut tar = GnuTar::new(tar.out);
        tar.out.truncate(tar.out.len() - 512 - 3);
        tar.bytes("end", ROOT_FILE, &[7; 512]).unwrap();
        let bytes = tar.finish().unwrap();
        let mut archive = ::tar::Archive::new(&bytes[..]);
        let found: Vec<String> = archive
            .entries()
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                let header = entry.header();
                format!(
                    "{:?} {} {:?} {} {} {:o} {}",
                    header.entry_type(),
                    String::from_utf8_lossy(&entry.path_bytes()),
                    entry
                        .link_name_bytes()
                        .map(|link| String::from_utf8(link.into_owned()).unwrap()),
                    header.uid().unwrap(),
                    header.gid().unwrap(),
                    header.mode().unwrap(),
                    entry.size(),
                )
            })
            .collect();
        assert_eq!(
            found,
            [
                "Directory ./ None 0 0 755 0".to_owned(),
                format!("Regular {long} None 3000000 1000 4755 3"),
                format!("Link link Some({long:?}) 3000000 1000 4755 0"),
                "Symlink symlink Some(\"a/./b//c\") 0 0 644 0".to_owned(),
                "Regular end None 0 0 644 512".to_owned(),
            ]
        );
    }
}
