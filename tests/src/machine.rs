//! An emulated machine, which boots a sysroot that `ostree admin` made (slow tier).
//!
//! It has a disk with one ext4 file system, and no boot loader: before each boot the entries in
//! `/boot/loader/entries` are read from the disk, and what the first of them names (kernel,
//! initramfs, arguments) is handed to the emulator, as a loader does that reads such entries.
//!
//! The host's tree needs [`UNIT`]: it runs the script that the machine is started with, as soon as
//! the network is up, and then powers off.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::env::{Env, is_root};
use crate::run::Run;
use crate::tools::program;

/// After this a machine counts as hung: an emulated processor on a busy one is very slow.
const LIMIT: Duration = Duration::from_secs(45 * 60);

/// What the machine's kernel has to be told: to say what it does, to stop where it would wait for
/// someone at the keyboard, and not to count the ticks of its timer while it starts, of which an
/// emulator that waits for its turn misses too many.
pub const KERNEL_ARGS: [&str; 7] = [
    "root=LABEL=host",
    "rw",
    "console=ttyS0",
    "panic=1",
    "no_timer_check",
    "rd.shell=0",
    "rd.emergency=reboot",
];

/// The file system's label.
const LABEL: &str = "host";

/// Where the machine sees this one's loopback.
pub const LOOPBACK: &str = "10.0.2.2";

/// A systemd unit for `multi-user.target`. The script comes as a file of the firmware's, and what it
/// says goes to the second serial port.
pub const UNIT: &str = r#"[Unit]
Wants=network-online.target
After=network-online.target

[Service]
Type=oneshot
TimeoutStartSec=infinity
ExecStartPre=modprobe qemu_fw_cfg
ExecStart=/bin/bash --login /sys/firmware/qemu_fw_cfg/by_name/opt/treelay/script/raw
ExecStopPost=/bin/sh -c 'echo "ended: $EXIT_CODE $EXIT_STATUS"'
ExecStopPost=systemctl --no-block poweroff
Environment=HOME=/root TERM=dumb SYSTEMD_COLORS=0
StandardOutput=tty
StandardError=inherit
TTYPath=/dev/ttyS1
"#;

/// What [`UNIT`] says last, when the script ended well.
const ENDED: &str = "ended: exited 0";

/// Before every script: it ends at the first command that fails, or that should have.
const PRELUDE: &str = r#"set -eu -o pipefail
fails() { if "$@"; then echo "this should have failed: $*"; exit 1; fi; }
"#;

/// A machine that is switched off.
#[derive(Debug)]
pub struct Machine<'a> {
    env: &'a Env,
    disk: PathBuf,
}

impl<'a> Machine<'a> {
    /// A machine with a disk of 6 GiB, sparse, that has this sysroot in it.
    ///
    /// # Panics
    /// When the disk cannot be made.
    pub fn new(env: &'a Env, sysroot: &Path) -> Self {
        let disk = env.path("disk.img");
        File::create(&disk).and_then(|file| file.set_len(6 << 30)).unwrap();
        let make = env.run(program("mkfs.ext4")).args(["-q", "-F", "-L", LABEL, "-d"]);
        as_root(make.arg(sysroot).arg(&disk)).ok();
        Self { env, disk }
    }

