//! The catalog's recipes, read with everything this crate has.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::recipe::{LayerKind, Text};
use crate::{Arch, Known, Recipe, Scope};

fn catalog() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("catalog");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "yaml"))
        .collect();
    files.sort();
    assert!(files.len() >= 2, "{files:?}");
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    files.iter().map(|path| (name(path), std::fs::read_to_string(path).unwrap())).collect()
}

fn parse(text: &str) -> Recipe {
    Recipe::parse(text, "recipe.yaml").unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn the_catalog_parses_and_expands_on_every_arch() {
    for (file, text) in catalog() {
        let recipe = Recipe::parse(&text, &file).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(format!("{}.yaml", recipe.name), file);
        for arch in recipe.arch.clone() {
            let scope = Scope::new(arch, &recipe.known());
            let expanded = recipe.expand(&scope).unwrap_or_else(|error| panic!("{error}"));
            let refname = expanded.ostree.refname.unwrap().value;
            assert_eq!(refname, format!("treelay/{}/{}", recipe.name, arch.uname()));
            assert!(expanded.layers.iter().all(|layer| layer.kind().is_some()));
            assert!(!format!("{:?}", expanded.layers).contains("{{"), "{:?}", expanded.layers);
        }
    }
}

#[test]
fn the_sdk_says_what_it_is() {
    let (_, text) = catalog().into_iter().find(|(file, _)| file == "go-sdk.yaml").unwrap();
    let recipe = parse(&text);
    let versions = BTreeMap::from([("go".into(), "1.27.3".into())]);
    let known = Known { versions, ..Known::default() };
    let scope = Scope::new(Arch::Ppc64le, &known);
    let recipe = recipe.expand(&scope).unwrap();
    assert_eq!(recipe.version.value, "1.27.3");
    let Some(LayerKind::GoToolchain(go)) = recipe.layers[0].kind() else {
        panic!("{:?}", recipe.layers[0])
    };
    assert_eq!(go.prefix.value, "/usr/lib/golang");
    assert_eq!(go.link, Some(Text::new("/usr/bin")));
    assert_eq!(recipe.image.config.labels["io.github.sdk.version"].value, "1.27.3");
    assert_eq!(recipe.ostree.metadata["io.github.sdk.version"].value, "1.27.3");
}

#[test]
fn the_catalog_fits_the_schema() {
    let schema = crate::schema();
    for (file, text) in catalog() {
        let recipe = serde_saphyr::from_str(&text).unwrap();
        assert_eq!(json_schema::check(&schema, &schema, &recipe), Ok(()), "{file}");
    }
}

/// The schema is as strict as the parser: about each of these both say no.
#[test]
fn schema_and_parser_refuse_the_same() {
    let schema = crate::schema();
    let base = "name: x\nversion: 1\narch: [amd64]\n";
    let files = "layers: [{name: a, files: [{path: /a, content: x}]}]\n";
    let right = [
        "",
        "epoch: 0\n",
        "inputs: {}\n",
        "image: {config: {env: {A: true, B: 1.5}}}\n",
        "inputs: {a: {archive: {path: a, verify: {checksum: b}}}}\n",
        "inputs: {a: {go-modules: {dir: a, verify: [sumdb], sumdb: sum.golang.org, private: b}}}\n",
        "inputs: {a: {archive: {path: a, sha256: \"0000000000000000000000000000000000000000000000000000000000000000\"}}}\n",
    ];
    let wrong = [
        "inputs: {a: {archive: {path: a, verify: {openpgp: {signature: b, keys: [c]}}}}}\n",
        "inputs: {a: {go-modules: {dir: a, verify: [checksum]}}}\n",
        "epoch: -1\n",
        "epoch: 4294967296\n",
        "epoch: soon\n",
        "summary: null\n",
        "imag: {}\n",
        "image: {base: [a]}\n",
        "image: {compression: brotli}\n",
        "inputs: {a: {}}\n",
        "inputs: {a: {archive: {sha256: x}}}\n",
        "inputs: {a: {archive: {sha256: x, path: a, urls: [b]}}}\n",
        "inputs: {a: {archive: {sha256: x, urls: []}}}\n",
        "inputs: {a: {archive: {sha256: x, path: a}, go-toolchain: {version: 1.2, sources: [pypi]}}}\n",
        "inputs: {a: {go-toolchain: {version: 1.2, sources: [pypi, pypi]}}}\n",
        "inputs: {a: {go-toolchain: {version: 1.2, sources: [archive], archive: {x86: {}}}}}\n",
        "layers: []\n",
        "layers: [{name: a}]\n",
        "layers: [{name: a, files: []}]\n",
        "layers: [{name: a, arch: [], files: [{path: /a, dir: true}]}]\n",
        "layers: [{name: a, files: [{path: /a}]}]\n",
        "layers: [{name: a, files: [{path: /a, dir: true, link: b}]}]\n",
        "layers: [{name: a, files: [{path: /a, dir: true}], directory: {source: a, prefix: /}}]\n",
    ];
    let whole = |more: &str| match more.starts_with("layers") {
        true => format!("{base}{more}"),
        false => format!("{base}{files}{more}"),
    };
    let checked =
        |text: &str| json_schema::check(&schema, &schema, &serde_saphyr::from_str(text).unwrap());
    for text in right.map(whole) {
        assert_eq!(checked(&text), Ok(()), "{text}");
        parse(&text);
    }
    for text in wrong.map(whole) {
        assert!(checked(&text).is_err(), "{text}");
        assert!(Recipe::parse(&text, "recipe.yaml").is_err(), "{text}");
    }
}

/// `UPDATE_DOCS=1 cargo test -p treelay-recipes the_reference` writes the file anew.
#[test]
fn the_reference_is_what_the_schema_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/recipe.md");
    let text = crate::reference();
    if std::env::var_os("UPDATE_DOCS").is_some_and(|value| value == "1") {
        std::fs::write(&path, &text).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == text,
        "docs/recipe.md is not what the schema says; \
         write it anew: UPDATE_DOCS=1 cargo test -p treelay-recipes the_reference"
    );
}

