mod gnupg;
mod standing;

use pgp::packet::{Notation, RevocationCode, SignatureType, Subpacket, SubpacketData};
use pgp::types::Duration;

use super::testing::{BORN, DAY, Maker, key_lives, parts, reason, sign, sign_as, signs};
use super::*;

const DATA: &[u8] = b"the file";

/// When the files of tests are signed, and looked at.
const MADE: u64 = BORN + 100 * DAY;
const AT: u64 = BORN + 200 * DAY;

fn judge(trust: &Trust, signature: &[u8]) -> Result<Good, Vec<Fault>> {
    let judged = Detached::parse(signature).unwrap().verify(DATA, trust, AT);
    judged.map_err(|bad| bad.signatures.into_iter().map(|judged| judged.fault).collect())
}

#[test]
fn keys_and_subkeys_sign() {
    let maker = Maker::new();
    let trust = maker.trust(maker.good());
    for (by, name) in [(&maker.primary, maker.name()), (&maker.sub, maker.sub_name())] {
        let good = judge(&trust, &sign(by, parts(MADE, vec![]), DATA)).unwrap();
        assert_eq!((good.primary, good.signer, good.made), (maker.name(), name, MADE));
        assert_eq!((&*good.hash, good.others.len()), ("SHA512", 0));
    }
    // Old keys have no flags, and a certificate may have no user.
    let bare = maker.of_user(SignatureType::CertGeneric, BORN, vec![]);
    let direct = maker.direct(SignatureType::Key, BORN, vec![signs(true)]);
    for certificate in [[vec![], vec![bare], vec![]], [vec![direct], vec![], vec![]]] {
        let signature = sign(&maker.primary, parts(MADE, vec![]), DATA);
        judge(&maker.trust(certificate), &signature).unwrap();
    }
}

