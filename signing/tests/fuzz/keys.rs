//! Files of keys.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use pkcs8::EncryptedPrivateKeyInfo;
use pkcs8::der::Decode as _;
use pkcs8::pkcs5::EncryptionScheme;
use pkcs8::pkcs5::pbes2::Kdf;
use serde::Deserialize;
use treelay_signing::keys::{KeyList, SecretKeyFile};
use treelay_signing::schemes::Scheme;
use treelay_signing::schemes::simplesigning::SimpleSigning;
use treelay_signing::{PublicKey, Signature};

use crate::images::SIMPLE;
use crate::mutate;
use crate::random::Random;
use crate::targets::{IMAGE, KEYS, Target, fixture};

/// A file of PEM, its content spoiled, or itself.
fn pem(random: &mut Random, file: &[u8], others: &[Vec<u8>]) -> Vec<u8> {
    let text = String::from_utf8_lossy(file).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    let [first, body @ .., last] = lines.as_slice() else {
        return mutate::bytes(random, file, others);
    };
    let Ok(content) = BASE64.decode(body.concat()) else {
        return mutate::bytes(random, file, others);
    };
    if random.once_in(4) {
        return mutate::bytes(random, file, others);
    }
    let spoiled = mutate::document(random, &content, std::slice::from_ref(&content));
    let base64 = BASE64.encode(spoiled);
    let chunks = base64.as_bytes().chunks(64).map(|chunk| String::from_utf8_lossy(chunk) + "\n");
    format!("{first}\n{}{last}\n", chunks.collect::<String>()).into_bytes()
}

/// Files of public keys. Parts: number of the key, file.
pub struct PublicKeys;

impl Target for PublicKeys {
    fn name(&self) -> &'static str {
        "public keys"
    }

    fn input(&self, random: &mut Random) -> Vec<Vec<u8>> {
        let key = random.below(KEYS.len());
        let others: Vec<_> = KEYS.iter().map(|key| key.public().to_pem().into_bytes()).collect();
        let file = match KEYS[key].public().to_ostree_line() {
            Some(line) if random.once_in(2) => mutate::bytes(random, line.as_bytes(), &others),
            _ => pem(random, &others[key], &others),
        };
        vec![vec![key as u8], file]
    }

    fn judge(&self, input: &[Vec<u8>]) -> Result<bool, String> {
        let key = usize::from(input[0][0]);
        let Ok(found) = PublicKey::parse(&input[1]) else { return Ok(false) };
        if found == *KEYS[key].public() {
            return Ok(true);
        }
        let made = Signature { key: None, ..SIMPLE.good[key].clone() };
        match SimpleSigning.verify(&IMAGE, &made, &found).is_good() {
            true => Err("another key verifies the signature".to_owned()),
            false => Ok(false),
        }
    }

    fn untouched(&self) -> usize {
        let pem = |key: usize| KEYS[key].public().to_pem().into_bytes();
        let judged = (0..KEYS.len()).map(|key| self.judge(&[vec![key as u8], pem(key)]));
        judged.filter(|judged| *judged == Ok(true)).count()
    }
}

/// Files of secret keys. Parts: number of the file, file.
pub struct SecretKeys;

static SECRET_FILES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let files = [
        fixture!("openssl-ed25519.pem"),
        fixture!("openssl-p256.pem"),
        fixture!("openssl-sealed.pem"),
        fixture!("cosign-2.5-p256.key"),
        fixture!("cosign-3.1-rsa.key"),
    ];
    let rsa = KEYS[3].to_pkcs8_der().unwrap();
    let body = BASE64.encode(&rsa);
    let rsa = format!("-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n");
    files.map(<[u8]>::to_vec).into_iter().chain([rsa.into_bytes()]).collect()
});

/// What is in the first block of PEM that says to be sealed.
fn sealed_content(file: &[u8]) -> Option<Vec<u8>> {
    let text = String::from_utf8_lossy(file);
    let (_, rest) = text.split_once("-----BEGIN ENCRYPTED ")?;
    let (body, _) = rest
        .split_once("-----\n")
        .or_else(|| rest.split_once("-----\r"))?
        .1
        .split_once("-----END")?;
    BASE64.decode(body.split_whitespace().collect::<String>()).ok()
}

/// What cosign's form of it asks for. What else is in it, numbers over all bounds for one, is for nobody.
#[derive(Deserialize)]
struct Sealed {
    kdf: Derivation,
}

#[derive(Deserialize)]
struct Derivation {
    params: Params,
}

#[derive(Deserialize)]
struct Params {
    #[serde(rename = "N")]
    n: u64,
    r: u64,
    p: u64,
}

