//! The contract of every layer kind, and what each does with bad options.

mod go_build;
mod production;

use std::collections::BTreeMap;

use treelay_recipes::Commit;
use treelay_recipes::recipe::{
    Account, ArchiveLayer, CertificatesLayer, DirectoryLayer, FileEntry, FilesLayer, GoBuildLayer,
    GoSource, GoToolchainLayer, Layer, PathAttributes, Stamp, TzdataLayer, UsersLayer,
};

use super::*;
use crate::go;
use crate::go::gate::fixture::Sample;
use crate::tree::fixture::{Memory, tree};
use crate::{Entry, Node};

fn text(value: &str) -> Text {
    Text::new(value)
}

fn toolchain(prefix: &str, link: Option<&str>) -> GoToolchainLayer {
    GoToolchainLayer { input: text("go"), prefix: text(prefix), link: link.map(text) }
}

fn file(path: &str) -> FileEntry {
    FileEntry {
        path: text(path),
        content: None,
        source: None,
        link: None,
        dir: None,
        mode: None,
        uid: None,
        gid: None,
        user: None,
        xattrs: BTreeMap::new(),
        caps: None,
    }
}

fn files() -> FilesLayer {
    vec![
        FileEntry { content: Some(text("hello\n")), ..file("/etc/motd") },
        FileEntry { source: Some(text("run.sh")), ..file("/usr/bin/run") },
        FileEntry {
            source: Some(text("run.sh")),
            mode: Some(text("0600")),
            uid: Some(7),
            xattrs: BTreeMap::from([("user.note".to_owned(), text("hi"))]),
            ..file("/root/run")
        },
        FileEntry { link: Some(text("../etc/motd")), gid: Some(8), ..file("/usr/motd") },
        FileEntry { dir: Some(true), mode: Some(text("1777")), ..file("/tmp/") },
    ]
}

fn directory() -> DirectoryLayer {
    DirectoryLayer {
        source: text("tree"),
        prefix: text("/opt/app"),
        uid: None,
        gid: None,
        mode: None,
        exclude: vec![text("*.tmp"), text("**/.git")],
    }
}

fn users() -> UsersLayer {
    let account = Account {
        name: text("app"),
        uid: 65532,
        gid: None,
        comment: None,
        home: Some(text("/home/app")),
        shell: None,
    };
    UsersLayer { accounts: vec![account], groups: Vec::new() }
}

fn zones(localtime: Option<&str>) -> TzdataLayer {
    TzdataLayer { input: text("tz"), path: None, localtime: localtime.map(text) }
}

fn go_build() -> GoBuildLayer {
    GoBuildLayer {
        toolchain: Some(text("go")),
        source: Some(GoSource { dir: Some(text("server")), archive: None, git: None }),
        packages: vec![text("./cmd/server")],
        modules: None,
        dest: text("/usr/bin"),
        tags: vec![text("a"), text("b")],
        ldflags: None,
        env: BTreeMap::from([("GODEBUG".to_owned(), text("x=1"))]),
        goamd64: None,
        goarm64: None,
        goppc64: None,
        max_size: None,
        vcs: false,
        stamp: None,
    }
}

fn local() -> Tree {
    let (tree, _) = tree(
        "d 0700 1000 1000 bin
         f 0775 1000 1000 =#!x bin/run
         f 0600 1000 1000 =data data
         x user.note 6869
         f 0600 1000 1000 =gone x.tmp
         f 0600 1000 1000 =gone sub/.git/config
         l 0777 1000 1000 link -> data",
    );
    tree
}

const PEM: &str = "-----BEGIN CERTIFICATE-----\nMAIBAg==\n-----END CERTIFICATE-----\n";

/// A tree of one file, whose content may have spaces.
fn one_file(path: &str, content: &[u8]) -> (Tree, Memory) {
    let mut contents = Memory::default();
    let (digest, size) = contents.put(&mut &*content).unwrap();
    let entry = Entry::new_file(TreePath::new(path).unwrap(), 0o644, digest, size);
    (Tree::from_entries(vec![entry]).unwrap(), contents)
}

const ZONES: &str = "f 0644 0 0 =TZif1 tzdata/zoneinfo/Etc/UTC
    f 0644 0 0 =TZif2 tzdata/zoneinfo/Europe/Berlin
    f 0644 0 0 =py tzdata/zoneinfo/Europe/__init__.py
    f 0644 0 0 =tab tzdata/zoneinfo/zone1970.tab
    f 0644 0 0 =zones tzdata/zones";

