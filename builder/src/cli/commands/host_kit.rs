//! `treelay host-kit`.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::json;
use treelay_recipes::Digest;

use crate::cli::failure::Doing as _;
use crate::cli::host_args::{HostKitArgs, Others};
use crate::cli::plain::plain;
use crate::cli::{Failure, Result, Session, passwords};
use crate::dest::Dest;
use crate::hosts::kit::{self, KitFile, KitOptions, OstreeRemote};
use crate::hosts::merge::{MergeOptions, Merged, merge};
use crate::hosts::text_diff;
use crate::ostree_repo::Keyring;

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
        write_kit(&here.join(folder), &kit.files)?;
    }
    if let Some(merging) = &merged {
        if write {
            merging.write()?;
        }
        // Keys that are not there yet would make hosts refuse what they are asked for.
        let keys = kit.rules.iter().flat_map(|rule| &rule.keys);
        let mut gone: Vec<&String> = keys.filter(|key| !Path::new(key).exists()).collect();
        gone.dedup();
        if write && !gone.is_empty() && merging.is_of_this_machine() {
            session.reporter.say(&format!(
                "warning: {} is not there yet: until a kit is installed, the images are refused",
                gone[0]
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
        let mode = self.file.metadata().doing(writing)?.permissions().mode();
        replace(&self.file, self.merged.text.as_bytes(), mode & 0o7777).doing(writing)
    }
}

/// Writes the files of a kit. Those of an older one are replaced, one by one; nothing else in the
/// folder is touched.
fn write_kit(folder: &Path, files: &[KitFile]) -> Result<()> {
    let writing = || format!("writing the kit {}", folder.display());
    let is_kit = folder.join("install.sh").is_file() && folder.join("README.txt").is_file();
    let is_empty = match std::fs::read_dir(folder) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => true,
        Err(error) => return Err(error).doing(writing),
    };
    if !is_empty && !is_kit {
        return Err(Failure::message(format!(
            "{} has files that are no kit: give a folder that is new or empty",
            folder.display()
        )));
    }
    std::fs::create_dir_all(folder).doing(writing)?;
    // What an older kit had for other keys or scopes would be installed by nobody, and read by all.
    let stale = folder.join("etc");
    if is_kit && stale.is_dir() {
        std::fs::remove_dir_all(stale).doing(writing)?;
    }
    // A kit's paths are made of names without .. and links: see `kit::make`.
    let dir = cap_std::fs::Dir::open_ambient_dir(folder, cap_std::ambient_authority());
    let dir = dir.doing(writing)?;
    for file in files {
        if let Some(above) = Path::new(&file.path).parent() {
            dir.create_dir_all(above).doing(writing)?;
        }
        let mut temporary = cap_tempfile::TempFile::new(&dir).doing(writing)?;
        temporary.write_all(&file.bytes).doing(writing)?;
        let mode = cap_std::fs::Permissions::from_std(PermissionsExt::from_mode(file.mode));
        temporary.as_file().set_permissions(mode).doing(writing)?;
        temporary.replace(&file.path).doing(writing)?;
    }
    Ok(())
}

/// Puts bytes in the place of a file: whole, or not at all.
fn replace(path: &Path, bytes: &[u8], mode: u32) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    let mut temporary = tempfile::NamedTempFile::new_in(folder)?;
    temporary.write_all(bytes)?;
    temporary.as_file().set_permissions(PermissionsExt::from_mode(mode))?;
    temporary.as_file().sync_all()?;
    temporary.persist(path).map_err(|error| error.error)?;
    std::fs::File::open(folder)?.sync_all()
}
