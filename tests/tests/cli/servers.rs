//! Inputs from servers: go.dev and its mirrors, who serves in the end, and what treelay.toml says.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use treelay_tests::http::Server;
use treelay_tests::{Env, Run};

use crate::fixture::settle;
use crate::golang::{Files, Tar, distribution};

const SECRET: &str = "s3cret-and-nobody-elses";

/// A recipe whose Go is what `options` say.
pub fn recipe(options: &str) -> String {
    format!(
        "name: golang\nversion: \"{{{{ input.go.version }}}}\"\narch: [amd64, arm64]\n\
         inputs:\n  go:\n    go-toolchain: {{{options}}}\n\
         layers:\n- name: toolchain\n  go-toolchain: {{input: go, prefix: /usr/lib/golang}}\n"
    )
}

pub const FILES: &str = "srv/dl";
pub const PROXY: &str = "srv/proxy/golang.org/toolchain/@v";

/// An environment with a server that has Go 1.27.3 as go.dev and as a GOPROXY have it, and a newer
/// candidate; go.dev is that server.
pub fn served() -> (Env, Server) {
    let env = Env::new();
    let mut files = Vec::new();
    for arch in ["amd64", "arm64"] {
        let tree = published(arch);
        let (name, archive) = (format!("go1.27.3.linux-{arch}.tar.gz"), Tar::of(&tree).gz());
        let sha256 = hex::encode(Sha256::digest(&archive));
        env.write(&format!("{FILES}/{name}.sha256"), &sha256);
        files.push(format!(
            r#"{{"filename": "{name}", "os": "linux", "arch": "{arch}", "version": "go1.27.3",
            "sha256": "{sha256}", "size": {}, "kind": "archive"}}"#,
            archive.len()
        ));
        env.write(&format!("{FILES}/{name}"), archive);
        module(&env, arch, &tree);
    }
    let list = format!(
        r#"[{{"version": "go1.28rc1", "stable": false, "files": []}},
        {{"version": "go1.27.3", "stable": true, "files": [{}]}}]"#,
        files.join(",")
    );
    env.write(&format!("{FILES}/index"), list);
    let server = Server::of(&env.path("srv"));
    user_settings(&env, &mirror(&server));
    (env, server)
}

/// A distribution with the go.mod that makes one of it for the go command.
pub fn published(arch: &str) -> Files {
    let mut tree = distribution(arch);
    tree.push(("src/go.mod".into(), b"module std\n".to_vec()));
    tree
}

pub fn mirror(server: &Server) -> String {
    format!(
        "[[mirror]]\nfrom = \"https://go.dev/dl/\"\nto = [\"{}\"]\nonly = true\n",
        server.url("dl/")
    )
}

/// Puts a distribution where a GOPROXY has it, as cmd/distpack makes it: go.mod has another name.
fn module(env: &Env, arch: &str, tree: &Files) {
    let version = format!("v0.0.1-go1.27.3.linux-{arch}");
    let _ = fs::remove_dir_all(env.path("zip"));
    for (path, bytes) in tree {
        let path = path.replace("go.mod", "_go.mod");
        env.write(&format!("zip/golang.org/toolchain@{version}/{path}"), bytes);
    }
    fs::create_dir_all(env.path(PROXY)).unwrap();
    let zip = env.path(format!("{PROXY}/{version}.zip"));
    env.run("python3").args(["-c", ZIP]).arg(zip).arg(env.path("zip")).ok();
    let list = env.path(format!("{PROXY}/list"));
    let known = fs::read_to_string(&list).unwrap_or_default();
    fs::write(list, format!("{known}{version}\n")).unwrap();
}

/// A zip archive of what is in a folder.
const ZIP: &str = "import os, sys, zipfile
with zipfile.ZipFile(sys.argv[1], 'w', zipfile.ZIP_DEFLATED) as archive:
    for folder, _, names in os.walk(sys.argv[2]):
        for name in names:
            path = os.path.join(folder, name)
            archive.write(path, os.path.relpath(path, sys.argv[2]))";

pub fn user_settings(env: &Env, text: &str) {
    let folder = env.dir().join("home/.config/treelay");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("treelay.toml"), text).unwrap();
}

