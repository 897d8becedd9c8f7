//! The same recipe and sources give the same bytes, whoever builds them, where and how.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::sync::OnceLock;

use serde_json::Value;
use treelay_tests::tamper::Random;
use treelay_tests::{Env, Run, tamper};

use crate::fixture::listing;
use crate::golang::{FROM_DIR, MACHINES, distribution};

/// Files of a local source: small ones in several folders, and enough bytes for several frames, so
/// that several threads have work. Few in number, since each is made again for every build.
fn files() -> &'static Vec<(String, Vec<u8>)> {
    static FILES: OnceLock<Vec<(String, Vec<u8>)>> = OnceLock::new();
    FILES.get_or_init(|| {
        let mut random = Random(7);
        let mut files = Vec::new();
        for folder in 0..5 {
            for file in 0..5 {
                let size = random.below(if file == 0 { 1_200_000 } else { 900 });
                let bytes = (0..size).map(|_| b"abcdefgh\n"[random.below(9) as usize]).collect();
                files.push((format!("data/{folder:x}/F{file}-\u{e9}"), bytes));
            }
        }
        files
    })
}

/// Writes the recipe, its Go distributions and its data, in an order of its own.
fn write(env: &Env, folder: &str, order: u64) {
    let layer = "  - name: data\n    directory: {source: data, prefix: /usr/share/data}\n";
    env.write(&format!("{folder}recipe.yaml"), format!("{FROM_DIR}{layer}"));
    let mut all = files().clone();
    for (arch, _) in MACHINES {
        let below = |(path, bytes)| (format!("sdk/{arch}/go/{path}"), bytes);
        all.extend(distribution(arch).into_iter().map(below));
    }
    Random(order).shuffle(&mut all);
    for (path, bytes) in all {
        let path = env.write(&format!("{folder}{path}"), bytes);
        // What a checkout keeps of modes is whether a file can be executed.
        let mode = if order.is_multiple_of(2) { 0o644 } else { 0o600 };
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }
    let run = env.write(&format!("{folder}data/run"), "#!/bin/sh\n");
    fs::set_permissions(run, fs::Permissions::from_mode(0o755)).unwrap();
    symlink("run", env.path(format!("{folder}data/link"))).unwrap();
}

/// Index digest, commit checksums, and everything in the layout and the repository's objects.
fn built(env: &Env, folder: &str, change: impl FnOnce(Run) -> Run) -> (Value, Vec<Value>, String) {
    let line = ["build", "recipe.yaml", "--json", "-o", "oci:out", "-o", "ostree:repo"];
    let run = env.treelay(line).current_dir(env.path(folder));
    let report = change(run).ok().json();
    let commits = report["commits"].as_array().unwrap().iter();
    let checksums = commits.map(|commit| commit["checksum"].clone()).collect();
    let bytes = |place: &str| {
        let all = listing(&env.path(format!("{folder}{place}")));
        // Modes of files in a layout are the umask's, as those of any file.
        let lines = all.lines().filter(|line| !line.ends_with(" directory"));
        let words = lines.map(|line| line.split(' ').collect::<Vec<_>>());
        words.map(|words| format!("{} {}\n", words[0], words[words.len() - 1])).collect::<String>()
    };
    let lock = env.read(&format!("{folder}recipe.lock"));
    (report["index"]["digest"].clone(), checksums, lock + &bytes("out") + &bytes("repo/objects"))
}

#[test]
fn on_every_machine() {
    let elsewhere = "another/place with spaces/";
    type Change = fn(Run) -> Run;
    let ways: [(&str, u64, Change); 8] = [
        ("", 0, |run| run.args(["--jobs", "2"])),
        (elsewhere, 1, |run| run),
        ("", 2, |run| run.after_shell("umask 077")),
        ("", 3, |run| run.after_shell("umask 000")),
        ("", 4, |run| run.env("TZ", "Pacific/Auckland").env("SOURCE_DATE_EPOCH", "")),
        (elsewhere, 5, |run| {
            run.env("LC_ALL", "tr_TR.UTF-8").env("LANG", "C").args(["--jobs", "1"])
        }),
        ("", 6, |run| run.args(["--jobs", "7"])),
        ("", 7, |run| run.without_env("HOME").args(["--jobs", "64"])),
    ];
    // Side by side, because each waits for its file system most of the time.
    let results: Vec<_> = std::thread::scope(|scope| {
        let builds: Vec<_> = ways
            .into_iter()
            .map(|(folder, order, change)| {
                scope.spawn(move || {
                    let env = Env::new();
                    write(&env, folder, order);
                    built(&env, folder, change)
                })
            })
            .collect();
        builds.into_iter().map(|build| build.join().unwrap()).collect()
    });
    assert_eq!(results[0].1.len(), 3);
    for (result, (folder, order, _)) in results.iter().zip(ways) {
        assert_eq!(*result, results[0], "in {folder:?}, order {order}");
    }
}

/// Builds, spoils the store, and builds again into new places; both results.
fn again(spoil: impl FnOnce(&Path)) -> [(Value, Vec<Value>, String); 2] {
    let env = Env::new();
    write(&env, "", 0);
    let first = built(&env, "", |run| run);
    for place in ["out", "repo"] {
        fs::remove_dir_all(env.path(place)).unwrap();
    }
    spoil(&env.dir().join("store"));
    [first, built(&env, "", |run| run)]
}

/// An image of a commit depends on the commit alone.
#[test]
fn as_an_encapsulated_image() {
    let env = Env::new();
    write(&env, "", 0);
    built(&env, "", |run| run);
    type Change = fn(Run) -> Run;
    let ways: [(&str, Change); 4] = [
        ("a", |run| run.args(["--jobs", "1"])),
        ("b", |run| run.args(["--jobs", "7"]).env("TZ", "Pacific/Auckland")),
        ("c", |run| run.after_shell("umask 077").env("LC_ALL", "tr_TR.UTF-8")),
        ("d", |run| run.after_shell("umask 000").env("SOURCE_DATE_EPOCH", "1")),
    ];
    let digests = ways.map(|(folder, change)| {
        let copy = ["copy", "ostree:repo", &format!("oci:{folder}:1"), "--json"];
        change(env.treelay(copy)).ok().json()["digest"].clone()
    });
    assert!(digests.iter().all(|digest| *digest == digests[0]), "{digests:?}");
}

fn without(store: &Path, rooms: &[&str]) {
    for room in rooms {
        assert!(store.join(room).is_dir(), "{room}");
        fs::remove_dir_all(store.join(room)).unwrap();
    }
}

#[test]
fn from_a_store_that_lost_a_part_or_was_damaged() {
    let all = ["frames", "blobs", "products", "trees", "stats"];
    std::thread::scope(|scope| {
        for rooms in [&[][..], &["blobs"], &["frames", "blobs"], &["products"], &["trees"], &all] {
            scope.spawn(move || {
                let [first, second] = again(|store| without(store, rooms));
                assert_eq!(first, second, "without {rooms:?}");
            });
        }
        // A damaged frame is made again; it is never passed on.
        scope.spawn(|| {
            let [first, second] = again(|store| {
                for (seed, frame) in tamper::files(&store.join("frames")).iter().enumerate() {
                    tamper::flip(frame, seed as u64);
                }
                without(store, &["blobs", "products"]);
            });
            assert_eq!(first, second, "with damaged frames");
        });
    });
}
