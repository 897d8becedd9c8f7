//! SELinux labels are those of libselinux 3.4.

use std::path::Path;

use treelay_tests::selinux::{Policy, paths_of_machine};
use treelay_tests::{Env, tools};

#[test]
fn as_libselinux_3_4_on_debians_policy() {
    let env = Env::new();
    let policy = Policy::of_debian(&env);
    let mut paths = policy.paths();
    for folder in ["/usr", "/etc", "/var"] {
        paths.extend(paths_of_machine(Path::new(folder), 5_000));
    }
    assert!(paths.len() > 10_000, "{}", paths.len());
    let labels = policy.ask(|| env.run(tools::program("matchpathcon")), &paths);
    let (differences, labelled) = policy.differences(&paths, &labels);
    assert!(labelled > 10_000, "{labelled} of {}", paths.len());
    // The same literal is in `file_contexts` and in `.homedirs`: 3.4 takes the last, 3.8.1 the first.
    let context = |user: &str| format!("{user}:object_r:krb5_home_t:s0");
    let known =
        "- /root/.k5login: ".to_owned() + &context("system_u") + ", " + &context("unconfined_u");
    assert_eq!(differences, [known]);
}
