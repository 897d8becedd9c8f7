//! The campaign: every target, so many cases of each, on every processor.
//!
//! A case is numbered, and its number and the seed say all: a failure names both.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use crate::random::Random;
use crate::targets::{self, Target};

/// Runs so many cases of each target.
///
/// # Panics
/// When a case is accepted that must not be, or panics.
pub fn run(cases: u64) {
    let seed =
        std::env::var("TREELAY_FUZZ_SEED").map_or(0x7265_656c_6179, |it| it.parse().unwrap());
    let threads = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    for target in targets::all() {
        let start = Instant::now();
        let harmless = std::thread::scope(|scope| {
            let share = |first: u64| {
                let target = &*target;
                scope.spawn(move || {
                    let all = (first..cases).step_by(threads as usize);
                    all.filter(|&case| one(target, seed, case)).count()
                })
            };
            let shares: Vec<_> = (0..threads).map(share).collect();
            let joined = shares
                .into_iter()
                .map(|share| share.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
            joined.sum::<usize>()
        });
        let seconds = start.elapsed().as_secs_f64();
        eprintln!(
            "{:<28} {cases} cases, {harmless} of them harmless, {seconds:.1} s",
            target.name()
        );
        // A target that refuses even what means the same is not being tested.
        assert!(cases < 1000 || harmless > 0, "{}: nothing was accepted", target.name());
    }
}

/// One case; whether it was accepted, which is right only for one that means the same.
fn one(target: &dyn Target, seed: u64, case: u64) -> bool {
    let mut random = Random::of(seed, target.name(), case);
    let input = target.input(&mut random);
    let judged = catch_unwind(AssertUnwindSafe(|| target.judge(&input)));
    let wrong = match judged {
        Ok(Ok(accepted)) => return accepted,
        Ok(Err(wrong)) => wrong,
        Err(_) => "it panicked".to_owned(),
    };
    let shown: Vec<String> =
        input.iter().map(|part| part[..part.len().min(4000)].escape_ascii().to_string()).collect();
    panic!(
        "{}, TREELAY_FUZZ_SEED={seed}, case {case}: {wrong}\n{}",
        target.name(),
        shown.join("\n")
    );
}