#[test]
fn certificates_that_do_not_stand() {
    let maker = Maker::new();
    let other = Maker::new();
    let (primary, sub) = (maker.name(), maker.sub_name());
    let user = |made, more| maker.of_user(SignatureType::CertPositive, made, more);
    let binding =
        |made, more| maker.of_sub(&maker.primary, SignatureType::SubkeyBinding, made, more);
    let back = |more| maker.back(maker.primary.public_key(), BORN, more);
    let revoke = |code| maker.direct(SignatureType::KeyRevocation, BORN + 150 * DAY, reason(code));
    let revoke_sub =
        |by, made, code| maker.of_sub(by, SignatureType::SubkeyRevocation, made, reason(code));
    let good_user = || vec![maker.good_user()];
    let good_sub = || vec![maker.good_binding()];
    let notation = || {
        let (name, value) = ("a@example.org".into(), "b".into());
        SubpacketData::Notation(Notation { readable: true, name, value })
    };
    let critical = |made, data| {
        let mut all = parts(made, vec![signs(true)]);
        all.push(Subpacket::critical(data).unwrap());
        let config = Maker::config(&maker.primary, SignatureType::CertPositive, all);
        let (key, public) = (&maker.primary, maker.primary.public_key());
        let nobody = pgp::types::Password::empty();
        config
            .sign_certification(key, public, &nobody, pgp::types::Tag::UserId, &maker.user)
            .unwrap()
    };
    let holds =
        |days| SubpacketData::SignatureExpirationTime(Duration::from_secs((days * DAY) as u32));
    let revoked = |key: &Fingerprint, revoked, why: &str| {
        let reason = format!("{why} (itis)");
        Some(Fault::Revoked { key: key.clone(), revoked, reason })
    };
    let late = BORN + 150 * DAY;
    let no_binding = || Some(Fault::NoBinding(sub.clone()));
    let no_back = || Some(Fault::NoBackSignature(sub.clone()));
    let no_self = || Some(Fault::NoSelfSignature(primary.clone()));

    // What is said of it; on the key, on the user, on the subkey; by the subkey, what comes of it.
    type Case<'a> = (&'a str, [Vec<pgp::packet::Signature>; 3], Option<Fault>);
    let cases: Vec<Case<'_>> = vec![
        ("good", maker.good(), None),
        ("no self-signature", [vec![], vec![], good_sub()], no_self()),
        ("another key's", [vec![], vec![other.good_user()], good_sub()], no_self()),
        ("self-signature from later", [vec![], vec![user(AT + 1, vec![])], good_sub()], no_self()),
        (
            "self-signature expired",
            [vec![], vec![user(BORN, vec![holds(150)])], good_sub()],
            no_self(),
        ),
        ("critical notation", [vec![], vec![critical(BORN, notation())], good_sub()], no_self()),
        (
            "unknown critical part",
            [
                vec![],
                vec![critical(BORN, SubpacketData::Experimental(101, "x".into()))],
                good_sub(),
            ],
            no_self(),
        ),
        (
            "user revoked",
            [
                vec![],
                vec![maker.good_user(), maker.of_user(SignatureType::CertRevocation, BORN, vec![])],
                good_sub(),
            ],
            no_self(),
        ),
        (
            "primary has expired",
            [vec![], vec![user(BORN, vec![key_lives(100)])], good_sub()],
            Some(Fault::AfterKey { key: primary.clone(), made: MADE, expired: MADE }),
        ),
        (
            "primary expires later",
            [vec![], vec![user(BORN, vec![key_lives(101)])], good_sub()],
            None,
        ),
        (
            "the newest word prolongs",
            [
                vec![],
                vec![user(BORN, vec![key_lives(50)]), user(late, vec![key_lives(300)])],
                good_sub(),
            ],
            None,
        ),
        (
            "the newest word shortens",
            [vec![], vec![user(late, vec![key_lives(50)]), user(BORN, vec![])], good_sub()],
            Some(Fault::AfterKey { key: primary.clone(), made: MADE, expired: BORN + 50 * DAY }),
        ),
        (
            "said directly, of something else",
            [
                vec![maker.direct(SignatureType::Key, late, vec![])],
                vec![user(BORN, vec![key_lives(50)])],
                good_sub(),
            ],
            Some(Fault::AfterKey { key: primary.clone(), made: MADE, expired: BORN + 50 * DAY }),
        ),
        (
            "said directly, of its life",
            [
                vec![maker.direct(SignatureType::Key, late, vec![key_lives(50)])],
                good_user(),
                good_sub(),
            ],
            Some(Fault::AfterKey { key: primary.clone(), made: MADE, expired: BORN + 50 * DAY }),
        ),
        ("no binding", [vec![], good_user(), vec![other.good_binding()]], no_binding()),
        (
            "bound by itself",
            [
                vec![],
                good_user(),
                vec![maker.of_sub(
                    &maker.sub,
                    SignatureType::SubkeyBinding,
                    BORN,
                    vec![signs(true), back(vec![])],
                )],
            ],
            no_binding(),
        ),
        (
            "bound later",
            [vec![], good_user(), vec![binding(AT + 1, vec![signs(true), back(vec![])])]],
            no_binding(),
        ),
        (
            "no flags",
            [vec![], good_user(), vec![binding(BORN, vec![back(vec![])])]],
            Some(Fault::NotForSigning(sub.clone())),
        ),
        (
            "other flags",
            [vec![], good_user(), vec![binding(BORN, vec![signs(false), back(vec![])])]],
            Some(Fault::NotForSigning(sub.clone())),
        ),
        (
            "no back signature",
            [vec![], good_user(), vec![binding(BORN, vec![signs(true)])]],
            no_back(),
        ),
        (
            "back signature of another primary key",
            [
                vec![],
                good_user(),
                vec![binding(
                    BORN,
                    vec![signs(true), maker.back(other.primary.public_key(), BORN, vec![])],
                )],
            ],
            no_back(),
        ),
        (
            "back signature by another subkey",
            [
                vec![],
                good_user(),
                vec![binding(
                    BORN,
                    vec![signs(true), other.back(maker.primary.public_key(), BORN, vec![])],
                )],
            ],
            no_back(),
        ),
        (
            "back signature expired",
            [vec![], good_user(), vec![binding(BORN, vec![signs(true), back(vec![holds(150)])])]],
            no_back(),
        ),
        (
            "subkey has expired",
            [
                vec![],
                good_user(),
                vec![binding(BORN, vec![signs(true), back(vec![]), key_lives(99)])],
            ],
            Some(Fault::AfterKey { key: sub.clone(), made: MADE, expired: BORN + 99 * DAY }),
        ),
        (
            "subkey has expired since",
            [
                vec![],
                good_user(),
                vec![binding(BORN, vec![signs(true), back(vec![]), key_lives(120)])],
            ],
            None,
        ),
        (
            "revoked hard, later",
            [vec![revoke(RevocationCode::KeyCompromised)], good_user(), good_sub()],
            revoked(&primary, late, "compromised"),
        ),
        (
            "revoked without reason",
            [vec![revoke(RevocationCode::NoReason)], good_user(), good_sub()],
            revoked(&primary, late, "no reason given"),
        ),
        (
            "revoked for unknown reason",
            [vec![revoke(RevocationCode::Private100)], good_user(), good_sub()],
            revoked(&primary, late, "no reason given"),
        ),
        (
            "revoked soft, later",
            [vec![revoke(RevocationCode::KeyRetired)], good_user(), good_sub()],
            None,
        ),
        (
            "revoked soft, before",
            [
                vec![maker.direct(
                    SignatureType::KeyRevocation,
                    BORN + DAY,
                    reason(RevocationCode::KeySuperseded),
                )],
                good_user(),
                good_sub(),
            ],
            revoked(&primary, BORN + DAY, "superseded"),
        ),
        (
            "revoked by another",
            [
                vec![other.direct(SignatureType::KeyRevocation, BORN, vec![])],
                good_user(),
                good_sub(),
            ],
            None,
        ),
        (
            "subkey revoked hard",
            [
                vec![],
                good_user(),
                vec![
                    maker.good_binding(),
                    revoke_sub(&maker.primary, late, RevocationCode::KeyCompromised),
                ],
            ],
            revoked(&sub, late, "compromised"),
        ),
        (
            "subkey revoked soft, later",
            [
                vec![],
                good_user(),
                vec![
                    revoke_sub(&maker.primary, late, RevocationCode::KeyRetired),
                    maker.good_binding(),
                ],
            ],
            None,
        ),
        (
            "subkey revoked by itself",
            [
                vec![],
                good_user(),
                vec![maker.good_binding(), revoke_sub(&maker.sub, BORN, RevocationCode::NoReason)],
            ],
            None,
        ),
    ];
    let signature = sign(&maker.sub, parts(MADE, vec![]), DATA);
    for (what, certificate, expected) in cases {
        let found = judge(&maker.trust(certificate), &signature);
        match expected {
            None => drop(found.unwrap_or_else(|faults| panic!("{what}: {faults:?}"))),
            Some(fault) => assert_eq!(found.expect_err(what), [fault], "{what}"),
        }
    }
    // What is wrong with subkeys does not touch the primary key, and it has flags too.
    let by_primary = sign(&maker.primary, parts(MADE, vec![]), DATA);
    judge(&maker.trust([vec![], good_user(), vec![]]), &by_primary).unwrap();
    let certifies = [vec![], vec![user(BORN, vec![signs(false)])], good_sub()];
    let found = judge(&maker.trust(certifies), &by_primary).unwrap_err();
    assert_eq!(found, [Fault::NotForSigning(primary.clone())]);
}

