//! `verify`: what is verified when an input is locked, that the lock says so, and what is refused.

use std::fs;

use sha2::{Digest as _, Sha256};
use treelay_tests::http::Server;
use treelay_tests::modules::{add_module, sum_of};
use treelay_tests::sumdb::{SumDb, flip};
use treelay_tests::{Env, Run};

use crate::fixture::{listing, store_is_clean};
use crate::golang::{Member, Tar, distribution};

fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// A recipe with that input.
fn recipe(input: &str) -> String {
    format!(
        "name: x\nversion: 1\narch: [amd64]\nepoch: 1\ninputs: {{in: {input}}}\n\
         layers: [{{name: a, files: [{{path: /a, content: a}}]}}]\n"
    )
}

fn archive() -> Vec<u8> {
    Tar::default().with(b"a.txt", Member::File(b"a")).gz()
}

fn lock(env: &Env) -> Run {
    env.treelay(["lock", "x.yaml"])
}

/// Nothing was locked, and nothing of what was refused is in the store.
fn is_refused(env: &Env, run: Run, says: &[&str]) {
    let before = env.path("x.lock").exists().then(|| env.read("x.lock"));
    let objects = env.dir().join("store/objects");
    let files = || -> Vec<String> {
        let all = if objects.exists() { listing(&objects) } else { String::new() };
        all.lines().filter(|line| !line.ends_with("directory")).map(str::to_owned).collect()
    };
    let stored = files();
    let output = run.fails(1);
    let told = output.err().split_whitespace().collect::<Vec<_>>().join(" ");
    for text in says {
        assert!(told.contains(text), "{text}\n{output}");
    }
    assert_eq!(env.path("x.lock").exists().then(|| env.read("x.lock")), before);
    assert_eq!(files(), stored, "{output}");
    store_is_clean(&env.dir().join("store"));
}

#[test]
fn a_publishers_list_is_the_first_trust() {
    let env = Env::new();
    let archive = archive();
    let sum = sha256(&archive);
    env.write("served/tool-1.tar.gz", &archive);
    let other = sha256(b"other");
    let sums = format!("{other}  tool-0.tar.gz\n{sum}  tool-1.tar.gz\n");
    env.write("served/SHA256SUMS", &sums);
    env.write("served/sums.json", format!("{{\"tool-1.tar.gz\": \"{sum}\"}}"));
    env.write("local.sha256", &sum);
    let server = Server::of(&env.path("served"));
    let input = |list: &str| {
        let url = server.url("tool-1.tar.gz");
        recipe(&format!("{{archive: {{urls: [\"{url}\"], verify: {{checksum: \"{list}\"}}}}}}"))
            .replace("files: [{path: /a, content: a}]", "archive: {input: in, prefix: /a}")
    };
    for list in [server.url("SHA256SUMS"), server.url("sums.json"), "local.sha256".to_owned()] {
        env.write("x.yaml", input(&list));
        lock(&env).arg("--update").ok();
        let text = env.read("x.lock");
        let evidence = format!("    {{ method = \"checksum\", from = \"{list}\" }},\n");
        assert!(
            text.contains(&evidence) && text.contains(&format!("sha256 = \"{sum}\"")),
            "{text}"
        );
        env.treelay(["lock", "x.yaml", "--check"]).ok();
    }
    // A build takes the lock's word.
    fs::remove_file(env.path("local.sha256")).unwrap();
    let fresh = format!("--store={}", env.path("fresh").display());
    env.treelay(["build", "x.yaml", "-o", "oci:out", "--locked", &fresh]).ok();
    // A lock without the evidence is none for this recipe.
    let text = env.read("x.lock");
    let start = text.find("evidence = [").unwrap();
    let end = start + text[start..].find("]\n").unwrap() + 2;
    env.write("x.lock", format!("{}{}", &text[..start], &text[end..]));
    env.treelay(["lock", "x.yaml", "--check"])
        .fails(1)
        .says("input \"in\" of amd64 was locked without `verify: [checksum]`");
    env.write("x.lock", text);

    // What is served is something else, or the list is.
    let fresh =
        || lock(&env).args(["--update", &format!("--store={}", env.path("none").display())]);
    env.write("x.yaml", input(&server.url("SHA256SUMS")));
    env.write("served/tool-1.tar.gz", Tar::default().with(b"evil", Member::File(b"a")).gz());
    is_refused(&env, fresh(), &["WRONG CONTENT for in for amd64", "tool-1.tar.gz: WRONG DIGEST"]);
    env.write("served/SHA256SUMS", format!("{other}  tool-0.tar.gz\n"));
    is_refused(
        &env,
        fresh(),
        &[
            "`verify: checksum` of in for amd64",
            "does not have tool-1.tar.gz; it has: tool-0.tar.gz",
        ],
    );
    fs::remove_file(env.path("served/SHA256SUMS")).unwrap();
    is_refused(&env, fresh(), &["`verify: checksum` of in for amd64", "HTTP 404"]);
    assert!(!env.path("none/objects").exists());

    // The recipe and the list do not agree.
    env.write("served/SHA256SUMS", &sums);
    let pinned =
        input(&server.url("SHA256SUMS")).replace("verify:", &format!("sha256: {other}, verify:"));
    env.write("x.yaml", pinned);
    is_refused(&env, fresh(), &[&format!("is sha256:{sum}, but the recipe says sha256:{other}")]);
}

