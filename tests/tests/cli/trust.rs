//! Whose signatures of commits count: revoked keys, and what a remote's configuration asks for.

use std::fs;

use treelay_tests::rfc8032::{self, FIRST_SPKI, PUBLIC};
use treelay_tests::{Env, Output};

use crate::fixture::{REFS, prints, refused, small};
use crate::keys::generate;

/// An environment with the keys of RFC 8032 and the repository `repo`, signed with the first.
fn signed() -> Env {
    let env = small();
    rfc8032::write(&env);
    build(&env, "repo", &["--key", "a.key"]);
    env
}

fn build(env: &Env, repo: &str, args: &[&str]) {
    let place = format!("ostree:{repo}");
    let run = env.treelay(["build", "small.yaml", "-o", &place]).args(args);
    run.env("COSIGN_PASSWORD", Env::PASSWORD).ok();
}

#[test]
fn what_a_revoked_key_signed_does_not_count() {
    let env = signed();
    generate(&env, "p256", "ecdsa-p256");
    let (a, b) = (PUBLIC[0], PUBLIC[1]);
    env.write("revoked", format!("{b}\n\n{}{a}\n", env.read("p256.pub")));
    env.write("revoked.b", format!("{b}\n"));
    env.write("revoked.a", env.read("a.pub"));
    let place = format!("ostree:repo:{}", REFS[0]);
    let verify = |args: &[&str]| env.treelay(["verify", &place]).args(args);
    verify(&["--key=a.pub", "--revoked=revoked.b"]).ok();
    for list in [&["--revoked=revoked"][..], &["--revoked=revoked.b", "--revoked=revoked.a"]] {
        let output = verify(&["--key=a.pub"]).args(list).fails(1);
        prints(
            &env,
            &output,
            r#"
refused: treelay/small/x86_64 [SHA256] (13 objects)
  it has no good signature by one of the given keys (ostree.sign.ed25519: made by key [SHA256], which is revoked)
"#,
        );
    }
    let seen = verify(&["--json", "--key=a.pub", "--revoked=revoked.a"]).fails(1).json();
    let verdict = &seen["commits"][0]["signatures"][0]["verdict"];
    assert!(verdict["bad"].as_str().unwrap().ends_with("which is revoked"), "{seen}");

    // Another key's signature counts as before, and the revoked one is shown as what it is.
    env.treelay(["sign", &place, "--key=b.key"]).ok();
    let output = verify(&["--key=a.pub", "--key=b.pub", "--revoked=revoked.a"]).ok();
    prints(
        &env,
        &output,
        r#"
good: treelay/small/x86_64 [SHA256] (13 objects)
  bad: ostree.sign.ed25519 by [SHA256]: made by key [SHA256], which is revoked
  good: ostree.sign.ed25519 by [SHA256]
"#,
    );
    // Keys for spki are revoked the same way.
    let sign = env.treelay(["sign", &place, "--key=p256.key"]);
    sign.env("COSIGN_PASSWORD", Env::PASSWORD).ok();
    verify(&["--key=p256.pub", "--revoked=revoked.a"]).ok();
    verify(&["--key=p256.pub", "--revoked=revoked"]).fails(1).says("which is revoked");

    // A list of which a line cannot be read is none: that line may be the key that was stolen.
    env.write("damaged", format!("{b}\n# {a}\n"));
    refused(
        &env,
        verify(&["--key=a.pub", "--revoked=damaged"]),
        1,
        r#"
error: using the keys in damaged
  because: line 2
  because: not a key: expected PEM, or one line of base64 as ostree keeps ed25519 keys
"#,
    );
    refused(
        &env,
        env.treelay(["verify", "oci:out", "--key=a.pub", "--revoked=revoked"]),
        2,
        "error: --revoked is for commits, not images\n",
    );
}

/// A repository whose configuration has the remote `origin`.
struct Case<'a> {
    env: &'a Env,
    repo: &'a str,
}

impl Case<'_> {
    fn verify(&self, options: &str) -> Output {
        let file = format!("{}/config", self.repo);
        let plain = self.env.read(&file);
        let remote = format!("\n[remote \"origin\"]\nurl=http://os.example/\n{options}");
        self.env.write(&file, format!("{plain}{remote}"));
        let place = format!("ostree:{}:{}", self.repo, REFS[0]);
        let verify = ["verify", &place, "--remote=origin", "--sysroot=sys"];
        let output = self.env.treelay(verify).output();
        self.env.write(&file, plain);
        output
    }

    #[track_caller]
    fn takes(&self, options: &str) {
        let output = self.verify(options).ok();
        assert!(output.out().starts_with("good: "), "{options}: {output}");
    }

    #[track_caller]
    fn refuses(&self, options: &str, reason: &str) {
        let output = self.verify(options).fails(1);
        assert!(output.to_string().contains(reason), "{options}: {output}");
    }
}

