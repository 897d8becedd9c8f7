//! Who says what of a key: directly and with user IDs, in one copy of a certificate or in several.

use pgp::packet::{PacketTrait, Signature};

use super::*;

macro_rules! file {
    ($name:literal) => {
        include_bytes!(concat!("../../../fixtures/openpgp/standing/", $name)).as_slice()
    };
}

const PIN: &str = "E1B213E1A28983F5941F479DFEF4A795ACAAB275";

/// What GnuPG says of the same files: "expired", "not for signing", or nothing.
#[test]
fn certificates_stand_as_they_do_for_gnupg() {
    let expired = "has expired on 2024-11-23";
    for (what, files, expected) in [
        ("life in an older direct signature", vec![file!("life-older-direct.pgp")], expired),
        ("life in an older user self-signature", vec![file!("life-older-user.pgp")], expired),
        (
            "flags in an older direct signature",
            vec![file!("flags-older-direct.pgp")],
            "is not for signing files",
        ),
        ("certified, revoked, certified", vec![file!("certified-again.pgp")], ""),
        ("two users", vec![file!("two-users.pgp")], ""),
        ("one of them revoked", vec![file!("two-users.pgp"), file!("user-revoked.pgp")], expired),
        ("the same", vec![file!("user-revoked.pgp"), file!("two-users.pgp")], expired),
    ] {
        for files in [files.clone(), vec![&*files.concat()]] {
            let trust = Trust::new(&files, &[PIN.parse().unwrap()]).unwrap();
            match judge(&trust, file!("the-file.sig")) {
                Ok(_) => assert_eq!(expected, "", "{what}"),
                Err(faults) => {
                    let [fault] = &faults[..] else { panic!("{what}: {faults:?}") };
                    let told = fault.to_string();
                    assert!(!expected.is_empty() && told.contains(expected), "{what}: {told}");
                }
            }
        }
    }
}

/// A revocation counts against what was said before it and at the same time.
#[test]
fn users_are_certified_again() {
    let maker = Maker::new();
    let certified = |made| maker.of_user(SignatureType::CertPositive, made, vec![signs(true)]);
    let revoked = |made, more| maker.of_user(SignatureType::CertRevocation, made, more);
    let by = sign(&maker.primary, parts(MADE, vec![]), DATA);
    let invalid = || reason(RevocationCode::CertUserIdInvalid);
    for (what, users, good) in [
        ("revoked last", vec![certified(BORN), revoked(BORN + 1, invalid())], false),
        ("at once", vec![certified(BORN), revoked(BORN, invalid())], false),
        ("again", vec![revoked(BORN + 1, invalid()), certified(BORN + 2)], true),
        ("again, no reason", vec![revoked(BORN + 1, vec![]), certified(BORN + 2)], true),
        (
            "revoked again",
            vec![revoked(BORN + 1, vec![]), certified(BORN + 2), revoked(BORN + 3, vec![])],
            false,
        ),
        ("revoked later than now", vec![certified(BORN), revoked(AT + DAY, vec![])], false),
    ] {
        let found = judge(&maker.trust([vec![], users, vec![]]), &by);
        match good {
            true => drop(found.expect(what)),
            false => {
                assert_eq!(
                    found.expect_err(what),
                    [Fault::NoSelfSignature(maker.name())],
                    "{what}"
                );
            }
        }
    }
}

/// A packet with its length in so many bytes, in the old format (GnuPG's) or the new one
/// (Sequoia's).
fn framed(old: bool, packet: &impl PacketTrait) -> Vec<u8> {
    let mut body = Vec::new();
    pgp::ser::Serialize::to_writer(packet, &mut body).unwrap();
    let tag = u8::from(packet.tag());
    let length = u32::try_from(body.len()).unwrap().to_be_bytes();
    let head = if old { vec![0x80 | tag << 2 | 2] } else { vec![0xc0 | tag, 255] };
    [head, length.to_vec(), body].concat()
}

