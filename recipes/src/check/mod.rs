//! Whether a recipe that has the right shape makes sense.
//!
//! [`mod@structure`] looks at the recipe as it is written, [`mod@values`] at what it says on one
//! arch.

pub(crate) mod grammar;
mod structure;
mod values;

pub(crate) use structure::structure;
pub(crate) use values::values;
