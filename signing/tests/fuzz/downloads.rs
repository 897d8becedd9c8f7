//! Proofs of downloads: OpenPGP signatures and keys, answers of a checksum database, spoiled. What is
//! accepted all the same must say what the good one says.

use std::sync::LazyLock;

use treelay_signing::openpgp::{ClearSigned, Detached, Good, Trust};
use treelay_signing::sumdb::{Claim, SUM_GOLANG_ORG, Tile, VerifierKey};

use crate::mutate;
use crate::random::Random;
use crate::targets::Target;

macro_rules! fixture {
    ($name:literal) => {
        include_bytes!(concat!("../../fixtures/openpgp/", $name)).as_slice()
    };
}

const KEY: &str = "BC4604D2243B2A4A0FB9BF8067C047BE0630E5ED";
const KEYS: [&[u8]; 4] =
    [fixture!("good.asc"), fixture!("small.asc"), fixture!("dsa.asc"), fixture!("short.pgp")];
const TEXT: &[u8] = fixture!("text");
const SIGNATURES: [&[u8]; 2] = [fixture!("text.good.sig"), fixture!("text.textmode.asc")];
const OTHER_SIGNATURES: [&[u8]; 2] = [fixture!("text.sha1.sig"), fixture!("text.short.sig")];
const CLEAR: &[u8] = fixture!("text.clear.asc");
/// 2026-01-01.
const AT: u64 = 1_767_225_600;

static TRUST: LazyLock<Trust> = LazyLock::new(|| trust(KEYS[0]).unwrap());

fn trust(keys: &[u8]) -> Option<Trust> {
    Trust::new(&[keys], &[KEY.parse().unwrap()]).ok()
}

fn verify(signature: &[u8], trust: &Trust) -> Option<Good> {
    Detached::parse(signature).ok()?.verify(TEXT, trust, AT).ok()
}

fn owned(of: &[&[u8]]) -> Vec<Vec<u8>> {
    of.iter().map(|bytes| bytes.to_vec()).collect()
}

/// Whether it is by the one key, and made when it was.
fn same(good: &Good) -> Result<bool, String> {
    // 2024-02-01.
    match good.primary.to_string() == KEY && good.made == 1_706_745_600 {
        true => Ok(true),
        false => Err(format!("something else is good: {good:?}")),
    }
}

/// Signatures beside a file. Parts: signature.
pub struct Signatures;

impl Target for Signatures {
    fn name(&self) -> &'static str {
        "OpenPGP signatures"
    }

    fn input(&self, random: &mut Random) -> Vec<Vec<u8>> {
        let good = *random.pick(&SIGNATURES);
        vec![mutate::bytes(random, good, &owned(&OTHER_SIGNATURES))]
    }

    fn judge(&self, input: &[Vec<u8>]) -> Result<bool, String> {
        verify(&input[0], &TRUST).map_or(Ok(false), |good| same(&good))
    }

    fn untouched(&self) -> usize {
        SIGNATURES.iter().filter(|good| self.judge(&owned(&[good])) == Ok(true)).count()
    }
}

/// Keys: they may make less good, never more. Parts: keys.
pub struct Keys;

impl Target for Keys {
    fn name(&self) -> &'static str {
        "OpenPGP keys"
    }

    fn input(&self, random: &mut Random) -> Vec<Vec<u8>> {
        vec![mutate::bytes(random, KEYS[0], &owned(&KEYS))]
    }

    fn judge(&self, input: &[Vec<u8>]) -> Result<bool, String> {
        let Some(trust) = trust(&input[0]) else { return Ok(false) };
        for other in OTHER_SIGNATURES {
            if let Some(good) = verify(other, &trust) {
                return Err(format!("something else is good: {good:?}"));
            }
        }
        verify(SIGNATURES[0], &trust).map_or(Ok(false), |good| same(&good))
    }

    fn untouched(&self) -> usize {
        usize::from(self.judge(&owned(&KEYS[..1])) == Ok(true))
    }
}

/// Texts with their signature around them. Parts: text.
pub struct ClearTexts;

impl Target for ClearTexts {
    fn name(&self) -> &'static str {
        "clear-signed texts"
    }

    fn input(&self, random: &mut Random) -> Vec<Vec<u8>> {
        vec![mutate::bytes(random, CLEAR, &owned(&[CLEAR, SIGNATURES[1]]))]
    }

    fn judge(&self, input: &[Vec<u8>]) -> Result<bool, String> {
        let Ok(parsed) = ClearSigned::parse(&input[0]) else { return Ok(false) };
        let Ok((text, good)) = parsed.verify(&TRUST, AT) else { return Ok(false) };
        if text != b"A text.\n- with a dash\nFrom here, spaces\n\tto there.\n" {
            return Err(format!("another text is good: {:?}", String::from_utf8_lossy(text)));
        }
        same(&good)
    }

    fn untouched(&self) -> usize {
        usize::from(self.judge(&owned(&[CLEAR])) == Ok(true))
    }
}

/// What sum.golang.org has answered, as it is cited in public.
const ANSWER: &[u8] = "60295460
github.com/go-chi/chi/v5 v5.3.2 h1:5YQkICvTCSZ25hoRsyJazN0scjzKGiu4VAUc7H1o1nY=
github.com/go-chi/chi/v5 v5.3.2/go.mod h1:R+tYY2hNuVUUjxoPtqUdgBqevM9s9njzkTLutVsOCto=

go.sum database tree
63096908
8lHrQPRYe4KT4WQ9/Qk8/taKnD6IRHbFgfN7vQE2Y54=

— sum.golang.org Az3gri/oVBN1jAhNZ/iS+W31psFAWRT20/GyrhpU6taFwulQGetBkH5S7wpGXdS935jiIGiUUAXBVHzT/P6fYhqAmAk=
"
.as_bytes();

static DATABASE: LazyLock<VerifierKey> =
    LazyLock::new(|| VerifierKey::parse(SUM_GOLANG_ORG).unwrap());

/// Answers to lookups, before their proof: the record may be any, the tree is the one that is signed.
/// Parts: answer.
pub struct Answers;

impl Target for Answers {
    fn name(&self) -> &'static str {
        "answers of checksum databases"
    }

    fn input(&self, random: &mut Random) -> Vec<Vec<u8>> {
        vec![mutate::bytes(random, ANSWER, &owned(&[ANSWER]))]
    }

    fn judge(&self, input: &[Vec<u8>]) -> Result<bool, String> {
        let Ok(claim) = Claim::lookup(&input[0], &DATABASE, None) else { return Ok(false) };
        let paths: Vec<String> = claim.tiles().iter().map(Tile::path).collect();
        // The right edge of the tree of that size and of no other.
        match paths.contains(&"tile/8/0/x246/472.p/76".to_owned()) && paths.len() <= 8 {
            true => Ok(true),
            false => Err(format!("another tree is signed: {paths:?}")),
        }
    }

    fn untouched(&self) -> usize {
        usize::from(self.judge(&owned(&[ANSWER])) == Ok(true))
    }
}
