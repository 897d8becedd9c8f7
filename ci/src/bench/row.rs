//! The table: one row for each goal.

use serde_json::Value;

use super::usage::{Runs, Usage};

/// What treelay may use at most, apart from entries: 150 MiB.
const MEMORY: u64 = 150 << 20;

/// What it may use for each entry on top, in bytes.
const MEMORY_PER_ENTRY: u64 = 250;

/// One line of the table.
pub struct Row {
    work: String,
    treelay: String,
    rival: String,
    result: String,
    goal: String,
    met: Option<bool>,
    /// The run that the profile is told of.
    run: Option<Usage>,
}

impl Row {
    /// How many times faster than a rival treelay is at least.
    pub fn faster(work: &str, treelay: &Runs, rival: &str, theirs: &Runs, goal: f64) -> Self {
        let (ours, theirs) = (treelay.median(), theirs.median().wall);
        let times = theirs / ours.wall;
        Self {
            work: work.to_owned(),
            treelay: time(ours.wall),
            rival: format!("{rival} {}", time(theirs)),
            result: format!("{times:.1} times faster"),
            goal: format!("{goal} times faster"),
            met: Some(times >= goal),
            run: Some(ours),
        }
    }

    /// A time that treelay stays under.
    pub fn within(work: &str, treelay: &Runs, seconds: f64) -> Self {
        let run = treelay.median();
        Self {
            work: work.to_owned(),
            treelay: time(run.wall),
            rival: String::new(),
            result: time(run.wall),
            goal: format!("under {}", time(seconds)),
            met: Some(run.wall < seconds),
            run: Some(run),
        }
    }

    /// What has no goal of its own.
    pub fn told(work: &str, treelay: &Runs) -> Self {
        let run = treelay.median();
        Self {
            work: work.to_owned(),
            treelay: time(run.wall),
            rival: String::new(),
            result: String::new(),
            goal: String::new(),
            met: None,
            run: Some(run),
        }
    }

    /// A number that is at most so many times another one: `ours` and `other` say which.
    pub fn at_most(
        work: &str,
        (ours, value): (&str, f64),
        (other, against): (&str, f64),
        goal: f64,
    ) -> Self {
        let times = value / against;
        Self {
            work: work.to_owned(),
            treelay: ours.to_owned(),
            rival: other.to_owned(),
            result: format!("{times:.3} times"),
            goal: format!("at most {goal} times"),
            met: Some(times <= goal),
            run: None,
        }
    }

    /// The peak of memory of a run over so many entries.
    pub fn memory(work: &str, peak: u64, entries: u64) -> Self {
        let most = MEMORY + MEMORY_PER_ENTRY * entries;
        Self {
            work: format!("peak memory: {work}"),
            treelay: mebibytes(peak),
            rival: String::new(),
            result: mebibytes(peak),
            goal: format!("at most {}", mebibytes(most)),
            met: Some(peak <= most),
            run: None,
        }
    }

    /// The row with the run that the profile is told of.
    pub fn of(mut self, run: Usage) -> Self {
        self.run = Some(run);
        self
    }

    /// Whether the goal was met; true where there is none.
    pub fn is_met(&self) -> bool {
        self.met.unwrap_or(true)
    }

    fn cells(&self) -> [&str; 6] {
        let met = match self.met {
            Some(true) => "yes",
            Some(false) => "**no**",
            None => "",
        };
        [&self.work, &self.treelay, &self.rival, &self.result, &self.goal, met]
    }
}

/// The rows as a table that is readable in a terminal and as Markdown.
pub fn table(rows: &[Row]) -> String {
    const HEAD: [&str; 6] = ["work", "treelay", "rival", "result", "goal", "met"];
    let mut lines = vec![HEAD];
    lines.extend(rows.iter().map(Row::cells));
    let widths: [usize; 6] = std::array::from_fn(|column| {
        lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0)
    });
    let mut text = String::new();
    for (number, line) in lines.iter().enumerate() {
        for (cell, width) in line.iter().zip(widths) {
            text.push_str(&format!("| {cell:<width$} "));
        }
        text.push_str("|\n");
        if number == 0 {
            for width in widths {
                text.push_str(&format!("|{}", "-".repeat(width + 2)));
            }
            text.push_str("|\n");
        }
    }
    text
}

/// Where the time of each row's median run went.
pub fn profile(rows: &[Row]) -> String {
    let mut text = String::new();
    for (row, run) in rows.iter().filter_map(|row| row.run.as_ref().map(|run| (row, run))) {
        let busy = (run.user + run.system) / run.wall;
        text.push_str(&format!(
            "{}\n  {} of wall clock, {} user and {} system CPU: {busy:.2} processors busy; {}\n",
            row.work,
            time(run.wall),
            time(run.user),
            time(run.system),
            mebibytes(run.peak),
        ));
        let said: Value = serde_json::from_str(&run.stdout).unwrap_or_default();
        for phase in said["phases"].as_array().into_iter().flatten() {
            let seconds = phase["seconds"].as_f64().unwrap_or(0.0);
            let name = phase["name"].as_str().unwrap_or("?");
            text.push_str(&format!("  {name:<10} {:>9}\n", time(seconds)));
        }
    }
    text
}

/// Seconds as people read them.
pub fn time(seconds: f64) -> String {
    match seconds {
        s if s < 0.010 => format!("{:.1} ms", s * 1e3),
        s if s < 1.0 => format!("{:.0} ms", s * 1e3),
        s if s < 10.0 => format!("{s:.2} s"),
        s => format!("{s:.1} s"),
    }
}

/// Bytes as people read them.
pub fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

/// A number with its thousands apart.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::bench::usage::one_run as runs;

    #[test]
    fn goals_are_judged_at_their_limit() {
        assert!(Row::faster("x", &runs(1.0), "umoci", &runs(3.0), 3.0).is_met());
        assert!(!Row::faster("x", &runs(1.0), "umoci", &runs(2.99), 3.0).is_met());
        assert!(Row::within("x", &runs(0.029), 0.03).is_met());
        assert!(!Row::within("x", &runs(0.03), 0.03).is_met());
        assert!(Row::at_most("x", ("", 1.03), ("", 1.0), 1.03).is_met());
        assert!(!Row::at_most("x", ("", 1.04), ("", 1.0), 1.03).is_met());
        assert!(Row::memory("x", (150 << 20) + 250, 1).is_met());
        assert!(!Row::memory("x", (150 << 20) + 251, 1).is_met());
    }

    #[test]
    fn the_table_is_markdown() {
        let rows = [Row::within("nothing changed", &runs(0.2), 0.1)];
        assert_eq!(
            table(&rows),
            "| work            | treelay | rival | result | goal         | met    |\n\
             |-----------------|---------|-------|--------|--------------|--------|\n\
             | nothing changed | 200 ms  |       | 200 ms | under 100 ms | **no** |\n"
        );
    }

    #[test]
    fn numbers_are_readable() {
        assert_eq!(
            [0.0042, 0.0299, 5.126, 27.0].map(time),
            ["4.2 ms", "30 ms", "5.13 s", "27.0 s"]
        );
        assert_eq!([7, 999, 1000, 1_000_000].map(grouped), ["7", "999", "1,000", "1,000,000"]);
    }
}