fn certificate(old: bool, maker: &Maker, users: &[Signature], subs: &[Signature]) -> Vec<u8> {
    let mut packets = framed(old, maker.primary.public_key());
    packets.extend(framed(old, &maker.user));
    packets.extend(users.iter().flat_map(|signature| framed(old, signature)));
    packets.extend(framed(old, &maker.sub_public));
    packets.extend(subs.iter().flat_map(|signature| framed(old, signature)));
    packets
}

/// What one copy says of a subkey or a user ID is true of the other copy's, however it is framed.
#[test]
fn copies_are_one_certificate() {
    let maker = Maker::new();
    let revoked_sub =
        [maker.of_sub(&maker.primary, SignatureType::SubkeyRevocation, BORN + DAY, vec![])];
    let revoked_user = [maker.of_user(SignatureType::CertRevocation, BORN + DAY, vec![])];
    let by = sign(&maker.sub, parts(MADE, vec![]), DATA);
    let check = |files: &[&[u8]]| judge(&Trust::new(files, &[maker.name()]).unwrap(), &by);
    let (users, subs) = ([maker.good_user()], [maker.good_binding()]);
    for (old, new) in [(true, false), (false, true), (true, true), (false, false)] {
        let good = certificate(old, &maker, &users, &subs);
        check(&[&good]).unwrap();
        check(&[&good, &certificate(new, &maker, &users, &[])]).unwrap();
        let no_sub = certificate(new, &maker, &users, &revoked_sub);
        let no_user = certificate(new, &maker, &revoked_user, &subs);
        for (update, of_sub) in [(no_sub, true), (no_user, false)] {
            // The packets alone, behind those of the certificate, in the same file.
            let whole = framed(new, maker.primary.public_key()).len();
            let twice = [&good[..], &update[whole..]].concat();
            for files in [
                vec![&good[..], &update],
                vec![&update, &good],
                vec![&*[&good[..], &update].concat()],
                vec![&twice],
            ] {
                let faults = check(&files).unwrap_err();
                let expected = match faults[..] {
                    [Fault::Revoked { .. }] => of_sub,
                    [Fault::NoSelfSignature(_)] => !of_sub,
                    _ => false,
                };
                assert!(expected, "{old} {new} {of_sub}: {faults:?}");
            }
        }
    }
}

#[test]
fn no_file_takes_all_memory() {
    // Packets of a private type, which are passed over, of two bytes each.
    let many = |n: usize| [0xfc, 0].repeat(n);
    let maker = Maker::new();
    let signature = sign(&maker.primary, parts(MADE, vec![]), DATA);
    let file = |n| [signature.clone(), many(n)].concat();
    Detached::parse(&file(63)).unwrap();
    let told = Detached::parse(&file(64)).unwrap_err();
    assert_eq!(told.to_string(), "more than 64 packets");
    let certificate = maker.certificate(maker.good());
    let told = Trust::fingerprints(&[certificate, many(1 << 18)].concat()).unwrap_err();
    assert_eq!(told.to_string(), "more than 262144 packets");

    use base64::Engine as _;
    let clear = |packets: &[u8]| {
        let code = base64::engine::general_purpose::STANDARD.encode(packets);
        let (begin, end) = ("-----BEGIN PGP SIGNATURE-----", "-----END PGP SIGNATURE-----");
        let text = "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\ntext\n";
        let file = format!("{text}{begin}\n\n{code}\n{end}\n");
        ClearSigned::parse(file.as_bytes()).map(drop)
    };
    clear(&file(63)).unwrap();
    assert_eq!(clear(&file(64)).unwrap_err().to_string(), "more than 64 packets");
    let told = clear(&file(1 << 19)).unwrap_err();
    assert!(matches!(told, ReadError::TooLong { most: 1_048_576, .. }), "{told}");
}

#[test]
fn the_file_of_keys_is_named() {
    let maker = Maker::new();
    let good = maker.certificate(maker.good());
    let told = Trust::new(&[&good, b"no key"], &[maker.name()]).unwrap_err().to_string();
    assert!(told.starts_with("reading file 2 of the keys: not OpenPGP"), "{told}");
}
