use std::collections::BTreeMap;

use super::*;
use crate::Scope;

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

#[test]
fn shapes_are_checked() {
    let table: &[(&str, &[&str])] = &[
        ("name: y\nname: z\n", &["5:1 [name] the key `name` is there twice | first on line 4"]),
        ("arch: amd64\n", &["4:7 [amd64] arch is `amd64` | expected a list"]),
        ("arch: []\n", &["4:7 [[] arch is empty | expected at least one"]),
        ("layers: []\n", &["4:9 [[] layers is empty | expected at least one"]),
        ("summary:\n", &["5:1 [summary] summary has no value | expected a text"]),
        ("image: ~\n", &["5:1 [image] image has no value | expected a mapping"]),
        ("epoch: -1\n", &["5:8 [-1] epoch is `-1` | expected a whole number from 0 to 4294967295"]),
        (
            "epoch: \"1\"\n",
            &["5:8 [\"1\"] epoch is the text \"1\" | expected a whole number from 0 to 4294967295"],
        ),
        (
            "arch: [amd46, arm64, arm64]\n",
            &[
                "4:8 [amd46] unknown value `amd46` in arch | did you mean `amd64`?",
                "4:22 [arm64] arch has `arm64` twice | ",
            ],
        ),
        (
            "image: {compression: brotli}\n",
            &["5:22 [brotli] unknown value `brotli` in image.compression | expected gzip or zstd"],
        ),
        (
            "layers:\n- name: a\n",
            &["5:3 [n] layer `a` does not say what it is \
               | expected one of the keys go-toolchain, files or directory"],
        ),
        (
            "layers:\n- name: a\n  files: [{path: /a, content: b}]\n  directory: {source: a, prefix: /}\n",
            &["7:3 [directory] layer `a` has files and directory at once \
               | expected exactly one of go-toolchain, files or directory"],
        ),
        (
            "layers:\n- name: a\n  files:\n  - path: /a\n  - {path: /b, link: x, dir: yes}\n",
            &[
                "7:5 [p] an entry of files of layer `a` does not say what it is \
                 | expected one of the keys content, source, link or dir",
                "8:25 [dir] an entry of files of layer `a` has link and dir at once \
                 | expected exactly one of content, source, link or dir",
                "8:30 [yes] dir of an entry of files of layer `a` is `yes` | expected true or false",
            ],
        ),
        (
            "inputs: {a: {}, b: {go-toolchian: 1}}\n",
            &[
                "5:10 [a] inputs.a does not say what it is \
                 | expected one of the keys go-toolchain or archive",
                "5:21 [go-toolchian] unknown kind `go-toolchian` of inputs.b \
                 | did you mean `go-toolchain`?",
            ],
        ),
        (
            "inputs: {a: {archive: {sha256: x}, go-toolchain: {sources: [pypy], version: 1}}}\n",
            &[
                "5:14 [archive] inputs.a.archive does not say what it is \
                 | expected one of the keys path or urls",
                "5:36 [go-toolchain] inputs.a has archive and go-toolchain at once \
                 | expected exactly one of go-toolchain or archive",
                "5:61 [pypy] unknown value `pypy` in inputs.a.go-toolchain.sources \
                 | did you mean `pypi`?",
            ],
        ),
        (
            "inputs: {a: {archive: {sha256: x, path: a, urls: [b]}}}\n",
            &["5:44 [urls] inputs.a.archive has path and urls at once \
               | expected exactly one of path or urls"],
        ),
        (
            "inputs:\n  go:\n    go-toolchain: {version: 1.2, sources: [archive], archive: {x86: {}}}\n",
            &[
                "7:64 [x86] unknown key `x86` in inputs.go.go-toolchain.archive \
                 | expected amd64, arm64 or ppc64le",
                "7:64 [x86] inputs.go.go-toolchain.archive.x86 has no `sha256` \
                 | expected `sha256`, a text",
                "7:64 [x86] inputs.go.go-toolchain.archive.x86 does not say what it is \
                 | expected one of the keys path or urls",
            ],
        ),
        (
            "image: &i\n  annotations: {<<: *i}\n",
            &["6:17 [<<] YAML merge keys (`<<`) are not used in recipes | "],
        ),
        (
            "image: {annotations: !!set {a: b}}\n",
            &["5:28 [{] YAML tags (`!…`) are not used in recipes | "],
        ),
        ("---\nname: y\n", &["5:1 [n] a recipe is one YAML document, this is a second | "]),
        (
            "image: {labels: {a: &l {b: *l}}}\n",
            &["5:28 [*l] this alias stands inside what it means | "],
        ),
        ("image: {labels: {[a]: b}}\n", &["5:18 [[] a key must be a text | "]),
    ];
    for (more, expected) in table {
        assert_eq!(brief(more), *expected, "{more}");
    }
}

