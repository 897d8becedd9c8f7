//! Commits over a base.

use std::collections::BTreeMap;

use treelay::ostree_repo::{Bootable, CommitSpec, OstreeError, Over, Repository, Rules};
use treelay_recipes::Digest;

use crate::fixture::{Fixture, run, spec, tree};

const BASE_REF: &str = "os/aarch64";
const REF: &str = "ours/aarch64";

/// What a host boots, with owners, attributes, an empty directory and content of two sizes.
const BASE: &str = "
    d 0755 0 0 usr
    x security.selinux system_u:object_r:usr_t:s0
    d 0755 0 0 usr/bin
    x security.selinux system_u:object_r:bin_t:s0
    f 0755 0 0 usr/bin/ping =ping
    x security.capability abc
    f 0755 0 0 usr/bin/sh =sh
    x security.selinux system_u:object_r:shell_exec_t:s0
    d 0755 0 0 usr/etc
    f 0600 0 42 usr/etc/shadow =secret
    d 0755 0 0 usr/lib
    l 0777 0 0 usr/lib/link -> ../bin
    d 0755 0 0 usr/lib/modules
    d 0755 0 0 usr/lib/modules/6.1.0-44
    f 0600 0 0 usr/lib/modules/6.1.0-44/vmlinuz *2000000
    f 0644 0 0 usr/lib/os-release =ID=debian\\nPRETTY_NAME=x
    d 0755 0 0 usr/share
    d 2775 0 50 usr/share/empty
    d 0755 0 0 usr/share/doc
    f 0644 0 0 usr/share/doc/a =a
    f 0644 0 0 usr/share/doc/b =b
    d 0755 0 0 sysroot
    d 1777 0 0 tmp";

const LAYERS: &str = "
    d 0755 0 0 usr
    d 0755 0 0 usr/bin
    f 0755 0 0 usr/bin/go *1500000
    f 0755 0 0 usr/bin/sh =other
    d 0755 0 0 usr/etc
    d 0700 7 8 usr/etc/new
    f 0644 0 0 usr/etc/new/x =x";

/// What comes of one over the other.
const UNION: &str = "
    d 0755 0 0 usr
    x security.selinux system_u:object_r:usr_t:s0
    d 0755 0 0 usr/bin
    x security.selinux system_u:object_r:bin_t:s0
    f 0755 0 0 usr/bin/go *1500000
    f 0755 0 0 usr/bin/ping =ping
    x security.capability abc
    f 0755 0 0 usr/bin/sh =other
    d 0755 0 0 usr/etc
    d 0700 7 8 usr/etc/new
    f 0644 0 0 usr/etc/new/x =x
    f 0600 0 42 usr/etc/shadow =secret
    d 0755 0 0 usr/lib
    l 0777 0 0 usr/lib/link -> ../bin
    d 0755 0 0 usr/lib/modules
    d 0755 0 0 usr/lib/modules/6.1.0-44
    f 0600 0 0 usr/lib/modules/6.1.0-44/vmlinuz *2000000
    f 0644 0 0 usr/lib/os-release =ID=debian\\nPRETTY_NAME=x
    d 0755 0 0 usr/share
    d 2775 0 50 usr/share/empty
    d 0755 0 0 usr/share/doc
    f 0644 0 0 usr/share/doc/b =b
    d 0755 0 0 sysroot
    d 1777 0 0 tmp";

/// A base as a distribution would commit it; its checksum.
fn base(fixture: &Fixture, text: &str) -> Digest {
    let (tree, contents) = tree(text);
    let spec = CommitSpec {
        version: Some("12.7".to_owned()),
        epoch: 1_710_000_000,
        metadata: BTreeMap::new(),
        ..spec(BASE_REF)
    };
    fixture.commit(&tree, &contents, &spec).unwrap().checksum
}

fn rules() -> Rules {
    Rules::new(["/usr/share/doc/a"], [])
}

