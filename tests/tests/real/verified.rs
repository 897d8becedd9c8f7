//! `verify: openpgp`, with keys and signatures that GnuPG makes: good ones, and those that are not.

use sha2::{Digest as _, Sha256};
use treelay_tests::http::Server;
use treelay_tests::{Env, Run};

/// An environment with GnuPG, an archive, and a server of it.
struct Signed {
    env: Env,
    server: Server,
}

const FILE: &str = "served/tool.tar.gz";

impl Signed {
    fn new() -> Self {
        let env = Env::new();
        env.write("tool/a", "a");
        std::fs::create_dir(env.path("served")).unwrap();
        env.run("tar").args(["-C", "tool", "-czf", FILE, "a"]).ok();
        let server = Server::of(&env.path("served"));
        Self { env, server }
    }

    fn gpg(&self, args: &[&str]) -> Run {
        let quiet =
            ["--batch", "--yes", "--quiet", "--passphrase", "", "--pinentry-mode", "loopback"];
        self.env.run("gpg").args(quiet).args(args)
    }

    /// A key made at that time, for that long; its fingerprint.
    fn key(&self, name: &str, kind: &str, at: &str, life: &str) -> String {
        let at = format!("--faked-system-time={at}T000000!");
        self.gpg(&[&at, "--quick-generate-key", name, kind, "sign", life]).ok();
        let listed = self.gpg(&["--with-colons", "--list-keys", name]).ok().out();
        let line = listed.lines().find(|line| line.starts_with("fpr:")).unwrap();
        line.split(':').nth(9).unwrap().to_owned()
    }

    fn export(&self, name: &str) {
        self.gpg(&["--armor", "--output", "key.asc", "--export", name]).ok();
    }

    fn sign(&self, key: &str, at: &str, how: &[&str], file: &str, to: &str) {
        let at = format!("--faked-system-time={at}T000000!");
        self.gpg(&[&at, "--default-key", key, "--output", to]).args(how).arg(file).ok();
    }

    fn recipe(&self, verify: &str, pin: &str) {
        let text = format!(
            "name: x\nversion: 1\narch: [amd64]\nepoch: 1\ninputs: {{in: {{archive: {{urls: [\"{}\"], \
             verify: {{{verify}, keys: [key.asc], fingerprints: [\"{pin}\"]}}}}}}}}}}\n\
             layers: [{{name: a, files: [{{path: /a, content: a}}]}}]\n",
            self.server.url("tool.tar.gz")
        );
        self.env.write("x.yaml", text);
    }

    /// Pins one key, with the signature beside the file.
    fn pin(&self, pin: &str) {
        self.recipe(&format!("openpgp: {{signature: \"{}\"", self.server.url("sig")), pin);
    }

    fn refused(&self, says: &str) {
        let output = self.env.treelay(["lock", "x.yaml"]).fails(1);
        let told = output.err().split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(told.contains(says), "{says}\n{output}");
        assert!(!self.env.path("x.lock").exists());
        let objects = self.env.dir().join("store/objects");
        assert!(!objects.exists(), "something of it stayed");
    }
}

