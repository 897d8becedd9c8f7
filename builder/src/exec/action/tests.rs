use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::Read as _;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use treelay_layers::ContentSink as _;
use treelay_layers::action::{Command, InputTree};
use treelay_layers::{Entry, TreePath};

use super::sandbox::{Inside, Means};
use super::*;
use crate::store::{Store, StoreSink};

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// A search path on which only one of the means is found.
fn only(means: &str, folder: &Path) -> PathBuf {
    let only = folder.join(format!("only-{means}"));
    std::fs::create_dir(&only).unwrap();
    let needed: &[&str] = match means {
        "bwrap" => &["bwrap"],
        _ => &["unshare", "setpriv", "env", "mount", "mkdir"],
    };
    for name in needed {
        let folders = ["/usr/bin", "/bin", "/usr/sbin", "/sbin"];
        let found = folders.map(|folder| Path::new(folder).join(name));
        let found = found.iter().find(|path| path.exists());
        let found = found.unwrap_or_else(|| panic!("{name} is not installed"));
        std::os::unix::fs::symlink(found, only.join(name)).unwrap();
    }
    only
}

/// Python inside, where it sees the machine's own programs, and a directory of its own each to read
/// and to write.
fn shut_in(means: &Means, path: &Path, folder: &Path, script: &str) -> tokio::process::Command {
    let [scratch, out, go] = ["scratch", "out", "go"].map(|name| folder.join(name));
    for made in [&scratch, &out, &go] {
        let _ = std::fs::create_dir(made);
    }
    let roots = ["/bin", "/lib", "/lib64", "/usr"];
    let there = roots.into_iter().filter(|root| Path::new(root).is_dir());
    let there = there.map(|root| (PathBuf::from(root), root.to_owned()));
    let inside = Inside {
        scratch: &scratch,
        read: there.chain([(go, "/treelay/go".to_owned())]).collect(),
        write: vec![(out, "/treelay/out".to_owned())],
        environment: vec![("NAME", "a value")],
        folder: "/treelay",
        arguments: vec!["/usr/bin/python3", "-S", "-E", "-c", script],
    };
    means.command(&inside, path.as_os_str())
}

fn inside(means: &Means, path: &Path, folder: &Path, script: &str) -> std::process::Output {
    let run = async { shut_in(means, path, folder, script).output().await };
    runtime().block_on(run).unwrap()
}

