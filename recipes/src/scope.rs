//! What the `{{ names }}` of a recipe mean on one arch, and a recipe with all of them replaced.

use std::collections::BTreeMap;

use crate::error::Problems;
use crate::recipe::{GoToolchainInput, Input, Recipe, RecipeError, Text};
use crate::template::{Piece, pieces};
use crate::{Arch, Commit, check};

mod owners;

/// What the template names of a recipe stand for on one arch, beside what the recipe itself says:
/// `arch`, `arch.uname`, and what is known of inputs, such as `input.<name>.version`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    arch: Arch,
    known: Known,
}

/// What is known of inputs, by their names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Known {
    /// The version of every input whose kind has one.
    pub versions: BTreeMap<String, String>,
    /// The commit of every input of the kind `git`.
    pub commits: BTreeMap<String, Commit>,
}

/// Names that stay in the address of a mirror until a file of it is asked for.
pub const MIRROR_NAMES: [(&str, &str); 2] = [("version", "{{version}}"), ("file", "{{file}}")];

impl Scope {
    /// The scope of `arch`, with what is known of the inputs, as
    /// [`Lock::known`](crate::Lock::known) gives it.
    pub fn new(arch: Arch, known: &Known) -> Self {
        Self { arch, known: known.clone() }
    }

    /// The arch.
    pub fn arch(&self) -> Arch {
        self.arch
    }
}

/// What a text is about, which decides the names that have a meaning in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum About {
    /// `version`: the same on every arch.
    Version,
    /// A text of an input: known before anything is locked.
    Input,
    /// The address of a mirror: as a text of an input, with the file and the version that are
    /// fetched, which whoever fetches them fills in.
    Mirror,
    /// A text that all arches share.
    Shared,
    /// Any other.
    Anything,
}

impl About {
    fn knows(self, name: &str) -> bool {
        match name {
            "name" => true,
            "version" => matches!(self, About::Mirror | About::Shared | About::Anything),
            "file" => self == About::Mirror,
            "arch" | "arch.uname" => {
                matches!(self, About::Input | About::Mirror | About::Anything)
            }
            _ => !matches!(self, About::Input | About::Mirror),
        }
    }

    fn why_not(self, name: &str) -> &'static str {
        match self {
            About::Version if name == "version" => "the version cannot name itself",
            About::Version | About::Shared => "this text is the same for every arch",
            _ if name == "file" => "only `mirror` is asked for a file",
            About::Input | About::Mirror | About::Anything => "inputs are known before the lock is",
        }
    }
}

impl Recipe {
    /// The recipe as it is for one arch: every `{{ name }}` replaced, and the layers and
    /// archives of other arches left out. Places in the file are kept. A name (`name:`) takes no templates.
    ///
    /// # Errors
    /// [`RecipeError`] with everything that is wrong: a name that has no meaning, or a replaced text
    /// that breaks a rule (a path that is not absolute, a ref that OSTree refuses).
    pub fn expand(&self, scope: &Scope) -> Result<Recipe, RecipeError> {
        let mut problems = self.origin.problems();
        let expanded = self.expand_into(scope, &mut problems);
        check::values(&expanded, &mut problems);
        match problems.is_empty() {
            true => Ok(expanded),
            false => Err(RecipeError { problems: problems.into_sorted() }),
        }
    }

    /// What the recipe itself says of its inputs, and stand-ins for commits, of which it says at most
    /// the name; what the lock will say unless something is resolved while locking.
    pub fn known(&self) -> Known {
        let mut known = Known::default();
        for (name, input) in &self.inputs {
            let version = match input {
                Input::GoToolchain(go) => &go.version.value,
                Input::Pypi(package) => &package.version.value,
                Input::Git(git) => {
                    let commit = Commit::unknown(git.commit.as_deref());
                    known.commits.insert(name.clone(), commit);
                    continue;
                }
                Input::Archive(_) | Input::GoModules(_) => continue,
            };
            known.versions.insert(name.clone(), version.clone());
        }
        known
    }

