//! The kinds of attestations: cosign's names for them, and what statements call them.

use std::fmt;
use std::str::FromStr;

/// What a statement says of its subject: the URI of its predicate.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PredicateType(String);

/// cosign's names (`cosign attest --type`), and the URIs that they are short for.
const NAMES: [(&str, &str); 8] = [
    ("slsaprovenance1", "https://slsa.dev/provenance/v1"),
    ("slsaprovenance", "https://slsa.dev/provenance/v0.2"),
    ("spdxjson", "https://spdx.dev/Document"),
    ("cyclonedx", "https://cyclonedx.org/bom"),
    ("openvex", "https://openvex.dev/ns"),
    ("link", "https://in-toto.io/Link/v1"),
    ("vuln", "https://cosign.sigstore.dev/attestation/vuln/v1"),
    ("custom", "https://cosign.sigstore.dev/attestation/v1"),
];

/// cosign's claim that an image is signed: not an attestation that anyone may write here.
const SIGN: &str = "https://sigstore.dev/cosign/sign/v1";

/// Why a text is no kind of attestation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no type of attestation: expected {} or a URI{reason}", NAMES.map(|(name, _)| name).join(", "))]
pub struct NotAType {
    /// The text.
    pub text: String,
    reason: &'static str,
}

impl PredicateType {
    /// SLSA provenance v1.
    pub fn provenance() -> Self {
        Self(NAMES[0].1.to_owned())
    }

    /// An SPDX document.
    pub fn spdx() -> Self {
        Self(NAMES[2].1.to_owned())
    }

    /// A CycloneDX document.
    pub fn cyclonedx() -> Self {
        Self(NAMES[3].1.to_owned())
    }

    /// The URI.
    pub fn uri(&self) -> &str {
        &self.0
    }

    /// cosign's name for it, where it has one.
    pub fn name(&self) -> Option<&'static str> {
        NAMES.iter().find(|(_, uri)| *uri == self.0).map(|(name, _)| *name)
    }

    /// The media type under which scanners look for the document itself, beside the signed one.
    pub fn raw_media_type(&self) -> Option<&'static str> {
        match self.name()? {
            "spdxjson" => Some("application/spdx+json"),
            "cyclonedx" => Some("application/vnd.cyclonedx+json"),
            "openvex" => Some("application/vnd.openvex+json"),
            _ => None,
        }
    }

    /// What a document of this type has at its top, so that one kind is not taken for another.
    ///
    /// # Errors
    /// The name that is missing.
    pub fn check(&self, document: &serde_json::Value) -> Result<(), &'static str> {
        let needed: &[&'static str] = match self.name() {
            Some("slsaprovenance1") => &["buildDefinition", "runDetails"],
            Some("spdxjson") => &["spdxVersion", "SPDXID"],
            Some("cyclonedx") => &["bomFormat", "specVersion"],
            Some("openvex") => &["@context", "statements"],
            _ => &[],
        };
        match needed.iter().find(|name| document.get(name).is_none()) {
            Some(name) => Err(name),
            None => Ok(()),
        }
    }

    /// Whether it lists what is in an image.
    pub fn is_sbom(&self) -> bool {
        matches!(self.name(), Some("spdxjson" | "cyclonedx"))
    }
}

impl FromStr for PredicateType {
    type Err = NotAType;

    fn from_str(text: &str) -> Result<Self, NotAType> {
        if let Some((_, uri)) = NAMES.iter().find(|(name, _)| *name == text) {
            return Ok(Self((*uri).to_owned()));
        }
        let refuse = |reason| NotAType { text: text.to_owned(), reason };
        // RFC 3986, section 3: a scheme, a colon, and no character that has to be encoded.
        let scheme = text.split_once(':').map(|(scheme, rest)| (scheme, !rest.is_empty()));
        let is_scheme = |scheme: &str| {
            scheme.starts_with(|c: char| c.is_ascii_alphabetic())
                && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
        };
        let is_uri = scheme.is_some_and(|(scheme, rest)| rest && is_scheme(scheme));
        if !is_uri || !text.chars().all(|c| c.is_ascii_graphic() && !"\"<>\\^`{|}".contains(c)) {
            return Err(refuse(""));
        }
        if text == SIGN {
            return Err(refuse("; that one is a signature, which `treelay sign` makes"));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for PredicateType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name().unwrap_or(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_cosigns_and_others_are_uris() {
        for (text, uri, shown) in [
            ("slsaprovenance1", "https://slsa.dev/provenance/v1", "slsaprovenance1"),
            ("https://spdx.dev/Document", "https://spdx.dev/Document", "spdxjson"),
            (
                "https://a.example/test-result/v1",
                "https://a.example/test-result/v1",
                "https://a.example/test-result/v1",
            ),
            ("urn:x:y", "urn:x:y", "urn:x:y"),
        ] {
            let parsed: PredicateType = text.parse().unwrap();
            assert_eq!((parsed.uri(), parsed.to_string().as_str()), (uri, shown));
        }
        for text in ["", "spdx", "x y:z", "1a:b", "a:", "https://a/{x}", SIGN] {
            let error = text.parse::<PredicateType>().unwrap_err().to_string();
            assert!(error.contains("cyclonedx"), "{error}");
        }
        assert!(SIGN.parse::<PredicateType>().unwrap_err().to_string().contains("treelay sign"));
    }
}
