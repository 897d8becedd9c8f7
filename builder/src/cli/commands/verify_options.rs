//! Which options of `treelay verify` say something about which kind of thing. What would say nothing
//! is refused: an option that is not looked at would be taken for one that was met.

use crate::cli::verify_args::VerifyArgs;
use crate::cli::{Failure, Result};
use crate::sign::RequiredForm;

/// What is verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// An image of a registry or a layout.
    Image,
    /// The same, judged as a host does: `--policy`, `--as`.
    HostedImage,
    /// Commits of a repository.
    Commits,
    /// A file, or what has a digest.
    File,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Image, Self::HostedImage, Self::Commits, Self::File];

    /// As people are told it, in the plural.
    fn name(self) -> &'static str {
        match self {
            Self::Image => "images",
            Self::HostedImage => "images that are judged by --policy or --as",
            Self::Commits => "commits",
            Self::File => "files",
        }
    }
}

/// An option: its name, whether it is given, and of which kinds it says something.
type Row = (&'static str, fn(&VerifyArgs) -> bool, &'static [Kind]);

const IMAGES: &[Kind] = &[Kind::Image, Kind::HostedImage];

/// All but `--key`, `--json` and how registries are reached, which hold for everything.
const OPTIONS: &[Row] = &[
    ("--require", |it| !it.require.is_empty(), &[Kind::Image, Kind::HostedImage, Kind::Commits]),
    ("--gpg-keyring", |it| it.gpg_keyring.is_some(), &[Kind::Commits]),
    ("--remote", |it| it.remote.is_some(), &[Kind::Commits]),
    ("--sysroot", |it| it.sysroot.is_some(), &[Kind::Commits]),
    ("--revoked", |it| !it.revoked.is_empty(), &[Kind::Commits]),
    ("--signed-as", |it| it.signed_as.is_some(), IMAGES),
    ("--require-form", |it| it.require_form != RequiredForm::Any, IMAGES),
    ("--policy", |it| it.policy.is_some(), IMAGES),
    ("--as", |it| !it.as_consumer.is_empty(), IMAGES),
    // Repositories are always read whole.
    ("--blobs", |it| it.blobs, &[Kind::Image, Kind::HostedImage, Kind::Commits]),
    ("--bundle", |it| it.bundle.is_some(), &[Kind::File]),
    ("--type", |it| it.predicate_type.is_some(), &[Kind::File]),
    ("--trusted-root", |it| it.trusted_root.is_some(), &[Kind::Image, Kind::File]),
    ("--identity", |it| it.identity.is_some(), &[Kind::Image, Kind::File]),
    ("--identity-regexp", |it| it.identity_regexp.is_some(), &[Kind::Image, Kind::File]),
    ("--issuer", |it| it.issuer.is_some(), &[Kind::Image, Kind::File]),
    ("--issuer-regexp", |it| it.issuer_regexp.is_some(), &[Kind::Image, Kind::File]),
];

/// Refuses what says nothing about this kind.
pub(super) fn check(args: &VerifyArgs, kind: Kind) -> Result<()> {
    let wrong = OPTIONS.iter().find(|(_, given, kinds)| given(args) && !kinds.contains(&kind));
    let Some((option, _, kinds)) = wrong else { return Ok(()) };
    // That an image is judged as hosts do is told only where that is what is in the way.
    let wanted = Kind::ALL.into_iter().filter(|it| {
        kinds.contains(it) && !(*it == Kind::HostedImage && kinds.contains(&Kind::Image))
    });
    let wanted: Vec<_> = wanted.map(Kind::name).collect();
    let mut message = format!("{option} is for {}, not {}", wanted.join(" and "), kind.name());
    if *option == "--bundle" {
        message += ": file:PATH, sha256:DIGEST or sha512:DIGEST";
    }
    Err(Failure::usage_message(message))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::{CommandFactory as _, Parser as _};

    use super::*;
    use crate::cli::args::{Cli, Command};

    #[test]
    fn every_option_is_in_the_table() {
        let known: BTreeSet<_> =
            OPTIONS.iter().map(|(name, ..)| name.trim_start_matches('-').to_owned()).collect();
        let mut cli = Cli::command();
        cli.build();
        let verify = cli.find_subcommand("verify").unwrap();
        let everywhere = ["key", "json", "plain-http", "help", "quiet", "store", "jobs", "version"];
        for option in verify.get_arguments().filter_map(|it| it.get_long()) {
            let held = known.contains(option) || everywhere.contains(&option);
            assert!(held, "--{option} says nothing of what it is for");
        }
    }

    #[test]
    fn what_says_nothing_is_refused() {
        use Kind::{Commits, File, HostedImage, Image};
        for (options, kinds) in [
            (&["--key=k"][..], &[Image, HostedImage, Commits, File][..]),
            (&["--key=k", "--require=sbom"], &[Image, HostedImage, Commits]),
            (&["--gpg-keyring=f"], &[Commits]),
            (&["--remote=r"], &[Commits]),
            (&["--remote=r", "--sysroot=d"], &[Commits]),
            (&["--revoked=f"], &[Commits]),
            (&["--signed-as=h/a"], &[Image, HostedImage]),
            (&["--require-form=both"], &[Image, HostedImage]),
            (&["--policy=f"], &[Image, HostedImage]),
            (&["--as=podman-5"], &[Image, HostedImage]),
            (&["--blobs"], &[Image, HostedImage, Commits]),
            (&["--bundle=f"], &[File]),
            (&["--type=vuln"], &[File]),
            (&["--trusted-root=f"], &[Image, File]),
            (&["--identity=a"], &[Image, File]),
            (&["--identity-regexp=a"], &[Image, File]),
            (&["--issuer=a"], &[Image, File]),
            (&["--issuer-regexp=a"], &[Image, File]),
        ] {
            let line = ["treelay", "verify", "oci:d"].iter().chain(options);
            let Command::Verify(args) = Cli::try_parse_from(line).unwrap().command else {
                panic!("{options:?}")
            };
            for kind in Kind::ALL {
                let result = check(&args, kind);
                assert_eq!(result.is_ok(), kinds.contains(&kind), "{options:?} {kind:?}");
            }
        }
    }
}