#[test]
fn a_remote_takes_what_one_of_its_keys_signed() {
    let env = signed();
    let (a, b) = (PUBLIC[0], PUBLIC[1]);
    generate(&env, "p256", "ecdsa-p256");
    let pem = env.read("p256.pub");
    let p256: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    build(&env, "unsigned", &[]);
    build(&env, "spki", &["--key", "p256.key"]);
    env.write("sys/keys/both", format!("{b}\n{a}\n"));
    env.write("sys/keys/none", "\n");
    env.write("sys/keys/other", format!("{b}\n"));
    env.write("sys/keys/commented", format!("{a}\n# {b}\n"));
    env.write("sys/keys/p256", &pem);
    let case = |repo| Case { env: &env, repo };
    let (repo, spki, unsigned) = (case("repo"), case("spki"), case("unsigned"));

    let off = "asks for no signature of commits: gpg-verify is off, and so is sign-verify";
    repo.refuses("gpg-verify=false\n", off);
    repo.refuses("gpg-verify=false\nsign-verify=false\n", off);
    repo.refuses("gpg-verify=0\nsign-verify=0\n", off);
    repo.refuses("gpg-verify=no\n", "cannot be used");
    // On where nothing is said of it.
    repo.refuses("", "has gpg-verify on, and no GPG key");

    let with = |rest: &str| format!("gpg-verify=false\n{rest}\n");
    let (list, keyed) = ("sign-verify=ed25519", format!("verification-ed25519-key={a}"));
    repo.takes(&with(&format!("{list}\n{keyed}")));
    repo.takes(&with(&format!("{list};\n{keyed}")));
    repo.takes(&with(&format!("sign-verify=true\n{keyed}")));
    repo.refuses(&with(&keyed), off);
    let wrong = "no good signature by a key of the remote origin";
    repo.refuses(&with(&format!("{list}\nverification-ed25519-key={b}")), wrong);
    unsigned.refuses(&with(&format!("{list}\n{keyed}")), "it has none at all");
    repo.refuses(
        &with(list),
        "its sign-verify names ed25519, and it has no verification-ed25519-key",
    );
    // Both where both are on.
    let both = format!("gpg-verify=true\n{list}\n{keyed}\n");
    repo.refuses(&both, "has gpg-verify on");
    repo.refuses(
        &format!("{list}\n{keyed}\n"),
        "no good signature by a GPG key of the remote origin",
    );

    let file = |name: &str| with(&format!("{list}\nverification-ed25519-file=/keys/{name}"));
    repo.takes(&file("both"));
    repo.refuses(&file("other"), wrong);
    repo.refuses(&file("none"), "there is no key in /keys/none");
    repo.refuses(&file("gone"), "reading the keys");
    repo.refuses(&file("commented"), "line 2 of");
    repo.refuses(&file("p256"), "line 1 of");
    repo.refuses(
        &with(&format!("{list}\nverification-ed25519-file=keys/both")),
        "\"keys/both\" is not an absolute path",
    );
    // One of the file and the key itself is enough.
    repo.takes(&format!("{}{keyed}\n", file("other")));

    // Any of the engines, each by its own keys: what ostree reads as ed25519 must be of that list.
    let engines = format!("sign-verify=ed25519;spki\n{keyed}\nverification-spki-key={p256}");
    repo.takes(&with(&engines));
    spki.takes(&with(&engines));
    unsigned.refuses(&with(&engines), "it has none at all");
    let only_spki = "sign-verify=spki";
    spki.takes(&with(&format!("{only_spki}\nverification-spki-file=/keys/p256")));
    repo.refuses(&with(&format!("{only_spki}\nverification-spki-key={FIRST_SPKI}")), wrong);
    repo.refuses(&with(&format!("{list}\nverification-ed25519-key={FIRST_SPKI}")), "is not a key");
    spki.refuses(&with(&format!("{only_spki}\nverification-spki-key={a}")), "is damaged key");
    for unknown in ["dummy", "yes", "True", "ed25519;dummy"] {
        let name = unknown.trim_start_matches("ed25519;");
        let options = with(&format!("sign-verify={unknown}\n{keyed}"));
        repo.refuses(
            &options,
            &format!("asks for \"{name}\", expected true, false, ed25519 or spki"),
        );
    }

    repo.refuses(
        &with(&format!("{list}\n{keyed}\nunconfigured-state=buy first")),
        "is not configured: buy first",
    );
    let unsigned_summary =
        "the summary of the remote origin must be signed, and this repository keeps";
    repo.refuses(&with(&format!("{list}\n{keyed}\nsign-verify-summary=true")), unsigned_summary);
    repo.refuses(&with(&format!("{list}\n{keyed}\ngpg-verify-summary=true")), unsigned_summary);
}

