//! A root of Debian 13, for the consumers that Debian 12 does not have: podman 5, skopeo with
//! sigstore policies, ostree 2025.2, libselinux 3.8.1.

use std::path::Path;
use std::process::Command;

use anyhow::Result;
use treelay_ci::tools;

use super::apt;
use crate::run::{capture, privileged, retry};

const SUITE: &str = "trixie";

const PACKAGES: &[&str] = &[
    "busybox-static",
    "ca-certificates",
    "cosign",
    "gnupg",
    "iptables",
    "netavark",
    "nftables",
    "ostree",
    "podman",
    "runc",
    "selinux-utils",
    "skopeo",
    "uidmap",
];

/// How it is had: a change makes set-up do it again.
pub fn recipe() -> String {
    format!("{SUITE}, minbase, with {}\n", PACKAGES.join(" "))
}

/// Makes the root in `dest`.
pub fn make(dest: &Path) -> Result<()> {
    let mirror = apt::mirror()?;
    let network = network_settings()?;
    retry("mmdebstrap", || {
        super::remove(dest)?;
        let mut command = mmdebstrap("directory", PACKAGES, &network);
        capture(command.arg(SUITE).arg(dest).arg(&mirror)).map(drop)
    })
}

/// mmdebstrap for a small root in that format; what is left to say is suite, destination, mirror.
pub(super) fn mmdebstrap(format: &str, packages: &[&str], network: &[String]) -> Command {
    let mut command = privileged("mmdebstrap");
    command.args(["--quiet", "--mode=root", "--variant=minbase"]);
    command.arg(format!("--format={format}"));
    command.arg(format!("--include={}", packages.join(",")));
    command.arg(format!("--keyring={}", tools::DEBIAN_KEYRING));
    // Half of the root's size, and nobody reads it there.
    for path in ["man", "doc", "locale", "info"] {
        command.arg(format!("--dpkgopt=path-exclude=/usr/share/{path}/*"));
    }
    for setting in network {
        command.arg(format!("--aptopt={setting}"));
    }
    command
}

/// How the machine's apt reaches its mirrors (proxies, time-outs, dates), for the apt inside.
pub(super) fn network_settings() -> Result<Vec<String>> {
    let dump =
        capture(Command::new("apt-config").args(["dump", "--format", "%F \"%v\";%n", "Acquire"]))?;
    let mut settings: Vec<String> = pick_settings(&dump).map(str::to_owned).collect();
    settings.push("Acquire::Check-Valid-Until \"false\";".to_owned());
    settings.push("Acquire::Retries \"3\";".to_owned());
    Ok(settings)
}

fn pick_settings(dump: &str) -> impl Iterator<Item = &str> {
    let wanted = ["Acquire::http", "Acquire::https", "Acquire::Check-", "Acquire::ForceIPv"];
    dump.lines().filter(move |line| {
        !line.ends_with(" \"\";") && wanted.iter().any(|prefix| line.starts_with(prefix))
    })
}

#[cfg(test)]
mod tests {
    use super::pick_settings;

    #[test]
    fn only_settings_of_the_network_are_passed_on() {
        let dump = "Acquire \"\";\nAcquire::http \"\";\nAcquire::http::Proxy \"http://p:1\";\n\
                    Acquire::Languages \"none\";\nAcquire::Check-Date \"false\";\n";
        let picked: Vec<_> = pick_settings(dump).collect();
        assert_eq!(
            picked,
            ["Acquire::http::Proxy \"http://p:1\";", "Acquire::Check-Date \"false\";"]
        );
    }
}
