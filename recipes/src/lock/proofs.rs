//! Whether the evidence of a lock is what the recipe asks for: all of it, nothing else, and by whom it
//! says. Whether it is true cannot be seen in a lock; what can is that somebody wrote it by hand.

use super::fits::Misfit;
use super::meaning::fingerprint;
use super::{Evidence, LockedInput};
use crate::recipe::{ArchiveInput, Input, Over, Source, Text, Verify, VerifyArchive};

/// What evidence calls a digest that the recipe itself has.
const RECIPE: &str = "recipe";
/// The name of the database that has no key in recipes.
const SUM_GOLANG_ORG: [&str; 2] = ["sum.golang.org", "sum.golang.google.cn"];

/// Whether there is evidence of everything that is asked of an input.
pub(super) fn missing(wanted: &Input, locked: &LockedInput) -> Result<(), Misfit> {
    let there = |method: &Verify| locked.evidence.iter().any(|one| one.method() == *method);
    match asked(wanted, locked).iter().find(|method| !there(method)) {
        Some(method) => {
            let (input, arch) = (locked.name.clone(), locked.arch);
            Err(Misfit::Evidence { input, arch, method: method.name() })
        }
        None => Ok(()),
    }
}

/// Whether the evidence is of what is asked, by whom the recipe says.
pub(super) fn edited(wanted: &Input, locked: &LockedInput) -> Result<(), Misfit> {
    let asked = asked(wanted, locked);
    if let Some(one) = locked.evidence.iter().find(|one| !asked.contains(&one.method())) {
        let (input, arch, method) = (locked.name.clone(), locked.arch, one.method().name());
        return Err(Misfit::UnaskedEvidence { input, arch, method });
    }
    for one in &locked.evidence {
        match (one, wanted) {
            (Evidence::Sumdb { database, record, sum, .. }, Input::GoToolchain(go)) => {
                of_database(go.sumdb.as_ref(), database, one, locked)?;
                if record.is_none() || sum.is_none() {
                    return Err(differs(locked, one, "no record", "one of the release"));
                }
            }
            (Evidence::Sumdb { database, modules, .. }, Input::GoModules(input)) => {
                of_database(input.sumdb.as_ref(), database, one, locked)?;
                if modules.is_none() {
                    return Err(differs(locked, one, "no modules", "how many there are"));
                }
            }
            _ => of_file(archive_of(wanted, locked), one, locked)?,
        }
    }
    Ok(())
}

/// What is asked of an input, where it is from.
fn asked(wanted: &Input, locked: &LockedInput) -> Vec<Verify> {
    let mut asked = match wanted {
        Input::GoToolchain(go) => {
            go.verify.iter().copied().filter(|method| method.is_shown(locked.source)).collect()
        }
        Input::GoModules(modules) => modules.verify.iter().map(|_| Verify::Sumdb).collect(),
        Input::Archive(_) | Input::Pypi(_) | Input::Git(_) => Vec::new(),
    };
    asked.extend(archive_of(wanted, locked).iter().flat_map(|archive| own(archive)));
    asked
}

/// The archive that an input is.
fn archive_of<'r>(wanted: &'r Input, locked: &LockedInput) -> Option<&'r ArchiveInput> {
    match wanted {
        Input::Archive(archive) => Some(archive),
        Input::GoToolchain(go) if locked.source == Source::Archive => {
            go.archive.as_ref()?.get(&locked.arch)
        }
        _ => None,
    }
}

/// What an archive's own `verify` asks for.
fn own(wanted: &ArchiveInput) -> Vec<Verify> {
    let Some(VerifyArchive { checksum, openpgp }) = &wanted.verify else { return Vec::new() };
    let asked = [(Verify::Checksum, checksum.is_some()), (Verify::Openpgp, openpgp.is_some())];
    asked.into_iter().filter_map(|(method, asked)| asked.then_some(method)).collect()
}

/// Evidence about a file.
fn of_file(
    archive: Option<&ArchiveInput>,
    one: &Evidence,
    locked: &LockedInput,
) -> Result<(), Misfit> {
    let verify = archive.and_then(|archive| archive.verify.as_ref());
    match one {
        Evidence::Checksum { from } => {
            let list = verify.and_then(|verify| verify.checksum.as_ref());
            let pinned = archive.is_some_and(|archive| archive.sha256.is_some());
            let says = match (list, locked.source) {
                (Some(list), _) => list.value.as_str(),
                (None, Source::GoDev | Source::Mirror) => locked.source.name(),
                (None, Source::Archive) if pinned => RECIPE,
                // A file beside it, or the package index.
                _ => return Ok(()),
            };
            if from != says {
                return Err(differs(locked, one, from, says));
            }
        }
        Evidence::Openpgp { key, list, .. } => {
            let Some(openpgp) = verify.and_then(|verify| verify.openpgp.as_ref()) else {
                return Ok(());
            };
            let pins = openpgp.fingerprints.iter().map(|pin| fingerprint(pin));
            let pins: Vec<String> = pins.collect();
            if !pins.contains(key) {
                return Err(differs(locked, one, key, &pins.join(" or ")));
            }
            match (openpgp.over, list) {
                (Over::Archive, Some(list)) => {
                    return Err(differs(locked, one, list, "the archive itself"));
                }
                (Over::Checksum, None) => {
                    return Err(differs(locked, one, "the archive itself", "a list of checksums"));
                }
                _ => {}
            }
        }
        _ => {}
    }
    Ok(())
}

/// Whether it is the recipe's database that has it, where the recipe names one.
fn of_database(
    recipe: Option<&Text>,
    database: &str,
    one: &Evidence,
    locked: &LockedInput,
) -> Result<(), Misfit> {
    let key = recipe.and_then(|setting| setting.value.split_whitespace().next());
    let Some(key) = key else { return Ok(()) };
    let same = match SUM_GOLANG_ORG.contains(&key) {
        true => database.starts_with("sum.golang.org+"),
        // NAME+HASH+KEY, of which the evidence has name and hash.
        false => {
            let mut parts = key.splitn(3, '+');
            let (name, hash) = (parts.next().unwrap_or(key), parts.next().unwrap_or_default());
            database == format!("{name}+{}", hash.to_ascii_lowercase())
        }
    };
    match same {
        true => Ok(()),
        false => Err(differs(locked, one, database, key)),
    }
}

fn differs(locked: &LockedInput, evidence: &Evidence, lock: &str, recipe: &str) -> Misfit {
    Misfit::OtherEvidence {
        input: locked.name.clone(),
        arch: locked.arch,
        method: evidence.method().name(),
        lock: lock.to_owned(),
        recipe: recipe.to_owned(),
    }
}
