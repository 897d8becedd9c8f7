//! How a process is shut in: user, mount, PID, network, IPC and host name namespaces of its own, by
//! bubblewrap, else by unshare(1) of util-linux.
//!
//! What it sees is a root of its own with a `/dev` of five devices, a private `/tmp`, and the
//! directories it is given; there is no `/proc`, and no network but perhaps a loopback of its own. It
//! has no capability, so it can neither mount nor leave its root. The same limits hold everywhere: no
//! core dumps, and bounds for the memory of each process and for the length of each file.

use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

/// Whether processes are shut in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sandbox {
    /// As well as the machine can; where it cannot, nothing is started.
    #[default]
    Auto,
    /// Not at all.
    Off,
}

/// Why nothing can be shut in here.
#[derive(Debug, thiserror::Error)]
#[error(
    "nothing on this machine can shut a build in, and builds are not run in the open:\n{tried}\
     install bubblewrap, or allow user namespaces; --sandbox=off builds without, and then what is \
     built may depend on this machine"
)]
pub struct NoSandbox {
    tried: String,
}

/// What shuts in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Means {
    Bubblewrap(PathBuf),
    Unshare { unshare: PathBuf, setpriv: PathBuf, env: PathBuf },
}

/// What is shut in.
pub(super) struct Inside<'a> {
    /// An empty directory of the process's own, for means that need one.
    pub scratch: &'a Path,
    /// Directories that it may read, and where.
    pub read: Vec<(PathBuf, String)>,
    /// Directories that it may write, and where.
    pub write: Vec<(PathBuf, String)>,
    /// Its environment.
    pub environment: Vec<(&'a str, &'a str)>,
    /// Where it starts.
    pub folder: &'a str,
    /// The program and its arguments.
    pub arguments: Vec<&'a str>,
}

/// Memory of one process, in KiB: 8 GiB.
const MEMORY: &str = "8388608";
/// Length of one file, in blocks of 512 bytes: 4 GiB.
const FILE: &str = "8388608";
/// Sets limits and becomes what it is given. A limit that is lower already stays.
const LIMITED: &str = r#"ulimit -c 0; ulimit -d "$1" 2>/dev/null; ulimit -f "$2" 2>/dev/null
shift 2; exec "$@""#;

/// The devices, all of which any process may use anywhere.
const DEVICES: [&str; 5] = ["null", "zero", "full", "random", "urandom"];

/// Builds the root that bubblewrap would build: `$1` is an empty directory; then for each mount its
/// kind, what, and where; then `--` and what is started in it.
const MOUNTS: &str = r#"set -eu
root=$1; shift
mount -t tmpfs -o mode=755 treelay "$root"
while [ "$1" != -- ]; do
    at=$root$3
    case $1 in
        device) mkdir -p "${at%/*}"; : > "$at"; mount --bind "$2" "$at" ;;
        tmp) mkdir -p "$at"; mount -t tmpfs -o mode=1777 treelay "$at" ;;
        read) mkdir -p "$at"; mount --bind "$2" "$at"; mount -o remount,bind,ro "$at" ;;
        write) mkdir -p "$at"; mount --bind "$2" "$at" ;;
    esac
    shift 3
done
shift
mount -o remount,bind,ro "$root"
exec "$@""#;

/// A program in one of the folders of `path`.
fn program(name: &str, path: &OsStr) -> Option<PathBuf> {
    let folders = std::env::split_paths(path).filter(|folder| folder.is_absolute());
    folders.map(|folder| folder.join(name)).find(|file| file.is_file())
}

impl Means {
    /// What there is on this machine that really works: it is tried on a program that does nothing.
    pub(super) async fn find(path: &OsStr, scratch: &Path) -> Result<Self, NoSandbox> {
        let mut tried = String::new();
        let bubblewrap = program("bwrap", path).map(Self::Bubblewrap);
        let unshare = program("unshare", path)
            .zip(program("setpriv", path))
            .zip(program("env", path))
            .map(|((unshare, setpriv), env)| Self::Unshare { unshare, setpriv, env });
        for (name, means) in [("bubblewrap", bubblewrap), ("unshare", unshare)] {
            // Writing to a String cannot fail.
            let Some(means) = means else {
                let _ = writeln!(tried, "  {name}: not installed");
                continue;
            };
            match means.works(path, scratch).await {
                Ok(()) => return Ok(means),
                Err(reason) => {
                    let _ = writeln!(tried, "  {name}: {reason}");
                }
            }
        }
        Err(NoSandbox { tried })
    }