    /// Replaces the names; problems are noted, and their texts left as they are.
    pub(crate) fn expand_into(&self, scope: &Scope, problems: &mut Problems<'_>) -> Recipe {
        let mut recipe = self.clone();
        recipe.layers.retain(|layer| layer.is_for(scope.arch));
        for input in recipe.inputs.values_mut() {
            if let Input::GoToolchain(GoToolchainInput { archive: Some(archives), .. }) = input {
                archives.retain(|arch, _| *arch == scope.arch);
            }
        }
        let mut names = BTreeMap::from([
            ("name".to_owned(), self.name.value.clone()),
            ("arch".to_owned(), scope.arch.go().to_owned()),
            ("arch.uname".to_owned(), scope.arch.uname().to_owned()),
            // Stands there so that it is a known name in the version itself too.
            ("version".to_owned(), String::new()),
        ]);
        for (input, version) in &scope.known.versions {
            names.insert(format!("input.{input}.version"), version.clone());
        }
        for (input, commit) in &scope.known.commits {
            let facts = commit.facts();
            names.extend(facts.map(|(fact, text)| (format!("input.{input}.{fact}"), text)));
        }
        let mut replace = |about: About, text: &mut Text, names: &BTreeMap<String, String>| {
            let of_mirror = (about == About::Mirror).then(|| {
                let own = MIRROR_NAMES.map(|(name, stays)| (name.to_owned(), stays.to_owned()));
                let mut names = names.clone();
                names.extend(own);
                names
            });
            let names = of_mirror.as_ref().unwrap_or(names);
            let error = match replaced(&text.value, about, names) {
                Ok(value) => {
                    text.value = value;
                    return;
                }
                // One message for a text, though every arch stumbles over it.
                Err(_) if problems.has(text.at) => return,
                Err(error) => error,
            };
            let width = self.origin.width(text.at);
            match error {
                Unknown::Malformed(error) => {
                    problems.add(text.at, width, error.to_string()).expected(error.expected());
                }
                Unknown::NotHere(name) => {
                    problems
                        .add(text.at, width, format!("`{name}` has no meaning here"))
                        .expected(about.why_not(&name));
                }
                Unknown::Name(name) => {
                    let message = format!("unknown template name `{name}`");
                    let problem = problems.add(text.at, width, message);
                    match self.without_version(&name) {
                        Some(input) => problem.expected(format!("`{input}` has no version")),
                        None => problem.nearest(
                            &name,
                            names.keys().map(String::as_str).filter(|name| about.knows(name)),
                        ),
                    };
                }
            }
        };
        replace(About::Version, &mut recipe.version, &names);
        names.insert("version".to_owned(), recipe.version.value.clone());
        for_each_text(&mut recipe, &mut |about, text| replace(about, text, &names));
        recipe.stamp(&scope.known.commits);
        owners::resolve(&mut recipe, problems);
        recipe
    }

    /// The input whose version this template name asks for, though its kind has none.
    fn without_version<'n>(&self, name: &'n str) -> Option<&'n str> {
        let input = name.strip_prefix("input.")?.strip_suffix(".version")?;
        let without = |input| matches!(input, &Input::Archive(_) | &Input::GoModules(_));
        without(self.inputs.get(input)?).then_some(input)
    }
}

enum Unknown {
    Malformed(crate::template::Malformed),
    Name(String),
    NotHere(String),
}

fn replaced(text: &str, about: About, names: &BTreeMap<String, String>) -> Result<String, Unknown> {
    let mut value = String::with_capacity(text.len());
    for piece in pieces(text).map_err(Unknown::Malformed)? {
        match piece {
            Piece::Text(text) => value.push_str(text),
            Piece::Name(name) => match names.get(name) {
                Some(_) if !about.knows(name) => return Err(Unknown::NotHere(name.to_owned())),
                Some(meaning) => value.push_str(meaning),
                None => return Err(Unknown::Name(name.to_owned())),
            },
        }
    }
    Ok(value)
}

