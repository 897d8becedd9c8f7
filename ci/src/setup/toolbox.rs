//! The root that toolbox images of the tests lie on: the machine's own Debian, since toolbox puts
//! the host's `toolbox` program into it, which wants the host's C library.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::{apt, trixie};
use crate::run::{capture, retry};

/// What `toolbox init-container` and `toolbox run` start inside: useradd, usermod, passwd, capsh,
/// sudo.
const PACKAGES: &[&str] = &["libcap2-bin", "passwd", "sudo"];

/// How it is had: a change makes set-up do it again.
pub fn recipe() -> String {
    let suite = apt::codename().unwrap_or_default();
    format!("{suite}, minbase, with {}\n", PACKAGES.join(" "))
}

/// Makes the folder `dest` with `root.tar`.
pub fn make(dest: &Path) -> Result<()> {
    let (suite, mirror) = (apt::codename()?, apt::mirror()?);
    let network = trixie::network_settings()?;
    retry("mmdebstrap", || {
        super::remove(dest)?;
        fs::create_dir_all(dest).with_context(|| format!("creating {}", dest.display()))?;
        let mut command = trixie::mmdebstrap("tar", PACKAGES, &network);
        capture(command.arg(&suite).arg(dest.join("root.tar")).arg(&mirror)).map(drop)
    })
}
