//! Keys of other programs are read, ours are read again, and everything else is refused by name.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use zeroize::Zeroizing;

use super::{Fit, KeyError, KeyKind, PublicKey, SealedKey, SecretKey, SecretKeyFile, read_pem};

macro_rules! fixture {
    ($name:literal) => {
        include_bytes!(concat!("../../fixtures/", $name))
    };
}

fn parse(file: &[u8], password: &str) -> Result<SecretKey, KeyError> {
    SecretKey::parse(file, || Ok(Zeroizing::new(password.as_bytes().to_vec())))
}

/// For keys that need no password.
fn parse_open(file: &[u8]) -> Result<SecretKey, KeyError> {
    SecretKey::parse(file, || panic!("asked for a password"))
}

#[test]
fn reads_what_cosign_made() {
    let table: [(&str, &[u8], &[u8], KeyKind); 5] = [
        (
            "2.5 p256",
            fixture!("cosign-2.5-p256.key"),
            fixture!("cosign-2.5-p256.pub"),
            KeyKind::EcdsaP256,
        ),
        (
            "3.1 p256",
            fixture!("cosign-3.1-p256.key"),
            fixture!("cosign-3.1-p256.pub"),
            KeyKind::EcdsaP256,
        ),
        (
            "2.5 ed25519",
            fixture!("cosign-2.5-ed25519.key"),
            fixture!("cosign-2.5-ed25519.pub"),
            KeyKind::Ed25519,
        ),
        (
            "3.1 p384",
            fixture!("cosign-3.1-p384.key"),
            fixture!("cosign-3.1-p384.pub"),
            KeyKind::EcdsaP384,
        ),
        ("3.1 rsa", fixture!("cosign-3.1-rsa.key"), fixture!("cosign-3.1-rsa.pub"), KeyKind::Rsa),
    ];
    for (name, secret, public, kind) in table {
        let secret = parse(secret, "treelay").expect(name);
        let parsed = PublicKey::parse(public).expect(name);
        assert_eq!(secret.kind(), kind, "{name}");
        assert_eq!(*secret.public(), parsed, "{name}");
        assert_eq!(parsed.to_pem().as_bytes(), public, "{name}");
        let signature = secret.sign(b"message").expect(name);
        assert_eq!(parsed.fits(b"message", &signature), Fit::Yes, "{name}");
    }
}

#[test]
fn sealed_keys_need_their_password() {
    let sealed = fixture!("cosign-2.5-p256.key");
    assert_eq!(parse(sealed, "Treelay").unwrap_err(), KeyError::WrongPassword);

    let key = SecretKey::generate(KeyKind::EcdsaP256).unwrap();
    let pem = key.to_encrypted_pem(b"a password").unwrap();
    assert!(pem.starts_with("-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\n"));
    assert_eq!(parse(pem.as_bytes(), "a password").unwrap().public(), key.public());
    let old = pem.replace("SIGSTORE", "COSIGN").replace('\n', "\r\n");
    assert_eq!(parse(old.as_bytes(), "a password").unwrap().public(), key.public());
}

