//! The machine that the numbers are of, without its name.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::run::capture;

/// What matters about a machine for these numbers.
pub struct Machine {
    processor: String,
    processors: usize,
    /// In GiB.
    memory: f64,
    kernel: String,
    file_system: String,
    /// How many processes wanted to run in the minute before.
    load: f64,
    /// The day, as `YYYY-MM-DD`.
    pub date: String,
}

impl Machine {
    /// One line.
    pub fn text(&self) -> String {
        format!(
            "{}, {} processors, {:.0} GiB of memory, Linux {}, {}",
            self.processor, self.processors, self.memory, self.kernel, self.file_system
        )
    }

    /// What to say where others use the machine now.
    pub fn busy(&self) -> Option<String> {
        (self.load > 0.5 * self.processors as f64).then(|| {
            format!(
                "the load is {:.1} before anything has run: numbers are not to be kept",
                self.load
            )
        })
    }
}

/// Describes this machine; `folder` is where the work is done.
pub fn describe(folder: &Path) -> Result<Machine> {
    let read = |path: &str| fs::read_to_string(path).with_context(|| format!("reading {path}"));
    let kib = field(&read("/proc/meminfo")?, "MemTotal").and_then(|text| {
        text.split_whitespace().next().and_then(|number| number.parse::<f64>().ok())
    });
    let processor = processor(&read("/proc/cpuinfo")?);
    let load = read("/proc/loadavg")?;
    let file_system = capture(Command::new("df").arg("--output=fstype").arg(folder))?;
    Ok(Machine {
        processor: processor.unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
        processors: std::thread::available_parallelism().map_or(1, usize::from),
        memory: kib.unwrap_or(0.0) / f64::from(1 << 20),
        kernel: read("/proc/sys/kernel/osrelease")?.trim().to_owned(),
        // Below a heading.
        file_system: file_system.lines().last().unwrap_or("?").trim().to_owned(),
        load: load.split_whitespace().next().and_then(|text| text.parse().ok()).unwrap_or(0.0),
        date: capture(Command::new("date").args(["-u", "+%F"]))?.trim().to_owned(),
    })
}

/// The processor's name, which each arch's kernel has in a line of another name.
fn processor(cpuinfo: &str) -> Option<String> {
    ["model name", "cpu"].iter().find_map(|name| field(cpuinfo, name)).map(str::to_owned)
}

fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let mut rows = text.lines().filter_map(|row| row.split_once(':'));
    rows.find(|(key, _)| key.trim() == name).map(|(_, value)| value.trim())
}

#[cfg(test)]
mod tests {
    use super::processor;

    #[test]
    fn the_processor_is_found_on_each_arch() {
        assert_eq!(processor("processor\t: 0\nmodel name\t: Fast 3\n").unwrap(), "Fast 3");
        assert_eq!(processor("processor\t: 0\ncpu\t\t: POWER9\n").unwrap(), "POWER9");
        assert_eq!(processor("processor\t: 0\nBogoMIPS\t: 50\n"), None);
    }
}
