//! A list of referrers, bounded.

use std::collections::HashMap;
use std::fmt;

use serde_json::Value;
use treelay_recipes::Digest;

use crate::image_store::{Descriptor, MANIFEST_LIMIT};

/// Referrers of one subject that are listed.
pub const MAX_REFERRERS: usize = 1000;

/// Pages of one list that are asked for.
pub const MAX_PAGES: usize = 100;

/// Bytes of one list that are read.
pub const MAX_BYTES: u64 = 4 * MANIFEST_LIMIT;

/// What refers to a subject, as it is listed; see [`list`](super::list()).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// The descriptors, in the order of the list. One digest may come more than once, where two
    /// descriptors say different things of it.
    pub referrers: Vec<Descriptor>,
    /// Entries that are no descriptors, or have digests of another kind than SHA-256.
    pub unreadable: usize,
    /// Why the list is not all of it, when it is not.
    pub cut: Option<Cut>,
}

/// The bound that a list went over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// [`MAX_REFERRERS`].
    Number,
    /// [`MAX_PAGES`].
    Pages,
    /// [`MAX_BYTES`], or [`MANIFEST_LIMIT`] in one page.
    Bytes,
}

impl fmt::Display for Cut {
    /// Completes "the list of referrers …".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number => write!(f, "has more than {MAX_REFERRERS} entries"),
            Self::Pages => write!(f, "has more than {MAX_PAGES} pages"),
            Self::Bytes => write!(
                f,
                "is longer than {MAX_BYTES} bytes, or one page of it than {MANIFEST_LIMIT}"
            ),
        }
    }
}

/// Collects a [`Listing`].
#[derive(Default)]
pub(in crate::image_store) struct Collector {
    listing: Listing,
    /// Where in the listing each digest is.
    seen: HashMap<Digest, Vec<usize>>,
}

impl Collector {
    /// Adds an entry of a list.
    pub(in crate::image_store) fn add_json(&mut self, entry: &Value) {
        match serde_json::from_value(entry.clone()) {
            Ok(descriptor) => self.add(descriptor),
            Err(_) => self.listing.unreadable += 1,
        }
    }

    /// Adds a descriptor, unless an equal one is there.
    pub(in crate::image_store) fn add(&mut self, descriptor: Descriptor) {
        let same = self.seen.entry(descriptor.digest).or_default();
        if same.iter().any(|at| self.listing.referrers[*at] == descriptor) {
            return;
        }
        if self.listing.referrers.len() == MAX_REFERRERS {
            self.listing.cut = Some(Cut::Number);
            return;
        }
        same.push(self.listing.referrers.len());
        self.listing.referrers.push(descriptor);
    }

    /// Whether this digest is listed.
    pub(in crate::image_store) fn has(&self, digest: &Digest) -> bool {
        self.seen.get(digest).is_some_and(|at| !at.is_empty())
    }

    /// Counts an entry that cannot be read.
    pub(in crate::image_store) fn add_unreadable(&mut self) {
        self.listing.unreadable += 1;
    }

    /// Whether nothing more is wanted.
    pub(in crate::image_store) fn is_cut(&self) -> bool {
        self.listing.cut.is_some()
    }

    /// There is more, which is not read.
    pub(in crate::image_store) fn cut(&mut self, why: Cut) {
        self.listing.cut.get_or_insert(why);
    }

    pub(in crate::image_store) fn finish(self) -> Listing {
        self.listing
    }
}
