//! [`Translation`]: a pattern of PCRE2 as one of the regex crate.

/// `$` of PCRE, for the question whether there is a match at all: at the end, or before a newline
/// there.
pub(super) const END: &str = r"\n?\z";

/// A pattern for the regex crate.
#[derive(Debug)]
pub(super) struct Translation {
    /// Its text, or what in the pattern cannot be translated.
    pub(super) regex: Result<String, String>,
    /// What every match that begins where the pattern does begins with, as far as that is plain.
    pub(super) prefix: Vec<u8>,
}

impl Translation {
    /// Of a pattern in ASCII.
    pub(super) fn of(pattern: &str) -> Self {
        let mut reader = Reader { rest: pattern.as_bytes(), ..Reader::default() };
        let regex = reader.pattern();
        // After an error, alternatives may be in what was not read.
        let plain = match regex {
            Ok(()) => !reader.alternatives,
            Err(_) => !pattern.contains('|'),
        };
        let prefix = if plain { reader.prefix } else { Vec::new() };
        Self { regex: regex.map(|()| reader.out), prefix }
    }
}

#[derive(Default)]
struct Reader<'a> {
    rest: &'a [u8],
    out: String,
    prefix: Vec<u8>,
    /// Something that is not plain was read, so nothing more belongs to the prefix.
    prefix_ends: bool,
    /// On the outermost level.
    alternatives: bool,
    groups: usize,
}

/// What was read last, for what may follow it.
#[derive(Clone, Copy, PartialEq)]
enum Last {
    /// Nothing that could be repeated.
    None,
    /// One plain byte, which is the last one of the prefix if there was no end of it before.
    Plain,
    Atom,
    Repeated,
}

type Read<T> = Result<T, String>;

