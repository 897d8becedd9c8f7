//! A digest as 64 hex digits, without the algorithm in front.

use serde::{Deserialize, Deserializer};

use crate::Digest;

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Digest, D::Error> {
    let text = String::deserialize(deserializer)?;
    Digest::from_hex(&text)
        .map_err(|_| serde::de::Error::custom(format!("{text:?} is not 64 lowercase hex digits")))
}
