//! `treelay host-kit`.

use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use serde_json::json;
use treelay_recipes::Digest;

use crate::cli::failure::Doing as _;
use crate::cli::host_args::{HostKitArgs, Others};
use crate::cli::plain::plain;
use crate::cli::{Failure, Result, Session, passwords};
use crate::dest::Dest;
use crate::hosts::kit::{self, KitOptions, OstreeRemote};
use crate::hosts::merge::{MergeOptions, Merged, merge};
use crate::hosts::text_diff;
use crate::ostree_repo::Keyring;

mod write;

pub fn run(session: &Session, args: &HostKitArgs) -> Result<()> {
    let mut options = options(session, args)?;
    let here = &session.around.current_dir;
    let merged = args.merge.as_ref().map(|file| Merging::read(&here.join(file), args, &options));
    let merged = merged.transpose()?;
    if let Some(Merging { old, merged, .. }) = &merged {
        options.merged = Some((merged.text.clone(), Digest::of(old)));
    }
    let kit = kit::make(&options).map_err(Failure::usage)?;
    let write = !args.dry_run;
    if let Some(folder) = args.output.as_ref().filter(|_| write) {
        let writing = || format!("writing the kit {}", folder.display());
        write::kit(&here.join(folder), &kit.files).doing(writing)?;
    }
    if let Some(merging) = &merged {
        if write {
            merging.write()?;
        }
        // Keys that are not there yet would make hosts refuse what they are asked for.
        let mut keys = kit.rules.iter().flat_map(|rule| &rule.keys);
        let gone = keys.find(|key| !Path::new(key).exists());
        if let Some(gone) = gone.filter(|_| write && merging.is_of_this_machine()) {
            session.reporter.say(&format!(
                "warning: {gone} is not there yet: until a kit is installed, the images are refused"
            ));
        }
    }
    tell(session, args, &kit, merged.as_ref())
}

fn tell(
    session: &Session,
    args: &HostKitArgs,
    kit: &kit::Kit,
    merging: Option<&Merging>,
) -> Result<()> {
    let paths = || kit.files.iter().map(|file| file.path.as_str());
    if args.json {
        return session.print_json(&json!({
            "files": args.output.as_ref().map(|_| paths().collect::<Vec<_>>()),
            "scopes": kit.rules.iter().map(|rule| &rule.scope).collect::<Vec<_>>(),
            "merged": merging.map(|merging| json!({
                "changes": merging.merged.changes,
                "warnings": merging.merged.warnings,
                "diff": merging.diff(),
            })),
        }));
    }
    let mut text = String::new();
    if let Some(merging) = merging {
        for line in merging.diff().split_inclusive('\n') {
            text.push_str(&plain(line.trim_end_matches('\n')));
            text.push('\n');
        }
        for change in &merging.merged.changes {
            text.push_str(&format!("{}\n", plain(change)));
        }
        for warning in &merging.merged.warnings {
            text.push_str(&format!("warning: {}\n", plain(warning)));
        }
        if merging.merged.changes.is_empty() {
            text.push_str(&format!("{} has all of it already\n", merging.file.display()));
        }
    }
    if let Some(folder) = args.output.as_ref().filter(|_| !args.dry_run) {
        for path in paths() {
            text.push_str(&format!("{}\n", folder.join(path).display()));
        }
    }
    session.print(&text)
}

fn options(session: &Session, args: &HostKitArgs) -> Result<KitOptions> {
    let mut options = KitOptions {
        mirrors: args.mirror.clone(),
        keys: passwords::public_keys(session, &args.key)?,
        reject_others: args.others == Others::Reject,
        ..KitOptions::default()
    };
    for dest in &args.dest {
        match dest {
            Dest::Docker { repository, .. } if options.scopes.is_empty() => {
                options.scopes = match args.scope.as_slice() {
                    [] => vec![repository.to_string()],
                    scopes => scopes.to_vec(),
                };
                if !covers(&options.scopes, &repository.to_string()) {
                    let message = format!("no --scope covers {dest}");
                    return Err(Failure::usage_message(message));
                }
            }
            Dest::Ostree { .. } if options.remote.is_none() => {
                options.remote = Some(remote(session, args)?);
            }
            _ => {
                return Err(Failure::usage_message(format!(
                    "hosts pull no {dest}: expected docker://HOST/REPO, ostree:REPO, or one of each"
                )));
            }
        }
    }
    let images = !options.scopes.is_empty();
    for (option, given) in [
        ("--scope", !args.scope.is_empty()),
        ("--mirror", !args.mirror.is_empty()),
        ("--merge", args.merge.is_some()),
    ] {
        if given && !images {
            return Err(Failure::usage_message(format!("{option} is for docker://HOST/REPO")));
        }
    }
    for (option, given) in [
        ("--remote", args.remote.is_some()),
        ("--ostree-url", args.ostree_url.is_some()),
        ("--gpg-keyring", args.gpg_keyring.is_some()),
        ("--collection-id", args.collection_id.is_some()),
    ] {
        if given && options.remote.is_none() {
            return Err(Failure::usage_message(format!("{option} is for ostree:REPO")));
        }
    }
    if options.keys.is_empty() && (images || args.gpg_keyring.is_none()) {
        return Err(Failure::usage_message("nothing to trust").hinted("give --key PUB"));
    }
    Ok(options)
}

