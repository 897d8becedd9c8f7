//! treelay and consumers that take minutes to prepare.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod boot;
#[path = "../store/crash.rs"]
mod crash;
mod ed25519;
mod fixture;
mod harness;
#[path = "../real/judged.rs"]
mod judged;
#[path = "../store/recipe.rs"]
mod recipe;
mod remotes;
mod spki;

#[test]
fn builds_that_are_killed_leave_nothing_that_is_wrong() {
    crash::at_moments(200);
}
