//! Kits in folders: what an older one wrote is taken away, and nothing else.

use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use cap_std::fs::{Dir, Permissions};
use treelay_recipes::Digest;

use crate::hosts::kit::{KitFile, LIST, listed};

/// Why a kit is not written; nothing was changed then.
#[derive(Debug, thiserror::Error)]
pub enum NotWritten {
    /// Not ours to write into.
    #[error("{0} has files that are no kit: give a folder that is new or empty, or has a kit")]
    NoKit(PathBuf),
    /// Somebody else's, or changed since.
    #[error("{0} is not as the kit that is there has it: move it away")]
    Changed(PathBuf),
    /// The system said no.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Writes the files of a kit into a folder that is new or empty, or has a kit: its list says which
/// files are that one's. Those are replaced one by one, or removed where the new kit has not got them.
///
/// # Errors
/// [`NotWritten`].
pub fn kit(folder: &Path, files: &[KitFile]) -> Result<(), NotWritten> {
    std::fs::create_dir_all(folder)?;
    // No link leads out of it.
    let dir = Dir::open_ambient_dir(folder, cap_std::ambient_authority())?;
    let old = match dir.read_to_string(LIST) {
        Ok(text) => listed(&text).ok_or_else(|| NotWritten::NoKit(folder.to_owned()))?,
        Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
        Err(error) if error.kind() == ErrorKind::InvalidData => {
            return Err(NotWritten::NoKit(folder.to_owned()));
        }
        Err(error) => return Err(error.into()),
    };
    if old.is_empty() && dir.entries()?.next().is_some() {
        return Err(NotWritten::NoKit(folder.to_owned()));
    }
    // Everything is looked at before anything is changed.
    let known = |path: &str| old.iter().find(|(_, listed)| listed == path);
    let paths = old.iter().map(|(_, path)| path.as_str());
    for path in paths.chain(files.iter().map(|file| file.path.as_str())).filter(|it| *it != LIST) {
        let is = match dir.read(path) {
            Ok(bytes) => Digest::of(&bytes),
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(error.into()),
        };
        if known(path).is_none_or(|(digest, _)| *digest != is) {
            return Err(NotWritten::Changed(folder.join(path)));
        }
    }
    // What an older kit had for other keys or scopes would be installed by nobody, and read by all.
    for (_, path) in old.iter().filter(|(_, path)| files.iter().all(|file| file.path != *path)) {
        match dir.remove_file(path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        // One that is not empty stays, with all above it.
        let above = Path::new(path).ancestors().skip(1).filter(|it| !it.as_os_str().is_empty());
        let _ = above.map(|above| dir.remove_dir(above)).find(Result::is_err);
    }
    for file in files {
        if let Some(above) = Path::new(&file.path).parent() {
            dir.create_dir_all(above)?;
        }
        let mut temporary = cap_tempfile::TempFile::new(&dir)?;
        temporary.write_all(&file.bytes)?;
        let mode = Permissions::from_std(std::fs::Permissions::from_mode(file.mode));
        temporary.as_file().set_permissions(mode)?;
        temporary.replace(&file.path)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use treelay_signing::{KeyKind, SecretKey};

    use super::*;
    use crate::hosts::kit::{KitOptions, make};

    fn files(scope: &str) -> Vec<KitFile> {
        let key = SecretKey::generate(KeyKind::EcdsaP256).unwrap().public().clone();
        let scopes = vec![scope.to_owned()];
        make(&KitOptions { scopes, keys: vec![key], ..KitOptions::default() }).unwrap().files
    }

    #[test]
    fn only_what_a_kit_wrote_is_replaced_or_removed() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("kit");
        let (first, second) = (files("h.example/a"), files("o.example"));
        kit(&folder, &first).unwrap();
        std::fs::write(folder.join("etc/containers/notes"), "mine").unwrap();
        std::fs::create_dir_all(folder.join("etc/mine")).unwrap();
        kit(&folder, &second).unwrap();
        for file in &first {
            let stays = second.iter().any(|other| other.path == file.path);
            assert_eq!(folder.join(&file.path).exists(), stays, "{}", file.path);
        }
        assert!(second.iter().all(|it| std::fs::read(folder.join(&it.path)).unwrap() == it.bytes));
        assert_eq!(std::fs::read(folder.join("etc/containers/notes")).unwrap(), b"mine");
        assert!(folder.join("etc/mine").is_dir());
        // What somebody changed, or put in the place of a new file, is not lost.
        for path in ["README.txt", first[1].path.as_str()] {
            let old = std::fs::read(folder.join(path)).ok();
            std::fs::write(folder.join(path), "changed").unwrap();
            let refused = kit(&folder, &first).unwrap_err();
            assert!(matches!(&refused, NotWritten::Changed(it) if it.ends_with(path)), "{refused}");
            assert_eq!(std::fs::read(folder.join(path)).unwrap(), b"changed");
            assert!(second.iter().all(|it| folder.join(&it.path).exists()));
            match old {
                Some(old) => std::fs::write(folder.join(path), old).unwrap(),
                None => std::fs::remove_file(folder.join(path)).unwrap(),
            }
        }
        kit(&folder, &first).unwrap();
    }

    #[test]
    fn names_of_files_make_no_kit() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path();
        std::fs::create_dir(folder.join("etc")).unwrap();
        for name in ["install.sh", "README.txt", "etc/passwd"] {
            std::fs::write(folder.join(name), "mine").unwrap();
        }
        for list in [None, Some("no list"), Some(""), Some("0 ../x\n")] {
            if let Some(list) = list {
                std::fs::write(folder.join(LIST), list).unwrap();
            }
            let refused = kit(folder, &files("h.example")).unwrap_err();
            assert!(matches!(refused, NotWritten::NoKit(_)), "{refused}");
            assert_eq!(std::fs::read(folder.join("etc/passwd")).unwrap(), b"mine");
        }
    }
}
