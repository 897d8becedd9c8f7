//! The commits of the real Go, read by ostree, OpenSSL and GnuPG.

use std::fs;

use serde_json::Value;
use treelay_tests::Env;
use treelay_tests::http::Server;

use crate::sdk::{
    ARCHES, Arch, Listing, catalog, independent, listing, of_arch, sdk, with_password,
};

/// The content checksums of the commits: the identity of a tree in OSTree, whatever its time.
const PINNED: [&str; 3] = [
    "66baad1e097cf12c3eaf2dc188c8264001575f4a2db1ef69f7f4eb06bb0eb245",
    "bd8f4235b210e173e6a26c40c96ec99a27fc5069f48f7549e26c2e138bf8c92c",
    "a4c61d15bfced620ba007aa20e0338db932929db549c430dd216091add9786d8",
];

#[test]
fn fsck_finds_nothing_and_the_summary_lists_every_ref() {
    let sdk = sdk();
    let repo = sdk.repo();
    sdk.env.ostree(["fsck", "--quiet", &repo]).ok();
    let refs = sdk.env.ostree(["refs", &repo]).ok().out();
    let mut refs: Vec<&str> = refs.lines().collect();
    refs.sort_unstable();
    assert_eq!(refs, ["treelay/go-sdk/aarch64", "treelay/go-sdk/ppc64le", "treelay/go-sdk/x86_64"]);
    let summary = sdk.env.ostree(["summary", "--view", &repo]).ok().out();
    let listed: Vec<&str> = summary.lines().filter_map(|line| line.strip_prefix("* ")).collect();
    assert_eq!(listed, refs);
    for arch in &ARCHES {
        assert!(summary.contains(sdk.commit(arch)), "{summary}");
    }
}

#[test]
fn show_and_ls_say_what_was_committed() {
    let sdk = sdk();
    for (arch, pinned) in ARCHES.iter().zip(PINNED) {
        let (repo, name) = (sdk.repo(), arch.refname());
        let shown = sdk.env.ostree(["show", &repo, &name]).ok();
        let commit = of_arch(&sdk.report["commits"], arch);
        assert_eq!(commit["ref"], name);
        assert_eq!(commit["content_checksum"], pinned);
        let shown = shown.says(&format!("commit {}\n", sdk.commit(arch)));
        let shown = shown.says(&format!("ContentChecksum:  {pinned}\n"));
        // The release of the wheels, not of this build.
        shown.says("Date:  2026-10-19 22:20:36 +0000\n").says("Version: 1.27.3\n");
        for (key, value) in [
            ("version", "'1.27.3'".to_owned()),
            ("ostree.architecture", format!("'{}'", arch.uname)),
            ("ostree.ref-binding", format!("['{name}']")),
            ("io.github.sdk.lang", "'go'".to_owned()),
            ("io.github.sdk.version", "'1.27.3'".to_owned()),
        ] {
            let key = format!("--print-metadata-key={key}");
            assert_eq!(sdk.env.ostree(["show", &repo, &key, &name]).ok().out().trim(), value);
        }
        let listed = sdk.env.ostree(["ls", "-R", "-X", &repo, &name]).ok().out();
        let listed = listed.lines().filter_map(row);
        Listing::from_lines(listed).is(&without_contents(&sdk.expected(arch).as_commit()));
    }
}

/// A row of `ostree ls -X` as listings have it, without digests. The root has none.
fn row(row: &str) -> Option<String> {
    let (left, right) = row.split_once(" { @a(ayay) [] } /").expect("no extended attributes");
    let (path, target) = match right.split_once(" -> ") {
        Some((path, target)) => (path, Some(target)),
        None => (right, None),
    };
    let words: Vec<&str> = left.split_whitespace().collect();
    let (kind, mode) = words[0].split_at(1);
    assert_eq!(words[1..3], ["0", "0"], "{row}");
    let mode = mode.trim_start_matches('0');
    let line = match (kind, target) {
        ("d", None) => format!("{path} d {mode}"),
        ("-", None) => format!("{path} f {mode} {}", words[3]),
        ("l", Some(target)) => format!("{path} l {target}"),
        _ => panic!("{row}"),
    };
    (!path.is_empty()).then_some(line)
}

