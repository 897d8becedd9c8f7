//! Keys from files, and their passwords: `COSIGN_PASSWORD`, else a prompt on a terminal, else an
//! error that says so.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use treelay_signing::{KeyError, KeyList, PublicKey, SecretKey};
use zeroize::Zeroizing;

use super::failure::Doing as _;
use super::{Failure, Result, Session};

/// Largest file that can be a key.
const LIMIT: u64 = 1 << 20;

/// Reads every key; the password is asked for once for each that is sealed.
///
/// # Errors
/// A file that cannot be read, is no key, or has another password.
pub fn secret_keys(session: &Session, files: &[PathBuf]) -> Result<Vec<SecretKey>> {
    files.iter().map(|file| secret_key(session, file)).collect()
}

fn secret_key(session: &Session, file: &Path) -> Result<SecretKey> {
    let bytes = Zeroizing::new(read(session, file)?);
    SecretKey::parse(&bytes, || password(session, file, false))
        .doing(|| format!("using the key {}", file.display()))
}

/// Reads every public key.
///
/// # Errors
/// A file that cannot be read or is no public key.
pub fn public_keys(session: &Session, files: &[PathBuf]) -> Result<Vec<PublicKey>> {
    let key = |file: &PathBuf| {
        PublicKey::parse(&read(session, file)?)
            .doing(|| format!("using the public key {}", file.display()))
    };
    files.iter().map(key).collect()
}

/// Reads every list of public keys.
///
/// # Errors
/// A file that cannot be read, or holds what is no public key.
pub fn key_lists(session: &Session, files: &[PathBuf]) -> Result<Vec<PublicKey>> {
    let mut keys = Vec::new();
    for file in files {
        let list = KeyList::Any.parse(&read(session, file)?);
        keys.extend(list.doing(|| format!("using the keys in {}", file.display()))?);
    }
    Ok(keys)
}

fn read(session: &Session, file: &Path) -> Result<Vec<u8>> {
    let path = session.around.current_dir.join(file);
    let reading = || format!("reading the key {}", file.display());
    let size = path.metadata().doing(reading)?.len();
    if size > LIMIT {
        return Err(Failure::message(format!("{} is too long to be a key", file.display())));
    }
    std::fs::read(path).doing(reading)
}

/// Why there is no password.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    /// The key itself.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Nobody to ask.
    #[error("{0} needs a password: set COSIGN_PASSWORD, or run this on a terminal")]
    NobodyToAsk(String),
    /// Two passwords that differ.
    #[error("the two passwords differ")]
    Differ,
    /// The terminal failed.
    #[error("asking for the password")]
    Asking(#[from] std::io::Error),
}

/// The password of `file`; asked for twice when it is a `new` one.
///
/// # Errors
/// [`PasswordError`].
pub fn password(
    session: &Session,
    file: &Path,
    new: bool,
) -> std::result::Result<Zeroizing<Vec<u8>>, PasswordError> {
    // Set and empty is a password too, as cosign has it.
    if let Some(password) = session.around.env.get("COSIGN_PASSWORD") {
        return Ok(Zeroizing::new(password.clone().into_bytes()));
    }
    let name = file.display().to_string();
    if !session.around.can_ask {
        return Err(PasswordError::NobodyToAsk(name));
    }
    let first = ask(&format!("Password for {name}: "))?;
    if new && *ask("The same again: ")? != *first {
        return Err(PasswordError::Differ);
    }
    Ok(first)
}

/// Asks on the terminal without showing what is typed.
fn ask(question: &str) -> std::io::Result<Zeroizing<Vec<u8>>> {
    use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};

    let stdin = std::io::stdin();
    let shown = tcgetattr(&stdin)?;
    let mut hidden = shown.clone();
    hidden.local_modes.remove(LocalModes::ECHO);
    let mut stderr = std::io::stderr();
    stderr.write_all(question.as_bytes())?;
    stderr.flush()?;
    tcsetattr(&stdin, OptionalActions::Flush, &hidden)?;
    let mut line = Zeroizing::new(String::new());
    let read = stdin.read_line(&mut line);
    tcsetattr(&stdin, OptionalActions::Flush, &shown)?;
    writeln!(stderr)?;
    read?;
    Ok(Zeroizing::new(line.trim_end_matches(['\n', '\r']).as_bytes().to_vec()))
}
