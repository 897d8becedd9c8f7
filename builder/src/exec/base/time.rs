//! Times as configs have them.

use serde_json::Value;

use super::super::ExecError;
use super::nonsense;

/// When the image called `image` was made, by its config; `None` where that says nothing, or what is
/// before 1970, as Go writes no time at all.
///
/// # Errors
/// [`BaseError::Nonsense`](super::BaseError::Nonsense) where that is no time.
pub(super) fn created(config: &Value, image: &str) -> Result<Option<u64>, ExecError> {
    let created = match &config["created"] {
        Value::Null => return Ok(None),
        Value::String(text) if text.is_empty() => return Ok(None),
        created => created,
    };
    let seconds = created.as_str().and_then(seconds).ok_or_else(|| {
        let reason = format!("its config says that it was created {created}, which is no time");
        nonsense(image, &reason)
    })?;
    Ok(u64::try_from(seconds).ok())
}

/// Seconds since 1970 of an RFC 3339 time, fractions dropped.
fn seconds(text: &str) -> Option<i64> {
    let at = |from, to| number(text.get(from..to)?);
    let (year, month, day) = (at(0, 4)?, at(5, 7)?, at(8, 10)?);
    let (hour, minute, second) = (at(11, 13)?, at(14, 16)?, at(17, 19)?);
    let separators = [4, 7, 10, 13, 16].map(|at| text.as_bytes()[at].to_ascii_uppercase());
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    // The last second of a day may be a leap second.
    let is_time = (1..=12).contains(&month) && hour <= 23 && minute <= 59 && second <= 60;
    if separators != *b"--T::" || !is_time || !(1..=days).contains(&day) {
        return None;
    }
    let mut zone = text.get(19..)?;
    if let Some(fraction) = zone.strip_prefix('.') {
        zone = fraction.trim_start_matches(|digit: char| digit.is_ascii_digit());
        if zone.len() == fraction.len() {
            return None;
        }
    }
    // Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", days_from_civil.
    let y = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (y.div_euclid(400), y.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days =
        era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let local = (days - 719_468) * 86_400 + hour * 3600 + minute * 60 + second;
    Some(local - offset(zone)?)
}

/// Seconds that a zone is ahead of UTC.
fn offset(zone: &str) -> Option<i64> {
    let (sign, zone) = match zone.split_at_checked(1)? {
        ("Z" | "z", "") => return Some(0),
        ("+", zone) => (1, zone),
        ("-", zone) => (-1, zone),
        _ => return None,
    };
    let (hours, minutes) = zone.split_once(':').filter(|_| zone.len() == 5)?;
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    (hours <= 23 && minutes <= 59).then_some(sign * (hours * 3600 + minutes * 60))
}

fn number(text: &str) -> Option<i64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use treelay_recipes::rfc3339;

    #[test]
    fn times_are_read_as_they_are_written() {
        for time in [0, 951_782_400, 1_735_689_600, 1_792_448_436, 4_102_444_799, 253_402_300_799] {
            assert_eq!(seconds(&rfc3339(time)), Some(time as i64));
        }
        let same = seconds("2026-10-19T22:20:36Z");
        for text in [
            "2026-10-19T22:20:36.123456Z",
            "2026-10-19t22:20:36z",
            "2026-10-19T23:20:36+01:00",
            "2026-10-20T04:05:36.5+05:45",
            "2026-10-19T17:20:36-05:00",
        ] {
            assert_eq!(seconds(text), same, "{text}");
        }
        assert_eq!(seconds("1970-01-01T00:30:00+01:00"), Some(-1800));
        assert_eq!(seconds("0001-01-01T00:00:00Z"), Some(-62_135_596_800));
        assert_eq!(seconds("0000-01-01T00:00:00Z"), Some(-62_167_219_200));
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for other in [
            "yesterday",
            "2026-10-19",
            "2026-10-19T22:20:36",
            "2026-10-19 22:20:36Z",
            "2026-13-01T00:00:00Z",
            "2026-02-29T00:00:00Z",
            "2026-10-00T00:00:00Z",
            "2026-10-19T24:00:00Z",
            "2026-10-19T22:60:00Z",
            "2026-10-19T22:20:61Z",
            "2026-10-19T22:20:36.Z",
            "2026-10-19T22:20:36+0100",
            "2026-10-19T22:20:36+24:00",
            "2026-10-19T22:20:36Z ",
            "2026-10-19T18446744073709551615:20:36Z",
            "+026-10-19T22:20:36Z",
            "2026-10-1\u{fc}T22:20:36Z",
        ] {
            assert_eq!(seconds(other), None, "{other}");
            let error = created(&json!({ "created": other }), "oci:x").unwrap_err();
            let cause = std::error::Error::source(&error).unwrap().to_string();
            assert!(cause.starts_with("oci:x: its config says"), "{cause}");
        }
        assert!(created(&json!({ "created": 7 }), "oci:x").is_err());
        for none in [json!({}), json!({"created": ""}), json!({"created": "0001-01-01T00:00:00Z"})]
        {
            assert_eq!(created(&none, "oci:x").unwrap(), None, "{none}");
        }
    }
}
