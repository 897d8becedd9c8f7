mod bases;
mod proofs;

use super::*;
use crate::Scope;

const RECIPE: &str = "\
name: x
version: \"{{ input.go.version }}\"
arch: [amd64, arm64]
inputs:
  go:
    go-toolchain:
      version: 1.27.3
      sources: [pypi, dir, archive]
      dir: sdk/{{ arch }}
      archive:
        amd64: {path: a.tgz, sha256: HASH}
        arm64: {urls: [https://a.example/b.tgz, https://b.example/b.tgz], sha256: HASH}
  data:
    archive: {path: data.zip, sha256: HASH}
layers: [{name: a, go-toolchain: {input: go, prefix: /go}}]
";

fn recipe(changes: &[(&str, &str)]) -> Recipe {
    let mut text = RECIPE.to_owned();
    for (from, to) in changes {
        assert!(text.contains(from), "{from}");
        text = text.replace(from, to);
    }
    text = text.replace("HASH", &"0".repeat(64));
    Recipe::parse(&text, "x.yaml").unwrap_or_else(|error| panic!("{error}"))
}

fn locked() -> Vec<LockedInput> {
    let zero = Digest::from_bytes([0; 32]);
    let input = |name: &str, arch, kind, source, from: &str, file| LockedInput {
        name: name.into(),
        arch,
        kind,
        version: (kind == InputKind::GoToolchain).then(|| "1.27.3".into()),
        source,
        from: from.into(),
        file,
        identity: Digest::of(from),
        released: (arch == Arch::Arm64).then_some(1_757_000_000),
        sums: None,
        evidence: vec![],
        commit: None,
    };
    let file = Some(LockedFile { sha256: zero, size: 77 });
    vec![
        input("go", Arch::Arm64, InputKind::GoToolchain, Source::Dir, "sdk/arm64", None),
        input("go", Arch::Amd64, InputKind::GoToolchain, Source::Archive, "a.tgz", file),
        input("data", Arch::Arm64, InputKind::Archive, Source::Archive, "data.zip", file),
        input("data", Arch::Amd64, InputKind::Archive, Source::Archive, "data.zip", file),
    ]
}

fn lock() -> Lock {
    Lock::new(&recipe(&[]), locked(), vec![], vec![]).unwrap()
}

#[test]
fn the_text_is_pinned_and_read_back() {
    let text = lock().to_text();
    let expected = "\
# made by treelay lock; do not edit

version = 1

[recipe-inputs]
data = \"sha256:8a5d270d2fc89d3b62ef4680b7e70134d086e9050f8b2578c4f8164ec0d4e805\"
go = \"sha256:9d2abc4016b5d7edaa4a71c5bcfba3672deeac6bb974c9cc4f849b2dd9bb55a3\"

[[input]]
name = \"data\"
arch = \"amd64\"
kind = \"archive\"
source = \"archive\"
from = \"data.zip\"
sha256 = \"0000000000000000000000000000000000000000000000000000000000000000\"
size = 77
identity = \"sha256:83865d3887436ef22ec2d255d68facd7b778c81e458a1a515592803752e89729\"
";
    assert!(text.starts_with(expected), "{text}");
    let go = "\
[[input]]
name = \"go\"
arch = \"arm64\"
kind = \"go-toolchain\"
version = \"1.27.3\"
source = \"dir\"
from = \"sdk/arm64\"
identity = \"sha256:f4337839bb4c05c5c885e4e7d4edb1ed31325ede2675143e2ea35f26f626d7c5\"
released = 1757000000
";
    assert!(text.ends_with(go), "{text}");
    let read = Lock::parse(&text, "x.lock").unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(read, lock());
    assert_eq!(read.to_text(), text);
    assert_eq!(read.fits(&recipe(&[])), Ok(()));
}

#[test]
fn any_text_comes_back() {
    for from in ["a \"b\" \\c", "tab\tline\nnul\0del\u{7f}", "åß∂ '''", "", "\u{80}\u{2028}"] {
        let mut lock = lock();
        lock.inputs[0].from = from.into();
        let text = lock.to_text();
        assert_eq!(Lock::parse(&text, "x.lock").unwrap(), lock, "{text}");
    }
}

#[test]
fn a_lock_answers_what_builds_ask() {
    let lock = lock();
    assert_eq!(lock.input("go", Arch::Arm64).unwrap().from, "sdk/arm64");
    assert_eq!(lock.input("go", Arch::Ppc64le), None);
    assert_eq!(lock.input("og", Arch::Arm64), None);
    assert_eq!(lock.known().versions, BTreeMap::from([("go".to_owned(), "1.27.3".to_owned())]));
    assert_eq!(lock.newest_release(), Some(1_757_000_000));
    let expanded = recipe(&[]).expand(&Scope::new(Arch::Amd64, &lock.known())).unwrap();
    assert_eq!(expanded.version.value, "1.27.3");
}

#[test]
fn a_recipe_without_inputs_has_a_lock() {
    let text =
        "name: x\nversion: 1\narch: [amd64]\nlayers: [{name: a, files: [{path: /a, dir: true}]}]";
    let recipe = Recipe::parse(text, "x.yaml").unwrap();
    let lock = Lock::new(&recipe, vec![], vec![], vec![]).unwrap();
    assert_eq!(lock.to_text(), "# made by treelay lock; do not edit\n\nversion = 1\n");
    assert_eq!(Lock::parse(&lock.to_text(), "x.lock").unwrap(), lock);
    assert_eq!(lock.newest_release(), None);
}

/// A spelling that means the same does not ask for a new lock.
#[test]
fn only_the_meaning_counts() {
    for same in [
        &[("version: 1.27.3", "version: \"1.27.3\"")][..],
        &[("dir: sdk/{{ arch }}", "dir: \"sdk/{{arch}}\"")],
        &[
            ("  data:\n    archive: {path: data.zip, sha256: HASH}\n", ""),
            ("inputs:\n", "inputs:\n  data: {archive: {sha256: HASH, path: data.zip}}\n"),
        ],
        &[("name: a,", "name: b,")],
        &[("arch: [amd64, arm64]", "arch: [arm64, amd64]")],
    ] {
        assert_eq!(lock().fits(&recipe(same)), Ok(()), "{same:?}");
    }
}

#[test]
fn a_misfit_says_what_changed() {
    let one = "1".repeat(64);
    let zero = "0".repeat(64);
    let sha256 = format!("input \"data\" of amd64 now has the sha256 {one}, {zero} is locked");
    let table: &[(&[(&str, &str)], &str)] = &[
        (
            &[("version: 1.27.3", "version: 1.27.4")],
            "input \"go\" is now version 1.27.4, 1.27.3 is locked",
        ),
        (&[("  data:", "  more:")], "input \"more\" is not in the lock"),
        (
            &[("  data:\n    archive: {path: data.zip, sha256: HASH}\n", "")],
            "input \"data\" of the lock is no longer in the recipe",
        ),
        (
            &[(
                "  data:\n    archive: {path: data.zip, sha256: HASH}\n",
                "  data: {go-toolchain: {version: 1.27.3, sources: [pypi]}}\n",
            )],
            "input \"data\" is now of the kind go-toolchain, it was locked as archive",
        ),
        (
            &[("{path: data.zip, sha256: HASH}", &format!("{{path: data.zip, sha256: {one}}}"))],
            &sha256,
        ),
        (
            &[("data.zip", "more.zip")],
            "input \"data\" of amd64 was locked from data.zip, which the recipe no longer names",
        ),
        (
            &[("sdk/{{ arch }}", "sdk-{{ arch }}")],
            "input \"go\" of arm64 was locked from sdk/arm64, which the recipe no longer names",
        ),
        (
            &[("[pypi, dir, archive]", "[pypi, archive]"), ("      dir: sdk/{{ arch }}\n", "")],
            "input \"go\" was locked from the source dir, which the recipe no longer lists",
        ),
        (
            &[("[pypi, dir, archive]", "[dir, archive]")],
            "the options of input \"go\" changed in the recipe since it was locked",
        ),
        (
            &[("{path: data.zip, sha256: HASH}", "{path: data.zip, sha256: HASH, strip: 1}")],
            "the options of input \"data\" changed in the recipe since it was locked",
        ),
        (
            &[("arch: [amd64, arm64]", "arch: [amd64]")],
            "input \"data\" is locked for arm64, which the recipe no longer builds",
        ),
        (
            &[
                ("arch: [amd64, arm64]", "arch: [amd64, arm64, ppc64le]"),
                (
                    "        amd64: {path",
                    "        ppc64le: {path: c, sha256: HASH}\n        amd64: {path",
                ),
            ],
            "input \"data\" is not locked for ppc64le",
        ),
    ];
    for (changes, expected) in table {
        let told = lock().fits(&recipe(changes)).unwrap_err().to_string();
        assert_eq!(told, *expected, "{changes:?}");
    }
}

#[test]
fn stanzas_that_the_recipe_does_not_ask_for_make_no_lock() {
    let recipe = recipe(&[]);
    let made = |change: &dyn Fn(&mut Vec<LockedInput>)| {
        let mut inputs = locked();
        change(&mut inputs);
        Lock::new(&recipe, inputs, vec![], vec![]).unwrap_err().to_string()
    };
    assert_eq!(made(&|all| drop(all.pop())), "input \"data\" is not locked for amd64");
    assert_eq!(made(&|all| all.push(all[3].clone())), "input \"data\" is locked twice for amd64");
    assert_eq!(
        made(&|all| all[0].version = Some("1.27.2".into())),
        "input \"go\" is locked as version 1.27.3 and as version 1.27.2"
    );
    assert_eq!(made(&|all| all[0].name = "og".into()), "input \"go\" is not locked for arm64");
}

#[test]
fn the_evidence_that_a_recipe_asks_for_is_in_its_lock() {
    let asks = recipe(&[("sources:", "verify: [checksum, rebuild]\n      sources:")]);
    let told = "input \"go\" of amd64 was locked without `verify: [checksum]`, which the recipe \
                asks for";
    assert_eq!(lock().fits(&asks).unwrap_err().to_string(), told);
    assert_eq!(Lock::new(&asks, locked(), vec![], vec![]).unwrap_err().to_string(), told);

    let toolchain = Digest::of("a.tgz");
    let rebuild = Evidence::Rebuild { files: 10, by: Arch::Amd64, toolchain };
    let mut inputs = locked();
    for input in inputs.iter_mut().filter(|input| input.name == "go") {
        input.evidence = vec![rebuild.clone()];
        // In any order; nobody publishes the checksum of a directory.
        let from = "recipe".into();
        let of = (input.source == Source::Archive).then_some(Evidence::Checksum { from });
        input.evidence.extend(of);
    }
    let mut lock = Lock::new(&asks, inputs, vec![], vec![]).unwrap();
    assert_eq!(lock.fits(&asks), Ok(()));
    // Evidence that is no longer asked for is another matter of the recipe.
    let told = lock.fits(&recipe(&[])).unwrap_err().to_string();
    assert_eq!(told, "the options of input \"go\" changed in the recipe since it was locked");

    for input in lock.inputs.iter_mut().filter(|input| input.name == "go") {
        input.evidence = vec![
            Evidence::Checksum { from: "a \"b\"".into() },
            Evidence::Openpgp {
                key: "EB".into(),
                signer: "8E".into(),
                made: 1,
                hash: "SHA512".into(),
                list: None,
            },
            Evidence::Sumdb {
                database: "sum.example+00000001".into(),
                record: Some(7),
                sum: Some("h1:x=".into()),
                modules: None,
                private: None,
            },
            rebuild.clone(),
        ];
    }
    let text = lock.to_text();
    let line = "evidence = [\n    { method = \"checksum\", from = \"a \\\"b\\\"\" },\n    \
                { method = \"openpgp\", key = \"EB\", signer = \"8E\", made = 1, hash = \"SHA512\" },\n    \
                { method = \"sumdb\", database = \"sum.example+00000001\", record = 7, \
                sum = \"h1:x=\" },\n    \
                { method = \"rebuild\", files = 10, by = \"amd64\", toolchain = \"sha256:dc";
    assert!(text.contains(line), "{text}");
    assert_eq!(Lock::parse(&text, "x.lock").unwrap_or_else(|error| panic!("{error}")), lock);
    for (from, to, expected) in [
        ("\"rebuild\"", "\"build\"", "unknown variant `build`"),
        ("files = 10, ", "", "missing field `files`"),
        ("files = 10", "more = 1, files = 10", "unknown field `more`"),
    ] {
        let told = Lock::parse(&text.replacen(from, to, 1), "x.lock").unwrap_err().to_string();
        assert!(told.contains(expected) && told.contains("--> x.lock:"), "{told}");
    }
}

#[test]
fn an_input_is_updated_alone() {
    let newer = recipe(&[("version: 1.27.3", "version: 1.27.4")]);
    assert_eq!(lock().fits_input(&newer, "data"), Ok(()));
    assert!(matches!(lock().fits_input(&newer, "go"), Err(Misfit::Version { .. })));
}

#[test]
fn what_is_no_lock_is_told_with_its_place() {
    let text = lock().to_text();
    let changed = |from: &str, to: &str| {
        assert!(text.contains(from), "{from}");
        text.replacen(from, to, 1)
    };
    let table = [
        ("<<<<<<< HEAD\nversion = 1\n".to_owned(), "1 | <<<<<<< HEAD"),
        (String::new(), "missing field `version`"),
        (
            changed("version = 1", "version = 2"),
            "error: this lock has format 2\n --> x.lock:3:11\n  |\n3 | version = 2\n  |           ^ \
             this treelay reads format 1",
        ),
        (changed("size = 77", "sise = 77"), "| sise = 77"),
        (changed("size = 77\n", ""), "archive has both sha256 and size"),
        (changed("source = \"dir\"", "source = \"pypi\""), "pypi has both sha256 and size"),
        (changed("arch = \"amd64\"", "arch = \"x86\""), "unknown variant `x86`"),
        (changed("arch = \"arm64\"", "arch = \"amd64\""), "input `data` of amd64 is there twice"),
        (changed("sha256 = \"00", "sha256 = \"0X"), "is not 64 lowercase hex digits"),
        (changed("identity = \"sha256:", "identity = \"md5:"), "is not a digest"),
        (
            changed("version = \"1.27.3\"", "version = \"1.27.2\""),
            "input `go` has another version on arm64 than on amd64",
        ),
        (changed("data = ", "date = "), "`recipe-inputs` does not have the input `data`"),
    ];
    for (text, expected) in table {
        let told = Lock::parse(&text, "x.lock").unwrap_err().to_string();
        assert!(told.contains(expected), "{expected}\n{told}");
        assert!(told.contains("--> x.lock:"), "{told}");
    }
}

/// Of a commit the lock knows what texts and programs may say of it.
#[test]
fn a_commit_is_locked_and_known() {
    let recipe = |input: &str| {
        let text = format!(
            "name: x\nversion: \"{{{{ input.src.version }}}}\"\narch: [amd64]\n\
             inputs: {{go: {{go-toolchain: {{version: 1.27.3, sources: [pypi]}}}}, \
             src: {{git: {{{input}}}}}}}\n\
             layers: [{{name: \"{{{{ input.src.commit.short }}}}\", go-build: {{source: {{git: src}}, \
             packages: [.], dest: /a, vcs: true}}}}]\n"
        );
        Recipe::parse(&text, "x.yaml").unwrap_or_else(|error| panic!("{error}"))
    };
    let id = "0123456789abcdef0123456789abcdef01234567";
    let go = LockedInput {
        name: "go".into(),
        arch: Arch::Amd64,
        kind: InputKind::GoToolchain,
        version: Some("1.27.3".into()),
        source: Source::Pypi,
        from: "go".into(),
        file: Some(LockedFile { sha256: Digest::of("x"), size: 1 }),
        identity: Digest::of("x"),
        released: Some(5),
        sums: None,
        commit: None,
        evidence: vec![],
    };
    let src = LockedInput {
        name: "src".into(),
        kind: InputKind::Git,
        version: Some("v1.0.0".into()),
        source: Source::Git,
        from: "../repo".into(),
        file: None,
        released: Some(9),
        commit: Some(id.into()),
        ..go.clone()
    };
    let by_ref = recipe("url: ../repo, ref: v1.0.0, dir: sub");
    let lock = Lock::new(&by_ref, vec![go, src], vec![], vec![]).unwrap();
    let text = lock.to_text();
    assert_eq!(Lock::parse(&text, "x.lock").unwrap_or_else(|error| panic!("{error}")), lock);
    assert_eq!(lock.newest_release(), Some(9));

    let expanded = by_ref.expand(&Scope::new(Arch::Amd64, &lock.known())).unwrap();
    assert_eq!(expanded.version.value, "v1.0.0");
    assert_eq!(expanded.layers[0].name.value, &id[..12]);
    let stamp = expanded.layers[0].go_build.as_ref().unwrap().stamp.as_ref().unwrap();
    let commit = Commit { id: id.into(), time: 9, tag: Some("v1.0.0".into()) };
    assert_eq!((&stamp.commit, stamp.dir.as_deref()), (&commit, Some("sub")));

    for (input, told) in [
        ("url: ../other, ref: v1.0.0, dir: sub", "src\" of amd64 was locked from ../repo"),
        (
            "url: ../repo, commit: 1111111111111111111111111111111111111111",
            "src\" is now the commit 11111111",
        ),
        ("url: ../repo, ref: v1.0.1, dir: sub", "the options of input \"src\" changed"),
        ("url: ../repo, ref: v1.0.0", "the options of input \"src\" changed"),
    ] {
        let misfit = lock.fits(&recipe(input)).unwrap_err().to_string();
        assert!(misfit.contains(told), "{misfit}");
    }
    for (from, to, told) in [
        (id, &id[1..], "is not a whole commit"),
        ("commit = ", "version = ", "duplicate key"),
        ("kind = \"git\"", "kind = \"archive\"", "git has a commit, other kinds have none"),
    ] {
        let error = Lock::parse(&text.replace(from, to), "x.lock").unwrap_err().to_string();
        assert!(error.contains(told), "{error}");
    }
}
