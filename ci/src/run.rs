//! Runs programs: quiet while all is well, and exact about what failed.

use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// How often something that downloads is tried, with a growing pause between.
const TRIES: u32 = 4;

/// The last lines of a failed program's output that an error shows.
const TAIL: usize = 25;

/// The command as a person could type it.
pub fn line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(quote).collect::<Vec<_>>().join(" ")
}

fn quote(word: &OsStr) -> String {
    let word = word.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,{}$".contains(c);
    if !word.is_empty() && word.chars().all(plain) && !word.contains('$') {
        word.into_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// The cargo that started this.
pub fn cargo() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// Runs to the end and returns standard output; a failure shows the command and its last words.
pub fn capture(command: &mut Command) -> Result<String> {
    let shown = line(command);
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("starting {}", command.get_program().to_string_lossy()))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let mut said = String::from_utf8_lossy(&output.stdout).into_owned();
    said.push_str(&String::from_utf8_lossy(&output.stderr));
    let lines: Vec<&str> = said.lines().filter(|line| !line.trim().is_empty()).collect();
    let tail = lines[lines.len().saturating_sub(TAIL)..].join("\n    ");
    bail!("{shown}\n    {tail}\n    ({})", output.status)
}

/// Runs with the terminal's own output.
pub fn show(command: &mut Command) -> Result<()> {
    let shown = line(command);
    let status = command
        .status()
        .with_context(|| format!("starting {}", command.get_program().to_string_lossy()))?;
    if !status.success() {
        bail!("{shown} ({status})");
    }
    Ok(())
}

/// Tries something that downloads a few times: mirrors have bad seconds.
pub fn retry<T>(what: &str, mut attempt: impl FnMut() -> Result<T>) -> Result<T> {
    let mut tried = 1;
    loop {
        match attempt() {
            Ok(value) => return Ok(value),
            Err(error) if tried < TRIES => {
                let pause = Duration::from_secs(1 << tried);
                eprintln!("    {what} failed ({}), again in {pause:?}", first_line(&error));
                sleep(pause);
                tried += 1;
            }
            Err(error) => return Err(error),
        }
    }
}

fn first_line(error: &anyhow::Error) -> String {
    error.to_string().lines().last().unwrap_or_default().trim().to_owned()
}

/// Announces a step, runs it, and says how long it took.
pub fn step<T>(what: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    eprint!("  {what} … ");
    let _ = std::io::stderr().flush();
    let start = Instant::now();
    let result = work();
    match &result {
        Ok(_) => eprintln!("{:.1} s", start.elapsed().as_secs_f64()),
        Err(_) => eprintln!("failed after {:.1} s", start.elapsed().as_secs_f64()),
    }
    result.with_context(|| what.to_owned())
}

/// Whether this process may do what root may.
pub fn is_root() -> bool {
    // The owner of /proc/self is the effective user.
    std::fs::metadata("/proc/self")
        .is_ok_and(|meta| std::os::unix::fs::MetadataExt::uid(&meta) == 0)
}

/// A command that needs root: as it is for root, through sudo for others.
pub fn privileged(program: &str) -> Command {
    if is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("sudo");
    command.arg("--").arg(program);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_show_the_command_and_its_last_words() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo before; echo it broke >&2; exit 3"]);
        let error = capture(&mut command).unwrap_err().to_string();
        assert!(error.starts_with("sh -c 'echo before; echo it broke >&2; exit 3'\n"), "{error}");
        assert!(error.contains("it broke") && error.contains("exit status: 3"), "{error}");
    }

    #[test]
    fn a_missing_program_is_named() {
        let error = capture(&mut Command::new("no-such-program-here")).unwrap_err();
        assert_eq!(error.to_string(), "starting no-such-program-here");
    }
}
