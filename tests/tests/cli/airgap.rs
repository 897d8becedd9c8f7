//! Bundles of inputs: out of one store, into another, and a build from that without a network.

use std::fs;

use serde_json::Value;
use treelay_tests::git::Repo;
use treelay_tests::http::Server;
use treelay_tests::modules::add_module;
use treelay_tests::tamper::Random;
use treelay_tests::{Env, Run};

use crate::golang::{Tar, distribution};

/// A zip with one stored file.
fn wheel(name: &str, content: &[u8]) -> Vec<u8> {
    let mut crc = flate2::Crc::new();
    crc.update(content);
    let (size, length) = (content.len() as u32, name.len() as u16);
    // APPNOTE 4.3.7 and 4.3.12: what both headers have.
    let mut shared = vec![20, 0, 0, 0, 0, 0, 0, 0, 0x21, 0];
    for number in [crc.sum(), size, size] {
        shared.extend(number.to_le_bytes());
    }
    shared.extend(length.to_le_bytes());
    shared.extend([0, 0]);
    let mut zip = [b"PK\x03\x04", &shared[..], name.as_bytes(), content].concat();
    let start = zip.len() as u32;
    zip.extend([b"PK\x01\x02", &[20, 3][..], &shared, &[0; 6], &[0, 0, 0xa4, 0x81]].concat());
    zip.extend([0; 4]);
    zip.extend(name.as_bytes());
    let all = zip.len() as u32 - start;
    zip.extend(b"PK\x05\x06\0\0\0\0\x01\0\x01\0");
    zip.extend([all.to_le_bytes(), start.to_le_bytes()].concat());
    zip.extend([0, 0]);
    zip
}

/// A recipe that needs one of everything, and what it is taken from.
struct World {
    env: Env,
    server: Server,
}

impl World {
    fn new() -> Self {
        let env = Env::new();
        // What is fetched, below `web`: an archive, a Go distribution, an OSTree repository.
        let tar = |text: &[u8]| Tar::default().with(b"tool/run", crate::golang::Member::File(text));
        let archives = [
            ("web/tool.tar.gz", tar(b"#!/bin/sh\n").gz()),
            ("web/go.tar.gz", Tar::of(&distribution("amd64")).gz()),
        ];
        let digests = archives.map(|(path, bytes)| {
            env.write(path, &bytes);
            sha256(&bytes)
        });
        env.write("wheels/demo-1.0-py3-none-any.whl", wheel("demo/data.txt", b"from a wheel\n"));
        let repo = Repo::new(&env, "repo", "sha1");
        repo.write("src/a", "from git\n");
        let commit = repo.commit("first");
        let sums = add_module(
            &env,
            "proxy",
            "example.org/a",
            "v1.0.0",
            &[("go.mod", "module example.org/a\n"), ("a.go", "package a\n")],
        );
        env.write("src/go.mod", "module example.org/x\n\nrequire example.org/a v1.0.0\n");
        env.write("src/go.sum", sums);
        env.write(
            "os.yaml",
            "name: os\nversion: 1\narch: [amd64]\nepoch: 1700000000\n\
             layers: [{name: os, files: [{path: /usr/bin/sh, content: sh}, {path: /usr/big, content: big}]}]\n\
             ostree: {ref: os}\n",
        );
        env.treelay(["build", "os.yaml", "-o", "oci:image", "-o", "ostree:web/os"]).ok();
        let server = Server::of(&env.path("web"));
        let [tool, go] = digests;
        let (archive, dist) = (server.url("tool.tar.gz"), server.url("go.tar.gz"));
        env.write(
            "all.yaml",
            format!(
                "name: all\nversion: 1\narch: [amd64]\nepoch: 1700000001\n\
                 inputs:\n\
                 \x20 tool: {{archive: {{urls: [\"{archive}\"], sha256: {tool}}}}}\n\
                 \x20 go: {{go-toolchain: {{version: 1.27.3, sources: [archive], archive: {{amd64: \
                 {{urls: [\"{dist}\"], sha256: {go}}}}}}}}}\n\
                 \x20 data: {{pypi: {{package: demo, version: \"1.0\"}}}}\n\
                 \x20 mods: {{go-modules: {{dir: src, proxy: proxy}}}}\n\
                 \x20 src: {{git: {{url: repo, commit: {commit}, dir: src}}}}\n\
                 layers:\n\
                 - {{name: tool, archive: {{input: tool, prefix: /opt}}}}\n\
                 - {{name: go, go-toolchain: {{input: go, prefix: /usr/lib/go}}}}\n\
                 - {{name: data, archive: {{input: data, prefix: /usr/share}}}}\n\
                 - {{name: src, archive: {{input: src, prefix: /usr/src}}}}\n\
                 image: {{base: \"oci:image\"}}\n\
                 ostree: {{ref: all, base: {{remote: {{url: \"{}\", unverified: true}}, ref: os}}}}\n",
                server.url("os")
            ),
        );
        let world = Self { env, server };
        world.lock();
        world
    }