#[test]
fn a_merged_commit_is_that_of_the_union() {
    let (union, contents) = tree(UNION);
    let alone = Fixture::new();
    let expected = alone.commit(&union, &contents, &spec(REF)).unwrap().content_checksum;
    for (of_base, mode) in [
        ("archive", "archive"),
        ("bare-user", "archive"),
        ("archive", "bare-user"),
        ("bare-user", "bare-user"),
    ] {
        let below = Fixture::with_mode(of_base);
        let checksum = base(&below, BASE);
        let fixture = Fixture::with_mode(mode);
        let (layers, contents) = tree(LAYERS);
        let below = Repository::open(&below.path()).unwrap();
        let lower = below.base(&checksum).unwrap();
        let over = Over { base: Some(&lower), rules: rules(), ..Over::default() };
        let outcome = fixture.commit_over(&over, &layers, &contents, &spec(REF)).unwrap();
        assert_eq!(outcome.content_checksum, expected, "{of_base} {mode}");
        assert_eq!(outcome.kernel.as_deref(), Some("6.1.0-44"));
        let written = outcome.written.unwrap();
        assert_eq!((written.made, written.unused.len()), (3, 0), "{of_base} {mode}");
        fixture.ostree(&["fsck", "--quiet"]);
        // The base is there with all it has, for the next commit to find.
        assert!(Repository::open(&fixture.path()).unwrap().has_whole(&checksum));
        assert_eq!(fixture.ostree(&["refs"]).trim(), REF);
        let listed = fixture.ostree(&["ls", "-R", "-X", REF, "/usr/bin"]);
        for line in [
            // The label begins with `sys`.
            "d00755 0 0      0 { [(b'security.selinux', [byte 0x73, 0x79, 0x73, ",
            "-00755 0 0      4 { [(b'security.capability', [byte 0x61, 0x62, 0x63])] } /usr/bin/ping",
            "-00755 0 0      5 { @a(ayay) [] } /usr/bin/sh",
        ] {
            assert!(listed.contains(line), "no {line:?} in\n{listed}");
        }
        for (key, value) in [
            ("ostree.bootable", "true"),
            ("ostree.linux", "'6.1.0-44'"),
            ("version", "'1.27.3'"),
            ("treelay.base", &format!("'{}'", checksum.hex())),
            ("treelay.base.version", "'12.7'"),
        ] {
            let key = format!("--print-metadata-key={key}");
            assert_eq!(fixture.ostree(&["show", &key, REF]).trim(), value, "{key}");
        }
        // The base's own time is later than the epoch.
        assert_eq!(outcome.time, 1_710_000_000);
        if mode == of_base && mode == "archive" {
            same_inode(below.path(), &fixture.path());
        }

        // Checked out, it is the union.
        let dir = fixture.dir.path().join("out");
        let repo = format!("--repo={}", fixture.path().display());
        let mut checkout = std::process::Command::new("ostree");
        run(checkout.args(["checkout", "--user-mode", &repo, REF]).arg(&dir));
        assert_eq!(std::fs::read(dir.join("usr/etc/shadow")).unwrap(), b"secret");
        assert!(dir.join("usr/share/empty").is_dir() && !dir.join("usr/share/doc/a").exists());

        // Again: nothing to do.
        let again = fixture.commit_over(&over, &layers, &contents, &spec(REF)).unwrap();
        assert_eq!((again.checksum, again.written), (outcome.checksum, None));
    }
}

/// Files are taken over as they are, not copied.
fn same_inode(one: &std::path::Path, other: &std::path::Path) {
    use std::os::unix::fs::MetadataExt;
    let big = |repo: &std::path::Path| {
        let mut files = Vec::new();
        for dir in std::fs::read_dir(repo.join("objects")).unwrap() {
            for file in std::fs::read_dir(dir.unwrap().path()).unwrap() {
                let file = file.unwrap();
                if file.path().extension().is_some_and(|ext| ext == "filez") {
                    files.push(file.metadata().unwrap().ino());
                }
            }
        }
        files.sort();
        files
    };
    let (one, other) = (big(one), big(other));
    assert!(!one.is_empty() && one.iter().all(|file| other.contains(file)));
}

