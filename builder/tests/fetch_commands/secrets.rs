//! Secrets are in no output, no log and no file that treelay writes, whether it goes well or not.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{World, archive, said};
use crate::fault_server::{Answer, Server};
use crate::fetch_rules::tls::Authority;

const TOKEN: &str = "t0ken-in-a-file";
const PASSWORD: &str = "pa55word-in-a-variable";
const PROXY: &str = "pr0xy-pa55word";
const MODULES: &str = "m0dules-pa55word";
const INDEX: &str = "1ndex-pa55word";

/// What nobody may see, as it is and as it is sent.
struct Secrets(Vec<String>);

impl Secrets {
    fn of(key: &str) -> Self {
        let plain = [TOKEN, PASSWORD, PROXY, MODULES, INDEX].map(str::to_owned);
        let sent = plain.iter().map(|text| STANDARD.encode(format!("me:{text}")));
        // A line in the middle of the key.
        let line = key.lines().nth(1).unwrap().to_owned();
        Self(plain.iter().cloned().chain(sent).chain([line]).collect())
    }

    #[track_caller]
    fn are_not_in(&self, bytes: &[u8], where_: &str) {
        let text = String::from_utf8_lossy(bytes);
        for secret in &self.0 {
            assert!(!text.contains(secret), "{secret} is in {where_}");
        }
    }

    /// In none of the files below a folder.
    fn are_not_below(&self, folder: &Path) -> usize {
        let mut files = 0;
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let meta = path.symlink_metadata().unwrap();
            if meta.is_dir() {
                files += self.are_not_below(&path);
            } else if meta.is_file() {
                let bytes = std::fs::read(&path).unwrap();
                // A bundle is looked into.
                let bytes = match path.extension().is_some_and(|name| name == "zst") {
                    true => zstd::decode_all(&bytes[..]).unwrap(),
                    false => bytes,
                };
                self.are_not_in(&bytes, &path.display().to_string());
                files += 1;
            }
        }
        files
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_are_nowhere() {
    let ours = Authority::new();
    let (certificate, key) = ours.client_pems();
    let secrets = Secrets::of(&key);
    let (tool, data) = (archive(3000), archive(5000));
    let asks = ours.server_that_asks("127.0.0.1", true);
    let first = Server::start_tls(vec![Answer::ok(&tool); 2], asks).await;
    let second = Server::start(vec![Answer::ok(&data), Answer::ok(b"another")]).await;
    let world = World::new();
    for (name, text) in [("ca.pem", &*ours.pem()), ("me.pem", &certificate), ("me.key", &key)] {
        world.write_setting(name, text);
    }
    world.write_setting("token", TOKEN);
    world.settings(&format!(
        "[host.\"127.0.0.1:{}\"]\nca = \"ca.pem\"\nclient-cert = \"me.pem\"\n\
         client-key = \"me.key\"\ntoken-file = \"token\"\n\
         [host.\"127.0.0.1:{}\"]\nuser = \"me\"\npassword-env = \"SECRET\"\n\
         [limits]\ntries = 2\nbackoff = \"1ms\"\n",
        first.port(),
        second.port()
    ));
    let url = format!("https://127.0.0.1:{}/x", first.port());
    let sha256 = |bytes: &[u8]| treelay_recipes::Digest::of(bytes).hex();
    world.write(
        "tool.yaml",
        format!(
            "name: tool\nversion: \"1\"\narch: [amd64]\nepoch: 1\ninputs:\n\
             \x20 tool: {{archive: {{urls: [\"{url}\"], sha256: {}}}}}\n\
             \x20 data: {{archive: {{urls: [\"{}\"], sha256: {}}}}}\n\
             layers:\n- {{name: tool, archive: {{input: tool, prefix: /opt}}}}\n\
             - {{name: data, archive: {{input: data, prefix: /srv}}}}\n\
             image: {{reference: \"m.test/tool:1\"}}\nostree: {{ref: tool}}\n",
            sha256(&tool),
            second.url("/y"),
            sha256(&data)
        ),
    );
    let run = async |args: &[&str]| {
        let mut command = world.treelay(args);
        // The index and the modules are asked with the logins of their addresses; of proxies this
        // machine is never asked through one.
        let at = |password: &str| second.url("/z").replace("://", &format!("://me:{password}@"));
        command
            .env("TREELAY_LOG", "trace")
            .env("SECRET", PASSWORD)
            .env("https_proxy", at(PROXY))
            .env("GOPROXY", at(MODULES))
            .env("PIP_INDEX_URL", at(INDEX))
            .env("COSIGN_PASSWORD", "");
        let output = said(command).await;
        secrets.are_not_in(&output.0.stdout, "standard output");
        secrets.are_not_in(&output.0.stderr, "standard error");
        output
    };
    run(&["key", "generate", "--out", "mine"]).await.ok();
    run(&["lock", "tool.yaml", "--json"]).await.ok();
    run(&["plan", "tool.yaml", "--json"]).await.ok();
    let documents = "--attest=provenance,spdx,cyclonedx";
    let build = ["build", "tool.yaml", "--json", "-o", "oci:image", "-o", "ostree:repo"];
    run(&[&build[..], &["--key", "mine.key", documents]].concat()).await.ok();
    run(&["bundle", "export", "tool.yaml", "tool.tar.zst"]).await.ok();
    let sent = |server: &Server| server.requests()[0].header("authorization").map(str::to_owned);
    assert_eq!(sent(&first), Some(format!("Bearer {TOKEN}")));
    assert_eq!(sent(&second), Some(format!("Basic {}", STANDARD.encode(format!("me:{PASSWORD}")))));

    // Where it goes wrong too: another content, no content, sources that have nothing.
    std::fs::remove_dir_all(world.dir().join("store")).unwrap();
    let told = run(&["build", "tool.yaml", "--locked"]).await.fails().err();
    assert!(told.contains("WRONG CONTENT for data"), "{told}");
    let told = run(&["build", "tool.yaml", "--locked"]).await.fails().err();
    assert!(told.contains("HTTP 599"), "{told}");
    for source in ["module", "pypi"] {
        world.write(
            "go.yaml",
            format!(
                "name: go\nversion: 1\narch: [amd64]\nepoch: 1\n\
                 inputs: {{go: {{go-toolchain: {{version: 1.27.3, sources: [{source}]}}}}}}\n\
                 layers:\n- {{name: go, go-toolchain: {{input: go, prefix: /usr/lib/go}}}}\n"
            ),
        );
        let told = run(&["lock", "go.yaml"]).await.fails().err();
        assert!(told.contains("HTTP 599"), "{source}: {told}");
    }
    let logins: Vec<_> = second
        .requests()
        .iter()
        .filter_map(|r| r.header("authorization").map(str::to_owned))
        .collect();
    for password in [MODULES, INDEX] {
        let sent = format!("Basic {}", STANDARD.encode(format!("me:{password}")));
        assert!(logins.contains(&sent), "{password} was not sent");
    }

    std::fs::remove_dir_all(world.dir().join("home")).unwrap();
    assert!(secrets.are_not_below(world.dir()) > 20);
}
