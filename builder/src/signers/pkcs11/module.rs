//! Where modules are.

use std::path::{Path, PathBuf};

use super::{Pkcs11Error, Uri};

/// Where distributions install modules. `x86_64-linux-gnu` and its like stand for the one that this
/// machine has.
const FOLDERS: [&str; 5] = [
    "/usr/lib/pkcs11",
    "/usr/lib64/pkcs11",
    "/usr/local/lib/pkcs11",
    "/usr/lib/softhsm",
    "/usr/lib64",
];

/// The file of the module that a URI names.
pub(super) fn find(uri: &Uri, usual: Option<PathBuf>) -> Result<PathBuf, Pkcs11Error> {
    if let Some(path) = &uri.module_path {
        return Ok(path.clone());
    }
    let Some(name) = &uri.module_name else { return usual.ok_or(Pkcs11Error::NoModule) };
    let triplet = format!("/usr/lib/{}-linux-gnu", triplet_arch());
    let mut folders: Vec<String> = FOLDERS.map(str::to_owned).to_vec();
    folders.extend([format!("{triplet}/pkcs11"), format!("{triplet}/softhsm"), triplet]);
    let files = |folder: &String| {
        // RFC 7512, section 2.3: `module-name=softhsm2` is `libsofthsm2.so` or `softhsm2.so`.
        [format!("lib{name}.so"), format!("{name}.so")].map(|file| Path::new(folder).join(file))
    };
    let found = folders.iter().flat_map(files).find(|file| file.is_file());
    found.ok_or_else(|| Pkcs11Error::ModuleNotFound { name: name.clone(), folders })
}

/// The arch as Debian's folders of libraries have it.
fn triplet_arch() -> &'static str {
    match std::env::consts::ARCH {
        "powerpc64" if cfg!(target_endian = "little") => "powerpc64le",
        arch => arch,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_is_what_is_said_or_what_is_usual() {
        let usual = || Some(PathBuf::from("/usual.so"));
        let find = |text: &str, usual| find(&Uri::parse(text).unwrap(), usual);
        let given = "pkcs11:?module-path=/m.so&module-name=n";
        assert_eq!(find(given, usual()).unwrap(), Path::new("/m.so"));
        assert_eq!(find("pkcs11:", usual()).unwrap(), Path::new("/usual.so"));
        assert!(matches!(find("pkcs11:", None), Err(Pkcs11Error::NoModule)));
        let gone = find("pkcs11:?module-name=no-such-module", usual()).unwrap_err();
        assert!(gone.to_string().contains("/usr/lib/pkcs11"), "{gone}");
    }
}
