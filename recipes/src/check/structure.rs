//! What must be right of a recipe before any template is replaced.

use std::collections::BTreeMap;

use super::grammar;
use crate::Arch;
use crate::error::{Problems, one_of};
use crate::recipe::{
    GoModulesInput, GoRelease, GoToolchainInput, Input, OstreeBase, Recipe, Source, Verify,
};
use crate::template::{Piece, pieces};
use crate::yaml::{Node, Place};

/// Notes what is wrong with the recipe as a whole: names, arches, and parts that need each other.
/// `root` is the file it came from.
pub(crate) fn structure(recipe: &Recipe, root: &Node, problems: &mut Problems<'_>) {
    if let Err(reason) = grammar::product_name(&recipe.name) {
        let width = recipe.origin.width(recipe.name.at);
        problems.add(recipe.name.at, width, format!("the name `{}` {reason}", recipe.name));
    }
    if let Some(inputs) = root.get("inputs") {
        for entry in inputs.entries() {
            if let Err(reason) = grammar::input_name(&entry.key) {
                let Place { at, width } = entry.place;
                problems.add(at, width, format!("the input name `{}` {reason}", entry.key));
            }
            match recipe.inputs.get(&entry.key) {
                Some(Input::GoToolchain(go)) => {
                    go_toolchain(recipe, go, &entry.key, &entry.node, entry.place, problems);
                }
                Some(Input::GoModules(input)) => modules(input, &entry.key, &entry.node, problems),
                _ => {}
            }
        }
    }
    layers(recipe, root, problems);
    refname(recipe, problems);
    if let (Some(base), Some(node)) = (&recipe.ostree.base, root.get("ostree")) {
        ostree_base(recipe, base, node, problems);
    }
    let contexts = root.get("ostree").and_then(|node| node.entry("contexts"));
    if let (None, Some(entry)) = (&recipe.ostree.base, contexts) {
        let Place { at, width } = entry.place;
        problems
            .add(at, width, "ostree.contexts has no policy to add to")
            .expected("expected `base`, whose policy labels the layers");
    }
}

fn go_toolchain(
    recipe: &Recipe,
    go: &GoToolchainInput,
    name: &str,
    node: &Node,
    input: Place,
    problems: &mut Problems<'_>,
) {
    let Some(options) = node.get("go-toolchain") else { return };
    verify(go, name, options, problems);
    let needs = [
        (Source::Dir, "dir", go.dir.is_some(), true),
        (Source::Archive, "archive", go.archive.is_some(), true),
        (Source::Mirror, "mirror", go.mirror.is_some(), true),
        (Source::Oci, "oci", go.oci.is_some(), true),
        (Source::Module, "proxy", go.proxy.is_some(), false),
    ];
    for (source, key, given, needed) in needs {
        let listed = go.sources.contains(&source);
        if listed && needed && !given {
            let word = options.get("sources").into_iter().flat_map(Node::items);
            let place = word.map(|item| (item, item.place)).find(|(item, _)| item.says(key));
            let Place { at, width } = place.map_or(input, |(_, place)| place);
            problems
                .add(at, width, format!("the source `{key}` of input `{name}` has no place"))
                .expected(format!("expected `{key}:` beside `sources`"));
        }
        // A proxy may stand for the checksum database too.
        let asked = key == "proxy" && go.verify.contains(&Verify::Sumdb);
        if let (false, Some(entry)) = (listed || asked, options.entry(key)) {
            let Place { at, width } = entry.place;
            let word = source.name();
            let message = match word == key {
                true => format!("`{key}` is given, but is no source of input `{name}`"),
                false => format!("`{key}` is given, but `{word}` is no source of input `{name}`"),
            };
            problems
                .add(at, width, message)
                .expected(format!("expected `{word}` among its `sources`"));
        }
    }
    let lacks = |there: &dyn Fn(&Arch) -> bool| -> Vec<&str> {
        recipe.arch.iter().filter(|arch| !there(arch)).map(|arch| arch.go()).collect()
    };
    if let (Some(archives), Some(entry)) = (&go.archive, options.entry("archive")) {
        let missing = lacks(&|arch| archives.contains_key(arch));
        if !missing.is_empty() {
            let Place { at, width } = entry.place;
            problems
                .add(at, width, format!("the archive of input `{name}` has not every arch"))
                .expected(format!("expected one for {}", missing.join(" and ")));
        }
    }
    let layers = go.oci.as_ref().and_then(|oci| oci.layer.as_ref());
    if let (Some(layers), Some(entry)) = (layers, options.entry("oci")) {
        let missing = lacks(&|arch| layers.contains_key(arch));
        if !missing.is_empty() {
            let Place { at, width } = entry.node.entry("layer").map_or(entry.place, |at| at.place);
            problems
                .add(at, width, format!("input `{name}` has not a layer for every arch"))
                .expected(format!("expected one for {}", missing.join(" and ")));
        }
    }
    let exact = matches!(GoRelease::of(&go.version), GoRelease::Exact(_));
    if !exact && go.sources.iter().all(|source| *source == Source::Mirror) {
        let width = recipe.origin.width(go.version.at);
        problems
            .add(
                go.version.at,
                width,
                format!("a mirror does not say which release is `{}`", go.version),
            )
            .expected("expected one such as 1.27.3, or `go.dev` among the `sources`");
    }
}

