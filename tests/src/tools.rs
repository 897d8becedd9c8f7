//! Finds the consumers, or says which package and which set-up brings them.

use std::path::PathBuf;

use treelay_ci::tools::{self, Kept, PROGRAMS};

/// The program's path.
///
/// # Panics
/// When it is missing, naming its package.
pub fn program(name: &str) -> PathBuf {
    let known = PROGRAMS.iter().find(|program| program.name == name);
    tools::find(name).unwrap_or_else(|| match known {
        Some(known) => panic!(
            "{name} is missing: it is in the Debian package {}; run `cargo xtask setup --tier {}`",
            known.package, known.tier
        ),
        None => panic!("{name} is missing, and no tier installs it (see ci/src/tools.rs)"),
    })
}

/// The program of a consumer that set-up keeps in a folder of its own.
///
/// # Panics
/// When it is missing, naming the set-up.
pub fn kept(kept: Kept) -> PathBuf {
    let path = kept.root().join(kept.program());
    assert!(
        path.exists() && kept.stamp().exists(),
        "{} is missing ({}): run `cargo xtask setup --tier {}`",
        kept.folder(),
        path.display(),
        kept.tier()
    );
    path
}

/// The treelay program: `TREELAY_BIN`, else the one cargo built beside this test.
///
/// # Panics
/// When it is missing, with the command that builds it.
pub fn treelay() -> PathBuf {
    if let Some(path) = std::env::var_os("TREELAY_BIN") {
        return PathBuf::from(path);
    }
    // target/<profile>/deps/<this test>
    let me = std::env::current_exe().expect("the running test has a path");
    let profile = me.parent().and_then(|deps| deps.parent()).expect("tests run in deps/");
    let path = profile.join("treelay");
    assert!(
        path.exists(),
        "{} is missing: run `cargo build --workspace --bin treelay`, or `cargo xtask test`",
        path.display()
    );
    path
}
