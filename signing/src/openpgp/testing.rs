//! Certificates and signatures for tests, with whatever is to be wrong about them.

use p256::elliptic_curve::rand_core::OsRng;
use pgp::composed::KeyType;
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{
    KeyFlags, PacketTrait, PubKeyInner, PublicKey, PublicSubkey, RevocationCode, SecretKey,
    Signature, SignatureConfig, SignatureType, Subpacket, SubpacketData, UserId,
};
use pgp::types::{
    Duration, KeyDetails, KeyVersion, Password, SecretParams, SigningKey, Tag, Timestamp,
};

use super::{Fingerprint, Trust};

pub const DAY: u64 = 86_400;
/// When the keys of tests were made.
pub const BORN: u64 = 20_000 * DAY;

/// A key with one subkey, both Ed25519.
pub struct Maker {
    pub primary: SecretKey,
    pub sub: SecretKey,
    pub sub_public: PublicSubkey,
    pub user: UserId,
}

fn inner(created: u64) -> (PubKeyInner, SecretParams) {
    let kind = KeyType::Ed25519Legacy;
    let (public, secret) = kind.generate(OsRng).unwrap();
    let created = Timestamp::from_secs(created as u32);
    (PubKeyInner::new(KeyVersion::V4, kind.to_alg(), created, None, public).unwrap(), secret)
}

pub fn parts(made: u64, more: Vec<SubpacketData>) -> Vec<Subpacket> {
    let made = SubpacketData::SignatureCreationTime(Timestamp::from_secs(made as u32));
    let all = std::iter::once(made).chain(more);
    all.map(|data| Subpacket::regular(data).unwrap()).collect()
}

pub fn signs(yes: bool) -> SubpacketData {
    let mut flags = KeyFlags::default();
    flags.set_sign(yes);
    flags.set_certify(!yes);
    SubpacketData::KeyFlags(flags)
}

pub fn key_lives(days: u64) -> SubpacketData {
    SubpacketData::KeyExpirationTime(Duration::from_secs((days * DAY) as u32))
}

pub fn reason(code: RevocationCode) -> Vec<SubpacketData> {
    vec![SubpacketData::RevocationReason(code, "it\nis".into())]
}

impl Maker {
    pub fn new() -> Self {
        let (primary, secret) = inner(BORN);
        let primary = SecretKey::new(PublicKey::from_inner(primary).unwrap(), secret).unwrap();
        let (sub, secret) = inner(BORN);
        let sub_public = PublicSubkey::from_inner(sub.clone()).unwrap();
        let sub = SecretKey::new(PublicKey::from_inner(sub).unwrap(), secret).unwrap();
        let user = UserId::from_str(Default::default(), "Somebody <a@example.org>").unwrap();
        Self { primary, sub, sub_public, user }
    }

    pub fn name(&self) -> Fingerprint {
        Fingerprint::of(&self.primary)
    }

    pub fn sub_name(&self) -> Fingerprint {
        Fingerprint::of(&self.sub)
    }

    pub fn config(by: &SecretKey, typ: SignatureType, parts: Vec<Subpacket>) -> SignatureConfig {
        let mut config = SignatureConfig::v4(typ, by.algorithm(), HashAlgorithm::Sha512);
        config.hashed_subpackets = parts;
        let issuer = SubpacketData::IssuerKeyId(by.legacy_key_id());
        config.unhashed_subpackets = vec![Subpacket::regular(issuer).unwrap()];
        config
    }

    pub fn of_user(&self, typ: SignatureType, made: u64, more: Vec<SubpacketData>) -> Signature {
        let config = Self::config(&self.primary, typ, parts(made, more));
        let public = self.primary.public_key();
        let sign = config.sign_certification(
            &self.primary,
            public,
            &Password::empty(),
            Tag::UserId,
            &self.user,
        );
        sign.unwrap()
    }

    pub fn direct(&self, typ: SignatureType, made: u64, more: Vec<SubpacketData>) -> Signature {
        let config = Self::config(&self.primary, typ, parts(made, more));
        config.sign_key(&self.primary, &Password::empty(), self.primary.public_key()).unwrap()
    }

    pub fn of_sub(
        &self,
        by: &SecretKey,
        typ: SignatureType,
        made: u64,
        more: Vec<SubpacketData>,
    ) -> Signature {
        let config = Self::config(by, typ, parts(made, more));
        let public = self.primary.public_key();
        config.sign_subkey_binding(by, public, &Password::empty(), &self.sub_public).unwrap()
    }

    /// The subkey's signature over this primary key.
    pub fn back(&self, primary: &PublicKey, made: u64, more: Vec<SubpacketData>) -> SubpacketData {
        let config = Self::config(&self.sub, SignatureType::KeyBinding, parts(made, more));
        let nobody = Password::empty();
        let back =
            config.sign_primary_key_binding(&self.sub, &self.sub_public, &nobody, primary).unwrap();
        SubpacketData::EmbeddedSignature(Box::new(back))
    }

    /// What a good certificate has: on the key, on the user ID, on the subkey.
    pub fn good(&self) -> [Vec<Signature>; 3] {
        [vec![], vec![self.good_user()], vec![self.good_binding()]]
    }

    pub fn good_user(&self) -> Signature {
        self.of_user(SignatureType::CertPositive, BORN, vec![signs(true)])
    }

    pub fn good_binding(&self) -> Signature {
        let back = self.back(self.primary.public_key(), BORN, vec![]);
        let parts = vec![signs(true), back];
        self.of_sub(&self.primary, SignatureType::SubkeyBinding, BORN, parts)
    }

    pub fn certificate(&self, [direct, user, sub]: [Vec<Signature>; 3]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let put = |bytes: &mut Vec<u8>, signatures: Vec<Signature>| {
            for signature in signatures {
                signature.to_writer_with_header(bytes).unwrap();
            }
        };
        self.primary.public_key().to_writer_with_header(&mut bytes).unwrap();
        put(&mut bytes, direct);
        self.user.to_writer_with_header(&mut bytes).unwrap();
        put(&mut bytes, user);
        self.sub_public.to_writer_with_header(&mut bytes).unwrap();
        put(&mut bytes, sub);
        bytes
    }

    pub fn trust(&self, certificate: [Vec<Signature>; 3]) -> Trust {
        Trust::new(&[&self.certificate(certificate)], &[self.name()]).unwrap()
    }
}

/// A signature of a file.
pub fn sign(by: &SecretKey, parts: Vec<Subpacket>, data: &[u8]) -> Vec<u8> {
    sign_as(by, SignatureType::Binary, parts, data)
}

/// The same, of any type, over the bytes as they are: `pgp` makes texts canonical in its own way, and
/// not every type.
pub fn sign_as(by: &SecretKey, typ: SignatureType, parts: Vec<Subpacket>, data: &[u8]) -> Vec<u8> {
    let config = Maker::config(by, typ, parts);
    let mut hasher = config.hash_alg.new_hasher().unwrap();
    hasher.update(data);
    let length = config.hash_signature_data(&mut hasher).unwrap();
    hasher.update(&config.trailer(length).unwrap());
    let digest = hasher.finalize();
    let signed = by.sign(&Password::empty(), config.hash_alg, &digest).unwrap();
    let signature = Signature::from_config(config, [digest[0], digest[1]], signed).unwrap();
    let mut bytes = Vec::new();
    signature.to_writer_with_header(&mut bytes).unwrap();
    bytes
}