#[test]
fn signatures_by_pinned_keys_are_the_first_trust() {
    let it = Signed::new();
    let pin = it.key("good@x.test", "ed25519", "20250101", "2y");
    it.export("good@x.test");
    it.sign(&pin, "20250601", &["--detach-sign"], FILE, "served/sig");
    it.pin(&pin);
    it.env.treelay(["lock", "x.yaml"]).ok();
    let text = it.env.read("x.lock");
    let line = format!(
        "{{ method = \"openpgp\", key = \"{pin}\", signer = \"{pin}\", made = 1748736000, hash = "
    );
    assert!(text.contains(&line), "{text}\n{line}");
    let archive = std::fs::read(it.env.path(FILE)).unwrap();
    let sum = hex::encode(Sha256::digest(&archive));
    assert!(text.contains(&format!("sha256 = \"{sum}\"")), "{text}");
    // What is in the store already is judged the same.
    it.env.treelay(["lock", "x.yaml", "--update"]).ok();
    assert_eq!(it.env.read("x.lock"), text);

    // A list that is signed, inside and beside.
    it.env.write("SUMS", format!("{sum}  tool.tar.gz\n"));
    it.sign(&pin, "20250601", &["--clear-sign"], "SUMS", "served/SUMS.asc");
    it.sign(&pin, "20250601", &["--armor", "--detach-sign"], "SUMS", "served/SUMS.sig");
    for (list, signature) in [("served/SUMS.asc", "served/SUMS.asc"), ("SUMS", "served/SUMS.sig")] {
        let verify = format!("checksum: {list}, openpgp: {{signature: {signature}, over: checksum");
        it.recipe(&verify, &pin);
        it.env.treelay(["lock", "x.yaml"]).ok();
        let text = it.env.read("x.lock");
        assert!(text.contains(&format!("list = \"{list}\" }}")), "{text}");
    }
    // By two, of whom one is pinned, whoever signs first; the pin as people write it, and its key among
    // others in one file.
    let other = it.key("other@x.test", "rsa2048", "20250101", "never");
    it.gpg(&["--armor", "--output", "key.asc", "--export"]).ok();
    let spaced: Vec<String> =
        pin.as_bytes().chunks(4).map(|four| String::from_utf8_lossy(four).to_lowercase()).collect();
    for users in [[&pin, &other], [&other, &pin]] {
        let how = ["--local-user", users[0], "--local-user", users[1], "--clear-sign"];
        it.sign(&pin, "20250601", &how, "SUMS", "served/SUMS.asc");
        let list = "served/SUMS.asc";
        it.recipe(
            &format!("checksum: {list}, openpgp: {{signature: {list}, over: checksum"),
            &spaced.join(" "),
        );
        it.env.treelay(["lock", "x.yaml", "--update"]).ok();
        assert!(it.env.read("x.lock").contains(&format!("signer = \"{pin}\"")));
    }
    // What stands outside of what is signed is no part of it.
    let signed = it.env.read("served/SUMS.asc");
    let line = format!("{sum}  tool.tar.gz\n");
    for (text, says) in [
        (format!("{line}{signed}"), "is no signature: the armour is of \"SIGNED MESSAGE\""),
        (format!("{signed}{line}"), "something after the signature"),
        (signed.replace("\n\n", &format!("\n{line}\n")), "a header other than Hash"),
    ] {
        it.env.write("served/SUMS.asc", text);
        let output = it.env.treelay(["lock", "x.yaml", "--update"]).fails(1);
        assert!(output.err().contains(says), "{says}\n{output}");
    }
    it.env.write("served/SUMS.asc", signed);
    it.export("good@x.test");
    it.recipe("checksum: SUMS, openpgp: {signature: served/SUMS.sig, over: checksum", &pin);
    it.env.treelay(["lock", "x.yaml", "--update"]).ok();

    // The list is changed after it was signed.
    it.env.write("SUMS", format!("{}  tool.tar.gz\n", hex::encode(Sha256::digest("x"))));
    it.env.treelay(["lock", "x.yaml", "--update"]).fails(1).says("but does not fit");
}

#[test]
fn what_no_pinned_key_has_signed_is_refused() {
    let it = Signed::new();
    let good = it.key("good@x.test", "ed25519", "20250101", "1y");
    it.export("good@x.test");
    it.pin(&good);

    // Another's.
    let foreign = it.key("foreign@x.test", "ed25519", "20250101", "never");
    it.sign(&foreign, "20250601", &["--detach-sign"], FILE, "served/sig");
    it.refused("REFUSED by `verify: openpgp`: no good signature by a pinned key made by the key");

    // Of something else.
    it.env.write("other", "other");
    it.sign(&good, "20250601", &["--detach-sign"], "other", "served/sig");
    it.refused("but does not fit: it or the file was changed");

    // A hash that can be forged.
    let weak = ["--digest-algo", "SHA1", "--allow-weak-digest-algos", "--detach-sign"];
    let rsa = it.key("rsa@x.test", "rsa2048", "20250101", "never");
    it.sign(&rsa, "20250601", &weak, FILE, "served/sig");
    it.export("rsa@x.test");
    it.pin(&rsa);
    it.refused("the hash SHA1 is not accepted");

    // A key that can be broken.
    let small = it.key("small@x.test", "rsa1024", "20250101", "never");
    it.sign(&small, "20250601", &["--detach-sign"], FILE, "served/sig");
    it.export("small@x.test");
    it.pin(&small);
    it.refused(&format!("the key {small} is not accepted"));

    // Expired when it was made: GnuPG makes none, so the key's life is cut afterwards.
    it.sign(&good, "20250601", &["--detach-sign"], FILE, "served/sig");
    it.gpg(&[
        "--faked-system-time=20250102T000000!",
        "--quick-set-expire",
        &good,
        "20250301T000000",
    ])
    .ok();
    it.export("good@x.test");
    it.pin(&good);
    it.refused("has expired on 2025-03-01");

    // Revoked: GnuPG lays a revocation ready for each key, which begins with a colon to be safe.
    let revoked = it.key("revoked@x.test", "ed25519", "20250101", "never");
    it.sign(&revoked, "20250601", &["--detach-sign"], FILE, "served/sig");
    let ready = it.env.dir().join(format!("gnupg/openpgp-revocs.d/{revoked}.rev"));
    let ready = std::fs::read_to_string(ready).unwrap().replace(":-----BEGIN", "-----BEGIN");
    let file = it.env.write("revoke.asc", ready);
    it.gpg(&["--import", &file.display().to_string()]).ok();
    it.export("revoked@x.test");
    it.pin(&revoked);
    it.refused(&format!("the key {revoked} was revoked"));

    // A key that is not in the file.
    it.pin(&good);
    it.refused(&format!("the key {good} is not among the given ones: {revoked}"));
}
