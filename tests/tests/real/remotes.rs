//! `treelay verify --remote` beside `ostree pull`, of remotes with GPG keys.

use std::fs;
use std::time::Duration;

use treelay_tests::rfc8032;

use crate::judged::{Os, Said};

/// Has GnuPG write what it has of these keys now; the option that gives them to a remote.
fn keyring(os: &Os, file: &str, keys: &[&str]) -> String {
    let exported = os.env.gpg(["--export"]).args(keys).ok().stdout;
    format!("--gpg-import={}", os.env.write(file, exported).display())
}

#[test]
fn gpg_remotes_are_judged_as_ostree_judges_them() {
    use Said::{Good, Refused, Stricter};
    let os = Os::new(|env| env.ostree([""; 0]));
    let env = &os.env;
    let key = |name: &str| env.gpg_key(&format!("{name}@treelay.test"));
    let [one, two, lost, old, sub] = ["one", "two", "lost", "old", "sub"].map(key);
    env.gpg(["--quick-add-key", &sub, "ed25519", "sign", "never"]).ok();
    os.commit("good", &[&one], &[]);
    os.commit("others", &[&two], &[]);
    os.commit("both", &[&two, &one], &[]);
    os.commit("unsigned", &[], &[]);
    os.commit("unbound", &[&one], &["--no-bindings"]);
    os.commit("lost", &[&lost], &[]);
    os.commit("lost-and-good", &[&lost, &one], &[]);
    os.commit("old", &[&old], &[]);
    os.commit("sub", &[&sub], &[]);
    os.commit("of-lost-sub", &[&lost, &sub], &[]);
    let collection = "--add-metadata-string=ostree.collection-binding=org.example.Os";
    os.commit("collected", &[&one], &[collection]);
    let good = env.ostree(["rev-parse", "--repo=os", "good"]).ok().out();
    fs::write(env.path("os/refs/heads/misbound"), &good).unwrap();
    // A signature that ends, over in a second.
    env.write("conf", "");
    let conf = env.dir().join("gnupg/gpg.conf");
    fs::write(&conf, "default-sig-expire seconds=1\n").unwrap();
    os.commit("ended", &[&one], &[]);
    fs::remove_file(&conf).unwrap();

    let ring = keyring(&os, "one.gpg", &[&one]);
    os.remote("right", &[&ring]);
    os.remote("wrong", &[&keyring(&os, "two.gpg", &[&two])]);
    os.remote("all", &[&keyring(&os, "all.gpg", &[&one, &two, &lost, &old, &sub])]);
    os.remote("none", &[]);
    os.remote("off", &["--no-gpg-verify"]);
    let path = format!("--set=gpgkeypath={}", env.path("one.gpg").display());
    os.remote("path", &[&path]);
    let gone = format!("--set=gpgkeypath={}", env.path("gone.gpg").display());
    os.remote("gone", &[&gone]);
    os.remote("collection", &[&ring, "--collection-id=org.example.Os"]);
    os.remote("other-collection", &[&ring, "--collection-id=org.example.Other"]);
    os.remote("unconfigured", &[&ring, "--set=unconfigured-state=buy"]);
    // Debian's ostree has no such engine, and pulls nothing then.
    let key = format!("--set=verification-ed25519-key={}", rfc8032::PUBLIC[0]);
    os.remote("both-asked", &[&ring, "--set=sign-verify=ed25519", &key]);

    // From here on some keys are not what they were.
    let set_expire = |id: &str| env.gpg(["--quick-set-expire", id, "seconds=1"]).ok();
    set_expire(&old);
    for id in [&lost, &sub] {
        let revocation = format!("gnupg/openpgp-revocs.d/{id}.rev");
        let text = fs::read_to_string(env.dir().join(revocation)).unwrap();
        let file = env.write("revocation", text.replace(":-----BEGIN", "-----BEGIN"));
        env.gpg(["--import"]).arg(file).ok();
    }
    let later = keyring(&os, "later.gpg", &[&one, &two, &lost, &old, &sub]);
    os.remote("later", &[&later]);
    std::thread::sleep(Duration::from_secs(3));

    for (remote, refname, said) in [
        ("right", "good", Good),
        ("right", "both", Good),
        ("right", "others", Refused),
        ("right", "unsigned", Refused),
        ("right", "misbound", Refused),
        ("right", "ended", Refused),
        ("right", "lost", Refused),
        ("right", "lost-and-good", Good),
        // Any other ref's commit could be given out as one that says of none.
        ("right", "unbound", Stricter),
        ("wrong", "good", Refused),
        ("wrong", "both", Good),
        ("none", "good", Refused),
        ("off", "good", Stricter),
        ("off", "unsigned", Stricter),
        ("path", "good", Good),
        ("path", "others", Refused),
        ("gone", "good", Refused),
        ("collection", "collected", Good),
        ("collection", "good", Refused),
        ("collection", "unbound", Refused),
        ("other-collection", "collected", Refused),
        ("unconfigured", "good", Refused),
        ("both-asked", "good", Refused),
        // Before and after keys were revoked, or expired.
        ("all", "lost", Good),
        ("all", "old", Good),
        ("all", "sub", Good),
        ("later", "good", Good),
        ("later", "lost", Refused),
        ("later", "old", Refused),
        ("later", "sub", Refused),
        ("later", "of-lost-sub", Refused),
        ("later", "lost-and-good", Good),
        ("later", "ended", Refused),
    ] {
        os.ask(remote, refname, said);
    }
    for (remote, refname, reason) in [
        ("later", "lost", "which was revoked"),
        ("later", "sub", "which was revoked"),
        ("later", "old", "which has expired"),
        ("right", "ended", "and has expired"),
        ("right", "others", "which is not in the keyring"),
        ("gone", "good", "gone.gpg"),
        ("none", "good", "has gpg-verify on, and no GPG key"),
        ("off", "good", "asks for no signature of commits"),
        ("both-asked", "good", "no good signature by a key of the remote both-asked"),
    ] {
        os.verify(remote, refname).fails(1).says(reason);
    }
    // The same keys given by hand.
    for (refname, reason) in [("lost", "which was revoked"), ("old", "which has expired")] {
        let verify = ["verify", &format!("ostree:os:{refname}"), "--gpg-keyring=later.gpg"];
        env.treelay(verify).fails(1).says(reason);
    }

    // Both at once, which this ostree cannot: GPG and a key.
    rfc8032::write(env);
    env.treelay(["sign", "ostree:os:good", "--key=b.key"]).ok();
    os.verify("both-asked", "good").fails(1);
    env.treelay(["sign", "ostree:os:good", "--key=a.key"]).ok();
    os.verify("both-asked", "good").ok().says("good: gpg by").says("good: ostree.sign.ed25519 by");
    env.treelay(["sign", "ostree:os:others", "--key=a.key"]).ok();
    os.verify("both-asked", "others").fails(1).says("no good signature by a GPG key of the remote");
}

