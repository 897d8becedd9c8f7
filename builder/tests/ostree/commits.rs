//! Making commits.

use std::sync::atomic::Ordering;

use treelay::ostree_repo::{CommitSpec, OstreeError, Over, Repository};

use crate::fixture::{Fixture, SAMPLE, spec, tree, unpack};

const REF: &str = "treelay/go-sdk/aarch64";

#[test]
fn a_commit_is_the_one_that_ostree_makes() {
    for mode in ["archive", "bare-user", "bare-user-only"] {
        let (tree, contents) = tree(SAMPLE);
        let ours = if mode == "archive" { Fixture::new() } else { Fixture::with_mode(mode) };
        let outcome = ours.commit(&tree, &contents, &spec(REF)).unwrap();
        ours.ostree(&["fsck", "--quiet"]);
        assert_eq!(ours.ostree(&["rev-parse", REF]).trim(), outcome.checksum.hex());

        let theirs = Fixture::with_mode(mode);
        let root = theirs.dir.path().join("root");
        unpack(&tree, &contents, &root);
        let dir = format!("--tree=dir={}", root.display());
        theirs.ostree(&[
            "commit",
            "--branch=theirs",
            &dir,
            "--owner-uid=0",
            "--owner-gid=0",
            "--no-xattrs",
            "--subject=go-sdk 1.27.3",
            "--timestamp=@1700000000",
            "--no-bindings",
            "--bind-ref=treelay/go-sdk/aarch64",
            "--add-metadata-string=io.github.sdk.lang=go",
            "--add-metadata-string=ostree.architecture=aarch64",
            "--add-metadata-string=version=1.27.3",
        ]);
        let shown = theirs.ostree(&["show", "theirs"]);
        let content = format!("ContentChecksum:  {}", outcome.content_checksum.hex());
        assert!(shown.contains(&content), "{mode}: {shown}");
        // All but the commit, whose metadata are in another order.
        let but_commits = |fixture: &Fixture| -> Vec<String> {
            fixture.objects().into_iter().filter(|name| !name.ends_with(".commit")).collect()
        };
        assert_eq!(but_commits(&ours), but_commits(&theirs), "{mode}");
    }
}

#[test]
fn owners_modes_and_attributes_are_kept() {
    let (tree, contents) = tree(
        "d 2750 7 8 srv
         f 4755 1000 1001 srv/tool =x
         x security.capability abc
         x user.note hi
         l 0777 3 4 srv/link -> tool
         f 0644 0 0 srv/big *2000000
         x user.note hi",
    );
    for mode in ["archive", "bare-user"] {
        let fixture = Fixture::with_mode(mode);
        let outcome = fixture.commit(&tree, &contents, &spec(REF)).unwrap();
        fixture.ostree(&["fsck", "--quiet"]);
        let listed = fixture.ostree(&["ls", "-R", "-X", REF]);
        for line in [
            "d02750 7 8      0 { @a(ayay) [] } /srv",
            "-04755 1000 1001      1 { [(b'security.capability', [byte 0x61, 0x62, 0x63]), \
             (b'user.note', [0x68, 0x69])] } /srv/tool",
            "l00777 3 4      0 { @a(ayay) [] } /srv/link -> tool",
        ] {
            assert!(listed.contains(line), "{mode}: no {line:?} in\n{listed}");
        }
        assert!(outcome.written.is_some_and(|written| written.made == 3));
    }
}

#[test]
fn metadata_are_written_as_they_are_read() {
    let (tree, contents) = tree(SAMPLE);
    let fixture = Fixture::new();
    let mut spec = spec(REF);
    spec.collection = Some("org.example.Sdk".to_owned());
    fixture.commit(&tree, &contents, &spec).unwrap();
    for (key, value) in [
        ("version", "'1.27.3'"),
        ("ostree.architecture", "'aarch64'"),
        ("ostree.ref-binding", "['treelay/go-sdk/aarch64']"),
        ("ostree.collection-binding", "'org.example.Sdk'"),
        ("io.github.sdk.lang", "'go'"),
    ] {
        let shown = fixture.ostree(&["show", &format!("--print-metadata-key={key}"), REF]);
        assert_eq!(shown.trim(), value, "{key}");
    }
    assert!(fixture.ostree(&["summary", "--view"]).contains(REF));
}

