mod shapes;
mod values;

use std::collections::BTreeMap;

use super::*;
use crate::{Known, Scope};

/// What is wrong with a recipe that consists of `more` and the smallest that a recipe needs.
fn problems(more: &str) -> String {
    let mut text = String::new();
    for (key, line) in [
        ("name", "name: x\n"),
        ("version", "version: 1.0\n"),
        ("arch", "arch: [amd64, arm64]\n"),
        ("layers", "layers: [{name: a, files: [{path: /a, content: x}]}]\n"),
    ] {
        if !more.lines().any(|line| line.starts_with(&format!("{key}:"))) {
            text.push_str(line);
        }
    }
    whole(&format!("{text}{more}"))
}

fn whole(text: &str) -> String {
    match Recipe::parse(text, "go.yaml") {
        Ok(recipe) => format!("accepted: {recipe:?}"),
        Err(error) => error.to_string(),
    }
}

/// Every problem in one line: place, what is underlined, message, label.
fn brief(more: &str) -> Vec<String> {
    let text = problems(more);
    text.split("\n\n")
        .map(|problem| {
            let lines: Vec<&str> = problem.lines().collect();
            let [first, place, _, source, carets] = lines[..] else { panic!("{problem}") };
            let at = place.split_once("go.yaml:").unwrap().1;
            let start = carets.find('^').unwrap();
            let count = carets.matches('^').count();
            let shown: String = source.chars().skip(start).take(count).collect();
            let label = carets[start + count..].trim_start();
            let message = first.strip_prefix("error: ").unwrap();
            format!("{at} [{shown}] {message} | {label}")
        })
        .collect()
}

#[test]
fn messages_read_as_a_compilers() {
    let table = [
        (
            problems("image:\n  refrence: x\n"),
            "\
error: unknown key `refrence` in image
 --> go.yaml:6:3
  |
6 |   refrence: x
  |   ^^^^^^^^ did you mean `reference`?",
        ),
        (
            problems("summary: a\n# b\n# c\n# d\n# e\nimage: {config: {user: [1]}}\n"),
            "\
error: image.config.user is a list
  --> go.yaml:10:24
   |
10 | image: {config: {user: [1]}}
   |                        ^ expected a text",
        ),
        (
            whole("nam: x\nzzz: 1\n"),
            "\
error: unknown key `nam` in the recipe
 --> go.yaml:1:1
  |
1 | nam: x
  | ^^^ did you mean `name`?

error: the recipe has no `arch`, no `layers` and no `version`
 --> go.yaml:1:1
  |
1 | nam: x
  | ^ expected `arch`, a list; `layers`, a list; `version`, a text

error: unknown key `zzz` in the recipe
 --> go.yaml:2:1
  |
2 | zzz: 1
  | ^^^ expected arch, epoch, image, inputs, layers, name, ostree, summary or version",
        ),
        (
            problems("layers:\n  - name: tools\n    go-toolchian: {input: go}\n"),
            "\
error: unknown key `go-toolchian` in layer `tools`
 --> go.yaml:6:5
  |
6 |     go-toolchian: {input: go}
  |     ^^^^^^^^^^^^ did you mean `go-toolchain`?",
        ),
        (
            problems("layers:\n\t- name: tools\n"),
            "\
error: this is not YAML: tabs disallowed within this context (block indentation)
 --> go.yaml:5:2
  |
5 | \t- name: tools
  | \t^",
        ),
        (
            problems("summary: {{ name }}\n"),
            "\
error: a key must be a text
 --> go.yaml:5:11
  |
5 | summary: {{ name }}
  |           ^ a text with `{{ }}` must be in quotes",
        ),
        (
            problems("image: {reference: tools/{{ name }}}\n"),
            "\
error: this is not YAML: while parsing a flow mapping, did not find expected ',' or '}'
 --> go.yaml:5:26
  |
5 | image: {reference: tools/{{ name }}}
  |                          ^ a text with `{{ }}` must be in quotes",
        ),
        (whole("# nothing\n"), "error: the recipe is empty\n  --> go.yaml"),
    ];
    for (told, expected) in table {
        assert_eq!(told, expected, "\n{told}\n");
    }
}