#[test]
fn refuses_absurd_parameters_before_deriving() {
    let sealed = read_pem(fixture!("cosign-3.1-p256.key")).unwrap().unwrap();
    let good = String::from_utf8(sealed.content.to_vec()).unwrap();
    assert!(SealedKey::parse(good.as_bytes()).is_ok());
    let value: serde_json::Value = serde_json::from_str(&good).unwrap();
    let table = [
        ("/kdf/name", "pbkdf2".into(), "kdf.name"),
        ("/kdf/params/N", 0.into(), "kdf.params.N"),
        ("/kdf/params/N", 16384.into(), "kdf.params.N"),
        ("/kdf/params/N", (1_u64 << 40).into(), "kdf.params.N"),
        ("/kdf/params/N", (-65536).into(), "kdf.params.N"),
        ("/kdf/params/N", 65536.5.into(), "kdf.params.N"),
        ("/kdf/params/r", 1_000_000.into(), "kdf.params.r"),
        ("/kdf/params/p", 0.into(), "kdf.params.p"),
        ("/kdf/salt", BASE64.encode([0; 8]).into(), "length of kdf.salt"),
        ("/cipher/name", "aes".into(), "cipher.name"),
        ("/cipher/nonce", BASE64.encode([0; 12]).into(), "length of cipher.nonce"),
        ("/ciphertext", BASE64.encode([0; 16]).into(), "length of ciphertext"),
        ("/ciphertext", BASE64.encode([0; 20_000]).into(), "length of ciphertext"),
    ];
    for (place, absurd, expected) in table {
        let mut value = value.clone();
        *value.pointer_mut(place).unwrap() = absurd;
        let refused = SealedKey::parse(value.to_string().as_bytes()).map(|_| ()).unwrap_err();
        let KeyError::AbsurdParameters { name, .. } = refused else {
            panic!("{place}: {refused:?}")
        };
        assert_eq!(name, expected);
    }
    let twice = good.replacen("\"salt\"", "\"salt\":\"\",\"salt\"", 1);
    for damaged in ["", "{}", "[]", "null", &good[..good.len() - 1], &twice] {
        let refused = SealedKey::parse(damaged.as_bytes()).map(|_| ()).unwrap_err();
        assert!(matches!(refused, KeyError::Damaged { .. }), "{damaged}: {refused:?}");
    }
}

#[test]
fn every_kind_survives_its_files() {
    for kind in KeyKind::ALL {
        let key = SecretKey::generate(kind).unwrap();
        let der = key.to_pkcs8_der().unwrap();
        let pem = pem_rfc7468::encode_string("PRIVATE KEY", pem_rfc7468::LineEnding::LF, &der);
        let again = parse_open(pem.unwrap().as_bytes()).unwrap();
        assert_eq!(again.kind(), kind);
        assert_eq!(again.public(), key.public());
        assert_eq!(PublicKey::parse(key.public().to_pem().as_bytes()).unwrap(), *key.public());
        assert_eq!(kind.name().parse(), Ok(kind));
        assert_eq!(key.to_ostree_line().is_some(), kind == KeyKind::Ed25519);
        assert_ne!(SecretKey::generate(kind).unwrap().public(), key.public());
    }
}

#[test]
fn reads_what_openssl_made() {
    let key = parse_open(fixture!("openssl-p256.pem")).unwrap();
    assert_eq!(key.kind(), KeyKind::EcdsaP256);
    let key = parse_open(fixture!("openssl-ed25519.pem")).unwrap();
    let imported = PublicKey::parse(fixture!("cosign-2.5-ed25519.pub")).unwrap();
    assert_eq!(*key.public(), imported);
    // As `openssl pkey -text` puts it: words before the block, blank lines after it.
    let chatty = [b"some words\n\n", fixture!("openssl-p256.pem").as_slice(), b"\n \n"].concat();
    assert!(parse_open(&chatty).is_ok());
}

#[test]
fn reads_ostrees_lines() {
    // RFC 8032, section 7.1, test 1.
    let seed = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
    let public = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
    let bytes = hex::decode([seed, public].concat()).unwrap();
    let line = BASE64.encode(&bytes);

    let key = parse_open(format!("{line}\n").as_bytes()).unwrap();
    assert_eq!(key.kind(), KeyKind::Ed25519);
    assert_eq!(**key.to_ostree_line().unwrap(), line);
    let public_line = key.public().to_ostree_line().unwrap();
    assert_eq!(BASE64.decode(&public_line).unwrap(), bytes[32..]);
    assert_eq!(PublicKey::parse(public_line.as_bytes()).unwrap(), *key.public());
    let signature = hex::encode(key.sign(b"").unwrap());
    assert!(signature.starts_with("e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065"));

    let mut other_half = bytes.clone();
    other_half[40] ^= 1;
    let refused = parse_open(BASE64.encode(other_half).as_bytes()).unwrap_err();
    assert!(matches!(refused, KeyError::Damaged { .. }), "{refused:?}");
}

