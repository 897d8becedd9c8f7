//! Layers of many frames, gzip and zstd, read by everyone who reads layers: each makes of them what
//! `treelay build -o tree:` writes.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use serde_json::Value;
use treelay_tests::registry::Registry;
use treelay_tests::tamper::Random;
use treelay_tests::{Env, Run};

use crate::oci::{SCHEMAS, hex_of};
use crate::sdk::{Listing, independent, listing};

const ARCHES: [&str; 3] = ["amd64", "arm64", "ppc64le"];

/// The second layer differs where a tree of an arch does; the third has every kind of entry.
const RECIPE: &str = r##"
name: layers
version: "1"
arch: [amd64, arm64, ppc64le]
epoch: 1735689600
layers:
  - name: same
    directory: {source: same, prefix: /usr/share/same}
  - name: parts
    directory: {source: "parts/{{ arch }}", prefix: /usr/lib/parts}
    attributes:
      - {path: /usr/lib/parts/small/3/7, mode: "0640"}
      - {path: /usr/lib/parts/small/3, mode: "2750"}
  - name: settings
    files:
      - {path: /etc/arch, content: "{{ arch }}\n"}
      - {path: /etc/closed, mode: "0600", content: "closed\n"}
      - {path: /usr/bin/tool, mode: "4755", content: "#!/bin/sh\n"}
      - {path: /usr/share/empty, dir: true}
      - {path: /usr/share/nothing, content: ""}
image:
  compression: COMPRESSION
"##;

/// How layers are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Compression {
    Gzip,
    Zstd,
}

use Compression::{Gzip, Zstd};

impl Compression {
    /// As the recipe has it.
    const fn name(self) -> &'static str {
        match self {
            Gzip => "gzip",
            Zstd => "zstd",
        }
    }

    const fn other(self) -> Self {
        match self {
            Gzip => Zstd,
            Zstd => Gzip,
        }
    }
}

/// The recipe built twice, to a layout each, and to a tree for each arch.
struct Made {
    env: Env,
    reports: [Value; 2],
}

fn made() -> &'static Made {
    static MADE: LazyLock<Made> = LazyLock::new(Made::build);
    &MADE
}

impl Made {
    fn build() -> Self {
        let env = Env::for_all_tests();
        sources(&env);
        let reports = [Gzip, Zstd].map(|compression| {
            let name = compression.name();
            let recipe = format!("{name}.yaml");
            env.write(&recipe, RECIPE.replace("COMPRESSION", name));
            let layout = format!("oci:{name}:1");
            env.treelay(["build", &recipe, "--json", "-o", &layout]).ok().json()
        });
        for arch in ARCHES {
            let (only, tree) = (format!("--arch={arch}"), format!("tree:tree/{arch}"));
            env.treelay(["build", "gzip.yaml", &only, "-o", &tree]).ok();
        }
        Self { env, reports }
    }

    fn layout(&self, compression: Compression) -> PathBuf {
        self.env.path(compression.name())
    }

    /// As containers-transports(5) names it.
    fn image(&self, compression: Compression) -> String {
        format!("oci:{}:1", self.layout(compression).display())
    }

    fn report(&self, compression: Compression) -> &Value {
        &self.reports[compression as usize]
    }

    /// What the build said of an arch's layers, lowest first.
    fn layers(&self, compression: Compression, arch: &str) -> &Vec<Value> {
        let images = self.report(compression)["images"].as_array().unwrap();
        let image = images.iter().find(|image| image["arch"] == arch).unwrap();
        image["layers"].as_array().unwrap()
    }

    /// The files of an arch's layers, lowest first.
    fn blobs(&self, compression: Compression, arch: &str) -> Vec<PathBuf> {
        let blobs = self.layout(compression).join("blobs/sha256");
        let layers = self.layers(compression, arch).iter();
        layers.map(|layer| blobs.join(hex_of(&layer["digest"]))).collect()
    }

    /// What every reader must come to.
    fn tree(&self, arch: &str) -> Listing {
        listing(&self.env, &self.env.path("tree").join(arch))
    }
}

/// Writes what the directory layers are made of.
fn sources(env: &Env) {
    let long = "a-name-that-no-field-of-a-header-can-hold-".repeat(5);
    let target = format!("../{long}/{long}");
    for n in 0..400 {
        env.write(&format!("same/{}/{n}", n % 9), text(n, 9000));
    }
    env.write("same/large", text(1000, (5 << 20) + 77));
    env.write(&format!("same/{long}/{long}/\u{e9}\u{4e16} \u{1f980}"), "found\n");
    symlink(&target, env.path("same/0/link")).unwrap();
    for (n, arch) in ARCHES.into_iter().enumerate() {
        let folder = format!("parts/{arch}");
        for file in 0..200 {
            // The same on every arch, and not.
            let seed = if file < 140 { 2000 } else { 3000 + n as u64 };
            let path = format!("{folder}/small/{}/{file}", file % 4);
            env.write(&path, text(seed + 10 * file, 15_000));
        }
        env.write(&format!("{folder}/large"), text(5000 + n as u64, (4 << 20) + 1));
        let run = env.write(&format!("{folder}/run"), "#!/bin/sh\n");
        fs::set_permissions(run, fs::Permissions::from_mode(0o755)).unwrap();
        symlink(format!("large-{arch}"), env.path(format!("{folder}/{arch}"))).unwrap();
        symlink("run", env.path(format!("{folder}/also"))).unwrap();
    }
}

