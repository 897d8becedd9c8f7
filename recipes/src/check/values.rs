//! What must be right of a recipe once its templates are replaced.

mod outputs;

use std::collections::BTreeMap;

use super::grammar;
use crate::caps::FileCaps;
use crate::error::{Problem, Problems, has_login, one_of};
use crate::lock::InputKind;
use crate::recipe::{
    Account, ArchiveInput, At, Attributes, FileEntry, GO_BUILD_ENV, GitInput, GoBuildLayer,
    GoToolchainLayer, Input, LayerKind, OpenPgp, Over, PathAttributes, Recipe, Text, UsersLayer,
    Verify, VerifyArchive,
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
                let of_archive = go.archive.iter().flat_map(BTreeMap::values);
                let known = go.verify.iter().any(|method| *method != Verify::Rebuild);
                of_archive.for_each(|one| check.archive(one, known));
                check.each("the checksum database", &go.sumdb, grammar::sumdb);
                check.each("the mirror", &go.mirror, grammar::mirror);
                check.each("the list of proxies", &go.proxy, grammar::goproxy);
                if let Some(oci) = &go.oci {
                    check.rule("the image", &oci.image, grammar::image_of_file);
                    check.each("the path", &oci.path, grammar::absolute);
                    let layers = oci.layer.iter().flat_map(BTreeMap::values);
                    check.each("the layer", layers, grammar::digest);
                }
            }
            Input::Archive(archive) => check.archive(archive, false),
            Input::GoModules(modules) => {
                check.each("the directory", &modules.dir, grammar::local_path);
                let kinds = [InputKind::Git, InputKind::Archive];
                modules.input.iter().for_each(|name| check.input(name, &kinds));
                check.each("the list of proxies", &modules.proxy, grammar::goproxy);
                check.each("the checksum database", &modules.sumdb, grammar::sumdb);
                check.each("the list", &modules.private, grammar::patterns);
            }
            Input::Git(git) => check.git(git),
            Input::Pypi(input) => {
                check.rule("the package", &input.package, grammar::package);
                check.rule("the version", &input.version, grammar::package_version);
            }
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
        match rule(text) {
            Err(reason) if has_login(text) => {
                self.problem(text, format!("{what} {reason}"));
            }
            Err(reason) => {
                self.problem(text, format!("{what} `{}` {reason}", shown(text)));
            }
            Ok(()) => {}
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

    /// `known` where something else than the archive itself says what it must be.
    fn archive(&mut self, archive: &ArchiveInput, known: bool) {
        let ArchiveInput { path, urls, sha256, verify, strip: _ } = archive;
        self.each("the path", path, grammar::local_path);
        self.each("the URL", urls, grammar::url);
        self.each("the sha256", sha256, grammar::sha256);
        let says =
            verify.as_ref().is_some_and(|own| own.checksum.is_some() || own.openpgp.is_some());
        if sha256.is_none() && !says && !known {
            let place = path.iter().chain(urls).next();
            place.into_iter().for_each(|place| {
                self.problem(place, "nothing says what the archive must be")
                    .expected("expected `sha256`, or `verify` with who says it, beside it");
            });
        }
        let Some(VerifyArchive { checksum, openpgp }) = verify else { return };
        self.each("the place", checksum, grammar::place);
        let Some(OpenPgp { signature, over, keys, fingerprints }) = openpgp else { return };
        self.rule("the place", signature, grammar::place);
        self.each("the key file", keys, grammar::local_path);
        self.each("the fingerprint", fingerprints, grammar::fingerprint);
        if *over == Over::Checksum && checksum.is_none() {
            self.problem(signature, "the signature is over a list of checksums that is not named")
                .expected("expected `checksum` beside `openpgp`");
        }
    }

    fn git(&mut self, git: &GitInput) {
        self.rule("the repository", &git.url, grammar::git_url);
        self.each("the commit", &git.commit, grammar::git_commit);
        self.each("the ref", &git.refname, grammar::git_ref);
        self.each("the folder", &git.dir, grammar::inner_path);
        if git.commit.is_none() && git.refname.is_none() {
            self.problem(&git.url, "nothing says which commit of the repository is meant")
                .expected("expected `commit`, or `ref` with a branch or tag, beside `url`");
        }
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
                Some(LayerKind::GoBuild(options)) => self.go_build(options, &layer.name),
                Some(LayerKind::Files(files)) => self.files(files),
                Some(LayerKind::Directory(options)) => {
                    self.rule("the directory", &options.source, grammar::local_path);
                    self.rule("the prefix", &options.prefix, grammar::absolute);
                    self.each("the mode", &options.mode, grammar::mode);
                    self.each("the pattern", &options.exclude, grammar::pattern);
                }
                Some(LayerKind::Archive(options)) => {
                    self.rule("the prefix", &options.prefix, grammar::absolute);
                    let kinds = [InputKind::Archive, InputKind::Pypi, InputKind::Git];
                    self.input(&options.input, &kinds);
                }
                Some(LayerKind::Users(options)) => self.users(options),
                Some(LayerKind::Certificates(options)) => {
                    self.input(&options.input, &[InputKind::Pypi, InputKind::Archive]);
                    self.each("the path", &options.path, grammar::inner_path);
                    self.each("the path", &options.add, grammar::local_path);
                }
                Some(LayerKind::Tzdata(options)) => {
                    self.input(
                        &options.input,
                        &[InputKind::Pypi, InputKind::GoToolchain, InputKind::Archive],
                    );
                    self.each("the path", &options.path, grammar::inner_path);
                    self.each("the zone", &options.localtime, grammar::zone);
                }
                None => {
                    self.problem(&layer.name, format!("layer `{}` has no one kind", layer.name));
                }
            }
            self.attributes(layer.attributes.iter().map(PathAttributes::attributes));
        }
    }

    fn go_toolchain(&mut self, options: &GoToolchainLayer) {
        self.rule("the prefix", &options.prefix, grammar::absolute_below_root);
        self.each("the folder", &options.link, grammar::absolute_below_root);
        self.input(&options.input, &[InputKind::GoToolchain]);
    }

    fn go_build(&mut self, options: &GoBuildLayer, layer: &Text) {
        match &options.toolchain {
            Some(toolchain) => self.input(toolchain, &[InputKind::GoToolchain]),
            None => {
                let is_toolchain = |input: &&Input| input.kind() == InputKind::GoToolchain;
                let expected = match self.recipe.inputs.values().filter(is_toolchain).count() {
                    0 => "expected an input of the kind go-toolchain",
                    _ => "the recipe has several: expected `toolchain:` to name one",
                };
                self.problem(layer, format!("layer `{layer}` has no toolchain to build with"))
                    .expected(expected);
            }
        }
        if let Some(source) = &options.source {
            self.each("the directory", &source.dir, grammar::local_path);
            source.archive.iter().for_each(|name| self.input(name, &[InputKind::Archive]));
            source.git.iter().for_each(|name| self.input(name, &[InputKind::Git]));
        }
        if options.vcs && options.source.as_ref().is_none_or(|source| source.git.is_none()) {
            self.problem(layer, format!("layer `{layer}` has `vcs: true`, and no commit to tell"))
                .expected("expected `source: {git: NAME}`: what else has a source has no commit");
        }
        options.modules.iter().for_each(|name| self.input(name, &[InputKind::GoModules]));
        self.each("the package", &options.packages, grammar::go_package);
        self.rule("the folder", &options.dest, grammar::absolute);
        self.each("the tag", &options.tags, grammar::go_tag);
        self.each("the argument", &options.ldflags, grammar::no_nul);
        self.each("the level", &options.goamd64, grammar::goamd64);
        self.each("the level", &options.goarm64, grammar::goarm64);
        self.each("the level", &options.goppc64, grammar::goppc64);
        for (name, value) in &options.env {
            if !GO_BUILD_ENV.contains(&name.as_str()) {
                let Place { at, width } = self.recipe.origin.key_of(value.at);
                let message = format!("the variable `{}` cannot be set for a build", shown(name));
                let known = one_of(GO_BUILD_ENV);
                self.problem_at(at, width, message).expected(format!("expected {known}"));
            }
            self.rule("the value", value, grammar::no_nul);
        }
    }

    /// The name of an input of one of these kinds.
    fn input(&mut self, name: &Text, kinds: &[InputKind]) {
        match self.recipe.inputs.get(name.value.as_str()).map(Input::kind) {
            Some(found) if kinds.contains(&found) => {}
            Some(found) => {
                let found = match found {
                    InputKind::Archive => "an archive",
                    InputKind::GoToolchain => "a go-toolchain",
                    InputKind::Pypi => "a pypi package",
                    InputKind::GoModules => "a set of go-modules",
                    InputKind::Git => "a git commit",
                };
                let kinds: Vec<&str> = kinds.iter().map(|kind| kind.name()).collect();
                self.problem(name, format!("the input `{name}` is {found}"))
                    .expected(format!("expected an input of the kind {}", one_of(&kinds)));
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
        for file in files {
            self.each("the source", &file.source, grammar::local_path);
            self.each("the link target", &file.link, grammar::link_target);
            if file.dir == Some(false) {
                self.problem(&file.path, format!("`{}` has `dir: false`", file.path))
                    .expected("expected `dir: true`, or what else it is");
            }
            if let (Some(_), Some(mode)) = (&file.link, &file.mode) {
                self.problem(mode, "a symbolic link has no mode").expected("leave `mode` out");
            }
            let dir = file.dir.and(Some(&file.path));
            if let (Some(_), Some(caps)) = (file.link.as_ref().or(dir), &file.caps) {
                self.problem(caps, "only a file has capabilities").expected("leave `caps` out");
            }
        }
        self.attributes(files.iter().map(FileEntry::attributes));
    }

    /// Attributes of paths, each of which is there once.
    fn attributes<'t>(&mut self, all: impl Iterator<Item = Attributes<'t>>) {
        let mut paths: BTreeMap<&str, u32> = BTreeMap::new();
        for Attributes { path, mode, uid: _, gid: _, xattrs, caps } in all {
            self.rule("the path", path, grammar::absolute_below_root);
            match paths.get(path.value.as_str()) {
                Some(line) => {
                    self.problem(path, format!("`{path}` is there twice"))
                        .expected(format!("the first is on line {line}"));
                }
                None => {
                    paths.insert(path, path.at.line);
                }
            }
            self.each("the mode", mode, grammar::mode);
            for (name, value) in xattrs {
                self.key("the attribute name", name, value, grammar::xattr_name);
                if name == FileCaps::XATTR {
                    let Place { at, width } = self.recipe.origin.key_of(value.at);
                    self.problem_at(at, width, format!("`{name}` is not a text"))
                        .expected("expected `caps` beside `xattrs`");
                }
            }
            if let Some(caps) = caps
                && let Err(error) = grammar::caps(caps)
            {
                let problem = self.problem(caps, format!("`{}` {error}", shown(caps)));
                if let Some(unknown) = error.unknown() {
                    // What was cut short is told better by its beginning than by its distance.
                    let begins = |name: &&str| {
                        !unknown.is_empty()
                            && (name.starts_with(unknown)
                                || name.trim_start_matches("cap_").starts_with(unknown))
                    };
                    match FileCaps::names().find(begins) {
                        Some(name) => problem.nearest(name, [name]),
                        None => problem.nearest(unknown, FileCaps::names()),
                    };
                }
            }
        }
    }

    fn users(&mut self, users: &UsersLayer) {
        let mut accounts: BTreeMap<&str, u32> = BTreeMap::new();
        for account in &users.accounts {
            self.rule("the account", &account.name, grammar::account);
            self.once("accounts", &account.name, &mut accounts);
            self.number(&account.name, account.uid);
            if (account.uid == 0) != (account.name.value == "root") {
                let (message, expected) = match account.uid {
                    0 => ("the uid 0 is root's", "expected the name root, or another uid"),
                    _ => ("root has another uid than 0", "expected uid 0"),
                };
                self.problem(&account.name, message).expected(expected);
            }
            self.number(&account.name, account.gid.unwrap_or(account.uid));
            self.each("the comment", &account.comment, grammar::passwd_field);
            self.each("the home", &account.home, grammar::passwd_path);
            self.each("the shell", &account.shell, grammar::passwd_path);
        }
        let mut groups = BTreeMap::new();
        for group in &users.groups {
            self.rule("the group", &group.name, grammar::account);
            self.once("groups", &group.name, &mut groups);
            self.number(&group.name, group.gid);
            for member in &group.members {
                if !accounts.contains_key(member.value.as_str()) && member.value != "root" {
                    let message = format!("`{member}` is none of the layer's accounts");
                    let known = accounts.keys().copied().chain(["root"]);
                    self.problem(member, message).nearest(member, known);
                }
            }
        }
        // Two names for one number make programs disagree about who owns a file.
        let number = |account: &Account| (account.uid, account.name.at.line);
        let mut numbers: BTreeMap<u32, u32> = BTreeMap::new();
        for account in &users.accounts {
            let (uid, line) = number(account);
            if let Some(first) = numbers.insert(uid, line) {
                self.problem(&account.name, format!("two accounts have the uid {uid}"))
                    .expected(format!("the first is on line {first}"));
            }
        }
        let mut numbers: BTreeMap<u32, u32> = BTreeMap::new();
        for group in &users.groups {
            if let Some(first) = numbers.insert(group.gid, group.name.at.line) {
                self.problem(&group.name, format!("two groups have the gid {}", group.gid))
                    .expected(format!("the first is on line {first}"));
            }
        }
        // There is always one of that name, which has the number 0.
        for group in users.groups.iter().filter(|group| &*group.name == "root" && group.gid != 0) {
            self.problem(&group.name, "the group `root` has another number")
                .expected("expected gid 0");
        }
        for account in &users.accounts {
            // The account's own group takes its name.
            let gid = account.gid.unwrap_or(account.uid);
            let other = users.groups.iter().find(|group| group.name == account.name);
            if let Some(other) = other.filter(|group| group.gid != gid) {
                let message = format!("the group `{}` is not the account's own", other.name);
                self.problem(&other.name, message).expected(format!("expected gid {gid}"));
            }
        }
    }

    fn once<'t>(&mut self, what: &str, name: &'t Text, seen: &mut BTreeMap<&'t str, u32>) {
        match seen.get(name.value.as_str()) {
            Some(line) => {
                self.problem(name, format!("two {what} are called `{name}`"))
                    .expected(format!("the first is on line {line}"));
            }
            None => {
                seen.insert(name, name.at.line);
            }
        }
    }

    /// 2^32-1 means "leave it" to chown(2), and 65535 is its 16-bit form (systemd, "Users, Groups,
    /// UIDs and GIDs").
    fn number(&mut self, name: &Text, number: u32) {
        if matches!(number, 65_535 | u32::MAX) {
            self.problem(name, format!("`{name}` has the number {number}, which is nobody's"))
                .expected("expected another");
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
