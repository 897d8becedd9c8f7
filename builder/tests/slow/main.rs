//! The attacks on what reads strangers' bytes, a minute each.
//!
//! `TREELAY_FUZZ_SECONDS` asks for another time, `TREELAY_FUZZ_SEED` for other cases.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../fuzz/attack.rs"]
mod attack;
#[path = "../../../signing/tests/fuzz/json.rs"]
mod json;
#[path = "../../../signing/tests/fuzz/mutate.rs"]
mod mutate;
#[path = "../../../signing/tests/fuzz/random.rs"]
mod random;
#[path = "../fuzz/targets.rs"]
mod targets;

use std::time::Duration;

#[test]
fn nothing_that_is_spoiled_does_harm_for_a_minute() {
    let seconds = std::env::var("TREELAY_FUZZ_SECONDS").map_or(60, |it| it.parse().unwrap());
    for target in &targets::ALL {
        attack::run(target, u64::MAX, Duration::from_secs(seconds));
    }
}
