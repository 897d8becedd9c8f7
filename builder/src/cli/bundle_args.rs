//! `treelay bundle` as it is written.

use std::path::PathBuf;

use clap::Subcommand;

/// `treelay bundle`.
#[derive(Debug, Subcommand)]
pub enum BundleCommand {
    /// Write every input and base that the locks of recipes pin into one file; what the store has
    /// not is fetched. What lies in a recipe's folder is not in it.
    Export {
        /// The recipes; each has its lock beside it.
        #[arg(value_name = "RECIPE.yaml", required = true, num_args = 1..)]
        recipes: Vec<PathBuf>,
        /// The bundle to write.
        #[arg(value_name = "FILE.tar.zst", required = true)]
        file: PathBuf,
        /// Open no connection: what the store has not is an error.
        #[arg(long)]
        offline: bool,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Verify a bundle and take it into the store: all of it or nothing. Then the recipes build with
    /// --offline --locked.
    Import {
        /// The bundle.
        #[arg(value_name = "FILE.tar.zst")]
        file: PathBuf,
        /// Write the recipes and locks that are in it there too; files that differ are left and told.
        #[arg(long, value_name = "DIR")]
        recipes: Option<PathBuf>,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Show what a bundle says that it holds, without reading it whole.
    List {
        /// The bundle.
        #[arg(value_name = "FILE.tar.zst")]
        file: PathBuf,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Read a bundle whole and check every length and digest.
    Verify {
        /// The bundle.
        #[arg(value_name = "FILE.tar.zst")]
        file: PathBuf,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
}
