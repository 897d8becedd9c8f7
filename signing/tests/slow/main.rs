//! The campaign against everything that is read from strangers: a million cases.
//!
//! `TREELAY_FUZZ_CASES` asks for another number, `TREELAY_FUZZ_SEED` for others of them.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../fuzz/campaign.rs"]
mod campaign;
#[path = "../fuzz/commits.rs"]
mod commits;
#[path = "../fuzz/downloads.rs"]
mod downloads;
#[path = "../fuzz/images.rs"]
mod images;
#[path = "../fuzz/json.rs"]
mod json;
#[path = "../fuzz/keyless.rs"]
mod keyless;
#[path = "../fuzz/keys.rs"]
mod keys;
#[path = "../fuzz/mutate.rs"]
mod mutate;
#[path = "../fuzz/random.rs"]
mod random;
#[path = "../fuzz/targets.rs"]
mod targets;

/// All targets together.
const CASES: u64 = 1_000_000;

#[test]
fn a_million_tampered_inputs_are_refused_without_a_panic() {
    for target in targets::all() {
        assert!(target.untouched() > 0, "{} accepts nothing", target.name());
    }
    let cases = std::env::var("TREELAY_FUZZ_CASES").map_or(CASES, |it| it.parse().unwrap());
    campaign::run(cases.div_ceil(targets::all().len() as u64));
}
