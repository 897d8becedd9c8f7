//! Times as configs have them.

/// Seconds since 1970 of an RFC 3339 time in UTC, `2026-10-19T22:20:36Z`, fractions dropped; `None`
/// for others and for what is before.
pub(super) fn seconds(text: &str) -> Option<u64> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let mut parts = date.splitn(3, '-').map(|part| part.parse::<u64>().ok());
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    let mut parts = time.split('.').next()?.splitn(3, ':').map(|part| part.parse::<u64>().ok());
    let (hour, minute, second) = (parts.next()??, parts.next()??, parts.next()??);
    if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", days_from_civil.
    let y = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (y / 400, y % 400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days =
        era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some(days.checked_sub(719_468)? * 86_400 + hour * 3600 + minute * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::*;
    use treelay_recipes::rfc3339;

    #[test]
    fn times_are_read_as_they_are_written() {
        for time in [0, 951_782_400, 1_735_689_600, 1_792_448_436, 4_102_444_799] {
            assert_eq!(seconds(&rfc3339(time)), Some(time));
        }
        assert_eq!(seconds("2026-10-19T22:20:36.123456Z"), seconds("2026-10-19T22:20:36Z"));
        for other in ["", "0001-01-01T00:00:00Z", "2026-10-19T22:20:36+02:00", "2026-13-01T0:0:0Z"]
        {
            assert_eq!(seconds(other), None, "{other}");
        }
    }
}
