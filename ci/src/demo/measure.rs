//! Runs a program and notes seconds and peak memory.

use std::fs;
use std::io::Read;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::run::line;

/// What a run cost and said.
pub struct Measured {
    /// Standard output; standard error went to the terminal.
    pub stdout: String,
    /// Wall-clock seconds.
    pub seconds: f64,
    /// Peak resident memory of the process itself, in bytes.
    pub peak: u64,
}

/// Runs the command to its end.
pub fn measure(command: &mut Command) -> Result<Measured> {
    let start = Instant::now();
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("starting {}", line(command)))?;
    let (done, peak) = (AtomicBool::new(false), AtomicU64::new(0));
    let status_file = format!("/proc/{}/status", child.id());
    let (stdout, status) = thread::scope(|scope| {
        // The kernel keeps the high-water mark; it only has to be read before the process ends.
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                if let Some(bytes) = high_water(&status_file) {
                    peak.fetch_max(bytes, Ordering::Relaxed);
                }
                thread::sleep(Duration::from_millis(10));
            }
        });
        let mut stdout = String::new();
        let read = child.stdout.take().map_or(Ok(0), |mut pipe| pipe.read_to_string(&mut stdout));
        let status = child.wait();
        done.store(true, Ordering::Relaxed);
        (read.map(|_| stdout), status)
    });
    let status = status.with_context(|| format!("waiting for {}", line(command)))?;
    if !status.success() {
        bail!("{} ({status})", line(command));
    }
    Ok(Measured {
        stdout: stdout.with_context(|| format!("reading from {}", line(command)))?,
        seconds: start.elapsed().as_secs_f64(),
        peak: peak.into_inner(),
    })
}

fn high_water(status_file: &str) -> Option<u64> {
    let text = fs::read_to_string(status_file).ok()?;
    let row = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(row.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()? * 1024)
}
