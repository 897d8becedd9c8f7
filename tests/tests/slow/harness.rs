//! The harness's own tests: the ostree that was built can do what Debian's cannot.

use treelay_tests::Env;

/// A repository with one commit, signed by a secret key.
fn signed(env: &Env, scheme: &str, secret: &str) {
    env.write("tree/usr/hello", "hello\n");
    env.ostree_with_keys(["init", "--repo=repo", "--mode=archive"]).ok();
    env.ostree_with_keys(["commit", "--repo=repo", "--branch=a", "tree"])
        .args([&format!("--sign-type={scheme}"), &format!("--sign={secret}")])
        .ok();
}

fn verify(env: &Env, scheme: &str, public: &str) -> treelay_tests::Run {
    env.ostree_with_keys(["sign", "--repo=repo", "--verify"]).args([
        &format!("--sign-type={scheme}"),
        &format!("--keys-file={public}"),
        "a",
    ])
}

#[test]
fn ostree_signs_and_verifies_with_ed25519() {
    let env = Env::new();
    // RFC 8032, section 7.1, tests 1 and 2: seed and public key.
    let secret =
        "nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2DXWpgBgrEKt9VL/tPJZAc6DuFy89qmIyWvAhpo9wdRGg==";
    env.write("public", "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n");
    env.write("other", "PUAXw+hDiVqStwqnTRt+vJyYLM8uxJaMwM1V8Sr0Zgw=\n");
    signed(&env, "ed25519", secret);
    verify(&env, "ed25519", "public").ok();
    verify(&env, "ed25519", "other").refuses();
}