/// Every recipe that the reference shows is one.
#[test]
fn the_examples_of_the_reference_parse() {
    let text = crate::reference();
    let examples: Vec<&str> =
        text.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(!examples.is_empty());
    for example in examples {
        parse(example);
    }
}

/// As much of JSON Schema as the schema uses; a keyword that is not known here fails the test.
mod json_schema {
    use serde_json::Value;

    pub fn check(root: &Value, schema: &Value, value: &Value) -> Result<(), String> {
        let Value::Object(rules) = schema else {
            return if schema == &Value::Bool(true) { Ok(()) } else { Err(format!("no {value}")) };
        };
        for (keyword, rule) in rules {
            let no = || Err(format!("{keyword} {rule}: {value}"));
            let ok = match keyword.as_str() {
                "$schema" | "$id" | "$defs" | "title" | "description" => true,
                "$ref" => {
                    let path = rule.as_str().unwrap().strip_prefix('#').unwrap();
                    check(root, root.pointer(path).unwrap(), value)?;
                    true
                }
                "type" => match rule {
                    Value::Array(types) => types.iter().any(|name| is(name, value)),
                    name => is(name, value),
                },
                "const" => rule == value,
                "oneOf" => {
                    let each = rule.as_array().unwrap().iter();
                    each.filter(|one| check(root, one, value).is_ok()).count() == 1
                }
                "required" => rule.as_array().unwrap().iter().all(|key| {
                    value.as_object().is_none_or(|map| map.contains_key(key.as_str().unwrap()))
                }),
                "properties" => {
                    for (key, schema) in rule.as_object().unwrap() {
                        if let Some(value) = value.get(key) {
                            check(root, schema, value)?;
                        }
                    }
                    true
                }
                "additionalProperties" => {
                    for (key, value) in value.as_object().into_iter().flatten() {
                        if schema["properties"].get(key).is_none() {
                            check(root, rule, value)?;
                        }
                    }
                    true
                }
                "propertyNames" => {
                    for key in value.as_object().into_iter().flatten().map(|(key, _)| key) {
                        check(root, rule, &Value::from(key.as_str()))?;
                    }
                    true
                }
                "items" => {
                    for item in value.as_array().into_iter().flatten() {
                        check(root, rule, item)?;
                    }
                    true
                }
                "minItems" => {
                    value.as_array().is_none_or(|a| a.len() as u64 >= rule.as_u64().unwrap())
                }
                "uniqueItems" => value.as_array().is_none_or(|items| {
                    items.iter().enumerate().all(|(at, item)| !items[..at].contains(item))
                }),
                "minimum" => value.as_i64().is_none_or(|n| n >= rule.as_i64().unwrap()),
                "maximum" => value.as_i64().is_none_or(|n| n <= rule.as_i64().unwrap()),
                _ => panic!("the keyword {keyword} is not checked here"),
            };
            if !ok {
                return no();
            }
        }
        Ok(())
    }

    fn is(name: &Value, value: &Value) -> bool {
        match name.as_str().unwrap() {
            "string" => value.is_string(),
            "number" => value.is_number(),
            "integer" => value.is_u64() || value.is_i64(),
            "boolean" => value.is_boolean(),
            "array" => value.is_array(),
            "object" => value.is_object(),
            other => panic!("the type {other} is not checked here"),
        }
    }
}

/// What is refused because it lets somebody in is not shown to whoever reads the log of it.
#[test]
fn a_login_in_an_address_is_not_shown() {
    let sha256 = "0".repeat(64);
    let archive = |url: &str| format!("archive: {{urls: [\"{url}\"], sha256: {sha256}}}");
    let go = |rest: &str| format!("go-toolchain: {{version: 1.27.3, {rest}}}");
    for (input, told) in [
        (archive("https://me:s3cret@a.example/x?t=s3cret"), "the URL has a login in it, which"),
        (archive("ftp://me:s3cret@a.example/x"), "the URL is not an https URL"),
        (archive("https://s3cret@a.example/x y"), "the URL has white space in it"),
        (
            go("sources: [mirror], mirror: \"https://me:s3cret@a.example\""),
            "the mirror has a login",
        ),
        (
            go("sources: [module], proxy: \"https://me:s3cret@a.example\""),
            "the list of proxies has a",
        ),
        (
            "git: {url: \"https://me:s3cret@a.example/x\", ref: a}".to_owned(),
            "the repository has a",
        ),
        // Another thing is wrong beside it.
        ("git: {url: \"https://me:s3cret@a.example/x\", reff: a}".to_owned(), "unknown key `reff`"),
    ] {
        let text = format!(
            "name: x\nversion: \"1\"\narch: [amd64]\nepoch: 1\ninputs:\n  x: {{{input}}}\n\
             layers: [{{name: a, files: [{{path: /a, content: a}}]}}]\n"
        );
        let known = Known::default();
        let read = Recipe::parse(&text, "recipe.yaml");
        let error = read.and_then(|recipe| recipe.expand(&Scope::new(Arch::Amd64, &known)));
        let error = error.unwrap_err().to_string();
        assert!(error.contains(told) && !error.contains("s3cret"), "{told}: {error}");
        assert!(error.contains("recipe.yaml:6:"), "{error}");
    }
}