#[test]
fn a_base_in_the_same_repository_is_not_touched() {
    let fixture = Fixture::new();
    let checksum = base(&fixture, BASE);
    let before = fixture.objects();
    let (layers, contents) = tree(LAYERS);
    let repository = Repository::open(&fixture.path()).unwrap();
    let lower = repository.base(&checksum).unwrap();
    let over = Over { base: Some(&lower), rules: rules(), ..Over::default() };
    let outcome = fixture.commit_over(&over, &layers, &contents, &spec(REF)).unwrap();
    fixture.ostree(&["fsck", "--quiet"]);
    let after = fixture.objects();
    let new = after.iter().filter(|object| !before.contains(object)).count();
    // Three files; the root, /usr, /usr/bin, /usr/etc, /usr/etc/new (with its dirmeta), /usr/share
    // and /usr/share/doc; the commit.
    assert_eq!(new, 3 + 7 + 1 + 1, "{after:?}");
    // A later one is newer, whatever the epoch.
    let mut again = spec(REF);
    again.version = Some("2".to_owned());
    let next = fixture.commit_over(&over, &layers, &contents, &again).unwrap();
    assert_eq!((next.parent, next.time), (Some(outcome.checksum), outcome.time + 1));
}

#[test]
fn what_no_host_could_boot_is_refused() {
    let below = Fixture::new();
    let bootable = base(&below, BASE);
    let plain = Fixture::new();
    let other = base(&plain, "d 0755 0 0 usr\n    f 0644 0 0 usr/x =x");
    let (empty, contents) = tree("d 0755 0 0 usr");
    let kernel = "d 0755 0 0 usr\n    d 0755 0 0 usr/lib\n    d 0755 0 0 usr/lib/modules\n    \
                  d 0755 0 0 usr/lib/modules/9\n    f 0644 0 0 usr/lib/modules/9/vmlinuz =k";
    let etc = "d 0755 0 0 etc\n    f 0644 0 0 etc/x =x";
    let release = "d 0755 0 0 usr\n    d 0755 0 0 usr/lib\n    f 0644 0 0 usr/lib/os-release =ID=x";
    let auto = Bootable::Auto;
    for (of, layers, remove, wanted, expected) in [
        (&below, "d 0755 0 0 usr", &[][..], auto, Ok(Some("6.1.0-44"))),
        (&below, "d 0755 0 0 usr", &["/usr/lib/modules/*"], auto, Err("there is no kernel")),
        (&below, "d 0755 0 0 usr", &["/usr/lib/modules/*"], Bootable::No, Ok(None)),
        (&below, kernel, &[], auto, Err("several kernels in /usr/lib/modules: 6.1.0-44 and 9")),
        (&below, kernel, &["/usr/lib/modules/6*"], auto, Ok(Some("9"))),
        (&below, "d 0755 0 0 usr", &["/usr/lib/os-release"], auto, Err("no os-release")),
        (&below, release, &[], auto, Err("its os-release has no PRETTY_NAME")),
        (&below, etc, &[], auto, Err("there is a /etc with x in it beside /usr/etc")),
        (&plain, "d 0755 0 0 usr", &[], auto, Ok(None)),
        (&plain, kernel, &[], auto, Ok(None)),
        (&plain, "d 0755 0 0 usr", &[], Bootable::Yes, Err("there is no kernel")),
    ] {
        let repository = Repository::open(&of.path()).unwrap();
        let checksum = if std::ptr::eq(of, &below) { &bootable } else { &other };
        let lower = repository.base(checksum).unwrap();
        let rules = Rules::new(remove.iter().copied(), []);
        let over = Over { base: Some(&lower), rules, bootable: wanted, ..Over::default() };
        let (tree, contents) = tree(layers);
        let fixture = Fixture::new();
        let outcome = fixture.commit_over(&over, &tree, &contents, &spec(REF));
        match (outcome, expected) {
            (Ok(outcome), Ok(kernel)) => {
                assert_eq!(outcome.kernel.as_deref(), kernel);
                let shown = fixture.ostree(&["show", "--raw", REF]);
                assert_eq!(shown.contains("ostree.bootable"), kernel.is_some(), "{shown}");
            }
            (Err(error @ OstreeError::NotBootable { .. }), Err(reason)) => {
                assert!(error.to_string().contains(reason), "{error}");
                assert!(fixture.ostree(&["refs"]).is_empty());
            }
            (outcome, expected) => panic!("{layers} {remove:?}: {outcome:?}, not {expected:?}"),
        }
    }
    // Alone, layers with all it takes are bootable, and others are not.
    let fixture = Fixture::new();
    assert_eq!(fixture.commit(&empty, &contents, &spec(REF)).unwrap().kernel, None);
    let (whole, contents) = tree(BASE);
    let outcome = fixture.commit(&whole, &contents, &spec("whole")).unwrap();
    assert_eq!(outcome.kernel.as_deref(), Some("6.1.0-44"));
}

