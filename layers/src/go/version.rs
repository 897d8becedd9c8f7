//! The VERSION file of a Go distribution.

/// What VERSION says: `go1.27.3`, and since Go 1.21 a line `time 2026-10-19T22:20:36Z`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GoVersion {
    /// Without `go` in front: `1.27.3`, `1.28rc1`.
    pub version: String,
    /// When it was released, in seconds since 1970; Go before 1.21 does not say.
    pub released: Option<u64>,
}

impl GoVersion {
    /// Whether it is older than the first release of `major.minor`; what is no such number is not.
    pub fn is_before(&self, major: u32, minor: u32) -> bool {
        let number = |text: Option<&str>| {
            let digits = text?.split(|c: char| !c.is_ascii_digit()).next()?;
            digits.parse::<u32>().ok()
        };
        let mut parts = self.version.split('.');
        match (number(parts.next()), number(parts.next())) {
            (Some(own), Some(own_minor)) => (own, own_minor) < (major, minor),
            _ => false,
        }
    }

    /// Reads the text of a VERSION file.
    ///
    /// # Errors
    /// What is wrong with it, as the rest of a sentence about the file.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut lines = text.lines();
        let first = lines.next().unwrap_or_default();
        let version = first
            .strip_prefix("go")
            .filter(|version| version.starts_with(|c: char| c.is_ascii_digit()))
            .filter(|version| version.bytes().all(|b| b.is_ascii_graphic()))
            .ok_or_else(|| format!("names no release of Go: {first:?}"))?;
        let time = lines.find_map(|line| line.strip_prefix("time "));
        let released = match time {
            Some(time) => Some(seconds(time).ok_or_else(|| format!("has a wrong time: {time:?}"))?),
            None => None,
        };
        Ok(Self { version: version.to_owned(), released })
    }
}

/// Seconds since 1970 of a time as Go writes it: RFC 3339, in UTC, without fractions.
fn seconds(time: &str) -> Option<u64> {
    let bytes = time.as_bytes();
    let shape = b"dddd-dd-ddTdd:dd:ddZ";
    let fits = bytes.len() == shape.len()
        && bytes.iter().zip(shape).all(|(byte, is)| match is {
            b'd' => byte.is_ascii_digit(),
            _ => byte == is,
        });
    if !fits {
        return None;
    }
    let number = |from: usize, to: usize| time[from..to].parse::<u64>().ok();
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let lengths = [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let length = *lengths.get(usize::try_from(month).ok()?.checked_sub(1)?)?;
    if year < 1970 || !(1..=length).contains(&day) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    // Leap days before this year, less those before 1970.
    let before = year - 1;
    let leap_days = before / 4 - before / 100 + before / 400 - 477;
    let days = (year - 1970) * 365
        + leap_days
        + lengths[..usize::try_from(month).ok()? - 1].iter().sum::<u64>()
        + day
        - 1;
    Some(((days * 24 + hour) * 60 + minute) * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_have_an_order() {
        let before = |version: &str| {
            GoVersion { version: version.to_owned(), released: None }.is_before(1, 23)
        };
        for (version, expected) in
            [("1.22.10", true), ("1.9", true), ("1.23rc1", false), ("1.27.3", false), ("2", false)]
        {
            assert_eq!(before(version), expected, "{version}");
        }
    }

    #[test]
    fn reads_what_go_writes() {
        let read = GoVersion::parse("go1.27.3\ntime 2026-10-19T22:20:36Z\n").unwrap();
        assert_eq!(read, GoVersion { version: "1.27.3".into(), released: Some(1_792_448_436) });
        let old = GoVersion::parse("go1.20.14").unwrap();
        assert_eq!(old, GoVersion { version: "1.20.14".into(), released: None });
        assert_eq!(GoVersion::parse("go1.28rc1\n").unwrap().version, "1.28rc1");
    }

    #[test]
    fn refuses_the_rest() {
        for text in ["", "1.27.3", "go", "gopher", "devel go1.28-abcdef", "go1.2 7", "go1\ntime x"]
        {
            assert!(GoVersion::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn counts_seconds() {
        for (time, expected) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("1972-03-01T00:00:00Z", Some(68_256_000)),
            ("2000-02-29T12:34:56Z", Some(951_827_696)),
            ("2000-12-31T23:59:59Z", Some(978_307_199)),
            ("2024-08-06T20:40:00Z", Some(1_722_976_800)),
            ("2100-03-01T00:00:00Z", Some(4_107_542_400)),
            ("2023-02-29T00:00:00Z", None),
            ("2024-13-01T00:00:00Z", None),
            ("2024-00-01T00:00:00Z", None),
            ("2024-01-00T00:00:00Z", None),
            ("2024-01-01T24:00:00Z", None),
            ("1969-12-31T23:59:59Z", None),
            ("2024-01-01T00:00:00+00:00", None),
            ("2024-01-01 00:00:00Z", None),
            ("2024-01-01T00:00:00.5Z", None),
        ] {
            assert_eq!(seconds(time), expected, "{time}");
        }
    }
}
