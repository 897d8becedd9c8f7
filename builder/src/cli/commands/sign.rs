//! `treelay sign`.

use std::collections::BTreeMap;

use serde_json::json;

use crate::cli::args::{Annotation, SignArgs};
use crate::cli::failure::Doing as _;
use crate::cli::places::images;
use crate::cli::plain::plain;
use crate::cli::{Failure, Result, Session, passwords};
use crate::dest::{Access, Dest};
use crate::ostree_repo::Repository;
use crate::sign::{self, AttachOptions};

pub async fn run(session: &Session, args: SignArgs) -> Result<()> {
    if args.keys.key.is_empty() && args.keys.gpg_key.is_empty() {
        return Err(Failure::usage_message("nothing to sign with").hinted("give --key KEY"));
    }
    let keys = passwords::secret_keys(session, &args.keys.key)?;
    let signing = || format!("signing {}", args.dest);
    let mut lines = Vec::new();
    // Told when it is said what was signed.
    let mut checked = Ok(());
    let mut annotations = BTreeMap::new();
    for Annotation { name, value } in args.annotation {
        if annotations.insert(name.clone(), value).is_some() {
            return Err(Failure::usage_message(format!("two annotations called {name:?}")));
        }
    }
    if let Dest::Ostree { repo, reference } = args.dest.under(&session.around.current_dir) {
        if !annotations.is_empty() {
            return Err(Failure::usage_message("--annotation is for images, not commits"));
        }
        let repository = Repository::open(&repo).doing(|| format!("opening {}", args.dest))?;
        for (name, commit) in repository.named(reference.as_deref()).doing(signing)? {
            let made = repository.sign_commit(&commit, &keys).doing(signing)?;
            for signature in &made {
                lines.push((name.clone(), commit.hex(), signature.scheme.to_owned()));
            }
            for id in &args.keys.gpg_key {
                if repository.gpg_sign(&commit, id, None).doing(signing)? {
                    lines.push((name.clone(), commit.hex(), "ostree.gpgsigs".to_owned()));
                }
            }
        }
    } else {
        if !args.keys.gpg_key.is_empty() {
            return Err(Failure::usage_message("--gpg-key signs commits, not images"));
        }
        let registries = session.around.registries(args.registry.plain_http);
        let place = images(session, &registries, &args.dest, Access::Read)?;
        let Some(name) = args.keys.sign_as.clone().or(place.reference.clone()) else {
            return Err(Failure::usage_message("a layout does not say what name it is pulled by")
                .hinted("give --sign-as REPO:TAG"));
        };
        let found = place.resolve(&args.dest).await?;
        let options = AttachOptions { reference: &name, annotations: &annotations };
        let signed =
            sign::attach_with(&*place.store, &found.digest, options, &keys).await.doing(signing)?;
        place.store.commit().await.doing(signing)?;
        checked = super::as_host::check_published(session, &args.dest, &place, &name, &keys).await;
        for subject in &signed.subjects {
            for key in subject.keys.iter().filter(|key| key.added) {
                lines.push((
                    subject.name.clone(),
                    subject.digest.to_string(),
                    key.scheme.to_owned(),
                ));
            }
        }
    }
    if args.json {
        let list: Vec<_> = lines
            .iter()
            .map(|(name, subject, scheme)| json!({ "name": name, "subject": subject, "scheme": scheme }))
            .collect();
        session.print_json(&json!({ "signatures": list }))?;
        return checked;
    }
    if lines.is_empty() {
        session.print("everything carries these signatures already\n")?;
        return checked;
    }
    let text: String = lines
        .iter()
        .map(|(name, subject, scheme)| {
            plain(&format!("{subject} {name} {scheme}")).into_owned() + "\n"
        })
        .collect();
    session.print(&text)?;
    checked
}
