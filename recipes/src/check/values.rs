//! What must be right of a recipe once its templates are replaced.

use std::collections::BTreeMap;

use super::grammar;
use crate::error::{Problem, Problems};
use crate::lock::InputKind;
use crate::recipe::{
    ArchiveInput, At, FileEntry, GoToolchainLayer, Image, Input, LayerKind, Ostree, Recipe, Text,
};
use crate::yaml::Place;

/// Notes every value of an expanded recipe that breaks a rule.
pub(crate) fn values(recipe: &Recipe, problems: &mut Problems<'_>) {
    let mut check = Check { recipe, problems, told: None };
    check.rule("the version", &recipe.version, grammar::tag);
    for input in recipe.inputs.values() {
        match input {
            Input::GoToolchain(go) => {
                check.rule("the Go version", &go.version, grammar::go_version);
                check.each("the directory", &go.dir, grammar::local_path);
                go.archive.iter().flat_map(BTreeMap::values).for_each(|one| check.archive(one));
            }
            Input::Archive(archive) => check.archive(archive),
        }
    }
    check.layers();
    check.image(&recipe.image);
    check.ostree(&recipe.ostree);
}

struct Check<'c, 'p> {
    recipe: &'c Recipe,
    problems: &'c mut Problems<'p>,
    /// Takes what would be said a second time.
    told: Option<Problem>,
}

impl Check<'_, '_> {
    /// Notes a problem at a text, unless something is wrong there already: on another arch, or
    /// with its template. The answer takes what was expected.
    fn problem(&mut self, text: &Text, message: impl Into<String>) -> &mut Problem {
        let width = self.recipe.origin.width(text.at);
        self.problem_at(text.at, width, message)
    }

    fn problem_at(&mut self, at: At, width: u32, message: impl Into<String>) -> &mut Problem {
        match self.problems.has(at) {
            true => self.told.insert(Problem::nowhere()),
            false => self.problems.add(at, width, message),
        }
    }

    fn rule(&mut self, what: &str, text: &Text, rule: grammar::Rule) {
        if let Err(reason) = rule(text) {
            self.problem(text, format!("{what} `{}` {reason}", shown(text)));
        }
    }

    /// A rule for the keys of a mapping; `value` is where the key's value stands.
    fn key(&mut self, what: &str, key: &str, value: &Text, rule: grammar::Rule) {
        if let Err(reason) = rule(key) {
            let Place { at, width } = self.recipe.origin.key_of(value.at);
            self.problem_at(at, width, format!("{what} `{}` {reason}", shown(key)));
        }
    }

