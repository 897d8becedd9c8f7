//! Debian packages of other releases than the machine's, without touching the machine's apt.
//!
//! The mirror comes from the machine's own apt settings; source list, lists and caches are
//! private.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use treelay_ci::tools;

use crate::run::{capture, privileged, retry};

/// Whether the machine installs its software with apt.
pub fn available() -> bool {
    tools::find("apt-get").is_some() && tools::find("dpkg-query").is_some()
}

/// The release's codename, as in `bookworm`.
pub fn codename() -> Result<String> {
    let text = fs::read_to_string("/etc/os-release").context("reading /etc/os-release")?;
    let name = text.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    Ok(name.context("finding VERSION_CODENAME in /etc/os-release")?.trim_matches('"').to_owned())
}

/// Fetches the machine's package lists anew.
pub fn update() -> Result<()> {
    retry("apt-get update", || {
        capture(privileged("apt-get").args(["-q", "-o", "Acquire::Retries=3", "update"])).map(drop)
    })
}

/// The mirror that the machine takes its release from.
pub fn mirror() -> Result<String> {
    let codename = codename()?;
    let ask = || {
        capture(Command::new("apt-get").args([
            "indextargets",
            "--no-release-info",
            "--format",
            "$(RELEASE) $(REPO_URI)",
            "Created-By: Packages",
        ]))
    };
    let rows = ask()?;
    match pick_mirror(&rows, &codename) {
        Some(mirror) => Ok(mirror),
        None => bail!(
            "apt knows no mirror of the release {codename:?}: set-up takes newer consumers from \
             the machine's own Debian mirror, so `apt-get indextargets` must list one"
        ),
    }
}

fn pick_mirror(rows: &str, codename: &str) -> Option<String> {
    let mut rows = rows.lines().filter_map(|row| row.split_once(' '));
    rows.find(|(release, _)| *release == codename).map(|(_, uri)| uri.trim().to_owned())
}

/// A private apt that knows one release and nothing else.
pub struct Private {
    folder: PathBuf,
}

impl Private {
    /// Binary packages of `suite`.
    pub fn binaries(suite: &str) -> Result<Self> {
        Self::new(suite, "deb")
    }

    /// Source packages of `suite`.
    pub fn sources(suite: &str) -> Result<Self> {
        Self::new(suite, "deb-src")
    }

    fn new(suite: &str, types: &str) -> Result<Self> {
        let folder = tools::dir().join("apt").join(format!("{suite}-{types}"));
        for part in ["sources", "lists/partial", "cache/archives/partial"] {
            let part = folder.join(part);
            fs::create_dir_all(&part).with_context(|| format!("creating {}", part.display()))?;
        }
        let list = folder.join("sources/debian.sources");
        let text = format!(
            "Types: {types}\nURIs: {}\nSuites: {suite}\nComponents: main\nTargets: {}\nSigned-By: {}\n",
            mirror()?,
            if types == "deb" { "Packages" } else { "Sources" },
            tools::DEBIAN_KEYRING
        );
        fs::write(&list, text).with_context(|| format!("writing {}", list.display()))?;
        Ok(Self { folder })
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("LC_ALL", "C.UTF-8").arg("-q");
        let mut option = |name: &str, value: &str| {
            command.arg("-o").arg(format!("{name}={value}"));
        };
        let folder = |part: &str| self.folder.join(part).display().to_string();
        option("Dir::Etc::SourceList", "/dev/null");
        option("Dir::Etc::SourceParts", &folder("sources"));
        option("Dir::State::Lists", &folder("lists"));
        option("Dir::State::Status", "/dev/null");
        option("Dir::Cache", &folder("cache"));
        // A release's file may be past its date on a mirror that is a snapshot; its signature is
        // still checked.
        option("Acquire::Check-Valid-Until", "false");
        option("Acquire::Languages", "none");
        option("Acquire::Retries", "3");
        // apt's own user may not be able to reach the checkout.
        option("APT::Sandbox::User", "root");
        command
    }

    /// Fetches the release's lists.
    pub fn update(&self) -> Result<()> {
        retry("apt-get update", || {
            // Without this an unreachable mirror is a warning only.
            let strict = ["-o", "APT::Update::Error-Mode=any"];
            capture(self.command("apt-get").args(strict).arg("update")).map(drop)
        })
    }

    /// Fetches one binary package and unpacks it into `dest`.
    pub fn unpack(&self, package: &str, dest: &Path) -> Result<()> {
        unpack(package, dest, || self.command("apt-get"))
    }

    /// Fetches and unpacks one source package as upstream released it, so with its `configure`
    /// script up to date; returns the folder with the sources.
    pub fn source(&self, package: &str, work: &Path) -> Result<PathBuf> {
        capture(
            self.command("apt-get").args(["--download-only", "source", package]).current_dir(work),
        )?;
        let files = fs::read_dir(work).with_context(|| format!("reading {}", work.display()))?;
        let description = files
            .filter_map(|file| Some(file.ok()?.path()))
            .find(|file| file.extension().is_some_and(|ext| ext == "dsc"))
            .with_context(|| format!("finding the .dsc of {package}"))?;
        let tree = work.join("tree");
        capture(
            Command::new("dpkg-source").args(["--skip-patches", "-x"]).arg(&description).arg(&tree),
        )?;
        Ok(tree)
    }
}

/// Fetches one package of the machine's own release and unpacks it into `dest`.
pub fn unpack_own(package: &str, dest: &Path) -> Result<()> {
    unpack(package, dest, || Command::new("apt-get"))
}

fn unpack(package: &str, dest: &Path, apt: impl Fn() -> Command) -> Result<()> {
    let work = dest.with_extension("download");
    super::remove(&work)?;
    fs::create_dir_all(&work).with_context(|| format!("creating {}", work.display()))?;
    retry(package, || {
        capture(
            apt().args(["-o", "APT::Sandbox::User=root", "download", package]).current_dir(&work),
        )
        .map(drop)
    })?;
    let mut files = fs::read_dir(&work).with_context(|| format!("reading {}", work.display()))?;
    let file = files
        .find_map(|file| Some(file.ok()?.path()))
        .with_context(|| format!("finding the package {package} that apt-get downloaded"))?;
    capture(Command::new("dpkg-deb").arg("-x").arg(&file).arg(dest))?;
    super::remove(&work)
}

#[cfg(test)]
mod tests {
    use super::pick_mirror;

    #[test]
    fn the_mirror_is_the_one_of_the_own_release() {
        let rows = "bookworm-security http://a.example/debian-security/\n\
                    bookworm-updates http://b.example/debian/\n\
                    bookworm http://c.example/debian/\n\
                    bookworm http://d.example/debian/\n";
        assert_eq!(pick_mirror(rows, "bookworm").as_deref(), Some("http://c.example/debian/"));
        assert_eq!(pick_mirror(rows, "noble"), None);
    }
}
