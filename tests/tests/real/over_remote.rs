//! Commits over a base that is pulled from a web server, and verified.

use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use treelay_tests::http::Server;
use treelay_tests::{Env, tamper};

use crate::sdk::with_password;

const REF: &str = "os/x86_64";

/// A repository `os` with a signed commit, on a server.
struct Remote {
    env: Env,
    server: Server,
    gpg: String,
}

impl Remote {
    fn new() -> Self {
        let env = Env::new();
        env.write("root/usr/bin/sh", "sh\n");
        env.write("root/usr/share/big", (0..300_000).map(|n| n.to_string()).collect::<String>());
        fs::create_dir_all(env.path("root/usr/share/empty")).unwrap();
        env.ostree(["init", "--repo=os", "--mode=archive"]).ok();
        let gpg = env.gpg_key("one@treelay.test");
        env.write("gpg.pub", env.gpg(["--export", &gpg]).ok().stdout);
        let server = Server::of(&env.path("os"));
        let remote = Self { env, server, gpg };
        remote.commit(REF, 1_700_000_000, true);
        remote
    }

    /// A new commit of a ref; its checksum.
    fn commit(&self, refname: &str, time: u64, signed: bool) -> String {
        let env = &self.env;
        env.write("root/usr/lib/time", time.to_string());
        let (branch, time) = (format!("--branch={refname}"), format!("--timestamp=@{time}"));
        let homedir = format!("--gpg-homedir={}", env.dir().join("gnupg").display());
        let sign = [format!("--gpg-sign={}", self.gpg), homedir];
        let commit = ["commit", "--repo=os", &branch, &time, "--owner-uid=0", "--owner-gid=0"];
        let run = env.ostree(commit).args(if signed { &sign[..] } else { &[] });
        run.arg("root").ok().out().trim().to_owned()
    }

    /// The recipe, with what the remote's keys are.
    fn recipe(&self, keys: &str) {
        let url = self.server.url("");
        self.env.write(
            "tools.yaml",
            format!(
                "name: tools\nversion: \"2\"\narch: [amd64]\nepoch: 1735689600\nlayers:\n  - name: \
                 tools\n    files: [{{path: /usr/bin/tool, content: x}}]\nostree:\n  ref: ours\n  \
                 base: {{remote: {{url: \"{url}\", {keys}}}, ref: {REF}}}\n"
            ),
        );
    }

    /// The objects of the store's copies, other than directories.
    fn kept(&self, kind: &str) -> usize {
        let bases = self.env.dir().join("store/bases");
        let files = if bases.exists() { tamper::files(&bases) } else { Vec::new() };
        files.iter().filter(|file| file.extension().is_some_and(|it| it == kind)).count()
    }
}

const BUILD: [&str; 4] = ["build", "tools.yaml", "-o", "ostree:out"];

#[test]
fn what_the_key_signed_is_pulled_once() {
    let remote = Remote::new();
    let env = &remote.env;
    remote.recipe("gpg-key: gpg.pub");
    env.treelay(["lock", "tools.yaml"]).ok().says("base commit for amd64: http://127.0.0.1:");
    // The lock needs no more than the commit.
    assert_eq!((remote.kept("commit"), remote.kept("filez")), (1, 0));
    env.treelay(BUILD).ok();
    env.ostree(["fsck", "--quiet", "--repo=out"]).ok();
    assert_eq!(env.ostree(["cat", "--repo=out", "ours", "/usr/bin/sh"]).ok().out(), "sh\n");
    assert_eq!(remote.kept("filez"), 3);
    let base = env.ostree(["rev-parse", "--repo=os", REF]).ok().out();
    let key = "--print-metadata-key=treelay.base";
    let shown = env.ostree(["show", "--repo=out", key, "ours"]).ok().out();
    assert_eq!(shown.trim(), format!("'{}'", base.trim()));

    // What is in the store needs no server, whatever the ref names by now.
    remote.commit(REF, 1_700_000_001, true);
    let asked = remote.server.requests();
    env.treelay(BUILD).ok();
    env.treelay(BUILD.iter().chain(&["--offline", "--locked"])).ok();
    env.treelay(["build", "tools.yaml", "-o", "ostree:second", "--offline"]).ok();
    assert_eq!(remote.server.requests(), asked);
    let again = env.ostree(["rev-parse", "--repo=second", "ours"]).ok().out();
    assert_eq!(again, env.ostree(["rev-parse", "--repo=out", "ours"]).ok().out());

    // An empty store, offline: nothing is asked.
    let offline = ["build", "tools.yaml", "-o", "ostree:third", "--offline", "--store=empty"];
    env.treelay(offline).fails(1).says("is not at hand, and being offline forbids");
    env.treelay(["lock", "tools.yaml", "--update", "ostree.base", "--offline"]).fails(1);
    assert_eq!(remote.server.requests(), asked);

    // The newer one is taken when it is asked for; never an older one.
    env.treelay(["lock", "tools.yaml", "--update", "ostree.base"]).ok().says("base commit for");
    fs::write(env.path(format!("os/refs/heads/{REF}")), base).unwrap();
    let update = ["lock", "tools.yaml", "--update"];
    env.treelay(update).fails(1).says("which is older than");
}

