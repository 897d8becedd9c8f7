//! Keys, wherever they live, and their passwords: `COSIGN_PASSWORD`, else a prompt on a terminal, else
//! an error that says so. PINs of tokens likewise: `TREELAY_PIN`, else `COSIGN_PKCS11_PIN`.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use treelay_signing::{KeyError, KeyList, PublicKey, SecretKey};
use zeroize::Zeroizing;

use super::failure::Doing as _;
use super::{Failure, Result, Session};
use crate::signers::command::Tell;
use crate::signers::pkcs11::{self, Uri};
use crate::signers::{KeySpec, command::Signer};

/// Largest file that can be a key.
const LIMIT: u64 = 1 << 20;

/// The key of a token's PIN in the environment, and the name that cosign has for it.
const PIN_VARIABLES: [&str; 2] = ["TREELAY_PIN", "COSIGN_PKCS11_PIN"];

/// cosign's name for the module that is meant where a URI names none.
const MODULE_VARIABLE: &str = "COSIGN_PKCS11_MODULE_PATH";

/// Opens every key; the password is asked for once for each that is sealed.
///
/// # Errors
/// A file that cannot be read, is no key, or has another password; a token or a program that gives
/// none.
pub fn secret_keys(session: &Session, keys: &[KeySpec]) -> Result<Vec<SecretKey>> {
    keys.iter().map(|key| secret_key(session, key)).collect()
}

/// Opens one key.
///
/// # Errors
/// As of [`secret_keys`].
pub fn secret_key(session: &Session, key: &KeySpec) -> Result<SecretKey> {
    let using = || format!("using the key {key}");
    match key {
        KeySpec::File(_) | KeySpec::Env(_) => {
            let bytes = Zeroizing::new(read(session, key)?);
            SecretKey::parse(&bytes, || password(session, &key.to_string(), false)).doing(using)
        }
        KeySpec::Pkcs11(uri) => {
            pkcs11::secret_key(uri, usual_module(session), &|token| pin(session, uri, token))
                .doing(using)
        }
        KeySpec::Command(signer) => {
            let (signer, folder, tell) = program(session, signer);
            signer.secret_key(&folder, &tell).doing(using)
        }
    }
}

/// Reads every public key.
///
/// # Errors
/// A file that cannot be read or is no public key; a token or a program that gives none.
pub fn public_keys(session: &Session, keys: &[KeySpec]) -> Result<Vec<PublicKey>> {
    keys.iter().map(|key| public_key(session, key)).collect()
}

fn public_key(session: &Session, key: &KeySpec) -> Result<PublicKey> {
    let using = || format!("using the public key {key}");
    match key {
        KeySpec::File(_) | KeySpec::Env(_) => PublicKey::parse(&read(session, key)?).doing(using),
        KeySpec::Pkcs11(uri) => {
            pkcs11::public_key(uri, usual_module(session), &|token| pin(session, uri, token))
                .doing(using)
        }
        KeySpec::Command(signer) => {
            let (signer, folder, tell) = program(session, signer);
            signer.public_key(&folder, &tell).doing(using)
        }
    }
}

/// The public key of a key of which either half is given.
///
/// # Errors
/// As of [`secret_keys`] and [`public_keys`].
pub fn public_half(session: &Session, key: &KeySpec) -> Result<PublicKey> {
    if let KeySpec::File(_) | KeySpec::Env(_) = key {
        match PublicKey::parse(&read(session, key)?) {
            Err(KeyError::SecretGiven) => {
                return secret_key(session, key).map(|key| key.public().clone());
            }
            public => return public.doing(|| format!("using the key {key}")),
        }
    }
    public_key(session, key)
}

/// Reads every list of public keys.
///
/// # Errors
/// A file that cannot be read, or holds what is no public key.
pub fn key_lists(session: &Session, files: &[PathBuf]) -> Result<Vec<PublicKey>> {
    let mut keys = Vec::new();
    for file in files {
        let list = KeyList::Any.parse(&read_file(session, file)?);
        keys.extend(list.doing(|| format!("using the keys in {}", file.display()))?);
    }
    Ok(keys)
}

/// What is in the file or in the variable.
fn read(session: &Session, key: &KeySpec) -> Result<Vec<u8>> {
    match key {
        KeySpec::Env(name) => match session.around.env.get(name) {
            Some(text) => Ok(text.clone().into_bytes()),
            None => Err(Failure::message(format!("the variable {name} is not set"))
                .hinted(format!("{key} is the PEM of a key that is in {name} itself"))),
        },
        KeySpec::File(file) => read_file(session, file),
        KeySpec::Pkcs11(_) | KeySpec::Command(_) => {
            Err(Failure::message(format!("{key} is in no file")))
        }
    }
}

fn read_file(session: &Session, file: &Path) -> Result<Vec<u8>> {
    let path = session.around.current_dir.join(file);
    let reading = || format!("reading the key {}", file.display());
    let size = path.metadata().doing(reading)?.len();
    if size > LIMIT {
        return Err(Failure::message(format!("{} is too long to be a key", file.display())));
    }
    std::fs::read(path).doing(reading)
}

/// The program with the folder to start it in, which is where the user is, and what shows its words.
fn program(session: &Session, signer: &Signer) -> (Signer, PathBuf, Tell) {
    let reporter = Arc::clone(&session.reporter);
    let tell: Tell = Arc::new(move |line: &str| reporter.say(&super::plain::plain(line)));
    (signer.clone(), session.around.current_dir.clone(), tell)
}

fn usual_module(session: &Session) -> Option<PathBuf> {
    session.around.var(MODULE_VARIABLE).map(PathBuf::from)
}

/// The PIN of a token: of the URI, of the environment, of the user.
fn pin(
    session: &Session,
    uri: &Uri,
    token: &str,
) -> std::result::Result<Zeroizing<String>, String> {
    if let Some(file) = &uri.pin_source {
        let text = std::fs::read_to_string(file).map(Zeroizing::new);
        let text = text.map_err(|error| format!("reading {}: {error}", file.display()))?;
        return Ok(Zeroizing::new(text.trim_end_matches(['\n', '\r']).to_owned()));
    }
    if let Some(pin) = PIN_VARIABLES.iter().find_map(|name| session.around.env.get(*name)) {
        return Ok(Zeroizing::new(pin.clone()));
    }
    if !session.around.can_ask {
        return Err("set TREELAY_PIN, give pin-source=FILE in the URI, or run this on a terminal"
            .to_owned());
    }
    let typed = ask(&format!("PIN of the token {}: ", super::plain::plain(token)));
    let typed = typed.map_err(|error| format!("asking for it: {error}"))?;
    String::from_utf8(typed.to_vec()).map(Zeroizing::new).map_err(|_| "it is no text".to_owned())
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

/// The password of the key that is called `name`; asked for twice when it is a `new` one.
///
/// # Errors
/// [`PasswordError`].
pub fn password(
    session: &Session,
    name: &str,
    new: bool,
) -> std::result::Result<Zeroizing<Vec<u8>>, PasswordError> {
    // Set and empty is a password too, as cosign has it.
    if let Some(password) = session.around.env.get("COSIGN_PASSWORD") {
        return Ok(Zeroizing::new(password.clone().into_bytes()));
    }
    if !session.around.can_ask {
        return Err(PasswordError::NobodyToAsk(name.to_owned()));
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
