//! Keys and signatures of GnuPG.

use super::*;

macro_rules! file {
    ($name:literal) => {
        include_bytes!(concat!("../../../fixtures/openpgp/", $name)).as_slice()
    };
}

const TEXT: &[u8] = file!("text");
const GOOD: &str = "BC4604D2243B2A4A0FB9BF8067C047BE0630E5ED";
const SMALL: &str = "CD21EA3183D439E3F6F313B7EA776F552A27308E";
const DSA: &str = "9DFB9026FFBFF07B61FFEE934F39B317C4233C40";
const SHORT: &str = "74EEF60D5083032AD864750839C5A03B67E26C00";
/// 2026-01-01; they were made in January and February of 2024.
const NOW: u64 = 1_767_225_600;

fn trust(file: &[u8], pin: &str) -> Trust {
    Trust::new(&[file], &[pin.parse().unwrap()]).unwrap()
}

#[test]
fn detached_signatures() {
    let good = trust(file!("good.asc"), GOOD);
    let check = |trust: &Trust, signature, text| {
        Detached::parse(signature).unwrap().verify(text, trust, NOW)
    };
    for signature in [file!("text.good.sig"), file!("text.textmode.asc")] {
        assert_eq!(check(&good, signature, TEXT).unwrap().primary.to_string(), GOOD);
        assert!(check(&good, signature, &TEXT[1..]).is_err());
    }
    let returns = String::from_utf8(TEXT.to_vec()).unwrap().replace('\n', "\r\n");
    check(&good, file!("text.textmode.asc"), returns.as_bytes()).unwrap();
    assert!(check(&good, file!("text.good.sig"), returns.as_bytes()).is_err());
    // The key has expired since.
    check(&trust(file!("short.pgp"), SHORT), file!("text.short.sig"), TEXT).unwrap();
    for (keys, pin, signature, expected) in [
        (file!("good.asc"), GOOD, file!("text.sha1.sig"), "the hash SHA1 is not accepted"),
        (file!("small.asc"), SMALL, file!("text.small.sig"), "RSA of 1024 bits"),
        (file!("dsa.asc"), DSA, file!("text.dsa.sig"), "DSA"),
        (file!("good.asc"), GOOD, file!("text.short.sig"), "39C5A03B67E26C00, which is not pinned"),
    ] {
        let told = check(&trust(keys, pin), signature, TEXT).unwrap_err().to_string();
        assert!(told.contains(expected), "{told}");
    }
}

#[test]
fn damaged_armour() {
    let good = file!("text.textmode.asc");
    let text = std::str::from_utf8(good).unwrap();
    for end in 0..good.len() - 1 {
        let cut = &good[..end];
        assert!(Detached::parse(cut).is_err(), "{end}");
    }
    for (from, to) in [
        ("SIGNATURE", "MESSAGE"),
        ("END PGP SIGNATURE", "END PGP MESSAGE"),
        ("\n\n", "\n"),
        ("\n\n", "\n\n!"),
    ] {
        let changed = text.replacen(from, to, 1);
        assert!(Detached::parse(changed.as_bytes()).is_err(), "{from:?} {to:?}");
    }
    let around = format!("It was signed:\n\n{}Yes.\n", text.replace('\n', "\r\n"));
    Detached::parse(around.as_bytes()).unwrap();
    let keys = file!("good.asc");
    assert!(matches!(Detached::parse(keys), Err(ReadError::OtherArmor { .. })));
}

#[test]
fn clear_signed_texts() {
    let good = trust(file!("good.asc"), GOOD);
    let file = std::str::from_utf8(file!("text.clear.asc")).unwrap();
    assert!(ClearSigned::is_one(file.as_bytes()) && !ClearSigned::is_one(TEXT));
    let verify = |file: &str| {
        let parsed = ClearSigned::parse(file.as_bytes()).map_err(|error| error.to_string())?;
        let found = parsed.verify(&good, NOW).map_err(|error| error.to_string());
        found.map(|(text, _)| String::from_utf8_lossy(text).into_owned())
    };
    let expected = "A text.\n- with a dash\nFrom here, spaces\n\tto there.\n";
    for same in [
        file.to_owned(),
        file.replace('\n', "\r\n"),
        file.replace("A text.\n", "A text. \t\n"),
        file.replace("Hash: SHA512", "Hash: SHA256,SHA512"),
        file.replace("Hash: SHA512", "Hash: SHA256\nHash: SHA512"),
        file.replace("Hash: SHA512\n", ""),
        file.replace("A text.\n", "- A text.\n"),
        format!("{file}\n \n"),
    ] {
        assert_eq!(verify(&same).as_deref(), Ok(expected), "{same}");
    }
    for (changed, expected) in [
        (file.replace("text", "Text"), "but does not fit"),
        (file.replace("\tto", " to"), "but does not fit"),
        (file.replace("A text.", "A text.\n"), "but does not fit"),
        (file.replace("- - with", "- with"), "but does not fit"),
        (file.replace("- - with", "-with"), "line 5 of the signed text: it begins with a dash"),
        (file.replace("Hash: SHA512", "Hash: SHA256"), "the hash SHA512 is not among those"),
        (file.replace("Hash: SHA512", "Hash: WHIRL"), "line 2 of the signed text: the name"),
        (file.replace("Hash: SHA512", "Hash: SHA512\nComment: b"), "a header other than Hash"),
        (file.replace("Hash: SHA512", "A text."), "a header other than Hash"),
        (format!("A text.\n{file}"), "not OpenPGP"),
        (format!("\n{file}"), "not OpenPGP"),
        (format!("{file}More.\n"), "something after the signature"),
        (format!("{file}{file}"), "something after the signature"),
        (file.replace("-----END PGP SIGNATURE-----", ""), "it ends early"),
        (file.replace("-----BEGIN PGP SIGNATURE-----", ""), "it begins with a dash"),
    ] {
        let told = verify(&changed).unwrap_err();
        assert!(told.contains(expected), "{changed}: {told}");
    }
    // Nor what is no UTF-8: behind the block, with another end behind it, inside of the block.
    let begin = "-----BEGIN PGP SIGNATURE-----\n\n";
    let (before, block) = file.split_once(begin).unwrap();
    let inside = [before.as_bytes(), begin.as_bytes(), b"\xff\n", block.as_bytes()];
    for bytes in [
        [file.as_bytes(), b"\xff\n"].concat(),
        [file.as_bytes(), b"\xff anything -----END PGP SIGNATURE-----\n"].concat(),
        [file.as_bytes(), b"\xff anything\n-----END PGP SIGNATURE-----\n"].concat(),
        inside.concat(),
    ] {
        let told = ClearSigned::parse(&bytes).unwrap_err();
        assert!(matches!(told, ReadError::Foreign(_) | ReadError::Armor(_)), "{told}");
    }
    for end in 0..file.len() - 1 {
        assert!(ClearSigned::parse(&file.as_bytes()[..end]).is_err(), "{end}");
    }
    for at in 0..file.len() {
        let mut bytes = file.as_bytes().to_vec();
        bytes[at] ^= 1;
        let Ok(parsed) = ClearSigned::parse(&bytes) else { continue };
        if let Ok((text, _)) = parsed.verify(&good, NOW) {
            assert_eq!(text, expected.as_bytes(), "{at}");
        }
    }
}
