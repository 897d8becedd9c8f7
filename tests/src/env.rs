//! A sealed environment: programs in it see nothing of the machine's user, and leave nothing.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use tempfile::TempDir;
use treelay_ci::tools;

use crate::registry::Registry;
use crate::run::Run;
use crate::tools as find;

/// What programs need to reach the machine's package index, for tests that lock real inputs.
const NETWORK: &[&str] = &[
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
];

/// containers-registries.conf(5): the place in the home folder is read by every program, the
/// variable CONTAINERS_REGISTRIES_CONF only by some.
const REGISTRIES: &str = "home/.config/containers/registries.conf";

/// A temporary folder with everything that a user's programs read and write. Removed when dropped.
#[derive(Debug)]
pub struct Env {
    dir: TempDir,
    /// Removes the folder when this process is gone, where nobody drops the environment.
    _sweeper: Option<Child>,
}

/// $1: the folder. Reading ends when the process that holds the other end of the pipe does,
/// however it ends.
const SWEEP: &str = r#"
while read -r line; do :; done
[ -d "$1/gnupg" ] && GNUPGHOME="$1/gnupg" gpgconf --kill all
rm -rf -- "$1"
"#;

impl Default for Env {
    fn default() -> Self {
        Self::new()
    }
}

impl Env {
    /// The password that [`Env`] gives to programs that use cosign's key files.
    pub const PASSWORD: &str = "correct horse";

    /// Makes the folder and the settings of podman, skopeo and buildah in it.
    ///
    /// # Panics
    /// When the folder cannot be made.
    pub fn new() -> Self {
        // Not /tmp: that may be memory, without the xattrs that OSTree and podman need.
        let above = std::env::var_os("TMPDIR").map_or_else(|| "/var/tmp".into(), PathBuf::from);
        let dir = folder_in(&above);
        let env = Self { dir, _sweeper: None };
        for folder in [
            "work",
            "tmp",
            "home/.config/containers/registries.d",
            "home/.cache",
            "home/.local/share",
        ] {
            fs::create_dir_all(env.dir().join(folder)).unwrap();
        }
        for private in ["run", "gnupg"] {
            use std::os::unix::fs::DirBuilderExt;
            fs::DirBuilder::new().mode(0o700).create(env.dir().join(private)).unwrap();
        }
        env.write_container_settings();
        env
    }

    /// One that several tests of a program share. It lives in a static, which is never dropped, so
    /// it is removed by a process of its own when this one has ended.
    ///
    /// # Panics
    /// When the folder cannot be made.
    pub fn for_all_tests() -> Self {
        let mut env = Self::new();
        let mut sweep = env.command("/bin/sh");
        // Not the terminal's Ctrl-C: that is when there is something to remove.
        sweep.args(["-c", SWEEP, "sh"]).arg(env.dir()).current_dir("/").process_group(0);
        sweep.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        env._sweeper = Some(sweep.spawn().unwrap());
        env
    }

    /// The folder of everything: `home`, `gnupg`, `store`, `tmp`, and `work` for the test's own.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// A path in the test's own folder, which is where programs start.
    pub fn path(&self, relative: impl AsRef<Path>) -> PathBuf {
        self.dir().join("work").join(relative)
    }

