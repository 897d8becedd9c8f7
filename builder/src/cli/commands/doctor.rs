//! `treelay doctor`.

use serde_json::json;

use crate::cli::host_args::DoctorArgs;
use crate::cli::plain::{plain, plain_lines};
use crate::cli::{Failure, Result, Session, count};
use crate::dest::Dest;
use crate::hosts::Reference;
use crate::hosts::doctor::{Finding, Level, examine};
use crate::hosts::root::Root;

pub async fn run(session: &Session, args: DoctorArgs) -> Result<()> {
    let mut images = Vec::new();
    for dest in &args.dest {
        match dest {
            Dest::Docker { repository, image } => images.push(Reference::of(repository, image)),
            _ => {
                return Err(Failure::usage_message(format!(
                    "{dest} is no image that hosts pull: expected docker://HOST/REPO[:TAG]"
                )));
            }
        }
    }
    let root = session.around.current_dir.join(&args.root);
    if !root.is_dir() {
        return Err(Failure::usage_message(format!("{} is no directory", args.root.display())));
    }
    // Of another host, root's own settings count: it is root who pulls there.
    let this = root == std::path::Path::new("/");
    let home = match this {
        true => session.around.var("HOME").map(str::to_owned),
        false => Some("/root".to_owned()),
    };
    let files = Root::new(&root);
    let mut host = examine(&files, home.as_deref(), &images);
    if !args.offline {
        for (dest, image) in args.dest.iter().zip(&images) {
            super::as_host::examine(session, &args.registry, &files, &mut host, dest, image)
                .await?;
        }
    }
    let healthy = host.is_healthy();
    if args.json {
        session.print_json(&json!({ "healthy": healthy, "findings": host.findings }))?;
    } else {
        session.print(&text(&host.findings, healthy))?;
    }
    if healthy {
        return Ok(());
    }
    let wrong = host.findings.iter().filter(|finding| finding.level != Level::Note).count();
    Err(Failure::message(format!("{} to be mended: see above", count(wrong, "thing"))))
}

fn text(findings: &[Finding], healthy: bool) -> String {
    let mut text = String::new();
    for Finding { id, level, place, message, mend } in findings {
        let level = match level {
            Level::Refused => "refused",
            Level::Insecure => "insecure",
            Level::Note => "note",
        };
        text.push_str(&format!("{level}: {} [{id}]\n  {}\n", plain(place), plain(message)));
        if !mend.is_empty() {
            text.push_str(&format!("  mend: {}\n", plain_lines(mend)));
        }
    }
    if healthy {
        text.push_str("healthy: nothing is to be mended\n");
    }
    text
}
