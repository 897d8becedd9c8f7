//! Recipes that are wrong: exit status 2, with file, line, column and caret, and nothing done.

use treelay_tests::Env;

use crate::fixture::{SMALL, listing, refused, refuses, small};

/// Asserts that `recipe` is refused with status 2 and exactly these words, before anything is made.
#[track_caller]
fn wrong(recipe: impl AsRef<[u8]>, expected: &str) {
    let env = Env::new();
    env.write("recipe.yaml", recipe);
    for command in [["build", "-o", "oci:out"].as_slice(), &["plan"], &["lock"]] {
        refuses(&env, command.iter().chain(&["recipe.yaml"]), 2, expected);
    }
    assert_eq!(listing(&env.path("")).lines().count(), 1, "{}", listing(&env.path("")));
}

#[test]
fn every_mistake_in_keys_and_types_is_told_at_once() {
    wrong(
        r#"name: tools
version: "1"
arch: [amd64, armm64]
inputs:
  go:
    go-toolchian: {version: 1.27.3, sources: [pypi]}
layers:
  - name: settings
    fils:
      - {path: /etc/motd, content: x}
  - name: more
    files:
      - {path: /etc/x, content: [1], mode: {}}
image:
  refrence: registry.example/tools
epoch: tomorrow
"#,
        r#"
error: unknown value `armm64` in arch
 --> recipe.yaml:3:15
  |
3 | arch: [amd64, armm64]
  |               ^^^^^^ did you mean `arm64`?

error: unknown kind `go-toolchian` of inputs.go
 --> recipe.yaml:6:5
  |
6 |     go-toolchian: {version: 1.27.3, sources: [pypi]}
  |     ^^^^^^^^^^^^ did you mean `go-toolchain`?

error: unknown key `fils` in layer `settings`
 --> recipe.yaml:9:5
  |
9 |     fils:
  |     ^^^^ did you mean `files`?

error: content of an entry of files of layer `more` is a list
  --> recipe.yaml:13:33
   |
13 |       - {path: /etc/x, content: [1], mode: {}}
   |                                 ^ expected a text

error: mode of an entry of files of layer `more` is a mapping
  --> recipe.yaml:13:44
   |
13 |       - {path: /etc/x, content: [1], mode: {}}
   |                                            ^ expected a text

error: unknown key `refrence` in image
  --> recipe.yaml:15:3
   |
15 |   refrence: registry.example/tools
   |   ^^^^^^^^ did you mean `reference`?

error: epoch is `tomorrow`
  --> recipe.yaml:16:8
   |
16 | epoch: tomorrow
   |        ^^^^^^^^ expected a whole number from 0 to 4294967295
"#,
    );
}

#[test]
fn every_mistake_in_values_is_told_at_once() {
    wrong(
        r#"name: Tools
version: "{{ input.goo.version }}"
arch: [amd64]
inputs:
  go: {go-toolchain: {version: 1.27.3, sources: [dir]}}
layers:
  - name: settings
    files:
      - {path: etc/motd, content: "{{ nmae }}"}
      - {path: /etc/../motd, content: x, mode: "0999"}
  - name: settings
    go-toolchain: {input: golang, prefix: /usr/lib/golang}
"#,
        r#"
error: the name `Tools` must be lowercase letters, digits, `-`, `_` and `.`, a letter or digit first
 --> recipe.yaml:1:7
  |
1 | name: Tools
  |       ^^^^^

error: unknown template name `input.goo.version`
 --> recipe.yaml:2:10
  |
2 | version: "{{ input.goo.version }}"
  |          ^^^^^^^^^^^^^^^^^^^^^^^^^ did you mean `input.go.version`?

error: the source `dir` of input `go` has no place
 --> recipe.yaml:5:50
  |
5 |   go: {go-toolchain: {version: 1.27.3, sources: [dir]}}
  |                                                  ^^^ expected `dir:` beside `sources`

error: the path `etc/motd` is not absolute
 --> recipe.yaml:9:16
  |
9 |       - {path: etc/motd, content: "{{ nmae }}"}
  |                ^^^^^^^^

error: unknown template name `nmae`
 --> recipe.yaml:9:35
  |
9 |       - {path: etc/motd, content: "{{ nmae }}"}
  |                                   ^^^^^^^^^^^^ did you mean `name`?

error: the path `/etc/../motd` must not contain `..`
  --> recipe.yaml:10:16
   |
10 |       - {path: /etc/../motd, content: x, mode: "0999"}
   |                ^^^^^^^^^^^^

error: the mode `0999` is not octal such as 0644
  --> recipe.yaml:10:48
   |
10 |       - {path: /etc/../motd, content: x, mode: "0999"}
   |                                                ^^^^^^

error: two layers are called `settings`
  --> recipe.yaml:11:11
   |
11 |   - name: settings
   |           ^^^^^^^^ the first is on line 7

error: there is no input `golang`
  --> recipe.yaml:12:27
   |
12 |     go-toolchain: {input: golang, prefix: /usr/lib/golang}
   |                           ^^^^^^ expected go
"#,
    );
}