fn covers(scopes: &[String], repository: &str) -> bool {
    scopes.iter().any(|scope| {
        repository
            .strip_prefix(scope.as_str())
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    })
}

fn remote(session: &Session, args: &HostKitArgs) -> Result<OstreeRemote> {
    let Some(url) = args.ostree_url.clone() else {
        return Err(Failure::usage_message("nothing says where hosts find the repository")
            .hinted("give --ostree-url URL"));
    };
    let keyring = args.gpg_keyring.as_ref().map(|file| {
        let path = session.around.current_dir.join(file);
        Keyring::read(&path).map(|keyring| keyring.packets().to_vec())
    });
    Ok(OstreeRemote {
        name: args.remote.clone().unwrap_or_else(|| "treelay".to_owned()),
        url,
        gpg_keyring: keyring.transpose()?,
        collection: args.collection_id.clone(),
    })
}

/// A policy that is changed in place.
struct Merging {
    file: PathBuf,
    old: String,
    merged: Merged,
}

impl Merging {
    fn read(file: &Path, args: &HostKitArgs, options: &KitOptions) -> Result<Self> {
        let merging = || format!("merging into {}", file.display());
        // Behind a link, the file itself is replaced, not the link.
        let file = file.canonicalize().doing(merging)?;
        let old = std::fs::read_to_string(&file).doing(merging)?;
        let rules = kit::rules(options).map_err(Failure::usage)?;
        let how = MergeOptions { replace: args.replace, secure_default: args.secure_default };
        let merged = merge(&old, &rules, how).doing(merging)?;
        Ok(Self { file, old, merged })
    }

    fn diff(&self) -> String {
        text_diff::unified(&self.file.display().to_string(), &self.old, &self.merged.text)
    }

    fn is_of_this_machine(&self) -> bool {
        self.file.starts_with("/etc/containers")
    }

    fn write(&self) -> Result<()> {
        if self.old == self.merged.text {
            return Ok(());
        }
        let writing = || format!("writing {}", self.file.display());
        let now = std::fs::read_to_string(&self.file).doing(writing)?;
        if now != self.old {
            return Err(Failure::message(format!(
                "{} was changed meanwhile: nothing was written",
                self.file.display()
            )));
        }
        replace(&self.file, self.merged.text.as_bytes()).doing(writing)
    }
}

/// Puts bytes in the place of a file: whole, or not at all. Owner, group and mode stay.
fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let old = path.metadata()?;
    let folder = path.parent().unwrap_or(Path::new("/"));
    let mut temporary = tempfile::NamedTempFile::new_in(folder)?;
    temporary.write_all(bytes)?;
    let new = temporary.as_file().metadata()?;
    if (new.uid(), new.gid()) != (old.uid(), old.gid()) {
        fchown(temporary.as_file(), Some(old.uid()), Some(old.gid()))?;
    }
    // After the owner: a change of that takes bits away.
    let mode = old.permissions().mode() & 0o7777;
    temporary.as_file().set_permissions(PermissionsExt::from_mode(mode))?;
    temporary.as_file().sync_all()?;
    temporary.persist(path).map_err(|error| error.error)?;
    std::fs::File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replaced_file_keeps_owner_and_mode() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("policy.json");
        std::fs::write(&file, "old").unwrap();
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o640)).unwrap();
        // Who is not root can give nothing away, and keeps what is its own.
        let root = rustix::process::geteuid().is_root();
        if root {
            std::os::unix::fs::chown(&file, Some(12), Some(34)).unwrap();
        }
        let before = file.metadata().unwrap();
        replace(&file, b"new").unwrap();
        let after = file.metadata().unwrap();
        assert_eq!(std::fs::read(&file).unwrap(), b"new");
        assert_eq!((after.uid(), after.gid()), (before.uid(), before.gid()));
        assert_eq!(after.permissions().mode(), before.permissions().mode());
        assert_ne!(after.ino(), before.ino());
    }
}
