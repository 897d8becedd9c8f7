use super::testing::{Log, root};
use super::*;

/// What sum.golang.org has answered about github.com/go-chi/chi/v5 v5.3.2, as it is cited in public.
const CHI: &str = "60295460
github.com/go-chi/chi/v5 v5.3.2 h1:5YQkICvTCSZ25hoRsyJazN0scjzKGiu4VAUc7H1o1nY=
github.com/go-chi/chi/v5 v5.3.2/go.mod h1:R+tYY2hNuVUUjxoPtqUdgBqevM9s9njzkTLutVsOCto=

go.sum database tree
63096908
8lHrQPRYe4KT4WQ9/Qk8/taKnD6IRHbFgfN7vQE2Y54=

— sum.golang.org Az3gri/oVBN1jAhNZ/iS+W31psFAWRT20/GyrhpU6taFwulQGetBkH5S7wpGXdS935jiIGiUUAXBVHzT/P6fYhqAmAk=
";

/// Older heads of it: size, root, signature.
const HEADS: [(u64, &str, &str); 3] = [
    (
        15_368_405,
        "/g9am3I6YWNKaZX/jkne1fqd9zEyjss+JXyPXG0WfkY=",
        "Az3grqJGUaSGukG9p8nI2vKgiFn7qGHxn0W+mrwyI6Gz3F0t1J3LzmWk/p96Ybf295EjwdSwlzgijq5WA9d1Ded7owM=",
    ),
    (
        445_646,
        "jEFFy4AtYgBBNTSZTiNnQrgQqMbcH0mfO2oP2FxR9VU=",
        "Az3grkGho/PqvUmEuTv6+r2g303hUhu60FOD6vLpm19mBwH9UjquWY2OKxNmZ55z0gHrp24AgPC3Q5WO7uZrVdvdCQU=",
    ),
    (
        63_512_409,
        "F7eHRPqN/cqPtqti14NKdGGaI1Giw8coWP3KxihFZbg=",
        "Az3gri1OBHKT87Xj8UXU8zjoHGy/X+7Nl94f8TZkELVaasolmGApUsWqwVG9vE6hgqYb/ph/w2vdkLIVRH7bMB/FPQ4=",
    ),
];

#[test]
fn heads_of_the_public_database_are_signed_by_the_known_key() {
    let key = VerifierKey::parse(SUM_GOLANG_ORG).unwrap();
    for (size, root, signature) in HEADS {
        let text = format!("go.sum database tree\n{size}\n{root}\n");
        let note = format!("{text}\n— sum.golang.org {signature}\n");
        let head = SignedHead::open(note.as_bytes(), &key).unwrap();
        assert_eq!((head.head().size, &*head.head().root.to_string()), (size, root));
        assert_eq!(head.note(), note);
        let other = note.replace(&size.to_string(), &(size + 1).to_string());
        let told = SignedHead::open(other.as_bytes(), &key).unwrap_err();
        assert_eq!(told, SumDbError::BadSignature { key: "sum.golang.org+033de0ae".into() });
    }
    let claim = Claim::lookup(CHI.as_bytes(), &key, None).unwrap();
    let paths: Vec<_> = claim.tiles().iter().map(Tile::path).collect();
    assert!(paths.contains(&"tile/8/0/x235/529".to_owned()), "{paths:?}");
    // Without its tiles it proves nothing.
    let told = claim.prove(&Tiles::new()).unwrap_err();
    assert!(matches!(told, SumDbError::MissingTile { .. }), "{told}");
}

#[test]
fn keys_are_read_strictly() {
    let good = Log::new(0, 0).key().to_string();
    assert_eq!(VerifierKey::parse(&good).unwrap().name(), "sum.example");
    for begin in 0..good.len() {
        for end in begin..=good.len() {
            let part = &good[begin..end];
            assert_eq!(VerifierKey::parse(part).is_ok(), part == good, "{part}");
        }
        let mut changed = good.clone().into_bytes();
        changed[begin] += 1;
        let changed = String::from_utf8(changed).unwrap();
        assert!(VerifierKey::parse(&changed).is_err(), "{changed}");
    }
    // The neutral point, with a hash that fits: any text is signed by it.
    let mut weak = vec![1; 2];
    weak.resize(33, 0);
    let text = {
        use base64::Engine as _;
        let code = base64::engine::general_purpose::STANDARD.encode(&weak);
        format!("x+{:08x}+{code}", note::key_hash("x", &weak))
    };
    assert!(VerifierKey::parse(&text).unwrap_err().to_string().ends_with("weak point"), "{text}");
}