/// What a builder would do: gets each need, then asks for the tree.
fn made(kind: &dyn Kind, arch: Arch) -> (Tree, Memory) {
    let (distribution, contents) = match kind.name() {
        "certificates" => one_file("certifi/cacert.pem", PEM.as_bytes()),
        "tzdata" => tree(ZONES),
        _ => {
            let (raw, contents) = go::tests::raw(&go::tests::files(arch), "go/", 0o644);
            // The tree of an input is what its identity is the digest of.
            (go::canonical(&raw).unwrap(), contents)
        }
    };
    let local = local();
    let needs = kind.needs(arch).unwrap();
    let mut items: Vec<Item<'_>> = needs
        .iter()
        .map(|need| match need {
            Need::Input(_) | Need::Toolchain(_) => Item::Tree(&distribution),
            Need::LocalFile(_) => {
                Item::File { digest: Digest::of("#!x"), size: 3, executable: true }
            }
            Need::LocalDir { .. } => Item::Tree(&local),
        })
        .collect();
    let mut contents = contents;
    let program = contents.put(&mut &*Sample::good(arch).bytes()).unwrap();
    let path = TreePath::new("out/server").unwrap();
    let outputs = Entry::new_file(path, 0o700, program.0, program.1);
    let outputs = Tree::from_entries(vec![outputs]).unwrap();
    if kind.acts() {
        items.push(Item::Tree(&outputs));
    }
    let mut own = Memory::default();
    let given = Given { items: &items, contents: &contents };
    let tree = kind.tree(arch, &given, &mut own).unwrap();
    assert_eq!(kind.action(arch, Arch::Amd64, &given).unwrap().is_some(), kind.acts());

    // Every content is the kind's own or was given.
    let given: Vec<Digest> = items
        .iter()
        .flat_map(|item| match item {
            Item::Tree(tree) => {
                tree.entries().iter().filter_map(Entry::file).map(|f| *f.0).collect()
            }
            Item::File { digest, .. } => vec![*digest],
        })
        .collect();
    for (digest, size) in tree.entries().iter().filter_map(Entry::file) {
        let kept = own.0.get(digest).map(|bytes| bytes.len() as u64);
        assert!(kept == Some(size) || given.contains(digest), "{}", kind.name());
    }
    (tree, own)
}

/// The example of each kind. A kind that is not here does not compile.
fn example(layer: LayerKind<'_>) -> usize {
    match layer {
        LayerKind::GoToolchain(_) => 0,
        LayerKind::GoBuild(_) => 1,
        LayerKind::Files(_) => 2,
        LayerKind::Directory(_) => 3,
        LayerKind::Archive(_) => 4,
        LayerKind::Users(_) => 5,
        LayerKind::Certificates(_) => 6,
        LayerKind::Tzdata(_) => 7,
    }
}

#[test]
fn every_kind_keeps_the_contract() {
    let (toolchain, files, directory) =
        (toolchain("/usr/lib/golang", Some("/usr/bin")), files(), directory());
    let archive = ArchiveLayer { input: text("go"), prefix: text("/opt/data") };
    let users = users();
    let certificates = CertificatesLayer { input: text("ca"), path: None, add: Vec::new() };
    let tzdata = zones(Some("Europe/Berlin"));
    let build = go_build();
    let examples = [
        LayerKind::GoToolchain(&toolchain),
        LayerKind::GoBuild(&build),
        LayerKind::Files(&files),
        LayerKind::Directory(&directory),
        LayerKind::Archive(&archive),
        LayerKind::Users(&users),
        LayerKind::Certificates(&certificates),
        LayerKind::Tzdata(&tzdata),
    ];
    let mut names = Vec::new();
    for (at, layer) in examples.into_iter().enumerate() {
        assert_eq!(example(layer), at);
        let kind = of(layer);
        names.push(kind.name());
        for arch in Arch::ALL {
            let (tree, _) = made(kind, arch);
            assert!(!tree.is_empty());
            assert_eq!(made(kind, arch).0, tree);
            assert_eq!(Tree::from_text(&tree.to_text()).unwrap(), tree);

            let options = kind.options(arch).unwrap();
            assert_eq!(options["kind"], kind.name());
            assert!(options["rules"].is_u64());
            assert!(!options.to_string().contains("column"), "{options}");

            // Given nothing, it says so, unless it needs nothing.
            let nothing = Given { items: &[], contents: &Memory::default() };
            let made = kind.tree(arch, &nothing, &mut Memory::default());
            let lacks = matches!(made, Err(KindError::NotGiven { at: 0 }));
            assert_eq!(lacks, !kind.needs(arch).unwrap().is_empty(), "{}", kind.name());
        }
    }
    names.dedup();
    assert_eq!(names.len(), examples.len());
}