fn without_contents(listing: &Listing) -> Listing {
    Listing::from_lines(listing.lines().map(|line| {
        let file = line.split(' ').nth(1) == Some("f");
        let end = if file { line.rfind(' ').unwrap() } else { line.len() };
        line[..end].to_owned()
    }))
}

#[test]
fn a_checkout_is_the_distribution_byte_for_byte() {
    let env = Env::new();
    let sdk = sdk();
    for arch in &ARCHES {
        let folder = env.path(arch.go);
        // As a user may, without owners.
        let checkout = ["checkout", "--user-mode", &sdk.repo(), &arch.refname()];
        env.ostree(checkout).arg(&folder).ok();
        listing(&env, &folder).is(&sdk.expected(arch).as_commit());
    }
}

#[test]
fn a_pull_over_http_takes_what_the_right_gpg_key_signed() {
    let env = Env::new();
    let sdk = sdk();
    let server = Server::of(&sdk.path("repo"));
    let arch = &ARCHES[1];
    let repo = format!("--repo={}", env.path("second").display());
    env.ostree(["init", "--mode=archive", &repo]).ok();
    let import = format!("--gpg-import={}", sdk.path("gpg.pub").display());
    env.ostree(["remote", "add", &repo, &import, "origin", &server.url("")]).ok();
    let refs = env.ostree(["remote", "refs", &repo, "origin"]).ok().out();
    let names = ARCHES.map(|arch| format!("origin:{}", arch.refname()));
    assert!(names.iter().all(|name| refs.contains(name.as_str())), "{refs}");
    env.ostree(["pull", &repo, "origin", &arch.refname()]).ok();
    let name = format!("origin:{}", arch.refname());
    let shown = env.ostree(["show", &repo, "--gpg-verify-remote=origin", &name]).ok();
    let shown = shown.says(sdk.commit(arch)).says("Good signature from");
    assert!(!shown.out().contains("BAD"), "{shown}");
    env.ostree(["fsck", "--quiet", &repo]).ok();

    // treelay verifies the pulled commit by each of its three signatures.
    let place = format!("ostree:{}:{}", env.path("second").display(), sdk.commit(arch));
    for key in [
        sdk.key("p256.pub"),
        sdk.key("ed25519.pub"),
        format!("--gpg-keyring={}", sdk.path("gpg.pub").display()),
    ] {
        env.treelay(["verify", &place, &key]).ok();
    }
}

#[test]
fn a_pull_over_http_is_refused_for_a_wrong_gpg_key() {
    let env = Env::new();
    let sdk = sdk();
    let server = Server::of(&sdk.path("repo"));
    let other = env.gpg_key("two@treelay.test");
    let file = env.write("other.gpg", env.gpg(["--export", &other]).ok().stdout);
    let repo = format!("--repo={}", env.path("second").display());
    env.ostree(["init", "--mode=archive", &repo]).ok();
    let import = format!("--gpg-import={}", file.display());
    env.ostree(["remote", "add", &repo, &import, "origin", &server.url("")]).ok();
    let pull = env.ostree(["pull", &repo, "origin", &ARCHES[1].refname()]);
    pull.refuses().says("public key not found");
    let place = format!("ostree:{}:{}", sdk.path("repo").display(), ARCHES[1].refname());
    let keyring = format!("--gpg-keyring={}", file.display());
    env.treelay(["verify", &place, &keyring]).fails(1).says("no good signature by a GPG key");
}

