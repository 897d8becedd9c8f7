//! Bundles of a world of our own, in which one thing is wrong.

use const_oid::db::rfc5280;
use serde_json::json as value;

use super::world::{
    AUTHORITY, CT_LOG, ISSUER, LOG, NOW, ROOT, SIGNER, World, authority_extensions, for_signatures,
    only_directory_names_below, only_emails_of, purpose, unknown_extension,
};
use super::*;

const YEAR: i64 = 365 * 86_400;

#[test]
fn all_is_right_in_each_kind_of_entry() {
    for (entry, stamped) in [
        (("hashedrekord", "0.0.1"), None),
        (("hashedrekord", "0.0.1"), Some(NOW + 1)),
        (("hashedrekord", "0.0.2"), Some(NOW)),
        (("dsse", "0.0.1"), None),
        (("dsse", "0.0.2"), Some(NOW)),
    ] {
        let mut world = World { entry, stamped, ..World::new() };
        if entry.0 == "dsse" {
            let sha256 = hex::encode(Hash::Sha256.of(&world.content));
            let statement = Statement::about(&sha256, "https://a.example/b", value!({ "a": 1 }));
            world.content = statement.to_bytes();
        }
        let signed = world.verify().unwrap_or_else(|error| panic!("{entry:?}: {error}"));
        assert_eq!(signed.log[0].kind, format!("{} {}", entry.0, entry.1));
        let promised = usize::from(entry.1 == "0.0.1");
        assert_eq!(signed.times.len(), promised + usize::from(stamped.is_some()));
        assert_eq!(signed.statement.is_some(), entry.0 == "dsse");
    }
}

#[test]
fn one_wrong_thing_is_enough() {
    type Change = fn(&mut World);
    let cases: [(&str, Change, &str); 24] = [
        ("expired", |w| w.integrated = w.leaf.to + 1, "had expired"),
        ("not yet valid", |w| w.integrated = w.leaf.from - 1, "was not valid yet"),
        ("expired by the other time", |w| w.stamped = Some(w.leaf.to + 1), "had expired"),
        ("authority expired", |w| w.authority.to = NOW - 1, "certificate of CN=authority"),
        ("root not yet valid", |w| w.root.from = NOW + 1, "was not valid yet"),
        ("issuer of another name", |w| w.leaf.issuer = "CN=other,O=treelay", "no authority"),
        ("signed by another", |w| w.leaf.issuer_key = SIGNER, "no authority"),
        (
            "authority that is none",
            |w| w.authority.extensions = vec![for_signatures()],
            "is not that of an authority",
        ),
        (
            "one authority too many",
            |w| w.root.extensions = authority_extensions(Some(0)),
            "allows fewer",
        ),
        (
            "for names elsewhere",
            |w| w.authority.extensions.push(only_emails_of("other.example")),
            "may not issue for signer@",
        ),
        (
            "for directories elsewhere",
            |w| {
                w.authority.extensions.push(only_directory_names_below("O=other"));
                w.leaf.subject = "CN=signer,O=treelay";
            },
            "may not issue for the subject CN=signer,O=treelay",
        ),
        (
            "an authority for directories elsewhere",
            |w| w.root.extensions.push(only_directory_names_below("O=other")),
            "CN=root,O=treelay may not issue for the subject CN=authority,O=treelay",
        ),
        (
            "an authority with a name from elsewhere",
            |w| {
                let name = x509_cert::der::asn1::Ia5String::new("a@other.example").unwrap();
                let name = x509_cert::ext::pkix::name::GeneralName::Rfc822Name(name);
                w.authority.extensions.push(super::world::names(vec![name]));
                w.root.extensions.push(only_emails_of("treelay.example"));
            },
            "CN=root,O=treelay may not issue for a@other.example",
        ),
        (
            "not for code",
            |w| w.leaf.extensions[1] = purpose(rfc5280::ID_KP_TIME_STAMPING, false),
            "is not for code signing",
        ),
        (
            "authority not for code",
            |w| w.authority.extensions.push(purpose(rfc5280::ID_KP_TIME_STAMPING, false)),
            "is not for code signing",
        ),
        (
            "not for signatures",
            |w| {
                w.leaf.extensions.remove(0);
            },
            "not for digital signatures",
        ),
        (
            "an authority signs",
            |w| w.leaf.extensions.extend(authority_extensions(None).into_iter().take(1)),
            "that of an authority",
        ),
        ("not understood", |w| w.leaf.extensions.push(unknown_extension()), "is not understood"),
        (
            "no SCT",
            |w| w.ct_log = None,
            "no signed certificate timestamp (SCT) of a log of the trusted root",
        ),
        (
            "SCT of another log",
            |w| w.ct_log = Some(LOG),
            "(SCT) of a log of the trusted root: it is of",
        ),
        ("signed by another key", |w| w.signer = AUTHORITY, "does not fit the certificate"),
        (
            "no issuer",
            |w| {
                w.leaf.extensions.pop();
            },
            "does not say who issued",
        ),
        (
            "nobody",
            |w| {
                w.leaf.extensions.remove(2);
            },
            "names nobody",
        ),
        (
            "version 2 without a timestamp",
            |w| w.entry = ("hashedrekord", "0.0.2"),
            "which entries of Rekor version 2 need",
        ),
    ];
    for (name, change, reason) in cases {
        let mut world = World::new();
        change(&mut world);
        let error = world.verify().expect_err(name).to_string();
        assert!(error.contains(reason), "{name}: {error}");
    }
}

