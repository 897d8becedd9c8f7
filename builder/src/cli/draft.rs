//! A large file on its way to where it belongs.

use std::fs::{File, Permissions};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use tempfile::{Builder, TempPath};

/// What names of drafts begin with, where they have one.
const PREFIX: &str = ".treelay-";
/// As any file that an editor makes; the umask takes its part.
const MODE: u32 = 0o666;

/// A file that has no name before it is complete, where the file system can do that (open(2),
/// `O_TMPFILE`): then nothing is left of it, however the program ends.
#[derive(Debug)]
pub struct Draft {
    file: File,
    folder: PathBuf,
    /// Its name, where it needs one.
    named: Option<TempPath>,
}

impl Draft {
    /// Begins a file that will be in `folder`.
    ///
    /// # Errors
    /// What kept it from being made.
    pub fn begin(folder: &Path) -> io::Result<Self> {
        let own = folder.to_owned();
        let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
        match rustix::fs::open(folder, flags, Mode::from_raw_mode(MODE)) {
            Ok(file) => Ok(Self { file: file.into(), folder: own, named: None }),
            Err(_) => Self::begin_named(folder),
        }
    }

    fn begin_named(folder: &Path) -> io::Result<Self> {
        let permissions = Permissions::from_mode(MODE);
        let file = Builder::new().prefix(PREFIX).permissions(permissions).tempfile_in(folder)?;
        let (file, named) = file.into_parts();
        Ok(Self { file, folder: folder.to_owned(), named: Some(named) })
    }

    /// The file, to be written.
    pub fn file(&mut self) -> &mut File {
        &mut self.file
    }

    /// Gives it its name; what had that before is replaced.
    ///
    /// # Errors
    /// What kept it from being synced or named.
    pub fn keep(self, to: &Path) -> io::Result<()> {
        self.file.sync_all()?;
        let named = match self.named {
            Some(named) => named,
            // No call gives a file without a name the name of another one.
            None => {
                let open = format!("/proc/self/fd/{}", self.file.as_raw_fd());
                let link = |path: &Path| {
                    let follow = AtFlags::SYMLINK_FOLLOW;
                    Ok(rustix::fs::linkat(CWD, &open, CWD, path, follow)?)
                };
                Builder::new().prefix(PREFIX).make_in(&self.folder, link)?.into_temp_path()
            }
        };
        Ok(named.persist(to)?)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn there_is_nothing_before_all_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let names = || -> Vec<_> {
            folder.path().read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect()
        };
        let to = folder.path().join("a");
        for (text, begin) in [
            ("one", Draft::begin as fn(&Path) -> _),
            ("two", Draft::begin_named),
            ("three", Draft::begin),
        ] {
            let before = names();
            let mut draft = begin(folder.path()).unwrap();
            draft.file().write_all(text.as_bytes()).unwrap();
            // A file system without unnamed files is where tests may run too.
            assert!(draft.named.is_some() || names() == before);
            drop(draft);
            assert_eq!(names(), before);
            let mut draft = begin(folder.path()).unwrap();
            draft.file().write_all(text.as_bytes()).unwrap();
            draft.keep(&to).unwrap();
            assert_eq!(names(), ["a"]);
            assert_eq!(std::fs::read_to_string(&to).unwrap(), text);
            // As a file that is made by other means.
            std::fs::write(folder.path().join("b"), "").unwrap();
            let mode = |name| folder.path().join(name).metadata().unwrap().permissions().mode();
            assert_eq!(mode("a"), mode("b"));
            std::fs::remove_file(folder.path().join("b")).unwrap();
        }
        assert!(Draft::begin(&folder.path().join("none")).is_err());
    }
}
