//! What a production image needs: accounts, certificates, time zones, owners, file capabilities,
//! and a config with which it runs as nobody in particular.

use std::fs;
use std::path::Path;

use serde_json::Value;
use treelay_tests::Env;
use treelay_tests::tools::program;

/// busybox stands in for a server; ports below 1024 are what its capability is for.
const RECIPE: &str = r##"
name: server
version: "1"
arch: [amd64]
epoch: 1735689600
inputs:
  ca:
    pypi: {package: certifi, version: 2026.10.18}
  tz:
    pypi: {package: tzdata, version: "2026.6"}
layers:
  - name: users
    users:
      accounts:
        - {name: web, uid: 65532, home: /home/web, comment: the server}
      groups:
        - {name: logs, gid: 4000, members: [web]}
  - name: certificates
    certificates: {input: ca}
  - name: zones
    tzdata: {input: tz, localtime: Europe/Berlin}
  - name: program
    directory: {source: program, prefix: /usr/bin}
    attributes:
      - {path: /usr/bin/busybox, caps: cap_net_bind_service=ep, mode: "0755"}
  - name: site
    files:
      - {path: /srv/index.html, content: "hello from {{ arch }}\n", user: web, mode: "0400"}
      - {path: /usr/lib/plain/busybox, source: program/busybox}
      - {path: /usr/bin/raw, source: program/busybox, caps: "cap_net_raw=p cap_chown+i", gid: 7}
image:
  config:
    user: "65532"
    entrypoint: [/usr/bin/busybox]
    cmd: [httpd, -f, -p, "80", -h, /srv]
    env: {TZ_SEEN: "yes"}
    workdir: /srv
    ports: [80]
    volumes: [/var/cache]
    stop-signal: SIGKILL
    labels: {org.example.team: web}
    health: {test: [/usr/bin/busybox, wget, -qO-, "http://127.0.0.1/"], interval: 30s, retries: 2}
"##;

/// Asks until the server is there, for five seconds.
const FETCH: &str = "i=0; until wget -qO- http://127.0.0.1/; do \
    i=$((i+1)); [ $i -gt 50 ] && exit 1; sleep 0.1; done";

fn env() -> Env {
    let env = Env::new();
    env.write("server.yaml", RECIPE);
    let binary = fs::read(program("busybox")).unwrap();
    let path = env.write("program/busybox", binary);
    let mut mode = fs::metadata(&path).unwrap().permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut mode, 0o755);
    fs::set_permissions(&path, mode).unwrap();
    env
}

/// What getcap says of a file below `root`.
fn getcap(env: &Env, root: &Path, path: &str) -> String {
    let said = env.run("getcap").arg(path).current_dir(root).ok().out();
    said.trim().to_owned()
}

#[test]
fn a_server_runs_as_nobody_on_port_80_by_its_capability() {
    let env = env();
    env.treelay_online(["build", "server.yaml", "-o", "oci:layout", "-o", "ostree:repo"]).ok();
    let image = format!("oci:{}", env.path("layout").display());

    let strict = ["--read-only", "--cap-drop=all", "--cap-add=net_bind_service", "--network=none"];
    // Ends by itself should the test not end it.
    let strict = [&strict[..], &["--timeout=60"]].concat();
    let run = env.podman(["run", "--detach", "--name=web"]).args(&strict).arg(&image).ok();
    let _remove = Removed(&env);
    let inside = |args: &[&str]| env.podman(["exec", "web"]).args(args).ok().out();
    let busybox = |args: &[&str]| inside(&[&["/usr/bin/busybox"], args].concat());
    let page = busybox(&["sh", "-c", FETCH]);
    assert_eq!(page, "hello from amd64\n", "{}", run.out());
    assert_eq!(busybox(&["id"]), "uid=65532(web) gid=65532(web) groups=4000(logs)\n");
    assert_eq!(busybox(&["date", "-d", "@1735689600", "+%H:%M %Z"]), "01:00 CET\n");
    assert_eq!(busybox(&["pwd"]), "/srv\n");
    assert!(busybox(&["env"]).contains("HOME=/home/web"));

    // The same program without the capability may not. podman gives a user other than root what
    // `--cap-add` names whatever the file says, so its usual set is taken here.
    let usual = ["--read-only", "--network=none", "--timeout=60"];
    let plain = ["--entrypoint=/usr/lib/plain/busybox", &image, "httpd", "-f", "-p", "80"];
    env.podman(["run", "--rm"]).args(usual).args(plain).refuses().says("Permission denied");
    let named = ["--detach", "--name=usual"];
    env.podman(["run"]).args(named).args(usual).arg(&image).ok();
    let page = env.podman(["exec", "usual", "/usr/bin/busybox", "sh", "-c", FETCH]).ok().out();
    assert_eq!(page, "hello from amd64\n");

    let root = env.path("bundle");
    env.umoci_unpack(&format!("{}:1", env.path("layout").display()), &env.path("bundle")).ok();
    let checkout = env.path("checkout");
    env.ostree(["checkout", "--repo=repo", "treelay/server/x86_64", "checkout"]).ok();
    for root in [&root, &checkout] {
        let web = "usr/bin/busybox cap_net_bind_service=ep";
        assert_eq!(getcap(&env, root, "usr/bin/busybox"), web);
        assert_eq!(getcap(&env, root, "usr/bin/raw"), "usr/bin/raw cap_chown=i cap_net_raw+p");
        assert_eq!(getcap(&env, root, "usr/lib/plain/busybox"), "");
        let meta = |path: &str| {
            let meta = fs::metadata(root.join(path)).unwrap();
            use std::os::unix::fs::MetadataExt;
            format!("{:o} {} {}", meta.mode() & 0o7777, meta.uid(), meta.gid())
        };
        assert_eq!(meta("srv/index.html"), "400 65532 65532");
        assert_eq!(meta("home/web"), "700 65532 65532");
        assert_eq!(meta("usr/bin/raw"), "755 0 7");
    }
    let bundle = fs::read_to_string(root.join("etc/ssl/certs/ca-certificates.crt")).unwrap();
    env.write("bundle.pem", &bundle);
    let list = env.run("openssl").args(["crl2pkcs7", "-nocrl", "-certfile", "bundle.pem"]);
    let list = list.args(["-out", "bundle.p7"]);
    list.ok();
    let names = env.run("openssl").args(["pkcs7", "-print_certs", "-noout", "-in", "bundle.p7"]);
    let names = names.ok().out();
    assert!(names.contains("ISRG Root X1"), "{names}");
    assert_eq!(names.matches("subject=").count(), bundle.matches("BEGIN CERT").count());
}