    /// Shuts in a shell that does nothing, with all that it needs of the machine to be seen.
    async fn works(&self, path: &OsStr, scratch: &Path) -> Result<(), String> {
        let roots = ["/bin", "/lib", "/lib64", "/usr", "/nix", "/gnu"];
        let there = roots.into_iter().filter(|root| Path::new(root).is_dir());
        let read = there.map(|root| (PathBuf::from(root), root.to_owned())).collect();
        let inside = Inside {
            scratch,
            read,
            write: Vec::new(),
            environment: Vec::new(),
            folder: "/",
            arguments: vec!["/bin/sh", "-c", ":"],
        };
        let mut command = self.command(&inside, path);
        let output = command.output().await.map_err(|error| error.to_string())?;
        match output.status.success() {
            true => Ok(()),
            false => Err(String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ")),
        }
    }

    /// The process. Its standard input is empty, and it ends with whoever started it, however that
    /// ends.
    pub(super) fn command(&self, inside: &Inside<'_>, path: &OsStr) -> Command {
        let arguments = match self {
            Self::Bubblewrap(bwrap) => bubblewrap(bwrap, inside),
            Self::Unshare { unshare, setpriv, env } => by_unshare(unshare, setpriv, env, inside),
        };
        let mut command = limited(&arguments);
        // For mount and mkdir; what is inside does not see it.
        command.env_clear().env("PATH", path);
        command
    }
}

/// A process with limits.
pub(super) fn limited(arguments: &[OsString]) -> Command {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", LIMITED, "sh", MEMORY, FILE]).args(arguments);
    command.stdin(Stdio::null()).kill_on_drop(true);
    command
}

fn bubblewrap(bwrap: &Path, inside: &Inside<'_>) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = vec![bwrap.into()];
    let mut add = |words: &[&OsStr]| arguments.extend(words.iter().map(OsString::from));
    let options = [
        // Root may be without user namespaces and needs none.
        "--unshare-user-try",
        "--unshare-pid",
        "--unshare-net",
        "--unshare-ipc",
        "--unshare-uts",
        "--unshare-cgroup-try",
        "--cap-drop",
        "ALL",
        "--die-with-parent",
        "--new-session",
        "--hostname",
        "treelay",
        "--clearenv",
    ];
    add(&options.map(OsStr::new));
    for device in DEVICES {
        let device = format!("/dev/{device}");
        add(&["--dev-bind".as_ref(), device.as_ref(), device.as_ref()]);
    }
    add(&["--tmpfs".as_ref(), "/tmp".as_ref()]);
    for (from, at) in &inside.read {
        add(&["--ro-bind".as_ref(), from.as_ref(), at.as_ref()]);
    }
    for (from, at) in &inside.write {
        add(&["--bind".as_ref(), from.as_ref(), at.as_ref()]);
    }
    add(&["--remount-ro".as_ref(), "/".as_ref()]);
    for (name, value) in &inside.environment {
        add(&["--setenv".as_ref(), name.as_ref(), value.as_ref()]);
    }
    add(&["--chdir".as_ref(), inside.folder.as_ref(), "--".as_ref()]);
    inside.arguments.iter().for_each(|argument| add(&[argument.as_ref()]));
    arguments
}

fn by_unshare(unshare: &Path, setpriv: &Path, env: &Path, inside: &Inside<'_>) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = vec![setpriv.into()];
    let mut add = |words: &[&OsStr]| arguments.extend(words.iter().map(OsString::from));
    add(&["--pdeathsig", "KILL", "--no-new-privs", "--"].map(OsStr::new));
    add(&[unshare.as_ref()]);
    let options = [
        "--user",
        "--map-root-user",
        "--mount",
        "--pid",
        "--net",
        "--ipc",
        "--uts",
        "--fork",
        "--kill-child",
        "--",
        "/bin/sh",
        "-c",
        MOUNTS,
        "sh",
    ];
    add(&options.map(OsStr::new));
    add(&[inside.scratch.as_ref()]);
    for device in DEVICES {
        let device = format!("/dev/{device}");
        add(&["device".as_ref(), device.as_ref(), device.as_ref()]);
    }
    add(&["tmp".as_ref(), "-".as_ref(), "/tmp".as_ref()]);
    for (from, at) in &inside.read {
        add(&["read".as_ref(), from.as_ref(), at.as_ref()]);
    }
    for (from, at) in &inside.write {
        add(&["write".as_ref(), from.as_ref(), at.as_ref()]);
    }
    add(&["--".as_ref(), env.as_ref(), "-i".as_ref()]);
    for (name, value) in &inside.environment {
        add(&[format!("{name}={value}").as_ref()]);
    }
    let root = inside.scratch.as_ref();
    let folder = inside.folder.as_ref();
    // In another user namespace, where it is nobody, what is started has no capability: neither over
    // the mounts nor to change its root again. Who is in such a root can make no user namespace.
    add(&[unshare.as_ref(), "--user".as_ref(), "--root".as_ref(), root]);
    add(&["--wd".as_ref(), folder, "--".as_ref()]);
    inside.arguments.iter().for_each(|argument| add(&[argument.as_ref()]));
    arguments
}
