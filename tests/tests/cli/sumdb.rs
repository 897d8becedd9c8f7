//! `verify: [sumdb]`: releases and modules that Go's checksum database has, and logs that lie.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use treelay_tests::http::Server;
use treelay_tests::modules::{add_module, sum_of};
use treelay_tests::sumdb::{SumDb, flip};
use treelay_tests::{Env, Run};

use crate::fixture::listing;
use crate::golang::{Member, Tar, distribution};
use crate::verified::{is_refused, lock, recipe, sha256};

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

/// Adds records of nobody's modules.
fn grow(db: &mut SumDb, records: usize) {
    for number in db.records.len()..records {
        db.add(&format!("m.example/{number} v1.0.0 h1:a=\n"));
    }
}

#[test]
fn whole_tiles_are_asked_for_once() {
    let mut it = Modules::new();
    grow(&mut it.db, 600);
    it.publish(600);
    let server = Server::of(&it.env.path("proxy/sumdb/sum.example"));
    it.recipe(&format!("{MODULES}, sumdb: \"{} {}\"}}", it.db.key(), server.url("x")));
    let tiles = || -> Vec<String> {
        let asked = server.heads().into_iter().filter_map(|head| {
            Some(head.split(' ').nth(1)?.strip_prefix("/x/tile/8/")?.to_owned())
        });
        asked.collect()
    };
    it.lock().ok();
    let first = tiles();
    for path in ["0/000", "0/002.p/88", "1/000.p/2"] {
        assert!(first.iter().any(|asked| asked == path), "{path}: {first:?}");
    }
    // In the next run, and where the tree has grown.
    grow(&mut it.db, 700);
    it.publish(700);
    it.lock().ok();
    let second = tiles().split_off(first.len());
    for path in ["0/002.p/188", "1/000.p/2"] {
        assert!(second.iter().any(|asked| asked == path), "{path}: {second:?}");
    }
    assert!(!second.iter().any(|asked| asked == "0/000"), "{second:?}");

    // One that is damaged in the store is asked for again.
    let products = it.env.dir().join("store/products");
    let listed = listing(&products);
    let kept: Vec<&str> = listed.lines().filter(|line| line.contains(".sumdb-tile")).collect();
    assert!(!kept.is_empty(), "{listed}");
    for line in kept {
        let path = line.split_whitespace().find(|word| word.ends_with(".sumdb-tile")).unwrap();
        flip(&products.join(path), 70);
    }
    let before = tiles().len();
    it.lock().ok();
    assert!(tiles()[before..].iter().any(|asked| asked == "0/000"));

    // It proves nothing of another history.
    it.db.records[1].1 = it.db.records[1].1.replace("h1:", "h1:x");
    grow(&mut it.db, 800);
    it.publish(800);
    it.refused(&["the checksum database shows two histories"]);
}

#[test]
fn runs_side_by_side_see_one_log() {
    let mut it = Modules::new();
    grow(&mut it.db, 40);
    let mut forged = it.db.clone();
    forged.records[3].1 = forged.records[3].1.replace("h1:", "h1:x");
    let sizes = [10, 20, 30, 40];
    let runs = ["a", "b", "c", "d", "f"];
    for (at, name) in runs.into_iter().enumerate() {
        // Each has a proxy of its own, with the tiles of all trees and the head of another time.
        it.env.run("cp").args(["-r", "proxy", name]).ok();
        let folder = format!("{name}/sumdb/sum.example/x");
        sizes.iter().for_each(|size| it.db.publish(&it.env, &folder, *size));
        match sizes.get(at) {
            Some(size) => it.db.publish(&it.env, &folder, *size),
            None => forged.publish(&it.env, &folder, 5),
        }
        let input = MODULES.replace("proxy: proxy", &format!("proxy: {name}"));
        let text = recipe(&format!("{{{input}, sumdb: \"{}\"}}}}", it.db.key()));
        it.env.write(&format!("{name}.yaml"), text);
    }
    let at_once: Vec<_> = runs
        .iter()
        .map(|name| {
            let run = it.env.treelay(["lock", &format!("{name}.yaml")]);
            std::thread::spawn(move || run.output())
        })
        .collect();
    let outputs: Vec<_> = at_once.into_iter().map(|run| run.join().unwrap()).collect();
    let good = |at: usize| outputs[at].status.success();
    let forged = good(4);
    let head = it.env.dir().join(format!("store/heads/{}", it.db.id().replace('/', "!")));
    let kept = fs::read_to_string(head).unwrap();
    let size = if forged { 5 } else { 40 };
    assert!(kept.starts_with(&format!("go.sum database tree\n{size}\n")), "{kept}");
    for (at, output) in outputs.iter().enumerate() {
        assert_eq!(output.status.success(), (at == 4) == forged, "{output}");
        if !output.status.success() {
            assert!(output.err().contains("the checksum database shows two histories"), "{output}");
        }
    }
}