    fn lock(&self) {
        self.with_wheels(self.env.treelay(["lock", "all.yaml"])).ok();
    }

    fn with_wheels(&self, run: Run) -> Run {
        let wheels = self.env.path("wheels");
        run.env("PIP_NO_INDEX", "1").env("PIP_FIND_LINKS", wheels)
    }

    /// Takes away everything that inputs come from.
    fn unplug(self) -> Env {
        drop(self.server);
        for gone in ["web", "wheels", "repo", "proxy", "image"] {
            fs::remove_dir_all(self.env.path(gone)).unwrap();
        }
        self.env
    }
}

fn sha256(bytes: &[u8]) -> String {
    use sha2::{Digest as _, Sha256};
    hex::encode(Sha256::digest(bytes))
}

const BUILD: [&str; 7] = ["build", "all.yaml", "--locked", "--json", "-o", "oci:out", "-o"];

/// What a build says that does not depend on where and how long it ran.
fn essence(report: &Value) -> String {
    let mut report = report.clone();
    for part in ["seconds", "phases", "outputs"] {
        report.as_object_mut().unwrap().remove(part);
    }
    fn without_cached(value: &mut Value) {
        match value {
            Value::Object(fields) => {
                fields.remove("cached");
                fields.values_mut().for_each(without_cached);
            }
            Value::Array(values) => values.iter_mut().for_each(without_cached),
            _ => {}
        }
    }
    without_cached(&mut report);
    serde_json::to_string_pretty(&report).unwrap()
}

