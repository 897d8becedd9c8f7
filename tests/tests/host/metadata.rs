//! OpenSSL, which knows nothing of treelay or ostree, verifies the signatures in the metadata of
//! commits by the calls that ostree makes for spki: `EVP_DigestVerify` with the key's own defaults.

use std::path::{Path, PathBuf};

use treelay_tests::{Env, Run, tamper};

use crate::fixture::{key_of, recipe};

/// Builds the small recipe signed by a new `right.key` of this kind; writes each commit's one
/// signature under `metadata_key` beside the commit, and returns the commits.
fn signed(env: &Env, kind: &str, metadata_key: &str) -> Vec<PathBuf> {
    recipe(env);
    key_of(env, kind, "right");
    let build = ["build", "small.yaml", "-o", "ostree:repo", "--key=right.key"];
    env.treelay(build).env("COSIGN_PASSWORD", Env::PASSWORD).ok();
    let mut commits = tamper::files(&env.path("repo/objects"));
    commits.retain(|path| path.extension().is_some_and(|ext| ext == "commit"));
    assert_eq!(commits.len(), 3);
    for commit in &commits {
        let folder = commit.parent().unwrap().file_name().unwrap().to_str().unwrap();
        let checksum = format!("{folder}{}", commit.file_stem().unwrap().to_str().unwrap());
        let print = format!("--print-detached-metadata-key={metadata_key}");
        let shown = env.ostree(["show", "--repo=repo", &print, &checksum]).ok().out();
        std::fs::write(commit.with_extension("signature"), only_signature(&shown)).unwrap();
    }
    commits
}

/// The bytes of GLib's text of an `aay` with one element: `[[byte 0x30, 0x45, …]]`, or, of bytes whose
/// last alone is 0, `[b'tJ\242…']` without it.
fn only_signature(shown: &str) -> Vec<u8> {
    let of = |before: &str, after: &str| shown.trim().strip_prefix(before)?.strip_suffix(after);
    if let Some(bytes) = of("[[byte ", "]]") {
        let byte = |text: &str| u8::from_str_radix(text.trim_start_matches("0x"), 16).unwrap();
        return bytes.split(", ").map(byte).collect();
    }
    let text = of("[b'", "']").or(of("[b\"", "\"]"));
    let text = text.unwrap_or_else(|| panic!("{shown:?} is not one signature"));
    [unescaped(text.as_bytes()), vec![0]].concat()
}

/// Without the escapes of C, of which GLib writes octal ones with three digits.
fn unescaped(mut text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    while let Some((&first, rest)) = text.split_first() {
        text = rest;
        bytes.push(first);
        if first != b'\\' {
            continue;
        }
        let octal = text.iter().take(3).take_while(|c| matches!(c, b'0'..=b'7')).count();
        let (escape, rest) = text.split_at(octal.max(1));
        text = rest;
        *bytes.last_mut().unwrap() = match escape[0] {
            b'0'..=b'7' => escape.iter().fold(0_u8, |byte, c| (byte << 3) | (c - b'0')),
            b'a' => 7,
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'v' => 11,
            other => other,
        };
    }
    bytes
}

#[test]
fn both_texts_of_a_signature_are_read() {
    assert_eq!(only_signature("[[byte 0x30, 0x00, 0xff]]\n"), [0x30, 0, 0xff]);
    let text = "[b'tJ\\242\\n\\\\-\\'\\0011\\036>']\n";
    assert_eq!(only_signature(text), b"tJ\xa2\n\\-'\x011\x1e>\0");
    assert_eq!(only_signature("[b\"'\"]"), b"'\0");
}

fn openssl(env: &Env, public: &str, commit: &Path) -> Run {
    let signature = commit.with_extension("signature");
    let verify = ["pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", public, "-sigfile"];
    env.openssl(verify).arg(signature).arg("-in").arg(commit)
}

#[test]
fn openssl_verifies_spki_and_ed25519_metadata_of_every_commit_and_refuses_another_key() {
    for (kind, metadata_key) in
        [("ecdsa-p256", "ostree.sign.spki"), ("ed25519", "ostree.sign.ed25519")]
    {
        let env = Env::new();
        let commits = signed(&env, kind, metadata_key);
        key_of(&env, kind, "wrong");
        for commit in &commits {
            openssl(&env, "right.pub", commit).ok().says("Signature Verified Successfully");
            openssl(&env, "wrong.pub", commit).refuses().says("Signature Verification Failure");
            tamper::flip(commit, 1);
            openssl(&env, "right.pub", commit).refuses().says("Signature Verification Failure");
        }
    }
}
