//! Builds that are killed.

use std::fs;
use std::path::Path;

use treelay_tests::Env;
use treelay_tests::tamper::Random;

use crate::recipe::{build, digests, prepared, store};

const OUTPUTS: [&str; 2] = ["oci:image", "ostree:repo"];

/// Kills a build at so many moments, each time followed by one that is not. The chance is the
/// same every time, as far as the machine's is.
pub fn at_moments(count: u64) {
    let env = prepared();
    env.treelay(["key", "generate", "--out", "k"]).env("COSIGN_PASSWORD", Env::PASSWORD).ok();
    let signed = |outputs: &[&str]| {
        build(&env, "all", outputs).arg("--key=k.key").env("COSIGN_PASSWORD", Env::PASSWORD)
    };
    let forget = || {
        for folder in [store(&env), env.path("image"), env.path("repo")] {
            if folder.exists() {
                fs::remove_dir_all(folder).unwrap();
            }
        }
    };
    let expected = digests(&signed(&OUTPUTS).ok().json());
    let all = files_now(env.dir());

    let mut random = Random(count);
    let mut killed = 0;
    for round in 0..count {
        // Every third time on what the last ones left.
        if round % 3 != 0 {
            forget();
        }
        let before = files_now(env.dir());
        let mut child = signed(&OUTPUTS).spawn();
        // By what was done, not by the clock: a slow machine is killed as far into it as a fast one.
        let moment = before + random.below(all.saturating_sub(before) + 1);
        let more = random.below(2000);
        while files_now(env.dir()) < moment && child.try_wait().unwrap().is_none() {}
        (0..more).for_each(|_| std::thread::yield_now());
        child.kill().unwrap();
        killed += u64::from(!child.wait().unwrap().success());

        let told = format!("round {round}, killed at {moment} of {all} files");
        let output = signed(&OUTPUTS).output();
        assert!(output.status.success(), "{told}: {output}");
        assert_eq!(digests(&output.json()), expected, "{told}");
        for place in OUTPUTS {
            let output = env.treelay(["verify", place, "--key=k.pub"]).output();
            assert!(output.status.success(), "{told}: {output}");
        }
        let output = env.treelay(["store", "verify"]).output();
        assert!(output.status.success(), "{told}: {output}");
    }
    assert!(killed > 0, "no build was killed before its end");
}

/// How many files there are, while others make and remove some.
fn files_now(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let count = entries.map(|entry| match entry.file_type() {
        Ok(kind) if kind.is_dir() => files_now(&entry.path()),
        _ => 1,
    });
    count.sum()
}