#[test]
fn the_same_again_is_no_new_commit_and_reads_nothing() {
    let (tree, contents) = tree(SAMPLE);
    let fixture = Fixture::new();
    let first = fixture.commit(&tree, &contents, &spec(REF)).unwrap();
    contents.read.store(0, Ordering::Relaxed);
    let mut later = spec(REF);
    later.epoch += 1000;
    let again = fixture.commit(&tree, &contents, &later).unwrap();
    assert_eq!((again.written, again.checksum), (None, first.checksum));
    assert_eq!(contents.read.load(Ordering::Relaxed), 0);

    // A memory that is lost costs reading, nothing else.
    let objects = fixture.objects();
    let forgetful = Fixture { memory: Default::default(), ..fixture };
    let again = forgetful.commit(&tree, &contents, &spec(REF)).unwrap();
    assert_eq!((again.written, again.checksum), (None, first.checksum));
    assert_eq!(forgetful.objects(), objects);
}

#[test]
fn what_changed_is_a_child_that_is_later() {
    let (tree, contents) = tree(SAMPLE);
    let fixture = Fixture::new();
    let first = fixture.commit(&tree, &contents, &spec(REF)).unwrap();
    assert_eq!((first.time, first.parent), (1_700_000_000, None));
    contents.read.store(0, Ordering::Relaxed);

    let mut other = spec(REF);
    other.version = Some("1.27.4".to_owned());
    let second = fixture.commit(&tree, &contents, &other).unwrap();
    assert_eq!((second.time, second.parent), (1_700_000_001, Some(first.checksum)));
    assert_eq!(second.content_checksum, first.content_checksum);
    assert_eq!(contents.read.load(Ordering::Relaxed), 0, "its objects were there");

    other.epoch = 1_800_000_000;
    let (changed, contents) = crate::fixture::tree(&SAMPLE.replace("=hello", "=hello again"));
    let third = fixture.commit(&changed, &contents, &other).unwrap();
    assert_eq!((third.time, third.parent), (1_800_000_000, Some(second.checksum)));
    assert_eq!(third.written.map(|written| (written.made, written.read)), Some((1, 11)));
    fixture.ostree(&["fsck", "--quiet"]);
}

#[test]
fn nothing_is_seen_of_a_run_that_fails() {
    let (tree, mut contents) = tree(SAMPLE);
    for broken in [b"hello".as_slice(), &[0; 3_000_000][..]] {
        let fixture = Fixture::new();
        let digest = tree
            .entries()
            .iter()
            .filter_map(|entry| entry.file())
            .find_map(|file| (file.1 == broken.len() as u64).then_some(*file.0));
        let good = contents.bytes.insert(digest.unwrap(), vec![b'!'; broken.len()]).unwrap();
        let error = fixture.commit(&tree, &contents, &spec(REF)).unwrap_err();
        assert!(matches!(error, OstreeError::WrongContent { .. }), "{error}");
        contents.bytes.remove(&digest.unwrap());
        let error = fixture.commit(&tree, &contents, &spec(REF)).unwrap_err();
        assert!(matches!(error, OstreeError::Content { .. }), "{error}");
        contents.bytes.insert(digest.unwrap(), good);
        assert_eq!(fixture.objects(), Vec::<String>::new());
        assert_eq!(fixture.ostree(&["refs"]), "");
        fixture.commit(&tree, &contents, &spec(REF)).unwrap();
        fixture.ostree(&["fsck", "--quiet"]);
        let left = std::fs::read_dir(fixture.path().join("tmp")).unwrap();
        let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
        assert!(left.iter().all(|name| !name.to_str().unwrap().starts_with("treelay-")));
    }
}

#[test]
fn what_a_killed_run_left_is_removed() {
    let (tree, contents) = tree(SAMPLE);
    let fixture = Fixture::with_mode("archive");
    let tmp = fixture.path().join("tmp");
    let left = tmp.join("treelay-1-0");
    std::fs::create_dir_all(left.join("a")).unwrap();
    std::fs::write(left.join("lock"), "").unwrap();
    std::fs::write(left.join("a/half"), "half").unwrap();
    std::fs::create_dir(tmp.join("staging-another-boot-xyz")).unwrap();
    fixture.commit(&tree, &contents, &spec(REF)).unwrap();
    assert!(!left.exists());

    // One that is in use is left alone.
    let repository = Repository::open_or_create(&fixture.path()).unwrap();
    let mut other = repository.begin(1);
    let mut changed = spec("other");
    changed.metadata.clear();
    other.write_commit(&tree, &Over::default(), &contents, &(), &changed, &|_| {}).unwrap();
    let (changed, contents) = crate::fixture::tree(&SAMPLE.replace("=hello", "=hello again"));
    fixture.commit(&changed, &contents, &spec(REF)).unwrap();
    assert_eq!(other.finish().unwrap().refs, ["other"]);
    fixture.ostree(&["fsck", "--quiet"]);
}

