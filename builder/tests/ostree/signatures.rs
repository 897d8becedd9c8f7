//! Signing commits, and judging signatures.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;
use treelay::ostree_repo::{CommitReport, Keyring, Over, Repository, SignatureVerdict, Trust};
use treelay_recipes::Digest;
use treelay_signing::{KeyKind, PublicKey, SecretKey};

use crate::fixture::{Fixture, SAMPLE, run, spec, tree};

const REF: &str = "treelay/go-sdk/aarch64";

fn committed() -> (Fixture, Repository, Digest) {
    let (tree, contents) = tree(SAMPLE);
    let fixture = Fixture::new();
    let commit = fixture.commit(&tree, &contents, &spec(REF)).unwrap().checksum;
    let repository = Repository::open(&fixture.path()).unwrap();
    (fixture, repository, commit)
}

fn verify(repository: &Repository, keys: &[PublicKey]) -> CommitReport {
    verify_named(repository, REF, &Trust::of(keys.to_vec()))
}

fn verify_named(repository: &Repository, name: &str, trust: &Trust) -> CommitReport {
    let named = repository.named_of(None, Some(name)).unwrap();
    repository.verify_commit(&named[0], trust, 2).unwrap()
}

#[test]
fn signatures_are_added_once_and_judged_by_key() {
    let (_fixture, repository, commit) = committed();
    let ed25519 = SecretKey::generate(KeyKind::Ed25519).unwrap();
    let p256 = SecretKey::generate(KeyKind::EcdsaP256).unwrap();
    let stranger = SecretKey::generate(KeyKind::EcdsaP256).unwrap();
    let (ours, p256_public) = (ed25519.public().clone(), p256.public().clone());

    let unsigned = verify(&repository, std::slice::from_ref(&ours));
    assert_eq!(
        unsigned.reasons,
        ["it has no signature by one of the given keys: it has none at all"]
    );
    let keys = [ed25519, p256];
    let added = repository.sign_commit(&commit, &keys[..1]).unwrap();
    assert_eq!(added[0].scheme, "ostree.sign.ed25519");
    let added = repository.sign_commit(&commit, &keys).unwrap();
    assert_eq!(added.len(), 1, "the first is there");
    assert_eq!(added[0].scheme, "ostree.sign.spki");
    assert_eq!(repository.sign_commit(&commit, &keys).unwrap(), []);

    for key in [&ours, &p256_public] {
        let report = verify(&repository, std::slice::from_ref(key));
        assert!(report.is_good(), "{:?}", report.reasons);
        let good: Vec<_> =
            report.signatures.iter().filter(|it| it.verdict == SignatureVerdict::Good).collect();
        assert_eq!(good.len(), 1);
        assert_eq!(good[0].key, Some(key.fingerprint()));
        assert!(report.objects > 10);
    }
    let report = verify(&repository, &[stranger.public().clone()]);
    assert_eq!(report.reasons.len(), 1);
    assert!(report.reasons[0].contains("no good signature by one of the given keys"));
    let report = verify(&repository, &[]);
    assert!(!report.is_good() && report.reasons[0].contains("no key was given"));
    let info = repository.inspect(REF).unwrap();
    assert_eq!(
        format!("{:?}", info.signatures),
        r#"{"ostree.sign.ed25519": 1, "ostree.sign.spki": 1}"#
    );
}

#[test]
fn a_commit_is_signed_before_it_is_seen() {
    let (tree, contents) = tree(SAMPLE);
    let fixture = Fixture::new();
    let repository = Repository::open_or_create(&fixture.path()).unwrap();
    let key = SecretKey::generate(KeyKind::Ed25519).unwrap();
    let public = [key.public().clone()];
    let mut run = repository.begin(2);
    let first =
        run.write_commit(&tree, &Over::default(), &contents, &(), &spec(REF), &|_| {}).unwrap();
    assert_eq!(repository.sign_commit(&first.checksum, &[key]).unwrap().len(), 1);
    run.finish().unwrap();
    assert!(verify(&repository, &public).is_good());

    // One that was there is signed again beside a new one.
    let key = SecretKey::generate(KeyKind::Ed25519).unwrap();
    let mut run = repository.begin(2);
    run.write_commit(&tree, &Over::default(), &contents, &(), &spec("other"), &|_| {}).unwrap();
    let again =
        run.write_commit(&tree, &Over::default(), &contents, &(), &spec(REF), &|_| {}).unwrap();
    assert_eq!(again.checksum, first.checksum);
    repository.sign_commit(&again.checksum, &[key]).unwrap();
    run.finish().unwrap();
    assert_eq!(verify(&repository, &public).signatures.len(), 2);
}