#[test]
fn notes_are_read_strictly() {
    let (log, other) = (Log::new(0, 0), Log::new(0, 0).by(9, "other.example"));
    let impostor = Log::new(0, 0).by(9, "sum.example");
    let (key, text) = (log.key(), "one\n\ntwo\n");
    let (own, foreign) = (log.signature(text), other.signature(text));
    let note = |signatures: &str| format!("{text}\n{signatures}");
    assert_eq!(open_note(note(&own).as_bytes(), &key).unwrap(), text);
    for both in [format!("{own}{foreign}"), format!("{foreign}{own}")] {
        assert_eq!(open_note(note(&both).as_bytes(), &key).unwrap(), text);
    }
    let wrong = own.replace("sum.example ", "sum.example A");
    // As for Go, the first signature by a key is the one that counts.
    let other_text = log.signature("another text\n");
    for twice in
        [format!("{own}{own}"), format!("{own}{other_text}"), format!("{own}{foreign}{own}")]
    {
        assert_eq!(open_note(note(&twice).as_bytes(), &key).unwrap(), text);
    }
    for (message, expected) in [
        (note(&foreign), "is not signed by sum.example+"),
        (note(&impostor.signature(text)), "is not signed by sum.example+"),
        (format!("three\n{}", note(&own)), "the signature does not fit"),
        (note(&own).replace("two", "twö"), "the signature does not fit"),
        (note(&format!("{other_text}{own}")), "the signature does not fit"),
        (note(&own).replacen('\n', "\r\n", 1), "control characters"),
        (note(&own).trim_end().to_owned(), "does not end"),
        (text.to_owned(), "no signature"),
        ("a".to_owned(), "no blank line"),
        (note(&wrong), "no signature"),
        (note(&own.replace("— ", "- ")), "no signature"),
        (note(&format!("{own}more\n")), "no signature"),
        (note(&format!("{own}— a b YWJjZGU=\n")), "no signature"),
        (note(&format!("{own}— a YWJj\n")), "no signature"),
        (note(&foreign.repeat(101)), "more than 100"),
    ] {
        let told = open_note(message.as_bytes(), &key).unwrap_err().to_string();
        assert!(told.contains(expected), "{message:?}: {told}");
    }
}

#[test]
fn heads_are_read_strictly() {
    let hash = root(&[]).to_string();
    let parse = TreeHead::parse;
    assert_eq!(parse(&format!("go.sum database tree\n0\n{hash}\n")).unwrap().size, 0);
    assert!(parse(&format!("go.sum database tree\n7\n{hash}\nmore\n")).is_ok());
    for bad in [
        String::new(),
        format!("another tree\n7\n{hash}\n"),
        format!("go.sum database tree\n07\n{hash}\n"),
        format!("go.sum database tree\n-7\n{hash}\n"),
        format!("go.sum database tree\n{}\n{hash}\n", u64::MAX),
        format!("go.sum database tree\n7\n{hash}"),
        format!("go.sum database tree\n7\n{}\n", &hash[4..]),
        "go.sum database tree\n7\n".to_owned(),
        "go.sum database tree\n0\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n".to_owned(),
    ] {
        assert!(parse(&bad).is_err(), "{bad:?}");
    }
}

/// Small tiles, so that trees of a few records have several levels of them.
const SMALL: u8 = 2;

#[test]
fn every_record_of_every_tree_is_proven() {
    let log = Log::new(70, 99);
    for size in 1..=70 {
        for record in 0..size {
            let claim = log.claim(record, size).with_height(SMALL);
            let proven = log.prove(claim).unwrap();
            assert_eq!(proven.record(), Some(record as u64));
            let sums = proven.sums(&format!("m.example/{record}"), "v1.0.0").unwrap();
            assert_eq!(sums.files.unwrap(), format!("h1:true{record}="));
        }
    }
}

