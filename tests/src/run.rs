//! A program to run, and what it said.

use std::ffi::{OsStr, OsString};
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// After this a program counts as hung and is killed: longer than any honest run of the tests.
const LIMIT: Duration = Duration::from_secs(600);

/// How long the pipes may stay open after the program has ended.
const LEFT_BEHIND: Duration = Duration::from_secs(20);

/// A command in a sealed environment.
#[derive(Debug)]
pub struct Run {
    command: Command,
    stdin: Vec<u8>,
}

impl Run {
    /// Wraps a prepared command.
    pub fn new(command: Command) -> Self {
        Self { command, stdin: Vec::new() }
    }

    /// Adds one argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<I: IntoIterator<Item: AsRef<OsStr>>>(mut self, args: I) -> Self {
        self.command.args(args);
        self
    }

    /// Sets one variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Removes one variable.
    #[must_use]
    pub fn without_env(mut self, name: &str) -> Self {
        self.command.env_remove(name);
        self
    }

    /// Runs in `folder`, and not in the environment's own.
    #[must_use]
    pub fn current_dir(mut self, folder: impl AsRef<Path>) -> Self {
        self.command.current_dir(folder);
        self
    }

    /// What the program reads from standard input; nothing otherwise.
    #[must_use]
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = bytes.into();
        self
    }

    /// Runs the program through `sh`, which first runs `setup` (`umask 077`, `ulimit -f 8`).
    #[must_use]
    pub fn after_shell(self, setup: &str) -> Self {
        self.through(["/bin/sh", "-c", &format!("{setup} && exec \"$@\""), "sh"])
    }

    /// Runs the program through another one, which takes a command as its last arguments
    /// (`setpriv`, `unshare`).
    #[must_use]
    pub fn through<S: AsRef<OsStr>>(self, wrapper: impl IntoIterator<Item = S>) -> Self {
        let mut words = wrapper.into_iter();
        let program = words.next().expect("the wrapper has a name");
        let mut outer = Command::new(program);
        outer.args(words).arg(self.command.get_program()).args(self.command.get_args());
        outer.env_clear();
        let variables = self.command.get_envs();
        outer.envs(variables.filter_map(|(name, value)| Some((name, value?))));
        if let Some(folder) = self.command.get_current_dir() {
            outer.current_dir(folder);
        }
        Self { command: outer, stdin: self.stdin }
    }

    /// The command as a person would type it.
    pub fn line(&self) -> String {
        let words = std::iter::once(self.command.get_program()).chain(self.command.get_args());
        words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
    }

    /// Starts the program and leaves it running, with pipes for input and output.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn spawn(mut self) -> Child {
        let line = self.line();
        self.command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        self.command.spawn().unwrap_or_else(|error| panic!("starting {line}: {error}"))
    }

    /// Runs to the end.
    ///
    /// # Panics
    /// When it cannot be started, or runs for ten minutes.
    pub fn output(self) -> Output {
        let (line, input) = (self.line(), self.stdin.clone());
        let mut child = self.spawn();
        let watch = Watch::over(child.id());
        let mut stdin = child.stdin.take().expect("stdin is piped");
        // A program may end without reading what it is given.
        let writer = thread::spawn(move || drop(stdin.write_all(&input)));
        let stdout = read_all(child.stdout.take().expect("stdout is piped"));
        let stderr = read_all(child.stderr.take().expect("stderr is piped"));
        let status = child.wait().expect("the child was started here");
        assert!(!watch.fired(), "{line} ran for {LIMIT:?} and was killed");
        // A process that it left behind may still hold the pipes.
        let said = |pipe: mpsc::Receiver<Vec<u8>>| {
            pipe.recv_timeout(LEFT_BEHIND)
                .unwrap_or_else(|_| panic!("{line} left a process that holds its output"))
        };
        let (stdout, stderr) = (said(stdout), said(stderr));
        writer.join().expect("writing does not panic");
        Output { line, status, stdout, stderr }
    }

    /// Runs to the end, which must be a good one.
    ///
    /// # Panics
    /// When the program fails, with all that it said.
    #[track_caller]
    pub fn ok(self) -> Output {
        self.output().ok()
    }

    /// Runs to the end, which must be exit code `code`.
    ///
    /// # Panics
    /// When it ends otherwise, with all that it said.
    #[track_caller]
    pub fn fails(self, code: i32) -> Output {
        self.output().fails(code)
    }

    /// Runs to the end, which must not be a good one, whatever the code.
    ///
    /// # Panics
    /// When the program succeeds, with all that it said.
    #[track_caller]
    pub fn refuses(self) -> Output {
        let output = self.output();
        assert!(!output.status.success(), "{output} should have been refused");
        output
    }
}

