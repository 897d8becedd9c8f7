//! A share of the attacks on what reads strangers' bytes, in seconds. In the slow tier libFuzzer goes
//! on, a minute for each target (`builder/fuzz`).
//!
//! `TREELAY_FUZZ_SEED` asks for other cases. What was once found stays in `tests/corpus`.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod attack;
#[path = "../../../signing/tests/fuzz/json.rs"]
mod json;
#[path = "../../../signing/tests/fuzz/mutate.rs"]
mod mutate;
#[path = "../../../signing/tests/fuzz/random.rs"]
mod random;
mod spoil;
mod targets;

use std::time::Duration;

/// Cases of each target.
const CASES: u64 = 1_000;
/// What they may take, on a machine that has much else to do.
const MOST: Duration = Duration::from_secs(10);

#[test]
fn nothing_that_is_spoiled_does_harm() {
    for target in targets::ALL {
        attack::run(target, CASES, MOST);
    }
}

/// Names of files in a corpus begin with what comes of them.
#[test]
fn what_is_kept_is_judged_as_its_name_says() {
    for target in targets::ALL {
        let seeds = attack::seeds(target);
        let good = seeds.iter().filter(|(name, _)| name.starts_with("good")).count();
        assert!(good > 0, "{} accepts nothing", target.name);
        for (name, bytes) in &seeds {
            let expected = match name.split('-').next() {
                Some("good") => true,
                Some("bad") => false,
                _ => panic!("{}: {name} is neither good nor bad", target.name),
            };
            assert_eq!((target.judge)(bytes), expected, "{}: {name}", target.name);
        }
    }
}

#[test]
fn what_is_found_is_told_in_few_bytes() {
    let noise = [vec![b'x'; 5000], b"needle".to_vec(), vec![b'y'; 3000]].concat();
    let shows = |bytes: &[u8]| bytes.windows(6).any(|window| window == b"needle");
    assert_eq!(attack::least(noise, &shows), b"needle");
}
