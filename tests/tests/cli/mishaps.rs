//! Builds that are stopped, run out of room, or run side by side.

use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command};

use serde_json::Value;
use treelay_tests::tamper::Random;
use treelay_tests::{Env, Output, Run};

use crate::fixture::{listing, settle, store_is_clean};

const SIGINT: i32 = 2;
const SIGKILL: i32 = 9;
const SIGXFSZ: i32 = 25;

const RECIPE: &str = r#"
name: large
version: "1"
epoch: 1
arch: [amd64, arm64]
layers:
  - name: data
    directory: {source: data, prefix: /usr/share/data}
  - name: settings
    files: [{path: /etc/arch, content: "{{ arch }}\n"}]
"#;

const LINE: [&str; 7] = ["build", "large.yaml", "--json", "-o", "oci:out", "-o", "ostree:repo"];

/// An environment with a recipe of `files` files of `size` bytes that do not compress.
fn large(files: u64, size: usize) -> Env {
    let env = Env::new();
    env.write("large.yaml", RECIPE);
    let mut random = Random(1);
    for file in 0..files {
        let words = (0..size / 8).flat_map(|_| random.draw().to_le_bytes());
        env.write(&format!("data/{}/{file}", file % 7), words.collect::<Vec<u8>>());
    }
    env
}

/// What a build that nothing happened to says: index and commits.
fn whole(report: &Value) -> (Value, Vec<Value>) {
    let commits = report["commits"].as_array().unwrap().iter();
    (report["index"]["digest"].clone(), commits.map(|one| one["checksum"].clone()).collect())
}

/// Asserts that the next build ends well, with the same digests as one that was never disturbed,
/// that all it wrote is right, and that nothing half-made is left beside it.
#[track_caller]
fn next_run_is_whole(env: &Env, undisturbed: &(Value, Vec<Value>)) {
    let report = env.treelay(LINE).ok().json();
    assert_eq!(&whole(&report), undisturbed);
    all_is_right(env);
}

#[track_caller]
fn all_is_right(env: &Env) {
    // Without a signature nothing is good. This key has no password, which would cost time on
    // purpose: RFC 8032, section 7.1, test 1, in ostree's form.
    env.write(
        "key.key",
        "nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2DXWpgBgrEKt9VL/tPJZAc6DuFy89qmIyWvAhpo9wdRGg==\n",
    );
    env.write("key.pub", "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n");
    for (dest, name) in [("oci:out", Some("a.example/b:1")), ("ostree:repo", None)] {
        let name = name.map_or(vec![], |name| vec!["--sign-as", name]);
        env.treelay(["sign", dest, "--key", "key.key"]).args(name).ok();
        env.treelay(["verify", dest, "--key", "key.pub"]).ok();
    }
    for key in ["key.key", "key.pub"] {
        std::fs::remove_file(env.path(key)).unwrap();
    }
    let beside: Vec<_> =
        std::fs::read_dir(env.path("")).unwrap().map(|e| e.unwrap().file_name()).collect();
    let known = ["large.yaml", "large.lock", "data", "out", "repo", "tree"];
    assert!(beside.iter().all(|name| known.iter().any(|known| name == known)), "{beside:?}");
}

fn undisturbed(env: &Env) -> (Value, Vec<Value>) {
    let line = ["build", "large.yaml", "--json", "-o", "oci:calm/out", "-o", "ostree:calm/repo"];
    let report = env.treelay(line).arg("--store").arg(env.dir().join("calm-store")).ok().json();
    std::fs::remove_dir_all(env.path("calm")).unwrap();
    whole(&report)
}

/// Whether there is a file of at least `size` bytes below the folder.
fn has_file(folder: &Path, size: u64) -> bool {
    let Ok(entries) = std::fs::read_dir(folder) else { return false };
    entries.flatten().any(|entry| match entry.metadata() {
        Ok(meta) if meta.is_dir() => has_file(&entry.path(), size),
        // A file may be renamed between listing and looking.
        Ok(meta) => meta.is_file() && meta.len() >= size,
        Err(_) => false,
    })
}

/// Sends `signal` once `ready`, and says how the child ended and what it said. A child that was
/// faster ends by itself.
fn stop(mut child: Child, signal: i32, ready: impl Fn() -> bool) -> (Option<i32>, String) {
    while !ready() && child.try_wait().unwrap().is_none() {
        std::thread::yield_now();
    }
    let words = [format!("-{signal}"), child.id().to_string()];
    // It may have ended just now, but is still there until it is waited for.
    Command::new("/bin/kill").args(words).output().unwrap();
    let status = child.wait().unwrap();
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    (status.signal(), said)
}