#[test]
fn a_build_from_a_bundle_without_network_gives_the_same_digests() {
    let world = World::new();
    let env = &world.env;
    let online = world.with_wheels(env.treelay(BUILD).arg("ostree:first")).ok().json();
    let said = env.treelay(["bundle", "export", "all.yaml", "all.tar.zst"]).ok().out();
    for part in ["recipe all.yaml, lock sha256:", "base image sha256:", "base commit "] {
        assert!(said.contains(part), "{part}: {said}");
    }
    // The same again, from another store, which has to fetch all of it.
    let again = ["bundle", "export", "all.yaml", "again.tar.zst", "--store=second"];
    world.with_wheels(env.treelay(again)).ok();
    let bundle = fs::read(env.path("all.tar.zst")).unwrap();
    assert!(bundle == fs::read(env.path("again.tar.zst")).unwrap(), "two exports differ");
    env.treelay(["bundle", "export", "all.yaml", "x.tar.zst", "--store=third", "--offline"])
        .fails(1)
        .says("offline");
    assert!(!env.path("x.tar.zst").exists());

    let env = world.unplug();
    env.treelay(["bundle", "verify", "all.tar.zst"]).ok().says("all as listed");
    let listed = env.treelay(["bundle", "list", "all.tar.zst", "--json"]).ok().json();
    assert_eq!(listed["recipes"][0]["file"], "all.yaml");
    assert!(listed["members"].as_array().unwrap().len() > 15, "{listed}");
    // Nothing is there that could be built from.
    let far = |run: Run| run.through(["unshare", "--user", "--map-root-user", "--net", "--"]);
    far(env.treelay(BUILD).args(["ostree:commits", "--store=far", "--offline"]))
        .fails(1)
        .says("forbids to download");
    far(env.treelay(["bundle", "import", "all.tar.zst", "--store=far", "--recipes=copy"])).ok();
    assert_eq!(env.read("copy/all.yaml"), env.read("all.yaml"));
    assert_eq!(env.read("copy/all.lock"), env.read("all.lock"));
    let built =
        far(env.treelay(BUILD).args(["ostree:commits", "--store=far", "--offline"])).ok().json();
    assert_eq!(essence(&online), essence(&built));
    env.treelay(["store", "verify", "--store=far"]).ok().says("0 wrong");
    // Once more into a store that has it all.
    env.treelay(["bundle", "import", "all.tar.zst", "--store=far", "--recipes=copy"]).ok();
    env.write("copy/all.lock", "another");
    env.treelay(["bundle", "import", "all.tar.zst", "--store=far", "--recipes=copy"])
        .fails(1)
        .says("all.lock is there, and differs");
}

#[test]
fn what_is_beside_the_recipe_is_told() {
    let env = crate::golang::from_dir();
    env.treelay(["lock", "go.yaml"]).ok();
    env.treelay(["bundle", "export", "go.yaml", "go.tar.zst"])
        .ok()
        .says("not in it, but beside the recipe: go for arm64: the directory sdk/arm64/go");
}

#[test]
fn what_makes_no_bundle_is_refused() {
    let env = crate::fixture::small();
    env.treelay(["bundle", "export", "small.yaml", "x.tar.zst"]).fails(1).says("there is no lock");
    env.treelay(["lock", "small.yaml"]).ok();
    env.treelay(["bundle", "export", "small.yaml"]).fails(2);
    env.treelay(["bundle", "export", "small.yaml", "small.yaml"])
        .fails(2)
        .says("looks like a recipe");
    crate::fixture::write_small(&env, "other/");
    env.treelay(["lock", "other/small.yaml"]).ok();
    env.treelay(["bundle", "export", "small.yaml", "other/small.yaml", "x.tar.zst"])
        .fails(1)
        .says("two of the recipes are called small.yaml");
    assert!(!env.path("x.tar.zst").exists());
    for (name, bytes) in [("empty", &b""[..]), ("text", b"no bundle"), ("cut", b"\x28\xb5\x2f\xfd")]
    {
        env.write(name, bytes);
        for command in ["import", "list", "verify"] {
            env.treelay(["bundle", command, name, "--store=s"]).fails(1).says("bundle");
        }
    }
}

#[test]
fn a_bundle_that_is_not_as_it_was_written_leaves_the_store_as_it_was() {
    let env = crate::fixture::small();
    env.treelay(["lock", "small.yaml"]).ok();
    env.treelay(["bundle", "export", "small.yaml", "good.tar.zst"]).ok();
    let good = fs::read(env.path("good.tar.zst")).unwrap();
    let objects = |store: &str| {
        crate::fixture::listing(&env.path(store))
            .lines()
            .filter(|line| line.contains("objects/"))
            .count()
    };
    let flips = (0..good.len()).step_by((good.len() / 40).max(1)).map(|at| {
        let mut bytes = good.clone();
        bytes[at] ^= 0x10;
        bytes
    });
    let cuts = [good.len() - 1, good.len() / 2, 10].map(|end| good[..end].to_vec());
    let longer = [good.as_slice(), b"\0"].concat();
    let twice = [good.as_slice(), &good].concat();
    for bytes in flips.chain(cuts).chain([longer, twice]) {
        env.write("bad.tar.zst", &bytes);
        let run = env.treelay(["bundle", "import", "bad.tar.zst", "--store=bad"]).output();
        // A few bits of zstd's frames mean nothing; whatever is taken is what the manifest says.
        if !run.status.success() {
            assert_eq!(objects("bad"), 0, "{run}");
        } else {
            env.treelay(["store", "verify", "--store=bad"]).ok();
            fs::remove_dir_all(env.path("bad")).unwrap();
        }
    }
    env.treelay(["bundle", "import", "good.tar.zst", "--store=bad"]).ok();
    // Recipe and lock, each in a folder.
    assert_eq!(objects("bad"), 4);
}

