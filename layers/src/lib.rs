//! What a layer *is* (a [`Tree`]), how each layer kind makes one, and how a tree becomes tar, gzip
//! and zstd bytes.
//!
//! The crate reads what it is handed and writes only into the sink it is handed: it opens no file,
//! starts no process and knows no network.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod action;
pub mod archive;
mod contents;
pub mod elf;
pub mod encode;
pub mod go;
pub mod kinds;
pub mod loading;
pub mod selinux;
pub mod share;
pub mod tree;

pub use contents::{ContentSink, Contents};
pub use tree::{Entry, Node, Tree, TreePath};