#[test]
fn a_build_that_is_stopped_goes_on_the_next_time() {
    let env = large(40, 300_000);
    let calm = undisturbed(&env);
    let at = |place: &str| env.path(place);
    let store = env.dir().join("store");
    for signal in [SIGINT, SIGKILL] {
        // While the first layer is compressed: there is far more to do. On a busy machine the signal
        // may come too late all the same, but not again and again.
        let stopped = (0..5).any(|_| {
            let _ = std::fs::remove_dir_all(&store);
            let _ = std::fs::remove_dir_all(at("out"));
            let _ = std::fs::remove_dir_all(at("repo"));
            let child = env.treelay(LINE).spawn();
            let (by, said) = stop(child, signal, || has_file(&store.join("frames"), 0));
            assert!(by == Some(signal) || said.is_empty(), "{said}");
            by == Some(signal) && !at("out/index.json").exists()
        });
        assert!(stopped, "no build could be stopped in time");
        // Again and again, at what comes after it. The last of these may be over before the signal
        // comes; then the run after it finds everything done.
        for (folder, size) in [("out/blobs", 0), ("repo", 0), ("repo/objects", 200_000)] {
            let child = env.treelay(LINE).spawn();
            let (by, said) = stop(child, signal, || has_file(&at(folder), size));
            assert!(by == Some(signal) || said.is_empty(), "{said}");
        }
        next_run_is_whole(&env, &calm);
    }
}

/// The kernel kills a program with SIGXFSZ in the middle of the write that makes a file longer
/// than RLIMIT_FSIZE: a crash at the same byte every time.
#[test]
fn a_build_that_dies_in_the_middle_of_a_file_goes_on_the_next_time() {
    let env = large(6, 80_000);
    let calm = undisturbed(&env);
    for blocks in [0, 1, 8, 100, 200] {
        let line = format!("ulimit -c 0; ulimit -f {blocks}");
        let output = env.treelay(LINE).after_shell(&line).output();
        assert_eq!(output.status.signal(), Some(SIGXFSZ), "{blocks}: {output}");
        assert!(!env.path("out/index.json").exists());
    }
    next_run_is_whole(&env, &calm);
}

#[test]
fn a_file_that_must_not_grow_is_an_error_that_leaves_everything_as_it_was() {
    let env = large(6, 80_000);
    let first = env.treelay(LINE).ok().json();
    env.treelay(["build", "large.yaml", "--arch=amd64", "-o", "tree:tree"]).ok();
    let mut random = Random(2);
    let more = (0..50_000).flat_map(|_| random.draw().to_le_bytes());
    env.write("data/more", more.collect::<Vec<u8>>());
    // An aborted transaction of libostree's leaves empty directories in tmp, for a day.
    let all = || -> Vec<String> {
        let places = ["out", "repo", "tree"].map(|place| listing(&env.path(place)));
        let lines = places.iter().flat_map(|listing| listing.lines().map(str::to_owned));
        lines.filter(|line| !line.starts_with("tmp/staging-")).collect()
    };
    let before = all();
    for place in ["oci:out", "ostree:repo", "tree:tree"] {
        let line = ["build", "large.yaml", "--arch=amd64", "-o", place];
        // The signal is ignored, as Python and others do: then the write fails with EFBIG.
        let limit = "trap '' XFSZ; ulimit -f 400";
        let output = env.treelay(line).after_shell(limit).fails(1);
        assert!(output.err().contains("File too large (os error 27)"), "{output}");
        let after = all();
        let new: Vec<_> = after.iter().filter(|line| !before.contains(line)).collect();
        assert!(after == before, "{place}: {new:#?}\n{output}");
        store_is_clean(&env.dir().join("store"));
        env.treelay(["store", "verify"]).ok();
    }
    let next = env.treelay(LINE).ok().json();
    assert_ne!(whole(&next), whole(&first));
    all_is_right(&env);
}

#[test]
fn a_disk_without_room_for_a_single_byte() {
    let env = large(2, 10_000);
    // All that can be made is in the store.
    env.treelay(["build", "large.yaml", "-o", "oci:there"]).ok();
    for place in ["oci:out", "oci:there:new", "ostree:repo", "tree:tree"] {
        let before = listing(&env.path("there"));
        let line = ["build", "large.yaml", "--arch=amd64", "-o", place];
        let output = env.treelay(line).after_shell("trap '' XFSZ; ulimit -f 0").fails(1);
        assert!(output.err().starts_with("error: "), "{output}");
        assert!(output.err().contains("File too large"), "{output}");
        assert_eq!(listing(&env.path("there")), before);
        env.treelay(line).ok();
    }
}