#[test]
fn what_is_no_recipe_at_all() {
    wrong(
        "name: x\n  bad: [\n",
        r#"
error: this is not YAML: mapping values are not allowed in this context
 --> recipe.yaml:2:6
  |
2 |   bad: [
  |      ^
"#,
    );
    wrong("", "error: the recipe is empty\n  --> recipe.yaml\n");
    wrong(
        b"version: 1\nname: caf\xe9\n",
        r#"
error: reading the recipe recipe.yaml
  because: line 2 is not UTF-8 text
"#,
    );
    wrong(
        "- a\n",
        r#"
error: the recipe is a list
 --> recipe.yaml:1:1
  |
1 | - a
  | ^ expected a mapping
"#,
    );
}

#[test]
fn yaml_that_means_two_things() {
    wrong(
        SMALL.replace("version:", "name: b\nversion:"),
        r#"
error: the key `name` is there twice
 --> recipe.yaml:3:1
  |
3 | name: b
  | ^^^^ first on line 2
"#,
    );
}

#[test]
fn yaml_that_holds_itself() {
    wrong(
        "name: &a [*a]\n",
        r#"
error: this alias stands inside what it means
 --> recipe.yaml:1:11
  |
1 | name: &a [*a]
  |           ^^
"#,
    );
}

#[test]
fn a_recipe_that_cannot_be_read() {
    let env = Env::new();
    refuses(
        &env,
        ["build", "gone.yaml"],
        2,
        r#"
error: reading the recipe gone.yaml
  because: No such file or directory (os error 2)
"#,
    );
    std::fs::create_dir(env.path("folder")).unwrap();
    refuses(
        &env,
        ["build", "folder"],
        2,
        r#"
error: reading the recipe folder
  because: Is a directory (os error 21)
"#,
    );
}

#[test]
fn two_layers_may_write_one_path_only_alike() {
    let recipe = |second: &str| {
        format!(
            "name: two\nversion: \"1\"\nepoch: 1\narch: [amd64]\nlayers:\n\
             - {{name: base, files: [{{path: /etc/motd, content: one}}]}}\n\
             - {{name: site, files: [{{path: /etc/motd, {second}}}]}}\n"
        )
    };
    let env = Env::new();
    for (second, what) in [
        ("content: two", "content"),
        ("content: one, mode: 0600", "mode"),
        ("content: one, uid: 7", "owner"),
        ("link: issue", "one is a file, the other a directory or link"),
        ("dir: true", "one is a file, the other a directory or link"),
    ] {
        env.write("two.yaml", recipe(second));
        let expected = format!(
            "error: merging the layers for amd64\n  because: layers \"base\" and \"site\" both \
             write /etc/motd, differently: {what}\n"
        );
        refuses(&env, ["build", "two.yaml", "-o", "oci:out", "-o", "ostree:repo"], 1, &expected);
        assert!(!env.path("out").exists() && !env.path("repo").exists());
    }
    env.write("two.yaml", recipe("content: one"));
    env.treelay(["build", "two.yaml", "-o", "oci:out", "-o", "ostree:repo"]).ok();
}

#[test]
fn the_time_comes_from_the_recipe_or_the_environment() {
    let env = small();
    let epoch = |run: treelay_tests::Run| {
        let plan = run.ok().json();
        plan["epoch"].as_u64().unwrap()
    };
    let plan = || env.treelay(["plan", "small.yaml", "--json"]);
    assert_eq!(epoch(plan().env("SOURCE_DATE_EPOCH", "86400")), 1_700_000_000);
    env.write("small.yaml", SMALL.replace("epoch: 1700000000\n", ""));
    assert_eq!(epoch(plan().env("SOURCE_DATE_EPOCH", "86400")), 86400);
    refused(
        &env,
        env.treelay(["build", "small.yaml"]),
        2,
        "error: nothing says what time image and commits should carry: no input has a release \
         date; set `epoch` in the recipe, or SOURCE_DATE_EPOCH\n",
    );
    for bad in ["tomorrow", "-5", "1.5", "4294967296"] {
        let expected =
            format!("error: SOURCE_DATE_EPOCH is {bad:?}: expected seconds since 1970\n");
        refused(&env, plan().env("SOURCE_DATE_EPOCH", bad), 2, &expected);
    }
    // Set and empty means not set, as everywhere.
    plan().env("SOURCE_DATE_EPOCH", "").fails(2).says("nothing says what time");
}

#[test]
fn arches_are_chosen_among_the_recipes_own() {
    let env = small();
    let arches = |list: &str| {
        let report = env.treelay(["build", "small.yaml", "--json", "--arch", list]).ok().json();
        let images = report["images"].as_array().unwrap().clone();
        images.iter().map(|image| image["arch"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(arches("arm64"), ["arm64"]);
    assert_eq!(arches("arm64,amd64"), ["amd64", "arm64"]);
    refuses(
        &env,
        ["build", "small.yaml", "--arch", "ppc64le"],
        2,
        "error: the recipe is not for ppc64le: it is for amd64, arm64\n",
    );
    refuses(
        &env,
        ["build", "small.yaml", "--arch", "s390x"],
        2,
        r#"
error: invalid value 's390x' for '--arch <ARCH,…>': unknown arch "s390x": expected amd64, arm64 or ppc64le

For more information, try '--help'.
"#,
    );
}
