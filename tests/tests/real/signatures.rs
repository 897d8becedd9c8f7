//! Signatures added to commits that have some: real ostree and GnuPG see the old ones and the new.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

use treelay_tests::tamper::{self, Random};
use treelay_tests::{Env, Run, rfc8032};

use crate::sdk::with_password;

const REFS: [&str; 2] = ["os/x86_64", "os/aarch64"];

/// The repository `os` with a commit for each ref, made by ostree, and keys.
fn repository(mode: &str) -> Env {
    let env = Env::new();
    rfc8032::write(&env);
    env.write("root/usr/bin/sh", "sh\n");
    env.ostree(["init", "--repo=os", &format!("--mode={mode}")]).ok();
    for name in REFS {
        env.write("root/usr/lib/name", name);
        let branch = format!("--branch={name}");
        let commit = ["commit", "--repo=os", &branch, "--owner-uid=0", "--owner-gid=0", "root"];
        env.ostree(commit).ok();
    }
    env
}

fn sign(env: &Env, place: &str, keys: &[&str]) -> Run {
    with_password(env.treelay(["sign", place]).args(keys))
}

/// What ostree reads beside a commit, as text.
fn beside(env: &Env, refname: &str, key: &str) -> String {
    let key = format!("--print-detached-metadata-key={key}");
    env.ostree(["show", "--repo=os", &key, refname]).ok().out().trim().to_owned()
}

/// The file with the signatures of a ref's commit.
fn file_of(env: &Env, refname: &str) -> std::path::PathBuf {
    let commit = env.ostree(["rev-parse", "--repo=os", refname]).ok().out();
    let (first, rest) = commit.trim().split_at(2);
    env.path(format!("os/objects/{first}/{rest}.commitmeta"))
}

/// Asserts that a list of signatures, as text, is the old one with more behind it.
#[track_caller]
fn grew(old: &str, new: &str) {
    let unclosed = old.strip_suffix(']').unwrap();
    assert!(new.starts_with(unclosed) && new.len() > old.len(), "{old}\n{new}");
}

/// How many signatures of each scheme there are. Not by ostree's text, which has a signature as a
/// string where that happens to end in a zero.
fn counts(env: &Env, refname: &str) -> [usize; 3] {
    let verify = ["verify", &format!("ostree:os:{refname}"), "--key=a.pub", "--json"];
    let seen = env.treelay(verify).ok().json();
    let signatures = seen["commits"][0]["signatures"].as_array().unwrap().clone();
    ["ostree.sign.ed25519", "gpg", "ostree.sign.spki"]
        .map(|scheme| signatures.iter().filter(|one| one["scheme"] == scheme).count())
}

#[test]
fn signatures_are_added_beside_those_of_others() {
    for mode in ["archive", "bare-user"] {
        let env = repository(mode);
        let generate = ["key", "generate", "--out", "p256", "--type", "ecdsa-p256"];
        with_password(env.treelay(generate)).ok();
        let [one, two, three] = ["one", "two", "three"].map(|name| {
            let id = env.gpg_key(&format!("{name}@treelay.test"));
            env.write(&format!("{name}.gpg"), env.gpg(["--export", &id]).ok().stdout);
            id
        });
        let all = env.gpg(["--export"]).ok().stdout;
        let import = format!("--gpg-import={}", env.write("all.gpg", all).display());
        env.ostree(["remote", "add", "--repo=os", &import, "all", "http://os.example"]).ok();
        // The first signatures: treelay's on the refs of every arch, and GnuPG's by ostree.
        let all = "ostree:os:os/{{ arch.uname }}";
        let first = sign(&env, all, &["--key=a.key", "--json"]).ok().json();
        assert_eq!(first["signatures"].as_array().unwrap().len(), REFS.len(), "{first}");
        let homedir = format!("--gpg-homedir={}", env.dir().join("gnupg").display());
        for name in REFS {
            env.ostree(["gpg-sign", "--repo=os", &homedir, name, &one]).ok();
        }
        env.ostree(["summary", "--repo=os", "--update", &homedir, &format!("--gpg-sign={one}")])
            .ok();
        let summary =
            || ["summary", "summary.sig"].map(|it| fs::read(env.path("os").join(it)).unwrap());
        let (kept, schemes) = (summary(), ["ostree.sign.ed25519", "ostree.gpgsigs"]);
        let before = REFS.map(|name| schemes.map(|scheme| beside(&env, name, scheme)));

        // Later ones: several of each kind at once, to every ref.
        let gpg = [format!("--gpg-key={two}"), format!("--gpg-key={three}")];
        let keys = ["--key=b.key", "--key=p256.key", "--key=c.key", &gpg[0], &gpg[1]];
        let added = sign(&env, "ostree:os", &keys).ok().out();
        assert_eq!(added.lines().count(), 5 * REFS.len(), "{added}");
        for (name, old) in REFS.into_iter().zip(&before) {
            for (scheme, old) in schemes.into_iter().zip(old) {
                grew(old, &beside(&env, name, scheme));
            }
            assert_eq!(counts(&env, name), [3, 3, 1]);
            // Each is good by itself, to both.
            for key in ["a.pub", "b.pub", "c.pub", "p256.pub"] {
                env.treelay(["verify", &format!("ostree:os:{name}"), "--key", key]).ok();
            }
            for keyring in ["one.gpg", "two.gpg", "three.gpg"] {
                let keyring = format!("--gpg-keyring={keyring}");
                env.treelay(["verify", &format!("ostree:os:{name}"), &keyring]).ok();
            }
            let shown = env.ostree(["show", "--repo=os", "--gpg-verify-remote=all", name]).ok();
            assert_eq!(shown.out().matches("Good signature").count(), 3, "{shown}");
        }
        assert_eq!(summary(), kept);

        // Again: nothing changes, which is said.
        let files = REFS.map(|name| fs::read(file_of(&env, name)).unwrap());
        let commit = env.ostree(["rev-parse", "--repo=os", REFS[0]]).ok().out();
        let one = format!("--gpg-key={one}");
        for place in ["ostree:os", all, &format!("ostree:os:{}", commit.trim())] {
            let again = sign(&env, place, &keys).args(["--key=a.key", &one]).ok();
            assert_eq!(again.out(), "everything carries these signatures already\n");
        }
        assert_eq!(REFS.map(|name| fs::read(file_of(&env, name)).unwrap()), files);
        env.ostree(["fsck", "--quiet", "--repo=os"]).ok();
    }
}

