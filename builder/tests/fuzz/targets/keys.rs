//! Files of keys: OpenSSL's, cosign's and ostree's.

use treelay_signing::keys::{KeyList, SecretKeyFile};
use treelay_signing::{PublicKey, SecretKey};

use super::told;

/// A public key is one in every form that it is written in, or is refused; and so is a list of them.
pub fn public(bytes: &[u8]) -> bool {
    let mut accepted = false;
    for form in [KeyList::Ed25519, KeyList::Spki, KeyList::Any] {
        match form.parse(bytes) {
            Ok(keys) => accepted |= !keys.is_empty(),
            Err(error) => drop(told(&error)),
        }
    }
    let key = match PublicKey::parse(bytes) {
        Ok(key) => key,
        Err(error) => return told(&error) | accepted,
    };
    let again =
        [PublicKey::parse(key.to_pem().as_bytes()), PublicKey::from_spki_der(key.spki_der())];
    let line = key.to_ostree_line().map(|line| PublicKey::parse(line.as_bytes()));
    for again in again.into_iter().chain(line) {
        assert!(again.is_ok_and(|again| again == key), "written again it is another key");
    }
    true
}

/// A secret key is one in every form that it is written in; or is sealed, and is left so, because
/// opening takes time on purpose; or is refused.
pub fn secret(bytes: &[u8]) -> bool {
    let key = match SecretKeyFile::parse(bytes) {
        Ok(SecretKeyFile::Open(key)) => key,
        Ok(SecretKeyFile::Sealed(_)) => return true,
        Err(error) => return told(&error),
    };
    // Without randomness nothing is refused here that is a key.
    if let Ok(der) = key.to_pkcs8_der() {
        let again = SecretKey::from_pkcs8_der(&der);
        assert!(again.is_ok_and(|again| again.public() == key.public()), "it is another key");
    }
    true
}
