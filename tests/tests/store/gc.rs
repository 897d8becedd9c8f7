//! `treelay gc`.

use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, SystemTime};

use treelay_tests::tamper::files;

use crate::recipe::{build, digests, prepared, store};

const OUTPUTS: [&str; 2] = ["oci:image", "ostree:repo"];

/// Makes everything in the store look as if it had last been used so many days ago.
fn age(store: &Path, days: u64) {
    let then = SystemTime::now() - Duration::from_secs(days * 24 * 3600);
    for path in files(store) {
        File::options().append(true).open(path).unwrap().set_modified(then).unwrap();
    }
}

fn count(store: &Path) -> usize {
    let rooms = ["objects", "trees", "blobs", "frames", "products"];
    rooms.iter().map(|room| store.join(room)).filter(|p| p.exists()).map(|p| files(&p).len()).sum()
}

/// Nothing that was used was gone.
fn unharmed(said: &str) {
    assert!(!said.contains("made anew"), "{said}");
}

#[test]
fn what_is_used_stays_and_what_is_gone_is_made_again() {
    let env = prepared();
    let first = digests(&build(&env, "all", &OUTPUTS).ok().json());
    let all = count(&store(&env));
    let dry = env.treelay(["gc", "--keep-days", "0", "--dry-run", "--json"]).ok().json();
    assert_eq!(dry["dry_run"], true);
    assert!(dry["removed"]["files"].as_u64().unwrap() >= all as u64, "{dry}");
    assert_eq!(count(&store(&env)), all);
    env.treelay(["gc"]).ok().says("removed 0 files (0 B)");

    // An unchanged build uses records, and so the layers; fetched files are not used.
    age(&store(&env), 31);
    let again = build(&env, "all", &OUTPUTS).ok();
    assert_eq!(digests(&again.json()), first);
    env.treelay(["gc"]).ok();
    assert!(count(&store(&env)) < all);
    assert!(!files(&store(&env).join("frames")).is_empty());
    env.treelay(["store", "verify"]).ok();
    let report = build(&env, "all", &["oci:second", "ostree:second-repo"]).ok();
    assert_eq!(digests(&report.json()), first);
    unharmed(&report.err());

    env.treelay(["gc", "--keep-days", "0"]).ok();
    assert_eq!(count(&store(&env)), 0);
    let report = build(&env, "all", &["oci:third", "ostree:third-repo"]).ok().json();
    assert_eq!(digests(&report), first);
    env.treelay(["store", "verify"]).ok();
}

#[test]
fn the_store_gets_no_larger_than_is_allowed() {
    let env = prepared();
    let first = digests(&build(&env, "all", &OUTPUTS).ok().json());
    for size in ["4M", "2M", "500K", "0"] {
        let report = env.treelay(["gc", "--max-size", size, "--json"]).ok().json();
        let unit = if size.ends_with('M') { 1 << 20 } else { 1 << 10 };
        let limit = unit * size.trim_end_matches(['K', 'M']).parse::<u64>().unwrap();
        assert!(report["kept"]["bytes"].as_u64().unwrap() <= limit, "{report}");
        env.treelay(["store", "verify"]).ok();
        let repo = format!("ostree:repo-{size}");
        let image = format!("oci:image-{size}");
        let report = build(&env, "all", &[&image, &repo]).ok().json();
        assert_eq!(digests(&report), first, "{size}");
    }
    env.treelay(["gc", "--max-size", "1.5G"]).fails(2).says("expected a number of bytes");
}

#[test]
fn what_a_running_build_uses_stays() {
    let env = prepared();
    let expected = digests(&build(&env, "all", &["oci:other", "ostree:other-repo"]).ok().json());
    let few = digests(&build(&env, "few", &["oci:few", "ostree:few-repo"]).ok().json());
    assert_ne!(few, expected);
    age(&store(&env), 400);
    let before = count(&store(&env));

    // The layout's lock stops the build between the first output and the second.
    fs::create_dir(env.path("image")).unwrap();
    fs::write(env.path("image/oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    let lock = File::open(env.path("image/oci-layout")).unwrap();
    lock.lock().unwrap();
    let child = build(&env, "all", &OUTPUTS).spawn();
    // One blob for each layer, a config and a manifest for each arch, the index: then it waits.
    let blobs = env.path("image/blobs/sha256");
    let there = || fs::read_dir(&blobs).into_iter().flatten().flatten().count();
    let blobs_of_other = fs::read_dir(env.path("other/blobs/sha256")).unwrap().count();
    while there() < blobs_of_other {
        std::thread::yield_now();
    }
    let report = env.treelay(["gc", "--keep-days=0", "--max-size=0", "--json"]).ok().json();
    assert_eq!(report["running"], 1, "{report}");
    assert!(count(&store(&env)) < before, "what only the other recipe needs is gone");
    env.treelay(["store", "verify"]).ok();
    lock.unlock().unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    unharmed(&said);
    assert_eq!(digests(&serde_json::from_slice(&output.stdout).unwrap()), expected);

    let report = env.treelay(["gc", "--keep-days=0", "--json"]).ok().json();
    assert_eq!((report["running"].as_u64(), count(&store(&env))), (Some(0), 0));
}

#[test]
fn builds_and_gc_at_once_all_succeed() {
    let env = prepared();
    let expected = digests(&build(&env, "all", &OUTPUTS).ok().json());
    for round in 0..2 {
        let outputs: Vec<_> =
            (0..3).map(|n| (format!("oci:i{round}-{n}"), format!("ostree:r{round}-{n}"))).collect();
        let running: Vec<_> = outputs
            .iter()
            .map(|(image, repo)| build(&env, "all", &[image, repo]).spawn())
            .collect();
        for _ in 0..10 {
            env.treelay(["gc", "--keep-days=0", "--max-size=0"]).ok();
        }
        for child in running {
            let output = child.wait_with_output().unwrap();
            let said = String::from_utf8(output.stderr).unwrap();
            assert!(output.status.success(), "{said}");
            unharmed(&said);
            let report = serde_json::from_slice(&output.stdout).unwrap();
            assert_eq!(digests(&report), expected);
        }
        env.treelay(["store", "verify"]).ok();
    }
}
