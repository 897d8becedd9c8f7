//! The harness's own tests: every consumer really works in a sealed environment.

use std::fs;
use std::path::Path;

use treelay_tests::http::Server;
use treelay_tests::registry::Registry;
use treelay_tests::{Cosign, Env, image, tamper};

#[test]
fn podman_runs_an_image_from_a_layout() {
    let env = Env::new();
    let image = image::busybox(&env);
    let output = env.podman(["run", "--rm", &image, "echo", "from inside"]).ok();
    assert_eq!(output.out(), "from inside\n");
    let ids = env.podman(["images", "--quiet"]).ok().out();
    assert_eq!(ids.lines().count(), 1, "the storage is the environment's own: {ids}");
}

#[test]
fn buildah_makes_a_layout_that_umoci_unpacks() {
    let env = Env::new();
    let container = env.buildah(["from", "scratch"]).ok().out().trim().to_owned();
    let file = env.write("hello", "hello\n");
    env.buildah(["add", "--quiet", &container]).arg(&file).arg("/etc/hello").ok();
    let layout = format!("{}:made", env.path("layout").display());
    env.buildah(["commit", "--quiet", &container, &format!("oci:{layout}")]).ok();
    env.umoci_unpack(&layout, &env.path("tree")).ok();
    assert_eq!(env.read("tree/etc/hello"), "hello\n");
}

#[test]
fn both_registries_take_and_give_an_image() {
    let env = Env::new();
    let image = image::busybox(&env);
    let digest = |name: &str| {
        let inspect = ["inspect", "--tls-verify=false", "--format={{.Digest}}", name];
        env.skopeo(inspect).ok().out()
    };
    for registry in [Registry::docker(&env), Registry::ferro(&env)] {
        let name = registry.docker_name("tools/small:1");
        env.skopeo(["copy", "--quiet", "--dest-tls-verify=false", &image, &name]).ok();
        assert_eq!(digest(&name), digest(&image));
        env.plain_http(&registry);
        env.podman(["pull", "--quiet", &name]).ok();
    }
}

#[test]
fn one_registry_has_the_referrers_endpoint_and_one_has_not() {
    let env = Env::new();
    let none = format!("sha256:{}", "0".repeat(64));
    let path = format!("/v2/tools/small/referrers/{none}");
    assert_eq!(Registry::docker(&env).status_of(&path), 404);
    assert_eq!(Registry::ferro(&env).status_of(&path), 200);
}

#[test]
fn a_registry_with_a_login_refuses_strangers() {
    let env = Env::new();
    let registry = Registry::docker_with_login(&env);
    let image = image::busybox(&env);
    let name = registry.docker_name("tools/small:1");
    let copy = ["copy", "--quiet", "--dest-tls-verify=false", &image, &name];
    env.skopeo(copy).refuses().says("authentication required");
    let (user, password) = (Registry::USER, Registry::PASSWORD);
    env.skopeo(["login", "--tls-verify=false", "-u", user, "-p", password, &registry.address()])
        .ok();
    env.skopeo(copy).ok();
}

#[test]
fn a_registry_is_gone_when_it_is_dropped() {
    let env = Env::new();
    let registry = Registry::docker(&env);
    let address = registry.address();
    drop(registry);
    let name = format!("docker://{address}/tools/small:1");
    env.skopeo(["inspect", "--tls-verify=false", &name]).refuses().says("connection refused");
}

#[test]
fn cosign_signs_and_verifies_without_any_service() {
    let env = Env::new();
    let image = image::busybox(&env);
    let registry = Registry::docker(&env);
    for cosign in Cosign::ALL {
        let name = format!("tools/small:{cosign:?}").to_lowercase();
        let target = registry.docker_name(&name);
        env.skopeo(["copy", "--quiet", "--dest-tls-verify=false", &image, &target]).ok();
        let name = format!("{}/{name}", registry.address());
        let prefix = format!("--output-key-prefix={cosign:?}");
        env.cosign(cosign, ["generate-key-pair", &prefix]).ok();
        env.cosign(cosign, ["generate-key-pair", "--output-key-prefix=other"]).ok();
        let key = format!("--key={cosign:?}.key");
        env.cosign(cosign, ["sign", "--yes", &key]).args(cosign.sign_offline()).arg(&name).ok();
        let verify = |key: &str| {
            env.cosign(cosign, ["verify", key]).args(cosign.verify_offline()).arg(&name)
        };
        verify(&format!("--key={cosign:?}.pub")).ok();
        verify("--key=other.pub").refuses().says("signature");
        fs::remove_file(env.path("other.key")).unwrap();
    }
}