impl Reader<'_> {
    fn next(&mut self) -> Option<u8> {
        let (&first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(first)
    }

    fn take(&mut self, prefix: &[u8]) -> bool {
        let rest = self.rest.strip_prefix(prefix);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn pattern(&mut self) -> Read<()> {
        let mut last = Last::None;
        while let Some(byte) = self.next() {
            last = match byte {
                b'*' | b'+' | b'?' => self.repeat(last, byte == b'+', &[byte])?,
                b'{' => match self.counts() {
                    Some(counts) => self.repeat(last, false, counts.as_bytes())?,
                    None => self.plain(byte),
                },
                b'|' => {
                    self.alternatives |= self.groups == 0;
                    self.push("|", Last::None)
                }
                b'(' => {
                    self.groups += 1;
                    if self.rest.starts_with(b"*") {
                        return Err(unknown("(*"));
                    }
                    let capture = !self.take(b"?:");
                    if capture && self.rest.starts_with(b"?") {
                        return Err(unknown("(?"));
                    }
                    self.push("(?:", Last::None)
                }
                b')' => {
                    let open = self.groups.checked_sub(1);
                    self.groups = open.ok_or("has a ) without a (")?;
                    self.push(")", Last::Atom)
                }
                b'.' => self.push(".", Last::Atom),
                b'^' => self.push("^", Last::None),
                b'$' => self.push(&format!("(?:{END})"), Last::None),
                b'[' => self.class()?,
                b'\\' => self.escape()?,
                _ => self.plain(byte),
            };
        }
        if self.groups > 0 {
            return Err("has a ( without a )".to_owned());
        }
        Ok(())
    }

    fn push(&mut self, text: &str, last: Last) -> Last {
        self.prefix_ends = true;
        self.out.push_str(text);
        last
    }

    fn plain(&mut self, byte: u8) -> Last {
        if !self.prefix_ends {
            self.prefix.push(byte);
        }
        self.out.push_str(&quoted(byte));
        Last::Plain
    }

    /// After a quantifier; `once` if what is repeated is there at least once.
    fn repeat(&mut self, last: Last, once: bool, quantifier: &[u8]) -> Read<Last> {
        match last {
            Last::None => return Err("repeats nothing".to_owned()),
            Last::Repeated => return Err(unknown("a quantifier after a quantifier")),
            Last::Plain if !self.prefix_ends && !once => drop(self.prefix.pop()),
            Last::Plain | Last::Atom => {}
        }
        if self.take(b"+") {
            return Err(unknown("a possessive quantifier"));
        }
        // Lazy: as far as it is about whether there is a match, the same.
        self.take(b"?");
        Ok(self.push(&String::from_utf8_lossy(quantifier), Last::Repeated))
    }

    /// `n}`, `n,}`, `n,m}` and `,m}`, which PCRE2 has from 10.43 on; else `{` stands for itself.
    fn counts(&mut self) -> Option<String> {
        let end = self.rest.iter().position(|&byte| byte == b'}')?;
        let text = std::str::from_utf8(&self.rest[..end]).ok()?;
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let counts = match text.split_once(',') {
            None if !text.is_empty() && digits(text) => text.to_owned(),
            Some((least, most)) if digits(least) && digits(most) && text != "," => {
                format!("{},{most}", if least.is_empty() { "0" } else { least })
            }
            _ => return None,
        };
        self.rest = &self.rest[end + 1..];
        Some(format!("{{{counts}}}"))
    }

    fn escape(&mut self) -> Read<Last> {
        let byte = self.next().ok_or("ends with a backslash")?;
        if let Some(set) = set(byte) {
            return Ok(self.push(set, Last::Atom));
        }
        match plain_escape(byte) {
            Some(byte) => Ok(self.plain(byte)),
            None => Err(unknown(&format!("\\{}", char::from(byte)))),
        }
    }

    fn class(&mut self) -> Read<Last> {
        let mut out = String::from("[");
        if self.take(b"^") {
            out.push('^');
        }
        let mut first = true;
        // What a range may begin with.
        let mut begin: Option<u8> = None;
        loop {
            let byte = self.next().ok_or("has a [ without a ]")?;
            match byte {
                b']' if !first => break,
                b'-' if begin.is_some() && !self.rest.starts_with(b"]") => {
                    let (from, to) = (begin.take(), self.range_end()?);
                    if from > Some(to) {
                        return Err("has a range that ends before it begins".to_owned());
                    }
                    out.push('-');
                    out.push_str(&quoted(to));
                }
                b'[' if self.rest.starts_with(b":") && self.named(&mut out)? => begin = None,
                b'[' if matches!(self.rest, [b'.' | b'=', ..]) => {
                    return Err(unknown("a collating element"));
                }
                b'\\' => {
                    let byte = self.next().ok_or("has a [ without a ]")?;
                    begin = plain_escape(byte);
                    match (set(byte), begin) {
                        (Some(set), _) => out.push_str(set),
                        (None, Some(byte)) => out.push_str(&quoted(byte)),
                        (None, None) => return Err(unknown(&format!("\\{}", char::from(byte)))),
                    }
                }
                _ => {
                    begin = Some(byte);
                    out.push_str(&quoted(byte));
                }
            }
            first = false;
        }
        out.push(']');
        Ok(self.push(&out, Last::Atom))
    }

    /// The end of a range of characters, after its dash.
    fn range_end(&mut self) -> Read<u8> {
        let byte = match self.next() {
            Some(b'[') if matches!(self.rest, [b':' | b'.' | b'=', ..]) => None,
            Some(b'\\') => self.next().and_then(plain_escape),
            other => other,
        };
        byte.ok_or_else(|| unknown("a range to something else than a character"))
    }

    /// `[:alpha:]` and its like, after the first bracket; `false` if it is none.
    fn named(&mut self, out: &mut String) -> Read<bool> {
        const NAMES: [&str; 14] = [
            "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print",
            "punct", "space", "upper", "word", "xdigit",
        ];
        let Some(end) = self.rest[1..].windows(2).position(|two| two == b":]") else {
            return Ok(false);
        };
        let name = String::from_utf8_lossy(&self.rest[1..=end]).into_owned();
        if !NAMES.contains(&name.trim_start_matches('^')) {
            return Err(unknown(&format!("[:{name}:]")));
        }
        self.rest = &self.rest[end + 3..];
        out.push_str(&format!("[:{name}:]"));
        Ok(true)
    }
}

fn unknown(what: &str) -> String {
    format!("has {what}, which treelay does not know")
}

/// The byte that stands for itself, for inside and outside of brackets.
fn quoted(byte: u8) -> String {
    if byte.is_ascii_alphanumeric() || byte == b'/' {
        char::from(byte).to_string()
    } else {
        format!(r"\x{byte:02X}")
    }
}

/// Letters that stand for a set of characters after a backslash.
const fn set(byte: u8) -> Option<&'static str> {
    match byte {
        b'd' => Some(r"\d"),
        b'D' => Some(r"\D"),
        b's' => Some(r"\s"),
        b'S' => Some(r"\S"),
        b'w' => Some(r"\w"),
        b'W' => Some(r"\W"),
        _ => None,
    }
}

/// What an escape of one character stands for.
const fn plain_escape(byte: u8) -> Option<u8> {
    match byte {
        b't' => Some(b'\t'),
        b'n' => Some(b'\n'),
        b'r' => Some(b'\r'),
        b'f' => Some(0x0C),
        b'e' => Some(0x1B),
        b'a' => Some(0x07),
        byte if byte.is_ascii_alphanumeric() => None,
        byte => Some(byte),
    }
}
