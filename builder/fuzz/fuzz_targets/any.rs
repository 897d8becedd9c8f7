//! Attacks the target that `TREELAY_FUZZ_TARGET` names.

#![no_main]

#[path = "../../tests/fuzz/targets.rs"]
mod targets;

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use targets::{ALL, Form, Target, repaired};

static TARGET: LazyLock<Target> = LazyLock::new(|| {
    let name = std::env::var("TREELAY_FUZZ_TARGET").unwrap_or_default();
    let found = ALL.into_iter().find(|target| target.name == name);
    found.unwrap_or_else(|| {
        let names: Vec<_> = ALL.iter().map(|target| target.name).collect();
        panic!("TREELAY_FUZZ_TARGET is {name:?}: expected one of {}", names.join(", "))
    })
});

fuzz_target!(|bytes: &[u8]| {
    (TARGET.judge)(bytes);
    if matches!(TARGET.form, Form::Tar | Form::Xz) {
        (TARGET.judge)(&repaired(TARGET.form, bytes));
    }
});
