//! Options of the layer kinds that give an image what programs expect of a system.

use schemars::JsonSchema;
use serde::Deserialize;

use super::Text;

/// Accounts: `/etc/passwd`, `/etc/group` and home directories. There is no shadow file; nobody can
/// log in with a password.
///
/// On a base (`image.base`) they come behind the base's own, in its shadow files too where it has
/// them. An account that the base has may be named with its numbers, so that `user` knows it; it
/// stays as it is. A name or number that means something else there is an error.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct UsersLayer {
    /// The accounts, in the order of the file. `root` is there always.
    #[schemars(length(min = 1))]
    pub accounts: Vec<Account>,
    /// Groups, beside the one that each account has for itself.
    #[serde(default)]
    pub groups: Vec<Group>,
}

/// One account.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Account {
    /// Its name: lowercase letters, digits, `-` and `_`, a letter or `_` first.
    pub name: Text,
    /// Its number.
    pub uid: u32,
    /// The number of its group, which has the account's name unless `groups` says otherwise; left
    /// out, the same as `uid`.
    #[serde(default)]
    pub gid: Option<u32>,
    /// Who or what it is, for people.
    #[serde(default)]
    pub comment: Option<Text>,
    /// Its home, which is made, for the account alone (0700); left out, it is `/` and nothing is
    /// made.
    #[serde(default)]
    pub home: Option<Text>,
    /// Its shell; left out, `/sbin/nologin`.
    #[serde(default)]
    pub shell: Option<Text>,
}

/// One group.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Group {
    /// Its name, spelled as an account's.
    pub name: Text,
    /// Its number.
    pub gid: u32,
    /// Accounts that are in it beside those whose own group it is.
    #[serde(default)]
    #[schemars(extend("uniqueItems" = true))]
    pub members: Vec<Text>,
}

impl UsersLayer {
    /// The owner that a name stands for.
    pub(crate) fn owner(&self, name: &str) -> Option<(u32, u32)> {
        let account = self.accounts.iter().find(|account| account.name.value == name)?;
        Some((account.uid, account.gid.unwrap_or(account.uid)))
    }
}

/// A bundle of certificate authorities, at the places where Go, Alpine, Debian, Fedora and openSUSE
/// look.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct CertificatesLayer {
    /// The input that has the certificates, of the kind `pypi` (the package `certifi`) or `archive`.
    pub input: Text,
    /// A PEM file of the input, or a folder whose `.crt` and `.pem` files are taken; left out,
    /// `certifi/cacert.pem`.
    #[serde(default)]
    pub path: Option<Text>,
    /// Local PEM files whose certificates are added, such as a company's own.
    #[serde(default)]
    pub add: Vec<Text>,
}

/// The time zones, under `/usr/share/zoneinfo`.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct TzdataLayer {
    /// The input that has them: of the kind `pypi` (the package `tzdata`), `go-toolchain` (its
    /// `lib/time/zoneinfo.zip`), or `archive` (a zoneinfo folder, or such a zip).
    pub input: Text,
    /// The folder or zip in the input; left out, it is looked for.
    #[serde(default)]
    pub path: Option<Text>,
    /// The zone that `/etc/localtime` leads to: `Europe/Berlin`; left out, there is none, which is
    /// UTC.
    #[serde(default)]
    pub localtime: Option<Text>,
}
