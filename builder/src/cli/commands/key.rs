//! `treelay key`.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use treelay_signing::{KeyKind, SecretKey};

use crate::cli::args::KeyCommand;
use crate::cli::failure::Doing as _;
use crate::cli::passwords::{self, password};
use crate::cli::{Failure, Result, Session};
use crate::signers::KeySpec;

pub fn run(session: &Session, command: KeyCommand) -> Result<()> {
    match command {
        KeyCommand::Generate { out, kind } => generate(session, &out, kind),
        KeyCommand::Public { key } => {
            session.print_raw(&passwords::public_half(session, &key)?.to_pem())
        }
        KeyCommand::Import { key, out } => import(session, &key, &out),
    }
}

fn generate(session: &Session, prefix: &Path, kind: KeyKind) -> Result<()> {
    let files = new_files(session, prefix)?;
    let password = password(session, &files[0].display().to_string(), true)?;
    write_pair(session, &files, &SecretKey::generate(kind)?, &password)
}

/// The new key's password is asked for where the old one's is: both come from COSIGN_PASSWORD when
/// that is set.
fn import(session: &Session, key: &KeySpec, prefix: &Path) -> Result<()> {
    let files = new_files(session, prefix)?;
    let secret = passwords::secret_key(session, key)?;
    // Of a key that cannot be copied this is told before a password is asked for.
    secret.to_pkcs8_der().doing(|| format!("importing {key}"))?;
    let password = password(session, &files[0].display().to_string(), true)?;
    write_pair(session, &files, &secret, &password)
}

/// PREFIX.key and PREFIX.pub, which are not there.
fn new_files(session: &Session, prefix: &Path) -> Result<[PathBuf; 2]> {
    let files = [".key", ".pub"].map(|ending| {
        let mut name = session.around.current_dir.join(prefix).into_os_string();
        name.push(ending);
        PathBuf::from(name)
    });
    for file in &files {
        if file.symlink_metadata().is_ok() {
            return Err(Failure::message(format!("{} is there already", file.display()))
                .hinted("keys are never overwritten: move it away, or give another --out"));
        }
    }
    Ok(files)
}

fn write_pair(
    session: &Session,
    [secret_file, public_file]: &[PathBuf; 2],
    key: &SecretKey,
    password: &[u8],
) -> Result<()> {
    let sealed = key.to_encrypted_pem(password)?;
    write_new(secret_file, sealed.as_bytes(), 0o600)?;
    write_new(public_file, key.public().to_pem().as_bytes(), 0o644)?;
    session.print_raw(&format!("{}\n{}\n", secret_file.display(), public_file.display()))
}

fn write_new(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    let write = || {
        let mut options = std::fs::OpenOptions::new();
        let mut file = options.write(true).create_new(true).mode(mode).open(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().doing(|| format!("writing {}", path.display()))
}