#[test]
fn what_it_did_not_sign_is_refused_before_it_is_pulled() {
    let remote = Remote::new();
    let env = &remote.env;
    let other = env.gpg_key("two@treelay.test");
    env.write("other.pub", env.gpg(["--export", &other]).ok().stdout);
    for kind in ["ed25519", "ecdsa-p256"] {
        with_password(env.treelay(["key", "generate", "--out", kind, "--type", kind])).ok();
    }
    let pem = env.read("ed25519.pub");
    let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let der = STANDARD.decode(body).unwrap();
    let ed25519 = format!("ed25519-key: \"{}\"", STANDARD.encode(&der[der.len() - 32..]));
    let both = format!("gpg-key: gpg.pub, {ed25519}");

    let lock = || env.treelay(["lock", "tools.yaml"]);
    let refuse = |keys: &str, reason: &str| {
        remote.recipe(keys);
        lock().fails(1).says("is refused").says(reason);
        assert_eq!((remote.kept("commit"), remote.kept("filez")), (0, 0), "{keys}");
        assert!(!env.path("tools.lock").exists());
    };
    refuse("gpg-key: other.pub", "no good signature by a GPG key of the given keyring");
    refuse(&ed25519, "no good signature by one of the given keys");
    refuse(&both, "no good signature by one of the given keys");

    // Signed with the others too.
    let place = format!("ostree:os:{REF}");
    let sign = |key: &str| with_password(env.treelay(["sign", &place, "--key", key])).ok();
    sign("ecdsa-p256.key");
    refuse(&ed25519, "no good signature by one of the given keys");
    sign("ed25519.key");
    for keys in [&ed25519, &both, "spki-key: ecdsa-p256.pub"] {
        remote.recipe(keys);
        env.treelay(["build", "tools.yaml", "-o", "ostree:out", "--store=fresh"]).ok();
        fs::remove_dir_all(env.path("fresh")).unwrap();
        fs::remove_file(env.path("tools.lock")).unwrap();
    }

    // A key that is revoked, and another that is not.
    env.write("revoked", env.read("ed25519.pub"));
    refuse(&format!("{ed25519}, revoked-keys: revoked"), "which is revoked");
    remote.recipe("spki-key: ecdsa-p256.pub, revoked-keys: revoked");
    env.treelay(["build", "tools.yaml", "-o", "ostree:out", "--store=fresh"]).ok();
    fs::remove_dir_all(env.path("fresh")).unwrap();
    fs::remove_file(env.path("tools.lock")).unwrap();

    // Another ref's commit under this name, well signed as it is.
    let foreign = remote.commit("os/other", 1_700_000_002, true);
    fs::write(env.path(format!("os/refs/heads/{REF}")), format!("{foreign}\n")).unwrap();
    refuse("gpg-key: gpg.pub", "names a commit that was made for os/other");

    // Nobody's: only where the recipe says that it does not matter.
    remote.commit(REF, 1_700_000_003, false);
    refuse("gpg-key: gpg.pub", "it has none at all");
    remote.recipe("unverified: true");
    env.treelay(BUILD).ok();
    env.ostree(["fsck", "--quiet", "--repo=out"]).ok();
}

#[test]
fn what_is_damaged_on_the_way_is_not_kept() {
    let remote = Remote::new();
    let env = &remote.env;
    remote.recipe("gpg-key: gpg.pub");
    let files = tamper::files(&env.path("os/objects"));
    let of_kind = |kind: &str| {
        files.iter().find(|file| file.extension().is_some_and(|it| it == kind)).unwrap()
    };
    for kind in ["filez", "dirtree"] {
        let (file, store) = (of_kind(kind), format!("--store={kind}"));
        let flipped = tamper::flip(file, 7);
        env.treelay(BUILD).arg(&store).fails(1);
        assert!(!env.path("out/refs/heads/ours").exists());
        // As soon as the server is well again, so are we.
        tamper::flip_at(file, flipped.offset, flipped.mask);
        env.treelay(BUILD).arg(&store).ok();
        env.ostree(["fsck", "--quiet", "--repo=out"]).ok();
        fs::remove_dir_all(env.path("out")).unwrap();
    }

    // The commit object itself.
    env.write("elsewhere/tools.yaml", env.read("tools.yaml").replace("gpg.pub", "../gpg.pub"));
    tamper::flip(of_kind("commit"), 7);
    let build = ["build", "elsewhere/tools.yaml", "-o", "ostree:out2", "--store=fresh"];
    env.treelay(build).fails(1);
}

#[test]
fn a_base_that_is_damaged_in_the_store_is_found_and_pulled_again() {
    let remote = Remote::new();
    let env = &remote.env;
    remote.recipe("gpg-key: gpg.pub");
    env.treelay(BUILD).ok();
    let verify = |args: &[&str]| env.treelay(["store", "verify"]).args(args);
    verify(&[]).ok().says("objects of bases checked, 0 wrong");
    let files = tamper::files(&env.dir().join("store/bases"));
    let mut objects = files.iter().filter(|file| file.extension().is_some_and(|it| it == "filez"));
    let object = objects.next().unwrap();
    tamper::flip(object, 7);
    verify(&[]).fails(1).says(".file: its ").says("an object of a base");
    verify(&["--repair"]).ok().says("1 wrong, and removed");
    assert!(!object.exists());
    verify(&[]).ok().says("0 wrong");
    fs::remove_dir_all(env.path("out")).unwrap();
    env.treelay(BUILD).ok();
    assert!(object.exists());
    env.ostree(["fsck", "--quiet", "--repo=out"]).ok();
}

#[test]
fn a_recipe_with_another_key_takes_nothing_from_others() {
    let remote = Remote::new();
    let env = &remote.env;
    remote.recipe("gpg-key: gpg.pub");
    env.treelay(BUILD).ok();
    let (own, lock) = (env.read("tools.yaml"), env.read("tools.lock"));
    env.write("other.pub", env.gpg(["--export", &env.gpg_key("two@treelay.test")]).ok().stdout);
    remote.recipe("gpg-key: other.pub");
    env.treelay(["lock", "tools.yaml", "--update"]).fails(1).says("no good signature");
    env.write("tools.yaml", own);
    env.write("tools.lock", lock);
    env.treelay(BUILD).args(["--offline", "--locked"]).ok();
}