#[test]
fn every_older_tree_is_proven() {
    let log = Log::new(70, 99);
    for size in 0..=70 {
        for older in 0..=size {
            for (seen, now) in [(older, size), (size, older)] {
                let (seen, key) = (log.head(seen), log.key());
                if now > 0 {
                    // Of a lookup the head may be the older one.
                    let answer = log.answer(now - 1, now);
                    let claim = Claim::lookup(answer.as_bytes(), &key, Some(&seen)).unwrap();
                    let proven = log.prove(claim.with_height(SMALL)).unwrap();
                    assert_eq!(proven.head().head().size as usize, size);
                }
                let latest = Claim::latest(log.latest(now).as_bytes(), &key, Some(&seen));
                match now < seen.head().size as usize {
                    true => assert!(matches!(latest, Err(SumDbError::RolledBack { .. }))),
                    false => drop(log.prove(latest.unwrap().with_height(SMALL)).unwrap()),
                }
            }
        }
    }
}

#[test]
fn any_changed_tile_is_found() {
    let log = Log::new(70, 99);
    for (record, size, seen) in [(0, 70, 33), (20, 70, 70), (69, 70, 5), (15, 16, 16), (3, 64, 1)] {
        let seen = log.head(seen);
        let answer = log.answer(record, size);
        let claim = Claim::lookup(answer.as_bytes(), &log.key(), Some(&seen)).unwrap();
        let claim = claim.with_height(SMALL);
        let tiles = log.tiles(&claim);
        claim.clone().prove(&tiles).unwrap();
        for (tile, bytes) in &tiles {
            for at in 0..bytes.len() {
                let mut changed = tiles.clone();
                changed.get_mut(tile).unwrap()[at] ^= 1;
                let told = claim.clone().prove(&changed).unwrap_err();
                let fits =
                    matches!(told, SumDbError::WrongRoot { .. } | SumDbError::WrongTile { .. });
                assert!(fits, "{} {at}: {told}", tile.path());
            }
            let mut changed = tiles.clone();
            changed.get_mut(tile).unwrap().pop();
            let told = claim.clone().prove(&changed).unwrap_err();
            assert!(matches!(told, SumDbError::TileLength { .. }), "{told}");
            changed.remove(tile);
            let told = claim.clone().prove(&changed).unwrap_err();
            assert!(matches!(told, SumDbError::MissingTile { .. }), "{told}");
        }
    }
}

#[test]
fn a_tree_of_several_levels_of_whole_tiles_is_proven() {
    let log = Log::new(66_000, 99_999);
    let seen = log.head(65_537);
    for record in [0, 255, 256, 65_535, 65_536, 65_999] {
        let answer = log.answer(record, 66_000);
        let claim = Claim::lookup(answer.as_bytes(), &log.key(), Some(&seen)).unwrap();
        assert!(claim.tiles().len() <= 8, "{:?}", claim.tiles());
        log.prove(claim).unwrap();
    }
}

