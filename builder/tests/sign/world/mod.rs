//! Authorities, logs and signers of our own: the world in which `treelay_signing::keyless` is
//! tested, with what that finds around it there.

#![allow(dead_code)]

use sha2::{Digest as _, Sha256};
use treelay_signing::Bundle;
use treelay_signing::keyless::{
    Artifact, KeylessError, Matcher, Policy, Signed, Time, TrustedRoot, verify,
};
use x509_cert::der::Decode as _;

#[path = "../../../../signing/src/keyless/tests/world/mod.rs"]
mod made;

pub use made::{IDENTITY, ISSUER, World};

/// A certificate, taken apart.
struct Certificate {
    inner: x509_cert::Certificate,
}

impl Certificate {
    fn parse(der: &[u8]) -> x509_cert::der::Result<Self> {
        x509_cert::Certificate::from_der(der).map(|inner| Self { inner })
    }
}

mod merkle {
    use super::*;

    /// RFC 6962, section 2.1.
    pub fn leaf_hash(entry: &[u8]) -> [u8; 32] {
        Sha256::new().chain_update([0]).chain_update(entry).finalize().into()
    }
}

pub fn policy(identity: &str, issuer: &str) -> Policy {
    Policy { identity: Matcher::exactly(identity), issuer: Matcher::exactly(issuer) }
}
