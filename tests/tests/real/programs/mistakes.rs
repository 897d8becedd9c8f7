//! What cannot be built.

use super::{build, env};

const LAYER: &str =
    "  - name: bad\n    go-build: {source: {dir: bad}, packages: [./cmd/bad], dest: /usr/bin}\n";
const MOD: &str = "module example.org/bad\n\ngo 1.24\n";
const MAIN: &str = "package main\n\nfunc main() {}\n";

/// The files of a source, and what the build says of it.
type Mistake = (&'static str, &'static [(&'static str, &'static str)], &'static [&'static str]);

const MISTAKES: &[Mistake] = &[
    (
        "a compile error",
        &[("go.mod", MOD), ("cmd/bad/main.go", "package main\n\nfunc main() { missing() }\n")],
        &["# example.org/bad/cmd/bad", "cmd/bad/main.go:3:15: undefined: missing"],
    ),
    (
        "a module that is not there",
        &[
            ("go.mod", MOD),
            (
                "cmd/bad/main.go",
                "package main\n\nimport _ \"example.org/other\"\n\nfunc main() {}\n",
            ),
        ],
        &[
            "cmd/bad/main.go:3:8: no required module provides package example.org/other",
            "hint: a build has no network",
        ],
    ),
    (
        "a module that would have to be fetched",
        &[
            ("go.mod", "module example.org/bad\n\ngo 1.24\n\nrequire example.org/other v1.0.0\n"),
            (
                "go.sum",
                "example.org/other v1.0.0 h1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\nexample.org/other v1.0.0/go.mod h1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n",
            ),
            (
                "cmd/bad/main.go",
                "package main\n\nimport _ \"example.org/other\"\n\nfunc main() {}\n",
            ),
        ],
        &["module lookup disabled by GOPROXY=off", "hint: a build has no network"],
    ),
    (
        "a package that is not there",
        &[("go.mod", MOD), ("cmd/good/main.go", MAIN)],
        &["cmd/bad", "directory not found"],
    ),
    (
        "a package that is no program",
        &[("go.mod", MOD), ("cmd/bad/bad.go", "package bad\n")],
        &["go: no main packages to build"],
    ),
    (
        "a package that is made of C",
        &[
            ("go.mod", MOD),
            ("cmd/bad/main.go", "package main\n\nimport \"C\"\n\nfunc main() { C.puts(nil) }\n"),
        ],
        &[
            "build constraints exclude all Go files in cmd/bad",
            "hint: programs are built with CGO_ENABLED=0",
        ],
    ),
    (
        "packages that import each other",
        &[
            ("go.mod", MOD),
            (
                "cmd/bad/main.go",
                "package main\n\nimport _ \"example.org/bad/a\"\n\nfunc main() {}\n",
            ),
            ("a/a.go", "package a\n\nimport _ \"example.org/bad/b\"\n"),
            ("b/b.go", "package b\n\nimport _ \"example.org/bad/a\"\n"),
        ],
        &["import cycle not allowed", "imports example.org/bad/b"],
    ),
    ("a source without go.mod", &[("cmd/bad/main.go", MAIN)], &["go.mod file not found"]),
    (
        "a Go that is too old",
        &[("go.mod", "module example.org/bad\n\ngo 1.99\n"), ("cmd/bad/main.go", MAIN)],
        &["go.mod requires go >= 1.99 (running go 1.27.3; GOTOOLCHAIN=local)"],
    ),
];

#[test]
fn mistakes_are_told_in_the_compilers_own_words_and_are_not_remembered() {
    let env = env("amd64", LAYER);
    for (what, files, expected) in MISTAKES {
        let _ = std::fs::remove_dir_all(env.path("bad"));
        for (path, text) in *files {
            env.write(&format!("bad/{path}"), text);
        }
        // Twice: a failure is never remembered.
        for _ in 0..2 {
            let told = build(&env, &[]).fails(1).err();
            for words in *expected {
                assert!(told.contains(words), "{what}: {words}\n{told}");
            }
            assert!(told.contains("layer \"bad\" for amd64\n  because: "), "{told}");
            assert!(!told.contains("/treelay/") && !told.contains("/tmp/"), "{what}: {told}");
        }
    }
}

#[test]
fn a_program_that_is_too_large_is_refused_with_both_sizes() {
    let env = env("amd64", &LAYER.replace("dest: /usr/bin", "dest: /usr/bin, max-size: 1000"));
    env.write("bad/go.mod", MOD);
    env.write("bad/cmd/bad/main.go", MAIN);
    let told = build(&env, &[]).fails(1);
    told.says("the program bad has ").says(" bytes, and the recipe's max-size allows 1000");
}