#[test]
fn long_lines_and_control_characters_are_tamed() {
    let line = format!("summary: [\"{}\", \"\u{9b}31m\"]", "x".repeat(400));
    let told = problems(&format!("{line}\n"));
    assert!(told.lines().all(|line| line.chars().count() < 180), "{told}");
    let told =
        problems(&format!("image: {{annotations: {{a: \"{}\", b: [1]}}}}\n", "x".repeat(400)));
    let [.., source, carets] = told.lines().collect::<Vec<_>>()[..] else { panic!("{told}") };
    let column = carets.chars().position(|c| c == '^').unwrap();
    assert_eq!(source.chars().skip(column).collect::<String>(), "[1]}}");
    assert!(source.contains("| …xxx"), "{source}");
    let told = problems("summary: \"\u{7f}\" # \u{9b}31m\nname: X\n");
    assert!(!told.contains(|c: char| c.is_control() && c != '\n'), "{told:?}");
}

const RICH: &str = r#"
name: go-toolbox
version: "{{ input.go.version }}"
arch: [amd64, ppc64le]
inputs:
  go:
    go-toolchain:
      version: 1.20
      sources: [archive, dir, pypi]
      dir: sdk/{{ arch }}/go
      archive:
        amd64: {path: "go-{{ arch.uname }}.tgz", sha256: &hash 0000000000000000000000000000000000000000000000000000000000000000}
        ppc64le: {urls: ["http://127.0.0.1:8080/go", "http://[::1]/go"], sha256: *hash, strip: 1}
layers:
  - {name: go, go-toolchain: {input: go, prefix: "/usr/lib/go-{{ input.go.version }}"}}
  - {name: extra, arch: [ppc64le], share: never, directory: {source: ./extra, prefix: /}}
  - name: settings
    files:
      - {path: "/etc/{{ name }}", content: "{{ version }} {{ '{{ x }}' }} {{ \"{{\" }}\n", mode: 0640}
      - {path: /etc/on, content: on, uid: 10}
      - {path: /etc/yes, content: 0x1F}
image:
  reference: registry.example/tools/go:{{ version }}
  config: {user: 65532, env: {A: true, B: 1.0}, ports: [80], stop-signal: SIGRTMIN+3}