/// Two recipes that share an archive, which its publisher's list verifies; one has modules too.
fn two() -> Env {
    let env = Env::new();
    // Compresses badly, so that a bundle of it has some length.
    let mut random = Random(7);
    let bytes: Vec<u8> = (0..25_000).flat_map(|_| random.draw().to_le_bytes()).collect();
    let tool = Tar::default().with(b"tool/run", crate::golang::Member::File(&bytes)).gz();
    env.write("tool.tar.gz", &tool);
    env.write("SUMS", format!("{}  tool.tar.gz\n", sha256(&tool)));
    let files = [("go.mod", "module example.org/a\n"), ("a.go", "package a\n")];
    let sums = add_module(&env, "proxy", "example.org/a", "v1.0.0", &files);
    env.write("src/go.mod", "module example.org/x\n\nrequire example.org/a v1.0.0\n");
    env.write("src/go.sum", sums);
    let tool = "tool: {archive: {path: tool.tar.gz, verify: {checksum: SUMS}}}";
    let modules = "mods: {go-modules: {dir: src, proxy: proxy}}";
    for (name, inputs) in [("one", tool.to_owned()), ("two", format!("{tool}, {modules}"))] {
        env.write(
            &format!("{name}.yaml"),
            format!(
                "name: {name}\nversion: 1\narch: [amd64]\nepoch: 1\ninputs: {{{inputs}}}\n\
                 layers: [{{name: tool, archive: {{input: tool, prefix: /opt/{name}}}}}]\n"
            ),
        );
        env.treelay(["lock", &format!("{name}.yaml")]).ok();
    }
    env
}

const EXPORT: [&str; 6] = ["bundle", "export", "one.yaml", "two.yaml", "both.tar.zst", "--offline"];
const UNPLUGGED: [&str; 5] = ["unshare", "--user", "--map-root-user", "--net", "--"];