#[test]
fn a_summary_that_must_be_signed_is_looked_at_too() {
    let os = Os::new(|env| env.ostree([""; 0]));
    let env = &os.env;
    let one = env.gpg_key("one@treelay.test");
    let ring = keyring(&os, "one.gpg", &[&one]);
    os.commit("os", &[&one], &[]);
    os.remote("origin", &[&ring, "--set=gpg-verify-summary=true"]);
    let verify = || env.treelay(["verify", "ostree:host", "--remote=origin"]);
    let update = || {
        let homedir = format!("--gpg-homedir={}", env.dir().join("gnupg").display());
        let sign = format!("--gpg-sign={one}");
        env.ostree(["summary", "--repo=os", "--update", &sign, &homedir]).ok();
    };
    os.ask("origin", "os", Said::Refused);
    update();
    env.ostree(["pull", "--repo=host", "origin", "os"]).ok();
    verify().ok().says("good: origin:os");

    // A newer one that was seen, and not pulled whole.
    let kept = env.path("host/tmp/cache/summaries");
    let newer = os.commit("os", &[&one], &["--subject=newer"]);
    update();
    for name in ["summary", "summary.sig"] {
        let copy = kept.join(name.replace("summary", "origin"));
        fs::copy(env.path("os").join(name), copy).unwrap();
    }
    verify().fails(1).says(&format!("has another commit for the ref os: {newer}"));
    env.ostree(["pull", "--repo=host", "origin", "os"]).ok();
    verify().ok();
    for file in ["origin", "origin.sig"] {
        let file = kept.join(file);
        let text = fs::read(&file).unwrap();
        let mut changed = text.clone();
        changed[text.len() / 2] ^= 1;
        for (changed, reason) in
            [(changed, "the summary of the remote origin"), (b"x".to_vec(), "is damaged")]
        {
            fs::write(&file, changed).unwrap();
            verify().fails(1).says(reason);
        }
        fs::remove_file(&file).unwrap();
        verify().fails(1).says("keeps no copy of it");
        fs::write(&file, text).unwrap();
        verify().ok();
    }
}
