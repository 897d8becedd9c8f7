//! What a base cannot load is refused when the image is built; what it can, podman runs.

use std::fs;

use treelay_tests::{Env, Run};

const LOADER: &str = "/lib64/ld-linux-x86-64.so.2";
const MUSL: &str = "/lib/ld-musl-x86_64.so.1";

const BASES: [(&str, &str); 2] = [
    (
        "glibc",
        "      - {path: /lib, link: usr/lib}\n      - {path: /lib64, link: usr/lib64}\n      \
         - {path: /usr/lib64/ld-linux-x86-64.so.2, source: loader, mode: \"0755\"}\n      \
         - {path: /usr/lib/x86_64-linux-gnu/libc.so.6, source: libc, mode: \"0755\"}\n",
    ),
    ("musl", "      - {path: /lib/ld-musl-x86_64.so.1, content: musl, mode: \"0755\"}\n"),
];

/// An environment with a base of this machine's C library, one that says it is of musl, and the
/// program `true`.
fn env() -> Env {
    let env = Env::new();
    for (name, from) in
        [("loader", LOADER), ("libc", "/lib/x86_64-linux-gnu/libc.so.6"), ("true", "/bin/true")]
    {
        env.write(name, fs::read(from).unwrap());
    }
    for (name, files) in BASES {
        let layers = format!("layers:\n  - name: libc\n    files:\n{files}");
        let head = format!("name: {name}\nversion: \"1\"\narch: [amd64]\nepoch: 1700000000\n");
        env.write(&format!("{name}.yaml"), head + &layers);
        env.treelay(["build", &format!("{name}.yaml"), "-o", &format!("oci:{name}")]).ok();
    }
    env
}

/// An image of one program on a base; `options` are more of its layer.
fn build(env: &Env, base: &str, program: &str, options: &str) -> Run {
    let text = format!(
        "name: upper\nversion: \"1\"\narch: [amd64]\nepoch: 1700000000\nlayers:\n  - name: own\n    \
         files: [{{path: /usr/bin/it, source: {program}, mode: \"0755\"}}]\n{options}\
         image: {{base: \"{base}\", config: {{cmd: [/usr/bin/it]}}}}\n"
    );
    env.write("upper.yaml", text);
    env.treelay(["build", "upper.yaml", "-o", "oci:upper"])
}

fn podman(env: &Env) -> Run {
    let image = format!("oci:{}:1", env.path("upper").display());
    env.podman(["run", "--rm", "--network=none", &image])
}

#[test]
fn what_the_base_loads_runs_and_what_it_cannot_is_refused() {
    let env = env();
    let output = build(&env, "oci:glibc:1", "true", "").ok();
    assert!(!output.err().contains("loader"), "{output}");
    podman(&env).ok();

    let refused = build(&env, "oci:musl:1", "true", "").refuses();
    refused.says("the image for amd64 cannot load what its layers bring:").says(&format!(
        "layer \"own\": /usr/bin/it is linked for glibc ({LOADER}); the base oci:musl:1 has musl \
         ({MUSL})"
    ));

    // The versions of its symbols are what a program most often lacks.
    let mut newer = fs::read(env.path("true")).unwrap();
    let version = b"GLIBC_2.34\0";
    let at = newer.windows(version.len()).position(|bytes| bytes == version).unwrap();
    newer[at..at + 10].copy_from_slice(b"GLIBC_2.99");
    env.write("newer", newer);
    let refused = build(&env, "oci:glibc:1", "newer", "").refuses();
    let told = refused.err();
    let told = told.split_once("/usr/bin/it needs GLIBC_2.99 of libc.so.6; ").unwrap().1;
    let most = "/usr/lib/x86_64-linux-gnu/libc.so.6 in the base oci:glibc:1 has GLIBC_2.";
    assert!(told.starts_with(most), "{told}");
    // The loader says the same of it.
    build(&env, "oci:glibc:1", "newer", "    elf: unchecked\n").ok();
    let said = podman(&env).output();
    assert!(said.err().contains("version `GLIBC_2.99' not found"), "{said}");

    // From scratch it may be for whoever takes the layer.
    let note = format!("amd64: layer \"own\": /usr/bin/it needs the loader {LOADER}");
    build(&env, "scratch", "true", "").ok().says(&note);
    let again = env.treelay(["build", "upper.yaml", "-o", "oci:upper", "--locked"]).ok();
    again.says(&note);
    let quiet = build(&env, "scratch", "true", "    elf: unchecked\n").ok();
    assert!(!quiet.err().contains("loader"), "{quiet}");
}