#[test]
fn signatures_that_do_not_count() {
    let (maker, other) = (Maker::new(), Maker::new());
    let trust = maker.trust(maker.good());
    let by = &maker.primary;
    let plain = |made| sign(by, parts(made, vec![]), DATA);
    let holds = SubpacketData::SignatureExpirationTime(Duration::from_secs(DAY as u32));
    let critical = |data| {
        let mut all = parts(MADE, vec![]);
        all.push(Subpacket::critical(data).unwrap());
        sign(by, all, DATA)
    };
    // Such a one `pgp` does not make, so it becomes critical afterwards; it is seen before anything
    // is computed.
    let mut unknown = sign(by, parts(MADE, vec![SubpacketData::Other(90, "x".into())]), DATA);
    let at = unknown.windows(3).position(|bytes| bytes == [2, 90, b'x']).unwrap();
    unknown[at + 1] |= 0x80;
    let (name, value) = ("a@example.org".into(), "b".into());
    let notation = Notation { readable: true, name, value };
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (sign(&other.primary, parts(MADE, vec![]), DATA), "which is not pinned"),
        (sign(by, parts(MADE, vec![]), b"another file"), "but does not fit"),
        (sign(by, vec![], DATA), "lacks the time it was made"),
        (plain(BORN - 1), "made on 2024-10-03, and the key"),
        (plain(AT + DAY), "which is later than 2025-04-22"),
        (sign(by, parts(MADE, vec![holds]), DATA), "has expired on 2025-01-13"),
        (critical(SubpacketData::Notation(notation.clone())), "the notation \"a@example.org\""),
        (unknown, "number 90"),
        (critical(SubpacketData::Experimental(101, "x".into())), "number 101"),
        (sign_as(by, SignatureType::Standalone, parts(MADE, vec![]), DATA), "of type 0x02"),
    ];
    for (signature, expected) in &cases {
        let [fault] = &judge(&trust, signature).unwrap_err()[..] else { panic!("{expected}") };
        assert!(fault.to_string().contains(expected), "{fault}");
    }
    // A clock may be a little behind, and a notation that is not critical is nobody's concern.
    judge(&trust, &plain(AT + 200)).unwrap();
    judge(&trust, &sign(by, parts(MADE, vec![SubpacketData::Notation(notation)]), DATA)).unwrap();

    // One good signature is enough, wherever it stands; the others are told.
    for at in 0..=cases.len() {
        let mut file: Vec<Vec<u8>> = cases.iter().map(|(signature, _)| signature.clone()).collect();
        file.insert(at, plain(MADE));
        let good = judge(&trust, &file.concat()).unwrap();
        assert_eq!(good.others.len(), cases.len());
    }
    let told = Detached::parse(&plain(MADE).repeat(17)).unwrap_err();
    assert_eq!(told, ReadError::TooMany(16));
}

