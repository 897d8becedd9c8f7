//! The script that installs a kit.

use treelay_recipes::Digest;

use super::{KitFile, slug};
use crate::hosts::Rule;

const TEMPLATE: &str = include_str!("install.sh.in");

/// The script for these files, in their order. `from` is the policy that the kit's was merged into:
/// on a host that still has it, it is replaced.
pub(super) fn install(files: &[KitFile], rules: &[Rule], from: Option<Digest>) -> String {
    let (mut look, mut put) = (String::new(), String::new());
    for KitFile { path, .. } in files {
        let scope =
            rules.iter().find(|rule| path.ends_with(&format!("/{}.yaml", slug(&rule.scope))));
        let line = match scope {
            Some(rule) => format!("look_scope {} {}\n", quoted(path), quoted(&rule.scope)),
            None if path.ends_with("/policy.json") => format!("look_policy {}\n", quoted(path)),
            None => format!("look_own {}\n", quoted(path)),
        };
        look.push_str(&line);
        put.push_str(&format!("put {}\n", quoted(path)));
    }
    let from = from.map_or("none".to_owned(), |digest| digest.hex());
    TEMPLATE
        .replace("@FROM@", &from)
        .replace("@LOOK@", look.trim_end())
        .replace("@PUT@", put.trim_end())
}

/// A word for the shell, whatever is in it.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}