#[test]
fn ecdsa_is_deterministic_as_rfc_6979_says() {
    // RFC 6979, appendix A.2.5: P-256, SHA-256, message "sample".
    let x = hex::decode("c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721");
    let key = p256::SecretKey::from_slice(&x.unwrap()).unwrap();
    let der = pkcs8::EncodePrivateKey::to_pkcs8_der(&key).unwrap();
    let key = SecretKey::from_pkcs8_der(der.as_bytes()).unwrap();
    let signature = p256::ecdsa::Signature::from_der(&key.sign(b"sample").unwrap()).unwrap();
    assert_eq!(
        hex::encode(signature.to_bytes()),
        "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716\
         f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8"
    );
}

#[test]
fn names_of_a_key() {
    let key = PublicKey::parse(fixture!("cosign-2.5-p256.pub")).unwrap();
    // `openssl pkey -pubin -outform der | sha256sum`
    assert_eq!(key.fingerprint(), FINGERPRINT);
    assert_eq!(hex::encode(BASE64.decode(key.hint()).unwrap()), FINGERPRINT);
    assert!(format!("{key:?}").contains("ecdsa-p256"));
    let secret = parse_open(fixture!("openssl-p256.pem")).unwrap();
    assert!(!format!("{secret:?}").contains(&hex::encode(&secret.to_pkcs8_der().unwrap()[36..40])));
}

#[test]
fn refuses_what_is_no_key() {
    let pem = |label: &str, bytes: &[u8]| {
        pem_rfc7468::encode_string(label, pem_rfc7468::LineEnding::LF, bytes).unwrap()
    };
    let refused = |file: &str| parse_open(file.as_bytes()).unwrap_err();
    assert_eq!(refused(""), KeyError::NotAKey);
    assert_eq!(refused("hello, this is no key"), KeyError::NotAKey);
    assert_eq!(refused(&BASE64.encode([1; 33])), KeyError::NotAKey);
    assert_eq!(parse_open(&[0xff; 64]).unwrap_err(), KeyError::NotAKey);
    assert_eq!(parse_open(&[b'A'; 70_000]).unwrap_err(), KeyError::TooLong { length: 70_000 });
    assert_eq!(parse_open(fixture!("cosign-2.5-p256.pub")).unwrap_err(), KeyError::PublicGiven);
    for label in ["EC PARAMETERS", "ENCRYPTED PRIVATE KEY", "OPENSSH PRIVATE KEY", "CERTIFICATE"] {
        let refused = refused(&pem(label, b"0123"));
        assert!(matches!(refused, KeyError::UnsupportedFile { .. }), "{label}: {refused:?}");
    }
    for label in ["PRIVATE KEY", "EC PRIVATE KEY", "RSA PRIVATE KEY"] {
        for bytes in [b"".as_slice(), b"0123", &[0x30, 0x80]] {
            let refused = refused(&pem(label, bytes));
            assert!(matches!(refused, KeyError::Damaged { .. }), "{bytes:?}: {refused:?}");
        }
    }
    let cut = std::str::from_utf8(fixture!("openssl-p256.pem")).unwrap();
    assert!(matches!(refused(&cut[..150]), KeyError::Damaged { .. }));

    let refused = |file: &[u8]| PublicKey::parse(file).unwrap_err();
    assert_eq!(refused(fixture!("openssl-p256.pem")), KeyError::SecretGiven);
    assert_eq!(refused(fixture!("cosign-2.5-p256.key")), KeyError::SecretGiven);
    assert_eq!(refused(BASE64.encode([7; 64]).as_bytes()), KeyError::SecretGiven);
    assert!(matches!(
        refused(pem("CERTIFICATE", b"0").as_bytes()),
        KeyError::UnsupportedFile { .. }
    ));
    // Small order: under this key a signature verifies whatever the message.
    let weak = refused(BASE64.encode([0; 32]).as_bytes());
    assert!(matches!(weak, KeyError::Damaged { .. }), "{weak:?}");
    // Another name for the same numbers.
    let rsa = PublicKey::parse(fixture!("cosign-3.1-rsa.pub")).unwrap().spki_der().to_vec();
    let null = rsa.windows(2).position(|two| two == [5, 0]).unwrap();
    for parameters in [[0x04, 0], [0x45, 0], [0x30, 0]] {
        let mut odd = rsa.clone();
        odd[null..null + 2].copy_from_slice(&parameters);
        let refused = PublicKey::from_spki_der(&odd);
        assert!(matches!(refused, Err(KeyError::Damaged { .. })), "{parameters:?}: {refused:?}");
    }
    // A point that is not on its curve.
    let mut off = PublicKey::parse(fixture!("cosign-2.5-p256.pub")).unwrap().spki_der().to_vec();
    *off.last_mut().unwrap() ^= 1;
    assert!(matches!(PublicKey::from_spki_der(&off), Err(KeyError::Damaged { .. })));
}