#[test]
fn signatures_of_old_versions_are_refused() {
    let maker = Maker::new();
    let trust = maker.trust(maker.good());
    let mut signature = sign(&maker.primary, parts(MADE, vec![]), DATA);
    // The version is the first byte after the header, which has two for so short a packet.
    assert_eq!(signature[2], 4);
    for version in [2, 3, 5, 7] {
        signature[2] = version;
        assert_eq!(judge(&trust, &signature).unwrap_err(), [Fault::Version(version)]);
    }
}

#[test]
fn streams_take_files_in_any_pieces() {
    let maker = Maker::new();
    let trust = maker.trust(maker.good());
    let text = b"one\ntwo\r\n\r\n\nthree\rfour\n\nend";
    let canonical = b"one\r\ntwo\r\n\r\n\r\nthree\rfour\r\n\r\nend";
    for (typ, signed) in [(SignatureType::Binary, &text[..]), (SignatureType::Text, canonical)] {
        let signature = sign_as(&maker.primary, typ, parts(MADE, vec![]), signed);
        let detached = Detached::parse(&signature).unwrap();
        for size in 1..text.len() + 1 {
            let mut stream = detached.stream(&trust);
            for piece in text.chunks(size) {
                std::io::Write::write_all(&mut stream, piece).unwrap();
            }
            stream.finish(AT).unwrap_or_else(|bad| panic!("{typ:?} {size}: {bad}"));
        }
    }
}

#[test]
fn any_flipped_bit_is_found() {
    let maker = Maker::new();
    let (trust, good) = (maker.trust(maker.good()), sign(&maker.sub, parts(MADE, vec![]), DATA));
    for at in 0..good.len() {
        assert!(Detached::parse(&good[..at]).is_err(), "cut at {at}");
        for bit in 0..8 {
            let mut changed = good.clone();
            changed[at] ^= 1 << bit;
            let Ok(detached) = Detached::parse(&changed) else { continue };
            if let Ok(found) = detached.verify(DATA, &trust, AT) {
                // What is not signed is the name of the key, without which every key is tried, and
                // how many bits a number is said to have. The signed part begins with the version.
                assert!(!(2..14).contains(&at), "{at} {bit}");
                let same = (maker.name(), maker.sub_name(), MADE);
                assert_eq!((found.primary, found.signer, found.made), same, "{at} {bit}");
            }
        }
    }
    let certificate = maker.certificate(maker.good());
    for at in 0..certificate.len() {
        for bit in [0, 3, 7] {
            let mut changed = certificate.clone();
            changed[at] ^= 1 << bit;
            if let Ok(trust) = Trust::new(&[&changed], &[maker.name()]) {
                // It may still stand where the flip is in what does not matter, but never with
                // another key.
                if let Ok(found) = judge(&trust, &good) {
                    assert_eq!((found.primary, found.signer), (maker.name(), maker.sub_name()));
                }
            }
        }
        let _ = Trust::new(&[&certificate[..at]], &[maker.name()]);
    }
}