/// Each of the means, and the search path that has it alone.
fn each_means(folder: &Path) -> [(&'static str, PathBuf, Means); 2] {
    ["bwrap", "unshare"].map(|name| {
        let path = only(name, folder);
        let scratch = tempfile::tempdir_in(folder).unwrap();
        let means = runtime().block_on(Means::find(path.as_os_str(), scratch.path()));
        (name, path, means.unwrap_or_else(|error| panic!("{error}")))
    })
}

/// Tries to write where it may only read, and to leave its root; also as one that has made itself
/// root of a user namespace. Says what it could do.
const ESCAPES: &str = r#"
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
REMOUNT_BIND, NEWUSER_NEWNS = 32 | 4096, 0x10000000 | 0x20000
def escape(who):
    if libc.mount(b'none', b'/treelay/go', None, REMOUNT_BIND, None) == 0:
        print(who, 'remounted')
    try:
        open('/treelay/go/new', 'w')
        print(who, 'wrote')
    except OSError as error:
        print(who, error.strerror)
    try:
        here = os.open('/', os.O_RDONLY)
        os.makedirs('/tmp/below', exist_ok=True)
        os.chroot('/tmp/below')
        os.fchdir(here)
        for _ in range(64):
            os.chdir('..')
        os.chroot('.')
    except OSError:
        pass
    if os.path.exists(HOST):
        print(who, 'left its root')
if os.fork() == 0:
    escape('plain:')
    sys.stdout.flush()
    os._exit(0)
os.wait()
if libc.unshare(NEWUSER_NEWNS) == 0:
    escape('nested:')
"#;

#[test]
fn a_process_inside_can_neither_mount_nor_leave() {
    let folder = tempfile::tempdir().unwrap();
    for (name, path, means) in each_means(folder.path()) {
        let own = tempfile::tempdir_in(folder.path()).unwrap();
        let script = format!("HOST = {:?}\n{ESCAPES}", own.path());
        let tried = inside(&means, &path, own.path(), &script);
        let said = String::from_utf8_lossy(&tried.stdout);
        let refused = |who: &str| format!("{who}: Read-only file system\n");
        let fine = [refused("plain"), refused("plain") + &refused("nested")];
        let reasons = String::from_utf8_lossy(&tried.stderr);
        assert!(fine.iter().any(|fine| *fine == said), "{name}: {said}{reasons}");
        assert!(!own.path().join("go/new").exists(), "{name}");
    }
}

#[test]
fn a_process_inside_ends_with_whoever_started_it() {
    let folder = tempfile::tempdir().unwrap();
    for (name, path, means) in each_means(folder.path()) {
        let own = tempfile::tempdir_in(folder.path()).unwrap();
        let script = "import time; print('begun', flush=True); time.sleep(60)";
        let command = shut_in(&means, &path, own.path(), script);
        let command = command.as_std();
        // The shell stands for a treelay that is killed.
        let mut starter = std::process::Command::new("/bin/sh");
        starter.args(["-c", "\"$@\" & wait", "sh"]).arg(command.get_program());
        starter.args(command.get_args()).env_clear().env("PATH", &path);
        let mut starter = starter.stdout(std::process::Stdio::piped()).spawn().unwrap();
        let mut said = starter.stdout.take().unwrap();
        said.read_exact(&mut [0; 6]).unwrap();
        let started = Instant::now();
        starter.kill().unwrap();
        starter.wait().unwrap();
        // Whoever lives holds it open.
        said.read_to_end(&mut Vec::new()).unwrap();
        assert!(started.elapsed() < Duration::from_secs(30), "{name} outlives");
    }
}

#[test]
fn a_process_inside_sees_what_it_is_given_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let reach =
        format!("import socket; socket.create_connection(('127.0.0.1', {port}), 5).sendall(b'x')");
    // What the sandbox takes away is really there.
    let free = std::process::Command::new("python3").args(["-c", &reach]).status().unwrap();
    assert!(free.success());
    listener.accept().unwrap().0.read_exact(&mut [0]).unwrap();
    listener.set_nonblocking(true).unwrap();

    for (name, path, means) in each_means(folder.path()) {
        let own = tempfile::tempdir_in(folder.path()).unwrap();
        let python = |script: &str| inside(&means, &path, own.path(), script);

        let reached = python(&reach);
        assert!(!reached.status.success(), "{name} leaves the network open");
        // bubblewrap gives it a loopback of its own, unshare gives it none.
        let said = String::from_utf8_lossy(&reached.stderr);
        let reasons = ["Connection refused", "Network is unreachable"];
        assert!(reasons.iter().any(|reason| said.contains(reason)), "{said}");
        let others = python("import socket; socket.create_connection(('192.0.2.1', 80), 5)");
        let said = String::from_utf8_lossy(&others.stderr);
        assert!(said.contains("Network is unreachable"), "{said}");

        assert!(listener.accept().is_err());

        let seen = python(
            "import os; print(sorted(os.listdir('/')), sorted(os.environ), os.getcwd(), os.getpid() < 5, \
             os.listdir('/tmp'), sorted(os.listdir('/dev')))",
        );
        let said = String::from_utf8_lossy(&seen.stdout);
        let mut roots = vec!["dev", "tmp", "treelay"];
        roots.extend(
            ["bin", "lib", "lib64", "usr"]
                .iter()
                .filter(|root| Path::new(&format!("/{root}")).is_dir()),
        );
        roots.sort_unstable();
        let variables: Vec<&str> = match said.contains("LC_CTYPE") {
            // Python sets it itself where there is no locale.
            true => vec!["LC_CTYPE", "NAME"],
            false => vec!["NAME"],
        };
        // bubblewrap sets PWD for what it starts in another folder.
        let said = said.replace("'NAME', 'PWD'", "'NAME'");
        let expected = format!(
            "{} {} /treelay True [] ['full', 'null', 'random', 'urandom', 'zero']\n",
            list(&roots),
            list(&variables)
        );
        assert_eq!(said, expected, "{name}: {}", String::from_utf8_lossy(&seen.stderr));

        for place in ["/", "/usr", "/treelay", "/dev"] {
            let write = format!("open('{place}/new', 'w')");
            let said = python(&write);
            let said = String::from_utf8_lossy(&said.stderr).into_owned();
            assert!(said.contains("Read-only file system"), "{name}: {place}: {said}");
        }
        let written = python("open('/treelay/out/new', 'w').write('x'); open('/tmp/x', 'w')");
        assert!(written.status.success(), "{}", String::from_utf8_lossy(&written.stderr));
        assert_eq!(std::fs::read(own.path().join("out/new")).unwrap(), b"x");

        let memory = python("bytearray(9 << 30)");
        let said = String::from_utf8_lossy(&memory.stderr);
        assert!(said.contains("MemoryError"), "{name}: {said}");
        let long = python("open('/treelay/out/long', 'w').truncate(5 << 30)");
        assert!(!long.status.success(), "{name} bounds no file");
    }
}

