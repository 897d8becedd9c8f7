//! Python versions, as far as finding an equal or a near one needs it (PEP 440).

/// A version in its normal form: ordered as PEP 440 orders, equal where it calls them equal.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    epoch: u64,
    /// Without trailing zeros: `1.27` and `1.27.0` are equal.
    release: Vec<u64>,
    /// What sorts by suffix: development, then pre-releases, the release, post-releases.
    suffix: (Pre, Post, Dev),
    local: Option<Vec<LocalPart>>,
}

/// `a` (0), `b` (1), `rc` (2) with a number. A development release of no pre-release comes before
/// all of them, a release after.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Pre {
    OnlyDev,
    Of(u8, u64),
    Release,
}

type Post = Option<u64>;

/// A development release comes before what it leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Dev {
    Dev(u64),
    Not,
}

/// Numbers sort after texts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum LocalPart {
    Text(String),
    Number(u64),
}

impl Version {
    /// Reads a version in any spelling that PEP 440 allows.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim().to_ascii_lowercase();
        let text = text.strip_prefix('v').unwrap_or(&text);
        let (public, local) = match text.split_once('+') {
            Some((public, local)) => (public, Some(parse_local(local)?)),
            None => (text, None),
        };
        let (epoch, rest) = match public.split_once('!') {
            Some((epoch, rest)) => (epoch.parse().ok()?, rest),
            None => (0, public),
        };
        let mut scan = Scan(rest);
        let mut release = vec![scan.number()?];
        while let Some(number) = scan.after_dot() {
            release.push(number);
        }
        while release.len() > 1 && release.last() == Some(&0) {
            release.pop();
        }
        let pre = scan.suffix(&[
            ("alpha", 0),
            ("beta", 1),
            ("preview", 2),
            ("pre", 2),
            ("rc", 2),
            ("a", 0),
            ("b", 1),
            ("c", 2),
        ]);
        let post = scan.implicit_post().or_else(|| {
            scan.suffix(&[("post", 0), ("rev", 0), ("r", 0)]).map(|(_, number)| number)
        });
        let dev = scan.suffix(&[("dev", 0)]).map(|(_, number)| number);
        if !scan.0.is_empty() {
            return None;
        }
        let pre = match (pre, post, dev) {
            (Some((kind, number)), ..) => Pre::Of(kind, number),
            (None, None, Some(_)) => Pre::OnlyDev,
            _ => Pre::Release,
        };
        let dev = dev.map_or(Dev::Not, Dev::Dev);
        Some(Self { epoch, release, suffix: (pre, post, dev), local })
    }

    /// How near another version is: the length of the common release, then the distance in the
    /// first number that differs. Smaller is nearer.
    pub fn distance(&self, other: &Self) -> impl Ord + use<> {
        let at = |version: &Self, i: usize| version.release.get(i).copied().unwrap_or_default();
        let longest = self.release.len().max(other.release.len());
        let differs = (0..longest).find(|&i| at(self, i) != at(other, i));
        let by = differs.map(|i| at(self, i).abs_diff(at(other, i)));
        (
            self.epoch.abs_diff(other.epoch),
            std::cmp::Reverse(differs.unwrap_or(usize::MAX)),
            by.unwrap_or_default(),
        )
    }
}

/// The rest of the text.
struct Scan<'a>(&'a str);

impl Scan<'_> {
    fn number(&mut self) -> Option<u64> {
        let end = self.0.find(|c: char| !c.is_ascii_digit()).unwrap_or(self.0.len());
        let number = self.0[..end].parse().ok()?;
        self.0 = &self.0[end..];
        Some(number)
    }

    fn after_dot(&mut self) -> Option<u64> {
        let mut ahead = Scan(self.0.strip_prefix('.')?);
        let number = ahead.number()?;
        self.0 = ahead.0;
        Some(number)
    }

    /// `[sep] name [sep] [number]`, with `.`, `-` or `_` as separators; no number means 0.
    fn suffix(&mut self, names: &[(&str, u8)]) -> Option<(u8, u64)> {
        const SEPARATORS: [char; 3] = ['.', '-', '_'];
        let rest = self.0.strip_prefix(SEPARATORS).unwrap_or(self.0);
        let (name, kind) = names.iter().find(|(name, _)| rest.starts_with(name))?;
        let rest = &rest[name.len()..];
        let mut ahead = Scan(rest.strip_prefix(SEPARATORS).unwrap_or(rest));
        match ahead.number() {
            Some(number) => {
                self.0 = ahead.0;
                Some((*kind, number))
            }
            None => {
                self.0 = rest;
                Some((*kind, 0))
            }
        }
    }

    /// `-1`, an old way to write `.post1`.
    fn implicit_post(&mut self) -> Option<u64> {
        let mut ahead = Scan(self.0.strip_prefix('-')?);
        let number = ahead.number()?;
        self.0 = ahead.0;
        Some(number)
    }
}

fn parse_local(text: &str) -> Option<Vec<LocalPart>> {
    let part = |part: &str| {
        let ok = !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric());
        ok.then(|| match part.parse() {
            Ok(number) => LocalPart::Number(number),
            Err(_) => LocalPart::Text(part.to_owned()),
        })
    };
    text.split(['.', '-', '_']).map(part).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v(text: &str) -> Version {
        Version::parse(text).unwrap_or_else(|| panic!("{text}"))
    }

    #[test]
    fn equal_spellings() {
        for (a, b) in [
            ("1.27", "1.27.0"),
            ("1.27rc1", "1.27.0-RC.1"),
            ("1.27rc1", "1.27c1"),
            ("v1.0", "1"),
            ("1.0a", "1.0alpha0"),
            ("1.0-1", "1.0.post1"),
            ("1.0+ubuntu-1", "1.0+ubuntu.1"),
        ] {
            assert_eq!(v(a), v(b), "{a} {b}");
        }
    }

    #[test]
    fn the_order_of_pep_440() {
        let sorted = [
            "1.dev0",
            "1.0.dev456",
            "1.0a1",
            "1.0a2.dev456",
            "1.0a12.dev456",
            "1.0a12",
            "1.0b1.dev456",
            "1.0b2",
            "1.0b2.post345.dev456",
            "1.0b2.post345",
            "1.0rc1.dev456",
            "1.0rc1",
            "1.0",
            "1.0+abc.5",
            "1.0+abc.7",
            "1.0+5",
            "1.0.post456.dev34",
            "1.0.post456",
            "1.0.15",
            "1.1.dev1",
            "1!0.1",
        ];
        for pair in sorted.windows(2) {
            assert!(v(pair[0]) < v(pair[1]), "{} {}", pair[0], pair[1]);
        }
    }

    #[test]
    fn what_is_no_version() {
        for text in ["", "stable", "1.x", "1..2", "1.0+", "1.0+a..b", "99999999999999999999", "1 2"]
        {
            assert_eq!(Version::parse(text), None, "{text}");
        }
    }

    #[test]
    fn nearness() {
        let mut all = ["1.21.0", "1.26.9", "1.27.1", "1.27.2", "1.28", "2.0"];
        all.sort_by_key(|text| v(text).distance(&v("1.27.3")));
        assert_eq!(all, ["1.27.2", "1.27.1", "1.26.9", "1.28", "1.21.0", "2.0"]);
    }
}