struct Removed<'e>(&'e Env);

impl Drop for Removed<'_> {
    fn drop(&mut self) {
        self.0.podman(["rm", "--force", "--time=0", "web", "usual"]).output();
    }
}

#[test]
fn the_config_says_it_all() {
    let env = env();
    env.treelay_online(["build", "server.yaml", "-o", "oci:layout"]).ok();
    let image = format!("oci:{}", env.path("layout").display());
    let config: Value =
        serde_json::from_str(&env.skopeo(["inspect", "--config", &image]).ok().out()).unwrap();
    let config = &config["config"];
    assert_eq!(config["User"], "65532");
    assert_eq!(config["ExposedPorts"], serde_json::json!({"80/tcp": {}}));
    assert_eq!(config["Volumes"], serde_json::json!({"/var/cache": {}}));
    assert_eq!(config["StopSignal"], "SIGKILL");
    assert_eq!(config["WorkingDir"], "/srv");
    assert_eq!(config["Labels"], serde_json::json!({"org.example.team": "web"}));
    let raw = env.skopeo(["inspect", "--raw", "--config", &image]).ok().out();
    let raw: Value = serde_json::from_str(&raw).unwrap();
    let health = &raw["config"]["Healthcheck"];
    assert_eq!(health["Interval"], 30_000_000_000_u64);
    assert_eq!(health["Retries"], 2);
    assert_eq!(health["Test"][0], "CMD");
    let inspect = env.podman(["pull", "--quiet", &image]).ok().out();
    let inspect = env.podman(["image", "inspect", inspect.trim()]).ok().out();
    let inspect: Value = serde_json::from_str(&inspect).unwrap();
    assert_eq!(inspect[0]["Annotations"]["dev.treelay.health.interval"], "30s");
    assert_eq!(inspect[0]["User"], "65532");
}

#[test]
fn capabilities_are_what_setcap_makes_of_them() {
    let env = Env::new();
    let texts = [
        "cap_net_bind_service=ep",
        "cap_net_bind_service+ep",
        "Cap_Chown=ep  cap_kill+ep",
        "cap_chown,cap_net_raw=eip",
        "=p cap_chown-p",
        "all=eip cap_bpf-eip",
        "cap_chown=ie+p-i",
        "cap_chown-e+p",
        "cap_chown=e",
        "cap_chown=+e",
        "40=ep 0x3+ep 010+ep",
        "=",
    ];
    let mut recipe = String::from("name: c\nversion: 1\narch: [amd64]\nepoch: 1\nlayers:\n");
    recipe += "- name: f\n  files:\n";
    for (number, text) in texts.iter().enumerate() {
        recipe += &format!("  - {{path: /{number}, content: x, caps: \"{text}\"}}\n");
    }
    env.write("c.yaml", &recipe);
    env.treelay(["build", "c.yaml", "-o", "ostree:repo"]).ok();
    env.ostree(["checkout", "--repo=repo", "treelay/c/x86_64", "tree"]).ok();
    let value = |path: &str| {
        let get = ["-e", "hex", "--only-values", "-n", "security.capability", path];
        env.run("getfattr").args(get).ok().stdout
    };
    for (number, text) in texts.iter().enumerate() {
        env.write("real", "x");
        env.run("setcap").args([*text, "real"]).ok();
        let (ours, real) = (value(&format!("tree/{number}")), value("real"));
        assert_eq!(hex::encode(ours), hex::encode(real), "{text}");
        fs::remove_file(env.path("real")).unwrap();
    }

    for text in ["chown=ep", "64=ep", "+ep", "=p-e", "cap_kill=p=e", "cap_kill+", "cap_kill=epx"] {
        env.write("real", "x");
        env.run("setcap").args([text, "real"]).refuses();
        let entry = format!("  - {{path: /a, content: x, caps: \"{text}\"}}\n");
        env.write("bad.yaml", recipe.clone() + &entry);
        env.treelay(["plan", "bad.yaml"]).refuses().says(&format!("error: `{text}` "));
    }
}