#[test]
fn a_commit_object_alone_is_signed_and_a_damaged_one_is_not() {
    let env = repository("archive");
    let place = format!("ostree:os:{}", REFS[0]);
    // Where keys are kept apart from content: the commit comes, and its signature goes back.
    env.ostree(["init", "--repo=signer", "--mode=archive"]).ok();
    let pull = ["pull-local", "--repo=signer", "--commit-metadata-only", "os", REFS[0]];
    env.ostree(pull).ok();
    sign(&env, &format!("ostree:signer:{}", REFS[0]), &["--key=a.key"]).ok();

    sign(&env, &place, &["--key=a.key"]).ok();
    let signatures = file_of(&env, REFS[0]);
    let whole = fs::read(&signatures).unwrap();
    // Of signatures that cannot be read, nothing is thrown away.
    for damaged in [&whole[..whole.len() - 3], &[7; 40][..]] {
        fs::write(&signatures, damaged).unwrap();
        let refused = sign(&env, &place, &["--key=b.key"]).fails(1);
        refused.says("the signatures beside it are damaged");
        assert_eq!(fs::read(&signatures).unwrap(), damaged);
    }
    fs::write(&signatures, &whole).unwrap();
    tamper::flip(&signatures.with_extension("commit"), 7);
    sign(&env, &place, &["--key=b.key"]).fails(1).says("its bytes do not have that checksum");
    assert_eq!(fs::read(&signatures).unwrap(), whole);
}

#[test]
fn no_signature_is_lost_when_signing_is_killed_or_done_by_several_at_once() {
    let env = repository("archive");
    let place = format!("ostree:os:{}", REFS[0]);
    sign(&env, &place, &["--key=a.key"]).ok();
    let signatures = file_of(&env, REFS[0]);
    let first = fs::read(&signatures).unwrap();
    let began = Instant::now();
    sign(&env, &place, &["--key=b.key", "--key=c.key"]).ok();
    let whole = began.elapsed();
    let complete = fs::read(&signatures).unwrap();
    // What is there is replaced, never written over.
    let inode = fs::metadata(&signatures).unwrap().ino();
    let mut random = Random(5);
    for round in 0..60 {
        fs::write(&signatures, &first).unwrap();
        let mut child = sign(&env, &place, &["--key=b.key", "--key=c.key"]).spawn();
        let later = random.below(u64::try_from(whole.as_micros()).unwrap());
        std::thread::sleep(Duration::from_micros(later));
        child.kill().unwrap();
        child.wait().unwrap();
        let found = fs::read(&signatures).unwrap();
        assert!(found == first || found == complete, "round {round}, after {later} us");
    }
    fs::write(&signatures, &first).unwrap();
    sign(&env, &place, &["--key=b.key"]).ok();
    assert_ne!(fs::metadata(&signatures).unwrap().ino(), inode);

    // Eight at once, each with a key of its own.
    let names: Vec<String> = (0..8).map(|n| format!("many-{n}")).collect();
    for name in &names {
        let key = format!("{name}.key");
        env.openssl(["genpkey", "-algorithm", "ed25519", "-out", &key]).ok();
        env.openssl(["pkey", "-in", &key, "-pubout", "-out", &format!("{name}.pub")]).ok();
    }
    let running: Vec<_> = names
        .iter()
        .map(|name| sign(&env, &place, &[&format!("--key={name}.key")]).spawn())
        .collect();
    for child in running {
        assert!(child.wait_with_output().unwrap().status.success());
    }
    for name in names.iter().map(String::as_str).chain(["a", "b"]) {
        env.treelay(["verify", &place, "--key", &format!("{name}.pub")]).ok();
    }
    env.ostree(["fsck", "--quiet", "--repo=os"]).ok();
}
