//! Attacks the target that `TREELAY_FUZZ_TARGET` names.

#![no_main]
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../../../signing/tests/fuzz/json.rs"]
mod json;
#[path = "../../../signing/tests/fuzz/mutate.rs"]
mod mutate;
#[path = "../../../signing/tests/fuzz/random.rs"]
mod random;
#[path = "../../tests/fuzz/spoil.rs"]
mod spoil;
#[path = "../../tests/fuzz/targets/mod.rs"]
mod targets;

use std::path::Path;
use std::sync::LazyLock;

use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};
use random::Random;
use targets::{ALL, Target, repaired};

static TARGET: LazyLock<Target> = LazyLock::new(|| {
    let name = std::env::var("TREELAY_FUZZ_TARGET").unwrap_or_default();
    let found = ALL.iter().find(|target| target.name == name);
    *found.unwrap_or_else(|| {
        let names: Vec<_> = ALL.iter().map(|target| target.name).collect();
        panic!("TREELAY_FUZZ_TARGET is {name:?}: expected one of {}", names.join(", "))
    })
});

/// What the corpus has: parts of it are put into inputs.
static SEEDS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/corpus").join(TARGET.name);
    let files = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    files.map(|file| std::fs::read(file.unwrap().path()).unwrap()).collect()
});

fuzz_target!(|bytes: &[u8]| {
    (TARGET.judge)(bytes);
});

// Half of what libFuzzer tries it makes as it knows best, from the comparisons that it sees; the other
// half is spoiled by those who know the form. Either is made readable, or it would be refused for its
// checksum alone.
fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let mut random = Random::of(u64::from(seed), TARGET.name, size as u64);
    let made = if size == 0 || random.once_in(2) {
        let size = fuzzer_mutate(data, size, max_size);
        if random.once_in(8) { data[..size].to_vec() } else { repaired(TARGET.form, &data[..size]) }
    } else {
        spoil::spoiled(&mut random, TARGET.form, data[..size].to_vec(), &SEEDS)
    };
    let length = made.len().min(max_size);
    data[..length].copy_from_slice(&made[..length]);
    length
});
