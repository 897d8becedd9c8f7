//! A host's sysroot: stock ostree pulls treelay's commits over a base that boots, deploys them,
//! upgrades from one to the next, and stays where it is when a commit is not the one to have.

use std::fs;
use std::path::PathBuf;

use treelay_tests::http::Server;
use treelay_tests::{Env, Run};

const REF: &str = "tools/x86_64";

const RECIPE: &str = r##"
name: tools
version: "VERSION"
arch: [amd64]
epoch: 1735689600
layers:
  - name: tools
    files:
      - {path: /usr/bin/tool, mode: "0755", content: "tool VERSION\n"}
      - {path: "/usr/share/only-in-VERSION", content: "x\n"}
      - {path: /etc/tool/kept.conf, content: "of tools VERSION\n"}
      - {path: /etc/tool/changed.conf, content: "of tools VERSION\n"}
      - {path: "/etc/tool/VERSION.conf", content: "of tools VERSION\n"}
      - {path: /var/lib/tool, dir: true, mode: "0700"}
ostree:
  ref: REF
  base: {repo: os, ref: os/x86_64}
"##;

/// A host with the stateroot `host`, and the server that it has its commits from.
struct Host {
    env: Env,
    /// Of the repository `out`.
    server: Server,
    /// The key that the host's remote trusts.
    gpg: String,
}

impl Host {
    /// The sysroot is empty but for the stateroot and the remote `origin`.
    fn new() -> Self {
        let env = Env::new();
        base(&env);
        let gpg = env.gpg_key("one@treelay.test");
        let keyring = env.write("gpg.pub", env.gpg(["--export", &gpg]).ok().stdout);
        env.ostree(["init", "--repo=out", "--mode=archive"]).ok();
        let server = Server::of(&env.path("out"));
        fs::create_dir(env.path("sysroot")).unwrap();
        let host = Self { env, server, gpg };
        host.admin(["init-fs", "sysroot"]).ok();
        host.admin(["os-init", "host"]).ok();
        let import = format!("--gpg-import={}", keyring.display());
        let (add, url) = (["remote", "add", "--set=gpg-verify=true"], host.server.url(""));
        host.ostree(add).args([&import, "origin", &url]).ok();
        host
    }

    /// The same, with version 1 deployed.
    fn with_first() -> Self {
        let host = Self::new();
        host.build("1", REF, Some(&host.gpg));
        host.ostree(["pull", "origin", REF]).ok();
        let origin = format!("origin:{REF}");
        host.admin(["deploy", "--os=host", "--karg=root=LABEL=root", "--karg=rw", &origin]).ok();
        host
    }

    /// Builds a version; returns its commit.
    fn build(&self, version: &str, refname: &str, gpg: Option<&str>) -> String {
        let recipe = RECIPE.replace("VERSION", version).replace("REF", refname);
        self.env.write("tools.yaml", recipe);
        let key = gpg.map(|key| format!("--gpg-key={key}"));
        let build = self.env.treelay(["build", "tools.yaml", "-o", "ostree:out", "--json"]);
        let report = build.args(key).ok().json();
        report["commits"][0]["checksum"].as_str().unwrap().to_owned()
    }

    /// Lets the server's ref name a commit.
    fn serve(&self, commit: &str) {
        fs::write(self.env.path(format!("out/refs/heads/{REF}")), format!("{commit}\n")).unwrap();
        // Hosts look for the ref in it first.
        self.env.ostree(["summary", "--repo=out", "--update"]).ok();
    }

    /// ostree of Debian 13 on the sysroot's repository.
    fn ostree<const N: usize>(&self, args: [&str; N]) -> Run {
        self.env.trixie(["ostree", "--repo=sysroot/ostree/repo"]).args(args)
    }

    /// `ostree admin` of Debian 13 on the sysroot.
    fn admin<const N: usize>(&self, args: [&str; N]) -> Run {
        // Deployments that are immutable could not be removed with the environment.
        let run = self.env.trixie(["ostree", "admin"]);
        run.env("OSTREE_SYSROOT_DEBUG", "mutable-deployments").arg("--sysroot=sysroot").args(args)
    }