#[test]
fn values_are_checked() {
    let table: &[(&str, &[&str])] = &[
        (
            "name: Go SDK\n",
            &[
                "4:7 [Go SDK] the name `Go SDK` must be lowercase letters, digits, `-`, `_` and `.`, \
               a letter or digit first | ",
            ],
        ),
        (
            "version: 1.0+x\n",
            &[
                "4:10 [1.0+x] the version `1.0+x` must be letters, digits, `_`, `.` and `-`, not `.` \
               or `-` first, since it is a tag too | ",
            ],
        ),
        (
            "layers:\n- {name: a, files: [{path: /a, dir: true}]}\n\
             - {name: a, files: [{path: /b, dir: true}]}\n",
            &["6:10 [a] two layers are called `a` | the first is on line 5"],
        ),
        (
            "layers:\n- {name: a b, arch: [ppc64le], files: [{path: /a, dir: true}]}\n",
            &["5:22 [ppc64le] layer `a b` is for ppc64le, the recipe is not \
               | expected amd64 or arm64"],
        ),
        (
            "layers:\n- {name: a b, files: [{path: /a, dir: true}]}\n",
            &["5:10 [a b] the layer name `a b` must be letters, digits, `-`, `_`, `.` and `+`, \
               a letter or digit first | "],
        ),
        (
            "inputs: {G: {archive: {path: a, sha256: sha256:00}}}\n",
            &[
                "5:10 [G] the input name `G` must be lowercase letters, digits, `-` and `_`, \
                 a letter or digit first | ",
                "5:41 [sha256:00] the sha256 `sha256:00` must stand without `sha256:` in front | ",
            ],
        ),
        (
            "inputs:\n  go: {go-toolchain: {version: go1.27, sources: [dir, archive]}}\n",
            &[
                "6:32 [go1.27] the Go version `go1.27` must stand without `go` in front | ",
                "6:50 [dir] the source `dir` of input `go` has no place \
                 | expected `dir:` beside `sources`",
                "6:55 [archive] the source `archive` of input `go` has no place \
                 | expected `archive:` beside `sources`",
            ],
        ),
        (
            "inputs:\n  go:\n    go-toolchain:\n      version: 1.27.x\n      sources: [pypi]\n      \
             dir: sdk\n      archive: {amd64: {sha256: 0, urls: [http://a/b, ftp://c]}}\n",
            &[
                "8:16 [1.27.x] the Go version `1.27.x` is not a Go version such as 1.27.3 or \
                 1.27rc1 | ",
                "10:7 [dir] `dir` is given, but is no source of input `go` \
                 | expected `dir` among its `sources`",
                "11:7 [archive] `archive` is given, but is no source of input `go` \
                 | expected `archive` among its `sources`",
                "11:7 [archive] the archive of input `go` has not every arch \
                 | expected one for arm64",
                "11:33 [0] the sha256 `0` is not 64 lowercase hex digits | ",
                "11:43 [http://a/b] the URL `http://a/b` is plain http to another machine; use \
                 https | ",
                "11:55 [ftp://c] the URL `ftp://c` is not an https URL | ",
            ],
        ),
        (
            "layers:\n- {name: a, go-toolchain: {input: gp, prefix: usr, link: /}}\n\
             inputs: {go: {go-toolchain: {version: 1.27.3, sources: [pypi]}}}\n",
            &[
                "5:35 [gp] there is no input `gp` | did you mean `go`?",
                "5:47 [usr] the prefix `usr` is not absolute | ",
                "5:58 [/] the folder `/` is the root itself | ",
            ],
        ),
        (
            "layers:\n- {name: a, go-toolchain: {input: go, prefix: /usr}}\n",
            &["5:35 [go] there is no input `go` | expected an input that `inputs` names"],
        ),
        (
            "layers:\n- name: a\n  files:\n  - {path: /a, link: b, mode: 0777}\n  \
             - {path: /a, content: x, mode: 0999}\n  - {path: /b, dir: false}\n  \
             - {path: /c/../d, source: \"\", mode: 17777}\n  \
             - {path: /e, content: x, xattrs: {comment: x}}\n",
            &[
                "7:31 [0777] a symbolic link has no mode | leave `mode` out",
                "8:12 [/a] `/a` is there twice | the first is on line 7",
                "8:34 [0999] the mode `0999` is not octal such as 0644 | ",
                "9:12 [/b] `/b` has `dir: false` | expected `dir: true`, or what else it is",
                "10:12 [/c/../d] the path `/c/../d` must not contain `..` | ",
                "10:29 [\"\"] the source `` is empty | ",
                "10:39 [17777] the mode `17777` is more than 7777 | ",
                "11:37 [comment] the attribute name `comment` must start with user., security., \
                 trusted. or system. | ",
            ],
        ),
        (
            "layers:\n- {name: a, directory: {source: a, prefix: a/b, mode: rw, exclude: [/x]}}\n",
            &[
                "5:44 [a/b] the prefix `a/b` is not absolute | ",
                "5:55 [rw] the mode `rw` is not octal such as 0644 | ",
                "5:69 [/x] the pattern `/x` must not start with `/`: it is below the source | ",
            ],
        ),
        (
            "image: {base: docker://x, reference: tools/go}\n",
            &[
                "5:15 [docker://x] the base `docker://x` is not supported yet | expected scratch",
                "5:38 [tools/go] the reference `tools/go` must start with the registry's host, \
                 such as registry.example/ | ",
            ],
        ),
        (
            "image:\n  config: {user: a b, ports: [99999, 80/sctp], stop-signal: SIGTREM}\n",
            &[
                "6:18 [a b] the user `a b` is not `user`, `uid`, `user:group` or `uid:gid` | ",
                "6:31 [99999] the port `99999` is not a port such as 8080, 8080/tcp or 53/udp | ",
                "6:38 [80/sctp] the port `80/sctp` is not a port such as 8080, 8080/tcp or 53/udp | ",
                "6:61 [SIGTREM] the signal `SIGTREM` is not a signal such as SIGTERM \
                 | did you mean `SIGTERM`?",
            ],
        ),
        (
            "image: {config: {env: {1A: x}, workdir: a, volumes: [b/], labels: {\"a b\": c}}}\n",
            &[
                "5:24 [1A] the variable name `1A` must be letters, digits and `_`, not a digit \
                 first | ",
                "5:41 [a] the directory `a` is not absolute | ",
                "5:54 [b/] the volume `b/` is not absolute | ",
                "5:68 [\"a b\"] the key `a b` has white space in it | ",
            ],
        ),
        (
            "ostree: {ref: a/b, collection: org}\n",
            &[
                "5:15 [a/b] the ref is the same for every arch of the recipe \
                 | expected `{{ arch.uname }}` in it",
                "5:32 [org] the collection id `org` is not a reversed domain name such as \
                 org.example.Tools | ",
            ],
        ),
        (
            "ostree:\n  ref: a//{{ arch }}\n",
            &[
                "6:8 [a//{{ arch }}] the ref `a//amd64` is not a ref: letters, digits, `-`, `.` and \
               `_` between single `/` | ",
            ],
        ),
        (
            "summary: \"{{ arch\"\n",
            &["5:10 [\"{{ arch\"] `{{` without `}}` \
               | expected `}}`; a literal `{{` is written `{{ \"{{\" }}`"],
        ),
        (
            "inputs: {data: {archive: {path: \"{{ input.data.version }}\", sha256: 0}}}\n\
             summary: \"{{ input.data.version }}\"\n",
            &[
                "5:33 [\"{{ input.data.version }}\"] unknown template name `input.data.version` \
                 | `data` has no version",
                "5:69 [0] the sha256 `0` is not 64 lowercase hex digits | ",
                "6:10 [\"{{ input.data.version }}\"] unknown template name `input.data.version` \
                 | `data` has no version",
            ],
        ),
        (
            "inputs: {go: {go-toolchain: {version: 1.27.3, sources: [pypi]}}}\n\
             summary: \"{{ input.og.version }} {{ arch }}\"\n\
             image: {reference: \"r.example/{{ arch }}\"}\n",
            &[
                "6:10 [\"{{ input.og.version }} {{ arch }}\"] unknown template name \
                 `input.og.version` | did you mean `input.go.version`?",
                "7:20 [\"r.example/{{ arch }}\"] `arch` has no meaning here \
                 | this text is the same for every arch",
            ],
        ),
        (
            "version: \"{{ version }}\"\n",
            &["4:10 [\"{{ version }}\"] `version` has no meaning here \
               | the version cannot name itself"],
        ),
    ];
    for (more, expected) in table {
        assert_eq!(brief(more), *expected, "{more}");
    }
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
ostree: {ref: "t/{{ arch }}", metadata: {v: "{{ version }}"}, collection: org.example.Tools}
epoch: 1700000000
"#;

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
    let versions = BTreeMap::from([("go".to_owned(), "1.20".to_owned())]);
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
    let error = recipe.expand(&Scope::new(Arch::Amd64, &BTreeMap::new())).unwrap_err();
    assert_eq!(error.problems[0].message, "unknown template name `input.go.version`");
    let versions = BTreeMap::from([("go".to_owned(), "1/../2".to_owned())]);
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