#[test]
fn databases_are_where_the_setting_says() {
    const SECRET: &str = "s3cret-of-the-database";
    let it = Modules::new();
    let host = Server::of(&it.env.path("proxy/sumdb/sum.example"));
    let (key, modules) = (it.db.key(), format!("{MODULES}}}"));
    // A private one, which wants to know who asks.
    it.recipe(&modules);
    it.env.write("token", SECRET);
    let folder = it.env.dir().join("home/.config/treelay");
    fs::create_dir_all(&folder).unwrap();
    let token = it.env.path("token");
    fs::set_permissions(&token, fs::Permissions::from_mode(0o600)).unwrap();
    let settings = format!("[host.\"127.0.0.1\"]\ntoken-file = \"{}\"\n", token.display());
    fs::write(folder.join("treelay.toml"), settings).unwrap();
    let run = it.lock().env("GOSUMDB", format!("{key} {}", host.url("x"))).ok();
    let heads = host.heads();
    assert!(heads.len() >= 3, "{heads:?}");
    for head in &heads {
        assert!(head.to_ascii_lowercase().contains(&format!("authorization: bearer {SECRET}")));
    }
    assert!(!run.err().contains(SECRET) && !it.env.read("x.lock").contains(SECRET), "{run}");
    let text = it.env.read("x.lock");

    // Through proxies: the first that stands for it; a comma goes on where it has it not.
    let proxies = format!("{},{}", host.url("none"), it.env.path("proxy").display());
    it.recipe(&modules.replace("proxy: proxy", &format!("proxy: \"{proxies}\"")));
    it.lock().env("GOSUMDB", &key).ok();
    assert_eq!(it.env.read("x.lock"), text);
    // What it is by default is what the go command has built in: another's key is not its.
    let it = Modules::new();
    let mut other = SumDb::new("sum.golang.org");
    other.records = it.db.records.clone();
    other.publish(&it.env, "proxy/sumdb/sum.golang.org", 2);
    it.recipe(&modules);
    for setting in [
        "",
        "sum.golang.org",
        "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8",
    ] {
        let said = "the note is not signed by sum.golang.org+033de0ae";
        is_refused(&it.env, it.lock().env("GOSUMDB", setting), &[said]);
    }
    for (setting, says) in [
        ("sum.golang.org a b", "GOSUMDB has 3 words"),
        ("sum.golang.org http://sum.example", "is not the address of a checksum database"),
        ("sum.example+00000000+AAAA", "is not the key of a checksum database"),
    ] {
        is_refused(&it.env, it.lock().env("GOSUMDB", setting), &[says]);
    }
    // A module that nobody is asked about needs no database, and no pattern is taken for none.
    let (sum, no) = (it.db.key(), "example.org,corp.example");
    it.lock().env("GOSUMDB", &sum).env("GONOSUMDB", no).ok();
    assert_eq!(it.told(), "{ method = \"sumdb\", database = \"DB\", modules = 0, private = 2 },");
    let run = it.lock().env("GOSUMDB", &sum).env("GOPRIVATE", "[corp.example");
    is_refused(&it.env, run, &["[corp.example"]);
}
