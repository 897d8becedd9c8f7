//! A token that is open.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::mechanism::eddsa::{EddsaParams, EddsaSignatureScheme};
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::{Slot, TokenInfo};
use cryptoki::types::AuthPin;
use treelay_recipes::Digest;
use treelay_signing::{KeyKind, PublicKey, SecretKey};

use super::error::brief;
use super::{AskPin, Pkcs11Error, Uri};

type Result<T> = std::result::Result<T, Pkcs11Error>;

/// A session with one token. The module stays loaded and started while this lives; it is never told
/// to end, since another key of this run may be in it too.
pub(super) struct Token {
    session: Session,
    module: Pkcs11,
    slot: Slot,
    label: String,
}

/// A key in a token, as its attributes describe it.
struct Found {
    handle: ObjectHandle,
    key_type: Option<KeyType>,
    label: Vec<u8>,
    id: Vec<u8>,
}

impl Token {
    /// Loads the module and opens the one token that fits.
    pub(super) fn open(uri: &Uri, path: &Path) -> Result<Self> {
        let loading = |reason: String| Pkcs11Error::Load { path: path.to_path_buf(), reason };
        let module = Pkcs11::new(path).map_err(|error| loading(load_reason(path, &error)))?;
        match module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
            // By another key of this run.
            Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {}
            Err(error) => return Err(loading(brief(&error))),
        }
        let slots = module.get_slots_with_token().map_err(|error| loading(brief(&error)))?;
        let (mut there, mut fitting) = (Vec::new(), Vec::new());
        for slot in slots {
            // A token may be pulled out between two questions.
            let Ok(info) = module.get_token_info(slot) else { continue };
            if !info.token_initialized() {
                continue;
            }
            let name = format!(
                "{:?} (serial {}, slot {})",
                info.label().trim_end(),
                info.serial_number().trim_end(),
                slot.id()
            );
            if fits(uri, slot, &info) {
                fitting.push((slot, info.label().trim_end().to_owned(), name.clone()));
            }
            there.push(name);
        }
        let uri = uri.to_string();
        let (slot, label) = match fitting.as_slice() {
            [(slot, label, _)] => (*slot, label.clone()),
            [] => {
                return Err(Pkcs11Error::NoToken { uri, module: path.to_path_buf(), there });
            }
            several => {
                let there = several.iter().map(|(_, _, name)| name.clone()).collect();
                return Err(Pkcs11Error::SeveralTokens { uri, there });
            }
        };
        let session = module
            .open_ro_session(slot)
            .map_err(|error| failed(&label, "opening a session", &error))?;
        Ok(Self { session, module, slot, label })
    }

    /// Logs in, where the token wants that.
    pub(super) fn log_in(&self, ask: &AskPin<'_>) -> Result<()> {
        let token = || self.label.clone();
        let info = self.info()?;
        if !info.login_required() {
            return Ok(());
        }
        if info.user_pin_locked() {
            let reason =
                "it is locked after too many wrong ones; its security officer can set a new \
                          one"
                .to_owned();
            return Err(Pkcs11Error::Pin { token: token(), reason });
        }
        // With a keypad of its own the token asks by itself.
        let pin = match info.protected_authentication_path() {
            true => None,
            false => {
                let no_pin = |reason| Pkcs11Error::NoPin { token: token(), reason };
                let pin = ask(&self.label).map_err(no_pin)?;
                Some(AuthPin::new(pin.as_str().into()))
            }
        };
        let reason = match self.session.login(UserType::User, pin.as_ref()) {
            // By another key of this run: a login counts for all sessions with the token.
            Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => return Ok(()),
            Err(Error::Pkcs11(RvError::PinIncorrect, _)) => match self.info() {
                Ok(info) if info.user_pin_locked() => "it is wrong, and now locked",
                Ok(info) if info.user_pin_final_try() => {
                    "it is wrong, and one more wrong one locks it"
                }
                // This one counts already, so it says nothing of earlier ones.
                _ => "it is wrong; after a few wrong ones in a row it is locked",
            },
            Err(Error::Pkcs11(RvError::PinLocked, _)) => "it is locked after too many wrong ones",
            Err(Error::Pkcs11(RvError::PinLenRange | RvError::PinInvalid, _)) => {
                "it is not as long, or not of such characters, as its PINs are"
            }
            Err(Error::Pkcs11(RvError::PinExpired, _)) => "it has expired: set a new one",
            Err(Error::Pkcs11(RvError::UserPinNotInitialized, _)) => {
                "none was ever set: initialise the token's user PIN"
            }
            Err(error) => return Err(failed(&self.label, "logging in", &error)),
        };
        Err(Pkcs11Error::Pin { token: token(), reason: reason.to_owned() })
    }

    fn info(&self) -> Result<TokenInfo> {
        self.module
            .get_token_info(self.slot)
            .map_err(|error| failed(&self.label, "reading its state", &error))
    }

    /// The private key, as one that signs.
    pub(super) fn secret_key(self, uri: &Uri) -> Result<SecretKey> {
        let key = self.one(ObjectClass::PRIVATE_KEY, "private key", uri)?;
        let name = key.name();
        let always = self.attribute(&key, AttributeType::AlwaysAuthenticate)?;
        if matches!(always, Some(Attribute::AlwaysAuthenticate(true))) {
            return Err(Pkcs11Error::AlwaysAuthenticate { key: name });
        }
        let public = self.public_half(&key)?;
        let (kind, handle) = (public.kind(), key.handle);
        let signer = format!("the key {name} in the token {:?}", self.label);
        // A session does one thing at a time. The module must outlive it.
        let (session, module) = (Mutex::new(self.session), self.module);
        Ok(SecretKey::external(public, signer, move |message| {
            let _stays_loaded = &module;
            // Whoever panicked while it signed left the session as the module has it.
            let session = session.lock().unwrap_or_else(PoisonError::into_inner);
            sign(&session, handle, kind, message).map_err(|error| match &error {
                Error::Pkcs11(RvError::MechanismInvalid, _) => {
                    format!("the token does not sign as {kind} keys do ({})", brief(&error))
                }
                Error::Pkcs11(RvError::KeyFunctionNotPermitted, _) => {
                    "the token keeps this key for something else than signing".to_owned()
                }
                _ => brief(&error),
            })
        }))
    }

    /// The public key object.
    pub(super) fn public_key(&self, uri: &Uri) -> Result<PublicKey> {
        let key = self.one(ObjectClass::PUBLIC_KEY, "public key", uri)?;
        self.read_public(&key)
    }

    /// The public half of the private key, for who is logged in.
    pub(super) fn public_key_of_private(&self, uri: &Uri) -> Result<PublicKey> {
        match self.public_key(uri) {
            Err(Pkcs11Error::NoKey { .. }) => {
                let key = self.one(ObjectClass::PRIVATE_KEY, "private key", uri)?;
                self.public_half(&key)
            }
            found => found,
        }
    }

    /// The one object of the class that fits.
    fn one(&self, class: ObjectClass, what: &'static str, uri: &Uri) -> Result<Found> {
        let mut template = vec![Attribute::Class(class)];
        template.extend(uri.object.as_ref().map(|it| Attribute::Label(it.as_bytes().to_vec())));
        template.extend(uri.id.clone().map(Attribute::Id));
        let mut found = self.find(&template)?;
        let names = |keys: &[Found]| keys.iter().map(Found::name).collect();
        match found.len() {
            1 => Ok(found.remove(0)),
            0 => Err(Pkcs11Error::NoKey {
                what,
                uri: uri.to_string(),
                token: self.label.clone(),
                there: names(&self.find(&[Attribute::Class(class)])?),
            }),
            _ => Err(Pkcs11Error::SeveralKeys { what, uri: uri.to_string(), there: names(&found) }),
        }
    }

    fn find(&self, template: &[Attribute]) -> Result<Vec<Found>> {
        let doing = "looking for keys";
        let handles = self
            .session
            .find_objects(template)
            .map_err(|error| failed(&self.label, doing, &error))?;
        let described = |handle| {
            let wanted = [AttributeType::KeyType, AttributeType::Label, AttributeType::Id];
            let attributes = self
                .session
                .get_attributes(handle, &wanted)
                .map_err(|error| failed(&self.label, doing, &error))?;
            let mut found = Found { handle, key_type: None, label: Vec::new(), id: Vec::new() };
            for attribute in attributes {
                match attribute {
                    Attribute::KeyType(key_type) => found.key_type = Some(key_type),
                    Attribute::Label(label) => found.label = label,
                    Attribute::Id(id) => found.id = id,
                    _ => {}
                }
            }
            Ok(found)
        };
        handles.into_iter().map(described).collect()
    }

    /// The public key that belongs to a private one.
    fn public_half(&self, key: &Found) -> Result<PublicKey> {
        let named = match key.id.is_empty() {
            true => Attribute::Label(key.label.clone()),
            false => Attribute::Id(key.id.clone()),
        };
        let mut halves = self.find(&[Attribute::Class(ObjectClass::PUBLIC_KEY), named])?;
        halves.retain(|half| half.key_type == key.key_type);
        match halves.as_slice() {
            [half] => self.read_public(half),
            [] if key.key_type == Some(KeyType::RSA) => self.read_public(key),
            _ => Err(Pkcs11Error::NoPublicHalf { token: self.label.clone(), key: key.name() }),
        }
    }

    fn attribute(&self, key: &Found, which: AttributeType) -> Result<Option<Attribute>> {
        let attributes = self.session.get_attributes(key.handle, &[which]);
        match attributes {
            Ok(attributes) => Ok(attributes.into_iter().next()),
            Err(error) => Err(failed(&self.label, "reading a key", &error)),
        }
    }

    fn read_public(&self, key: &Found) -> Result<PublicKey> {
        let bytes = |which| {
            Ok::<_, Pkcs11Error>(match self.attribute(key, which)? {
                Some(
                    Attribute::Modulus(bytes)
                    | Attribute::PublicExponent(bytes)
                    | Attribute::EcParams(bytes)
                    | Attribute::EcPoint(bytes),
                ) => bytes,
                _ => Vec::new(),
            })
        };
        let public = match key.key_type {
            Some(KeyType::RSA) => PublicKey::from_rsa_numbers(
                &bytes(AttributeType::Modulus)?,
                &bytes(AttributeType::PublicExponent)?,
            ),
            _ => PublicKey::from_ec_attributes(
                &bytes(AttributeType::EcParams)?,
                &bytes(AttributeType::EcPoint)?,
            ),
        };
        let (token, key) = (self.label.clone(), key.name());
        public.map_err(|source| Pkcs11Error::Key { token, key, source })
    }
}

