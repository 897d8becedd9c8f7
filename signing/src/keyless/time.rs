//! [`Time`] and [`Period`].

use std::fmt;

use serde::Serialize;

/// A time that somebody vouches for, in whole seconds since 1970 in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(i64);

/// From when to when something is to be trusted, both inclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Period {
    /// The first second; [`None`] where there is none.
    pub start: Option<Time>,
    /// The last second; [`None`] while it goes on.
    pub end: Option<Time>,
}

impl Time {
    /// From seconds since 1970.
    pub fn from_unix(seconds: i64) -> Self {
        Self(seconds)
    }

    /// Seconds since 1970.
    pub fn unix(self) -> i64 {
        self.0
    }

    /// Reads `2021-01-12T11:53:27Z` (RFC 3339, section 5.6), with parts of a second, which are
    /// dropped, and in UTC, as the JSON of protocol buffers has it.
    pub(super) fn parse_rfc3339(text: &str) -> Option<Self> {
        let (date, clock) = text.split_once('T')?;
        let clock = clock.strip_suffix('Z')?;
        let (clock, fraction) = match clock.split_once('.') {
            Some((clock, fraction)) => (clock, Some(fraction)),
            None => (clock, None),
        };
        if fraction.is_some_and(|digits| !is_number(digits)) {
            return None;
        }
        let digits = |part: &str, wide: usize| {
            (part.len() == wide && is_number(part)).then(|| part.parse::<i64>().ok()).flatten()
        };
        let mut date = date.split('-');
        let (year, month, day) = (date.next()?, date.next()?, date.next()?);
        let mut clock = clock.split(':');
        let (hour, minute, second) = (clock.next()?, clock.next()?, clock.next()?);
        if date.next().is_some() || clock.next().is_some() {
            return None;
        }
        Self::of(
            digits(year, 4)?,
            digits(month, 2)?,
            digits(day, 2)?,
            digits(hour, 2)?,
            digits(minute, 2)?,
            digits(second, 2)?,
        )
    }

    /// Reads a GeneralizedTime of a timestamp (RFC 3161, section 2.4.2): `YYYYMMDDhhmmss[.s…]Z`.
    pub(super) fn parse_generalized(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
        let (whole, fraction) = match text.split_once('.') {
            Some((whole, fraction)) => (whole, Some(fraction)),
            None => (text, None),
        };
        // Parts of a second do not end with 0.
        let canonical = |digits: &str| is_number(digits) && !digits.ends_with('0');
        if whole.len() != 14 || !is_number(whole) || fraction.is_some_and(|f| !canonical(f)) {
            return None;
        }
        let digits = |from: usize, to: usize| whole[from..to].parse::<i64>().ok();
        Self::of(
            digits(0, 4)?,
            digits(4, 6)?,
            digits(6, 8)?,
            digits(8, 10)?,
            digits(10, 12)?,
            digits(12, 14)?,
        )
    }

    fn of(year: i64, month: i64, day: i64, hour: i64, minute: i64, second: i64) -> Option<Self> {
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let last = match month {
            2 => 28 + i64::from(leap),
            4 | 6 | 9 | 11 => 30,
            1..=12 => 31,
            _ => return None,
        };
        let fits = (1..=last).contains(&day) && hour < 24 && minute < 60 && second < 60;
        let days = days_before(year, month) + day - 1;
        fits.then_some(Self(((days * 24 + hour) * 60 + minute) * 60 + second))
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Days from 1970-01-01 to the first of a month of the Gregorian calendar.
fn days_before(year: i64, month: i64) -> i64 {
    // Years begin in March here, so that the leap day is their last.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    year * 365 + leap_days + (153 * month + 2) / 5 - 719_468
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, second) = (self.0.div_euclid(86_400), self.0.rem_euclid(86_400));
        // The inverse of `days_before`, by search in two steps: at most a few each.
        let mut year = 1970 + days.div_euclid(366);
        while days_before(year + 1, 1) <= days {
            year += 1;
        }
        let mut month = 12;
        while days_before(year, month) > days {
            month -= 1;
        }
        let day = days - days_before(year, month) + 1;
        let (hour, minute) = (second / 3600, second / 60 % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{:02}Z", second % 60)
    }
}

impl Serialize for Time {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Period {
    /// Whether a time lies in it.
    pub fn contains(&self, time: Time) -> bool {
        self.start.is_none_or(|start| start <= time) && self.end.is_none_or(|end| time <= end)
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.start, self.end) {
            (Some(start), Some(end)) => write!(f, "from {start} to {end}"),
            (Some(start), None) => write!(f, "since {start}"),
            (None, Some(end)) => write!(f, "until {end}"),
            (None, None) => f.write_str("at all times"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_and_written() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", 0),
            ("1969-12-31T23:59:59Z", -1),
            ("2000-02-29T00:00:01Z", 951_782_401),
            ("2021-01-12T11:53:27Z", 1_610_452_407),
            ("2100-03-01T00:00:00Z", 4_107_542_400),
            ("9999-12-31T23:59:59Z", 253_402_300_799),
        ] {
            assert_eq!(Time::parse_rfc3339(text), Some(Time(seconds)), "{text}");
            assert_eq!(Time(seconds).to_string(), text);
            let compact: String = text.chars().filter(|c| !matches!(c, '-' | ':' | 'T')).collect();
            assert_eq!(Time::parse_generalized(compact.as_bytes()), Some(Time(seconds)), "{text}");
        }
        assert_eq!(Time::parse_rfc3339("2021-01-12T11:53:27.5Z"), Some(Time(1_610_452_407)));
        assert_eq!(Time::parse_generalized(b"20210112115327.5Z"), Some(Time(1_610_452_407)));
        for text in [
            "2021-02-29T00:00:00Z",
            "2021-13-01T00:00:00Z",
            "2021-01-00T00:00:00Z",
            "2021-01-01T24:00:00Z",
            "2021-01-01T00:00:00",
            "2021-01-01T00:00:00+00:00",
            "2021-01-01T00:00:00.Z",
            "2021-1-01T00:00:00Z",
            "+021-01-01T00:00:00Z",
            "2021-01-01",
            "",
        ] {
            assert_eq!(Time::parse_rfc3339(text), None, "{text}");
        }
        for text in ["20210112115327", "20210112115327.50Z", "20210112115327.Z", "2021011211532Z"] {
            assert_eq!(Time::parse_generalized(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn periods_have_both_ends() {
        let period = Period { start: Some(Time(5)), end: Some(Time(7)) };
        let inside: Vec<_> = (0..10).filter(|at| period.contains(Time(*at))).collect();
        assert_eq!(inside, [5, 6, 7]);
        assert!(Period::default().contains(Time(i64::MIN)));
        assert!(!Period { end: None, ..period }.contains(Time(4)));
    }
}