#[test]
fn names_that_the_authority_may_issue_are_good() {
    let mut world = World::new();
    world.authority.extensions.push(only_emails_of("treelay.example"));
    assert!(world.verify().is_ok());
}

#[test]
fn an_sct_must_be_of_this_certificate_and_its_issuer() {
    let mut world = World::new();
    // The log says that it signed, and did not: its ID with the key of another.
    world.trusted_root["ctlogs"][0]["publicKey"]["rawBytes"] =
        value!(world::base64(world::spki(LOG)));
    let error = world.verify().unwrap_err().to_string();
    assert!(error.contains("did not sign this certificate"), "{error}");
    let mut world = World::new();
    world.trusted_root["ctlogs"][0]["publicKey"]["validFor"] =
        value!({ "start": "2019-01-01T00:00:00Z", "end": "2020-01-01T00:00:00Z" });
    let error = world.verify().unwrap_err().to_string();
    assert!(error.contains("https://ct.treelay.example is trusted from 2019"), "{error}");
    assert_ne!(CT_LOG, LOG);
}

/// An entry without a time of its own is judged at the times that stand beside it, in any order.
#[test]
fn entries_without_a_time_are_judged_at_all_times() {
    let (first, mut second) = (World::new(), World::new());
    second.entry = ("hashedrekord", "0.0.2");
    for (start, end, good) in [
        ("2020-01-01T00:00:00Z", "2030-01-01T00:00:00Z", true),
        ("2020-01-01T00:00:00Z", "2021-01-01T00:00:00Z", false),
        ("2024-01-01T00:00:00Z", "2030-01-01T00:00:00Z", false),
    ] {
        // The second log has another key, and a period of its own.
        let mut world = World::new();
        let mut log = world.trusted_root["tlogs"][0].clone();
        let key = world::base64(world::spki(world::OTHER_LOG));
        log["publicKey"]["rawBytes"] = value!(key);
        log["publicKey"]["validFor"] = value!({ "start": start, "end": end });
        log["logId"]["keyId"] = value!(world::base64(world::log_id(world::OTHER_LOG)));
        world.trusted_root["tlogs"].as_array_mut().unwrap().push(log);
        second.log = world::OTHER_LOG;
        let mut entries = [first.bundle(), second.bundle()]
            .map(|mut it| it["verificationMaterial"]["tlogEntries"][0].take());
        for _ in 0..2 {
            entries.reverse();
            let mut bundle = world.bundle();
            bundle["verificationMaterial"]["tlogEntries"] = value!(entries);
            let verdict = world.verify_bundle(&bundle);
            assert_eq!(verdict.is_ok(), good, "{start} {end}: {verdict:?}");
            if let Err(error) = verdict {
                assert!(matches!(error, KeylessError::LogPeriod { .. }), "{error}");
            }
        }
    }
}

#[test]
fn an_entry_counts_once() {
    let world = World::new();
    let mut bundle = world.bundle();
    let entries = bundle["verificationMaterial"]["tlogEntries"].as_array_mut().unwrap();
    entries.push(entries[0].clone());
    let error = world.verify_bundle(&bundle).unwrap_err();
    assert_eq!(error, KeylessError::EntryTwice { index: 1 });
}

/// Of two values of one name, readers take the one or the other.
#[test]
fn the_body_of_an_entry_is_read_strictly() {
    for (twice, reason) in [(true, "two values called \"kind\""), (false, "")] {
        let world = World { body_twice: twice, ..World::new() };
        match world.verify() {
            Ok(_) => assert_eq!(reason, ""),
            Err(error) => assert!(error.to_string().contains(reason) && twice, "{error}"),
        }
    }
}