/// What verification cannot be had, and what belongs to none.
fn verify(go: &GoToolchainInput, name: &str, options: &Node, problems: &mut Problems<'_>) {
    let sources = options.get("sources").into_iter().flat_map(Node::items);
    for (source, node) in go.sources.iter().zip(sources) {
        if let Some(method) = go.verify.iter().find(|method| !method.can(*source)) {
            let Place { at, width } = node.place;
            let (source, method) = (source.name(), method.name());
            problems
                .add(at, width, format!("`verify: [{method}]` of input `{name}` needs the distribution as it was published, which the source `{source}` has not"))
                .expected("expected other sources alone, such as `go.dev`");
        }
    }
    let sumdb = go.verify.contains(&Verify::Sumdb);
    if let Some(entry) = options.entry("sumdb").filter(|_| !sumdb) {
        let Place { at, width } = entry.place;
        problems
            .add(
                at,
                width,
                format!("`sumdb` is given, but is not among what is verified of input `{name}`"),
            )
            .expected("expected `sumdb` in its `verify`");
    }
    for archive in options.get("archive").into_iter().flat_map(Node::entries) {
        if let Some(entry) = archive.node.entry("strip").filter(|_| sumdb) {
            let Place { at, width } = entry.place;
            problems
                .add(at, width, format!("`verify: [sumdb]` of input `{name}` is about the archive as it was published, with all in `go/`"))
                .expected("expected no `strip`");
        }
    }
}

fn modules(modules: &GoModulesInput, name: &str, node: &Node, problems: &mut Problems<'_>) {
    let Some(options) = node.get("go-modules") else { return };
    for key in ["sumdb", "private"] {
        if let Some(entry) = options.entry(key).filter(|_| modules.verify.is_empty()) {
            let Place { at, width } = entry.place;
            problems
                .add(at, width, format!("`{key}` is given, but the checksum database is not asked about input `{name}`"))
                .expected("expected `verify: [sumdb]` beside it");
        }
    }
}