#[test]
fn keys_of_the_system_hold_for_every_remote() {
    let env = signed();
    let (a, b) = (PUBLIC[0], PUBLIC[1]);
    let repo = Case { env: &env, repo: "repo" };
    let any = "gpg-verify=false\nsign-verify=true\n";
    let own = format!("gpg-verify=false\nsign-verify=ed25519\nverification-ed25519-key={a}\n");
    repo.refuses(any, "has sign-verify on, and no key");
    for place in [
        "etc/ostree/trusted.ed25519",
        "etc/ostree/trusted.ed25519.d/one",
        "usr/share/ostree/trusted.ed25519",
        "usr/share/ostree/trusted.ed25519.d/two",
    ] {
        let file = env.write(&format!("sys/{place}"), format!("{b}\n"));
        repo.refuses(any, "no good signature by a key of the remote origin");
        fs::write(&file, format!("{b}\n{a}\n")).unwrap();
        repo.takes(any);
        for list in ["etc/ostree/revoked.ed25519", "usr/share/ostree/revoked.ed25519.d/lost"] {
            let list = env.write(&format!("sys/{list}"), format!("{a}\n"));
            repo.refuses(any, "which is revoked");
            // ostree does not look at the list then. It costs nobody anything to look.
            repo.refuses(&own, "which is revoked");
            fs::write(&list, format!("{b}\n")).unwrap();
            repo.takes(any);
            fs::write(&list, "lost: a\n").unwrap();
            repo.refuses(any, "line 1 of");
            fs::remove_file(list).unwrap();
        }
        // Where the remote has keys of its own, these are not asked.
        repo.refuses(&own.replace(a, PUBLIC[2]), "no good signature");
        fs::remove_file(file).unwrap();
    }

    // A remote of the system, for a repository of it.
    let text = format!("[remote \"tools\"]\nurl=http://os.example/\n{own}");
    env.write("sys/etc/ostree/remotes.d/tools.conf", text);
    let verify = |args: &[&str]| env.treelay(["verify", "ostree:repo"]).args(args);
    let output = verify(&["--remote=tools", "--sysroot=sys"]).ok();
    assert_eq!(output.out().matches("good: treelay/small/").count(), 2, "{output}");
    refused(
        &env,
        verify(&["--remote=other", "--sysroot=sys"]),
        1,
        r#"
error: verifying ostree:repo
  because: [WORK]/repo has no remote "other"; it has tools
"#,
    );
    verify(&["--remote=tools"]).fails(1).says("has no remote \"tools\", which has no remotes");
    verify(&["--remote=tools", "--key=a.pub"]).fails(2).says("cannot be used with");
    verify(&["--key=a.pub", "--sysroot=sys"]).fails(2).says("cannot be used with");
    verify(&["--sysroot=sys"]).fails(2).says("--remote");
}

#[test]
fn a_remote_asks_what_a_commit_was_made_for() {
    let env = signed();
    let own = format!("sign-verify=ed25519\nverification-ed25519-key={}\n", PUBLIC[0]);
    let own = format!("gpg-verify=false\n{own}");
    let of = |collection: &str| format!("{own}collection-id={collection}\n");
    let repo = Case { env: &env, repo: "repo" };
    repo.refuses(&of("org.example.Os"), "(no collection-binding)");
    let recipe = env.read("small.yaml") + "ostree: {collection: org.example.Os}\n";
    env.write("small.yaml", recipe);
    build(&env, "collected", &["--key", "a.key"]);
    let collected = Case { env: &env, repo: "collected" };
    collected.takes(&own);
    collected.takes(&of("org.example.Os"));
    collected.refuses(
        &of("org.example.Other"),
        "it was made for the collection org.example.Os, and that of the remote origin is \
         org.example.Other",
    );

    // Another ref's commit under a remote's name, before that the right one.
    let config = env.read("repo/config");
    env.write(
        "repo/config",
        format!("{config}\n[remote \"origin\"]\nurl=http://os.example\n{own}"),
    );
    let commit = |name: &str| env.read(&format!("repo/refs/heads/{name}"));
    env.write(&format!("repo/refs/remotes/origin/{}", REFS[0]), commit(REFS[0]));
    let verify = |place: &str| env.treelay(["verify", place, "--remote=origin"]);
    let output = verify("ostree:repo").ok();
    let text = "\ngood: origin:treelay/small/x86_64 [SHA256] (13 objects)\n  \
                good: ostree.sign.ed25519 by [SHA256]\n";
    prints(&env, &output, text);
    verify("ostree:repo:treelay/small/{{ arch.uname }}").ok().says("origin:treelay/small/x86_64");
    verify(&format!("ostree:repo:{}", commit(REFS[0]).trim())).ok();
    env.write(&format!("repo/refs/remotes/origin/{}", REFS[0]), commit(REFS[1]));
    let misbound = "the ref treelay/small/x86_64 names a commit that was made for";
    verify(&format!("ostree:repo:{}", REFS[0])).fails(1).says(misbound);
    // What the remote does not have is looked for among the repository's own.
    verify(&format!("ostree:repo:{}", REFS[1])).ok().says("good: treelay/small/aarch64");
}