#[test]
fn pins_are_found_or_said() {
    let (one, two) = (Maker::new(), Maker::new());
    let ring = [one.certificate(one.good()), two.certificate(two.good())].concat();
    assert_eq!(Trust::fingerprints(&ring).unwrap(), [one.name(), two.name()]);
    let signature = sign(&two.sub, parts(MADE, vec![]), DATA);
    judge(&Trust::new(&[&ring], &[one.name(), two.name()]).unwrap(), &signature).unwrap();
    let only_one = Trust::new(&[&ring], &[one.name()]).unwrap();
    assert!(matches!(judge(&only_one, &signature).unwrap_err()[..], [Fault::OtherKey(_)]));
    let told = |files: &[&[u8]], pins: &[Fingerprint]| Trust::new(files, pins).unwrap_err();
    assert_eq!(told(&[&ring], &[]), TrustError::NoPin);
    let missing = told(&[&one.certificate(one.good())], &[two.name()]).to_string();
    assert!(missing.contains(&one.name().to_string()), "{missing}");
    let subkey = told(&[&ring], &[one.sub_name()]).to_string();
    assert!(subkey.contains(&format!("it is a subkey of {}", one.name())), "{subkey}");

    // Revocations are taken from wherever they are.
    let revocation = one.direct(SignatureType::KeyRevocation, BORN, vec![]);
    let revoked = one.certificate([vec![revocation], vec![], vec![]]);
    let good = one.certificate(one.good());
    for files in [[&good[..], &revoked], [&revoked, &good]] {
        let trust = Trust::new(&files, &[one.name()]).unwrap();
        let found = judge(&trust, &sign(&one.sub, parts(MADE, vec![]), DATA)).unwrap_err();
        assert!(matches!(found[..], [Fault::Revoked { .. }]), "{found:?}");
    }
    let mut secret = Vec::new();
    pgp::packet::PacketTrait::to_writer_with_header(&one.primary, &mut secret).unwrap();
    for (file, expected) in
        [(&secret[..], "a secret key"), (b"no key", "not OpenPGP"), (&signature, "no public key")]
    {
        let told = told(&[file], &[one.name()]);
        let TrustError::Read { file: 1, source } = &told else { panic!("{told}") };
        assert!(source.to_string().starts_with(expected), "{told}");
    }
}

#[test]
fn the_key_of_go_is_shipped() {
    let pin: Fingerprint = GO_RELEASE.parse().unwrap();
    assert_eq!(Trust::fingerprints(GO_RELEASE_CERTIFICATE).unwrap(), std::slice::from_ref(&pin));
    let trust = Trust::new(&[GO_RELEASE_CERTIFICATE], &[pin]).unwrap();
    // Each of its subkeys could sign on its second day; the oldest were signed back with SHA-1.
    let certificate = &trust.certificates[0];
    assert_eq!(certificate.subkeys.len(), 7);
    for (number, (key, _)) in certificate.subkeys.iter().enumerate() {
        let made = u64::from(pgp::types::KeyDetails::created_at(key).as_secs()) + DAY;
        let when = super::standing::When { made, at: 1_796_000_000 };
        certificate.stands(super::standing::Which::Sub(number), when).unwrap();
        let when = super::standing::When { made: made + 4 * 365 * DAY, ..when };
        let late = certificate.stands(super::standing::Which::Sub(number), when);
        assert!(matches!(late, Err(Fault::AfterKey { .. })), "{late:?}");
    }
}