/// A release of Go as it is published, and the sums that the database has of it.
fn release(env: &Env, folder: &str) -> String {
    let mut files = distribution("amd64");
    files.push(("test/x.go".to_owned(), b"package x\n".to_vec()));
    files.push(("src/go.mod".to_owned(), b"module std\n".to_vec()));
    let archive = Tar::of(&files).gz();
    let name = format!("{folder}/go1.27.3.linux-amd64.tar.gz");
    env.write(&name, &archive);
    env.write(&format!("{name}.sha256"), sha256(&archive));
    let (path, version) = ("golang.org/toolchain", "v0.0.1-go1.27.3.linux-amd64");
    let named: Vec<(String, Vec<u8>)> = files
        .iter()
        .filter(|(name, _)| !name.starts_with("test/"))
        .map(|(name, bytes)| {
            let name = name.replace("src/go.mod", "src/_go.mod");
            (format!("{path}@{version}/{name}"), bytes.clone())
        })
        .collect();
    let sum = sum_of(&named);
    let go_mod = b"module golang.org/toolchain\n".to_vec();
    let go_mod = sum_of(&[("go.mod".to_owned(), go_mod)]);
    format!("{path} {version} {sum}\n{path} {version}/go.mod {go_mod}\n")
}

#[test]
fn a_release_is_what_the_database_says() {
    let env = Env::new();
    let lines = release(&env, "served");
    let mut db = SumDb::new("sum.example");
    db.add("m.example/a v1.0.0 h1:a=\nm.example/a v1.0.0/go.mod h1:b=\n");
    db.add(&lines);
    db.publish(&env, "served/db", 2);
    let server = Server::of(&env.path("served"));
    let sumdb = format!("{} {}", db.key(), server.url("db"));
    let url = server.url("go1.27.3.linux-amd64.tar.gz");
    let input = |verify: &str| {
        recipe(&format!(
            "{{go-toolchain: {{version: 1.27.3, sources: [archive], verify: [{verify}], \
             sumdb: \"{sumdb}\", archive: {{amd64: {{urls: [\"{url}\"]}}}}}}}}"
        ))
    };
    env.write("x.yaml", input("checksum, sumdb"));
    lock(&env).ok();
    let sum = lines.split([' ', '\n']).nth(2).unwrap();
    let text = env.read("x.lock");
    let evidence = format!(
        "evidence = [\n    {{ method = \"checksum\", from = \"go1.27.3.linux-amd64.tar.gz.sha256\" }},\n    \
         {{ method = \"sumdb\", database = \"{}\", record = 1, sum = \"{sum}\" }},\n]\n",
        db.id()
    );
    assert!(text.contains(&evidence), "{text}\n{evidence}");
    // On another machine, with more in the log, it is the same.
    db.add("m.example/c v1.0.0 h1:a=\n");
    db.publish(&env, "served/db", 3);
    let other = format!("--store={}", env.path("other").display());
    lock(&env).args(["--update", &other]).ok();
    assert_eq!(env.read("x.lock"), text);

    // Another release than the log has, though its checksum is beside it.
    let forged =
        Tar::of(&distribution("amd64")).with(b"go/src/evil.go", Member::File(b"evil")).gz();
    env.write("served/go1.27.3.linux-amd64.tar.gz", &forged);
    env.write("served/go1.27.3.linux-amd64.tar.gz.sha256", sha256(&forged));
    is_refused(
        &env,
        lock(&env).arg("--update"),
        &["`verify: sumdb` of in for amd64", "and the checksum database says h1:"],
    );
    // The unsigned release, with the key of Go's releases.
    env.write("x.yaml", input("openpgp, sumdb"));
    env.write("served/go1.27.3.linux-amd64.tar.gz.asc", "no signature");
    is_refused(&env, lock(&env).arg("--update"), &["`verify: openpgp`", "asc is no signature"]);
}