    /// Writes a file in the test's own folder, with the folders above it; returns its path.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn write(&self, relative: &str, contents: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(relative);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, contents).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        path
    }

    /// A file of the test's own folder as text.
    ///
    /// # Panics
    /// When it cannot be read.
    pub fn read(&self, relative: &str) -> String {
        let path = self.path(relative);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// The text with this environment's folders replaced by `[WORK]` and `[ENV]`.
    pub fn normalise(&self, text: &str) -> String {
        let (work, all) = (self.path(""), self.dir().display().to_string());
        let work = work.display().to_string();
        crate::normalise(text, &[(work.trim_end_matches('/'), "[WORK]"), (&all, "[ENV]")])
    }

    /// Any program, in this environment.
    pub fn run(&self, program: impl AsRef<std::ffi::OsStr>) -> Run {
        Run::new(self.command(program))
    }

    /// treelay, in this environment, without any key's password.
    pub fn treelay<S: AsRef<std::ffi::OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Run {
        self.run(find::treelay()).args(args)
    }

    /// treelay with what it needs to find wheels where the machine's pip finds them.
    pub fn treelay_online<S: AsRef<std::ffi::OsStr>>(
        &self,
        args: impl IntoIterator<Item = S>,
    ) -> Run {
        let run = self.treelay(args);
        network(std::env::vars()).into_iter().fold(run, |run, (name, value)| run.env(&name, value))
    }

    pub(crate) fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        let at = |part: &str| self.dir().join(part);
        command
            .env_clear()
            .current_dir(at("work"))
            .env("PATH", tools::PATH)
            .env("LANG", "C.UTF-8")
            .env("TZ", "UTC")
            .env("HOME", at("home"))
            .env("TMPDIR", at("tmp"))
            .env("XDG_CONFIG_HOME", at("home/.config"))
            .env("XDG_CACHE_HOME", at("home/.cache"))
            .env("XDG_DATA_HOME", at("home/.local/share"))
            .env("XDG_RUNTIME_DIR", at("run"))
            .env("GNUPGHOME", at("gnupg"))
            .env("TREELAY_STORE", at("store"))
            .env("CONTAINERS_CONF", at("containers.conf"))
            .env("CONTAINERS_STORAGE_CONF", at("storage.conf"));
        command
    }

    /// Replaces the signature policy (containers-policy.json), which first accepts everything.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn policy(&self, policy: &serde_json::Value) {
        let path = self.dir().join("home/.config/containers/policy.json");
        fs::write(path, policy.to_string()).unwrap();
    }

    /// Says where signatures of images in `scope` are kept (containers-registries.d): beside the
    /// image, as cosign does.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn signatures_beside(&self, scope: &str) {
        let text = format!("docker:\n  {scope}:\n    use-sigstore-attachments: true\n");
        let folder = self.dir().join("home/.config/containers/registries.d");
        fs::write(folder.join("test.yaml"), text).unwrap();
    }

    /// Lets podman, skopeo and buildah talk to the registry without TLS.
    ///
    /// # Panics
    /// When the settings cannot be written.
    pub fn plain_http(&self, registry: &Registry) {
        let path = self.dir().join(REGISTRIES);
        let mut text = fs::read_to_string(&path).unwrap();
        text.push_str(&format!(
            "\n[[registry]]\nlocation = \"{}\"\ninsecure = true\n",
            registry.address()
        ));
        fs::write(path, text).unwrap();
    }

    fn write_container_settings(&self) {
        let dir = self.dir().display();
        // runc, because crun fails on hybrid cgroups; small limits, because root without
        // CAP_SYS_RESOURCE cannot raise them; the host's network, so that registries on loopback
        // can be reached and no packet filter is needed.
        let containers = format!(
            "[engine]\nruntime = \"runc\"\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"none\"\n\
             tmp_dir = \"{dir}/run/libpod\"\n\n\
             [containers]\nnetns = \"host\"\n\
             default_ulimits = [\"nofile=1024:1024\", \"nproc=1024:1024\"]\n"
        );
        let storage = format!(
            "[storage]\ndriver = \"{}\"\ngraphroot = \"{dir}/containers\"\n\
             runroot = \"{dir}/run/containers\"\nrootless_storage_path = \"{dir}/containers\"\n",
            storage_driver(self.dir())
        );
        // Without this option the storage is mounted on itself, and stays so.
        let storage = format!("{storage}\n[storage.options.overlay]\nskip_mount_home = \"true\"\n");
        let registries = "unqualified-search-registries = []\nshort-name-mode = \"enforcing\"\n";
        let write = |name: &str, text: &str| fs::write(self.dir().join(name), text).unwrap();
        write("containers.conf", &containers);
        write("storage.conf", &storage);
        write(REGISTRIES, registries);
        self.policy(&serde_json::json!({"default": [{"type": "insecureAcceptAnything"}]}));
    }
}

impl Drop for Env {
    fn drop(&mut self) {
        // gpg starts an agent that outlives it.
        if self.dir().join("gnupg/private-keys-v1.d").exists() {
            let mut stop = self.command("gpgconf");
            let _ = stop.args(["--kill", "all"]).stdin(Stdio::null()).output();
        }
    }
}

/// A new folder, its name all lower case: podman 4 makes an image's name of a layout's path.
fn folder_in(above: &Path) -> TempDir {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().subsec_nanos();
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("treelay-{:x}-{count:x}-{now:x}", std::process::id());
    tempfile::Builder::new().prefix(&name).rand_bytes(0).tempdir_in(above).unwrap()
}

/// overlay where the kernel can do it here, else plain copies.
fn storage_driver(folder: &Path) -> &'static str {
    let kind = Command::new("stat").args(["--file-system", "--format=%T"]).arg(folder).output();
    let over = kind.is_ok_and(|out| String::from_utf8_lossy(&out.stdout).contains("overlay"));
    if is_root() && !over { "overlay" } else { "vfs" }
}

/// Whether the tests run as root.
pub fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    fs::metadata("/proc/self").is_ok_and(|meta| meta.uid() == 0)
}

fn network(variables: impl Iterator<Item = (String, String)>) -> Vec<(String, String)> {
    let mut kept: Vec<(String, String)> = variables
        .filter(|(name, _)| name.starts_with("PIP_") || NETWORK.contains(&name.as_str()))
        .collect();
    // pip looks for its settings in the home folder, which is another one here.
    if !kept.iter().any(|(name, _)| name == "PIP_CONFIG_FILE") {
        let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
        let config = std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from);
        let config = config.unwrap_or_else(|| home.join(".config"));
        let files = [config.join("pip/pip.conf"), home.join(".pip/pip.conf")];
        if let Some(file) = files.iter().find(|file| file.is_file()) {
            kept.push(("PIP_CONFIG_FILE".to_owned(), file.display().to_string()));
        }
    }
    kept
}
