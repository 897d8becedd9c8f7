//! Trusted roots: what is read, what is refused, what is left out.

use serde_json::{Value, json as value};

use super::world::{NOW, World};
use super::*;

fn refused(root: &Value) -> String {
    match TrustedRoot::parse(root.to_string().as_bytes()) {
        Ok(_) => panic!("it is read: {root}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn trusted_roots_are_read() {
    for (name, sizes) in [
        ("public-good", [2, 2, 2, 1]),
        ("staging", [5, 5, 2, 2]),
        ("scaffolding", [1, 1, 1, 0]),
        ("github", [0, 0, 0, 5]),
    ] {
        assert_eq!(root(name).sizes(), sizes, "{name}");
        assert_eq!(root(name).unusable, [], "{name}");
    }
    let good = root_json("public-good");
    for (from, to, reason) in [
        ("version=0.1", "version=0.3", "media type"),
        ("\"tlogs\"", "\"TLogs\"", "TLogs must be spelled tlogs"),
        ("2021-01-12T11:53:27Z", "yesterday", "validFor.start"),
    ] {
        let bad = good.replacen(from, to, 1);
        assert!(bad != good, "{from}");
        let error = TrustedRoot::parse(bad.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(reason), "{from}: {error}");
    }
}

/// A name that another reader understands must not be passed over here: a period that is not seen is
/// no period.
#[test]
fn names_are_spelled_in_one_way_everywhere() {
    let good = World::new().root_json();
    for (place, name, other) in [
        ("", "tlogs", "tLogs"),
        ("", "mediaType", "media_type"),
        ("", "certificateAuthorities", "certificate_authorities"),
        ("/tlogs/0", "publicKey", "public_key"),
        ("/tlogs/0", "baseUrl", "baseURL"),
        ("/tlogs/0", "logId", "log_id"),
        ("/tlogs/0/logId", "keyId", "key_id"),
        ("/tlogs/0/publicKey", "validFor", "valid_for"),
        ("/ctlogs/0/publicKey", "validFor", "ValidFor"),
        ("/tlogs/0/publicKey", "rawBytes", "raw_bytes"),
        ("/tlogs/0/publicKey", "keyDetails", "KeyDetails"),
        ("/tlogs/0/publicKey/validFor", "start", "Start"),
        ("/certificateAuthorities/0", "certChain", "cert_chain"),
        ("/certificateAuthorities/0/certChain", "certificates", "Certificates"),
        ("/certificateAuthorities/0/certChain/certificates/0", "rawBytes", "raw_bytes"),
    ] {
        let mut bad = good.clone();
        let object = bad.pointer_mut(place).unwrap().as_object_mut().unwrap();
        let value = object.remove(name).unwrap();
        object.insert(other.to_owned(), value);
        let error = refused(&bad);
        assert!(error.ends_with(&format!("{other} must be spelled {name}")), "{error}");
    }
    for (place, name) in [
        ("/certificateAuthorities/0", "valid_for"),
        ("/timestampAuthorities/0", "VALIDFOR"),
        ("/tlogs/0", "checkpoint_key_id"),
        ("/tlogs/0/publicKey/validFor", "END"),
    ] {
        let mut bad = good.clone();
        bad.pointer_mut(place).unwrap()[name] = value!({ "end": "2020-01-01T00:00:00Z" });
        let error = refused(&bad);
        assert!(error.contains(&format!("{name} must be spelled ")), "{error}");
    }
}

#[test]
fn a_log_without_a_beginning_is_refused() {
    for list in ["tlogs", "ctlogs"] {
        for period in [value!(null), value!({}), value!({ "end": "2030-01-01T00:00:00Z" })] {
            let mut root = World::new().root_json();
            root[list][0]["publicKey"]["validFor"] = period;
            let expected = format!("{list}[0].publicKey.validFor.start is missing");
            assert_eq!(refused(&root), expected);
        }
    }
}

/// New members of the public root, of kinds that came later, must not break installed programs.
#[test]
fn members_that_cannot_be_used_are_left_out_and_named() {
    let world = World::new();
    type Change = fn(&mut Value);
    let cases: [(Change, &str); 6] = [
        (
            |root| root["tlogs"][0]["publicKey"]["rawBytes"] = value!("MAsGCWCGSAFlAwQDEQ=="),
            "entry 1 is in the log that the trusted root has as tlogs[0] \
             https://log.treelay.example, which cannot be used: its key is of a kind that is not \
             known, \"PKIX_ECDSA_P256_SHA_256\"",
        ),
        (
            |root| root["tlogs"][0]["hashAlgorithm"] = value!("SHA2_512"),
            "\"SHA2_512\" is not known",
        ),
        (
            |root| root["tlogs"][0]["checkpointKeyId"] = value!({ "keyId": "AAAA" }),
            "shorter than 4 bytes",
        ),
        (
            |root| root["ctlogs"][0]["publicKey"]["rawBytes"] = value!("AAAA"),
            "(SCT) of a log of the trusted root: it is of ctlogs[0] https://ct.treelay.example, \
             which cannot be used: its key",
        ),
        (
            |root| {
                root["certificateAuthorities"][0]["certChain"]["certificates"][1]["rawBytes"] =
                    value!("AAAA");
            },
            "no authority of the trusted root",
        ),
        (|root| root["ctlogs"] = value!([]), "no signed certificate timestamp"),
    ];
    for (change, reason) in cases {
        let mut root = world.root_json();
        change(&mut root);
        let read = TrustedRoot::parse(root.to_string().as_bytes()).unwrap();
        let bundle = Bundle::parse(world.bundle().to_string().as_bytes()).unwrap();
        let artifact = Artifact::of_bytes(b"content\n");
        let error = verify(&bundle, &artifact, &read, &anybody()).unwrap_err().to_string();
        assert!(error.contains(reason), "{reason}: {error}");
    }
    let mut world = World::new();
    let mut other = world.trusted_root["tlogs"][0].clone();
    other["publicKey"]["rawBytes"] = value!("MAsGCWCGSAFlAwQDEQ==");
    other["logId"]["keyId"] = value!("AAAAAAAA");
    world.trusted_root["tlogs"].as_array_mut().unwrap().insert(0, other);
    assert!(world.verify().is_ok(), "another log");
}

/// One key may be in the root with several periods.
#[test]
fn each_period_of_a_key_counts() {
    let early = value!({ "start": "2020-01-01T00:00:00Z", "end": "2021-01-01T00:00:00Z" });
    let late = value!({ "start": "2022-01-01T00:00:00Z" });
    for list in ["tlogs", "ctlogs"] {
        for (periods, good) in
            [([&early, &late], true), ([&late, &early], true), ([&early, &early], false)]
        {
            let mut world = World { stamped: Some(NOW), ..World::new() };
            let log = world.trusted_root[list][0].clone();
            let logs = periods.map(|period| {
                let mut log = log.clone();
                log["publicKey"]["validFor"] = period.clone();
                log
            });
            world.trusted_root[list] = value!(logs);
            let verdict = world.verify();
            assert_eq!(verdict.is_ok(), good, "{list}: {verdict:?}");
        }
    }
}
