//! The tree of a Debian 13 host that boots: a kernel, an initramfs that finds ostree's deployments,
//! and systemd, laid out as hosts have it that ostree deploys.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::{apt, trixie};
use crate::run::{capture, privileged, retry};

const SUITE: &str = "trixie";

const PACKAGES: &[&str] = &[
    "dbus",
    "dracut",
    "e2fsprogs",
    "gnupg",
    "iproute2",
    "kmod",
    // The kernel for machines that are emulated.
    "linux-image-cloud-amd64",
    "ostree",
    // ostree's module for dracut, and its units.
    "ostree-boot",
    "systemd",
    "systemd-sysv",
    "udev",
];

/// $1: the root, in which mmdebstrap has everything installed. An initramfs for any machine, in the
/// place where `ostree admin deploy` takes it from; that of the kernel's package may be older than
/// ostree's module.
const INITRAMFS: &str = r#"
kernel=$(ls "$1/usr/lib/modules")
cp "$1/boot/vmlinuz-$kernel" "$1/usr/lib/modules/$kernel/vmlinuz"
chroot "$1" dracut --quiet --force --no-hostonly --add ostree --kver "$kernel" \
    "/usr/lib/modules/$kernel/initramfs.img"
"#;

/// $1: the folder of `root`. What a host's commit has is moved to `tree`; all else is the host's
/// own, and begins empty. An empty machine-id is one that the first boot makes.
const LAY_OUT: &str = r#"
cd "$1"
mkdir -m 755 tree
cd tree
mkdir -m 755 boot dev proc run sys sysroot var
mkdir -m 1777 tmp
mv ../root/usr usr
mv ../root/etc usr/etc
for link in bin lib lib64 sbin; do mv "../root/$link" "$link"; done
for place in home media mnt opt srv; do ln -s "var/$place" "$place"; done
ln -s var/roothome root
ln -s sysroot/ostree ostree
: > usr/etc/machine-id
rm -f usr/etc/hostname usr/etc/resolv.conf
"#;

/// How it is had: a change makes set-up do it again.
pub fn recipe() -> String {
    format!("{SUITE}, minbase, with {}\n{INITRAMFS}{LAY_OUT}", PACKAGES.join(" "))
}

/// Makes the folder `dest` with `tree`.
pub fn make(dest: &Path) -> Result<()> {
    let mirror = apt::mirror()?;
    let network = trixie::network_settings()?;
    let root = dest.join("root");
    retry("mmdebstrap", || {
        super::remove(dest)?;
        fs::create_dir_all(dest).with_context(|| format!("creating {}", dest.display()))?;
        let mut command = trixie::mmdebstrap("directory", PACKAGES, &network);
        command.arg(format!("--customize-hook={INITRAMFS}"));
        capture(command.arg(SUITE).arg(&root).arg(&mirror)).map(drop)
    })?;
    capture(privileged("sh").args(["-eu", "-c", LAY_OUT, "sh"]).arg(dest))?;
    super::remove(&root)
}
