//! The least processor that runs what the layers hold: GOAMD64, GOARM64 and GOPPC64 of the programs
//! that are built, as OCI's platform variant.

use treelay_recipes::Arch;
use treelay_recipes::recipe::{GoBuildLayer, Recipe};

/// The variant of an image of `recipe`, expanded for `arch`: the highest level of its builds, else
/// the arch's own.
pub(super) fn variant(recipe: &Recipe, arch: Arch) -> Option<String> {
    above_default(recipe, arch).or_else(|| arch.variant().map(str::to_owned))
}

/// The same, where it is more than the arch's own.
pub(super) fn above_default(recipe: &Recipe, arch: Arch) -> Option<String> {
    let builds = recipe.layers.iter().filter_map(|layer| layer.go_build.as_ref());
    let highest = builds.filter_map(|build| level(build, arch)).max_by_key(|level| rank(level))?;
    // The image-spec and containerd write arm64's major levels without their zero.
    let variant = highest.strip_suffix(".0").unwrap_or(&highest);
    let default = [Some("v1"), Some("v8"), Some("power8")];
    (!default.contains(&Some(variant))).then(|| variant.to_owned())
}

/// What a build asks for, without options such as `,lse`.
fn level(build: &GoBuildLayer, arch: Arch) -> Option<String> {
    let level = match arch {
        Arch::Amd64 => &build.goamd64,
        Arch::Arm64 => &build.goarm64,
        Arch::Ppc64le => &build.goppc64,
    };
    level.as_ref()?.split(',').next().map(str::to_owned)
}

/// The numbers of a level.
fn rank(level: &str) -> Vec<u32> {
    level.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_level_counts() {
        let recipe = |levels: &[&str]| {
            let layers: String = levels
                .iter()
                .enumerate()
                .map(|(at, level)| {
                    format!(
                        "- {{name: l{at}, go-build: {{packages: [cmd/x], dest: /d{at}{level}}}}}\n"
                    )
                })
                .collect();
            let text = format!(
                "name: x\nversion: 1\narch: [amd64, arm64, ppc64le]\n\
                 inputs: {{go: {{go-toolchain: {{version: 1.27.3, sources: [pypi]}}}}}}\n\
                 layers:\n{layers}"
            );
            Recipe::parse(&text, "x.yaml").unwrap_or_else(|error| panic!("{error}"))
        };
        for (levels, expected) in [
            (&["", ", goamd64: v1"][..], [None, Some("v8"), None]),
            (&[", goamd64: v2", ", goamd64: v3", ""], [Some("v3"), Some("v8"), None]),
            (&[", goarm64: v9.0", ", goarm64: v8.9"], [None, Some("v9"), None]),
            (&[", goarm64: \"v8.2,crypto\""], [None, Some("v8.2"), None]),
            (&[", goarm64: \"v8.0,lse\""], [None, Some("v8"), None]),
            (&[", goppc64: power9", ", goppc64: power10"], [None, Some("v8"), Some("power10")]),
        ] {
            let recipe = recipe(levels);
            for (arch, expected) in Arch::ALL.into_iter().zip(expected) {
                assert_eq!(variant(&recipe, arch).as_deref(), expected, "{levels:?}");
            }
        }
    }
}