    fn each<'t>(
        &mut self,
        what: &str,
        texts: impl IntoIterator<Item = &'t Text>,
        rule: grammar::Rule,
    ) {
        texts.into_iter().for_each(|text| self.rule(what, text, rule));
    }

    fn archive(&mut self, archive: &ArchiveInput) {
        self.each("the path", &archive.path, grammar::local_path);
        self.each("the URL", &archive.urls, grammar::url);
        self.rule("the sha256", &archive.sha256, grammar::sha256);
    }

    fn layers(&mut self) {
        let mut names: BTreeMap<&str, u32> = BTreeMap::new();
        for layer in &self.recipe.layers {
            self.rule("the layer name", &layer.name, grammar::layer_name);
            match names.get(layer.name.value.as_str()) {
                Some(line) => {
                    self.problem(&layer.name, format!("two layers are called `{}`", layer.name))
                        .expected(format!("the first is on line {line}"));
                }
                None => {
                    names.insert(&layer.name, layer.name.at.line);
                }
            }
            match layer.kind() {
                Some(LayerKind::GoToolchain(options)) => self.go_toolchain(options),
                Some(LayerKind::Files(files)) => self.files(files),
                Some(LayerKind::Directory(options)) => {
                    self.rule("the directory", &options.source, grammar::local_path);
                    self.rule("the prefix", &options.prefix, grammar::absolute);
                    self.each("the mode", &options.mode, grammar::mode);
                    self.each("the pattern", &options.exclude, grammar::pattern);
                }
                Some(LayerKind::Archive(options)) => {
                    self.rule("the prefix", &options.prefix, grammar::absolute);
                    self.input(&options.input, InputKind::Archive);
                }
                None => {
                    self.problem(&layer.name, format!("layer `{}` has no one kind", layer.name));
                }
            }
        }
    }

    fn go_toolchain(&mut self, options: &GoToolchainLayer) {
        self.rule("the prefix", &options.prefix, grammar::absolute_below_root);
        self.each("the folder", &options.link, grammar::absolute_below_root);
        self.input(&options.input, InputKind::GoToolchain);
    }

    /// The name of an input of this kind.
    fn input(&mut self, name: &Text, kind: InputKind) {
        match self.recipe.inputs.get(name.value.as_str()).map(Input::kind) {
            Some(found) if found == kind => {}
            Some(found) => {
                let found = match found {
                    InputKind::Archive => "an archive",
                    InputKind::GoToolchain => "a go-toolchain",
                };
                self.problem(name, format!("the input `{name}` is {found}"))
                    .expected(format!("expected an input of the kind {}", kind.name()));
            }
            None => {
                let known: Vec<&str> = self.recipe.inputs.keys().map(String::as_str).collect();
                let known = known.into_iter();
                let message = format!("there is no input `{name}`");
                let problem = self.problem(name, message);
                problem.nearest(name, known);
                if problem.label().is_none() {
                    problem.expected("expected an input that `inputs` names");
                }
            }
        }
    }

    fn files(&mut self, files: &[FileEntry]) {
        let mut paths: BTreeMap<&str, u32> = BTreeMap::new();
        for file in files {
            self.rule("the path", &file.path, grammar::absolute_below_root);
            match paths.get(file.path.value.as_str()) {
                Some(line) => {
                    self.problem(&file.path, format!("`{}` is there twice", file.path))
                        .expected(format!("the first is on line {line}"));
                }
                None => {
                    paths.insert(&file.path, file.path.at.line);
                }
            }
            self.each("the source", &file.source, grammar::local_path);
            self.each("the link target", &file.link, grammar::link_target);
            self.each("the mode", &file.mode, grammar::mode);
            if file.dir == Some(false) {
                self.problem(&file.path, format!("`{}` has `dir: false`", file.path))
                    .expected("expected `dir: true`, or what else it is");
            }
            if let (Some(_), Some(mode)) = (&file.link, &file.mode) {
                self.problem(mode, "a symbolic link has no mode").expected("leave `mode` out");
            }
            for (name, value) in &file.xattrs {
                self.key("the attribute name", name, value, grammar::xattr_name);
            }
        }
    }

    fn image(&mut self, image: &Image) {
        self.each("the reference", &image.reference, grammar::reference);
        if let Some(base) = image.base.as_ref().filter(|base| base.value != "scratch") {
            let message = format!("the base `{}` is not supported yet", shown(base));
            self.problem(base, message).expected("expected scratch");
        }
        let config = &image.config;
        self.each("the user", &config.user, grammar::user);
        self.each("the directory", &config.workdir, grammar::absolute);
        self.each("the port", &config.ports, grammar::port);
        self.each("the volume", &config.volumes, grammar::absolute_below_root);
        if let Some(signal) = &config.stop_signal
            && let Err(reason) = grammar::signal(signal)
        {
            let message = format!("the signal `{}` {reason}", shown(signal));
            self.problem(signal, message).nearest(signal, grammar::SIGNALS.iter().copied());
        }
        for (name, value) in &config.env {
            self.key("the variable name", name, value, grammar::env_name);
            self.rule("the value", value, grammar::no_nul);
        }
        for (name, value) in config.labels.iter().chain(&image.annotations) {
            self.key("the key", name, value, grammar::key);
        }
        self.each("the argument", config.entrypoint.iter().chain(&config.cmd), grammar::no_nul);
    }

    fn ostree(&mut self, ostree: &Ostree) {
        self.each("the ref", &ostree.refname, grammar::ostree_ref);
        self.each("the collection id", &ostree.collection, grammar::collection_id);
        for (name, value) in &ostree.metadata {
            self.key("the key", name, value, grammar::key);
            self.rule("the value", value, grammar::no_nul);
        }
    }
}

/// A value inside a message: one line, not too long.
fn shown(text: &str) -> String {
    let line: String = text.chars().take(80).flat_map(char::escape_debug).collect();
    match text.chars().count() > 80 {
        true => format!("{line}…"),
        false => line.replace("\\\"", "\"").replace("\\'", "'"),
    }
}
