//! What proves something: notes of checksum databases, OpenPGP, Sigstore.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use treelay_layers::TreePath;
use treelay_signing::bundle::Bundle;
use treelay_signing::dsse::Envelope;
use treelay_signing::keyless::{self, Artifact, Matcher, Policy, TrustedRoot};
use treelay_signing::openpgp::{ClearSigned, Detached, Trust};
use treelay_signing::schemes::Scheme as _;
use treelay_signing::schemes::ostree_ed25519::OstreeEd25519;
use treelay_signing::schemes::simplesigning::Payload;
use treelay_signing::sumdb::{Claim, Hash, SignedHead, Tiles, VerifierKey};
use treelay_signing::{SecretKey, Statement, Subject};

use super::told;

macro_rules! fixture {
    ($name:literal) => {
        include_bytes!(concat!("../../../../signing/fixtures/", $name)).as_slice()
    };
}

/// The database of the corpus, and the key of its notes.
const DATABASE: &str = "sum.example";

static SIGNER: LazyLock<SecretKey> = LazyLock::new(|| {
    let sealed = || Err(treelay_signing::KeyError::NotAKey);
    SecretKey::parse(fixture!("openssl-ed25519.pem"), sealed).expect("a key that is open")
});

/// Hash and text of the key. Of an OSTree commit this scheme signs the very bytes, as notes have it.
static KEY: LazyLock<(u32, VerifierKey)> = LazyLock::new(|| {
    let line = SIGNER.public().to_ostree_line().expect("an Ed25519 key");
    let public = BASE64.decode(line.trim()).expect("base64");
    let key = [&[1], public.as_slice()].concat();
    let hashed = [DATABASE.as_bytes(), b"\n", &key].concat();
    let hash = treelay_recipes::Digest::of(hashed).hex()[..8].to_owned();
    let text = format!("{DATABASE}+{hash}+{}", BASE64.encode(key));
    let number = u32::from_str_radix(&hash, 16).expect("hex");
    (number, VerifierKey::parse(&text).expect("the text of a key"))
});

/// A note about `text`, which ends with a newline.
fn note_about(text: &str) -> String {
    let made = OstreeEd25519.sign(&Subject::Commit(text.as_bytes()), &SIGNER);
    let made = made.expect("it signs anything").bytes;
    let bytes = [KEY.0.to_be_bytes().as_slice(), &made].concat();
    format!("{text}\n— {DATABASE} {}\n", BASE64.encode(bytes))
}

/// The answer with a good signature, by the key of the corpus, over whatever its note says.
pub fn signed(answer: &[u8]) -> Vec<u8> {
    let Ok(text) = std::str::from_utf8(answer) else { return answer.to_vec() };
    let Some((record, rest)) = text.split_once("\n\n") else { return answer.to_vec() };
    let said = rest.rfind("\n\n").map_or(rest, |end| &rest[..end + 1]);
    format!("{record}\n\n{}", note_about(said)).into_bytes()
}

/// What a checksum database answers is a record in a tree, or is refused.
pub fn note(bytes: &[u8]) -> bool {
    let key = &KEY.1;
    for read in [SignedHead::open(bytes, key).map(drop), Claim::latest(bytes, key, None).map(drop)]
    {
        if let Err(error) = read {
            told(&error);
        }
    }
    alone_in_a_tree(bytes);
    let claim = match Claim::lookup(bytes, key, None) {
        Ok(claim) => claim,
        Err(error) => return told(&error),
    };
    let tiles = claim.tiles();
    // Eight levels, of each the way of the record and the edge.
    assert!(tiles.len() <= 16, "{} tiles", tiles.len());
    for tile in &tiles {
        assert!(TreePath::new(&tile.path()).is_ok(), "{tile:?}");
    }
    // Tiles of nothing are those of no tree.
    let nothing: Tiles = tiles.iter().map(|tile| (*tile, vec![0; tile.bytes()])).collect();
    for tiles in [nothing, Tiles::new()] {
        match claim.clone().prove(&tiles) {
            Ok(_) => panic!("proven by nothing"),
            Err(error) => drop(told(&error)),
        }
    }
    true
}

/// A record of the answer's, as the only one of a tree, is proven, and says what its lines say.
fn alone_in_a_tree(answer: &[u8]) {
    let Ok(text) = std::str::from_utf8(answer) else { return };
    let Some((_, rest)) = text.split_once('\n') else { return };
    let Some(end) = rest.find("\n\n") else { return };
    let record = &rest[..end + 1];
    let root = Hash::of_record(record.as_bytes());
    let answer =
        format!("0\n{record}\n{}", note_about(&format!("go.sum database tree\n1\n{root}\n")));
    let claim = match Claim::lookup(answer.as_bytes(), &KEY.1, None) {
        Ok(claim) => claim,
        Err(error) => {
            told(&error);
            return;
        }
    };
    let tiles = claim.tiles().into_iter().map(|tile| (tile, root.0.to_vec())).collect();
    let proven = claim.prove(&tiles).expect("it is all of the tree");
    for line in record.lines() {
        let mut words = line.split(' ');
        let (Some(module), Some(version)) = (words.next(), words.next()) else { continue };
        if let Ok(sums) = proven.sums(module, version) {
            let said = [sums.files, sums.go_mod];
            assert!(said.iter().flatten().all(|sum| record.contains(sum.as_str())));
        }
    }
}

