//! Help, exit statuses, and what is generated from the definitions.

use std::fs;
use std::path::Path;

use serde_json::Value;
use treelay_tests::Env;

use crate::fixture::{refuses, small};

/// The commands, as the help lists them.
fn commands(env: &Env) -> Vec<String> {
    let help = env.treelay(["help"]).ok().out();
    let list = help.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    list.lines().map(|line| line.split_whitespace().next().unwrap().to_owned()).collect()
}

#[test]
fn help_and_version_are_results() {
    let env = Env::new();
    let all = commands(&env);
    let known = ["build", "lock", "plan", "sign", "verify", "copy", "inspect", "key", "schema"];
    assert!(known.iter().all(|name| all.contains(&(*name).to_owned())), "{all:?}");
    let mut lines = vec![vec!["--help"], vec!["-h"], vec!["--version"], vec!["-V"]];
    lines.extend(all.iter().map(|name| vec!["help", name.as_str()]));
    lines.extend(
        all.iter().filter(|name| *name != "help").map(|name| vec![name.as_str(), "--help"]),
    );
    lines.push(vec!["key", "generate", "--help"]);
    for line in lines {
        let output = env.treelay(&line).ok();
        assert!(!output.stdout.is_empty() && output.stderr.is_empty(), "{output}");
    }
    let version = env.treelay(["--version"]).ok().out();
    assert_eq!(version, format!("treelay {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn a_wrong_command_line_is_status_2() {
    let env = small();
    refuses(
        &env,
        ["biuld"],
        2,
        r#"
error: unrecognized subcommand 'biuld'

  tip: some similar subcommands exist: 'bundle', 'build'

Usage: treelay [OPTIONS] <COMMAND>

For more information, try '--help'.
"#,
    );
    for line in [
        &[][..],
        &["build"],
        &["build", "small.yaml", "--nonsense"],
        &["build", "small.yaml", "--jobs", "0"],
        &["build", "small.yaml", "--sandbox", "maybe"],
        &["copy", "oci:a"],
        &["key"],
        &["key", "generate"],
        &["completions", "tcsh"],
        &["sign", "oci:out"],
        &["verify", "oci:out"],
        &["build", "small.yaml", "-o", "oci:out", "--gpg-key", "me"],
    ] {
        let output = env.treelay(line).fails(2);
        assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{output}");
    }
    assert!(!env.path("out").exists());
}

#[test]
fn quiet_builds_say_results_alone() {
    let env = crate::golang::from_dir();
    let loud = env.treelay(["build", "go.yaml"]).ok();
    assert!(loud.err().contains("locked go"), "{loud}");
    fs::remove_file(env.path("go.lock")).unwrap();
    for line in [["build", "go.yaml", "--quiet"], ["-q", "build", "go.yaml"]] {
        let output = env.treelay(line).args(["-o", "oci:out", "-o", "ostree:repo"]).ok();
        assert_eq!(output.err(), "", "{output}");
        assert!(output.out().starts_with("golang 1.27.3\n"), "{output}");
    }
    // Errors are never kept back.
    env.treelay(["-q", "build", "gone.yaml"]).fails(2).says("error: reading the recipe");
}

/// A run on a terminal, by script(1); both streams are what the terminal saw.
fn on_terminal(env: &Env, words: &str) -> treelay_tests::Run {
    let treelay = treelay_tests::tools::treelay();
    let line = format!("{} {words}", treelay.display());
    env.run("/usr/bin/script").args(["--quiet", "--return", "--command", &line, "/dev/null"])
}

#[test]
fn colours_are_for_terminals_that_want_them() {
    let env = small();
    let escape = '\u{1b}';
    let terminal = || on_terminal(&env, "biuld").env("TERM", "xterm");
    assert!(terminal().fails(2).out().contains(escape));
    assert!(!terminal().env("NO_COLOR", "1").fails(2).out().contains(escape));
    assert!(!env.treelay(["biuld"]).fails(2).err().contains(escape));
    let build = || on_terminal(&env, "build small.yaml -o oci:out").env("TERM", "xterm");
    assert!(build().env("NO_COLOR", "1").ok().out().contains("small 1.0"));
}

#[test]
fn the_schema_is_json_and_the_catalog_is_accepted() {
    let env = Env::new();
    let schema: Value = env.treelay(["schema"]).ok().json();
    assert!(schema["$schema"].as_str().unwrap().contains("json-schema.org"), "{schema}");
    for key in ["name", "version", "arch", "inputs", "layers", "image", "ostree", "epoch"] {
        assert!(schema["properties"][key].is_object(), "{key}");
    }
    let catalog = Path::new(env!("CARGO_MANIFEST_DIR")).join("../recipes/catalog");
    // The source that recipes of it name.
    env.run("cp").arg("-a").arg(catalog.join("go-static-server")).arg(".").ok();
    let mut recipes = 0;
    for entry in fs::read_dir(catalog).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|end| end == "yaml") {
            fs::copy(&path, env.path("recipe.yaml")).unwrap();
            // Right, as far as can be told without its inputs.
            env.treelay(["lock", "--check", "recipe.yaml"]).fails(1).says("there is no lock");
            recipes += 1;
        }
    }
    assert!(recipes >= 2);
}

#[test]
fn completions_and_manual_know_every_command() {
    let env = Env::new();
    let commands = commands(&env);
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = env.treelay(["completions", shell]).ok().out();
        for name in &commands {
            assert!(script.contains(name.as_str()), "{shell} lacks {name}");
        }
        if shell == "bash" {
            let path = env.write("treelay.bash", &script);
            env.run("bash").arg("-n").arg(&path).ok();
            let complete = "COMP_WORDS=(treelay ins) COMP_CWORD=1; _treelay treelay ins treelay; \
                            echo \"${COMPREPLY[@]}\"";
            let said =
                env.run("bash").args(["-c", &format!("source {}; {complete}", path.display())]);
            assert_eq!(said.ok().out(), "inspect\n");
        }
    }
    let manual = env.treelay(["man"]).ok().out();
    for name in commands.iter().filter(|name| *name != "help") {
        let title = format!(".SH \"TREELAY {}\"", name.to_uppercase());
        assert!(manual.contains(&title), "the manual lacks {name}");
    }
    for word in [".TH treelay 1", "\\-\\-locked", "\\-\\-sign\\-as", "TREELAY KEY GENERATE"] {
        assert!(manual.contains(word), "the manual lacks {word}");
    }
}

#[test]
fn results_go_into_a_pipe_that_closes() {
    let env = Env::new();
    // `head` reads one line and leaves; what is left over is no error.
    let treelay = treelay_tests::tools::treelay();
    let line = format!("set -o pipefail; {} man | head -n 1", treelay.display());
    env.run("bash").args(["-c", &line]).ok();
    let full = format!("{} schema > /dev/full", treelay.display());
    env.run("bash").args(["-c", &full]).fails(1).says("No space left on device");
}
