//! builder
pub mod dest;
pub mod image_store;
pub mod progress;
