//! Files of a host, by their paths on that host.

use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Dir, Mode, OFlags, ResolveFlags, openat, openat2};

/// Longest file that is read, in bytes: no policy, key or configuration comes near it.
const LIMIT: u64 = 4 << 20;

/// Where a host's files are read from.
pub trait Files {
    /// The contents of a file.
    ///
    /// # Errors
    /// Whatever keeps it from being read; of kind `NotFound` where it is not there.
    fn read(&self, path: &str) -> io::Result<Vec<u8>>;

    /// The names in a directory, sorted; none where there is no such directory.
    ///
    /// # Errors
    /// Whatever keeps it from being read.
    fn list(&self, path: &str) -> io::Result<Vec<String>>;

    /// Whether something is there.
    fn exists(&self, path: &str) -> bool {
        !matches!(self.read(path), Err(error) if error.kind() == io::ErrorKind::NotFound)
    }

    /// The contents of a file as text.
    ///
    /// # Errors
    /// As [`Files::read`]; of kind `InvalidData` where it is no UTF-8.
    fn text(&self, path: &str) -> io::Result<String> {
        String::from_utf8(self.read(path)?)
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not text in UTF-8"))
    }
}

/// The files below a root: `/`, or that of a host that is mounted or being built. Symbolic links
/// are that host's: none leads out of the root.
#[derive(Debug, Clone)]
pub struct Root(PathBuf);

impl Root {
    /// Files below `root`.
    pub fn new(root: &Path) -> Self {
        Self(root.to_owned())
    }

    fn open(&self, path: &str, flags: OFlags) -> io::Result<OwnedFd> {
        let flags = flags | OFlags::CLOEXEC;
        let below = path.trim_start_matches('/');
        let below = if below.is_empty() { "." } else { below };
        let root = openat(CWD, &self.0, OFlags::PATH | OFlags::DIRECTORY, Mode::empty())?;
        match openat2(&root, below, flags, Mode::empty(), ResolveFlags::IN_ROOT) {
            // Kernels before 5.6 and some sandboxes do not have it. For the machine's own root it
            // makes no difference.
            Err(rustix::io::Errno::NOSYS) if self.0 == Path::new("/") => {
                Ok(openat(&root, below, flags, Mode::empty())?)
            }
            other => Ok(other?),
        }
    }
}

impl Files for Root {
    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        // Without waiting, should it be a pipe.
        let file = std::fs::File::from(self.open(path, OFlags::RDONLY | OFlags::NONBLOCK)?);
        if !file.metadata()?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no file"));
        }
        let mut bytes = Vec::new();
        file.take(LIMIT + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > LIMIT {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it is longer than 4 MiB"));
        }
        Ok(bytes)
    }

    fn list(&self, path: &str) -> io::Result<Vec<String>> {
        let folder = match self.open(path, OFlags::RDONLY | OFlags::DIRECTORY) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other?,
        };
        let mut names = Vec::new();
        for entry in Dir::read_from(&folder)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if name != "." && name != ".." {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// A host made of texts. A path that ends in `/` is a directory.
    #[derive(Debug, Clone, Default)]
    pub(in crate::hosts) struct Texts(pub(in crate::hosts) BTreeMap<String, Vec<u8>>);

    impl Texts {
        pub(in crate::hosts) fn with(mut self, path: &str, text: impl Into<Vec<u8>>) -> Self {
            self.0.insert(path.to_owned(), text.into());
            self
        }
    }

    impl Files for Texts {
        fn read(&self, path: &str) -> io::Result<Vec<u8>> {
            let below = format!("{path}/");
            if self.0.keys().any(|file| file.starts_with(&below)) {
                return Err(io::ErrorKind::InvalidInput.into());
            }
            self.0.get(path).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
        }

        fn list(&self, path: &str) -> io::Result<Vec<String>> {
            let below = format!("{path}/");
            let names = self.0.keys().filter_map(|file| file.strip_prefix(&below));
            let mut names: Vec<_> =
                names.map(|rest| rest.split('/').next().unwrap_or(rest).to_owned()).collect();
            names.retain(|name| !name.is_empty());
            names.dedup();
            Ok(names)
        }
    }

    #[test]
    fn links_stay_below_the_root() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        std::fs::create_dir_all(root.join("etc/d")).unwrap();
        std::fs::write(root.join("etc/real"), "inside").unwrap();
        std::fs::write(dir.path().join("outside"), "outside").unwrap();
        std::os::unix::fs::symlink("/etc/real", root.join("etc/d/link")).unwrap();
        std::os::unix::fs::symlink("../../../outside", root.join("etc/d/out")).unwrap();
        let files = Root::new(&root);
        assert_eq!(files.text("/etc/d/link").unwrap(), "inside");
        assert!(files.read("/etc/d/out").is_err());
        assert!(files.read("/etc/d").is_err());
        assert_eq!(files.list("/etc/d").unwrap(), ["link", "out"]);
        assert!(files.list("/gone").unwrap().is_empty());
        assert!(!files.exists("/etc/gone") && files.exists("/etc/d"));
    }
}
