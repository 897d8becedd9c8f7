//! Evidence that somebody changed by hand.

use super::*;

const PIN: &str = "EB4C1BFD4F042F6DDDCCEC917721F63BD38B4796";

const VERIFIED: &str = "\
name: x
version: 1
arch: [amd64]
inputs:
  tool:
    archive:
      urls: [\"https://a.example/t.tgz\"]
      verify:
        checksum: SUMS
        openpgp: {signature: SUMS.asc, over: checksum, keys: [k.asc], fingerprints: [\"PIN\"]}
  signed:
    archive:
      urls: [\"https://a.example/s.tgz\"]
      verify: {openpgp: {signature: s.asc, keys: [k.asc], fingerprints: [\"PIN\"]}}
  go: {go-toolchain: {version: 1.27.3, sources: [go.dev], verify: [checksum, sumdb], sumdb: \"db.example+0000000A+KEY\"}}
  modules: {go-modules: {dir: src, verify: [sumdb], sumdb: sum.golang.org}}
layers: [{name: a, archive: {input: tool, prefix: /a}}]
";

fn sumdb(database: &str) -> Evidence {
    let database = database.to_owned();
    Evidence::Sumdb { database, record: None, sum: None, modules: None, private: None }
}

fn openpgp(list: Option<&str>) -> Evidence {
    let (key, signer, list) = (PIN.to_owned(), PIN.to_owned(), list.map(str::to_owned));
    Evidence::Openpgp { key, signer, made: 1, hash: "SHA512".into(), list }
}

fn verified() -> Vec<LockedInput> {
    let file = Some(LockedFile { sha256: Digest::of("a"), size: 7 });
    let checksum = |from: &str| Evidence::Checksum { from: from.to_owned() };
    let go = Evidence::Sumdb {
        database: "db.example+0000000a".into(),
        record: Some(7),
        sum: Some("h1:x=".into()),
        modules: None,
        private: None,
    };
    let modules = Evidence::Sumdb {
        database: "sum.golang.org+033de0ae".into(),
        record: None,
        sum: None,
        modules: Some(2),
        private: None,
    };
    let input = |name: &str, kind, source, from: &str, evidence| LockedInput {
        name: name.into(),
        arch: Arch::Amd64,
        kind,
        version: (kind == InputKind::GoToolchain).then(|| "1.27.3".into()),
        source,
        from: from.into(),
        file: file.filter(|_| kind != InputKind::GoModules),
        identity: Digest::of(from),
        released: None,
        sums: (kind == InputKind::GoModules).then(|| Digest::of("sums")),
        evidence,
        commit: None,
    };
    let url = |name: &str| format!("https://a.example/{name}");
    vec![
        input(
            "tool",
            InputKind::Archive,
            Source::Archive,
            &url("t.tgz"),
            vec![checksum("SUMS"), openpgp(Some("SUMS"))],
        ),
        input("signed", InputKind::Archive, Source::Archive, &url("s.tgz"), vec![openpgp(None)]),
        input(
            "go",
            InputKind::GoToolchain,
            Source::GoDev,
            "https://go.dev/dl/x",
            vec![checksum("go.dev"), go],
        ),
        input("modules", InputKind::GoModules, Source::Dir, "src", vec![modules]),
    ]
}

#[test]
fn evidence_of_something_else_is_noticed() {
    let text = VERIFIED.replace("PIN", "eb4c 1bfd 4f04 2f6d ddcc  ec91 7721 f63b d38b 4796");
    let recipe = Recipe::parse(&text, "x.yaml").unwrap_or_else(|error| panic!("{error}"));
    let lock = Lock::new(&recipe, verified(), vec![], vec![]).unwrap();
    assert_eq!(lock.fits(&recipe), Ok(()));

    let other = PIN.replace('E', "F");
    let evidence =
        |input: &str, method: &str| format!("of `verify: [{method}]` of input \"{input}\"");
    let by_other = |all: &mut Vec<Evidence>| {
        let Evidence::Openpgp { key, .. } = &mut all[0] else { panic!("no signature") };
        *key = other.clone();
    };
    type Change<'a> = &'a dyn Fn(&mut Vec<Evidence>);
    let cases: Vec<(&str, Change<'_>, String)> = vec![
        (
            "tool",
            &|all| all[0] = Evidence::Checksum { from: "other".into() },
            format!("{} of amd64 says other, but the recipe SUMS", evidence("tool", "checksum")),
        ),
        (
            "tool",
            &|all| all[1] = openpgp(None),
            "says the archive itself, but the recipe a list of checksums".into(),
        ),
        (
            "signed",
            &|all| all[0] = openpgp(Some("SUMS")),
            "says SUMS, but the recipe the archive itself".into(),
        ),
        (
            "signed",
            &by_other,
            format!("says {other}, but the recipe {PIN}"),
        ),
        (
            "signed",
            &|all| all.insert(0, Evidence::Checksum { from: "x".into() }),
            "input \"signed\" of amd64 has evidence of `verify: [checksum]`, which the recipe does \
             not ask for"
                .into(),
        ),
        (
            "go",
            &|all| all[0] = Evidence::Checksum { from: "mirror".into() },
            "says mirror, but the recipe go.dev".into(),
        ),
        (
            "go",
            &|all| all[1] = sumdb("db.example+0000000b"),
            "says db.example+0000000b, but the recipe db.example+0000000A+KEY".into(),
        ),
        (
            "go",
            &|all| all[1] = sumdb("db.example+0000000a"),
            "says no record, but the recipe one of the release".into(),
        ),
        (
            "modules",
            &|all| all[0] = sumdb("sum.example+033de0ae"),
            "says sum.example+033de0ae, but the recipe sum.golang.org".into(),
        ),
        (
            "modules",
            &|all| all[0] = sumdb("sum.golang.org+033de0ae"),
            "says no modules, but the recipe how many there are".into(),
        ),
        (
            "modules",
            &|all| drop(all.pop()),
            "was locked without `verify: [sumdb]`, which the recipe asks for".into(),
        ),
    ];
    for (name, change, expected) in cases {
        let mut edited = lock.clone();
        for input in edited.inputs.iter_mut().filter(|input| input.name == name) {
            change(&mut input.evidence);
        }
        let told = edited.fits(&recipe).unwrap_err().to_string();
        assert!(told.contains(&expected), "{expected}\n{told}");
    }
}
