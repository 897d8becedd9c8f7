//! The real consumers, each ready to run in an [`Env`].

use std::path::Path;

use treelay_ci::tools::{self, Kept};

use crate::env::{Env, is_root};
use crate::run::Run;
use crate::tools::{kept, program};
use crate::trixie;

/// A release line of cosign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cosign {
    /// 2.x: `.sig` tags.
    Two,
    /// 3.x: bundles, and `.sig` tags when asked for.
    Three,
}

impl Cosign {
    /// Both release lines.
    pub const ALL: [Self; 2] = [Self::Two, Self::Three];

    /// Arguments of `sign` for a signature with a key in the `.sig` form, without any service.
    pub const fn sign_offline(self) -> &'static [&'static str] {
        match self {
            Self::Two => &["--tlog-upload=false", "--allow-http-registry"],
            Self::Three => &[
                "--tlog-upload=false",
                "--use-signing-config=false",
                "--new-bundle-format=false",
                "--allow-http-registry",
            ],
        }
    }

    /// Arguments of `sign` for a signature with a key in a bundle, without any service; only
    /// [`Cosign::Three`] does so for images.
    pub const fn sign_bundle_offline() -> &'static [&'static str] {
        &["--tlog-upload=false", "--use-signing-config=false", "--allow-http-registry"]
    }

    /// Arguments of `verify` for a signature that is in no transparency log.
    pub const fn verify_offline(self) -> &'static [&'static str] {
        &["--insecure-ignore-tlog", "--allow-http-registry"]
    }
}

impl Env {
    /// podman 4.
    pub fn podman<S: AsRef<std::ffi::OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Run {
        self.run(program("podman")).args(args)
    }

    /// skopeo of the machine.
    pub fn skopeo<S: AsRef<std::ffi::OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Run {
        self.run(program("skopeo")).args(args)
    }

    /// buildah.
    pub fn buildah<S: AsRef<std::ffi::OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Run {
        self.run(program("buildah")).args(args)
    }

    /// umoci.
    pub fn umoci<S: AsRef<std::ffi::OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Run {
        self.run(program("umoci")).args(args)
    }

    /// Unpacks the layers of an image in a layout (`DIR:TAG`), owners kept where root does it.
    pub fn umoci_unpack(&self, image: &str, dest: &Path) -> Run {
        let rootless: &[&str] = if is_root() { &[] } else { &["--rootless"] };
        self.umoci(["raw", "unpack"]).args(rootless).args(["--image", image]).arg(dest)
    }

    /// OpenSSL, which knows nothing of treelay and can check its bare signatures.
    pub fn openssl<S: AsRef<std::ffi::OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Run {
        self.run(program("openssl")).args(args)
    }

    /// ostree of the machine.
    pub fn ostree<S: AsRef<std::ffi::OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Run {
        self.run(program("ostree")).args(args)
    }

    /// The code with which rpm-ostree and bootc read images (host tier).
    pub fn ostree_ext<S: AsRef<std::ffi::OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Run {
        self.run(kept(Kept::OstreeExt)).args(args)
    }

    /// ostree built with ed25519 and spki (slow tier).
    ///
    /// # Panics
    /// When the ostree that set-up could build is older than spki, with the reason.
    pub fn ostree_with_spki<S: AsRef<std::ffi::OsStr>>(
        &self,
        args: impl IntoIterator<Item = S>,
    ) -> Run {
        if let Some(why) = tools::without_spki() {
            let stamp = Kept::Ostree.stamp();
            panic!(
                "{why}\nWith another mirror: remove {} and run `cargo xtask setup --tier slow`",
                stamp.display()
            );
        }
        self.ostree_with_keys(args)
    }

    /// ostree built with ed25519 (slow tier).
    pub fn ostree_with_keys<S: AsRef<std::ffi::OsStr>>(
        &self,
        args: impl IntoIterator<Item = S>,
    ) -> Run {
        self.run(kept(Kept::Ostree)).args(args)
    }

    /// cosign of one release line, with [`Env::PASSWORD`] for its keys.
    pub fn cosign<S: AsRef<std::ffi::OsStr>>(
        &self,
        version: Cosign,
        args: impl IntoIterator<Item = S>,
    ) -> Run {
        let cosign = kept(match version {
            Cosign::Two => Kept::Cosign2,
            Cosign::Three => Kept::Cosign3,
        });
        self.run(cosign).env("COSIGN_PASSWORD", Self::PASSWORD).args(args)
    }

    /// GnuPG without questions.
    pub fn gpg<S: AsRef<std::ffi::OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Run {
        let quiet = ["--batch", "--yes", "--quiet", "--pinentry-mode=loopback", "--passphrase="];
        self.run(program("gpg")).args(quiet).args(args)
    }

    /// A new GPG signing key for `user`, without a passphrase; returns its fingerprint.
    ///
    /// # Panics
    /// When gpg makes none.
    pub fn gpg_key(&self, user: &str) -> String {
        self.gpg(["--quick-generate-key", user, "ed25519", "sign", "never"]).ok();
        let listed = self.gpg(["--list-keys", "--with-colons", user]).ok().out();
        let row = listed.lines().find_map(|line| line.strip_prefix("fpr:"));
        row.expect("gpg lists the key that it made").trim_matches(':').to_owned()
    }

    /// A program of another processor, by the kernel's name of it (`aarch64`, `ppc64le`); for the
    /// machine's own, the program itself.
    pub fn qemu(&self, machine: &str, executable: &Path) -> Run {
        if machine == std::env::consts::ARCH {
            return self.run(executable);
        }
        self.run(program(&format!("qemu-{machine}-static"))).arg(executable)
    }

    /// A command inside the Debian 13 root, with this environment at its own path, the host's
    /// loopback and nothing else to write to (host tier).
    pub fn trixie<S: AsRef<std::ffi::OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Run {
        trixie::run(self).args(args)
    }
}