#[test]
fn a_toolchain_has_links_and_terms() {
    let layer = toolchain("/usr/lib/golang", Some("/usr/bin"));
    let (tree, own) = made(&layer, Arch::Ppc64le);
    let target = |path| match &tree.get(path).unwrap().node {
        Node::Symlink { target } => target.to_string(),
        other => panic!("{other:?}"),
    };
    assert_eq!(target("usr/bin/go"), "../lib/golang/bin/go");
    assert_eq!(target("usr/bin/gofmt"), "../lib/golang/bin/gofmt");
    for (path, mode) in [
        ("usr/lib/golang/LICENSE", 0o644),
        ("usr/lib/golang/PATENTS", 0o644),
        ("usr/lib/golang/VERSION", 0o644),
        ("usr/lib/golang/bin/go", 0o755),
        ("usr/lib/golang/pkg/tool/linux_ppc64le/compile", 0o755),
        ("usr/lib/golang/src", 0o755),
    ] {
        assert_eq!(tree.get(path).unwrap().mode, mode, "{path}");
    }
    assert_eq!(own.0.len(), 2);
    assert!(tree.entries().iter().all(|entry| entry.owner.uid == 0 && entry.owner.gid == 0));
}

#[test]
fn two_toolchains_live_side_by_side() {
    let (one, _) = made(&toolchain("/usr/lib/go-1.27", Some("/usr/bin")), Arch::Amd64);
    let (two, _) = made(&toolchain("/usr/lib/go-1.28", None), Arch::Amd64);
    let merged = Tree::merge([("one", &one), ("two", &two)]).unwrap().tree;
    assert!(merged.get("usr/lib/go-1.27/bin/go").is_some());
    assert!(merged.get("usr/lib/go-1.28/bin/go").is_some());

    let (clash, _) = made(&toolchain("/usr/lib/go-1.28", Some("/usr/bin")), Arch::Amd64);
    let conflict = Tree::merge([("one", &one), ("two", &clash)]).unwrap_err();
    assert_eq!(conflict.path.as_str(), "usr/bin/go");
}

#[test]
fn a_toolchain_for_another_arch_is_refused() {
    let (tree, contents) = go::tests::raw(&go::tests::files(Arch::Arm64), "", 0o644);
    let given = Given { items: &[Item::Tree(&tree)], contents: &contents };
    let layer = toolchain("/usr/lib/golang", None);
    let refused = layer.tree(Arch::Amd64, &given, &mut Memory::default()).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "bin/go of the Go distribution is for aarch64, but x86_64 was asked for"
    );
}

#[test]
fn files_become_what_they_say() {
    let (tree, _) = made(&files(), Arch::Amd64);
    let (motd, run) = (Digest::of("hello\n").hex(), Digest::of("#!x").hex());
    let expected = format!(
        "d 0755 0 0 etc\n\
         f 0644 0 0 6 {motd} etc/motd\n\
         d 0755 0 0 root\n\
         f 0600 7 0 3 {run} root/run\n\
         x user.note 6869\n\
         d 1777 0 0 tmp\n\
         d 0755 0 0 usr\n\
         d 0755 0 0 usr/bin\n\
         f 0755 0 0 3 {run} usr/bin/run\n\
         l 0777 0 8 usr/motd -> ../etc/motd\n"
    );
    assert_eq!(tree.to_text(), expected);
}

#[test]
fn a_directory_is_normalised() {
    let (run, data) = (Digest::of("#!x").hex(), Digest::of("data").hex());
    let (tree, _) = made(&directory(), Arch::Amd64);
    let expected = format!(
        "d 0755 0 0 opt\n\
         d 0755 0 0 opt/app\n\
         d 0755 0 0 opt/app/bin\n\
         f 0755 0 0 3 {run} opt/app/bin/run\n\
         f 0644 0 0 4 {data} opt/app/data\n\
         l 0777 0 0 opt/app/link -> data\n\
         d 0755 0 0 opt/app/sub\n"
    );
    assert_eq!(tree.to_text(), expected);

    let at_root = DirectoryLayer {
        prefix: text("/"),
        uid: Some(5),
        gid: Some(6),
        mode: Some(text("0640")),
        exclude: vec![text("bin"), text("sub"), text("link"), text("x.tmp")],
        ..directory()
    };
    let (tree, _) = made(&at_root, Arch::Amd64);
    assert_eq!(tree.to_text(), format!("f 0640 5 6 4 {data} data\n"));
}