const TEXT: &[u8] = fixture!("openpgp/text");
/// 2026-01-01.
const AT: u64 = 1_767_225_600;

static TRUST: LazyLock<Trust> = LazyLock::new(|| {
    let keys =
        [fixture!("openpgp/good.asc"), fixture!("openpgp/dsa.asc"), fixture!("openpgp/small.asc")];
    let pins: Vec<_> =
        keys.iter().flat_map(|key| Trust::fingerprints(key).unwrap_or_default()).collect();
    Trust::new(&keys, &pins).expect("keys that are read")
});

/// A file of OpenPGP keys is read, and then each of its keys can be pinned; or it is refused.
pub fn openpgp_key(bytes: &[u8]) -> bool {
    let pins = match Trust::fingerprints(bytes) {
        Ok(pins) => pins,
        Err(error) => return told(&error),
    };
    if pins.is_empty() {
        return false;
    }
    let trust = Trust::new(&[bytes], &pins).expect("what was found can be pinned");
    for signature in [fixture!("openpgp/text.good.sig"), fixture!("openpgp/text.dsa.sig")] {
        let signature = Detached::parse(signature).expect("a signature");
        if let Err(error) = signature.verify(TEXT, &trust, AT) {
            told(&error);
        }
    }
    true
}

/// A signature is read or refused, and is good only of what it is of.
pub fn openpgp_signature(bytes: &[u8]) -> bool {
    let signature = match Detached::parse(bytes) {
        Ok(signature) => signature,
        Err(error) => return told(&error),
    };
    if let Err(error) = signature.verify(TEXT, &TRUST, AT) {
        told(&error);
    }
    assert!(signature.verify(b"another text", &TRUST, AT).is_err(), "it is good of another text");
    true
}

/// A text with its signature around it is read or refused, and what is good of it is one text.
pub fn openpgp_clear(bytes: &[u8]) -> bool {
    let clear = match ClearSigned::parse(bytes) {
        Ok(clear) => clear,
        Err(error) => return told(&error),
    };
    assert!(ClearSigned::is_one(bytes), "it is read, and is none");
    match clear.verify(&TRUST, AT) {
        Ok((text, _)) => assert!(text.starts_with(b"A text."), "another text is good"),
        Err(error) => drop(told(&error)),
    }
    true
}

static ROOTS: LazyLock<Vec<TrustedRoot>> = LazyLock::new(|| {
    let files =
        [fixture!("keyless/root-public-good.json"), fixture!("keyless/root-scaffolding.json")];
    files.iter().map(|file| TrustedRoot::parse(file).expect("a root")).collect()
});

/// A bundle of Sigstore's is read or refused, and is of no artifact of ours.
pub fn sigstore(bytes: &[u8]) -> bool {
    let bundle = match Bundle::parse(bytes) {
        Ok(bundle) => bundle,
        Err(error) => return told(&error),
    };
    let any = || Matcher::pattern(".*").expect("a pattern");
    let policy = Policy { identity: any(), issuer: any() };
    for root in ROOTS.iter() {
        let artifact = Artifact::of_bytes(b"ours");
        match keyless::verify(&bundle, &artifact, root, &policy) {
            Ok(signed) => panic!("it signs what it never saw: {signed:?}"),
            Err(error) => drop(told(&error)),
        }
    }
    let _ = bundle.unverified_statement();
    if let Some(json) = bundle.to_json() {
        let again = Bundle::parse(json.as_bytes()).expect("what was written is read");
        assert!(again == bundle, "written again it is another bundle");
    }
    true
}

/// A trusted root is read or refused.
pub fn trusted_root(bytes: &[u8]) -> bool {
    TrustedRoot::parse(bytes).map_or_else(|error| told(&error), |_| true)
}

/// Envelopes, statements and payloads are read as one of them, or refused.
pub fn statement(bytes: &[u8]) -> bool {
    let mut accepted = false;
    match Envelope::parse(bytes) {
        Ok(envelope) => {
            let again = Envelope::parse(envelope.to_json().as_bytes()).expect("it is read again");
            assert!(again == envelope, "written again it is another envelope");
            accepted = true;
        }
        Err(error) => drop(told(&error)),
    }
    match Statement::parse(bytes) {
        Ok(statement) => {
            let again = Statement::parse(&statement.to_bytes()).expect("it is read again");
            assert!(again == statement, "written again it is another statement");
            accepted = true;
        }
        Err(error) => drop(told(&error)),
    }
    match Payload::parse(bytes) {
        Ok(payload) => {
            assert!(!payload.digest().is_empty());
            accepted = true;
        }
        Err(error) => drop(told(&error)),
    }
    accepted
}