/// `lock`, and for each arch source, place and identity in the lock.
fn lock(env: &Env, options: &str) -> Vec<[String; 4]> {
    env.write("go.yaml", recipe(options));
    let _ = fs::remove_file(env.path("go.lock"));
    env.treelay(["lock", "go.yaml"]).ok();
    let text = env.read("go.lock");
    let value = |stanza: &str, key: &str| {
        let line = stanza.lines().find_map(|line| line.strip_prefix(&format!("{key} = ")));
        line.unwrap_or_default().trim_matches('"').to_owned()
    };
    let stanzas = text.split("[[input]]").skip(1);
    stanzas.map(|s| ["version", "source", "from", "identity"].map(|key| value(s, key))).collect()
}

#[test]
fn every_source_gives_the_same_toolchain() {
    let (env, server) = served();
    let first = lock(&env, "version: stable, sources: [go.dev]");
    let file = |arch: &str| format!("go1.27.3.linux-{arch}.tar.gz");
    for (locked, arch) in first.iter().zip(["amd64", "arm64"]) {
        let [version, source, from, _] = locked;
        assert_eq!([version, source], ["1.27.3", "go.dev"]);
        assert_eq!(*from, format!("https://go.dev/dl/{}", file(arch)));
    }
    // What the lock says is the version, also where the recipe says no more than `stable`.
    assert_eq!(
        env.treelay(["build", "go.yaml", "--locked", "--json"]).ok().json()["version"],
        "1.27.3"
    );
    env.treelay(["lock", "go.yaml", "--check"]).ok();

    let dl = server.url("dl");
    let named = server.url("dl/go{{ version }}.linux-{{ arch }}.tar.gz");
    let proxy = server.url("proxy");
    for (options, source) in [
        ("version: 1.27, sources: [go.dev]".to_owned(), "go.dev"),
        (format!("version: 1.27.3, sources: [mirror], mirror: \"{dl}\""), "mirror"),
        (format!("version: 1.27.3, sources: [mirror], mirror: \"{named}\""), "mirror"),
        (format!("version: 1.27, sources: [module], proxy: \"{proxy}\""), "module"),
        (format!("version: 1.27.3, sources: [module], proxy: \"{proxy}\""), "module"),
    ] {
        let locked = lock(&env, &options);
        assert_eq!(locked.len(), 2);
        for (locked, first) in locked.iter().zip(&first) {
            assert_eq!([&locked[0], &locked[1]], ["1.27.3", source], "{options}");
            assert_eq!(locked[3], first[3], "{options}");
        }
    }
}

#[test]
fn an_image_has_a_toolchain_too() {
    let (env, _server) = served();
    let first = lock(&env, "version: 1.27.3, sources: [go.dev]");
    let built = env.treelay(["build", "go.yaml", "-o", "oci:sdk:go", "--json"]).ok().json();
    let layer = |at: usize| built["images"][at]["layers"][0]["digest"].as_str().unwrap().to_owned();
    let layers = format!("{{amd64: \"{}\", arm64: \"{}\"}}", layer(0), layer(1));
    // usr/lib/golang comes before it in the layer.
    let options = format!(
        "version: 1.27.3, sources: [oci], oci: {{image: \"oci:sdk:go\", layer: {layers}, strip: 3}}"
    );
    fs::remove_dir_all(env.dir().join("store")).unwrap();
    let locked = lock(&env, &options);
    assert_eq!(
        locked.iter().map(|l| &l[3]).collect::<Vec<_>>(),
        first.iter().map(|l| &l[3]).collect::<Vec<_>>()
    );
    assert_eq!(locked[0][2], format!("oci:sdk:go {}", layer(0)));

    for arch in ["amd64", "arm64"] {
        let name = format!("go1.27.3.linux-{arch}.tar.gz");
        let bytes = fs::read(env.path(format!("{FILES}/{name}"))).unwrap();
        env.write(&format!("in/{arch}/go.tgz"), bytes);
    }
    env.write(
        "files.yaml",
        "name: files\nversion: \"1\"\nepoch: 1\narch: [amd64, arm64]\nlayers:\n- name: data\n  \
         directory: {source: \"in/{{ arch }}\", prefix: /srv}\n",
    );
    env.treelay(["build", "files.yaml", "-o", "oci:files"]).ok();
    let at = |path| {
        format!("version: 1.27.3, sources: [oci], oci: {{image: \"oci:files\", path: {path}}}")
    };
    assert_eq!(lock(&env, &at("/srv/go.tgz"))[1][3], first[1][3]);
    env.write("go.yaml", recipe(&at("/srv/none")));
    // The arches are asked beside each other; the first of the recipe is told.
    let said = "oci:files: its image for amd64 has no file /srv/none";
    env.treelay(["lock", "go.yaml"]).fails(1).says(said);
}