/// Whether opening a sealed PKCS#8 takes what people wait for.
fn bearable(der: &[u8]) -> Result<bool, String> {
    let info = EncryptedPrivateKeyInfo::from_der(der).map_err(|error| error.to_string())?;
    let EncryptionScheme::Pbes2(parameters) = info.encryption_algorithm else {
        return Err("sealed in an old way".to_owned());
    };
    let bearable = match &parameters.kdf {
        Kdf::Pbkdf2(kdf) => (1..=10_000_000).contains(&kdf.iteration_count),
        // 128 bytes each.
        Kdf::Scrypt(kdf) => {
            let memory = kdf.cost_parameter.checked_mul(u64::from(kdf.block_size) * 128);
            memory.is_some_and(|bytes| bytes <= 256 << 20) && kdf.parallelization <= 4
        }
        _ => false,
    };
    match bearable {
        true => Ok(true),
        false => Err(format!("absurd parameters: {parameters:?}")),
    }
}

impl Target for SecretKeys {
    fn name(&self) -> &'static str {
        "secret keys"
    }

    fn input(&self, random: &mut Random) -> Vec<Vec<u8>> {
        let file = random.below(SECRET_FILES.len());
        vec![vec![file as u8], pem(random, &SECRET_FILES[file], &SECRET_FILES)]
    }

    /// Nothing is opened that is sealed: that takes time on purpose. What is open must sign, or say
    /// why not; what is sealed must ask for no more than the programs that write such files do.
    fn judge(&self, input: &[Vec<u8>]) -> Result<bool, String> {
        match SecretKeyFile::parse(&input[1]) {
            Err(_) => Ok(false),
            Ok(SecretKeyFile::Open(key)) => {
                let Ok(made) = SimpleSigning.sign(&IMAGE, &key) else { return Ok(false) };
                match SimpleSigning.verify(&IMAGE, &made, key.public()).is_good() {
                    true => Ok(true),
                    false => Err("a key that does not verify what it signs".to_owned()),
                }
            }
            Ok(SecretKeyFile::Sealed(_)) => {
                let content = sealed_content(&input[1]).ok_or("no sealed PEM for anybody else")?;
                // The other sealed form is not JSON.
                let Ok(sealed) = serde_json::from_slice::<Sealed>(&content) else {
                    return bearable(&content);
                };
                let Params { n, r, p } = sealed.kdf.params;
                match matches!(n, 32768 | 65536) && r == 8 && p == 1 {
                    true => Ok(true),
                    false => Err(format!("absurd parameters: {n}, {r}, {p}")),
                }
            }
        }
    }

    fn untouched(&self) -> usize {
        let files = SECRET_FILES.iter().enumerate();
        let judged = files.map(|(at, file)| self.judge(&[vec![at as u8], file.clone()]));
        judged.filter(|judged| *judged == Ok(true)).count()
    }
}

/// Lists of public keys, of which one that cannot be read spoils all. Parts: number of the form, file.
pub struct KeyLists;

const FORMS: [KeyList; 3] = [KeyList::Ed25519, KeyList::Spki, KeyList::Any];

static LISTS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let lines: Vec<String> = KEYS.iter().filter_map(|key| key.public().to_ostree_line()).collect();
    let lines = lines.join("\n") + "\n";
    let pems: String = KEYS.iter().map(|key| key.public().to_pem()).collect();
    vec![lines.clone().into_bytes(), pems.clone().into_bytes(), (lines + &pems).into_bytes()]
});

impl Target for KeyLists {
    fn name(&self) -> &'static str {
        "lists of keys"
    }

    fn input(&self, random: &mut Random) -> Vec<Vec<u8>> {
        let form = random.below(FORMS.len());
        vec![vec![form as u8], mutate::bytes(random, &LISTS[form], &LISTS)]
    }

    /// No line may be passed over: each that says something is part of a key that was read, and no
    /// key is there that is in no good list and verifies what ours have signed.
    fn judge(&self, input: &[Vec<u8>]) -> Result<bool, String> {
        let form = FORMS[usize::from(input[0][0])];
        let Ok(found) = form.parse(&input[1]) else { return Ok(false) };
        let text = std::str::from_utf8(&input[1]).map_err(|_| "not even text".to_owned())?;
        let (mut starts, mut inside) = (0, false);
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            starts += usize::from(!inside);
            inside = (inside || line.starts_with("-----BEGIN ")) && !line.starts_with("-----END ");
        }
        if starts != found.len() {
            return Err(format!("{} keys of {starts}", found.len()));
        }
        for key in &found {
            let ours = KEYS.iter().any(|ours| ours.public() == key);
            let fits = |made: &Signature| {
                let made = Signature { key: None, ..made.clone() };
                SimpleSigning.verify(&IMAGE, &made, key).is_good()
            };
            if !ours && SIMPLE.good.iter().any(fits) {
                return Err("another key verifies a signature".to_owned());
            }
        }
        Ok(true)
    }

    fn untouched(&self) -> usize {
        let lists = LISTS.iter().enumerate();
        let judged = lists.map(|(at, list)| self.judge(&[vec![at as u8], list.clone()]));
        judged.filter(|judged| *judged == Ok(true)).count()
    }
}
