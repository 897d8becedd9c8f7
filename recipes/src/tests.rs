//! The catalog's recipes, read with everything this crate has.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::recipe::{LayerKind, Text};
use crate::{Arch, Recipe, Scope};

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
            let scope = Scope::new(arch, &recipe.input_versions());
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
    let scope = Scope::new(Arch::Ppc64le, &BTreeMap::from([("go".into(), "1.27.3".into())]));
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