#[test]
fn refuses_kinds_that_are_not_read() {
    let table = [
        // `openssl genpkey -algorithm ed448 | openssl pkey -pubout`
        ("algorithm 1.3.101.113", ED448),
        // `openssl ecparam -name secp521r1 -genkey -noout | openssl pkey -pubout`
        ("ECDSA on the curve 1.3.132.0.35", P521),
        // `openssl genrsa 1024 | openssl pkey -pubout`
        ("RSA of 1024 bits", RSA_1024),
    ];
    for (expected, base64) in table {
        let refused = PublicKey::from_spki_der(&BASE64.decode(base64).unwrap()).unwrap_err();
        assert_eq!(refused, KeyError::UnsupportedKind { found: expected.to_owned() });
    }
}

#[test]
fn inspecting_asks_for_no_password() {
    let file = SecretKeyFile::parse(fixture!("cosign-2.5-p256.key")).unwrap();
    assert!(matches!(file, SecretKeyFile::Sealed(_)));
    let file = SecretKeyFile::parse(fixture!("openssl-p256.pem")).unwrap();
    assert!(matches!(file, SecretKeyFile::Open(_)));
}

const FINGERPRINT: &str = "4389dedad7e22abea5b05039029d0347769dcc5fb2e1adf25cac6cc96d005a5f";
const ED448: &str = "MEMwBQYDK2VxAzoALb3TtN/2qPjbWmvJLI3PlLU2gtsYH/usbHtyN++XK7vPT/lVSU/SzeI2cSwta1fWYDc5OnzmaM\
    UA";
const P521: &str = "MIGbMBAGByqGSM49AgEGBSuBBAAjA4GGAAQBeOo5rFkWA84d1zRLm5twSothX8pndhbiWvgQnGQwLHTxbu+fy6bV21\
    Chxy+s9W92A0+9wW3NEbHfCC6wvb2tRtkAeLSOF3J91/5aMTfcGxFVbm1+Kd/ReTbQAtohW4WLSFZKP+V1u1c7wHyk\
    boGQrRsNzZ9IZFEZM3SVX/Bww/CSaKQ=";
const RSA_1024: &str = "MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDBuXqKoW2oCjsslhkwjLn/CW6DX/O0VeO/v9VQVUfXzJc9ryEum2\
    GdZjGDrlJEp4JxSfae/XJS4iV4Mtl6F4mvtyQ+DQNS9w6BycRDAOA/O7QUArwUKFO6FDR9HvsGcGFvXn97EHNPHTzI\
    oScgTCPkhHNqbLzZedoL9t9eW/FwUwIDAQAB";
