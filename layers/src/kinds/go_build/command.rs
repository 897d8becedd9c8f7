//! The action that builds: one `go build` for each arch, of all packages of the layer.
//!
//! ```text
//! /treelay/go    the toolchain, of the machine that builds
//! /treelay/src   the source, where it is not the distribution's own
//! /treelay/mod   the module cache, where there is one
//! /treelay/out   the programs
//! ```
//!
//! Everything that `go build` could take from the machine is set or shut: see [`running::environment`].

use std::borrow::Cow;
use std::collections::BTreeMap;

use treelay_recipes::Arch;
use treelay_recipes::recipe::{GoBuildLayer, Text};

use super::{Given, KindError, stamp};
use crate::action::{Action, Command, InputTree};
use crate::go::running;

/// What a program has in it that tells where it was built.
pub(super) const PATHS: [&str; 5] =
    ["/treelay/go/", "/treelay/src/", "/treelay/mod/", "/treelay/out/", "/tmp/treelay-"];
/// As ko and goreleaser have it, and without a build id, which is for caches alone.
pub(super) const LDFLAGS: &str = "-s -w -buildid=";

/// What builds the programs of `layer` for `arch` on a `machine`.
pub(super) fn build<'a>(
    layer: &GoBuildLayer,
    arch: Arch,
    machine: Arch,
    given: &Given<'a>,
) -> Result<Action<'a>, KindError> {
    let toolchain = given.tree(0)?;
    let seen = Cow::Owned(running::without_tests(toolchain));
    let go = InputTree { at: "go", tree: seen, lasting: true };
    let mut inputs = vec![go];
    match (&layer.source, &layer.stamp) {
        (Some(_), Some(stamp)) => inputs.extend(stamp::inputs(stamp, given.tree(1)?)?),
        (Some(_), None) => {
            let tree = Cow::Borrowed(given.tree(1)?);
            inputs.push(InputTree { at: "src", tree, lasting: false });
        }
        (None, _) => {}
    }
    if layer.modules.is_some() {
        let tree = Cow::Borrowed(given.tree(1 + usize::from(layer.source.is_some()))?);
        inputs.push(InputTree { at: "mod", tree, lasting: true });
    }
    let command = Command {
        arguments: arguments(layer),
        environment: environment(layer, arch),
        outputs: vec!["out".to_owned()],
        platform: running::platform(machine),
    };
    let command = match &layer.stamp {
        Some(stamp) => stamp::wrap(command, stamp, machine),
        None => command,
    };
    Ok(Action {
        command,
        inputs,
        timeout: running::TIMEOUT,
        cache: Some(running::cache(toolchain)),
    })
}

/// The command line.
pub(super) fn arguments(layer: &GoBuildLayer) -> Vec<String> {
    let mut source =
        if layer.source.is_some() { "/treelay/src" } else { "/treelay/go/src" }.to_owned();
    if let Some(dir) = layer.stamp.as_ref().and_then(|stamp| stamp.dir.as_ref()) {
        source = format!("{source}/{dir}");
    }
    let ldflags = layer.ldflags.as_ref().map_or(LDFLAGS, |text| &**text);
    let mut arguments = vec![
        "/treelay/go/bin/go".to_owned(),
        "build".to_owned(),
        format!("-C={source}"),
        "-trimpath".to_owned(),
        format!("-buildvcs={}", layer.stamp.is_some()),
        format!("-ldflags={ldflags}"),
    ];
    if !layer.tags.is_empty() {
        arguments.push(format!("-tags={}", join(&layer.tags)));
    }
    arguments.extend(["-o=/treelay/out/".to_owned(), "--".to_owned()]);
    arguments.extend(layer.packages.iter().map(|package| package.value.clone()));
    arguments
}

fn join(texts: &[Text]) -> String {
    texts.iter().map(|text| &**text).collect::<Vec<_>>().join(",")
}

/// The environment, all of it.
pub(super) fn environment(layer: &GoBuildLayer, arch: Arch) -> BTreeMap<String, String> {
    let modules = layer.modules.iter().map(|_| ("GOMODCACHE", "/treelay/mod"));
    let own = layer.env.iter().map(|(name, value)| (name.as_str(), &**value));
    own.chain(running::environment(arch))
        .chain([level(layer, arch)])
        .chain(modules)
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// The variable that says the least processor, and its value.
pub(super) fn level(layer: &GoBuildLayer, arch: Arch) -> (&'static str, &str) {
    let given = match arch {
        Arch::Amd64 => &layer.goamd64,
        Arch::Arm64 => &layer.goarm64,
        Arch::Ppc64le => &layer.goppc64,
    };
    let (name, default) = running::least_level(arch);
    (name, given.as_ref().map_or(default, |text| &**text))
}

/// What Go's own words leave open.
pub(super) fn explain(output: &str) -> Option<&'static str> {
    const MODULES: &str = "a build has no network: run `go mod tidy` and `go mod vendor`, and keep \
                           vendor/ with the source, or name a go-modules input in `modules`";
    const MAIN: &str = "the packages of the recipe have to be programs: `package main`";
    const CGO: &str = "programs are built with CGO_ENABLED=0, and this package is made of C, or for \
                       other systems";
    let table = [
        ("module lookup disabled by GOPROXY=off", MODULES),
        ("no required module provides package", MODULES),
        ("cannot find module providing package", MODULES),
        ("missing go.sum entry", MODULES),
        ("no main packages to build", MAIN),
        ("build constraints exclude all Go files", CGO),
    ];
    table.iter().find(|(words, _)| output.contains(words)).map(|(_, hint)| *hint)
}

/// What `go build` calls the program of a package (cmd/go, `DefaultExecName`): the last element of
/// its import path that is no version; `None` where the package's text alone does not say it.
pub(super) fn program_of(package: &str) -> Option<&str> {
    let is_version = |name: &str| {
        name.strip_prefix('v').is_some_and(|rest| {
            !rest.is_empty()
                && rest.bytes().all(|b| b.is_ascii_digit())
                && !matches!(rest, "0" | "1")
        })
    };
    if package.contains("...") {
        return None;
    }
    let mut names = package.trim_end_matches('/').rsplit('/');
    let last = names.next()?;
    let name = if is_version(last) { names.next()? } else { last };
    Some(name).filter(|name| !name.is_empty() && !name.starts_with('.'))
}

#[cfg(test)]
mod tests {
    use super::program_of;

    #[test]
    fn programs_are_called_as_go_calls_them() {
        for (package, name) in [
            ("./cmd/server", Some("server")),
            ("./cmd/server/", Some("server")),
            ("cmd/gofmt", Some("gofmt")),
            ("example.org/tool/v2", Some("tool")),
            ("example.org/v1", Some("v1")),
            ("./v3", None),
            (".", None),
            ("./", None),
            ("./...", None),
            ("./cmd/...", None),
        ] {
            assert_eq!(program_of(package), name, "{package}");
        }
    }
}
