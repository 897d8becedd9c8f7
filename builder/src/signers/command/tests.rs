//! Programs that sign, well and badly.

use std::sync::Mutex;
use std::time::Instant;

use treelay_signing::Subject;
use treelay_signing::schemes::{Scheme as _, simplesigning::SimpleSigning};

use super::*;

const IMAGE: Subject<'_> = Subject::Image {
    digest: "sha256:db270f0acb4e573c5f49cb758c2c0ee280c09d19fd7000552fa73a0ab3af9683",
    reference: Some("registry.example/a:1"),
};

fn shell(script: &str) -> Signer {
    Signer::new(["/bin/sh", "-c", script, "sh"].map(str::to_owned)).unwrap()
}

fn quiet() -> Tell {
    Arc::new(|_: &str| {})
}

/// A program that knows the public key and, for anything to sign, runs `script`.
fn asked(key: &SecretKey, script: &str) -> Result<SecretKey, CommandError> {
    let script = format!("case $1 in public-key) echo '{}';; sign) {script};; esac", {
        key.public().to_pem()
    });
    shell(&script).secret_key(Path::new("/"), &quiet())
}

#[test]
fn what_a_program_is_told_suffices_to_sign() {
    let folder = tempfile::tempdir().unwrap();
    for kind in KeyKind::ALL {
        let key = SecretKey::generate(kind).unwrap();
        let saved = folder.path().display();
        let made = SimpleSigning.sign(&IMAGE, &key).unwrap();
        let line = BASE64.encode(&made.bytes);
        let (first, last) = line.split_at(20);
        // It keeps what it was given, and answers what is right for it, on two lines.
        let script = format!(
            "cat >{saved}/message; echo $2 $3 >{saved}/words; echo {first}; echo ' {last}'"
        );
        let signed = SimpleSigning.sign(&IMAGE, &asked(&key, &script).unwrap()).unwrap();
        assert_eq!(signed, made);
        let message = std::fs::read(folder.path().join("message")).unwrap();
        assert_eq!(Some(&message), made.payload.as_ref());
        let words = std::fs::read_to_string(folder.path().join("words")).unwrap();
        let digest = match kind {
            KeyKind::Ed25519 => "-".to_owned(),
            _ => Digest::of(&message).hex(),
        };
        assert_eq!(words, format!("{} {digest}\n", algorithm(kind)));
    }
}

#[test]
fn failures_say_who_and_why() {
    let key = SecretKey::generate(KeyKind::EcdsaP256).unwrap();
    for (script, expected) in [
        ("echo the vault is sealed >&2; exit 3", "sign failed (exit status: 3): the vault is"),
        ("kill -9 $$", "signal: 9"),
        ("exit 0", "answered nothing, expected the signature in base64"),
        ("echo '*'", "answered \"*\", expected the signature in base64"),
        ("head -c 70000 /dev/zero", "answered more than 65536 bytes"),
        ("echo AAAA", "the program /bin/sh gave a wrong answer"),
    ] {
        let key = asked(&key, script).unwrap();
        let said = SimpleSigning.sign(&IMAGE, &key).unwrap_err().to_string();
        assert!(said.contains(expected), "{script}: {said}");
    }
    let folder = Path::new("/");
    let no_key = shell("echo hello").public_key(folder, &quiet()).unwrap_err();
    assert!(matches!(no_key, CommandError::Key { .. }), "{no_key:?}");
    let gone = Signer::new(["/no/such/program".to_owned()]).unwrap();
    let gone = gone.public_key(folder, &quiet()).unwrap_err();
    assert!(matches!(gone, CommandError::Start { .. }), "{gone:?}");
}

#[test]
fn programs_that_do_not_end_are_stopped() {
    let start = Instant::now();
    let limit = Duration::from_millis(200);
    let run = |script: &str| {
        shell(script).run(Path::new("/"), &["sign"], &[0; 1 << 20], limit, &quiet()).err()
    };
    for script in ["exec sleep 1000", "exec 1>&- 2>&-; exec sleep 1000"] {
        assert!(matches!(run(script), Some(CommandError::Slow { .. })), "{script}");
    }
    // It reads nothing of a long message, and ends.
    assert!(run("exit 0").is_none());
    assert!(start.elapsed() < Duration::from_secs(20));
}

#[test]
fn what_a_program_leaves_running_is_not_waited_for() {
    let start = Instant::now();
    let key = SecretKey::generate(KeyKind::EcdsaP256).unwrap();
    let made = BASE64.encode(&SimpleSigning.sign(&IMAGE, &key).unwrap().bytes);
    let left = asked(&key, &format!("sleep 60 & echo {made}")).unwrap();
    assert!(SimpleSigning.sign(&IMAGE, &left).is_ok());
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
}

#[test]
fn all_of_a_slow_program_is_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("child");
    let script = format!("sleep 1000 & echo $! >{}; wait", file.display());
    let limit = Duration::from_millis(500);
    let ran = shell(&script).run(Path::new("/"), &["sign"], b"", limit, &quiet());
    assert!(matches!(ran, Err(CommandError::Slow { .. })));
    let child: i32 = std::fs::read_to_string(&file).unwrap().trim().parse().unwrap();
    let stat = format!("/proc/{child}/stat");
    // Until whoever inherits it has taken notice, it is a zombie.
    let runs = || {
        let stat = std::fs::read_to_string(&stat).unwrap_or_default();
        !(stat.is_empty() || stat.contains(") Z "))
    };
    let began = Instant::now();
    while !has_terminal() && runs() {
        assert!(began.elapsed() < Duration::from_secs(10), "{child} goes on");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn arguments_are_shown_to_nobody() {
    let words = ["/bin/sh", "-c", "exit 3", "sh", "--token=98765"].map(str::to_owned);
    let signer = Signer::new(words).unwrap();
    let failed = signer.public_key(Path::new("/"), &quiet()).unwrap_err();
    let shown = format!("{failed} {failed:?} {signer} {signer:?}");
    assert!(shown.contains("/bin/sh") && !shown.contains("98765"), "{shown}");
}

#[test]
fn what_it_says_beside_is_shown() {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&lines);
    let tell: Tell = Arc::new(move |line: &str| seen.lock().unwrap().push(line.to_owned()));
    let said = shell("echo touch the key >&2; echo thanks >&2").run(
        Path::new("/"),
        &["sign"],
        b"",
        LIMIT,
        &tell,
    );
    assert!(said.is_ok());
    assert_eq!(*lines.lock().unwrap(), ["/bin/sh: touch the key", "/bin/sh: thanks"]);
}
