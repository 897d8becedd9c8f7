//! The command line.
//!
//! [`args`] is what is written, `commands` is what it means. Environment, clock, current
//! directory and terminal are read here once ([`Surroundings`]) and passed down as values. Results
//! go to standard output, everything else to standard error.

pub mod args;
pub mod bundle_args;
mod commands;
mod draft;
mod failure;
pub mod host_args;
mod passwords;
mod places;
mod plain;
mod report;
mod reporter;
mod servers;
mod surroundings;
pub mod verify_args;
mod workspace;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{CommandFactory as _, FromArgMatches as _};

use crate::dest::Dest;
use crate::store::Store;
use args::Cli;
use failure::Doing as _;
pub use failure::{Failure, Result};
pub use reporter::Reporter;
pub use surroundings::Surroundings;

/// What every command is given.
pub struct Session {
    /// What the process is surrounded by.
    pub around: Surroundings,
    /// Tells how long work goes.
    pub reporter: Arc<Reporter>,
    /// Threads.
    pub jobs: usize,
    store: Option<PathBuf>,
}

impl Session {
    /// The store.
    ///
    /// # Errors
    /// Where there is no place for it, or it cannot be used.
    pub fn store(&self) -> Result<Arc<Store>> {
        let mut store = self.idle_store()?;
        store.begin().doing(|| format!("opening the store {}", store.root().display()))?;
        store.sweep(self.around.now);
        Ok(Arc::new(store))
    }

    /// The store, for those who look after it and use nothing of it.
    ///
    /// # Errors
    /// As [`Session::store`].
    pub fn idle_store(&self) -> Result<Store> {
        let Some(path) = self.around.store(self.store.as_deref()) else {
            return Err(Failure::usage_message("there is no place for the store")
                .hinted("give --store DIR, or set TREELAY_STORE or HOME"));
        };
        // Absolute, since processes that use it start elsewhere.
        Ok(Store::open(&self.around.current_dir.join(path))?)
    }

    /// Prints a result for people. Of text that comes from elsewhere each line is `plain::plain`
    /// before: here ends of lines are what they are.
    ///
    /// # Errors
    /// As [`Session::print_raw`].
    pub fn print(&self, text: &str) -> Result<()> {
        self.print_raw(&plain::plain_lines(text))
    }

    /// Prints a result for programs, as it is.
    ///
    /// # Errors
    /// A standard output that is full or gone.
    pub fn print_raw(&self, text: &str) -> Result<()> {
        let mut out = std::io::stdout().lock();
        let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
        match written {
            // Who closes the pipe has seen enough: `treelay man | head`.
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
            other => Ok(other?),
        }
    }

    /// Prints a result as JSON, one object on one line.
    ///
    /// # Errors
    /// As [`Session::print_raw`].
    pub fn print_json(&self, value: &impl serde::Serialize) -> Result<()> {
        let text = serde_json::to_string(value)?;
        self.print_raw(&(text + "\n"))
    }
}

/// So many of something, in words: `1 blob`, `2 blobs`.
fn count(number: impl TryInto<u64>, what: &str) -> String {
    match number.try_into() {
        Ok(1) => format!("1 {what}"),
        Ok(number) => format!("{number} {what}s"),
        Err(_) => format!("many {what}s"),
    }
}

/// The whole program.
pub fn main() -> ExitCode {
    let around = Surroundings::read();
    let filter = around.var("TREELAY_LOG").unwrap_or("off").to_owned();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();

    let parsed = Cli::command().try_get_matches().and_then(|found| Cli::from_arg_matches(&found));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are no errors: clap says which stream and status are theirs.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    let session = Session {
        reporter: Arc::new(Reporter::new(cli.quiet, around.terminal)),
        jobs: cli.jobs.map_or(around.processors, usize::from),
        store: cli.store.clone(),
        around,
    };
    match run(&session, cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // A standard error that is gone takes no more lines.
            let _ = writeln!(std::io::stderr(), "{}", plain::plain_lines(&failure.to_string()));
            ExitCode::from(failure.exit_status())
        }
    }
}

/// Whether a command does little but ask a registry, and wait: then threads that wake each other
/// cost more than they do.
fn waits(command: &args::Command) -> bool {
    let is_registry = |dest: &Dest| matches!(dest, Dest::Docker { .. });
    match command {
        args::Command::Sign(args) => is_registry(&args.dest),
        args::Command::Verify(args) => match &args.dest {
            verify_args::Verifiable::Place(dest) => is_registry(dest) && !args.blobs,
            verify_args::Verifiable::File(_)
            | verify_args::Verifiable::Digest(_)
            | verify_args::Verifiable::Sha512(_) => false,
        },
        args::Command::Inspect(args) => is_registry(&args.dest),
        _ => false,
    }
}

fn run(session: &Session, command: args::Command) -> Result<()> {
    let mut builder = if waits(&command) {
        tokio::runtime::Builder::new_current_thread()
    } else {
        tokio::runtime::Builder::new_multi_thread()
    };
    let threads = session.jobs.clamp(1, 16);
    let runtime = builder.worker_threads(threads).enable_all().build()?;
    runtime.block_on(commands::run(session, command))
}