#[test]
fn treelay_verifies_commits_by_each_key_and_refuses_others() {
    let env = Env::new();
    let sdk = sdk();
    let place = format!("ostree:{}", sdk.path("repo").display());
    for key in ["p256.pub", "ed25519.pub"] {
        let seen = env.treelay(["verify", "--json", &place, &sdk.key(key)]).ok().json();
        assert_eq!(seen["good"], true);
        assert_eq!(seen["commits"].as_array().unwrap().len(), ARCHES.len());
    }
    let one = format!("{place}:{}", ARCHES[0].refname());
    for key in ["other.pub", "other-ed25519.pub"] {
        let refused = env.treelay(["verify", &one, &sdk.key(key)]).fails(1);
        refused.says("no good signature by one of the given keys");
    }
}

/// The signatures are over the commit's own bytes, as somebody finds who has Python to take them
/// out and OpenSSL to compute.
#[test]
fn openssl_verifies_the_bare_signatures() {
    let env = Env::new();
    let sdk = sdk();
    for arch in &ARCHES {
        let (first, rest) = sdk.commit(arch).split_at(2);
        let object = |kind: &str| sdk.path(&format!("repo/objects/{first}/{rest}.{kind}"));
        let signatures = |scheme: &str| -> Vec<Vec<u8>> {
            let listed = independent(&env, "signatures").arg(object("commitmeta")).arg(scheme);
            listed.ok().out().lines().map(|line| hex::decode(line).unwrap()).collect()
        };
        let verify_ed25519 = |public: &str| {
            let verify = ["pkeyutl", "-verify", "-rawin", "-pubin", "-sigfile", "signature"];
            let verify = env.openssl(verify).arg("-inkey").arg(sdk.path(public));
            verify.arg("-in").arg(object("commit"))
        };
        let verify_p256 = |public: &str| {
            let verify = ["dgst", "-sha256", "-signature", "signature", "-verify"];
            env.openssl(verify).arg(sdk.path(public)).arg(object("commit"))
        };
        let ed25519 = signatures("ostree.sign.ed25519");
        assert_eq!(ed25519.len(), 1);
        env.write("signature", &ed25519[0]);
        verify_ed25519("ed25519.pub").ok();
        verify_ed25519("other-ed25519.pub").refuses();
        let spki = signatures("ostree.sign.spki");
        assert_eq!(spki.len(), 1);
        env.write("signature", &spki[0]);
        verify_p256("p256.pub").ok();
        verify_p256("other.pub").refuses();
        // GnuPG knows its own.
        let gpg = signatures("ostree.gpgsigs");
        assert_eq!(gpg.len(), 1);
        env.write("signature", &gpg[0]);
        let verify = sdk.env.gpg(["--verify"]).arg(env.path("signature"));
        verify.arg(object("commit")).ok();
    }
}

#[test]
fn a_bare_user_repository_takes_the_same_commit() {
    let env = Env::new();
    let sdk = sdk();
    let arch: &Arch = &ARCHES[0];
    env.ostree(["init", "--repo=bare", "--mode=bare-user"]).ok();
    catalog(&env, "go-sdk.yaml");
    fs::copy(sdk.path("go-sdk.lock"), env.path("go-sdk.lock")).unwrap();
    let build = ["build", "go-sdk.yaml", "--locked", "--offline", "--json", "-o", "ostree:bare"];
    let only = ["--arch", arch.go, &sdk.store(), &sdk.key("ed25519.key")];
    let build = || with_password(env.treelay(build).args(only)).ok().json();
    let report = build();
    let commit: &Value = of_arch(&report["commits"], arch);
    assert_eq!(commit["checksum"], sdk.commit(arch));
    env.ostree(["fsck", "--quiet", "--repo=bare"]).ok();
    let verify = ["verify", "ostree:bare", &sdk.key("ed25519.pub")];
    env.treelay(verify).ok();
    let checkout = ["checkout", "--repo=bare", "--user-mode", &arch.refname(), "out"];
    env.ostree(checkout).ok();
    listing(&env, &env.path("out")).is(&sdk.expected(arch).as_commit());

    // Nothing changed, so nothing is committed.
    let again = build();
    let commit = of_arch(&again["commits"], arch);
    assert_eq!(
        (&commit["checksum"], &commit["unchanged"]),
        (&sdk.commit(arch).into(), &true.into())
    );
}
