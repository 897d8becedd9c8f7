//! Brings one file into a store, verified while it streams, and nothing else: what
//! `cargo xtask bench --only download` measures.
//!
//! ```sh
//! cargo run --example fetch -- URL SHA256 STORE
//! ```

use std::path::Path;

use anyhow::{Context, Result};
use treelay::fetch::{FetchOptions, Fetcher, Place, Wanted};
use treelay::store::Store;
use treelay_recipes::Digest;

#[tokio::main]
async fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [url, sha256, store] = &args[..] else {
        anyhow::bail!("expected an address, the SHA-256 of what is there, and a store")
    };
    let wanted = Wanted {
        what: url.clone(),
        places: vec![Place::parse(url)?],
        digest: Some(Digest::from_hex(sha256).context("reading the SHA-256")?),
        size: None,
        most: None,
    };
    let store = Store::open(Path::new(store))?;
    let fetched = Fetcher::new(FetchOptions::default()).fetch(&wanted, &store, &()).await?;
    let tries: usize = fetched.attempts.iter().map(|attempt| attempt.tries.len()).sum();
    println!("{} bytes from {}, after {tries} that failed", fetched.size, fetched.served_by);
    Ok(())
}