impl Found {
    /// What it is called in messages.
    fn name(&self) -> String {
        format!("{:?} (id {})", String::from_utf8_lossy(&self.label), hex::encode(&self.id))
    }
}

/// Whether a token is what the URI says of it. PKCS#11 pads what it says with spaces.
fn fits(uri: &Uri, slot: Slot, info: &TokenInfo) -> bool {
    let same = |wanted: &Option<String>, found: &str| {
        wanted.as_ref().is_none_or(|wanted| wanted.trim_end() == found.trim_end())
    };
    same(&uri.token, info.label())
        && same(&uri.manufacturer, info.manufacturer_id())
        && same(&uri.model, info.model())
        && same(&uri.serial, info.serial_number())
        && uri.slot.is_none_or(|wanted| wanted == slot.id())
}

/// RFC 8017, section 9.2, note 1: what stands before a SHA-256 in a DigestInfo.
const SHA256_DIGEST_INFO: [u8; 19] = [
    0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05,
    0x00, 0x04, 0x20,
];

fn sign(
    session: &Session,
    key: ObjectHandle,
    kind: KeyKind,
    message: &[u8],
) -> std::result::Result<Vec<u8>, Error> {
    let digest = Digest::of(message);
    match kind {
        KeyKind::EcdsaP256 | KeyKind::EcdsaP384 => {
            session.sign(&Mechanism::Ecdsa, key, digest.as_bytes())
        }
        KeyKind::Rsa => {
            let info = [&SHA256_DIGEST_INFO[..], digest.as_bytes()].concat();
            session.sign(&Mechanism::RsaPkcs, key, &info)
        }
        KeyKind::Ed25519 => {
            let plain = Mechanism::Eddsa(EddsaParams::new(EddsaSignatureScheme::Ed25519));
            session.sign(&plain, key, message)
        }
    }
}

fn failed(token: &str, doing: &'static str, error: &Error) -> Pkcs11Error {
    Pkcs11Error::Failed { token: token.to_owned(), doing, reason: brief(error) }
}

fn load_reason(path: &Path, error: &Error) -> String {
    match error {
        Error::LibraryLoading(error) => {
            let said = error.to_string();
            // The path is said already.
            said.strip_prefix(&format!("{}: ", path.display())).unwrap_or(&said).to_owned()
        }
        error => brief(error),
    }
}