/// Kills a program that runs too long.
struct Watch {
    finished: mpsc::Sender<()>,
    thread: thread::JoinHandle<bool>,
}

impl Watch {
    fn over(id: u32) -> Self {
        let (finished, waiting) = mpsc::channel();
        let thread = thread::spawn(move || {
            let hung = waiting.recv_timeout(LIMIT) == Err(mpsc::RecvTimeoutError::Timeout);
            if hung {
                // std kills only through the handle, which the waiting thread holds.
                let kill = format!("kill -KILL {id}");
                let _ = Command::new("/bin/sh").args(["-c", &kill]).status();
            }
            hung
        });
        Self { finished, thread }
    }

    fn fired(self) -> bool {
        drop(self.finished);
        self.thread.join().expect("watching does not panic")
    }
}

fn read_all(mut from: impl Read + Send + 'static) -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // A killed program's pipe just ends.
        let _ = from.read_to_end(&mut bytes);
        let _ = sender.send(bytes);
    });
    receiver
}

/// How a program ended and what it said.
#[derive(Debug)]
pub struct Output {
    /// The command as a person would type it.
    pub line: String,
    /// How it ended.
    pub status: ExitStatus,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: Vec<u8>,
}

impl Output {
    /// Standard output as text.
    pub fn out(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Standard error as text.
    pub fn err(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }

    /// Standard output as JSON.
    ///
    /// # Panics
    /// When it is none, with all that the program said.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.stdout)
            .unwrap_or_else(|error| panic!("{self} gave no JSON: {error}"))
    }

    /// Asserts a good end.
    ///
    /// # Panics
    /// When it was none, with all that the program said.
    #[track_caller]
    #[must_use]
    pub fn ok(self) -> Self {
        assert!(self.status.success(), "{self}");
        self
    }

    /// Asserts exit code `code`.
    ///
    /// # Panics
    /// When it was another, with all that the program said.
    #[track_caller]
    #[must_use]
    pub fn fails(self, code: i32) -> Self {
        assert_eq!(self.status.code(), Some(code), "{self}");
        self
    }

    /// Asserts that `text` is in what the program said, on either stream.
    ///
    /// # Panics
    /// When it is not, with all that the program said.
    #[track_caller]
    pub fn says(self, text: &str) -> Self {
        assert!(self.out().contains(text) || self.err().contains(text), "{self} lacks {text:?}");
        self
    }
}

impl std::fmt::Display for Output {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (stdout, stderr) = (self.out(), self.err());
        write!(out, "$ {}\n{stdout}{stderr}({})", self.line, self.status)
    }
}

/// Program and arguments, for handing a whole command to another (`unshare`, `setpriv`).
pub(crate) fn words(command: &Command) -> Vec<OsString> {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(OsStr::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Run {
        Run::new(Command::new("/bin/sh")).args(["-c", script])
    }

    #[test]
    fn input_reaches_the_program_and_output_comes_back() {
        let output = sh("cat; echo no >&2; exit 3").stdin("yes").fails(3);
        assert_eq!((output.out().as_str(), output.err().as_str()), ("yes", "no\n"));
    }

    #[test]
    fn a_program_that_does_not_read_its_input_is_no_error() {
        sh("exec true").stdin(vec![0; 1 << 20]).ok();
    }

    #[test]
    #[should_panic(expected = "$ /bin/sh -c echo why; exit 2\nwhy\n(exit status: 2)")]
    fn a_failure_shows_everything() {
        sh("echo why; exit 2").ok();
    }

    #[test]
    fn a_program_inside_another_keeps_its_variables_and_folder() {
        let run = Run::new(Command::new("/bin/pwd")).env("A", "a b").current_dir("/usr");
        let run = run.through(["/bin/sh", "-c", "echo $A; exec \"$0\""]);
        assert_eq!(run.ok().out(), "a b\n/usr\n");
    }

    #[test]
    fn the_shell_sets_up_and_then_is_the_program() {
        let run = Run::new(Command::new("/bin/sh")).env("A", "a b").args(["-c", "umask; echo $A"]);
        assert_eq!(run.after_shell("umask 027").ok().out(), "0027\na b\n");
    }
}
