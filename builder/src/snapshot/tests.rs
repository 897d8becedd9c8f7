use std::collections::BTreeSet;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::time::{Duration, SystemTime};

use rustix::fs::{CWD, FileType, Mode, mknodat};

use super::*;

/// A time long after all files of a test.
fn later() -> SystemTime {
    SystemTime::now() + Duration::from_secs(3600)
}

fn text(dir: &Path, jobs: usize) -> String {
    snapshot_dir(dir, &NoCache, jobs).unwrap().tree.to_text()
}

fn refusal(dir: &Path) -> String {
    snapshot_dir(dir, &NoCache, 2).unwrap_err().to_string()
}

fn tree_of(names: &[&str]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for name in names {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, name).unwrap();
    }
    dir
}

#[test]
fn says_what_is_there_as_it_is() {
    let dir = tree_of(&["b/file", "a-b", "a/x"]);
    let path = dir.path();
    symlink("../../outside", path.join("b/link")).unwrap();
    fs::hard_link(path.join("b/file"), path.join("b/twin")).unwrap();
    fs::create_dir(path.join("empty")).unwrap();
    for (name, mode) in [
        ("a", 0o700),
        ("b", 0o755),
        ("empty", 0o1777),
        ("b/file", 0o4711),
        ("a-b", 0o600),
        ("a/x", 0o664),
    ] {
        fs::set_permissions(path.join(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    let hex = |content: &str| format!("{} {}", content.len(), Digest::of(content).hex());
    let (file, a_b, x) = (hex("b/file"), hex("a-b"), hex("a/x"));
    let expected = format!(
        "d 0700 0 0 a\nf 0600 0 0 {a_b} a-b\nf 0664 0 0 {x} a/x\nd 0755 0 0 b\n\
         f 4711 0 0 {file} b/file\nl 0777 0 0 b/link -> ../../outside\n\
         f 4711 0 0 {file} b/twin\nd 1777 0 0 empty\n"
    );
    assert_eq!(text(path, 1), expected);
    assert_eq!(text(path, 3), expected);
}

#[test]
fn neither_order_nor_threads_matter() {
    let names: Vec<String> = (0..300).map(|n| format!("d{}/e{}/f{n}", n % 7, n % 3)).collect();
    let forward: Vec<&str> = names.iter().map(String::as_str).collect();
    let backward: Vec<&str> = names.iter().rev().map(String::as_str).collect();
    let (one, two) = (tree_of(&forward), tree_of(&backward));
    let expected = text(one.path(), 1);
    assert_eq!(expected.lines().count(), 300 + 7 + 21);
    for jobs in [1, 2, 5] {
        assert_eq!(text(two.path(), jobs), expected, "{jobs} threads");
    }
}

#[test]
fn unchanged_files_are_not_read_and_changed_ones_are() {
    let dir = tree_of(&["a", "b", "c/d"]);
    let store = tempfile::tempdir().unwrap();
    let file = store.path().join(StatFile::name_for(dir.path()));
    let take = |now| snapshot_dir(dir.path(), &StatFile::load(&file, now), 2).unwrap();
    let first = take(later());
    assert_eq!(first.work, Work { files: 3, hashed_files: 3, hashed_bytes: 5 });
    let second = take(later());
    assert_eq!(second.work, Work { files: 3, hashed_files: 0, hashed_bytes: 0 });
    assert_eq!(second.tree, first.tree);
    // Another content of the same length, with the old modification time put back.
    let old = fs::metadata(dir.path().join("b")).unwrap().modified().unwrap();
    std::thread::sleep(Duration::from_millis(15));
    fs::write(dir.path().join("b"), "B").unwrap();
    fs::File::options().write(true).open(dir.path().join("b")).unwrap().set_modified(old).unwrap();
    let third = take(later());
    assert_eq!(third.work.hashed_files, 1);
    assert_eq!(third.tree.get("b").unwrap().file().unwrap().0, &Digest::of("B"));
    // A removed file is forgotten.
    fs::remove_file(dir.path().join("a")).unwrap();
    assert_eq!(take(later()).work.hashed_files, 0);
    assert_eq!(StatFile::load(&file, later()).len(), 2);
}

#[test]
fn what_is_too_fresh_is_read_again() {
    let dir = tree_of(&["a"]);
    let store = tempfile::tempdir().unwrap();
    let file = store.path().join("stats");
    // The run began before the file was written.
    let before = SystemTime::now() - Duration::from_secs(60);
    for _ in 0..2 {
        let taken = snapshot_dir(dir.path(), &StatFile::load(&file, before), 1).unwrap();
        assert_eq!(taken.work.hashed_files, 1);
    }
}

#[test]
fn contents_come_from_the_files_themselves() {
    let dir = tree_of(&["x/same", "x/other"]);
    fs::copy(dir.path().join("x/same"), dir.path().join("x/twin")).unwrap();
    let snapshot = snapshot_dir(dir.path(), &NoCache, 1).unwrap();
    let read = |content: &str| {
        let mut text = String::new();
        let mut file = snapshot.open(&Digest::of(content), content.len() as u64)?;
        file.read_to_string(&mut text).map(|_| text)
    };
    assert_eq!(read("x/same").unwrap(), "x/same");
    assert_eq!(read("x/other").unwrap(), "x/other");
    assert_eq!(read("nowhere").unwrap_err().kind(), io::ErrorKind::NotFound);
    fs::write(dir.path().join("x/other"), "longer than before").unwrap();
    let error = read("x/other").unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    assert!(error.to_string().contains("x/other"), "{error}");
    // A link put in the file's place cannot lead outside.
    fs::remove_file(dir.path().join("x/other")).unwrap();
    symlink("/etc/passwd", dir.path().join("x/other")).unwrap();
    assert!(read("x/other").is_err());
}

#[test]
fn refuses_what_no_layer_can_hold() {
    let special = |kind: FileType| {
        let dir = tree_of(&["sub/ok"]);
        let path = dir.path().join("sub/odd");
        mknodat(CWD, &path, kind, Mode::RUSR, 0).unwrap();
        (refusal(dir.path()), path.display().to_string())
    };
    let (error, path) = special(FileType::Fifo);
    assert_eq!(error, format!("{path} is a FIFO, which cannot be in a layer"));
    let (error, path) = special(FileType::Socket);
    assert_eq!(error, format!("{path} is a socket, which cannot be in a layer"));

    let dir = tree_of(&["sub/ok"]);
    fs::write(dir.path().join("sub").join(std::ffi::OsStr::from_bytes(b"caf\xe9")), "").unwrap();
    assert!(refusal(dir.path()).ends_with("sub/caf\u{fffd} has a name that is not UTF-8"));

    let dir = tree_of(&["ok"]);
    symlink(std::ffi::OsStr::from_bytes(b"caf\xe9"), dir.path().join("link")).unwrap();
    assert!(refusal(dir.path()).ends_with("/link is a link to a path that is not UTF-8"));
}

#[test]
fn a_source_must_be_there_and_of_its_kind() {
    let dir = tree_of(&["file"]);
    let path = dir.path();
    let (file, none) = (path.join("file"), path.join("none"));
    symlink(path, path.join("link")).unwrap();
    assert!(snapshot_dir(&path.join("link"), &NoCache, 1).is_ok());
    assert!(
        matches!(snapshot_dir(&none, &NoCache, 1), Err(SnapshotError::NotThere(p)) if p == none)
    );
    assert!(
        matches!(snapshot_dir(&file, &NoCache, 1), Err(SnapshotError::NotADirectory(p)) if p == file)
    );
    assert!(matches!(snapshot_file(&none, &NoCache), Err(SnapshotError::NotThere(p)) if p == none));
    assert!(matches!(snapshot_file(path, &NoCache), Err(SnapshotError::NotAFile(p)) if p == path));
    for kind in [FileType::Fifo, FileType::Socket] {
        let odd = path.join(format!("{kind:?}"));
        mknodat(CWD, &odd, kind, Mode::RUSR, 0).unwrap();
        assert!(
            matches!(snapshot_file(&odd, &NoCache), Err(SnapshotError::NotAFile(p)) if p == odd)
        );
    }
}

#[test]
fn single_files() {
    let dir = tree_of(&["file"]);
    let path = dir.path().join("file");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let stats = dir.path().join("stats");
    let taken = snapshot_file(&path, &StatFile::load(&stats, later())).unwrap();
    let expected = FileSnapshot { path, digest: Digest::of("file"), size: 4, mode: 0o640 };
    assert_eq!(taken, expected);
    // From the cache: the same, though the digest there is a made-up one.
    let cache = StatFile::load(&stats, later());
    let key = StatKey::of(&rustix::fs::stat(&taken.path).unwrap());
    cache.store(vec![(key, Digest::of("made up"))]).unwrap();
    let cached = snapshot_file(&taken.path, &StatFile::load(&stats, later())).unwrap();
    assert_eq!(cached.digest, Digest::of("made up"));
    let mut read = String::new();
    taken.open(&taken.digest, 4).unwrap().read_to_string(&mut read).unwrap();
    assert_eq!(read, "file");
}

#[test]
fn equal_contents_are_found_once() {
    let dir = tree_of(&["one", "two"]);
    fs::write(dir.path().join("three"), "one").unwrap();
    let snapshot = snapshot_dir(dir.path(), &NoCache, 1).unwrap();
    let digests: BTreeSet<_> = snapshot.tree.entries().iter().filter_map(Entry::file).collect();
    assert_eq!(digests.len(), 2);
    for (digest, _) in digests {
        assert_eq!(snapshot.find(digest).unwrap().file().unwrap().0, digest);
    }
    assert!(snapshot.find(&Digest::of("three")).is_none());
}