#[test]
fn options_tell_layers_apart_and_nothing_else() {
    let of_files = |change: &dyn Fn(&mut FileEntry)| {
        let mut layer = files();
        change(&mut layer[0]);
        layer.options(Arch::Amd64).unwrap()
    };
    let same = of_files(&|file| file.path.at = At { line: 9, column: 9 });
    assert_eq!(same, files().options(Arch::Arm64).unwrap());
    let changes: [&dyn Fn(&mut FileEntry); 4] = [
        &|file| file.path = text("/etc/issue"),
        &|file| file.content = Some(text("bye")),
        &|file| file.mode = Some(text("0600")),
        &|file| file.gid = Some(1),
    ];
    for change in changes {
        assert_ne!(of_files(change), same);
    }

    let moved = DirectoryLayer { source: text("elsewhere"), ..directory() };
    assert_eq!(moved.options(Arch::Amd64).unwrap(), directory().options(Arch::Amd64).unwrap());
    let renamed = GoToolchainLayer { input: text("other"), ..toolchain("/go", None) };
    let options = |layer: &GoToolchainLayer| layer.options(Arch::Amd64).unwrap();
    assert_eq!(options(&renamed), options(&toolchain("/go", None)));
    let at_root = options(&toolchain("/go", Some("/")));
    assert_ne!(at_root, options(&toolchain("/go", None)));
    assert_ne!(at_root, options(&toolchain("/go", Some("/bin"))));
}

#[test]
fn refuses_options_that_make_no_sense() {
    let content = || FileEntry { content: Some(text("x")), ..file("/a") };
    for (entry, says) in [
        (FileEntry { path: text("etc/a"), ..content() }, "is not absolute"),
        (FileEntry { path: text("/a/../b"), ..content() }, "leaves its root"),
        (FileEntry { path: text("/"), ..content() }, "the root is always a directory"),
        (file("/a"), "/a needs exactly one of content, source, link and dir"),
        (FileEntry { link: Some(text("b")), ..content() }, "exactly one of"),
        (FileEntry { dir: Some(false), ..file("/a") }, "exactly one of"),
        (FileEntry { mode: Some(text("0888")), ..content() }, "\"0888\" is not a mode"),
        (FileEntry { mode: Some(text("17777")), ..content() }, "is not a mode"),
        (FileEntry { mode: Some(text("+644")), ..content() }, "is not a mode"),
        (FileEntry { mode: Some(text("")), ..content() }, "is not a mode"),
        (FileEntry { link: Some(text("")), ..file("/a") }, "target of the link /a is no path"),
        (
            FileEntry { link: Some(text("b")), mode: Some(text("0644")), ..file("/a") },
            "links have no mode",
        ),
        (
            FileEntry { xattrs: BTreeMap::from([("note".into(), text("x"))]), ..content() },
            "\"note\" is no extended attribute",
        ),
    ] {
        let refused = vec![entry].needs(Arch::Amd64).unwrap_err();
        assert!(
            matches!(&refused, KindError::Option { reason, .. } if reason.contains(says)),
            "{refused}"
        );
    }
    let twice = vec![content(), content()];
    let given = Given { items: &[], contents: &Memory::default() };
    let refused = twice.tree(Arch::Amd64, &given, &mut Memory::default()).unwrap_err();
    assert_eq!(refused.to_string(), "/a is there twice");

    for layer in [toolchain("/", None), toolchain("usr", None), toolchain("/usr", Some("bin"))] {
        assert!(matches!(layer.needs(Arch::Amd64), Err(KindError::Option { .. })));
    }
    let bad = DirectoryLayer { mode: Some(text("rw")), ..directory() };
    assert!(matches!(bad.needs(Arch::Amd64), Err(KindError::Option { .. })));
}

#[test]
fn an_archive_keeps_modes_and_becomes_roots() {
    let (raw, _) = tree("d 0700 7 7 etc\nf 4755 1000 1000 =x etc/run\nx user.note 6869");
    for (prefix, at) in [("/", "etc/run"), ("/opt/data", "opt/data/etc/run")] {
        let layer = ArchiveLayer { input: text("data"), prefix: text(prefix) };
        let given = Given { items: &[Item::Tree(&raw)], contents: &Memory::default() };
        let tree = layer.tree(Arch::Amd64, &given, &mut Memory::default()).unwrap();
        let entry = tree.get(at).unwrap();
        assert_eq!((entry.mode, entry.owner.uid, entry.xattrs().len()), (0o4755, 0, 1));
    }
}
