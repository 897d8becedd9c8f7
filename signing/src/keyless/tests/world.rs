//! A world of our own.
