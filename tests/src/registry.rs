//! Registries on loopback, with and without the referrers endpoint.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use treelay_ci::tools::Kept;

use crate::env::Env;
use crate::run::words;
use crate::tools::{kept, program};

/// How long a registry may take until it answers.
const READY: Duration = Duration::from_secs(30);

/// How often another port is tried when the chosen one was taken in between.
const PORTS: usize = 5;

/// A running registry; stopped when dropped, and by the kernel if the test dies first.
///
/// It belongs to the thread that started it: do not keep it in a static.
#[derive(Debug)]
pub struct Registry {
    child: Child,
    port: u16,
}

impl Registry {
    /// The user that a registry with a login knows.
    pub const USER: &str = "treelay";
    /// Its password.
    pub const PASSWORD: &str = "loopback-only";
    /// The two as an htpasswd file has them (bcrypt, the only kind that docker-registry reads).
    const HTPASSWD: &str = "treelay:$2b$04$xsq/f7uj0eEGo0yX.zL9SO4qPsFSqGn/MxZPYIoqZ5rGVODs6MsGm\n";

    /// docker-registry 2.8, without the referrers endpoint, open to all.
    pub fn docker(env: &Env) -> Self {
        Self::start(|port, name| docker_command(env, port, name, ""), env)
    }

    /// docker-registry 2.8 that asks for [`Registry::USER`] and [`Registry::PASSWORD`].
    pub fn docker_with_login(env: &Env) -> Self {
        let file = env.dir().join("htpasswd");
        fs::write(&file, Self::HTPASSWD).unwrap();
        let auth =
            format!("auth:\n  htpasswd:\n    realm: treelay\n    path: {}\n", file.display());
        Self::start(|port, name| docker_command(env, port, name, &auth), env)
    }

    /// ferro-oci-server, with the referrers endpoint, open to all.
    pub fn ferro(env: &Env) -> Self {
        let start = |port: u16, name: &str| {
            let mut command = env.command(kept(Kept::Ferro));
            // Unset, it would listen on all interfaces.
            command.env("FERRO_OCI_LISTEN", format!("127.0.0.1:{port}"));
            command.env("FERRO_OCI_STORAGE_DIR", folder(env, name));
            command
        };
        Self::start(start, env)
    }

    fn start(command: impl Fn(u16, &str) -> std::process::Command, env: &Env) -> Self {
        let mut last = String::new();
        for _ in 0..PORTS {
            let port = free_port();
            let name = format!("registry-{port}");
            let plain = command(port, &name);
            // So that no registry outlives a test that was killed.
            let mut guarded = env.command(program("setpriv"));
            guarded.args(["--pdeathsig", "KILL"]).args(words(&plain));
            guarded.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
            let log = env.dir().join(format!("{name}.log"));
            let file = File::create(&log).unwrap();
            guarded.stdin(Stdio::null()).stdout(file.try_clone().unwrap()).stderr(file);
            let child = guarded.spawn().unwrap_or_else(|error| panic!("starting {name}: {error}"));
            let mut registry = Self { child, port };
            if registry.becomes_ready() {
                return registry;
            }
            last = fs::read_to_string(&log).unwrap_or_default();
        }
        panic!("no registry would start; the last one said:\n{last}");
    }

    /// Host and port, as in `127.0.0.1:41234`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The `docker://` name of a repository, tag or digest there.
    pub fn docker_name(&self, rest: &str) -> String {
        format!("docker://{}/{rest}", self.address())
    }

    /// The status code of a GET of `path`, for asking what the registry can do.
    ///
    /// # Panics
    /// When the registry does not answer.
    pub fn status_of(&self, path: &str) -> u16 {
        get_status(self.port, path).expect("the registry answers")
    }

    fn becomes_ready(&mut self) -> bool {
        let start = Instant::now();
        while start.elapsed() < READY {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return false;
            }
            // 401 is the answer of one that wants a login.
            if matches!(get_status(self.port, "/v2/"), Some(200 | 401)) {
                return true;
            }
            sleep(Duration::from_millis(20));
        }
        false
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn folder(env: &Env, name: &str) -> PathBuf {
    let folder = env.dir().join(name);
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn docker_command(env: &Env, port: u16, name: &str, auth: &str) -> std::process::Command {
    let config = env.dir().join(format!("{name}.yml"));
    let text = format!(
        "version: 0.1\nlog: {{level: warn}}\n\
         storage:\n  filesystem: {{rootdirectory: {}}}\n  delete: {{enabled: true}}\n\
         http: {{addr: '127.0.0.1:{port}'}}\n{auth}",
        folder(env, name).display()
    );
    fs::write(&config, text).unwrap();
    let mut command = env.command(kept(Kept::DockerRegistry));
    command.arg("serve").arg(config);
    command
}

/// A port that nobody listens on now.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn get_status(port: u16, path: &str) -> Option<u16> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n")
        .ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    String::from_utf8_lossy(&answer).split(' ').nth(1)?.parse().ok()
}
