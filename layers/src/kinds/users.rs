//! `users`: accounts and groups as passwd(5) and group(5) have them, and homes.
//!
//! There is no shadow file, so the password field is `*`, which no password matches; `x` would send
//! readers to the file that is not there.

mod merge;

use serde_json::{Value, json};
use treelay_recipes::recipe::{Account, UsersLayer};
use treelay_recipes::{Arch, Digest};

use super::{Given, Kind, KindError, Need, absolute, put};
use crate::tree::Owner;
use crate::{ContentSink, Entry, Tree};

pub use merge::{AccountFiles, Clash};

const ROOT: &str = "root";
const NO_SHELL: &str = "/sbin/nologin";

impl Kind for UsersLayer {
    fn name(&self) -> &'static str {
        "users"
    }

    fn needs(&self, _arch: Arch) -> Result<Vec<Need>, KindError> {
        for account in &self.accounts {
            account.home.as_ref().map(absolute).transpose()?;
        }
        Ok(Vec::new())
    }

    fn options(&self, _arch: Arch) -> Result<Value, KindError> {
        let homes: Vec<Value> = self
            .accounts
            .iter()
            .filter_map(|account| Some((account, account.home.as_ref()?)))
            .map(|(account, home)| json!([&**home, account.uid, group_of(account)]))
            .collect();
        Ok(json!({
            "kind": self.name(),
            "rules": 1,
            "passwd": Digest::of(passwd(self)).to_string(),
            "group": Digest::of(group(self)).to_string(),
            "homes": homes,
        }))
    }

    fn tree(
        &self,
        _arch: Arch,
        _given: &Given<'_>,
        sink: &mut dyn ContentSink,
    ) -> Result<Tree, KindError> {
        let mut entries = vec![
            put(sink, "etc/passwd", passwd(self).as_bytes())?,
            put(sink, "etc/group", group(self).as_bytes())?,
        ];
        for account in &self.accounts {
            let Some(home) = account.home.as_ref().map(absolute).transpose()?.flatten() else {
                continue;
            };
            // Accounts may share a home; the first one owns it.
            if entries.iter().any(|entry| entry.path == home) {
                continue;
            }
            let owner = Owner { uid: account.uid, gid: group_of(account) };
            entries.push(Entry { owner, ..Entry::dir(home, 0o700) });
        }
        Ok(Tree::from_entries(entries)?)
    }
}

fn group_of(account: &Account) -> u32 {
    account.gid.unwrap_or(account.uid)
}

/// Root with nothing said of it.
fn root() -> Account {
    let name = treelay_recipes::recipe::Text::new(ROOT);
    Account { name, uid: 0, gid: None, comment: None, home: None, shell: None }
}

/// `/etc/passwd`.
fn passwd(users: &UsersLayer) -> String {
    let mut text = String::new();
    if !users.accounts.iter().any(|account| account.name.value == ROOT) {
        text += "root:*:0:0:root:/root:/sbin/nologin\n";
    }
    for account in &users.accounts {
        text += &passwd_line(account, "*");
        text.push('\n');
    }
    text
}

/// The line of an account, without its end (passwd(5)).
fn passwd_line(account: &Account, password: &str) -> String {
    let or = |text: &Option<_>, default: &str| {
        text.as_ref().map_or(default.to_owned(), ToString::to_string)
    };
    format!(
        "{}:{password}:{}:{}:{}:{}:{}",
        account.name,
        account.uid,
        group_of(account),
        or(&account.comment, ""),
        or(&account.home, "/"),
        or(&account.shell, NO_SHELL),
    )
}

/// `/etc/group`: those of the recipe, with the own group of each account that none of them is.
fn group(users: &UsersLayer) -> String {
    let mut lines: Vec<(u32, String)> = Vec::new();
    for group in &users.groups {
        let members: Vec<&str> = group.members.iter().map(|member| &**member).collect();
        lines.push((group.gid, format!("{}:*:{}:{}", group.name, group.gid, members.join(","))));
    }
    let root = root();
    for account in users.accounts.iter().chain([&root]) {
        let gid = group_of(account);
        if !lines.iter().any(|(known, _)| *known == gid) {
            lines.push((gid, format!("{}:*:{gid}:", account.name)));
        }
    }
    lines.sort();
    lines.into_iter().map(|(_, line)| line + "\n").collect()
}

#[cfg(test)]
mod tests {
    use treelay_recipes::recipe::{Group, Text};

    use super::*;

    fn account(name: &str, uid: u32) -> Account {
        Account { name: Text::new(name), uid, gid: None, comment: None, home: None, shell: None }
    }

    #[test]
    fn files_as_passwd_and_group_have_them() {
        let users = UsersLayer {
            accounts: vec![
                Account {
                    comment: Some(Text::new("the server")),
                    home: Some(Text::new("/var/lib/app")),
                    ..account("app", 65532)
                },
                Account { gid: Some(10), shell: Some(Text::new("/bin/sh")), ..account("op", 1000) },
            ],
            groups: vec![Group {
                name: Text::new("wheel"),
                gid: 10,
                members: vec![Text::new("app")],
            }],
        };
        assert_eq!(
            passwd(&users),
            "root:*:0:0:root:/root:/sbin/nologin\n\
             app:*:65532:65532:the server:/var/lib/app:/sbin/nologin\n\
             op:*:1000:10::/:/bin/sh\n"
        );
        assert_eq!(group(&users), "root:*:0:\nwheel:*:10:app\napp:*:65532:\n");

        let own_root = UsersLayer { accounts: vec![account("root", 0)], groups: vec![] };
        assert_eq!(passwd(&own_root), "root:*:0:0::/:/sbin/nologin\n");
        assert_eq!(group(&own_root), "root:*:0:\n");
    }
}