fn list(names: &[&str]) -> String {
    format!("[{}]", names.iter().map(|name| format!("'{name}'")).collect::<Vec<_>>().join(", "))
}

#[test]
fn where_nothing_can_shut_in_nothing_starts() {
    let folder = tempfile::tempdir().unwrap();
    let told = runtime().block_on(Means::find(folder.path().as_os_str(), folder.path()));
    let told = told.unwrap_err().to_string();
    for words in ["bubblewrap: not installed", "unshare: not installed", "--sandbox=off"] {
        assert!(told.contains(words), "{told}");
    }
    // One that is there and does not work.
    let broken = folder.path().join("bwrap");
    std::fs::write(&broken, "#!/bin/sh\necho no namespaces here >&2; exit 1\n").unwrap();
    std::fs::set_permissions(&broken, std::fs::Permissions::from_mode(0o755)).unwrap();
    let told = runtime().block_on(Means::find(folder.path().as_os_str(), folder.path()));
    assert!(told.unwrap_err().to_string().contains("bubblewrap: no namespaces here"));
}

struct Bench {
    folder: tempfile::TempDir,
    store: Arc<Store>,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(Store::open(&folder.path().join("store")).unwrap());
        Self { folder, store }
    }

    /// In the open, where any program of the machine can be run.
    fn executor(&self) -> LocalExecutor {
        let options = LocalOptions {
            sandbox: Sandbox::Off,
            path: "/usr/bin:/bin".into(),
            jobs: 2,
            now: SystemTime::now(),
            again: false,
        };
        LocalExecutor::new(self.store.clone(), options)
    }

    fn tree(&self, text: &str) -> Tree {
        let mut sink = StoreSink::new(&self.store);
        let (digest, size) = sink.put(&mut text.as_bytes()).unwrap();
        let path = TreePath::new("a/file").unwrap();
        Tree::from_entries(vec![Entry::new_file(path, 0o640, digest, size)]).unwrap()
    }

    fn run(&self, script: &str, tree: &Tree, lasting: bool) -> Result<Tree, ActionError> {
        let action = Action {
            command: Command {
                arguments: ["/bin/sh", "-c", script].map(str::to_owned).to_vec(),
                environment: [("OUT", "/treelay/out/"), ("IN", "/treelay/in/"), ("AT", "/treelay")]
                    .map(|(name, value)| (name.to_owned(), value.to_owned()))
                    .into(),
                outputs: vec!["out".to_owned()],
                platform: BTreeMap::new(),
            },
            inputs: vec![InputTree { at: "in", tree: Cow::Borrowed(tree), lasting }],
            timeout: Duration::from_secs(2),
            cache: None,
        };
        runtime().block_on(self.executor().execute(&action, &*self.store))
    }

    fn left(&self) -> usize {
        std::fs::read_dir(self.folder.path().join("store/tmp")).unwrap().count()
    }
}

#[test]
fn what_a_process_makes_is_in_the_store_and_nothing_else_is_left() {
    let bench = Bench::new();
    let tree = bench.tree("hello");
    let script = "cp $IN/a/file $OUT/copy; mkdir $OUT/d; echo x > $OUT/d/run; \
                  chmod +x $OUT/d/run; stat -c '%a %Y' $IN/a/file > $OUT/stat";
    for lasting in [false, true, true] {
        let outputs = bench.run(script, &tree, lasting).unwrap();
        let names: Vec<String> = outputs
            .entries()
            .iter()
            .map(|entry| format!("{} {:o}", entry.path, entry.mode))
            .collect();
        assert_eq!(
            names,
            ["out 755", "out/copy 644", "out/d 755", "out/d/run 755", "out/stat 644"]
        );
        let text = |path: &str| {
            let (digest, size) = outputs.get(path).unwrap().file().unwrap();
            let mut text = String::new();
            bench.store.open(digest, size).unwrap().read_to_string(&mut text).unwrap();
            text
        };
        assert_eq!(text("out/copy"), "hello");
        // The time is the content's own: of another content of this length it would be another.
        assert_eq!(text("out/stat"), "644 1040944439\n");
        assert_eq!(bench.left(), 0);
    }
}