/// Runs a script in a mount namespace of its own, where it may mount.
fn with_mounts(env: &Env, script: &str) -> Run {
    let script = env.write("../script", format!("set -eu\n{script}"));
    let unshare = ["--mount", "--propagation=private"];
    let user: &[&str] = if treelay_tests::env::is_root() { &[] } else { &["--map-root-user"] };
    let treelay = treelay_tests::tools::treelay();
    env.run("unshare").args(unshare).args(user).arg("/bin/sh").arg(script).arg(treelay)
}

/// Whether this machine lets the user mount at all.
fn can_mount(env: &Env) -> bool {
    with_mounts(env, "mount -t tmpfs tmpfs \"$PWD\"").output().status.success()
}

#[test]
fn a_full_disk_is_told_and_with_more_room_the_next_run_succeeds() {
    let env = large(12, 250_000);
    if !can_mount(&env) {
        // The same by the other limit there is, in a_file_that_must_not_grow.
        eprintln!("this user may not mount, so no disk can be filled here");
        return;
    }
    for (name, dest) in [
        ("layout", "oci:disk/dest"),
        ("repository", "ostree:disk/dest"),
        ("tree", "tree:disk/dest"),
        ("store", "oci:dest"),
    ] {
        let _ = std::fs::remove_dir_all(env.path("dest"));
        let store = if name == "store" { "disk/store" } else { "../store" };
        let script = format!(
            r#"treelay=$1
               mkdir -p disk; mount -t tmpfs -o size=1500k tmpfs disk
               build() {{ "$treelay" build --quiet --arch amd64 --store {store} -o {dest} "$1"; }}
               sums() {{ find disk/dest dest -type f -exec sha256sum {{}} + 2>&1 | sort; }}
               build first.yaml >&2
               sums >before
               status=0; build large.yaml 2>said || status=$?
               echo "status $status"; cat said
               # Whole blobs and objects may have come; nothing else, and nothing went.
               sums >after; diff before after | grep '^[<>]' | sed 's/^/changed: /' || :
               find {store}/tmp -type f
               mount -o remount,size=100m disk
               build large.yaml >&2; echo done
               rm before after said"#
        );
        env.write(
            "first.yaml",
            RECIPE.replace(
                "directory: {source: data, prefix: /usr/share/data}",
                "files: [{path: /first, content: x}]",
            ),
        );
        let output = with_mounts(&env, &script).ok();
        let out = output.out();
        assert!(
            out.starts_with("status 1\nerror: ")
                && out.contains("No space left on device (os error 28)"),
            "{name}: {output}"
        );
        let changed = out.lines().filter_map(|line| line.strip_prefix("changed: "));
        for line in changed {
            let (sum, path) = line.strip_prefix("> ").unwrap().split_once("  ").unwrap();
            let whole = path.ends_with(&format!("/blobs/sha256/{sum}"));
            assert!(whole || path.contains("/objects/"), "{name}: {output}");
        }
        assert!(out.ends_with("\ndone\n"), "{name}: {output}");
    }
}

#[test]
fn builds_side_by_side_on_one_store_and_one_place() {
    for round in 0..4 {
        let env = large(4, 50_000);
        let line = ["build", "large.yaml", "--json", "-o", "oci:out", "-o", "ostree:repo"];
        let outputs: Vec<Output> = std::thread::scope(|scope| {
            let runs: Vec<_> = (0..3).map(|_| scope.spawn(|| env.treelay(line).output())).collect();
            runs.into_iter().map(|run| run.join().unwrap()).collect()
        });
        let reports: Vec<_> = outputs.into_iter().map(|output| output.ok().json()).collect();
        for report in &reports {
            assert_eq!(whole(report), whole(&reports[0]), "round {round}");
        }
        all_is_right(&env);
        store_is_clean(&env.dir().join("store"));
        env.treelay(["store", "verify"]).ok();
    }
}

#[test]
fn different_builds_side_by_side_into_one_layout_and_repository() {
    let env = large(4, 50_000);
    let names = ["one", "two", "three"];
    for name in names {
        env.write(&format!("{name}.yaml"), RECIPE.replace("name: large", &format!("name: {name}")));
    }
    std::thread::scope(|scope| {
        for name in names {
            let env = &env;
            scope.spawn(move || {
                let (recipe, layout) = (format!("{name}.yaml"), format!("oci:out:{name}"));
                env.treelay(["build", &recipe, "-o", &layout, "-o", "ostree:repo"]).ok();
            });
        }
    });
    for name in names {
        env.treelay(["inspect", &format!("oci:out:{name}")]).ok();
    }
    let commits = env.treelay(["inspect", "ostree:repo", "--json"]).ok().json();
    assert_eq!(
        commits["commits"].as_object().unwrap().len(),
        6,
        "{}",
        settle(&env, &commits.to_string())
    );
}
