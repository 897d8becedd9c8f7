//! The campaign: cases of a target, each told by the seed and its number, on every processor.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::random::Random;
use crate::spoil;
use crate::targets::Target;

/// What no case may take.
const HANGS: Duration = Duration::from_secs(20);

/// The folder of a target's good and once bad inputs.
pub fn corpus(target: &Target) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/corpus").join(target.name)
}

/// The files of a corpus, by name.
pub fn seeds(target: &Target) -> Vec<(String, Vec<u8>)> {
    let folder = corpus(target);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    let mut seeds: Vec<(String, Vec<u8>)> = entries
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, std::fs::read(path).unwrap())
        })
        .collect();
    seeds.sort();
    assert!(!seeds.is_empty(), "{folder:?} is empty");
    seeds
}

/// Attacks a target with so many cases, or as long, whatever ends first.
///
/// # Panics
/// Where a case shows something wrong; with the least of it that still does.
pub fn run(target: &Target, cases: u64, time: Duration) {
    let seed =
        std::env::var("TREELAY_FUZZ_SEED").map_or(0x0062_7265_616b, |it| it.parse().unwrap());
    let inputs: Vec<Vec<u8>> = seeds(target).into_iter().map(|(_, bytes)| bytes).collect();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let [next, done, accepted] = [const { AtomicU64::new(0) }; 3];
    let start = Instant::now();
    let work = || {
        loop {
            let case = next.fetch_add(1, Ordering::Relaxed);
            if case >= cases || start.elapsed() >= time {
                break;
            }
            done.fetch_add(1, Ordering::Relaxed);
            let input = input(target, &inputs, seed, case);
            let began = Instant::now();
            match wrong(target, &input) {
                Ok(true) => drop(accepted.fetch_add(1, Ordering::Relaxed)),
                Ok(false) => {}
                Err(why) => found(target, seed, case, input, &why),
            }
            let took = began.elapsed();
            assert!(
                took < HANGS,
                "{}, TREELAY_FUZZ_SEED={seed}, case {case}: {took:?}",
                target.name
            );
        }
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        for worker in workers {
            worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        }
    });
    let (cases, accepted) = (done.into_inner(), accepted.into_inner());
    let seconds = start.elapsed().as_secs_f64();
    eprintln!("{:<14} {cases} cases, {accepted} of them accepted, {seconds:.1} s", target.name);
}

/// The bytes of a case.
fn input(target: &Target, seeds: &[Vec<u8>], seed: u64, case: u64) -> Vec<u8> {
    let mut random = Random::of(seed, target.name, case);
    let bytes = random.pick(seeds).clone();
    spoil::spoiled(&mut random, target.form, bytes, seeds)
}

/// Whether the target accepts an input; the error is what is wrong.
fn wrong(target: &Target, input: &[u8]) -> Result<bool, String> {
    catch_unwind(AssertUnwindSafe(|| (target.judge)(input))).map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("it panicked").to_owned()
    })
}

/// Says what was found, in the least bytes that still show it.
fn found(target: &Target, seed: u64, case: u64, input: Vec<u8>, why: &str) -> ! {
    // Each try to leave something out would tell of its panic.
    std::panic::set_hook(Box::new(|_| {}));
    let least = least(input, &|bytes| wrong(target, bytes).is_err());
    drop(std::panic::take_hook());
    let shown: String = least[..least.len().min(4000)].escape_ascii().to_string();
    panic!(
        "{}, TREELAY_FUZZ_SEED={seed}, case {case}: {why}\nin {} bytes, to be kept in {}:\n{shown}",
        target.name,
        least.len(),
        corpus(target).display(),
    );
}

/// Leaves out what is not needed for `shows`, in ever smaller pieces.
pub fn least(mut input: Vec<u8>, shows: &dyn Fn(&[u8]) -> bool) -> Vec<u8> {
    let mut piece = (input.len() / 2).max(1);
    let mut tries = 2000;
    loop {
        let mut at = 0;
        while at < input.len() && tries > 0 {
            tries -= 1;
            let mut less = input.clone();
            less.drain(at..(at + piece).min(input.len()));
            if shows(&less) {
                input = less;
            } else {
                at += piece;
            }
        }
        if piece == 1 || tries == 0 {
            return input;
        }
        piece /= 2;
    }
}