fn failures(json: &Value) -> Vec<(String, bool)> {
    let all = json["served"].as_array().unwrap().iter();
    all.flat_map(|one| one["attempts"].as_array().unwrap().clone())
        .map(|at| (at["source"].as_str().unwrap().to_owned(), at["lied"].as_bool().unwrap()))
        .collect()
}

#[test]
fn any_source_may_serve_what_is_locked_and_liars_are_told() {
    let (env, server) = served();
    let proxy = server.url("proxy");
    let sources = format!("sources: [go.dev, module], proxy: \"{proxy}\"");
    env.write("go.yaml", recipe(&format!("version: 1.27, {sources}")));
    let locked = env.treelay(["lock", "go.yaml", "--json"]).ok().json();
    assert_eq!(locked["served"][0]["source"], "go.dev");
    assert_eq!(locked["served"][0]["served"], server.url("dl/go1.27.3.linux-amd64.tar.gz"));
    assert_eq!(failures(&locked), []);

    let text = env.read("go.lock");
    fs::remove_dir_all(env.dir().join("store")).unwrap();
    let mut other = distribution("amd64");
    other[0].1.extend(b"\n");
    env.write(&format!("{FILES}/go1.27.3.linux-amd64.tar.gz"), Tar::of(&other).gz());
    fs::remove_file(env.path(format!("{FILES}/go1.27.3.linux-arm64.tar.gz"))).unwrap();
    let output = env.treelay(["build", "go.yaml", "--locked", "--json"]).ok();
    assert!(output.err().contains("WRONG CONTENT for go for amd64"), "{output}");
    let built = output.json();
    assert_eq!(failures(&built), [("go.dev".to_owned(), true), ("go.dev".to_owned(), false)]);
    for one in built["served"].as_array().unwrap() {
        assert_eq!(one["source"], "module");
        assert!(one["served"].as_str().unwrap().starts_with(&server.url("proxy/golang.org/")));
    }
    assert_eq!(env.read("go.lock"), text);
    // What was served wrongly can be looked at.
    assert_eq!(fs::read_dir(env.dir().join("store/quarantine")).unwrap().count(), 1);

    // And where nobody has it, all of them are named, the lock's own first.
    fs::remove_dir_all(env.dir().join("store")).unwrap();
    module(&env, "amd64", &other);
    let output = env.treelay(["build", "go.yaml", "--locked"]).fails(1);
    assert!(output.err().contains("WRONG CONTENT for go for amd64"), "{output}");
    assert!(output.err().contains("module: go for amd64 is not what the lock says"), "{output}");
}

#[test]
fn a_source_that_cannot_say_what_it_has_is_passed_over() {
    let (env, server) = served();
    fs::remove_file(env.path(format!("{FILES}/index"))).unwrap();
    let proxy = server.url("proxy");
    let mirror = server.url("none");
    let options = format!(
        "version: 1.27, sources: [mirror, go.dev, module], mirror: \"{mirror}\", proxy: \"{proxy}\""
    );
    env.write("go.yaml", recipe(&options));
    let output = env.treelay(["lock", "go.yaml", "--json"]).ok();
    let json = output.json();
    assert_eq!(json["served"][0]["source"], "module");
    let failed = failures(&json);
    assert_eq!(failed[..2], [("mirror".to_owned(), false), ("go.dev".to_owned(), false)]);
    assert!(output.err().contains("a mirror has no list of them"), "{output}");
}