ostree:
  {ref: "t/{{ arch }}", metadata: {v: "{{ version }}"}, collection: org.example.Tools,
   base: {repo: ../os, ref: "os/{{ arch.uname }}"}, remove: [/usr/share/doc/**], bootable: true}
epoch: 1700000000
"#;

fn go_version(version: &str) -> Known {
    let versions = BTreeMap::from([("go".to_owned(), version.to_owned())]);
    Known { versions, ..Known::default() }
}

#[test]
fn texts_are_what_is_written() {
    let recipe = Recipe::parse(RICH, "go.yaml").unwrap_or_else(|error| panic!("{error}"));
    let Input::GoToolchain(go) = &recipe.inputs["go"] else { panic!() };
    assert_eq!(go.version.value, "1.20");
    assert_eq!(go.version.at, At { line: 8, column: 16 });
    assert_eq!(recipe.image.config.env["A"].value, "true");
    assert_eq!(recipe.image.config.env["B"].value, "1.0");
    assert_eq!(recipe.image.config.user, Some(Text::new("65532")));
    let Some(LayerKind::Files(files)) = recipe.layers[2].kind() else { panic!() };
    assert_eq!(files[0].mode, Some(Text::new("0640")));
    assert_eq!(files[1].content, Some(Text::new("on")));
    assert_eq!(files[2].content, Some(Text::new("0x1F")));
    assert_eq!(recipe.epoch, Some(1_700_000_000));
}

#[test]
fn a_recipe_is_expanded_for_one_arch() {
    let recipe = Recipe::parse(RICH, "go.yaml").unwrap_or_else(|error| panic!("{error}"));
    let versions = go_version("1.20");
    let amd64 = recipe.expand(&Scope::new(Arch::Amd64, &versions)).unwrap();
    let names = |recipe: &Recipe| -> Vec<String> {
        recipe.layers.iter().map(|layer| layer.name.value.clone()).collect()
    };
    assert_eq!(names(&amd64), ["go", "settings"]);
    assert_eq!(amd64.version.value, "1.20");
    let Some(LayerKind::Files(files)) = amd64.layers[1].kind() else { panic!() };
    assert_eq!(files[0].path.value, "/etc/go-toolbox");
    assert_eq!(files[0].path.at, At { line: 19, column: 16 });
    assert_eq!(files[0].content, Some(Text::new("1.20 {{ x }} {{\n")));
    assert_eq!(amd64.image.reference, Some(Text::new("registry.example/tools/go:1.20")));
    assert_eq!(amd64.ostree.refname, Some(Text::new("t/amd64")));
    assert_eq!(amd64.ostree.base.as_ref().unwrap().describe(Arch::Amd64), "ostree:../os:os/x86_64");
    assert_eq!(amd64.ostree.bootable, Bootable::True);
    assert_eq!(amd64.ostree.metadata["v"].value, "1.20");
    let Input::GoToolchain(go) = &amd64.inputs["go"] else { panic!() };
    assert_eq!(go.dir, Some(Text::new("sdk/amd64/go")));
    let archives = go.archive.as_ref().unwrap();
    assert_eq!(archives.keys().collect::<Vec<_>>(), [&Arch::Amd64]);
    assert_eq!(archives[&Arch::Amd64].path, Some(Text::new("go-x86_64.tgz")));

    let ppc64le = recipe.expand(&Scope::new(Arch::Ppc64le, &versions)).unwrap();
    assert_eq!(names(&ppc64le), ["go", "extra", "settings"]);
}

#[test]
fn what_the_lock_brings_is_checked_too() {
    let recipe = Recipe::parse(RICH, "go.yaml").unwrap_or_else(|error| panic!("{error}"));
    let error = recipe.expand(&Scope::new(Arch::Amd64, &Known::default())).unwrap_err();
    assert_eq!(error.problems[0].message, "unknown template name `input.go.version`");
    let versions = go_version("1/../2");
    let error = recipe.expand(&Scope::new(Arch::Amd64, &versions)).unwrap_err();
    let told: Vec<String> =
        error.problems.iter().map(|p| format!("{}: {}", p.at.line, p.message)).collect();
    assert_eq!(
        told,
        [
            "3: the version `1/../2` must be letters, digits, `_`, `.` and `-`, not `.` or `-` \
             first, since it is a tag too",
            "15: the prefix `/usr/lib/go-1/../2` must not contain `..`",
            "23: the reference `registry.example/tools/go:1/../2` must have a path of lowercase \
             letters, digits, `.`, `_`, `-` and `/`",
        ]
    );
    assert_eq!(error.problems[1].source_line.trim_start().chars().next(), Some('-'));
}

#[test]
fn aliases_cannot_multiply_without_bound() {
    let mut text =
        "name: x\nimage:\n  labels:\n    a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..10 {
        let inner = vec![format!("*a{}", level - 1); 10].join(", ");
        text.push_str(&format!("    a{level}: &a{level} [{inner}]\n"));
    }
    let told = whole(&text);
    assert!(told.starts_with("error: the recipe has more than 20000 YAML nodes"), "{told}");
    let deep = format!("a: {}", "[".repeat(5000));
    assert!(whole(&deep).starts_with("error: "), "{}", whole(&deep));
}
