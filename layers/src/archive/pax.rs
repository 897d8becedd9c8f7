//! PAX extended headers (POSIX.1-2024, pax, "pax Extended Header").

use crate::tree::{SELINUX, Xattrs};

/// What an extended header says that matters to a tree.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Pax {
    pub path: Option<Vec<u8>>,
    pub link: Option<Vec<u8>>,
    pub size: Option<u64>,
    pub uid: Option<u64>,
    pub gid: Option<u64>,
    pub xattrs: Xattrs,
    /// The content is a map of holes and data, not the file's (GNU tar, "PAX Format, Versions 0.0
    /// to 1.0").
    pub sparse: bool,
}

/// What the key of an extended attribute begins with.
pub(super) const XATTR: &[u8] = b"SCHILY.xattr.";

impl Pax {
    /// Reads the records of one extended header. Keys that say nothing a tree has (times, names of
    /// owners, comments, ACLs) are passed over.
    ///
    /// # Errors
    /// What is wrong.
    pub(super) fn parse(mut data: &[u8]) -> Result<Self, String> {
        let mut pax = Self::default();
        while !data.is_empty() {
            let (key, value, rest) = record(data).ok_or("a PAX record is malformed")?;
            data = rest;
            match key {
                b"path" => pax.path = Some(name(value)?),
                b"linkpath" => pax.link = Some(name(value)?),
                b"size" => pax.size = Some(number(value)?),
                b"uid" => pax.uid = Some(number(value)?),
                b"gid" => pax.gid = Some(number(value)?),
                b"GNU.sparse.name" => (pax.path, pax.sparse) = (Some(name(value)?), true),
                _ if key.starts_with(b"GNU.sparse.") => pax.sparse = true,
                _ => {
                    if let Some(name) = key.strip_prefix(XATTR) {
                        pax.attribute(name, value)?;
                    }
                }
            }
        }
        Ok(pax)
    }

    fn attribute(&mut self, name: &[u8], value: &[u8]) -> Result<(), String> {
        let name = std::str::from_utf8(name)
            .ok()
            .filter(|name| !name.is_empty() && !name.contains('\0'))
            .ok_or("an extended attribute with a name that is not UTF-8")?;
        if name == SELINUX {
            return Ok(());
        }
        // A record replaces an earlier one of the same key.
        self.xattrs.retain(|(there, _)| there != name);
        self.xattrs.push((name.to_owned(), value.to_vec()));
        Ok(())
    }

    /// Whether it says nothing about the members it is for.
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Splits `LENGTH KEY=VALUE\n` off; the length counts the whole record.
fn record(data: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = data.iter().take(12).position(|byte| *byte == b' ')?;
    let length = usize::try_from(number(&data[..space]).ok()?).ok()?;
    let record = data.get(space + 1..length)?;
    let record = record.strip_suffix(b"\n")?;
    let equals = record.iter().position(|byte| *byte == b'=')?;
    if equals == 0 {
        return None;
    }
    Some((&record[..equals], &record[equals + 1..], &data[length..]))
}

/// A path. An empty one stands for that of the header to some readers, for none to others; with a NUL,
/// some end there.
fn name(value: &[u8]) -> Result<Vec<u8>, String> {
    match value.is_empty() || value.contains(&0) {
        true => Err("a path in a PAX record is empty or contains a NUL".to_owned()),
        false => Ok(value.to_vec()),
    }
}

fn number(text: &[u8]) -> Result<u64, String> {
    let digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(text)
        .ok()
        .filter(|_| digits)
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| "a number in a PAX record is malformed".to_owned())
}

/// One record, as a test's archive has it.
#[cfg(test)]
pub(super) fn record_of(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let length = (1..).map(|digits| rest + digits).find(|n| n.to_string().len() + rest == *n);
    let mut record = format!("{} {key}=", length.unwrap()).into_bytes();
    record.extend(value);
    record.push(b'\n');
    record
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_matters() {
        let records: [(&str, &[u8]); 7] = [
            ("path", b"a/b"),
            ("size", b"42"),
            ("atime", b"1720000000.5"),
            ("SCHILY.xattr.user.note", b"first"),
            ("SCHILY.xattr.security.selinux", b"system_u:object_r:usr_t:s0"),
            ("SCHILY.xattr.user.note", b"h\ni=\xff\0"),
            ("comment", b""),
        ];
        let data: Vec<u8> = records.iter().flat_map(|(key, value)| record_of(key, value)).collect();
        let pax = Pax::parse(&data).unwrap();
        assert_eq!(pax.path.as_deref(), Some(&b"a/b"[..]));
        assert_eq!(pax.size, Some(42));
        assert_eq!(pax.xattrs, [("user.note".to_owned(), b"h\ni=\xff\0".to_vec())]);
        assert!(Pax::parse(&record_of("comment", b"git")).unwrap().is_empty());
    }

    #[test]
    fn refuses_what_readers_disagree_on() {
        for bad in [
            "5 a=b\n",
            "7 a=b\n",
            "6 a=b ",
            "6 =ab\n",
            "6 abc\n",
            "0 a=b\n",
            "x a=b\n",
            "6a=b\n",
            "999999999999999999999 a=b\n",
            "11 size=-1\n",
            "10 size=x\n",
            "+6 a=b\n",
            "7 path=\n",
            "8 path=\n",
            "12 path=a\0b\n",
            "12 linkpath=\n",
            "13 linkpath=\0\n",
        ] {
            assert!(Pax::parse(bad.as_bytes()).is_err(), "{bad:?}");
        }
    }
}