#[test]
fn several_commits_become_visible_together() {
    let (tree, contents) = tree(SAMPLE);
    let fixture = Fixture::new();
    let repository = Repository::open_or_create(&fixture.path()).unwrap();
    let mut run = repository.begin(2);
    let mut read = Vec::new();
    for refname in ["a/x86_64", "a/aarch64"] {
        let done = run
            .write_commit(&tree, &Over::default(), &contents, &(), &spec(refname), &|_| {})
            .unwrap();
        read.push(done.written.unwrap().read);
        assert!(repository.refs().unwrap().is_empty());
    }
    assert_eq!(read[1], 0, "the second has the first one's objects");
    let twice =
        run.write_commit(&tree, &Over::default(), &contents, &(), &spec("a/x86_64"), &|_| {});
    assert!(matches!(twice, Err(OstreeError::RefTwice(_))));
    assert_eq!(run.finish().unwrap().refs, ["a/x86_64", "a/aarch64"]);
    assert_eq!(repository.refs().unwrap().len(), 2);
    fixture.ostree(&["fsck", "--quiet"]);
}

#[test]
fn a_ref_that_moved_meanwhile_is_left_alone() {
    let (tree, contents) = tree(SAMPLE);
    let fixture = Fixture::new();
    let repository = Repository::open_or_create(&fixture.path()).unwrap();
    let mut run = repository.begin(2);
    run.write_commit(&tree, &Over::default(), &contents, &(), &spec(REF), &|_| {}).unwrap();
    let version = Some("2".to_owned());
    let other = fixture.commit(&tree, &contents, &CommitSpec { version, ..spec(REF) }).unwrap();
    assert!(matches!(run.finish(), Err(OstreeError::Moved(_))));
    assert_eq!(repository.resolve(REF).unwrap(), other.checksum);
    fixture.ostree(&["fsck", "--quiet"]);
}

#[test]
fn a_ref_that_somebody_moved_to_the_same_commit_is_right() {
    let (tree, contents) = tree(SAMPLE);
    let fixture = Fixture::new();
    let repository = Repository::open_or_create(&fixture.path()).unwrap();
    let mut run = repository.begin(2);
    let mine =
        run.write_commit(&tree, &Over::default(), &contents, &(), &spec(REF), &|_| {}).unwrap();
    let other = fixture.commit(&tree, &contents, &spec(REF)).unwrap();
    assert_eq!(run.finish().unwrap().refs, [REF]);
    assert_eq!(mine.checksum, other.checksum);
    assert_eq!(repository.resolve(REF).unwrap(), other.checksum);
    fixture.ostree(&["fsck", "--quiet"]);
}

#[test]
fn what_cannot_be_written_is_refused_with_the_reason() {
    let (tree, contents) = tree("f 0644 7 0 a =x");
    let refused = |fixture: &Fixture, refname: &str| {
        fixture.commit(&tree, &contents, &spec(refname)).unwrap_err().to_string()
    };
    let file = Fixture::new();
    std::fs::write(file.path(), "").unwrap();
    assert!(refused(&file, REF).contains("is not a directory"));
    let other = Fixture::new();
    std::fs::create_dir_all(other.path().join("src")).unwrap();
    assert!(refused(&other, REF).contains("is not empty and has no objects"));
    assert!(other.path().join("src").exists() && !other.path().join("objects").exists());
    let interrupted = Fixture::new();
    std::fs::create_dir_all(interrupted.path().join("tmp")).unwrap();
    std::fs::write(interrupted.path().join("tmp.a1B2c3"), "[core]\n").unwrap();
    assert!(refused(&interrupted, "a:b").contains("colon"));
    assert!(refused(&interrupted, "../b").contains("cannot be a ref"));
    assert!(refused(&interrupted, &"0".repeat(64)).contains("checksum"));
    let plain = Fixture::with_mode("bare-user-only");
    assert!(refused(&plain, REF).contains("cannot hold /a, because it has an owner"));
    let split = Fixture::with_mode("bare-split-xattrs");
    assert!(refused(&split, REF).contains("use archive or bare-user"));
    let mut taken = spec(REF);
    taken.metadata.insert("ostree.bootable".to_owned(), "x".to_owned());
    let error = interrupted.commit(&tree, &contents, &taken).unwrap_err();
    assert!(matches!(error, OstreeError::ReservedKey(_)), "{error}");
}