/// A source that needs two modules, in a proxy that stands for the database too.
struct Modules {
    env: Env,
    db: SumDb,
}

const MODULES: &str = "go-modules: {dir: src, proxy: proxy, verify: [sumdb]";

impl Modules {
    fn new() -> Self {
        let env = Env::new();
        let mut db = SumDb::new("sum.example/x");
        let mut sums = String::new();
        for module in ["example.org/a", "corp.example/b"] {
            let go_mod = format!("module {module}\n");
            let files = [("go.mod", go_mod.as_str()), ("a.go", "package a\n")];
            let lines = add_module(&env, "proxy", module, "v1.0.0", &files);
            sums += &lines;
            db.add(&lines);
        }
        env.write("src/go.mod", "module example.org/x\n");
        env.write("src/go.sum", sums);
        let modules = Self { env, db };
        modules.publish(2);
        modules.recipe(&format!("{MODULES}, sumdb: \"{}\"}}", modules.db.key()));
        modules
    }

    fn recipe(&self, input: &str) {
        self.env.write("x.yaml", recipe(&format!("{{{input}}}")));
    }

    fn publish(&self, size: usize) {
        self.db.publish(&self.env, "proxy/sumdb/sum.example/x", size);
    }

    fn lock(&self) -> Run {
        lock(&self.env).arg("--update")
    }

    fn told(&self) -> String {
        let text = self.env.read("x.lock");
        let line = text.lines().find(|line| line.contains("method")).unwrap_or_default();
        line.trim().replace(&self.db.id(), "DB")
    }

    fn refused(&self, says: &[&str]) {
        is_refused(&self.env, self.lock(), says);
    }
}

#[test]
fn modules_are_what_the_database_says() {
    let it = Modules::new();
    it.lock().ok();
    assert_eq!(it.told(), "{ method = \"sumdb\", database = \"DB\", modules = 2 },");
    // As the environment says, where the recipe says nothing.
    it.recipe(&format!("{MODULES}}}"));
    it.lock().env("GOSUMDB", it.db.key()).ok();
    assert_eq!(it.told(), "{ method = \"sumdb\", database = \"DB\", modules = 2 },");
    let private = "{ method = \"sumdb\", database = \"DB\", modules = 1, private = 1 },";
    let run = it.lock().env("GOSUMDB", it.db.key()).env("GOPRIVATE", "*.example");
    run.ok();
    assert_eq!(it.told(), private);
    // GONOSUMDB comes before GOPRIVATE, the recipe before both.
    let run = it.lock().env("GOSUMDB", it.db.key()).env("GOPRIVATE", "*.example");
    run.env("GONOSUMDB", "none.example").ok();
    assert!(it.told().contains("modules = 2 }"), "{}", it.told());
    it.recipe(&format!("{MODULES}, private: \"corp.example\"}}"));
    it.lock().env("GOSUMDB", it.db.key()).env("GONOSUMDB", "none.example").ok();
    assert_eq!(it.told(), private);
    is_refused(&it.env, it.lock().env("GOSUMDB", "off"), &["GOSUMDB is off in the environment"]);
    let run = it.lock().env("GOSUMDB", "sum.example");
    is_refused(&it.env, run, &["the key of the checksum database \"sum.example\" is not known"]);
}