/// Lines of numbers: they compress, but not to nothing.
fn text(seed: u64, length: usize) -> Vec<u8> {
    let mut random = Random(seed);
    let mut text = Vec::with_capacity(length + 80);
    while text.len() < length {
        text.extend(format!("{:x} and the rest of the line\n", random.draw()).bytes());
    }
    text.truncate(length);
    text
}

/// Unpacks layers over each other with GNU tar, which is told what they are compressed with, and
/// compares what comes of it.
#[track_caller]
fn tar_unpacks(env: &Env, arch: &str, decompress: &str, layers: &[PathBuf]) {
    let folder = env.path(format!("unpacked/{arch}"));
    fs::create_dir_all(&folder).unwrap();
    for layer in layers {
        let extract = ["--extract", decompress, "--preserve-permissions", "--file"];
        let output = env.run("tar").args(extract).arg(layer).current_dir(&folder).ok();
        assert_eq!(output.err(), "", "tar has nothing to complain about");
    }
    listing(env, &folder).is(&made().tree(arch));
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn the_layers_are_what_these_tests_are_about() {
    let made = made();
    for arch in ARCHES {
        let [gzip, zstd] = [Gzip, Zstd].map(|compression| made.layers(compression, arch));
        // The second layer is split.
        let names: Vec<_> = zstd.iter().map(|layer| layer["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["same", "parts", "parts", "settings"]);
        let shared =
            |layers: &[Value]| layers.iter().map(|layer| layer["shared"] == true).collect();
        let shared: [Vec<bool>; 2] = [shared(gzip), shared(zstd)];
        assert_eq!(shared, [[true, true, false, false], [true, true, false, false]]);
        for (gzip, zstd) in gzip.iter().zip(zstd) {
            assert_eq!(gzip["diff_id"], zstd["diff_id"]);
            assert_ne!(gzip["digest"], zstd["digest"]);
        }
        for (blob, at_least) in made.blobs(Zstd, arch).iter().zip([7, 2, 5, 1]) {
            let said = made.env.run("zstd").arg("--list").arg(blob).ok().out();
            let frames = said.lines().last().and_then(|line| line.split_whitespace().next());
            assert!(frames.unwrap().parse::<u32>().unwrap() > at_least, "{said}");
        }
    }
}

#[test]
fn python_reads_them() {
    let made = made();
    for compression in [Gzip, Zstd] {
        let check = independent(&made.env, "layout").arg(made.layout(compression)).arg(SCHEMAS);
        let found = check.ok().json();
        for arch in ARCHES {
            let tree = found["images"][arch]["tree"].as_array().unwrap().iter();
            let tree = tree.map(|line| line.as_str().unwrap().to_owned());
            Listing::from_lines(tree).is(&made.tree(arch));
        }
    }
}

#[test]
fn gnu_tar_unpacks_them() {
    let env = Env::new();
    for (compression, decompress) in [(Gzip, "--gzip"), (Zstd, "--zstd")] {
        for arch in ARCHES {
            tar_unpacks(&env, arch, decompress, &made().blobs(compression, arch));
        }
    }
}

/// `skopeo copy` of an arch's image.
fn copy(env: &Env, compression: Compression, arch: &str, to: &str) -> Run {
    let copy = ["--override-os=linux", "--override-arch", arch, "copy", "--quiet"];
    env.skopeo(copy).arg(made().image(compression)).arg(to)
}

/// The files of the layers of an image that skopeo wrote to a folder (`dir:`), lowest first.
fn copied(folder: &Path) -> (Vec<PathBuf>, Value) {
    let manifest: Value =
        serde_json::from_str(&fs::read_to_string(folder.join("manifest.json")).unwrap()).unwrap();
    let layers = manifest["layers"].as_array().unwrap().iter();
    (layers.map(|layer| folder.join(hex_of(&layer["digest"]))).collect(), manifest)
}

#[test]
fn skopeo_copies_them_as_they_are() {
    let env = Env::new();
    for compression in [Gzip, Zstd] {
        for arch in ARCHES {
            let folder = env.path(format!("{}-{arch}", compression.name()));
            let to = format!("dir:{}", folder.display());
            copy(&env, compression, arch, &to).arg("--preserve-digests").ok();
            let ours = made().blobs(compression, arch);
            let (theirs, _) = copied(&folder);
            assert_eq!(theirs.len(), ours.len());
            for (theirs, ours) in theirs.iter().zip(&ours) {
                assert!(fs::read(theirs).unwrap() == fs::read(ours).unwrap(), "{ours:?}");
            }
        }
        let layout = format!("oci:{}-all:1", env.path(compression.name()).display());
        let all = ["copy", "--quiet", "--all", "--preserve-digests"];
        env.skopeo(all).arg(made().image(compression)).arg(&layout).ok();
        let raw = |image: &str| env.skopeo(["inspect", "--raw", image]).ok().stdout;
        assert_eq!(raw(&layout), raw(&made().image(compression)));
        for arch in ARCHES {
            for ours in made().blobs(compression, arch) {
                let copy = env.path(format!("{}-all/blobs/sha256", compression.name()));
                let theirs = copy.join(ours.file_name().unwrap());
                assert!(fs::read(theirs).unwrap() == fs::read(&ours).unwrap(), "{ours:?}");
            }
        }
    }
}

#[test]
fn skopeo_decompresses_them() {
    let env = Env::new();
    for compression in [Gzip, Zstd] {
        for arch in ARCHES {
            let folder = env.path(format!("{}-{arch}", compression.name()));
            let to = format!("dir:{}", folder.display());
            copy(&env, compression, arch, &to).arg("--dest-decompress").ok();
            let (files, manifest) = copied(&folder);
            // Their names are now their digests.
            let layers = made().layers(compression, arch).iter();
            let ids: Vec<&Value> = layers.map(|layer| &layer["diff_id"]).collect();
            let layers = manifest["layers"].as_array().unwrap().iter();
            assert_eq!(layers.map(|layer| &layer["digest"]).collect::<Vec<_>>(), ids);
            tar_unpacks(&env, arch, "--no-auto-compress", &files);
        }
    }
}

#[test]
fn skopeo_compresses_them_anew() {
    let env = Env::new();
    for compression in [Gzip, Zstd] {
        let other = compression.other();
        for arch in ARCHES {
            let folder = env.path(format!("{}-{arch}", compression.name()));
            let to = format!("dir:{}", folder.display());
            let format = format!("--dest-compress-format={}", other.name());
            copy(&env, compression, arch, &to).arg("--dest-compress").arg(format).ok();
            let (files, manifest) = copied(&folder);
            let suffix = format!(".tar+{}", other.name());
            for layer in manifest["layers"].as_array().unwrap() {
                assert!(layer["mediaType"].as_str().unwrap().ends_with(&suffix), "{manifest}");
            }
            tar_unpacks(&env, arch, &format!("--{}", other.name()), &files);
        }
    }
}

/// A layout with the image of one arch alone, for umoci, which cannot choose.
fn single(env: &Env, compression: Compression, arch: &str) -> String {
    let name = format!("{}-{arch}", compression.name());
    copy(env, compression, arch, &format!("oci:{name}:1")).arg("--preserve-digests").ok();
    format!("{}:1", env.path(name).display())
}

#[test]
fn umoci_unpacks_those_of_gzip() {
    let env = Env::new();
    for arch in ARCHES {
        let (image, folder) = (single(&env, Gzip, arch), env.path(arch));
        env.umoci_unpack(&image, &folder).ok();
        listing(&env, &folder).is(&made().tree(arch));
    }
}

#[test]
fn umoci_of_debian_12_says_that_it_does_not_know_zstd() {
    let env = Env::new();
    let image = single(&env, Zstd, "amd64");
    let why = "blob is not correct mediatype: application/vnd.oci.image.layer.v1.tar+zstd";
    env.umoci_unpack(&image, &env.path("folder")).refuses().says(why);
}

#[test]
fn podman_reads_those_of_gzip() {
    podman_reads(Gzip);
}

#[test]
fn podman_reads_those_of_zstd() {
    podman_reads(Zstd);
}

fn podman_reads(compression: Compression) {
    let env = Env::new();
    let registry = Registry::docker(&env);
    env.plain_http(&registry);
    let pushed = registry.docker_name(&format!("tools/layers:{}", compression.name()));
    env.treelay(["copy", &made().image(compression), &pushed]).ok();
    for image in [made().image(compression), pushed] {
        for arch in ARCHES {
            let pull = ["pull", "--quiet", "--arch", arch, &image];
            let id = env.podman(pull).ok().out().trim().to_owned();
            let container = env.podman(["create", &id, "none"]).ok().out().trim().to_owned();
            let file = env.path("exported.tar");
            env.podman(["export", "--output"]).arg(&file).arg(&container).ok();
            tar_unpacks(&env, arch, "--no-auto-compress", &[file]);
            env.podman(["rm", &container]).ok();
            env.podman(["rmi", "--force", &id]).ok();
        }
    }
}
