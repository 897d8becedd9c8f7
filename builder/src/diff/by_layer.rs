//! What differs, layer by layer.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Comparison, PathInfo};

/// What differs in one layer. A path that both sides have counts where the second has it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct LayerChange {
    /// Its name; `None` for what is of no layer, or of one that is not known.
    pub layer: Option<String>,
    /// How many paths only the second side has.
    pub added: usize,
    /// How many bytes these have.
    pub added_bytes: u64,
    /// How many paths only the first side has.
    pub removed: usize,
    /// How many bytes these had.
    pub removed_bytes: u64,
    /// How many paths are something else.
    pub changed: usize,
    /// How many bytes more these have; less than 0 where they have fewer.
    pub grown: i64,
}

/// Sums by the name of the layer; last those of no layer.
pub(super) fn sums(comparison: &Comparison) -> Vec<LayerChange> {
    let mut all: BTreeMap<Option<&String>, LayerChange> = BTreeMap::new();
    for info in &comparison.added {
        let sum = all.entry(info.layer.as_ref()).or_default();
        sum.added += 1;
        sum.added_bytes += info.size;
    }
    for info in &comparison.removed {
        let sum = all.entry(info.layer.as_ref()).or_default();
        sum.removed += 1;
        sum.removed_bytes += info.size;
    }
    for change in &comparison.changed {
        let sum = all.entry(change.to.layer.as_ref()).or_default();
        sum.changed += 1;
        sum.grown = sum.grown.saturating_add(grown(&change.from, &change.to));
    }
    let none = all.remove(&None);
    let named = all.into_iter().map(|(layer, sum)| LayerChange { layer: layer.cloned(), ..sum });
    named.chain(none).collect()
}

fn grown(from: &PathInfo, to: &PathInfo) -> i64 {
    let signed = |info: &PathInfo| i64::try_from(info.size).unwrap_or(i64::MAX);
    // Neither is below 0, so the difference fits.
    signed(to) - signed(from)
}
