//! Commits that are small and have more paths than any system, or deeper ones.

use ostree::gio::Cancellable;
use ostree::glib::{Variant, VariantTy};
use ostree::{ObjectType, Repo, gio};
use treelay::ostree_repo::{Repository, Trust};
use treelay_recipes::Digest;

use crate::fixture::{Fixture, spec, tree};

const REF: &str = "nested";

/// A repository with one commit, in which each directory of `depth` above `x`, of one byte, has
/// `names` for the same directory.
fn nested(depth: usize, names: &[&str]) -> (Fixture, Digest) {
    let fixture = Fixture::new();
    let (small, contents) = tree("f 0644 0 0 x =x");
    let inner = fixture.commit(&small, &contents, &spec("os")).unwrap();
    let repo = Repo::new(&gio::File::for_path(fixture.path()));
    let none = Cancellable::NONE;
    repo.open(none).unwrap();
    repo.prepare_transaction(none).unwrap();
    let write = |kind, form, text: String| {
        let object = Variant::parse(Some(VariantTy::new(form).unwrap()), &text).unwrap();
        hex::decode(repo.write_metadata(kind, None, &object, none).unwrap().to_hex()).unwrap()
    };
    let bytes = |bytes: &[u8]| format!("{bytes:?}");
    let (commit, _) = repo.load_commit(&inner.checksum.hex()).unwrap();
    let [mut top, meta] = [6, 7].map(|at| commit.child_value(at).data().to_vec());
    for _ in 0..depth {
        let dir = |name| format!("('{name}', {}, {})", bytes(&top), bytes(&meta));
        let dirs: Vec<String> = names.iter().map(dir).collect();
        let text = format!("([], [{}])", dirs.join(", "));
        top = write(ObjectType::DirTree, "(a(say)a(sayay))", text);
    }
    let text = format!("({{}}, [], [], '', '', 0, {}, {})", bytes(&top), bytes(&meta));
    let commit = write(ObjectType::Commit, "(a{sv}aya(say)sstayay)", text);
    repo.commit_transaction(none).unwrap();
    let commit = Digest::from_hex(&hex::encode(commit)).unwrap();
    fixture.ostree(&["refs", &format!("--create={REF}"), &commit.hex()]);
    (fixture, commit)
}

/// The error that whatever needs each path meets.
fn refused(fixture: &Fixture, commit: &Digest) -> String {
    let repository = Repository::open(&fixture.path()).unwrap();
    let error = repository.paths(commit).unwrap_err().to_string();
    assert_eq!(repository.encapsulation(commit).map(drop).unwrap_err().to_string(), error);
    let written = repository.write_commit_layer(commit, Vec::new());
    assert_eq!(written.map(drop).unwrap_err().to_string(), error);
    error.replace(&commit.hex(), "COMMIT")
}

#[test]
fn sums_are_made_dirtree_by_dirtree() {
    for (depth, files, dirs) in
        [(20, 1 << 20, (1 << 21) - 2), (40, 1 << 40, (1 << 41) - 2), (80, u64::MAX, u64::MAX)]
    {
        let (fixture, commit) = nested(depth, &["a", "b"]);
        let repository = Repository::open(&fixture.path()).unwrap();
        let info = repository.inspect(REF).unwrap();
        assert_eq!((info.files, info.dirs, info.bytes), (files, dirs, files));
        if depth == 20 {
            assert_eq!(repository.paths(&commit).unwrap().len() as u64, files + dirs);
        } else {
            let expected =
                "the paths of commit COMMIT cannot be listed: it has more than 4194304 paths";
            assert_eq!(refused(&fixture, &commit), expected);
        }
        // Each object is looked at once.
        let named = repository.named_of(None, Some(REF)).unwrap();
        let report = repository.verify_commit(&named[0], &Trust::default(), 1).unwrap();
        assert_eq!((report.objects, report.damage), (depth as u64 + 3 + 1, vec![]));
    }
}

#[test]
fn no_path_is_deeper_than_a_host_can_make() {
    let (fixture, commit) = nested(2047, &["a"]);
    let repository = Repository::open(&fixture.path()).unwrap();
    let paths = repository.paths(&commit).unwrap();
    assert_eq!(paths.keys().map(String::len).max(), Some(4095));
    let layer = repository.write_commit_layer(&commit, Vec::new()).unwrap();
    assert!(layer.len() > 2047 * 512);

    let (fixture, commit) = nested(3_000, &["a"]);
    assert_eq!(
        refused(&fixture, &commit),
        "the paths of commit COMMIT cannot be listed: it has a path of more than 4095 bytes"
    );
    let repository = Repository::open(&fixture.path()).unwrap();
    assert_eq!(repository.inspect(REF).unwrap().dirs, 3_000);
    let named = repository.named_of(None, Some(REF)).unwrap();
    let report = repository.verify_commit(&named[0], &Trust::default(), 1).unwrap();
    let said: Vec<&str> = report.damage.iter().map(|damage| damage.reason.as_str()).collect();
    assert_eq!(said, ["it is at a path of more than 4095 bytes"]);
}