#[test]
fn every_damaged_object_is_named() {
    for mode in ["archive", "bare-user"] {
        let (tree, contents) = tree(SAMPLE);
        let fixture = Fixture::with_mode(mode);
        let commit = fixture.commit(&tree, &contents, &spec(REF)).unwrap().checksum;
        let repository = Repository::open(&fixture.path()).unwrap();
        let key = SecretKey::generate(KeyKind::Ed25519).unwrap();
        let public = [key.public().clone()];
        repository.sign_commit(&commit, &[key]).unwrap();
        assert!(verify(&repository, &public).is_good());
        for object in fixture.objects() {
            let path = fixture.path().join("objects").join(&object);
            // In bare-user repositories a link is a file that holds its target.
            let good = std::fs::read(&path).unwrap();
            if good.is_empty() {
                continue;
            }
            // What no checksum covers is looked at byte by byte.
            let places = match object.ends_with("commitmeta") {
                true => (0..good.len()).collect(),
                false => vec![0, good.len() / 2, good.len() - 1],
            };
            for at in places {
                let mut patched = good.clone();
                patched[at] ^= 0x20;
                replace(&path, &patched);
                let report = verify(&repository, &public);
                assert!(!report.is_good(), "{mode}: byte {at} of {object}");
                let name = object.replace('/', "").replace("filez", "file");
                let named = report.reasons.iter().any(|reason| reason.contains(&name));
                // A signature that was changed is one by nobody.
                let named = named || object.ends_with("commitmeta");
                assert!(named, "{mode}: byte {at} of {object}: {:?}", report.reasons);
            }
            replace(&path, &good);
        }
        assert!(verify(&repository, &public).is_good());

        let file = fixture.objects().into_iter().find(|name| name.contains(".file")).unwrap();
        std::fs::remove_file(fixture.path().join("objects").join(&file)).unwrap();
        let report = verify(&repository, &public);
        assert!(report.reasons[0].ends_with("it is missing"), "{:?}", report.reasons);
    }
}

/// Writes in place, so that the attributes stay.
fn replace(path: &Path, content: &[u8]) {
    use std::io::Write;
    let mut file = std::fs::OpenOptions::new().write(true).truncate(true).open(path).unwrap();
    file.write_all(content).unwrap();
}

#[test]
fn damage_that_fsck_overlooks_is_found() {
    let (fixture, repository, _) = committed();
    let key = SecretKey::generate(KeyKind::Ed25519).unwrap();
    let object = fixture.objects().into_iter().find(|name| name.ends_with("filez")).unwrap();
    let path = fixture.path().join("objects").join(object);
    let good = std::fs::read(&path).unwrap();
    let mut size = good.clone();
    size[15] ^= 1;
    let longer = [&good[..], &[0]].concat();
    for (patched, reason) in [(size, "its header says"), (longer, "bytes after its end")] {
        replace(&path, &patched);
        let report = verify(&repository, &[key.public().clone()]);
        assert!(report.damage[0].reason.contains(reason), "{:?}", report.damage);
    }
}

#[test]
fn a_commit_under_a_foreign_ref_is_refused() {
    let (fixture, repository, commit) = committed();
    let key = SecretKey::generate(KeyKind::Ed25519).unwrap();
    let keys = [key.public().clone()];
    repository.sign_commit(&commit, &[key]).unwrap();
    fixture.ostree(&["refs", "--create=elsewhere", &commit.hex()]);
    let trust = Trust::of(keys.to_vec());
    let report = verify_named(&repository, "elsewhere", &trust);
    assert_eq!(
        report.reasons,
        ["the ref elsewhere names a commit that was made for treelay/go-sdk/aarch64"]
    );
    assert!(verify_named(&repository, &commit.hex(), &trust).is_good());
    let error = repository.named_of(None, Some("nowhere")).unwrap_err().to_string();
    assert!(error.contains("it has elsewhere, treelay/go-sdk/aarch64"), "{error}");
}