#[test]
fn timestamps_are_by_authorities_for_timestamps() {
    type Change = fn(&mut World);
    let cases: [(Change, &str); 5] = [
        (
            |w| w.tsa.extensions[1] = purpose(rfc5280::ID_KP_CODE_SIGNING, true),
            "not for time stamping",
        ),
        (
            |w| w.tsa.extensions[1] = purpose(rfc5280::ID_KP_TIME_STAMPING, false),
            "not for time stamping",
        ),
        (|w| w.tsa.to = NOW - 1, "had expired"),
        (|w| w.tsa.key = SIGNER, "was changed"),
        (|w| w.tsa.issuer_key = AUTHORITY, "no authority of the trusted root"),
    ];
    for (at, (change, reason)) in cases.into_iter().enumerate() {
        let mut world = World { stamped: Some(NOW), ..World::new() };
        change(&mut world);
        let error = world.verify().unwrap_err().to_string();
        assert!(error.starts_with("a signed timestamp is not acceptable"), "{at}: {error}");
        assert!(error.contains(reason), "{at}: {error}");
    }
    // Of another message, of the same authority.
    let world = World { stamped: Some(NOW), ..World::new() };
    let mut bundle = world.bundle();
    bundle["verificationMaterial"]["timestampVerificationData"]["rfc3161Timestamps"][0] =
        value!({ "signedTimestamp": world::base64(world.timestamp(b"other", NOW)) });
    let error = world.verify_bundle(&bundle).unwrap_err().to_string();
    assert!(error.contains("over another signature"), "{error}");
}

#[test]
fn a_chain_in_the_bundle_must_be_known() {
    let world = World::new();
    let with = |others: &[Vec<u8>]| {
        let mut bundle = world.bundle();
        bundle["mediaType"] = value!("application/vnd.dev.sigstore.bundle+json;version=0.1");
        let material = bundle["verificationMaterial"].as_object_mut().unwrap();
        let leaf = material.remove("certificate").unwrap();
        let mut all = vec![leaf];
        all.extend(others.iter().map(|der| value!({ "rawBytes": world::base64(der) })));
        material.insert("x509CertificateChain".to_owned(), value!({ "certificates": all }));
        world.verify_bundle(&bundle)
    };
    assert!(with(&[]).is_ok());
    assert!(with(&[world.authority.make(), world.root.make()]).is_ok());
    let mut other = world.root.clone();
    other.to += YEAR;
    let error = with(&[other.make()]).unwrap_err().to_string();
    assert_eq!(
        error,
        "the certificate of CN=root,O=treelay in the bundle's chain is not in the trusted root"
    );
    assert_eq!(world.root.key, ROOT);
}

#[test]
fn the_old_form_is_verified_by_the_same_checks() {
    let world = World::new();
    let (signature, certificate, chain, bundle) = world.annotations();
    let timestamp = value!({
        "SignedRFC3161Timestamp": world::base64(world.timestamp(&signature, NOW + 1)),
    })
    .to_string();
    let good = LegacySignature {
        payload: &world.content,
        signature: &signature,
        certificate: &certificate,
        chain: Some(&chain),
        bundle: Some(&bundle),
        timestamp: Some(&timestamp),
    };
    let (root, policy) = (world.root(), policy(super::world::IDENTITY, ISSUER));
    let verify = |signature: LegacySignature<'_>| verify_legacy(&signature, &root, &policy);
    let signed = verify(good).unwrap();
    assert_eq!((signed.form, signed.times.len()), (SignedForm::Annotations, 2));
    assert!(verify(LegacySignature { timestamp: None, chain: None, ..good }).is_ok());
    let later = bundle.replace("1700000000", "1700000001");
    for (bad, reason) in [
        (LegacySignature { payload: b"other", ..good }, "does not fit"),
        (LegacySignature { bundle: None, ..good }, "no entry in a transparency log"),
        (LegacySignature { bundle: Some(&later), ..good }, "(SET)"),
        (LegacySignature { bundle: Some("{}"), ..good }, "dev.sigstore.cosign/bundle"),
        (LegacySignature { timestamp: Some("{}"), ..good }, "dev.sigstore.cosign/rfc3161timestamp"),
        (LegacySignature { certificate: "", ..good }, "dev.sigstore.cosign/certificate"),
        (LegacySignature { certificate: &chain, ..good }, "several certificates"),
        (LegacySignature { chain: Some("x"), ..good }, "dev.sigstore.cosign/chain"),
    ] {
        let error = verify(bad).unwrap_err().to_string();
        assert!(error.contains(reason), "{reason}: {error}");
    }
}