#[test]
fn recipes_share_a_bundle_and_their_evidence_comes_with_them() {
    let env = two();
    let digest = |store: &str, file: &str, folder: &str| {
        let out = format!("oci:out-{store}-{}", file.replace('/', "-"));
        let run = env.treelay(["build", file, "--locked", "--offline", "--json", "-o", &out]);
        let run = run.arg(format!("--store={}", env.path(store).display())).through(UNPLUGGED);
        run.current_dir(env.path(folder)).ok().json()["index"]["digest"].clone()
    };
    let store = env.dir().join("store");
    let first = ["one.yaml", "two.yaml"].map(|file| digest(store.to_str().unwrap(), file, "."));
    env.treelay(EXPORT).through(UNPLUGGED).ok();
    // Into a store that has one of them already, though damaged.
    env.treelay(["build", "one.yaml", "-o", "oci:far-one", "--store=far"]).ok();
    let tool = sha256(&fs::read(env.path("tool.tar.gz")).unwrap());
    let object = env.path(format!("far/objects/{}/{}", &tool[..2], &tool[2..]));
    let mut bytes = fs::read(&object).unwrap();
    bytes[100] ^= 1;
    fs::remove_file(&object).unwrap();
    fs::write(&object, bytes).unwrap();
    for gone in ["tool.tar.gz", "SUMS", "proxy"] {
        fs::rename(env.path(gone), env.path(format!("gone-{gone}"))).unwrap();
    }
    env.treelay(["bundle", "import", "both.tar.zst", "--store=far", "--recipes=copy"]).ok();
    env.run("cp").args(["-r", "src", "copy/src"]).ok();
    for (file, first) in ["one.yaml", "two.yaml"].iter().zip(first) {
        let lock = file.replace("yaml", "lock");
        assert!(
            env.read(&format!("copy/{lock}")).contains("method = \"checksum\", from = \"SUMS\"")
        );
        env.treelay(["lock", file, "--check", "--store=far"]).current_dir(env.path("copy")).ok();
        assert_eq!(digest("far", file, "copy"), first);
    }
    env.treelay(["store", "verify", "--store=far"]).ok().says("0 wrong");

    // One file that differs keeps all of them away.
    for gone in ["one.yaml", "one.lock", "two.lock"] {
        fs::remove_file(env.path(format!("copy/{gone}"))).unwrap();
    }
    env.write("copy/two.yaml", "another");
    env.treelay(["bundle", "import", "both.tar.zst", "--store=far", "--recipes=copy"])
        .fails(1)
        .says("two.yaml is there, and differs")
        .says("no recipe or lock was written");
    assert_eq!(env.read("copy/two.yaml"), "another");
    assert!(!env.path("copy/one.yaml").exists() && !env.path("copy/two.lock").exists());
}

#[test]
fn what_is_damaged_in_the_store_is_fetched_anew_for_a_bundle() {
    let env = two();
    env.treelay(EXPORT).ok();
    let good = fs::read(env.path("both.tar.zst")).unwrap();
    // Of the length that it should have.
    let digest = sha256(b"package a\n");
    let object = env.dir().join(format!("store/objects/{}/{}", &digest[..2], &digest[2..]));
    fs::remove_file(&object).unwrap();
    fs::write(&object, "PACKAGE a\n").unwrap();
    env.treelay(EXPORT).fails(1).says("missing or damaged").says("do the same again");
    assert!(fs::read(env.path("both.tar.zst")).unwrap() == good);
    env.treelay(EXPORT).ok();
    assert!(fs::read(env.path("both.tar.zst")).unwrap() == good);
    // A lock that was merged wrongly is found out here, and not where nothing can be fetched.
    let text = env.read("one.lock");
    let at = text.find("identity = \"sha256:").unwrap() + 19;
    env.write("one.lock", format!("{}{}{}", &text[..at], sha256(b"other"), &text[at + 64..]));
    env.treelay(EXPORT).fails(1).says("tool for amd64 is not what the lock says");
}

#[test]
fn without_room_there_is_no_bundle_and_nothing_of_one() {
    let env = two();
    let hidden = || {
        let names = fs::read_dir(env.path(".")).unwrap().map(|entry| entry.unwrap().file_name());
        names.filter(|name| name.to_string_lossy().starts_with('.')).count()
    };
    // A limit of the length of files stands for a full disk, and kills where nothing catches it.
    let full = |run: Run| run.after_shell("trap '' XFSZ && ulimit -f 64");
    full(env.treelay(EXPORT)).fails(1).says("writing both.tar.zst").says("File too large");
    let killed = env.treelay(EXPORT).after_shell("ulimit -c 0 && ulimit -f 64").output();
    assert_eq!(killed.status.code(), None, "{killed}");
    assert!(!env.path("both.tar.zst").exists());
    assert_eq!(hidden(), 0);

    env.treelay(EXPORT).ok();
    let import = || env.treelay(["bundle", "import", "both.tar.zst", "--store=far"]);
    full(import()).fails(1).says("keeping what is in the bundle");
    assert!(!env.path("far/objects").exists());
    import().ok();
    env.treelay(["store", "verify", "--store=far"]).ok().says("0 wrong");
}
