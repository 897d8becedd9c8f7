//! The same recipe gives the same digests, wherever and however it is built.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value, json};
use treelay_tests::env::is_root;
use treelay_tests::tamper::Random;
use treelay_tests::{Env, Run, tools};

use crate::sdk::{ARCHES, catalog, independent, sdk};

/// Somebody's machine and habits.
struct Way {
    umask: &'static str,
    zone: &'static str,
    locale: &'static str,
    jobs: &'static str,
    host: &'static str,
    /// Of the order in which local files are created.
    seed: u64,
}

const WAYS: [Way; 2] = [
    Way { umask: "022", zone: "UTC", locale: "C", jobs: "1", host: "one", seed: 1 },
    Way {
        umask: "077",
        zone: "Asia/Kathmandu",
        locale: "tr_TR.UTF-8",
        jobs: "4",
        host: "two.example",
        seed: 2,
    },
];

/// The release of the wheels, which an unpacked distribution does not tell.
const RELEASED: &str = "1792448436";

#[test]
fn two_places_two_ways_and_two_sources_give_the_same_digests() {
    let [first, second] = WAYS.map(|way| {
        let env = Env::new();
        let recipe = catalog(&env, "go-sdk.yaml");
        let unpacked =
            recipe.replace("sources: [pypi]", "sources: [dir]\n      dir: sdk/{{ arch }}/go");
        assert_ne!(recipe, unpacked);
        env.write("go-sdk.yaml", unpacked);
        for arch in &ARCHES {
            let to = env.path(format!("sdk/{}/go", arch.go));
            let unpack = independent(&env, "unpack").arg(sdk().wheel(arch)).arg(to);
            way.sets(unpack.arg(way.seed.to_string())).ok();
        }
        way.build(&env, "go-sdk.yaml")
    });
    assert_eq!(first, second);
    // What came from unpacked distributions is what came from the wheels.
    assert_eq!(first, identity(&sdk().report));
}

#[test]
fn a_local_tree_is_the_same_however_its_files_came() {
    let [first, second] = WAYS.map(|way| {
        let env = Env::new();
        env.write(
            "tree.yaml",
            "name: tree\nversion: '1'\narch: [amd64, arm64]\nlayers:\n  - name: tree\n    \
             directory: {source: tree, prefix: /usr/share/tree}\n",
        );
        let mut files: Vec<String> =
            (0..300).map(|n| format!("tree/{}/{}/file-{n}", n % 7, n % 3)).collect();
        Random(way.seed).shuffle(&mut files);
        for file in &files {
            let path = env.write(file, file.repeat(200));
            let mode = if file.ends_with('7') { 0o755 } else { 0o644 };
            let umask = u32::from_str_radix(way.umask, 8).unwrap();
            fs::set_permissions(path, fs::Permissions::from_mode(mode & !umask)).unwrap();
        }
        std::os::unix::fs::symlink("0/0", env.path("tree/link")).unwrap();
        way.build(&env, "tree.yaml")
    });
    assert_eq!(first, second);
}

impl Way {
    /// Builds with an empty store into a new layout and a new repository.
    fn build(&self, env: &Env, recipe: &str) -> Value {
        let build = ["build", recipe, "--json", "--jobs", self.jobs, "--offline"];
        let run = env.treelay(build).args(["-o", "oci:layout", "-o", "ostree:repo"]);
        let report = self.sets(run).ok().json();
        // The places hold what the report says.
        let id = env.ostree(["rev-parse", "--repo=repo"]).arg(text(&report["commits"][0]["ref"]));
        assert_eq!(id.ok().out().trim(), report["commits"][0]["checksum"]);
        let index: Value = serde_json::from_str(&env.read("layout/index.json")).unwrap();
        assert_eq!(index["manifests"][0]["digest"], report["index"]["digest"]);
        identity(&report)
    }

    /// Runs it this way.
    fn sets(&self, run: Run) -> Run {
        let run = run.env("TZ", self.zone).env("LC_ALL", self.locale);
        let run = run.env("SOURCE_DATE_EPOCH", RELEASED);
        if !is_root() {
            // Only root may have a host name of its own.
            return run.after_shell(&format!("umask {}", self.umask));
        }
        let setup =
            format!("echo {} >/proc/sys/kernel/hostname && umask {}", self.host, self.umask);
        let unshare = tools::program("unshare");
        run.after_shell(&setup).through([unshare.as_os_str(), "--uts".as_ref(), "--".as_ref()])
    }
}

/// What must be equal of a build's report: all but what tells how it was done.
fn identity(report: &Value) -> Value {
    let mut images = report["images"].clone();
    for image in images.as_array_mut().unwrap() {
        for layer in image["layers"].as_array_mut().unwrap() {
            layer.as_object_mut().unwrap().remove("cached").unwrap();
        }
    }
    json!({ "index": report["index"], "images": images, "commits": report["commits"] })
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}