#[test]
fn what_a_commit_says_is_read_back() {
    let (_fixture, repository, commit) = committed();
    let info = repository.inspect(REF).unwrap();
    assert_eq!(info.checksum, commit);
    assert_eq!(info.version.as_deref(), Some("1.27.3"));
    assert_eq!(info.arch.as_deref(), Some("aarch64"));
    assert_eq!((info.time, info.parent), (1_700_000_000, None));
    assert_eq!(info.bound_to, [REF]);
    assert_eq!(info.metadata["io.github.sdk.lang"], "go");
    assert_eq!((info.files, info.dirs, info.bytes), (8, 5, 3_070_009));
    assert!(info.signatures.is_empty());
}

/// A GPG home with one fresh key; its agent ends with it.
struct Gpg(TempDir);

impl Gpg {
    fn new(user: &str) -> Self {
        let gpg = Self(tempfile::tempdir().unwrap());
        gpg.run(&["--quick-generate-key", user, "ed25519", "sign", "never"]);
        gpg
    }

    fn run(&self, arguments: &[&str]) -> String {
        let mut gpg = Command::new("gpg");
        gpg.args(["--batch", "--quiet", "--passphrase", "", "--homedir"]).arg(self.0.path());
        run(gpg.args(arguments))
    }

    fn fingerprint(&self) -> String {
        let listed = self.run(&["--with-colons", "--list-keys"]);
        let line = listed.lines().find(|line| line.starts_with("fpr")).unwrap();
        line.split(':').nth(9).unwrap().to_owned()
    }

    fn export(&self, armoured: bool) -> PathBuf {
        let path = self.0.path().join("exported.gpg");
        let output = format!("--output={}", path.display());
        let mut arguments = vec!["--yes", &output, "--export"];
        if armoured {
            arguments.insert(0, "--armor");
        }
        self.run(&arguments);
        path
    }
}

impl Drop for Gpg {
    fn drop(&mut self) {
        let mut end = Command::new("gpgconf");
        let _ = end.arg("--homedir").arg(self.0.path()).args(["--kill", "gpg-agent"]).status();
    }
}

#[test]
fn gpg_signatures_count_only_by_the_given_keyring() {
    let (fixture, repository, commit) = committed();
    let (ours, other) = (Gpg::new("ours@example.org"), Gpg::new("other@example.org"));
    let home = Some(ours.0.path());
    assert!(repository.gpg_sign(&commit, &ours.fingerprint(), home).unwrap());
    assert!(!repository.gpg_sign(&commit, &ours.fingerprint(), home).unwrap());
    let key = SecretKey::generate(KeyKind::Ed25519).unwrap();
    let public = [key.public().clone()];
    repository.sign_commit(&commit, &[key]).unwrap();

    let trusting = |keyring: PathBuf| {
        let gpg = Some(Keyring::read(&keyring).unwrap());
        Trust { gpg, ..Trust::of(public.to_vec()) }
    };
    for armoured in [false, true] {
        let report = verify_named(&repository, REF, &trusting(ours.export(armoured)));
        assert!(report.is_good(), "{:?}", report.reasons);
        let gpg = report.signatures.iter().find(|it| it.scheme == "gpg").unwrap();
        assert_eq!(gpg.key, Some(ours.fingerprint()));
    }
    let report = verify_named(&repository, REF, &trusting(other.export(false)));
    assert_eq!(report.reasons.len(), 1, "a good key does not make up for it");
    assert!(report.reasons[0].contains("which is not in the keyring"), "{:?}", report.reasons);

    // The signature of this commit beside another one.
    let mut changed = spec(REF);
    changed.version = Some("2".to_owned());
    let (tree, contents) = tree(SAMPLE);
    let second = fixture.commit(&tree, &contents, &changed).unwrap().checksum;
    let meta = |commit: &Digest| {
        let hex = commit.hex();
        fixture.path().join(format!("objects/{}/{}.commitmeta", &hex[..2], &hex[2..]))
    };
    std::fs::copy(meta(&commit), meta(&second)).unwrap();
    let report = verify_named(&repository, REF, &trusting(ours.export(false)));
    assert_eq!(report.reasons.len(), 2, "{:?}", report.reasons);
    assert!(report.reasons[1].contains("does not fit"), "{:?}", report.reasons);

    let nothing = fixture.dir.path().join("nothing");
    assert!(Keyring::read(&nothing).is_err());
}
