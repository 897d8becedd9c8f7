//! A machine boots a host's base commit, upgrades to treelay's commit over it, boots that, and goes
//! back.
//!
//! The machine is emulated and boots what `/boot/loader/entries` says, with no boot loader of its own
//! (see [`treelay_tests::machine`]); everything from the kernel on is Debian's.

use std::fs;
use std::os::unix::fs::symlink;

use treelay_ci::tools::{Kept, workspace};
use treelay_tests::http::Server;
use treelay_tests::machine::{self, Machine, as_root};
use treelay_tests::{Env, Run, tools};

const REF: &str = "host/x86_64";

/// Where a host's own things stay through upgrades.
const HELLO: &str = "/var/lib/hello";

/// Of the library only the runtime, which is compiled first: the rest costs minutes.
const PROGRAM: &str = r#"package main

import "runtime"

func main() { println("hello from", runtime.Version(), runtime.GOARCH) }
"#;

/// The base: Debian's tree, the network, and the unit that runs the tests' scripts; signed, as all
/// that the machine trusts.
fn base(env: &Env, gpg: &str) -> String {
    let system = |path: &str| format!("own/usr/lib/systemd/system/{path}");
    env.write(
        "own/usr/lib/systemd/network/80-any.network",
        "[Match]\nType=ether\n[Network]\nDHCP=ipv4\n",
    );
    // Where the link at /root leads; the toolchain keeps its cache there.
    env.write("own/usr/lib/tmpfiles.d/root.conf", "d /var/roothome 0700 root root -\n");
    env.write(&system("script.service"), machine::UNIT);
    for (target, unit) in [
        ("multi-user", "script.service"),
        ("multi-user", "systemd-networkd.service"),
        ("network-online", "systemd-networkd-wait-online.service"),
    ] {
        let wants = env.path(system(&format!("{target}.target.wants")));
        fs::create_dir_all(&wants).unwrap();
        symlink(format!("../{unit}"), wants.join(unit)).unwrap();
    }
    tools::kept(Kept::Machine);
    let tree = format!("--tree=dir={}", Kept::Machine.root().join("tree").display());
    env.ostree(["init", "--repo=os", "--mode=archive"]).ok();
    let commit = ["commit", "--repo=os", "--branch", REF, "--bootable", "--timestamp=@1700000000"];
    let commit = env.ostree(commit).args([
        "--add-metadata-string=ostree.architecture=x86_64",
        "--add-metadata-string=version=13",
    ]);
    as_root(env.run("chown").args(["-R", "0:0", "own"])).ok();
    let made = as_root(commit.args([&tree, "--tree=dir=own"])).ok().out().trim().to_owned();
    let homedir = format!("--gpg-homedir={}", env.dir().join("gnupg").display());
    as_root(env.ostree(["gpg-sign", "--repo=os", &homedir, &made, gpg])).ok();
    made
}

/// Commits the real Go over the base, into `out`, signed.
fn upgrade(env: &Env, gpg: &str) -> String {
    let recipe = fs::read_to_string(workspace().join("recipes/catalog/go-sdk.yaml")).unwrap();
    // The lock pins the toolchain of every arch that the recipe has: one is enough here.
    let recipe = recipe.replace("arch: [amd64, arm64, ppc64le]", "arch: [amd64]");
    let refs = "  ref: treelay/{{ name }}/{{ arch.uname }}\n";
    assert!(recipe.contains(refs));
    let ours = format!("  ref: {REF}\n  base: {{repo: os, ref: {REF}}}\n");
    env.write("go-sdk.yaml", recipe.replace(refs, &ours));
    let build = ["build", "go-sdk.yaml", "-o", "ostree:out", "--gpg-key", gpg, "--json"];
    let report = env.treelay_online(build).ok().json();
    report["commits"][0]["checksum"].as_str().unwrap().to_owned()
}

/// `ostree` of Debian 13, for a sysroot that is copied and not kept: what is immutable could not be
/// removed.
fn ostree<const N: usize>(env: &Env, args: [&str; N]) -> Run {
    env.trixie(["ostree"]).env("OSTREE_SYSROOT_DEBUG", "mutable-deployments").args(args)
}

#[test]
fn a_machine_boots_upgrades_to_go_and_rolls_back() {
    let env = Env::new();
    let gpg = env.gpg_key("one@treelay.test");
    let first = base(&env, &gpg);
    let keyring = env.write("gpg.pub", env.gpg(["--export", &gpg]).ok().stdout);
    env.ostree(["init", "--repo=out", "--mode=archive"]).ok();
    let server = Server::of(&env.path("out"));

    fs::create_dir(env.path("sysroot")).unwrap();
    ostree(&env, ["admin", "init-fs", "sysroot"]).ok();
    ostree(&env, ["admin", "os-init", "--sysroot=sysroot", "host"]).ok();
    let import = format!("--gpg-import={}", keyring.display());
    let url = server.url("").replace("127.0.0.1", machine::LOOPBACK);
    let add = ["remote", "add", "--repo=sysroot/ostree/repo", "--set=gpg-verify=true", &import];
    ostree(&env, add).args(["origin", &url]).ok();
    let pull = ["pull-local", "--repo=sysroot/ostree/repo", "--remote=origin", "os", REF];
    ostree(&env, pull).ok();
    let deploy = ostree(&env, ["admin", "deploy", "--sysroot=sysroot", "--os=host"]);
    let kernel_args = machine::KERNEL_ARGS.map(|arg| format!("--karg={arg}"));
    deploy.args(kernel_args).arg(format!("origin:{REF}")).ok();
    let machine = Machine::new(&env, &env.path("sysroot"));

    let second = upgrade(&env, &gpg);
    let said = machine.boot(
        "ostree admin status
        fails test -e /usr/bin/go
        ostree admin upgrade | cat
        ostree admin status",
    );
    let (before, after) =
        (format!("* host {first}.0\n    Version: 13"), format!("host {second}.0"));
    assert!(said.starts_with(&before) && said.contains(&after), "{said}");

    let said = machine.boot(&format!(
        "ostree admin status
        systemctl --failed --no-legend
        fails touch /usr/touched
        echo inotify $(cat /proc/sys/fs/inotify/max_user_watches)
        go version
        echo toolchain $(go env GOTOOLCHAIN)
        mkdir -p {HELLO}
        cat > {HELLO}/hello.go <<'END'\n{PROGRAM}END
        go build -o {HELLO}/hello {HELLO}/hello.go
        {HELLO}/hello
        ostree admin set-default 1
        ostree admin status"
    ));
    let now = format!("* host {second}.0\n    Version: 1.27.3\n    origin refspec: origin:{REF}\n");
    assert!(said.starts_with(&now), "{said}");
    for line in [
        "touch: cannot touch '/usr/touched': Read-only file system",
        // From the layer's /usr/lib/sysctl.d, and its /etc/profile.d.
        "inotify 524288",
        "toolchain local",
        "go version go1.27.3 linux/amd64",
        "hello from go1.27.3 amd64",
        "GPG: Good signature from",
    ] {
        assert!(said.contains(line), "no {line:?} in {said}");
    }

    let said = machine.boot(&format!(
        "ostree admin status
        fails test -e /usr/bin/go
        fails test -e /etc/profile.d/go.sh
        {HELLO}/hello"
    ));
    assert!(said.starts_with(&before) && said.contains(&after), "{said}");
    assert!(said.contains("hello from go1.27.3 amd64"), "{said}");
}