    fn upgrade(&self) -> Run {
        self.admin(["upgrade", "--os=host"])
    }

    /// Version and commit of each deployment, in the order of boot.
    fn deployments(&self) -> Vec<(String, String)> {
        let said = self.admin(["status"]).ok().out();
        let mut found = Vec::new();
        for line in said.lines().map(str::trim) {
            if let Some(rest) = line.strip_prefix("host ") {
                let commit = rest.split('.').next().unwrap();
                found.push((String::new(), commit.to_owned()));
            } else if let Some(version) = line.strip_prefix("Version: ") {
                found.last_mut().unwrap().0 = version.to_owned();
            }
        }
        for of_each in [&format!("origin refspec: origin:{REF}"), "GPG: Good signature from"] {
            assert_eq!(said.matches(of_each).count(), found.len(), "{said}");
        }
        found
    }

    /// The folder of a commit's deployment.
    fn deployed(&self, commit: &str) -> PathBuf {
        self.env.path(format!("sysroot/ostree/deploy/host/deploy/{commit}.0"))
    }

    /// A file of a commit's deployment; none where it has none.
    fn file(&self, commit: &str, path: &str) -> Option<String> {
        fs::read_to_string(self.deployed(commit).join(path)).ok()
    }
}

/// A small system that could be booted, as `os/x86_64` of the repository `os`.
fn base(env: &Env) {
    let write = |path: &str, text: &str| env.write(&format!("system/{path}"), text);
    write("usr/lib/modules/6.1.0/vmlinuz", "a kernel\n");
    write("usr/lib/modules/6.1.0/initramfs.img", "an initramfs\n");
    write("usr/lib/os-release", "ID=test\nPRETTY_NAME=\"Test\"\n");
    write("usr/etc/host.conf", "of the base\n");
    for dir in ["sysroot", "boot", "tmp", "var", "proc", "sys", "dev", "run"] {
        fs::create_dir(env.path(format!("system/{dir}"))).unwrap();
    }
    std::os::unix::fs::symlink("sysroot/ostree", env.path("system/ostree")).unwrap();
    env.ostree(["init", "--repo=os", "--mode=archive"]).ok();
    let commit = ["commit", "--repo=os", "--branch=os/x86_64", "--bootable", "--no-xattrs"];
    env.ostree(commit)
        .args(["--owner-uid=0", "--owner-gid=0", "--timestamp=@1700000000"])
        .args([
            "--add-metadata-string=ostree.architecture=x86_64",
            "--add-metadata-string=version=41",
            "system",
        ])
        .ok();
}