    /// Boots, runs the bash script as root, and waits for the machine to switch itself off; returns
    /// what the script said. `fails COMMAND` in it is for what must not succeed.
    ///
    /// # Panics
    /// When the script fails, or the machine does not get there, with the last of its console.
    pub fn boot(&self, script: &str) -> String {
        let entry = Entry::first_of(&self.boot_folder());
        let script = self.env.write("machine/script", format!("{PRELUDE}{script}\n"));
        let (console, said) = (self.env.path("machine/console"), self.env.path("machine/said"));
        let errors = self.env.path("machine/errors");
        let mut qemu = self.env.command(program("qemu-system-x86_64"));
        // Emulated everywhere, so that it is the same everywhere. QEMU 7.2 gets the flags of
        // cmpxchg16b wrong, with which the kernel would allocate memory.
        qemu.args(["-accel", "tcg", "-cpu", "qemu64,-cx16", "-smp", "2", "-m", "2048"]);
        qemu.args(["-nodefaults", "-display", "none", "-monitor", "none", "-no-reboot"]);
        qemu.args(["-nic", "user,model=virtio-net-pci"]);
        qemu.arg("-drive").arg(with("if=virtio,format=raw,cache=unsafe,file=", &self.disk));
        qemu.arg("-fw_cfg").arg(with("name=opt/treelay/script,file=", &script));
        qemu.arg("-serial").arg(with("file:", &console));
        qemu.arg("-serial").arg(with("file:", &said));
        qemu.arg("-kernel").arg(&entry.kernel).arg("-initrd").arg(&entry.initramfs);
        qemu.arg("-append").arg(&entry.options);
        let ended = run(&mut qemu, &errors);
        let text = |path: &Path| {
            String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).replace('\r', "")
        };
        let said = text(&said);
        let Some(said) = said.trim_end().strip_suffix(ENDED) else {
            panic!(
                "{ended}; the script said:\n{said}\nthe emulator:\n{}\nthe console, at last:\n{}",
                text(&errors),
                tail(&text(&console), 60)
            );
        };
        said.to_owned()
    }

    /// A copy of the disk's `/boot`.
    fn boot_folder(&self) -> PathBuf {
        let copy = self.env.path("machine/boot-of-disk");
        let _ = fs::remove_dir_all(&copy);
        fs::create_dir_all(&copy).unwrap();
        let command = format!("rdump /boot {}", copy.display());
        self.env.run(program("debugfs")).args(["-R", &command]).arg(&self.disk).ok();
        copy.join("boot")
    }
}

/// What a boot loader is told.
struct Entry {
    version: u64,
    kernel: PathBuf,
    initramfs: PathBuf,
    options: String,
}

impl Entry {
    /// The one with the highest version, which is the one to boot.
    fn first_of(boot: &Path) -> Self {
        let folder = boot.join("loader/entries");
        let files = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
        let entries = files.map(|file| Self::of(boot, &file.unwrap().path()));
        entries.max_by_key(|entry| entry.version).expect("there is an entry")
    }

    fn of(boot: &Path, file: &Path) -> Self {
        let text = fs::read_to_string(file).unwrap();
        let value = |key: &str| {
            let mut rows = text.lines().filter_map(|line| line.split_once(' '));
            rows.find(|row| row.0 == key).unwrap_or_else(|| panic!("no {key} in {text}")).1
        };
        // As seen from the file system, which is either that of `/boot` or the one above it.
        let path = |key| {
            let path = value(key).trim_start_matches('/');
            boot.join(path.strip_prefix("boot/").unwrap_or(path))
        };
        Self {
            version: value("version").parse().unwrap(),
            kernel: path("linux"),
            initramfs: path("initrd"),
            options: value("options").to_owned(),
        }
    }
}

/// A command that reads and writes what is root's.
pub fn as_root(run: Run) -> Run {
    if is_root() {
        return run;
    }
    let sudo = [program("sudo").into_os_string(), "-nE".into(), "--".into()];
    run.through(sudo)
}

/// Ends the emulator when a test does.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs the emulator to its end, or to the limit; says which.
fn run(qemu: &mut Command, errors: &Path) -> String {
    let errors = File::create(errors).unwrap();
    qemu.stdin(Stdio::null()).stdout(Stdio::null()).stderr(errors);
    let mut running = Running(qemu.spawn().unwrap());
    let start = Instant::now();
    while start.elapsed() < LIMIT {
        if let Some(status) = running.0.try_wait().unwrap() {
            return format!("the machine stopped ({status})");
        }
        thread::sleep(Duration::from_millis(200));
    }
    format!("the machine ran for {LIMIT:?} and was killed")
}

fn with(option: &str, path: &Path) -> String {
    format!("{option}{}", path.display())
}

fn tail(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_entry_with_the_highest_version_is_booted() {
        let folder = tempfile::tempdir().unwrap();
        let boot = folder.path();
        fs::create_dir_all(boot.join("loader.1/entries")).unwrap();
        std::os::unix::fs::symlink("loader.1", boot.join("loader")).unwrap();
        for (name, version) in [("a", 9), ("b", 10), ("c", 1)] {
            let text = format!(
                "title T\nversion {version}\noptions ro x={name}\nlinux /boot/ostree/{name}/k\n\
                 initrd /ostree/{name}/i\n"
            );
            fs::write(boot.join(format!("loader/entries/{name}.conf")), text).unwrap();
        }
        let entry = Entry::first_of(boot);
        assert_eq!(entry.options, "ro x=b");
        assert_eq!(entry.kernel, boot.join("ostree/b/k"));
        assert_eq!(entry.initramfs, boot.join("ostree/b/i"));
    }
}