#[test]
fn a_log_that_lies_is_found() {
    let (log, forged) = (Log::new(70, 99), Log::new(70, 30));
    let key = log.key();
    let lookup = |answer: &str, seen: &SignedHead| {
        Claim::lookup(answer.as_bytes(), &key, Some(seen)).map(|c| c.with_height(SMALL))
    };
    // A record that is not the tree's.
    let answer = log.answer(40, 70).replace("true40", "forged40");
    let told = log.prove(lookup(&answer, &log.head(70)).unwrap()).unwrap_err();
    assert!(matches!(told, SumDbError::NotIncluded { record: 40, .. }), "{told}");
    // Somebody else's number.
    let answer = log.answer(40, 70).replacen("40\n", "41\n", 1);
    let told = log.prove(lookup(&answer, &log.head(70)).unwrap()).unwrap_err();
    assert!(matches!(told, SumDbError::NotIncluded { record: 41, .. }), "{told}");
    // A number beyond the tree.
    let answer = log.answer(40, 70).replacen("40\n", "70\n", 1);
    let told = lookup(&answer, &log.head(70)).unwrap_err();
    assert_eq!(told, SumDbError::BeyondTree { record: 70, size: 70 });

    // Forks: later, earlier, and at the same size.
    let forks = [(50, 70), (70, 50), (70, 70)];
    for (seen, now) in forks {
        let seen = log.head(seen);
        let answer = forged.answer(45, now);
        let claimed = lookup(&answer, &seen);
        // The forged log has tiles of its own for its newer tree; for an older one, those of the
        // log that was seen.
        let newer = if now > seen.head().size as usize { &forged } else { &log };
        let told = claimed.and_then(|claim| newer.prove(claim)).unwrap_err();
        let SumDbError::Fork { older, newer, .. } = &told else { panic!("{told}") };
        assert!(older.head().size <= newer.head().size);
        let text = told.to_string();
        assert!(!text.contains("prove"), "{text}");
        assert!(text.contains(seen.note()) && text.contains(&forged.latest(now)), "{text}");
    }
    // Before it forks, it is the same log.
    log.prove(lookup(&forged.answer(20, 30), &log.head(70)).unwrap()).unwrap();

    // A fork whose tiles are the true log's does not make its own root.
    let told = log.prove(lookup(&forged.answer(45, 70), &log.head(50)).unwrap()).unwrap_err();
    assert!(matches!(told, SumDbError::WrongRoot { size: 70, .. }), "{told}");

    // A log that shrank.
    let told = Claim::latest(log.latest(60).as_bytes(), &key, Some(&log.head(70))).unwrap_err();
    let SumDbError::RolledBack { seen, latest } = &told else { panic!("{told}") };
    assert_eq!((seen.head().size, latest.head().size), (70, 60));
    assert!(told.to_string().contains("a tree of 70 records"), "{told}");

    // Another key.
    let other = Log::new(70, 99).by(9, "sum.example");
    let told = lookup(&other.answer(40, 70), &log.head(70)).unwrap_err();
    assert!(matches!(told, SumDbError::NotSigned { .. }), "{told}");
}

#[test]
fn sums_are_compared() {
    let log = Log::new(7, 99);
    let proven = log.prove(log.claim(3, 7)).unwrap();
    let sums = |files: &str, go_mod: &str| {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Sums { files: some(files), go_mod: some(go_mod) }
    };
    let check = |sums: &Sums| proven.check("m.example/3", "v1.0.0", sums);
    for good in [sums("h1:true3=", "h1:mod3="), sums("", "h1:mod3="), sums("h1:true3=", "")] {
        check(&good).unwrap();
    }
    for (bad, expected) in [
        (
            sums("h1:true4=", ""),
            "m.example/3 v1.0.0 is h1:true4=, and the checksum database says h1:true3=",
        ),
        (
            sums("h1:true3=", "h1:x="),
            "the go.mod of m.example/3 v1.0.0 is h1:x=, and the checksum database says h1:mod3=",
        ),
    ] {
        assert_eq!(check(&bad).unwrap_err().to_string(), expected);
    }
    for (module, version) in
        [("m.example/4", "v1.0.0"), ("m.example/3", "v1.0.1"), ("m.example", "v1.0.0")]
    {
        let told = proven.check(module, version, &Sums::default()).unwrap_err();
        assert!(matches!(told, SumDbError::OtherModule { .. }), "{told}");
    }
    let key = log.key();
    let head = log.prove(Claim::latest(log.latest(7).as_bytes(), &key, None).unwrap()).unwrap();
    assert!(head.sums("m.example/3", "v1.0.0").is_err());
    assert_eq!(lookup_path("github.com/!a", "v1.0.0"), "lookup/github.com/!a@v1.0.0");
}

#[test]
fn no_answer_breaks_the_reader() {
    let log = Log::new(70, 99);
    let (answer, key, seen) = (log.answer(40, 70), log.key(), log.head(50));
    let good = Claim::lookup(answer.as_bytes(), &key, Some(&seen)).unwrap();
    let good = log.prove(good).unwrap();
    let mut others = Vec::new();
    for at in 0..answer.len() {
        others.push(answer.as_bytes()[..at].to_vec());
        for bit in 0..8 {
            let mut changed = answer.clone().into_bytes();
            changed[at] ^= 1 << bit;
            others.push(changed);
        }
    }
    for other in others {
        let claim = Claim::lookup(&other, &key, Some(&seen));
        let proven = claim.and_then(|claim| log.prove(claim));
        // What is proven all the same is the same: hex digits and base64 have more than one form.
        if let Ok(proven) = proven {
            assert_eq!(
                (proven.record(), proven.head().head()),
                (good.record(), good.head().head())
            );
        }
    }
}
