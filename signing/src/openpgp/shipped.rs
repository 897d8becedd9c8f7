//! Keys that come with treelay.

/// Fingerprint of the key that signs Go's releases, beside each file of go.dev/dl as `.asc`: "Google
/// Inc. (Linux Packages Signing Authority)".
pub const GO_RELEASE: &str = "EB4C1BFD4F042F6DDDCCEC917721F63BD38B4796";

/// Its certificate, armoured, as Debian's extrepo-offline-data 1.0.7 has it (CC0-1.0). Its subkeys
/// sign, for three years each; those of this copy until 2028-01-07. A newer one can be given beside
/// it: the fingerprint is what is trusted.
pub const GO_RELEASE_CERTIFICATE: &[u8] = include_bytes!("go-release.asc");
