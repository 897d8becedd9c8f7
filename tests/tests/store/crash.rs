//! Builds that are killed.
//!
//! A *moment* is when: so many files after the build has begun, and a little later. By files and
//! not by the clock alone, because a slow machine is then killed as far into it as a fast one. A
//! *round* is one to three builds that are killed, one after the other, and one that is not; that
//! one must make what a build makes that nothing ever happened to, and leave everything right.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use serde_json::Value;
use treelay_tests::Env;
use treelay_tests::tamper::Random;

use crate::recipe::{build, digests, prepared, store};

/// Where the chance begins.
const SEED: u64 = 3;

const OUTPUTS: [&str; 2] = ["oci:image", "ostree:repo"];

/// What is there when a round begins.
#[derive(Debug, Clone, Copy)]
enum Start {
    /// Nothing.
    Nothing,
    /// A store with all that is needed, and no output.
    Store,
    /// What was made before a file was changed.
    Older,
}

/// What a start leads to when nothing happens.
struct Calm {
    start: Start,
    /// How many files come.
    files: u64,
    digests: (Value, Vec<Value>),
}

/// Kills builds at so many moments.
pub fn at_moments(count: u64) {
    let env = prepared();
    // Without a password, which would cost time on purpose: RFC 8032, section 7.1, test 1, in
    // ostree's form.
    env.write(
        "k.key",
        "nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2DXWpgBgrEKt9VL/tPJZAc6DuFy89qmIyWvAhpo9wdRGg==\n",
    );
    env.write("k.pub", "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n");
    // Layers of several frames, and a content that is cut inside.
    for n in 0..6 {
        env.write(&format!("data/many/{n}"), text(n, 500_000));
    }
    set_up(&env, Start::Nothing);
    signed(&env).ok();
    keep(&env);
    let calm = [Start::Nothing, Start::Store, Start::Older].map(|start| {
        set_up(&env, start);
        let before = files_now(&env);
        let digests = digests(&signed(&env).ok().json());
        Calm { start, files: files_now(&env) - before, digests }
    });
    assert_eq!(calm[0].digests, calm[1].digests);
    assert_ne!(calm[0].digests, calm[2].digests);

    let mut random = Random(SEED);
    let mut killed = 0;
    for round in 0.. {
        assert!(round < 3 * count, "{round} rounds killed no more than {killed} builds");
        let calm = &calm[(round % 3) as usize];
        let mut told = format!("seed {SEED}, round {round} from {:?}", calm.start);
        set_up(&env, calm.start);
        let last = files_now(&env) + calm.files;
        for _ in 0..(1 + random.below(3)).min(count - killed) {
            // What the one before has done is not done again.
            let left = last.saturating_sub(files_now(&env));
            let moment = Moment {
                files: random.below(left + 1),
                later: Duration::from_micros(random.below(4000)),
            };
            let by_us = moment.kill(&env);
            told += &format!(", {moment:?}: {}", if by_us { "killed" } else { "over" });
            killed += u64::from(by_us);
        }
        let output = signed(&env).output();
        assert!(output.status.success(), "{told}: {output}");
        assert_eq!(digests(&output.json()), calm.digests, "{told}");
        for place in OUTPUTS {
            let output = env.treelay(["verify", place, "--key=k.pub"]).output();
            assert!(output.status.success(), "{told}: {output}");
        }
        let output = env.treelay(["store", "verify"]).output();
        assert!(output.status.success(), "{told}: {output}");
        let output = env.ostree(["fsck", "--quiet", "--repo=repo"]).output();
        assert!(output.status.success(), "{told}: {output}");
        if killed == count {
            return;
        }
    }
}

/// When a build is killed.
#[derive(Debug)]
struct Moment {
    /// Once so many files have come.
    files: u64,
    /// And so much later.
    later: Duration,
}

impl Moment {
    /// Starts a build and kills it; false if that was over before.
    fn kill(&self, env: &Env) -> bool {
        let before = files_now(env);
        let mut child = signed(env).spawn();
        while files_now(env) < before + self.files && child.try_wait().unwrap().is_none() {
            // Leaves the processor to the build.
            sleep(Duration::from_micros(200));
        }
        sleep(self.later);
        child.kill().unwrap();
        !child.wait().unwrap().success()
    }
}

fn signed(env: &Env) -> treelay_tests::Run {
    build(env, "all", &OUTPUTS).arg("--key=k.key")
}

/// What is kept of the first build, and where.
fn places(env: &Env) -> [(PathBuf, PathBuf); 3] {
    let kept = |name: &str| env.path("kept").join(name);
    [
        (store(env), kept("store")),
        (env.path("image"), kept("image")),
        (env.path("repo"), kept("repo")),
    ]
}

fn keep(env: &Env) {
    fs::create_dir(env.path("kept")).unwrap();
    for (place, kept) in places(env) {
        env.run("cp").arg("-a").args([place, kept]).ok();
    }
}

fn set_up(env: &Env, start: Start) {
    for (n, (place, kept)) in places(env).into_iter().enumerate() {
        if place.exists() {
            fs::remove_dir_all(&place).unwrap();
        }
        match start {
            Start::Nothing => {}
            Start::Store if n > 0 => {}
            Start::Store | Start::Older => {
                env.run("cp").arg("-a").args([kept, place]).ok();
            }
        }
    }
    let seed = if matches!(start, Start::Older) { 101 } else { 100 };
    env.write("data/large", text(seed, 5 << 20));
}

/// Lines of numbers: they compress, but not to nothing.
fn text(seed: u64, length: usize) -> Vec<u8> {
    let mut random = Random(seed);
    let mut text = Vec::with_capacity(length + 80);
    while text.len() < length {
        text.extend(format!("{:x} and nothing more in this line of text\n", random.draw()).bytes());
    }
    text
}

/// How many files there are, while others make and remove some.
fn files_now(env: &Env) -> u64 {
    places(env).iter().map(|(place, _)| files_below(place)).sum()
}

fn files_below(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let count = entries.map(|entry| match entry.file_type() {
        Ok(kind) if kind.is_dir() => files_below(&entry.path()),
        _ => 1,
    });
    count.sum()
}