#[test]
fn a_host_deploys_and_upgrades_and_undeploys() {
    let host = Host::with_first();
    let env = &host.env;
    let first = env.ostree(["rev-parse", "--repo=out", REF]).ok().out().trim().to_owned();
    let version = |number: &str, commit: &str| (number.to_owned(), commit.to_owned());
    assert_eq!(host.deployments(), [version("1", &first)]);
    for (path, text) in [
        ("usr/bin/tool", "tool 1\n"),
        ("etc/host.conf", "of the base\n"),
        ("etc/tool/kept.conf", "of tools 1\n"),
        ("usr/etc/tool/kept.conf", "of tools 1\n"),
    ] {
        assert_eq!(host.file(&first, path).as_deref(), Some(text), "{path}");
    }
    // What a boot loader is told: kernel, initramfs, and the tree.
    let entry = env.read("sysroot/boot/loader/entries/ostree-1.conf");
    let line = |key: &str| {
        let mut lines = entry.lines().filter_map(|line| line.strip_prefix(key));
        lines.next().unwrap_or_else(|| panic!("no {key} in {entry}")).trim().to_owned()
    };
    assert!(line("options").starts_with("root=LABEL=root rw ostree=/ostree/boot."), "{entry}");
    assert_eq!(line("title"), "Test 1 (ostree:0)");
    for (key, text) in [("linux", "a kernel\n"), ("initrd", "an initramfs\n")] {
        let path = line(key);
        let path = path.trim_start_matches('/').trim_start_matches("boot/");
        assert_eq!(env.read(&format!("sysroot/boot/{path}")), text);
    }

    // The host's administrator makes it theirs.
    fs::write(host.deployed(&first).join("etc/tool/changed.conf"), "of the host\n").unwrap();
    fs::write(host.deployed(&first).join("etc/tool/new.conf"), "of the host\n").unwrap();
    host.admin(["config-diff", "--os=host"]).ok().says("M    tool/changed.conf");

    // The same epoch: it is later all the same.
    let second = host.build("2", REF, Some(&host.gpg));
    host.upgrade().ok();
    assert_eq!(host.deployments(), [version("2", &second), version("1", &first)]);
    for (path, text) in [
        ("usr/bin/tool", Some("tool 2\n")),
        ("usr/share/only-in-1", None),
        ("usr/share/only-in-2", Some("x\n")),
        ("usr/lib/tmpfiles.d/treelay-tools.conf", Some("d /var/lib/tool 0700 0 0 - -\n")),
        ("etc/host.conf", Some("of the base\n")),
        ("etc/tool/kept.conf", Some("of tools 2\n")),
        ("etc/tool/1.conf", None),
        ("etc/tool/2.conf", Some("of tools 2\n")),
        ("etc/tool/changed.conf", Some("of the host\n")),
        ("usr/etc/tool/changed.conf", Some("of tools 2\n")),
        ("etc/tool/new.conf", Some("of the host\n")),
    ] {
        assert_eq!(host.file(&second, path).as_deref(), text, "{path}");
    }
    assert_eq!(host.file(&first, "usr/bin/tool").as_deref(), Some("tool 1\n"));
    let origin = env.read(&format!("sysroot/ostree/deploy/host/deploy/{second}.0.origin"));
    assert_eq!(origin.trim(), format!("[origin]\nrefspec=origin:{REF}"));
    host.upgrade().ok().says("No update available.");

    host.admin(["undeploy", "0"]).ok().says(&format!("Deleted deployment {second}.0"));
    assert_eq!(host.deployments(), [version("1", &first)]);
    assert!(!host.deployed(&second).exists());
    host.ostree(["fsck"]).ok();
    // And back.
    host.upgrade().ok();
    assert_eq!(host.deployments(), [version("2", &second), version("1", &first)]);
    host.admin(["undeploy", "1"]).ok().says(&format!("Deleted deployment {first}.0"));
    assert_eq!(host.deployments(), [version("2", &second)]);
    host.ostree(["fsck"]).ok();
}

#[test]
fn a_host_stays_where_it_is_when_a_commit_is_refused() {
    let host = Host::with_first();
    let env = &host.env;
    let deployed = host.deployments();
    let first = deployed[0].1.clone();
    let refuse = |reason: &str| {
        host.upgrade().refuses().says(reason);
        assert_eq!(host.deployments(), deployed, "{reason}");
        host.serve(&first);
    };

    let other = env.gpg_key("two@treelay.test");
    host.build("2", REF, Some(&other));
    refuse("Can't check signature: public key not found");
    host.build("3", REF, None);
    refuse("GPG verification enabled, but no signatures found");
    // A good signature, but of what was made for others.
    let foreign = host.build("4", "others/x86_64", Some(&host.gpg));
    host.serve(&foreign);
    refuse(&format!(
        "Commit {foreign}: Commit has no requested ref ‘{REF}’ in ref binding metadata (‘others/x86_64’)"
    ));
    // Nothing of it was wrong with the host.
    let last = host.build("5", REF, Some(&host.gpg));
    host.upgrade().ok();
    assert_eq!(host.deployments()[0], ("5".to_owned(), last.clone()));

    // An older one is well signed too.
    host.serve(&first);
    let said = host.upgrade().refuses();
    let older = format!("Upgrade target revision '{first}' with timestamp");
    said.says(&older).says("is chronologically older than current revision");
    assert_eq!(host.deployments()[0], ("5".to_owned(), last));
    host.admin(["upgrade", "--os=host", "--allow-downgrade"]).ok();
    assert_eq!(host.deployments()[0], ("1".to_owned(), first));
    host.ostree(["fsck"]).ok();
}