/// Calls `visit` with every text that may hold templates, `name` and `version` excepted. Written
/// out field by field without `..`, so that a new field of the language cannot be forgotten here.
fn for_each_text(recipe: &mut Recipe, visit: &mut dyn FnMut(About, &mut Text)) {
    use crate::recipe::*;
    let Recipe {
        name: _,
        version: _,
        arch: _,
        epoch: _,
        origin: _,
        summary,
        inputs,
        layers,
        image,
        ostree,
    } = recipe;
    summary.iter_mut().for_each(|text| visit(About::Shared, text));

    let archive = |archive: &mut ArchiveInput, visit: &mut dyn FnMut(About, &mut Text)| {
        let ArchiveInput { path, urls, sha256, verify, strip: _ } = archive;
        let texts = path.iter_mut().chain(urls).chain(sha256);
        texts.for_each(|text| visit(About::Input, text));
        let Some(VerifyArchive { checksum, openpgp }) = verify else { return };
        checksum.iter_mut().for_each(|text| visit(About::Input, text));
        let Some(OpenPgp { signature, over: _, keys, fingerprints }) = openpgp else { return };
        visit(About::Input, signature);
        keys.iter_mut().chain(fingerprints).for_each(|text| visit(About::Input, text));
    };
    for input in inputs.values_mut() {
        match input {
            Input::GoToolchain(go) => {
                let GoToolchainInput {
                    version,
                    sources: _,
                    dir,
                    archive: archives,
                    mirror,
                    proxy,
                    oci,
                    verify: _,
                    sumdb,
                } = go;
                visit(About::Input, version);
                mirror.iter_mut().for_each(|text| visit(About::Mirror, text));
                dir.iter_mut().chain(proxy).chain(sumdb).for_each(|text| visit(About::Input, text));
                if let Some(OciInput { image, path, layer, strip: _ }) = oci {
                    let layers = layer.iter_mut().flat_map(|map| map.values_mut());
                    let texts = path.iter_mut().chain(layers).chain([image]);
                    texts.for_each(|text| visit(About::Input, text));
                }
                archives
                    .iter_mut()
                    .flat_map(|map| map.values_mut())
                    .for_each(|a| archive(a, visit));
            }
            Input::Archive(input) => archive(input, visit),
            Input::GoModules(GoModulesInput { dir, input, proxy, verify: _, sumdb, private }) => {
                let texts = [dir, input, proxy, sumdb, private].into_iter().flatten();
                texts.for_each(|text| visit(About::Input, text));
            }
            Input::Git(GitInput { url, commit, refname, dir }) => {
                visit(About::Input, url);
                let texts = [commit, refname, dir].into_iter().flatten();
                texts.for_each(|text| visit(About::Input, text));
            }
            Input::Pypi(PypiInput { package, version }) => {
                visit(About::Input, package);
                visit(About::Input, version);
            }
        }
    }

    let mut any = |text: &mut Text| visit(About::Anything, text);
    for layer in layers {
        let Layer {
            name,
            arch: _,
            share: _,
            elf: _,
            go_toolchain,
            go_build,
            files,
            directory,
            archive,
            users,
            certificates,
            tzdata,
            attributes,
        } = layer;
        any(name);
        if let Some(GoToolchainLayer { input, prefix, link }) = go_toolchain {
            any(input);
            any(prefix);
            link.iter_mut().for_each(&mut any);
        }
        if let Some(build) = go_build {
            let GoBuildLayer {
                toolchain,
                source,
                packages,
                modules,
                dest,
                tags,
                ldflags,
                env,
                goamd64,
                goarm64,
                goppc64,
                max_size: _,
                vcs: _,
                stamp: _,
            } = build;
            any(dest);
            let texts = [toolchain, modules, ldflags, goamd64, goarm64, goppc64];
            texts.into_iter().flatten().for_each(&mut any);
            packages.iter_mut().chain(tags).chain(env.values_mut()).for_each(&mut any);
            if let Some(GoSource { dir, archive, git }) = source {
                dir.iter_mut().chain(archive).chain(git).for_each(&mut any);
            }
        }
        for file in files.iter_mut().flatten() {
            let FileEntry {
                path,
                content,
                source,
                link,
                dir: _,
                mode,
                uid: _,
                gid: _,
                user,
                xattrs,
                caps,
            } = file;
            any(path);
            [content, source, link, mode, user, caps].into_iter().flatten().for_each(&mut any);
            xattrs.values_mut().for_each(&mut any);
        }
        if let Some(DirectoryLayer { source, prefix, uid: _, gid: _, mode, exclude }) = directory {
            any(source);
            any(prefix);
            mode.iter_mut().chain(exclude).for_each(&mut any);
        }
        if let Some(ArchiveLayer { input, prefix }) = archive {
            any(input);
            any(prefix);
        }
        if let Some(UsersLayer { accounts, groups }) = users {
            for account in accounts {
                let Account { name, uid: _, gid: _, comment, home, shell } = account;
                any(name);
                [comment, home, shell].into_iter().flatten().for_each(&mut any);
            }
            for Group { name, gid: _, members } in groups {
                any(name);
                members.iter_mut().for_each(&mut any);
            }
        }
        if let Some(CertificatesLayer { input, path, add }) = certificates {
            any(input);
            path.iter_mut().chain(add).for_each(&mut any);
        }
        if let Some(TzdataLayer { input, path, localtime }) = tzdata {
            any(input);
            [path, localtime].into_iter().flatten().for_each(&mut any);
        }
        for attributes in attributes {
            let PathAttributes { path, mode, uid: _, gid: _, user, xattrs, caps } = attributes;
            any(path);
            [mode, user, caps].into_iter().flatten().for_each(&mut any);
            xattrs.values_mut().for_each(&mut any);
        }
    }

    let Image { reference, base, config, annotations, compression: _ } = image;
    let ImageConfig {
        user,
        entrypoint,
        cmd,
        env,
        workdir,
        ports,
        volumes,
        stop_signal,
        labels,
        health,
    } = config;
    if let Some(Health { test, interval, timeout, start_period, retries: _ }) = health {
        test.iter_mut().for_each(&mut any);
        [interval, timeout, start_period].into_iter().flatten().for_each(&mut any);
    }
    base.iter_mut().for_each(|text| visit(About::Input, text));
    let mut any = |text: &mut Text| visit(About::Anything, text);
    [user, workdir, stop_signal].into_iter().flatten().for_each(&mut any);
    [entrypoint, cmd, ports, volumes].into_iter().flatten().for_each(&mut any);
    [env, labels].into_iter().flat_map(|map| map.values_mut()).for_each(&mut any);

    let Ostree { refname, base, remove, replace, bootable: _, contexts, metadata, collection } =
        ostree;
    refname.iter_mut().chain(metadata.values_mut()).for_each(&mut any);
    remove.iter_mut().chain(replace).for_each(&mut any);
    for PathContext { path, kind: _, context } in contexts {
        [path, context].into_iter().for_each(&mut any);
    }
    if let Some(OstreeBase { repo, remote, image, refname, commit }) = base {
        let texts = repo.iter_mut().chain(image).chain(refname);
        if let Some(remote) = remote {
            let OstreeRemote { url, gpg_key, ed25519_key, spki_key, revoked_keys, unverified: _ } =
                remote;
            visit(About::Input, url);
            let keys = [gpg_key, ed25519_key, spki_key, revoked_keys].into_iter().flatten();
            keys.for_each(|text| visit(About::Input, text));
        }
        let commits = commit.iter_mut().flat_map(|map| map.values_mut());
        texts.chain(commits).for_each(|text| visit(About::Input, text));
    }

    reference.iter_mut().for_each(|text| visit(About::Shared, text));
    annotations.values_mut().for_each(|text| visit(About::Shared, text));
    collection.iter_mut().for_each(|text| visit(About::Shared, text));
}
