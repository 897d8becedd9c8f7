//! What a kit says of itself to people.

use std::fmt::Write as _;

use super::{KitFile, KitOptions};
use crate::hosts::Rule;

/// `README.txt`.
pub(super) fn readme(files: &[KitFile], rules: &[Rule], options: &KitOptions) -> String {
    let mut text = String::from(
        "Trust for a host\n================\n\n\
         This folder has the files that a host needs to take what these keys sign, and to refuse\n\
         anything else under the same names.\n\nKeys (SHA-256 of SubjectPublicKeyInfo):\n\n",
    );
    // Writing to a String cannot fail.
    for key in &options.keys {
        let _ = writeln!(text, "  {} {}", key.kind().name(), key.fingerprint());
    }
    if options.keys.is_empty() {
        text.push_str("  those of the GPG keyring alone\n");
    }
    text.push_str("\nFiles, as they are put below / :\n\n");
    for file in files {
        let _ = writeln!(text, "  {}", file.path);
    }
    text.push_str(
        "\nTo install, as root, on the host or with --root DIR for one that is being built:\n\n  \
         sh install.sh --dry-run\n  sh install.sh\n\n\
         It changes nothing where something stands against it, keeps what it replaces, and\n\
         replaces a signature policy only where that accepts anything. A host that has rules of\n\
         its own is merged: treelay host-kit ... --merge /etc/containers/policy.json\n\
         Afterwards, treelay doctor says whether all is in order.\n",
    );
    if !rules.is_empty() {
        text.push_str("\nImages\n------\n\n");
        for rule in rules {
            let _ = match &rule.signed_prefix {
                None => writeln!(text, "  {}: signed under the name that is pulled", rule.scope),
                Some(signed) => {
                    writeln!(text, "  {}: a mirror; signed as {signed}", rule.scope)
                }
            };
        }
        let scope = &rules[0].scope;
        let _ = write!(
            text,
            "\nWhat was signed is the full name with its tag, so that podman, skopeo and rpm-ostree take\n\
             it by that tag, or by any digest of the repository:\n\n  \
             podman pull docker://{scope}...\n  \
             rpm-ostree rebase ostree-image-signed:docker://{scope}...\n  \
             bootc switch --enforce-container-sigpolicy {scope}...\n\n\
             The policy's default rejects, because ostree-image-signed: refuses any other.\n{}\n",
            match options.reject_others {
                true => "So images of other registries are refused.",
                false =>
                    "So that the host can pull what it could before, each transport accepts anything\n\
                     where nothing else is said: take \"\" out of transports.docker to refuse it.",
            }
        );
        if options.keys.len() > 1 {
            text.push_str(
                "\nSeveral keys need keyPaths: containers/image 5.33 (podman 5.3, skopeo 1.17) or newer.\n\
                 Older hosts refuse the whole policy; give those one key.\n",
            );
        }
    }
    if let Some(remote) = &options.remote {
        let _ = write!(
            text,
            "\nCommits\n-------\n\n  ostree pull {name} REF\n  rpm-ostree rebase {name}:REF\n\n\
             ed25519 keys need an ostree that was built with libsodium or OpenSSL, keys of other\n\
             kinds (spki) ostree 2025.2 or newer with OpenSSL; Debian's has neither: use GPG there.\n\
             Where both a GPG keyring and keys are given, commits need a signature by each.\n",
            name = remote.name
        );
    }
    text
}
