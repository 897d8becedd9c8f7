//! The consumers: which package brings each, for which tier, and where to find it.

use std::path::{Path, PathBuf};

use crate::Tier;

/// The search path for programs, the same for set-up and for the sealed environment of the tests.
pub const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Debian's own keys, which sign the releases the consumers are taken from.
pub const DEBIAN_KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// A program that a Debian package puts on [`PATH`].
#[derive(Clone, Copy, Debug)]
pub struct Program {
    /// The file's name in one of the folders of [`PATH`].
    pub name: &'static str,
    /// The Debian package that has it.
    pub package: &'static str,
    /// The first tier that needs it.
    pub tier: Tier,
}

const fn program(tier: Tier, package: &'static str, name: &'static str) -> Program {
    Program { name, package, tier }
}

/// Every program that set-up installs from the machine's own distribution.
pub const PROGRAMS: &[Program] = &[
    program(Tier::Fast, "pkg-config", "pkg-config"),
    program(Tier::Fast, "python3", "python3"),
    program(Tier::Fast, "skopeo", "skopeo"),
    // The builder's own tests of repositories compare with them.
    program(Tier::Fast, "ostree", "ostree"),
    program(Tier::Fast, "gnupg", "gpg"),
    // What layers need processes for runs in it.
    program(Tier::Fast, "bubblewrap", "bwrap"),
    program(Tier::Fast, "git", "git"),
    program(Tier::Real, "podman", "podman"),
    program(Tier::Real, "buildah", "buildah"),
    program(Tier::Real, "umoci", "umoci"),
    program(Tier::Real, "runc", "runc"),
    program(Tier::Real, "uidmap", "newuidmap"),
    program(Tier::Real, "slirp4netns", "slirp4netns"),
    program(Tier::Real, "fuse-overlayfs", "fuse-overlayfs"),
    program(Tier::Real, "busybox-static", "busybox"),
    program(Tier::Real, "qemu-user-static", "qemu-aarch64-static"),
    program(Tier::Real, "qemu-user-static", "qemu-ppc64le-static"),
    program(Tier::Real, "attr", "setfattr"),
    program(Tier::Real, "libcap2-bin", "getcap"),
    program(Tier::Real, "openssl", "openssl"),
    program(Tier::Real, "softhsm2", "softhsm2-util"),
    program(Tier::Real, "zstd", "zstd"),
    program(Tier::Real, "selinux-utils", "matchpathcon"),
    program(Tier::Real, "util-linux", "setpriv"),
    program(Tier::Real, "util-linux", "unshare"),
    program(Tier::Real, "util-linux", "nsenter"),
    program(Tier::Host, "mmdebstrap", "mmdebstrap"),
    program(Tier::Host, "podman-toolbox", "toolbox"),
    program(Tier::Host, "dbus-daemon", "dbus-daemon"),
    program(Tier::Slow, "bison", "bison"),
    program(Tier::Slow, "make", "make"),
    program(Tier::Slow, "dpkg-dev", "dpkg-source"),
    program(Tier::Slow, "qemu-system-x86", "qemu-system-x86_64"),
    program(Tier::Slow, "e2fsprogs", "mkfs.ext4"),
    program(Tier::Slow, "e2fsprogs", "debugfs"),
];

/// Debian packages without a program of their own: libraries to build against, certificates,
/// schemas.
pub const LIBRARIES: &[(Tier, &str)] = &[
    (Tier::Fast, "libostree-dev"),
    (Tier::Fast, "libssl-dev"),
    (Tier::Fast, "ca-certificates"),
    // Documents are checked against the image specification's own schemas.
    // What builds an SELinux policy links them; nothing else of it is installed.
    (Tier::Real, "libaudit1"),
    (Tier::Real, "libsemanage2"),
    (Tier::Real, "libsepol2"),
    (Tier::Real, "golang-github-opencontainers-image-spec-dev"),
    (Tier::Real, "python3-jsonschema"),
    (Tier::Real, "python3-venv"),
    (Tier::Host, "libzstd-dev"),
    (Tier::Slow, "libattr1-dev"),
    (Tier::Slow, "libcap-dev"),
    (Tier::Slow, "libcurl4-openssl-dev"),
    (Tier::Slow, "libext2fs-dev"),
    (Tier::Slow, "libglib2.0-dev"),
    (Tier::Slow, "liblzma-dev"),
    (Tier::Slow, "libsodium-dev"),
    (Tier::Slow, "zlib1g-dev"),
];

