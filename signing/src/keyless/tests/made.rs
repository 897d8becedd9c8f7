//! Bundles of a world of our own.
