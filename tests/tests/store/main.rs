//! The store under bad conditions: `gc` while builds run, damage, many builds at once, builds that
//! are killed, a disk that is full.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod builds;
mod crash;
mod damage;
mod gc;
mod recipe;

#[test]
fn builds_that_are_killed_leave_nothing_that_is_wrong() {
    crash::at_moments(20);
}
