//! OpenPGP signatures of downloads, judged beside GnuPG.

use std::fs;
use std::path::PathBuf;

use treelay_ci::tools::DEBIAN_KEYRING;
use treelay_signing::openpgp::{ClearSigned, Detached, Fault, Good, Trust};
use treelay_tests::{Env, Run};

/// Later than everything that is signed in these tests: 2100-01-01.
const LATE: u64 = 4_102_444_800;

/// The InRelease files that apt has fetched, found through its settings.
fn in_releases() -> Vec<PathBuf> {
    let env = Env::new();
    let said = env.run("apt-config").args(["shell", "AT", "Dir::State::lists/d"]).ok().out();
    let folder = said.trim().trim_start_matches("AT=").trim_matches('\'').to_owned();
    let files = fs::read_dir(&folder).unwrap_or_else(|error| panic!("reading {folder}: {error}"));
    let files = files.map(|file| file.unwrap().path());
    let files: Vec<_> =
        files.filter(|file| file.to_string_lossy().ends_with("InRelease")).collect();
    assert!(!files.is_empty(), "{folder} has no InRelease: run `apt-get update`");
    files
}

#[test]
fn what_apt_has_fetched_is_signed_by_the_distribution() {
    let env = Env::new();
    let keyring = fs::read(DEBIAN_KEYRING).unwrap();
    let pins = Trust::fingerprints(&keyring).unwrap();
    let trust = Trust::new(&[&keyring], &pins).unwrap();
    let mut verified = 0;
    for path in in_releases() {
        let file = fs::read(&path).unwrap();
        let judged = |file: &[u8]| {
            let parsed = ClearSigned::parse(file).map_err(|error| error.to_string())?;
            let found = parsed.verify(&trust, LATE);
            found.map(|(text, good)| (text.to_owned(), good)).map_err(|bad| bad.to_string())
        };
        // Of a source that is not the distribution's, gpgv says the same.
        let gpgv = env.run("gpgv").args(["--keyring", DEBIAN_KEYRING, "--output", "text"]);
        let gpgv = gpgv.arg(&path).output();
        let found = judged(&file);
        assert_eq!(found.is_ok(), gpgv.status.success(), "{}: {found:?}", path.display());
        let Ok((text, good)) = found else { continue };
        assert!(pins.contains(&good.primary));
        assert_eq!(text, fs::read(env.path("text")).unwrap(), "{}", path.display());
        fs::remove_file(env.path("text")).unwrap();
        verified += 1;

        // Whatever is changed in the text.
        for at in (100..text.len()).step_by(text.len() / 20) {
            let mut changed = file.clone();
            changed[at] ^= 1;
            assert!(judged(&changed).is_err(), "{}: {at}", path.display());
        }
    }
    assert!(verified > 0, "no InRelease is signed by {}", DEBIAN_KEYRING);
}

/// What GnuPG makes, and the file that is signed.
struct Signed {
    env: Env,
    id: String,
}

impl Signed {
    fn new(algorithm: &str) -> Self {
        let env = Env::new();
        env.write("file", "the file\n");
        let id = env.gpg_key("somebody@treelay.test");
        env.gpg(["--quick-add-key", &id, algorithm, "sign", "never"]).ok();
        Self { env, id }
    }

    fn gpg(&self, args: &[&str]) -> Run {
        self.env.gpg(args)
    }

    fn sign(&self, how: &[&str]) -> Vec<u8> {
        self.gpg(&["--output", "signature"]).args(how).args(["--detach-sign", "file"]).ok();
        fs::read(self.env.path("signature")).unwrap()
    }

    fn keys(&self) -> Vec<u8> {
        self.gpg(&["--export", &self.id]).ok().stdout
    }

    /// Good signatures by the subkey and by the primary key.
    fn by_both(&self) -> (Vec<u8>, Vec<u8>) {
        let keys = self.keys();
        let (sub, primary) = (self.sign(&[]), self.sign(&["-u", &format!("{}!", self.id)]));
        for one in [&sub, &primary] {
            self.judge(&keys, one).unwrap();
        }
        (sub, primary)
    }

    fn judge(&self, keys: &[u8], signature: &[u8]) -> Result<Good, Vec<Fault>> {
        let trust = Trust::new(&[keys], &[self.id.parse().unwrap()]).unwrap();
        let judged = Detached::parse(signature).unwrap().verify(b"the file\n", &trust, LATE);
        judged.map_err(|bad| bad.signatures.into_iter().map(|judged| judged.fault).collect())
    }
}

#[test]
fn signatures_of_gnupg_are_read() {
    for algorithm in ["ed25519", "nistp256/ecdsa", "nistp384/ecdsa", "nistp521/ecdsa", "rsa3072"] {
        let signed = Signed::new(algorithm);
        let keys = signed.keys();
        for how in [&[][..], &["--armor"], &["--textmode", "--armor"], &["--digest-algo=SHA512"]] {
            let good = signed.judge(&keys, &signed.sign(how)).unwrap();
            assert_eq!(good.primary.to_string(), signed.id, "{algorithm} {how:?}");
            // GnuPG signs with the newest key.
            assert_ne!(good.signer, good.primary, "{algorithm} {how:?}");
        }
        // Notations that are critical are for somebody else.
        let critical = signed.sign(&["--sig-notation=!a@treelay.test=b"]);
        let faults = signed.judge(&keys, &critical).unwrap_err();
        assert!(matches!(faults[..], [Fault::Critical(_)]), "{faults:?}");
        let weak = ["--allow-weak-digest-algos", "--digest-algo=SHA1"];
        if algorithm == "rsa3072" {
            let faults = signed.judge(&keys, &signed.sign(&weak)).unwrap_err();
            assert!(matches!(faults[..], [Fault::Hash(_)]), "{faults:?}");
        }
    }
}

#[test]
fn revocations_of_gnupg_are_read() {
    // The subkey, after it has signed: for a hard reason, compromised, and a soft one, superseded.
    for (reason, stays_good) in [("1", false), ("2", true)] {
        let signed = Signed::new("ed25519");
        let (by_sub, by_primary) = signed.by_both();
        let commands = format!("key 1\nrevkey\ny\n{reason}\n\ny\nsave\n");
        let edit = ["--no-tty", "--command-fd=0", "--edit-key", &signed.id];
        // A second later, because "before" and "at the same time" are not the same.
        std::thread::sleep(std::time::Duration::from_secs(1));
        signed.gpg(&edit).stdin(commands).ok();
        let keys = signed.keys();
        let judged = signed.judge(&keys, &by_sub);
        assert_eq!(judged.is_ok(), stays_good, "{reason}: {judged:?}");
        signed.judge(&keys, &by_primary).unwrap();
    }
    // The key, with the revocation that GnuPG makes beforehand: it gives no reason.
    let signed = Signed::new("ed25519");
    let (by_sub, by_primary) = signed.by_both();
    let file = signed.env.dir().join(format!("gnupg/openpgp-revocs.d/{}.rev", signed.id));
    let text = fs::read_to_string(file).unwrap().replace(":-----BEGIN", "-----BEGIN");
    let file = signed.env.write("revocation", text);
    signed.gpg(&["--import"]).arg(file).ok();
    for one in [&by_sub, &by_primary] {
        let faults = signed.judge(&signed.keys(), one).unwrap_err();
        assert!(matches!(faults[..], [Fault::Revoked { .. }]), "{faults:?}");
    }
}
