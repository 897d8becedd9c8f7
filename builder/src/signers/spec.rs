//! [`KeySpec`]: where a key lives.

use std::ffi::OsStr;
use std::fmt;
use std::path::PathBuf;

use super::command::Signer;
use super::pkcs11::{Uri, UriError};

/// Where a key lives, as it is written on the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySpec {
    /// In this file.
    File(PathBuf),
    /// In this variable of the environment.
    Env(String),
    /// In a token.
    Pkcs11(Box<Uri>),
    /// Where this program asks.
    Command(Signer),
}

/// Why a text names no key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeySpecError {
    /// Nothing.
    #[error("no key is named: expected a file, env://VARIABLE, pkcs11:…, or exec:PROGRAM")]
    Empty,
    /// `env://` without a name.
    #[error("{0:?} is not the name of a variable: expected env://VARIABLE")]
    Variable(String),
    /// Not as RFC 7512 has it.
    #[error(transparent)]
    Pkcs11(#[from] UriError),
    /// `exec:` with something else.
    #[error(
        "what follows exec: is no command: expected exec:PROGRAM, or exec:[\"PROGRAM\", \
         \"ARGUMENT\", …] as a list in JSON; no shell is involved"
    )]
    Command,
    /// Somebody else's way to name a key.
    #[error(
        "keys at {0}:// are not asked for directly: give exec:PROGRAM with a program that does; a \
         file of such a name is file:{0}://…"
    )]
    Unknown(String),
}

impl KeySpec {
    /// Reads what is written on the command line.
    ///
    /// # Errors
    /// [`KeySpecError`].
    pub fn parse(text: &OsStr) -> Result<Self, KeySpecError> {
        // The names of everything that is not a file are text.
        let Some(text) = text.to_str() else { return Ok(Self::File(text.into())) };
        if let Some(path) = text.strip_prefix("file:") {
            return match path {
                "" => Err(KeySpecError::Empty),
                path => Ok(Self::File(path.into())),
            };
        }
        if let Some(name) = text.strip_prefix("env://") {
            return match name {
                "" => Err(KeySpecError::Variable(name.to_owned())),
                name if name.contains(['=', '\0']) => Err(KeySpecError::Variable(name.to_owned())),
                name => Ok(Self::Env(name.to_owned())),
            };
        }
        if text.starts_with("pkcs11:") {
            return Ok(Self::Pkcs11(Box::new(Uri::parse(text)?)));
        }
        if let Some(command) = text.strip_prefix("exec:") {
            return command_line(command).map(Self::Command).ok_or(KeySpecError::Command);
        }
        match text.split_once("://") {
            _ if text.is_empty() => Err(KeySpecError::Empty),
            Some((scheme, _)) if is_scheme(scheme) => Err(KeySpecError::Unknown(scheme.to_owned())),
            _ => Ok(Self::File(text.into())),
        }
    }
}

/// RFC 3986, section 3.1.
fn is_scheme(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_alphabetic())
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
}

/// One program, or a list of it and its arguments.
fn command_line(text: &str) -> Option<Signer> {
    if !text.trim_start().starts_with('[') {
        return Signer::new([text.to_owned()]);
    }
    let words: Vec<String> = serde_json::from_str(text).ok()?;
    Signer::new(words)
}

impl From<PathBuf> for KeySpec {
    fn from(path: PathBuf) -> Self {
        Self::File(path)
    }
}

/// As it can be written again, less the arguments of a program, which may be secret.
impl fmt::Display for KeySpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Env(name) => write!(f, "env://{name}"),
            Self::Pkcs11(uri) => write!(f, "{uri}"),
            Self::Command(signer) => write!(f, "exec:{signer}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_where_their_names_say() {
        let signer = |words: &[&str]| {
            KeySpec::Command(Signer::new(words.iter().map(|&it| it.to_owned())).unwrap())
        };
        for (text, expected) in [
            ("a.key", KeySpec::File("a.key".into())),
            ("/etc/a.key", KeySpec::File("/etc/a.key".into())),
            ("file:a.key", KeySpec::File("a.key".into())),
            ("file:pkcs11:x", KeySpec::File("pkcs11:x".into())),
            ("file:///etc/a.key", KeySpec::File("///etc/a.key".into())),
            ("./exec:x", KeySpec::File("./exec:x".into())),
            ("a b://c", KeySpec::File("a b://c".into())),
            ("dir/a://c", KeySpec::File("dir/a://c".into())),
            ("C:key", KeySpec::File("C:key".into())),
            ("env:KEY", KeySpec::File("env:KEY".into())),
            ("env://KEY", KeySpec::Env("KEY".into())),
            ("exec:sign", signer(&["sign"])),
            ("exec:/opt/my sign", signer(&["/opt/my sign"])),
            (r#"exec:["sign", "--key", "alias/a b"]"#, signer(&["sign", "--key", "alias/a b"])),
        ] {
            assert_eq!(KeySpec::parse(OsStr::new(text)), Ok(expected), "{text}");
        }
        let token = KeySpec::parse(OsStr::new("pkcs11:token=a;object=b")).unwrap();
        assert!(matches!(token, KeySpec::Pkcs11(_)));
    }

    #[test]
    fn what_names_no_key_is_refused() {
        for text in ["", "file:", "env://", "env://A=B", "pkcs11:colour=red", "pkcs11:?pin-value=1"]
        {
            assert!(KeySpec::parse(OsStr::new(text)).is_err(), "{text}");
        }
        for text in
            ["exec:", "exec:[]", r#"exec:[""]"#, "exec:[1]", r#"exec:["a", ["b"]]"#, "exec:[a"]
        {
            let refused = KeySpec::parse(OsStr::new(text)).unwrap_err();
            assert!(matches!(refused, KeySpecError::Command), "{text}");
        }
        for scheme in ["awskms", "gcpkms", "azurekms", "hashivault", "k8s", "gitlab", "https"] {
            let refused = KeySpec::parse(OsStr::new(&format!("{scheme}://x/y"))).unwrap_err();
            assert_eq!(refused, KeySpecError::Unknown(scheme.to_owned()));
        }
    }

    #[test]
    fn names_are_shown_as_they_are_written_but_for_arguments() {
        for text in ["a.key", "env://KEY", "exec:sign", "pkcs11:id=%01"] {
            assert_eq!(KeySpec::parse(OsStr::new(text)).unwrap().to_string(), text);
        }
        // What a program is given may be secret.
        let key = KeySpec::parse(OsStr::new(r#"exec:["sign","--token=98765"]"#)).unwrap();
        assert_eq!(key.to_string(), "exec:sign");
        let broken = KeySpec::parse(OsStr::new(r#"exec:["sign","--token=98765"#)).unwrap_err();
        assert!(!broken.to_string().contains("98765"), "{broken}");
    }
}