#[test]
fn a_base_that_is_not_whole_is_refused() {
    let below = Fixture::new();
    let checksum = base(&below, BASE);
    let repository = Repository::open(&below.path()).unwrap();
    let whole = repository.base(&checksum).unwrap();
    assert_eq!(whole.read("usr/etc/shadow", 4).unwrap().as_deref(), Some(&b"secr"[..]));
    for path in ["usr/etc/none", "usr/lib/link", "usr/lib", "none/x"] {
        assert_eq!(whole.read(path, 4).unwrap(), None, "{path}");
    }
    let missing = Digest::of("nothing");
    let error = repository.base(&missing).map(drop).unwrap_err().to_string();
    assert!(error.contains(&missing.hex()) && error.contains("cannot be used"), "{error}");

    // As a pull leaves it that was interrupted.
    std::fs::write(below.path().join(format!("state/{}.commitpartial", checksum.hex())), "")
        .unwrap();
    let error = repository.base(&checksum).map(drop).unwrap_err().to_string();
    assert!(error.contains("only a part of it"), "{error}");
}

#[test]
fn objects_of_a_damaged_base_are_not_taken_for_others() {
    let below = Fixture::new();
    let checksum = base(&below, BASE);
    // A directory of the base that is read and another that is only taken over.
    let dirtree = below.objects().into_iter().filter(|name| name.ends_with(".dirtree"));
    for object in dirtree.collect::<Vec<_>>() {
        let path = below.path().join("objects").join(object);
        let mut bytes = std::fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(&path, bytes).unwrap();
    }
    let repository = Repository::open(&below.path()).unwrap();
    let lower = repository.base(&checksum).unwrap();
    let over = Over { base: Some(&lower), ..Over::default() };
    let (layers, contents) = tree(LAYERS);
    let fixture = Fixture::new();
    let error = fixture.commit_over(&over, &layers, &contents, &spec(REF)).unwrap_err();
    assert!(error.to_string().contains("cannot be used"), "{error}");
    assert!(fixture.ostree(&["refs"]).is_empty());
}

#[test]
fn a_commit_of_which_no_layer_has_anything_does_not_count() {
    let fixture = Fixture::new();
    let repository = Repository::open_or_create(&fixture.path()).unwrap();
    let commit = Digest::of("a commit");
    let mut unpack = repository.unpack(&commit).unwrap();
    // A tar without members.
    unpack.add(&[0_u8; 1024][..]).unwrap();
    let error = unpack.finish().unwrap_err().to_string();
    assert!(error.contains("cannot be used"), "{error}");
    assert!(!repository.has_whole(&commit));
}
