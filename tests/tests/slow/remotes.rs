//! `treelay verify --remote` and `--revoked` beside an ostree that was built with ed25519.

use std::fs;

use treelay_tests::{Env, Run, rfc8032};

use crate::judged::{Os, Said};

fn ostree(env: &Env) -> Run {
    env.ostree_with_keys([""; 0])
}

fn sign(os: &Os, refname: &str, at: usize) {
    let secret = rfc8032::SECRET[at];
    os.ostree(&["sign", "--repo=os", "--sign-type=ed25519", refname, secret]).ok();
}

#[test]
fn ed25519_remotes_are_judged_as_ostree_judges_them() {
    use Said::{Good, Refused, Stricter};
    let os = Os::new(ostree);
    let [a, b, _] = rfc8032::PUBLIC;
    let collection = "--add-metadata-string=ostree.collection-binding=org.example.Os";
    for (refname, keys, args) in [
        ("good", &[0][..], &[][..]),
        ("others", &[1], &[]),
        ("both", &[1, 0], &[]),
        ("unsigned", &[], &[]),
        ("unbound", &[0], &["--no-bindings"]),
        ("collected", &[0], &[collection]),
    ] {
        os.commit(refname, &[], args);
        keys.iter().for_each(|at| sign(&os, refname, *at));
    }
    let heads = os.env.path("os/refs/heads");
    fs::copy(heads.join("good"), heads.join("misbound")).unwrap();
    let file = |name: &str, text: String| os.env.write(name, text).display().to_string();
    let list = file("list", format!("{b}\n{a}\n"));
    let none = file("none", "\n".to_owned());
    let gone = os.env.path("gone").display().to_string();

    // This ostree knows nothing of GPG, and says nothing of it in the configuration by itself.
    let off = "--set=gpg-verify=false";
    let inline = |key: &str| format!("--sign-verify=ed25519=inline:{key}");
    let from = |file: &str| format!("--sign-verify=ed25519=file:{file}");
    let key = format!("--set=verification-ed25519-key={a}");
    os.remote("right", &[off, &inline(a)]);
    os.remote("wrong", &[off, &inline(b)]);
    os.remote("list", &[off, &from(&list)]);
    os.remote("no-key", &[off, &from(&none)]);
    os.remote("gone", &[off, &from(&gone)]);
    os.remote("true", &[off, "--set=sign-verify=true", &key]);
    os.remote("yes", &[off, "--set=sign-verify=yes", &key]);
    os.remote("nothing", &[off, "--set=sign-verify=ed25519"]);
    os.remote("spki-key", &[off, &inline(rfc8032::FIRST_SPKI)]);
    os.remote("off", &[off, "--no-sign-verify"]);
    os.remote("collection", &[off, &inline(a), "--collection-id=org.example.Os"]);
    os.remote("other-collection", &[off, &inline(a), "--collection-id=org.example.Other"]);
    os.remote("summary", &[off, &inline(a), "--set=sign-verify-summary=ed25519"]);
    for (remote, refname, said) in [
        ("right", "good", Good),
        ("right", "both", Good),
        ("right", "others", Refused),
        ("right", "unsigned", Refused),
        ("right", "misbound", Refused),
        ("right", "unbound", Stricter),
        ("wrong", "good", Refused),
        ("wrong", "both", Good),
        ("list", "good", Good),
        ("list", "others", Good),
        ("list", "unsigned", Refused),
        ("no-key", "good", Refused),
        ("gone", "good", Refused),
        ("true", "good", Good),
        ("true", "others", Refused),
        ("yes", "good", Refused),
        ("nothing", "good", Refused),
        ("spki-key", "good", Refused),
        ("off", "good", Stricter),
        ("collection", "collected", Good),
        ("collection", "good", Refused),
        ("collection", "unbound", Refused),
        ("other-collection", "collected", Refused),
        ("summary", "good", Refused),
    ] {
        os.ask(remote, refname, said);
    }

    // One of another length beside one that is good.
    let commit = os.ostree(&["rev-parse", "--repo=os", "good"]).ok().out();
    let (first, rest) = commit.trim().split_at(2);
    let file = os.env.path(format!("os/objects/{first}/{rest}.commitmeta"));
    let whole = fs::read(&file).unwrap();
    let (good, short) = (whole[24..88].to_vec(), vec![1, 2, 3]);
    assert_eq!(beside(&[&good]), whole);
    for (list, said) in [([&short, &good], Refused), ([&good, &short], Stricter)] {
        fs::write(&file, beside(&list)).unwrap();
        os.ask("right", "good", said);
    }
}

/// Detached metadata with these signatures: an `a{sv}` of one `aay`, as GVariant is written.
fn beside(list: &[&Vec<u8>]) -> Vec<u8> {
    let mut bytes = b"ostree.sign.ed25519\0".to_vec();
    let key = bytes.len();
    bytes.resize(key.next_multiple_of(8), 0);
    let start = bytes.len();
    let mut ends = Vec::new();
    for one in list {
        bytes.extend(*one);
        ends.push(bytes.len() - start);
    }
    bytes.extend(ends.into_iter().map(|end| u8::try_from(end).unwrap()));
    bytes.extend(b"\0aay");
    bytes.push(u8::try_from(key).unwrap());
    bytes.push(u8::try_from(bytes.len()).unwrap());
    bytes
}

#[test]
fn revoked_keys_do_not_count_for_either() {
    let os = Os::new(ostree);
    rfc8032::write(&os.env);
    os.commit("one", &[], &[]);
    sign(&os, "one", 0);
    os.commit("two", &[], &[]);
    [0, 1].into_iter().for_each(|at| sign(&os, "two", at));
    let [a, b, c] = rfc8032::PUBLIC;
    os.env.write("keys/trusted.ed25519", format!("{a}\n"));
    os.env.write("keys/trusted.ed25519.d/more", format!("{b}\n"));
    for (revoked, one, two) in [
        (vec![c], true, true),
        (vec![a], false, true),
        (vec![b], true, true),
        (vec![c, b, a], false, false),
    ] {
        os.env.write("keys/revoked.ed25519", revoked.join("\n") + "\n");
        for (refname, good) in [("one", one), ("two", two)] {
            let verify =
                ["sign", "--repo=os", "--verify", "--sign-type=ed25519", "--keys-dir=keys"];
            let ostree = os.ostree(&verify).arg(refname).output();
            let place = format!("ostree:os:{refname}");
            let keys = ["--key=a.pub", "--key=b.pub", "--revoked=keys/revoked.ed25519"];
            let treelay = os.env.treelay(["verify", &place]).args(keys).output();
            for output in [ostree, treelay] {
                assert_eq!(output.status.success(), good, "{revoked:?} {refname}\n{output}");
            }
        }
    }
}