fn layers(recipe: &Recipe, root: &Node, problems: &mut Problems<'_>) {
    let mut seen: BTreeMap<&str, u32> = BTreeMap::new();
    let nodes = root.get("layers").into_iter().flat_map(Node::items);
    for (layer, node) in recipe.layers.iter().zip(nodes) {
        let width = recipe.origin.width(layer.name.at);
        match seen.get(layer.name.value.as_str()) {
            Some(line) => {
                problems
                    .add(layer.name.at, width, format!("two layers are called `{}`", layer.name))
                    .expected(format!("the first is on line {line}"));
            }
            None => {
                seen.insert(&layer.name, layer.name.at.line);
            }
        }
        let arches = layer.arch.iter().flatten();
        for (arch, node) in arches.zip(node.get("arch").into_iter().flat_map(Node::items)) {
            if !recipe.arch.contains(arch) {
                let names: Vec<&str> = recipe.arch.iter().map(|arch| arch.go()).collect();
                let Place { at, width } = node.place;
                problems
                    .add(
                        at,
                        width,
                        format!("layer `{}` is for {arch}, the recipe is not", layer.name),
                    )
                    .expected(format!("expected {}", one_of(&names)));
            }
        }
    }
}

/// With several arches, one ref for all of them would have each commit replace the one before.
fn refname(recipe: &Recipe, problems: &mut Problems<'_>) {
    let Some(refname) = recipe.ostree.refname.as_ref().filter(|_| recipe.arch.len() > 1) else {
        return;
    };
    let Ok(pieces) = pieces(refname) else { return };
    if !pieces.iter().any(|piece| matches!(piece, Piece::Name("arch" | "arch.uname"))) {
        let width = recipe.origin.width(refname.at);
        problems
            .add(refname.at, width, "the ref is the same for every arch of the recipe")
            .expected("expected `{{ arch.uname }}` in it");
    }
}

fn ostree_base(recipe: &Recipe, base: &OstreeBase, ostree: &Node, problems: &mut Problems<'_>) {
    let Some(entry) = ostree.entry("base") else { return };
    let Place { at, width } = entry.place;
    let named = [("ref", base.refname.is_some()), ("commit", base.commit.is_some())];
    if let (Some(_), Some((key, _))) = (&base.image, named.iter().find(|(_, given)| *given)) {
        let place = entry.node.entry(key).map_or(entry.place, |entry| entry.place);
        problems
            .add(place.at, place.width, format!("`{key}` says nothing of an image"))
            .expected("expected the image alone, which is one commit");
    }
    if base.image.is_none() && base.refname.is_none() && base.commit.is_none() {
        problems
            .add(at, width, "ostree.base does not say which commit it is")
            .expected("expected `ref`, or `commit` for each arch");
    }
    if let (Some(remote), Some(entry)) = (&base.remote, entry.node.entry("remote")) {
        let Place { at, width } = entry.place;
        let keys = [&remote.gpg_key, &remote.ed25519_key, &remote.spki_key];
        match (keys.into_iter().any(Option::is_some), remote.unverified) {
            (false, false) => {
                problems
                    .add(at, width, "nothing says who signs the commits of ostree.base.remote")
                    .expected("expected `gpg-key`, `ed25519-key` or `spki-key`");
            }
            (true, true) => {
                problems
                    .add(at, width, "ostree.base.remote has a key, and is `unverified`")
                    .expected("expected one or the other");
            }
            _ => {}
        }
        if let (Some(_), None, None) = (&remote.revoked_keys, &remote.ed25519_key, &remote.spki_key)
        {
            let place = entry.node.entry("revoked-keys").map_or(entry.place, |entry| entry.place);
            problems
                .add(place.at, place.width, "`revoked-keys` revokes nothing of ostree.base.remote")
                .expected("expected `ed25519-key` or `spki-key` beside it");
        }
    }
    if let Some(commits) = &base.commit {
        let missing: Vec<&str> = recipe
            .arch
            .iter()
            .filter(|arch| !commits.contains_key(arch))
            .map(|arch| arch.go())
            .collect();
        if !missing.is_empty() {
            let place = entry.node.entry("commit").map_or(entry.place, |entry| entry.place);
            problems
                .add(place.at, place.width, "ostree.base has not a commit for every arch")
                .expected(format!("expected one for {}", missing.join(" and ")));
        }
    }
}