#[test]
fn ostree_pulls_over_http_only_what_the_right_gpg_key_signed() {
    let env = Env::new();
    env.write("tree/usr/hello", "hello\n");
    env.ostree(["init", "--repo=source", "--mode=archive"]).ok();
    let id = env.gpg_key("one@treelay.test");
    let homedir = format!("--gpg-homedir={}", env.dir().join("gnupg").display());
    let sign = format!("--gpg-sign={id}");
    env.ostree(["commit", "--repo=source", "--branch=a/b", &sign, &homedir, "tree"]).ok();
    let server = Server::of(&env.path("source"));
    let other = env.gpg_key("two@treelay.test");
    for (repo, key, right) in [("right", &id, true), ("wrong", &other, false)] {
        let file = env.write(repo, env.gpg(["--export", key]).ok().stdout);
        let repo = format!("--repo={repo}.repo");
        env.ostree(["init", &repo]).ok();
        let import = format!("--gpg-import={}", file.display());
        env.ostree(["remote", "add", &repo, &import, "origin", &server.url("")]).ok();
        let pull = env.ostree(["pull", &repo, "origin", "a/b"]);
        if right {
            pull.ok();
            env.ostree(["cat", &repo, "origin:a/b", "/usr/hello"]).ok().says("hello");
        } else {
            pull.refuses().says("public key not found");
        }
    }
    assert!(server.requests() > 5);
}

#[test]
fn ostree_names_a_tampered_object() {
    let env = Env::new();
    env.write("tree/file", "contents\n".repeat(100));
    env.ostree(["init", "--repo=repo", "--mode=archive"]).ok();
    env.ostree(["commit", "--repo=repo", "--branch=a", "tree"]).ok();
    env.ostree(["fsck", "--repo=repo"]).ok();
    let objects = tamper::files(&env.path("repo/objects"));
    let object = objects.iter().find(|path| path.extension().is_some_and(|ext| ext == "dirtree"));
    tamper::flip(object.unwrap(), 1);
    env.ostree(["fsck", "--repo=repo"]).refuses();
}

#[test]
fn programs_of_other_processors_run() {
    let env = Env::new();
    for (machine, elf) in [("aarch64", 183), ("ppc64le", 21)] {
        // The smallest program there is: exit with 42, by the processor's own instructions.
        let code: &[u32] = match machine {
            "aarch64" => &[0xd280_0540, 0xd280_0ba8, 0xd400_0001],
            _ => &[0x3860_002a, 0x3800_0001, 0x4400_0002],
        };
        let program = env.write(machine, exit_program(elf, code));
        let mut mode = fs::metadata(&program).unwrap().permissions();
        std::os::unix::fs::PermissionsExt::set_mode(&mut mode, 0o755);
        fs::set_permissions(&program, mode).unwrap();
        env.qemu(machine, &program).fails(42);
    }
    env.qemu(std::env::consts::ARCH, Path::new("/bin/true")).ok();
}

/// A static little-endian ELF file of one segment with the given instructions.
fn exit_program(machine: u16, code: &[u32]) -> Vec<u8> {
    const BASE: u64 = 0x1_0000;
    const HEADERS: u64 = 64 + 56;
    let flags: u32 = if machine == 21 { 2 } else { 0 };
    let size = HEADERS + 4 * code.len() as u64;
    let mut file = b"\x7fELF\x02\x01\x01".to_vec();
    file.resize(16, 0);
    file.extend(2u16.to_le_bytes());
    file.extend(machine.to_le_bytes());
    file.extend(1u32.to_le_bytes());
    file.extend((BASE + HEADERS).to_le_bytes());
    file.extend(64u64.to_le_bytes());
    file.extend(0u64.to_le_bytes());
    file.extend(flags.to_le_bytes());
    for half in [64u16, 56, 1, 0, 0, 0] {
        file.extend(half.to_le_bytes());
    }
    file.extend(1u32.to_le_bytes());
    file.extend(5u32.to_le_bytes());
    for word in [0, BASE, BASE, size, size, 0x1_0000] {
        file.extend(word.to_le_bytes());
    }
    file.extend(code.iter().flat_map(|instruction| instruction.to_le_bytes()));
    file
}

#[test]
fn the_environment_is_sealed() {
    let env = Env::new();
    let seen = env.run("/usr/bin/env").ok().out();
    let own = env.dir().display().to_string();
    let known = ["PATH", "LANG", "TZ", "PWD"];
    for line in seen.lines() {
        let (name, value) = line.split_once('=').unwrap();
        assert!(known.contains(&name) || value.starts_with(&own), "{line} comes from outside");
    }
    assert_eq!(env.normalise(&format!("{own}/work/a {own}/home")), "[WORK]/a [ENV]/home");
    let gone = env.dir().to_path_buf();
    drop(env);
    assert!(!gone.exists());
}
