//! Stores with something wrong in them.

use std::fs;
use std::path::{Path, PathBuf};

use treelay_tests::Env;
use treelay_tests::tamper::{Random, files, flip};

use crate::recipe::{PROGRAM, build, digests, prepared, store};

const ROOMS: [&str; 5] = ["objects", "trees", "blobs", "frames", "products"];
const OUTPUTS: [&str; 2] = ["oci:image", "ostree:repo"];

/// What a bad disk does to a file.
fn damage(path: &Path, random: &mut Random) {
    match random.below(4) {
        0 => fs::write(path, "").unwrap(),
        1 => {
            let length = fs::metadata(path).unwrap().len();
            fs::File::options().write(true).open(path).unwrap().set_len(length / 2).unwrap();
        }
        _ => drop(flip(path, random.draw())),
    }
}

fn forget(env: &Env, folders: &[&str]) {
    for folder in folders.iter().map(|folder| env.path(folder)).filter(|path| path.exists()) {
        fs::remove_dir_all(folder).unwrap();
    }
}

fn records(env: &Env, kind: &str) -> Vec<PathBuf> {
    let mut found = files(&store(env).join("products"));
    found.retain(|path| path.extension().is_some_and(|extension| extension == kind));
    assert!(!found.is_empty(), "no record of kind {kind}");
    found
}

#[test]
fn whatever_is_damaged_is_made_again_and_told() {
    let env = prepared();
    let expected = digests(&build(&env, "all", &OUTPUTS).ok().json());
    for (seed, room) in ROOMS.into_iter().enumerate() {
        for all in [false, true] {
            let mut random = Random(seed as u64);
            // What uses the room.
            if matches!(room, "frames" | "trees") {
                fs::remove_dir_all(store(&env).join("blobs")).unwrap();
            }
            forget(&env, &["image", "repo"]);
            let mut damaged = files(&store(&env).join(room));
            if room == "products" {
                // Those of commits are not read before there is one.
                damaged
                    .retain(|path| path.extension().is_some_and(|kind| kind != "ostree-content"));
            }
            if !all {
                random.shuffle(&mut damaged);
                match room {
                    "objects" => damaged = programs(&store(&env)),
                    "trees" => damaged = merged(&env),
                    _ => {}
                }
                damaged.truncate(1);
            }
            damaged.iter().for_each(|path| damage(path, &mut random));
            let what = format!("{} of {room}", damaged.len());
            env.treelay(["store", "verify"]).fails(1).says(room);
            let output = build(&env, "all", &OUTPUTS).ok();
            assert_eq!(digests(&output.json()), expected, "{what}");
            assert!(output.err().contains("damaged in the store"), "{what}: {output}");
            // What this build had no use for is still wrong.
            env.treelay(["store", "verify", "--repair"]).ok();
            env.treelay(["store", "verify"]).ok().says(" 0 wrong");
        }
    }
}

/// Contents that only the store has, and every build of a commit reads.
fn programs(store: &Path) -> Vec<PathBuf> {
    let mut found = files(&store.join("objects"));
    found.retain(|path| fs::metadata(path).unwrap().len() == PROGRAM as u64);
    found
}

/// The trees that commits are made of.
fn merged(env: &Env) -> Vec<PathBuf> {
    let records = records(env, "merged-tree").into_iter();
    let trees = records.map(|path| {
        let text = fs::read_to_string(path).unwrap();
        let (_, hex) = text.trim_end_matches('"').split_once("sha256:").unwrap();
        store(env).join("trees").join(&hex[..2]).join(&hex[2..])
    });
    trees.collect()
}

#[test]
fn several_kinds_of_damage_at_once_are_mended() {
    let env = prepared();
    let expected = digests(&build(&env, "all", &OUTPUTS).ok().json());
    for seed in 0..6 {
        let mut random = Random(seed);
        forget(&env, &["image", "repo"]);
        for room in ROOMS {
            for path in files(&store(&env).join(room)) {
                match random.below(5) {
                    0 => damage(&path, &mut random),
                    1 => fs::remove_file(path).unwrap(),
                    _ => {}
                }
            }
        }
        let output = build(&env, "all", &OUTPUTS).output();
        assert!(output.status.success(), "seed {seed}: {output}");
        assert_eq!(digests(&output.json()), expected, "seed {seed}");
        env.treelay(["store", "verify", "--repair"]).ok();
        let output = build(&env, "all", &OUTPUTS).ok();
        assert_eq!(digests(&output.json()), expected, "seed {seed}");
        env.treelay(["store", "verify"]).ok();
    }
}

#[test]
fn a_tree_on_disk_is_written_of_good_contents_alone() {
    let env = prepared();
    let one = |dest: &str| build(&env, "all", &[dest]).arg("--arch=amd64");
    one("tree:first").ok();
    for path in files(&store(&env).join("objects")) {
        flip(&path, 5);
    }
    one("tree:second").ok().says("damaged in the store");
    let list = |folder: &str| -> Vec<_> {
        let root = env.path(folder);
        let files = files(&root).into_iter();
        files
            .map(|path| (path.strip_prefix(&root).unwrap().to_owned(), fs::read(path).unwrap()))
            .collect()
    };
    assert!(list("first") == list("second"));
}

#[test]
fn records_that_refer_to_what_is_gone_are_problems() {
    let env = prepared();
    build(&env, "few", &[]).ok();
    let blobs = files(&store(&env).join("blobs"));
    fs::remove_file(&blobs[0]).unwrap();
    let output = env.treelay(["store", "verify", "--json"]).fails(1);
    let problems = output.json()["problems"].as_array().unwrap().clone();
    assert_eq!(problems.len(), 1, "{output}");
    assert!(problems[0]["reason"].as_str().unwrap().ends_with("which is missing"), "{output}");
    let before = records(&env, "layer-blob").len();
    env.treelay(["store", "verify", "--repair"]).ok().says("1 wrong, and removed");
    assert_eq!(records(&env, "layer-blob").len(), before - 1);
}

#[test]
fn a_full_disk_is_told_and_what_was_begun_can_go_on() {
    let env = prepared();
    let expected = digests(&build(&env, "all", &OUTPUTS).ok().json());
    forget(&env, &["image", "repo"]);
    fs::remove_dir_all(store(&env)).unwrap();
    fs::create_dir(store(&env)).unwrap();
    // In a mount namespace of its own, so that nobody else sees the small disk.
    let script = r#"
        mount -t tmpfs -o size=2m none "$TREELAY_STORE" || exit 99
        for again in 1 2; do
            "$1" build all.yaml -o oci:image -o ostree:repo 2>&1 && exit 98
        done
        "$1" gc --keep-days=0 || exit 97
        "$1" build all.yaml 2>&1 && exit 96
        mount -o remount,size=100m "$TREELAY_STORE" || exit 95
        "$1" build all.yaml -o oci:image -o ostree:repo --json >report.json || exit 94
        "$1" store verify || exit 93
    "#;
    let enter = ["--mount", "--map-root-user", "sh", "-c", script, "sh"];
    let run = env.run("unshare").args(enter).arg(treelay_tests::tools::treelay());
    run.ok().says("No space left on device");
    let report = serde_json::from_str(&env.read("report.json")).unwrap();
    assert_eq!(digests(&report), expected);
}