#[test]
fn secrets_stay_secret() {
    let (env, server) = served();
    let host = |login: &str| format!("{}[host.\"127.0.0.1\"]\n{login}\n", mirror(&server));
    env.write("token", format!("{SECRET}\n"));
    let file = env.path("token");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let logins = [
        (format!("token-file = \"{}\"", file.display()), format!("Bearer {SECRET}")),
        ("token-env = \"TOKEN\"".to_owned(), format!("Bearer {SECRET}")),
        ("user = \"me\"\npassword-env = \"TOKEN\"".to_owned(), "Basic".to_owned()),
    ];
    let run = |args: &[&str]| -> Run {
        env.treelay(args).env("TOKEN", SECRET).env("TREELAY_LOG", "trace")
    };
    let encoded = STANDARD.encode(format!("me:{SECRET}"));
    let silent = |text: &str| {
        assert!(!text.contains(SECRET) && !text.contains(&encoded), "{text}");
    };
    env.write("go.yaml", recipe("version: stable, sources: [go.dev]"));
    for (login, header) in logins {
        user_settings(&env, &host(&login));
        let _ = fs::remove_dir_all(env.dir().join("store"));
        let _ = fs::remove_file(env.path("go.lock"));
        for args in [
            &["lock", "go.yaml", "--json"][..],
            &["plan", "go.yaml", "--json"],
            &["build", "go.yaml", "--json", "-o", "oci:out"],
        ] {
            let output = run(args).ok();
            silent(&output.out());
            silent(&output.err());
        }
        silent(&env.read("go.lock"));
        let heads = server.heads();
        let asked = heads.last().unwrap();
        let sent = asked.lines().find_map(|line| line.strip_prefix("authorization: "));
        assert!(sent.is_some_and(|sent| sent.starts_with(&header)), "{asked}");
    }
    // Nor where it goes wrong.
    fs::remove_dir_all(env.dir().join("store")).unwrap();
    fs::remove_dir_all(env.path("srv")).unwrap();
    let output = run(&["build", "go.yaml", "--locked"]).fails(1);
    silent(&output.err());
    user_settings(&env, &host("token-env = \"NO_SUCH\""));
    let output = run(&["build", "go.yaml", "--locked"]).fails(1);
    output.says("the login for 127.0.0.1: the variable that it names is not set");
    let wrong =
        format!("[[mirror]]\nfrom = \"go.dev\"\nto = [\"https://me:{SECRET}@m.example/\"]\n");
    user_settings(&env, &wrong);
    let output = run(&["build", "go.yaml"]).fails(2);
    silent(&output.err());
}

#[test]
fn a_project_cannot_send_the_users_secrets_anywhere() {
    let (env, server) = served();
    env.write("go.yaml", recipe("version: stable, sources: [go.dev]"));
    let project = format!("{}[host.\"127.0.0.1\"]\ntoken-env = \"TOKEN\"\n", mirror(&server));
    env.write("treelay.toml", project);
    let output = env.treelay(["lock", "go.yaml"]).env("TOKEN", SECRET).fails(2);
    assert_eq!(
        settle(&env, &output.err()),
        "error: `token-env` is for the user's own treelay.toml alone\n \
         --> [WORK]/treelay.toml:6:13\n  = \
         a file beside a recipe may neither trust nor log in\n"
    );
    assert_eq!(server.requests(), 0);

    // Nor lead around the user's mirrors.
    let other = Server::of(&env.path("srv/dl/none"));
    env.write("treelay.toml", mirror(&other).replace("go.dev/dl/", "go.dev/dl"));
    user_settings(&env, &mirror(&server).replace("/dl/\"\nto", "/\"\nto").replace("dl/\"]", "\"]"));
    env.treelay(["lock", "go.yaml"]).ok();
    assert_eq!(other.requests(), 0);

    // What nothing verifies is not asked of a project's mirror; what is locked may be.
    user_settings(&env, "");
    env.write("treelay.toml", mirror(&server));
    fs::remove_dir_all(env.dir().join("store")).unwrap();
    env.treelay(["build", "go.yaml", "--locked"]).ok();
    fs::remove_file(env.path("go.lock")).unwrap();
    env.treelay(["lock", "go.yaml"]).fails(1).says("no mirror that is believed can have it");
}

#[test]
fn what_is_wrong_in_treelay_toml_is_told() {
    let (env, _server) = served();
    env.write("go.yaml", recipe("version: stable, sources: [go.dev]"));
    user_settings(&env, "[limits]\nper-hots = 3\n");
    let output = env.treelay(["lock", "go.yaml"]).fails(2);
    let told = "error: unknown key `per-hots` in limits\n --> [ENV]/home/.config/treelay/treelay.toml:2:1\n  \
                |\n2 | per-hots = 3\n  | ^^^^^^^^ did you mean `per-host`?\n";
    assert_eq!(settle(&env, &output.err()), told);
}