#[test]
fn the_log_that_was_seen_is_the_log_that_counts() {
    let mut it = Modules::new();
    it.lock().ok();
    let head = it.env.dir().join(format!("store/heads/{}", it.db.id().replace('/', "!")));
    let first = fs::read_to_string(&head).unwrap();
    assert!(first.starts_with("go.sum database tree\n2\n"), "{first}");
    // It grows, and its old edge is in a whole tile.
    it.db.add("m.example/c v1.0.0 h1:a=\n");
    it.publish(3);
    SumDb::only_whole_tiles(&it.env, "proxy/sumdb/sum.example/x", 3);
    it.lock().ok();
    let grown = fs::read_to_string(&head).unwrap();
    assert!(grown.starts_with("go.sum database tree\n3\n"), "{grown}");

    // It has become smaller. A proxy may have an old answer, which is told.
    it.publish(2);
    it.lock().ok().says("a proxy has an old answer: the checksum database went back");
    assert_eq!(fs::read_to_string(&head).unwrap(), grown);
    let server = Server::of(&it.env.path("proxy/sumdb/sum.example"));
    let direct = format!("{MODULES}, sumdb: \"{} {}\"}}", it.db.key(), server.url("x"));
    it.recipe(&direct);
    let went = "the checksum database went back: it has signed a tree of 3 records, and now says that the newest has 2.";
    it.refused(&["`verify: sumdb` of in for amd64", went]);

    // It has another history: of the same length, longer, shorter.
    let tiles = "proxy/sumdb/sum.example/x/tile/8/0/000";
    let edge = fs::read(it.env.path(tiles)).unwrap()[..3 * 32].to_vec();
    it.db.records[0].1 = it.db.records[0].1.replace("h1:", "h1:x");
    for size in [3, 4] {
        it.db.add("m.example/d v1.0.0 h1:a=\n");
        it.publish(size);
        it.refused(&["the checksum database shows two histories", "go.sum database tree 3 "]);
    }
    it.recipe(&format!("{MODULES}, sumdb: \"{}\"}}", it.db.key()));
    it.publish(2);
    it.env.write(&format!("{tiles}.p/3"), &edge);
    it.refused(&["the checksum database shows two histories"]);
    assert_eq!(fs::read_to_string(&head).unwrap(), grown);

    // What was kept is damaged: it is not forgotten in silence.
    flip(&head, 25);
    it.refused(&["is damaged", "the signature does not fit"]);
}

#[test]
fn what_proves_nothing_is_refused() {
    let it = Modules::new();
    let folder = "proxy/sumdb/sum.example/x";
    let tile = it.env.path(format!("{folder}/tile/8/0/000.p/2"));
    flip(&tile, 5);
    it.refused(&["`verify: sumdb` of in for amd64", "the tiles of the tree of 2 make the root"]);
    fs::remove_file(&tile).unwrap();
    it.refused(&["the proof needs tile/8/0/000.p/2, which is missing"]);
    it.publish(2);
    let answer = it.env.path(format!("{folder}/lookup/example.org/a@v1.0.0"));
    let text = fs::read_to_string(&answer).unwrap();
    fs::write(&answer, text.replace("h1:", "h1:x")).unwrap();
    it.refused(&["record 0 of the signed tree is another one"]);
    fs::remove_file(&answer).unwrap();
    it.refused(&["the checksum database sum.example/x does not have example.org/a v1.0.0"]);
    it.db.by_another_key().publish(&it.env, folder, 2);
    it.refused(&["the note is not signed by sum.example/x+"]);

    // The log has it otherwise than go.sum.
    let mut it = Modules::new();
    it.db.records[0].1 = it.db.records[0].1.replace("h1:", "h1:x");
    it.publish(2);
    it.refused(&["the go.mod of example.org/a v1.0.0 is h1:", "the checksum database says h1:x"]);
}
