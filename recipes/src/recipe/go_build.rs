//! The layer kind `go-build`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Input, Recipe, Text};
use crate::Commit;
use crate::schema::exactly_one;

/// Go programs, built without network and proved static. They are root's, mode 0755, and called as
/// `go build` calls them.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct GoBuildLayer {
    /// The input of kind `go-toolchain` that builds; left out, the only one of the recipe.
    #[serde(default)]
    pub toolchain: Option<Text>,
    /// Where the source is; left out, the Go distribution's own, for packages such as `cmd/gofmt`.
    #[serde(default)]
    pub source: Option<GoSource>,
    /// The packages to build, as `go build` takes them: `./cmd/server`, `./...`, `cmd/gofmt`.
    #[schemars(length(min = 1))]
    pub packages: Vec<Text>,
    /// The input of kind `go-modules` that has the modules which are not in `vendor/`; a build has
    /// no network.
    #[serde(default)]
    pub modules: Option<Text>,
    /// The folder that gets the programs: absolute, such as `/usr/bin`.
    pub dest: Text,
    /// Build tags.
    #[serde(default)]
    pub tags: Vec<Text>,
    /// Arguments to the linker as `go build -ldflags` takes them, such as
    /// `-s -w -buildid= -X main.version={{ version }}`; left out, `-s -w -buildid=`.
    #[serde(default)]
    pub ldflags: Option<Text>,
    /// Variables of the build; only those that change what is built: `GODEBUG`, `GOEXPERIMENT`,
    /// `GOFIPS140`.
    #[serde(default)]
    pub env: BTreeMap<String, Text>,
    /// The least amd64 processor that runs it: `v1` (the default) to `v4`; more than the default
    /// is recorded in the image's platform and the commit's metadata.
    #[serde(default)]
    pub goamd64: Option<Text>,
    /// The least arm64 processor: `v8.0` (the default) to `v9.5`, perhaps with `,lse` or `,crypto`.
    #[serde(default)]
    pub goarm64: Option<Text>,
    /// The least POWER processor: `power8` (the default), `power9` or `power10`.
    #[serde(default)]
    pub goppc64: Option<Text>,
    /// Bytes that each program may have at most.
    #[serde(default)]
    pub max_size: Option<u64>,
    /// Whether programs carry their commit as `go build -buildvcs` writes it: `vcs.revision`,
    /// `vcs.time` and `vcs.modified`, and the main module's version. Only with `source: {git: NAME}`.
    #[serde(default)]
    pub vcs: bool,
    /// What `vcs` makes programs carry; known once the recipe is expanded.
    #[serde(skip)]
    pub stamp: Option<Stamp>,
}

/// The commit that programs carry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp {
    /// The commit.
    pub commit: Commit,
    /// The folder of the commit that the source is; none for all of it.
    pub dir: Option<String>,
}

/// The source of Go programs: a module or a workspace.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(extend("oneOf" = exactly_one(&["dir", "archive", "git"])))]
pub struct GoSource {
    /// A local directory, relative to the recipe's file. Its `.git` is left out.
    #[serde(default)]
    pub dir: Option<Text>,
    /// The input of kind `archive`.
    #[serde(default)]
    pub archive: Option<Text>,
    /// The input of kind `git`.
    #[serde(default)]
    pub git: Option<Text>,
}

/// The variables that `env` may set, since they change what is built and nothing else.
pub const GO_BUILD_ENV: &[&str] = &["GODEBUG", "GOEXPERIMENT", "GOFIPS140"];

impl Recipe {
    /// Says of every `go-build` that wants it which commit its programs carry.
    pub(crate) fn stamp(&mut self, commits: &BTreeMap<String, Commit>) {
        let builds = self.layers.iter_mut().filter_map(|layer| layer.go_build.as_mut());
        for build in builds.filter(|build| build.vcs) {
            let name = build.source.as_ref().and_then(|source| source.git.as_ref());
            let Some(name) = name.map(|name| name.value.as_str()) else { continue };
            let (Some(Input::Git(git)), Some(commit)) = (self.inputs.get(name), commits.get(name))
            else {
                continue;
            };
            let dir = git.dir.as_ref().map(|dir| dir.value.clone()).filter(|dir| dir != ".");
            build.stamp = Some(Stamp { commit: commit.clone(), dir });
        }
    }

    /// Names the only toolchain wherever a `go-build` leaves it out.
    pub(crate) fn name_toolchains(&mut self) {
        let is_toolchain = |input: &Input| matches!(input, Input::GoToolchain(_));
        let mut toolchains =
            self.inputs.iter().filter(|(_, input)| is_toolchain(input)).map(|(name, _)| name);
        let (Some(only), None) = (toolchains.next(), toolchains.next()) else { return };
        let builds = self.layers.iter_mut().filter_map(|layer| layer.go_build.as_mut());
        for build in builds {
            build.toolchain.get_or_insert_with(|| Text::new(only.clone()));
        }
    }
}
