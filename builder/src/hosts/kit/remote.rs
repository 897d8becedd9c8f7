//! [`OstreeRemote`]: where a host pulls commits from, and whose signatures it wants.

use treelay_signing::{KeyKind, PublicKey};

use super::{KitError, KitFile, file};

/// A remote of ostree, as `/etc/ostree/remotes.d/NAME.conf` has it (ostree.repo-config(5)).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OstreeRemote {
    /// What the host calls it.
    pub name: String,
    /// Where the repository is served.
    pub url: String,
    /// A GPG keyring in binary, one of whose keys must have signed.
    pub gpg_keyring: Option<Vec<u8>>,
    /// The collection that commits must be bound to.
    pub collection: Option<String>,
}

/// Whether a remote may have this name: it is part of the names of files.
pub fn is_remote_name(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    !text.is_empty() && !text.starts_with(['.', '-']) && text.chars().all(fits)
}

impl OstreeRemote {
    /// Its configuration and keys. Commits must be signed by one of `keys`; where there is a GPG
    /// keyring, by one of its keys too.
    pub(super) fn files(&self, keys: &[PublicKey]) -> Result<Vec<KitFile>, KitError> {
        if !is_remote_name(&self.name) {
            return Err(KitError::RemoteName(self.name.clone()));
        }
        for (what, text) in
            [("the URL", Some(&self.url)), ("the collection", self.collection.as_ref())]
        {
            if let Some(text) =
                text.filter(|text| text.is_empty() || text.contains(char::is_control))
            {
                return Err(KitError::NotALine { what, text: text.clone() });
            }
        }
        let name = &self.name;
        let (ed25519, others): (Vec<_>, Vec<_>) =
            keys.iter().partition(|key| key.kind() == KeyKind::Ed25519);
        if keys.is_empty() && self.gpg_keyring.is_none() {
            return Err(KitError::RemoteWithoutKeys(name.clone()));
        }
        let mut config = format!("[remote \"{name}\"]\nurl={}\n", self.url);
        if let Some(collection) = &self.collection {
            config.push_str(&format!("collection-id={collection}\n"));
        }
        config.push_str(&format!("gpg-verify={}\n", self.gpg_keyring.is_some()));
        config.push_str("gpg-verify-summary=false\n");
        let mut files = Vec::new();
        let mut engines = Vec::new();
        // Every verifier of ostree reads ed25519 where it reads keys at all, so those come first.
        for (engine, keys) in [("ed25519", ed25519), ("spki", others)] {
            if keys.is_empty() {
                continue;
            }
            let text: String = keys
                .iter()
                .map(|key| key.to_ostree_line().map_or_else(|| key.to_pem(), |line| line + "\n"))
                .collect();
            let path = format!("etc/pki/ostree/{name}.{engine}");
            config.push_str(&format!("verification-{engine}-file=/{path}\n"));
            files.push(file(&path, text));
            engines.push(engine);
        }
        // A list that ends in a separator is what GKeyFile writes itself.
        let verify = match engines.as_slice() {
            [] => "false".to_owned(),
            engines => engines.iter().map(|engine| format!("{engine};")).collect(),
        };
        config.push_str(&format!("sign-verify={verify}\n"));
        if let Some(keyring) = &self.gpg_keyring {
            let path = format!("etc/ostree/remotes.d/{name}.trustedkeys.gpg");
            files.push(file(&path, keyring.clone()));
        }
        files.push(file(&format!("etc/ostree/remotes.d/{name}.conf"), config));
        Ok(files)
    }
}

#[cfg(test)]
mod tests {
    use treelay_signing::SecretKey;

    use super::*;

    #[test]
    fn the_configuration_asks_for_what_there_are_keys_for() {
        let key = |kind| SecretKey::generate(kind).unwrap().public().clone();
        let (ed, ec) = (key(KeyKind::Ed25519), key(KeyKind::EcdsaP256));
        let remote = OstreeRemote {
            name: "tools".to_owned(),
            url: "https://os.example/repo".to_owned(),
            gpg_keyring: None,
            collection: None,
        };
        let config = |remote: &OstreeRemote, keys: &[PublicKey]| {
            let files = remote.files(keys).unwrap();
            let config = files.iter().find(|file| file.path.ends_with(".conf")).unwrap();
            (String::from_utf8(config.bytes.clone()).unwrap(), files.len())
        };
        assert_eq!(
            config(&remote, &[ed.clone(), ec.clone()]).0,
            "[remote \"tools\"]\nurl=https://os.example/repo\ngpg-verify=false\n\
             gpg-verify-summary=false\n\
             verification-ed25519-file=/etc/pki/ostree/tools.ed25519\n\
             verification-spki-file=/etc/pki/ostree/tools.spki\nsign-verify=ed25519;spki;\n"
        );
        let gpg = OstreeRemote { gpg_keyring: Some(vec![0x99]), ..remote.clone() };
        let (text, files) = config(&gpg, &[]);
        assert!(text.contains("gpg-verify=true\n") && text.contains("sign-verify=false\n"));
        assert_eq!(files, 2);
        assert!(matches!(remote.files(&[]), Err(KitError::RemoteWithoutKeys(_))));
        for (name, url) in [("a/b", "https://x"), (".a", "https://x"), ("a", "x\nurl=y"), ("a", "")]
        {
            let odd = OstreeRemote { name: name.into(), url: url.into(), ..remote.clone() };
            assert!(odd.files(std::slice::from_ref(&ed)).is_err(), "{name:?} {url:?}");
        }
    }
}
