//! What texts of a recipe may say of a git commit, and how times are written.

/// A commit that an input of the kind `git` is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// In hex, whole.
    pub id: String,
    /// The committer's time, in seconds since 1970.
    pub time: u64,
    /// The tag by which it was asked for, without `refs/tags/`, where it was by one.
    pub tag: Option<String>,
}

impl Commit {
    /// What stands for a commit that nobody has looked for yet.
    pub(crate) fn unknown(id: Option<&str>) -> Self {
        Self { id: id.map_or("0".repeat(40), str::to_owned), time: 0, tag: None }
    }

    /// The tag, else what Go calls a commit without one (go.dev/ref/mod, "Pseudo-versions").
    pub fn version(&self) -> String {
        self.tag.clone().unwrap_or_else(|| self.pseudo_version())
    }

    /// `v0.0.0-20261120153012-0123456789ab`
    fn pseudo_version(&self) -> String {
        let time: String = rfc3339(self.time).chars().filter(char::is_ascii_digit).collect();
        format!("v0.0.0-{time}-{}", self.short())
    }

    /// The same again from what a lock has of it: a version that is none of Go's for the commit is a
    /// tag.
    pub(crate) fn locked(id: &str, time: u64, version: Option<&str>) -> Self {
        let mut commit = Self { id: id.to_owned(), time, tag: None };
        let pseudo = commit.pseudo_version();
        commit.tag = version.filter(|version| *version != pseudo).map(str::to_owned);
        commit
    }

    /// As much of it as Go shows.
    fn short(&self) -> &str {
        self.id.get(..12).unwrap_or(&self.id)
    }

    /// What the template names of the input stand for, by what follows its name.
    pub(crate) fn facts(&self) -> [(&'static str, String); 4] {
        [
            ("version", self.version()),
            ("commit", self.id.clone()),
            ("commit.short", self.short().to_owned()),
            ("time", rfc3339(self.time)),
        ]
    }
}

/// Seconds since 1970 as RFC 3339 has them, in UTC.
pub fn rfc3339(epoch: u64) -> String {
    let (days, seconds) = (epoch / 86_400, epoch % 86_400);
    // Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", civil_from_days, for days
    // since 1970 that are not negative.
    let z = days + 719_468;
    let era = z / 146_097;
    let day_of_era = z % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_rfc_3339() {
        for (epoch, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_709_251_200, "2024-03-01T00:00:00Z"),
            (1_792_448_436, "2026-10-19T22:20:36Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(rfc3339(epoch), text);
        }
    }

    #[test]
    fn a_commit_is_called_as_go_calls_it() {
        let id = "0123456789abcdef0123456789abcdef01234567";
        let plain = Commit { id: id.to_owned(), time: 1_792_448_436, tag: None };
        assert_eq!(plain.version(), "v0.0.0-20261019222036-0123456789ab");
        let tagged = Commit { tag: Some("v1.2.0".to_owned()), ..plain.clone() };
        for commit in [plain, tagged] {
            let version = commit.version();
            assert_eq!(Commit::locked(id, commit.time, Some(&version)), commit);
        }
    }
}
