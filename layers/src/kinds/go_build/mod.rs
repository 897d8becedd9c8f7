//! `go-build`: Go programs.
//!
//! The programs are made by one action for each arch ([`command`]); every one of them has to pass
//! a [`Gate`] before it is in a layer.

mod command;
mod mains;
mod stamp;

use serde_json::{Value, json};
use treelay_recipes::Arch;
use treelay_recipes::recipe::{GoBuildLayer, GoSource, Text};

use super::{Given, Kind, KindError, Need, absolute};
use crate::action::Action;
use crate::go::{Gate, GateError, GoDistribution};
use crate::{ContentSink, Entry, Tree, TreePath};

/// The oldest Go 1 that is built with: the first that takes `-C`.
const LEAST: u32 = 20;

/// What of a local source is never part of a build.
const EXCLUDED: [&str; 1] = ["**/.git"];

impl Kind for GoBuildLayer {
    fn name(&self) -> &'static str {
        "go-build"
    }

    fn needs(&self, _arch: Arch) -> Result<Vec<Need>, KindError> {
        absolute(&self.dest)?;
        mains::check_named(&self.packages)?;
        // The recipe's check says so first.
        let toolchain = self.toolchain.clone().ok_or(KindError::NotGiven { at: 0 })?;
        let mut needs = vec![Need::Toolchain(toolchain)];
        if let Some(GoSource { dir, archive, git }) = &self.source {
            let exclude = EXCLUDED.map(Text::new).to_vec();
            needs.extend(dir.clone().map(|path| Need::LocalDir { path, exclude }));
            needs.extend(archive.clone().or_else(|| git.clone()).map(Need::Input));
        }
        needs.extend(self.modules.clone().map(Need::Input));
        Ok(needs)
    }

    fn options(&self, arch: Arch) -> Result<Value, KindError> {
        let dest = absolute(&self.dest)?;
        let mut options = json!({
            "kind": self.name(),
            "rules": 1,
            "arch": arch,
            "dest": dest.map_or(String::new(), |dest| dest.to_string()),
            "build": command::arguments(self),
            "environment": command::environment(self, arch),
            "max-size": self.max_size,
        });
        if let Some(stamp) = &self.stamp {
            options["vcs"] = stamp::options(stamp);
        }
        Ok(options)
    }

    fn action<'a>(
        &self,
        arch: Arch,
        machine: Arch,
        given: &Given<'a>,
    ) -> Result<Option<Action<'a>>, KindError> {
        // What is no distribution at all is told when the programs are looked at.
        let go = GoDistribution::find(given.tree(0)?, given.contents).ok();
        if let Some(go) = go.filter(|go| go.version().is_before(1, LEAST)) {
            let input = self.toolchain.as_ref().unwrap_or(&self.dest);
            let version = &go.version().version;
            let reason = format!("go-build takes Go 1.{LEAST} or later, not {version}");
            return Err(super::wrong(input, reason));
        }
        let (tree, root) = if self.source.is_some() { (1, "") } else { (0, "src/") };
        mains::check_patterns(&self.packages, given.tree(tree)?, root, given.contents)?;
        command::build(self, arch, machine, given).map(Some)
    }

    fn acts(&self) -> bool {
        true
    }

    fn brings(&self) -> Option<&'static str> {
        self.stamp.as_ref().map(|_| stamp::GIT)
    }

    fn explain(&self, output: &str) -> Option<&'static str> {
        command::explain(output)
    }

    fn tree(
        &self,
        arch: Arch,
        given: &Given<'_>,
        _sink: &mut dyn ContentSink,
    ) -> Result<Tree, KindError> {
        let distribution = GoDistribution::find(given.tree(0)?, given.contents)?;
        let outputs = given.tree(self.needs(arch)?.len())?;
        let dest = absolute(&self.dest)?;
        let (level, value) = command::level(self, arch);
        let mut settings = vec![
            ("GOOS", "linux"),
            ("GOARCH", arch.go()),
            ("CGO_ENABLED", "0"),
            ("-trimpath", "true"),
        ];
        // Go has a level for arm64 since 1.23, and does not tell of one before.
        let before = arch == Arch::Arm64 && distribution.version().is_before(1, 23);
        if !before || self.goarm64.is_some() {
            settings.push((level, value));
        }
        let stamped = self.stamp.iter().flat_map(stamp::settings).collect::<Vec<_>>();
        settings.extend(stamped.iter().map(|(name, value)| (*name, value.as_str())));
        let gate = Gate {
            arch,
            version: &distribution.version().version,
            settings,
            paths: &command::PATHS,
            max_size: self.max_size,
        };
        let mut entries = Vec::new();
        for entry in outputs.entries() {
            let Some((digest, size)) = entry.file() else { continue };
            let name = entry.path.name();
            let refused =
                |source| KindError::Gate { program: name.to_owned(), source: Box::new(source) };
            let info = gate.check(digest, size, given.contents).map_err(refused)?;
            if command::program_of(&info.path).is_some_and(|program| program != name) {
                let (found, expected) = (info.path, format!(".../{name}"));
                return Err(refused(GateError::Other { name: "path".to_owned(), found, expected }));
            }
            let path = match &dest {
                Some(dest) => dest.join(name)?,
                None => TreePath::new(name)?,
            };
            entries.push(Entry::new_file(path, 0o755, *digest, size));
        }
        let has = |name: &str| entries.iter().any(|entry| entry.path.name() == name);
        let mut names = self.packages.iter().map(|package| (package, command::program_of(package)));
        if let Some((package, _)) = names.find(|(_, name)| name.is_some_and(|name| !has(name))) {
            let reason = format!("`{package}` makes no program: its package is not main");
            return Err(super::wrong(package, reason));
        }
        if entries.is_empty() {
            let reason = "no program is made: none of the packages is main";
            return Err(super::wrong(&self.packages[0], reason));
        }
        Ok(Tree::from_entries(entries)?)
    }
}
