//! Computes every object again that a commit reaches, and names those that differ.

use std::collections::{HashMap, HashSet};
use std::io::{self, BufReader};
use std::sync::atomic::{AtomicUsize, Ordering};

use cap_std::fs::Dir;
use ostree::glib::Variant;
use ostree::{ObjectType, Repo, RepoMode};
use treelay_recipes::Digest;

use super::error::Result;
use super::trees::LONGEST_PATH;
use super::verify::{CommitReport, Damage, damage};
use super::{NONE, Repository, filez, objects};

/// Walks the tree of `commit`, whose own bytes were checked, and reports what is damaged.
pub(super) fn check(
    repository: &Repository,
    commit: &Variant,
    threads: usize,
    report: &mut CommitReport,
) -> Result<()> {
    let mut walk = Walk { repository, dirs: HashSet::new(), files: HashMap::new(), damage: vec![] };
    // The structure of the commit was checked: both are 32 bytes.
    if let (Some(tree), Some(meta)) = (
        objects::digest_of_bytes(&commit.child_value(6)),
        objects::digest_of_bytes(&commit.child_value(7)),
    ) {
        walk.all(tree, meta);
    }
    let mut files: Vec<(Digest, String)> = walk.files.into_iter().collect();
    files.sort_by(|a, b| a.1.cmp(&b.1));
    report.objects += (walk.dirs.len() + files.len()) as u64;
    report.damage.append(&mut walk.damage);
    report.damage.append(&mut check_files(repository, &files, threads));
    Ok(())
}

struct Walk<'r> {
    repository: &'r Repository,
    /// Dirtrees and dirmetas that were looked at.
    dirs: HashSet<(bool, Digest)>,
    /// Content objects, each with the first path it serves.
    files: HashMap<Digest, String>,
    damage: Vec<Damage>,
}

impl Walk<'_> {
    fn all(&mut self, tree: Digest, meta: Digest) {
        let mut todo = vec![(String::new(), tree, meta)];
        while let Some((path, tree, meta)) = todo.pop() {
            self.metadata(ObjectType::DirMeta, &meta, &path);
            if let Some(dirtree) = self.metadata(ObjectType::DirTree, &tree, &path) {
                self.children(&path, &tree, &dirtree, &mut todo);
            }
        }
    }

    /// Reads and checks a dirtree or dirmeta; `None` if that was done before or it is damaged.
    fn metadata(&mut self, kind: ObjectType, checksum: &Digest, path: &str) -> Option<Variant> {
        if !self.dirs.insert((kind == ObjectType::DirTree, *checksum)) {
            return None;
        }
        match metadata(self.repository, kind, checksum) {
            Ok(object) => Some(object),
            Err(reason) => {
                let kind = ostree::object_type_to_string(kind);
                self.damage.push(damage(checksum, &kind, path, &reason));
                None
            }
        }
    }

    fn children(
        &mut self,
        path: &str,
        checksum: &Digest,
        tree: &Variant,
        todo: &mut Vec<(String, Digest, Digest)>,
    ) {
        // Deeper than any host can check it out; the paths of all that is below would fill the memory.
        if path.len() > LONGEST_PATH {
            let reason = format!("it is at a path of more than {LONGEST_PATH} bytes");
            let begins: String = path.chars().take(100).chain(['…']).collect();
            self.damage.push(damage(checksum, "dirtree", &begins, &reason));
            return;
        }
        let below = |name: String| match path {
            "" => name,
            path => format!("{path}/{name}"),
        };
        for file in tree.child_value(0).iter() {
            let object = objects::digest_of_bytes(&file.child_value(1));
            if let (Some(name), Some(object)) = (file.child_value(0).get::<String>(), object) {
                self.files.entry(object).or_insert_with(|| below(name));
            }
        }
        for dir in tree.child_value(1).iter() {
            let digest = |at| objects::digest_of_bytes(&dir.child_value(at));
            if let (Some(name), Some(tree), Some(meta)) =
                (dir.child_value(0).get::<String>(), digest(1), digest(2))
            {
                todo.push((below(name), tree, meta));
            }
        }
    }
}

/// Reads and checks a commit, dirtree or dirmeta; or what is wrong with it.
pub(super) fn metadata(
    repository: &Repository,
    kind: ObjectType,
    checksum: &Digest,
) -> std::result::Result<Variant, String> {
    let object = repository.load(kind, checksum).map_err(|error| missing(&error))?;
    let found = objects::checksum(&object);
    if found != *checksum {
        return Err(format!("its bytes have the checksum {}", found.hex()));
    }
    let structure = match kind {
        ObjectType::Commit => ostree::validate_structureof_commit(&object),
        ObjectType::DirTree => ostree::validate_structureof_dirtree(&object),
        _ => ostree::validate_structureof_dirmeta(&object),
    };
    structure.map_err(|error| error.message().to_owned())?;
    Ok(object)
}

fn missing(error: &super::OstreeError) -> String {
    match error {
        super::OstreeError::Library { source, .. } if objects::is_not_found(source) => {
            "it is missing".to_owned()
        }
        super::OstreeError::Library { source, .. } => source.message().to_owned(),
        other => other.to_string(),
    }
}

/// Computes content objects again, each with a path that it serves; those that differ.
pub(super) fn check_files(
    repository: &Repository,
    files: &[(Digest, String)],
    threads: usize,
) -> Vec<Damage> {
    let next = AtomicUsize::new(0);
    let archive = repository.repo.mode() == RepoMode::Archive;
    let dir = &repository.dir;
    let work = |repo: Repo| -> Vec<(usize, Damage)> {
        let mut found = Vec::new();
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some((checksum, path)) = files.get(at) else { return found };
            let strict = if archive { check_archived(dir, checksum) } else { None };
            let outcome = strict.unwrap_or_else(|| by_libostree(&repo, checksum));
            if let Err(reason) = outcome {
                found.push((at, damage(checksum, "file", path, &reason)));
            }
        }
    };
    let mut found: Vec<(usize, Damage)> = std::thread::scope(|scope| {
        let work = &work;
        let running: Vec<_> = (0..threads.clamp(1, files.len().max(1)))
            .map(|_| {
                let repo = repository.repo.clone();
                scope.spawn(move || work(repo))
            })
            .collect();
        let joined = running.into_iter().map(|thread| match thread.join() {
            Ok(found) => found,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        joined.flatten().collect()
    });
    found.sort_by_key(|(at, _)| *at);
    found.into_iter().map(|(_, damage)| damage).collect()
}

type Checked = std::result::Result<(), String>;

/// `None` where the object is not in this repository itself; it may be in its parent.
fn check_archived(repository: &Dir, checksum: &Digest) -> Option<Checked> {
    let hex = checksum.hex();
    let object = match repository.open(format!("objects/{}/{}.filez", &hex[..2], &hex[2..])) {
        Ok(object) => object,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => return Some(Err(error.to_string())),
    };
    Some(match filez::check(BufReader::with_capacity(64 << 10, object)) {
        Ok((found, _)) if found == *checksum => Ok(()),
        Ok((found, _)) => Err(format!("its content has the checksum {}", found.hex())),
        Err(error) => Err(error.to_string()),
    })
}

fn by_libostree(repo: &Repo, checksum: &Digest) -> Checked {
    match repo.has_object(ObjectType::File, &checksum.hex(), NONE) {
        Ok(true) => {}
        Ok(false) => return Err("it is missing".to_owned()),
        Err(error) => return Err(error.message().to_owned()),
    }
    repo.fsck_object(ObjectType::File, &checksum.hex(), NONE)
        .map_err(|error| error.message().to_owned())
}
