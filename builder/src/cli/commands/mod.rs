//! One file for each command.

mod as_host;
mod attest;
mod build;
mod bundle;
mod copy;
mod diff;
mod doctor;
mod gc;
mod host_kit;
mod identity;
mod inspect;
mod key;
mod lock;
mod make;
mod plan;
mod sign;
mod store;
mod texts;
mod verify;
mod verify_file;
mod verify_options;

use super::args::Command;
use super::{Result, Session};

/// Does what was asked.
///
/// # Errors
/// Why it was not done.
pub async fn run(session: &Session, command: Command) -> Result<()> {
    match command {
        Command::Build(args) => build::run(session, args).await,
        Command::Lock(args) => lock::run(session, args).await,
        Command::Plan(args) => plan::run(session, args).await,
        Command::Sign(args) => sign::run(session, args).await,
        Command::Verify(args) => verify::run(session, *args).await,
        Command::Attest(args) => attest::run(session, args).await,
        Command::Copy(args) => copy::run(session, args).await,
        Command::Inspect(args) => inspect::run(session, args).await,
        Command::Diff(args) => diff::run(session, args).await,
        Command::Key(args) => key::run(session, args),
        Command::HostKit(args) => host_kit::run(session, &args),
        Command::Doctor(args) => doctor::run(session, args).await,
        Command::Gc(args) => gc::run(session, &args),
        Command::Store(command) => store::run(session, &command),
        Command::Bundle(command) => bundle::run(session, command).await,
        Command::Schema => texts::schema(session),
        Command::Completions { shell } => texts::completions(session, shell),
        Command::Man => texts::man(session),
    }
}