/// A consumer that set-up keeps in a folder of its own below [`dir`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// cosign 2, from Debian 13.
    Cosign2,
    /// cosign 3, from Debian's development release.
    Cosign3,
    /// docker-registry, which has no referrers endpoint. Unpacked and not installed, because its
    /// package starts a service on all interfaces.
    DockerRegistry,
    /// ferro-oci-server, a registry with the referrers endpoint.
    Ferro,
    /// The official schemas and validators of SPDX and CycloneDX, for Python.
    Documents,
    /// Debian's SELinux policy, built as its package does, in a folder and not for the machine.
    Selinux,
    /// A whole Debian 13 root with podman 5, skopeo, ostree and cosign.
    Trixie,
    /// ostree-ext's command line, which rpm-ostree and bootc have inside.
    OstreeExt,
    /// The root of the machine's Debian as a tar, with what a toolbox needs inside.
    Toolbox,
    /// ostree built from Debian's source with ed25519, and with spki where the source has it.
    Ostree,
    /// The tree of a Debian 13 host with kernel, initramfs and systemd, for commits that boot.
    Machine,
}

impl Kept {
    /// The folder below [`dir`].
    pub const fn folder(self) -> &'static str {
        match self {
            Self::Cosign2 => "cosign-2",
            Self::Cosign3 => "cosign-3",
            Self::DockerRegistry => "docker-registry",
            Self::Ferro => "ferro",
            Self::Documents => "documents",
            Self::Selinux => "selinux",
            Self::Trixie => "trixie",
            Self::OstreeExt => "ostree-ext",
            Self::Toolbox => "toolbox",
            Self::Ostree => "ostree",
            Self::Machine => "machine",
        }
    }

    /// The first tier that needs it.
    pub const fn tier(self) -> Tier {
        match self {
            Self::Cosign2
            | Self::Cosign3
            | Self::DockerRegistry
            | Self::Ferro
            | Self::Documents
            | Self::Selinux => Tier::Real,
            Self::Trixie | Self::OstreeExt | Self::Toolbox => Tier::Host,
            Self::Ostree | Self::Machine => Tier::Slow,
        }
    }

    /// The program inside, relative to the folder; for a root, one that must be there, else a file.
    pub const fn program(self) -> &'static str {
        match self {
            Self::Cosign2 | Self::Cosign3 => "usr/bin/cosign",
            Self::DockerRegistry => "usr/bin/docker-registry",
            Self::Ferro => "bin/ferro-oci-server",
            Self::Documents => "bin/python",
            Self::Selinux => "etc/selinux/default/contexts/files/file_contexts",
            Self::Trixie => "usr/bin/podman",
            Self::OstreeExt => "bin/treelay-ostree-ext",
            Self::Toolbox => "root.tar",
            Self::Ostree => "bin/ostree",
            Self::Machine => "tree/usr/lib/ostree/ostree-prepare-root",
        }
    }

    /// Where the consumer is, whether or not it is there yet.
    pub fn root(self) -> PathBuf {
        dir().join(self.folder())
    }

    /// Written last, so a folder without it is a set-up that did not finish.
    pub fn stamp(self) -> PathBuf {
        dir().join(format!("{}.stamp", self.folder()))
    }
}

/// The project's root folder.
pub fn workspace() -> PathBuf {
    // As cargo says when it runs this, and else as it said when it built this: a target folder that
    // several checkouts share holds one build for all of them.
    let here = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    here.parent().unwrap_or(&here).to_path_buf()
}

/// Where consumers are kept: `TREELAY_TOOLS`, else `target/treelay-tools`, whatever
/// `CARGO_TARGET_DIR` says, so that several target folders share them.
pub fn dir() -> PathBuf {
    std::env::var_os("TREELAY_TOOLS")
        .map_or_else(|| workspace().join("target/treelay-tools"), PathBuf::from)
}

/// The note in the folder of [`Kept::Ostree`] where the one that could be built is too old for spki.
pub const WITHOUT_SPKI: &str = "without-spki";

/// Why the ostree that set-up built cannot check spki signatures; none where it can.
pub fn without_spki() -> Option<String> {
    let note = std::fs::read_to_string(Kept::Ostree.root().join(WITHOUT_SPKI)).ok()?;
    Some(note.trim().to_owned())
}

/// Finds a program on [`PATH`].
pub fn find(name: &str) -> Option<PathBuf> {
    PATH.split(':').map(|folder| Path::new(folder).join(name)).find(|file| file.is_file())
}
