//! The `treelay` binary: see `treelay::cli`.

use std::process::ExitCode;

fn main() -> ExitCode {
    treelay::cli::main()
}
