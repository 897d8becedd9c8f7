//! `treelay key`.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use treelay_signing::{KeyKind, SecretKey};

use crate::cli::args::KeyCommand;
use crate::cli::failure::Doing as _;
use crate::cli::passwords::password;
use crate::cli::{Failure, Result, Session};

pub fn run(session: &Session, command: KeyCommand) -> Result<()> {
    match command {
        KeyCommand::Generate { out, kind } => generate(session, &out, kind),
    }
}

fn generate(session: &Session, prefix: &Path, kind: KeyKind) -> Result<()> {
    let file = |ending: &str| {
        let mut name = session.around.current_dir.join(prefix).into_os_string();
        name.push(ending);
        PathBuf::from(name)
    };
    let (secret_file, public_file) = (file(".key"), file(".pub"));
    for file in [&secret_file, &public_file] {
        if file.symlink_metadata().is_ok() {
            return Err(Failure::message(format!("{} is there already", file.display()))
                .hinted("keys are never overwritten: move it away, or give another --out"));
        }
    }
    let password = password(session, &secret_file, true)?;
    let key = SecretKey::generate(kind)?;
    let sealed = key.to_encrypted_pem(&password)?;
    write_new(&secret_file, sealed.as_bytes(), 0o600)?;
    write_new(&public_file, key.public().to_pem().as_bytes(), 0o644)?;
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
