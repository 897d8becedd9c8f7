//! The command line that rpm-ostree and bootc have inside (`container image pull`, `container
//! encapsulate`), as a program of its own, for tests with the very code that hosts run.

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    ostree_ext::cli::run_from_iter(std::env::args_os()).await
}