#[test]
fn a_checkout_that_was_changed_is_made_anew() {
    let bench = Bench::new();
    let tree = bench.tree("hello");
    let script = "cat $IN/a/file > $OUT/copy";
    let first = bench.run(script, &tree, true).unwrap();
    let checkout = bench.store.checkout(&checkout::seen(&tree).unwrap().digest()).unwrap();
    let file = checkout.join("tree/a/file");
    for change in ["olleh", "more than there was"] {
        std::fs::write(&file, change).unwrap();
        assert_eq!(bench.run(script, &tree, true).unwrap(), first);
        assert_eq!(std::fs::read(&file).unwrap(), b"hello");
    }
    std::fs::write(checkout.join("tree/new"), "").unwrap();
    bench.run(script, &tree, true).unwrap();
    assert!(!checkout.join("tree/new").exists());
    assert_eq!(bench.store.mishaps().len(), 3);
}

#[test]
fn a_checkout_that_cannot_be_read_stays() {
    let bench = Bench::new();
    let tree = bench.tree("hello");
    bench.run("exit 0", &tree, true).unwrap();
    let checkout = bench.store.checkout(&checkout::seen(&tree).unwrap().digest()).unwrap();
    let [place, aside] = ["tree", "aside"].map(|name| checkout.join(name));
    std::fs::rename(&place, &aside).unwrap();
    std::os::unix::fs::symlink("tree", &place).unwrap();
    let error = bench.run("exit 0", &tree, true).unwrap_err();
    assert_eq!(error.to_string(), "comparing a checkout with what it should be");
    assert!(aside.join("a/file").exists());
    assert!(bench.store.mishaps().is_empty());
}

#[test]
fn only_paths_that_begin_a_value_are_moved() {
    for (told, expected) in [
        ("/treelay", "/p/treelay"),
        ("/treelay/go/bin/go", "/p/treelay/go/bin/go"),
        ("/tmp", "/p/tmp"),
        ("-C=/treelay/src", "-C=/p/treelay/src"),
        ("-o=/treelay/out/", "-o=/p/treelay/out/"),
        ("GOCACHE=/tmp/cache", "GOCACHE=/p/tmp/cache"),
        ("TMPDIR=/tmp", "TMPDIR=/p/tmp"),
        ("GOROOT=/treelay/go", "GOROOT=/p/treelay/go"),
        (
            "-ldflags=-X main.dir=/usr/share/treelay/site",
            "-ldflags=-X main.dir=/usr/share/treelay/site",
        ),
        ("-ldflags=-X main.dir=/treelay/site", "-ldflags=-X main.dir=/treelay/site"),
        ("-ldflags=/treelay/site", "-ldflags=/treelay/site"),
        ("-o=/usr/treelay/out", "-o=/usr/treelay/out"),
        ("/treelayer", "/treelayer"),
        ("/tmpfs", "/tmpfs"),
    ] {
        let arguments = vec![told];
        let (read, write, environment) = Default::default();
        let scratch = Path::new("/scratch");
        let inside = Inside { scratch, read, write, environment, folder: "/tmp", arguments };
        let moved = super::local::Elsewhere::of(&inside, "/p");
        assert_eq!(moved.inside(scratch).arguments, [expected]);
    }
}

#[test]
fn failures_say_what_happened() {
    let bench = Bench::new();
    let tree = bench.tree("hello");
    let told = |script: &str| bench.run(script, &tree, false).unwrap_err().to_string();
    assert_eq!(told("echo ${IN}a/file: out; echo bad >&2; exit 3"), "/treelay/in/a/file: out\nbad");
    assert_eq!(
        told("echo no files in $AT/src; echo $AT/src/a.go: $AT/src. $AT/srcs; echo $AT/go; exit 3"),
        "no files in .\na.go: .. /treelay/srcs\n$GOROOT"
    );
    assert_eq!(told("exit 3"), "it said nothing and ended with exit status: 3");
    assert_eq!(
        told("ln -s x $OUT/link"),
        "it made out/link, which is neither a file nor a directory"
    );
    let path = told("pwd > $OUT/where");
    assert!(path.contains("it has a path of this machine in it"), "{path}");
    let started = Instant::now();
    let late = told("echo begun; exec sleep 60");
    assert!(late.contains("and was ended; until then it said:\nbegun"), "{late}");
    assert!(started.elapsed() < Duration::from_secs(30));
    let much = told("yes | head -c 1000000; exit 1");
    assert!(much.len() < 70_000 && much.ends_with("(and more)"), "{}", much.len());
    assert_eq!(bench.left(), 0);

    // A content that is not what the tree says.
    let (digest, _) = tree.get("a/file").unwrap().file().unwrap();
    std::fs::write(bench.store.object(digest).unwrap(), "HELLO").unwrap();
    let error = bench.run("exit 0", &tree, false).unwrap_err();
    assert!(matches!(&error, ActionError::Input { path, .. } if path == "a/file"), "{error}");
}
