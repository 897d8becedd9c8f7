//! The accounts of a layer among those that a base has.

use std::fmt::Write as _;

use treelay_recipes::recipe::{Account, Text, UsersLayer};

use super::{ROOT, group_of, passwd_line};

/// The files of a base that say who is who; none where the base has not the file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccountFiles {
    /// `/etc/passwd`
    pub passwd: Option<String>,
    /// `/etc/group`
    pub group: Option<String>,
    /// `/etc/shadow`
    pub shadow: Option<String>,
    /// `/etc/gshadow`
    pub gshadow: Option<String>,
}

/// What a layer and the base say differently.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the {what} {name} of the layer is {own}, and the base has {base:?} in /etc/{file}")]
pub struct Clash {
    /// `account` or `group`.
    pub what: &'static str,
    /// Its name in the layer.
    pub name: String,
    /// What the layer says.
    pub own: String,
    /// The base's line.
    pub base: String,
    /// The base's file.
    pub file: &'static str,
}

impl AccountFiles {
    /// Whether there is an account of that name.
    pub fn has(&self, account: &str) -> bool {
        Lines::new(self.passwd.as_deref()).named(account).is_some()
    }

    /// These files with the accounts and groups of `users` behind those that are there. Lines stay
    /// as they are, except those of groups that get members.
    ///
    /// An account that the base has already is left alone where all that the layer says of it is so.
    ///
    /// # Errors
    /// [`Clash`], for the first account or group of which name or number mean something else.
    pub fn with(&self, users: &UsersLayer) -> Result<Self, Clash> {
        let mut passwd = Lines::new(self.passwd.as_deref());
        let mut group = Lines::new(self.group.as_deref());
        let mut shadow = self.shadow.as_deref().map(|text| Lines::new(Some(text)));
        let mut gshadow = self.gshadow.as_deref().map(|text| Lines::new(Some(text)));
        let root = Account {
            comment: Some(Text::new(ROOT)),
            home: Some(Text::new("/root")),
            ..super::root()
        };
        let own_root = users.accounts.iter().any(|account| account.name.value == ROOT);
        let base_root = passwd.named(ROOT).is_some();
        let first = (!own_root && !base_root).then_some(&root);

        for account in first.into_iter().chain(&users.accounts) {
            if passwd.has(account)? {
                continue;
            }
            // passwd(5): `x` sends readers to the shadow file.
            let password = if shadow.is_some() { "x" } else { "*" };
            passwd.add(passwd_line(account, password));
            if let Some(shadow) = &mut shadow
                && shadow.named(&account.name).is_none()
            {
                shadow.add(format!("{}:!:::::::", account.name));
            }
        }

        let mut wanted: Vec<(&str, u32, Vec<&str>)> = Vec::new();
        for one in &users.groups {
            let members = one.members.iter().map(|member| &**member).collect();
            wanted.push((&one.name, one.gid, members));
        }
        for account in first.into_iter().chain(&users.accounts) {
            let gid = group_of(account);
            // A group of another name will do as well.
            if group.numbered(gid).is_none() && !wanted.iter().any(|(_, known, _)| *known == gid) {
                wanted.push((&account.name, gid, Vec::new()));
            }
        }
        for (name, gid, members) in wanted {
            if group.has_group(name, gid)? {
                group.join(name, &members);
                gshadow.iter_mut().for_each(|gshadow| gshadow.join(name, &members));
                continue;
            }
            let password = if gshadow.is_some() { "x" } else { "*" };
            group.add(format!("{name}:{password}:{gid}:{}", members.join(",")));
            if let Some(gshadow) = &mut gshadow
                && gshadow.named(name).is_none()
            {
                gshadow.add(format!("{name}:!::{}", members.join(",")));
            }
        }
        Ok(Self {
            passwd: Some(passwd.text),
            group: Some(group.text),
            shadow: shadow.map(|lines| lines.text),
            gshadow: gshadow.map(|lines| lines.text),
        })
    }
}

/// A file of lines with fields between colons, the first of which is a name.
struct Lines {
    text: String,
}

impl Lines {
    fn new(text: Option<&str>) -> Self {
        let mut text = text.unwrap_or_default().to_owned();
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        Self { text }
    }

    fn add(&mut self, line: String) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.text, "{line}");
    }

    fn lines(&self) -> impl Iterator<Item = &str> {
        self.text.lines()
    }

    fn named(&self, name: &str) -> Option<&str> {
        self.lines().find(|line| field(line, 0) == Some(name))
    }

    /// Of passwd and group: by the number that the third field is.
    fn numbered(&self, number: u32) -> Option<&str> {
        let is = |line: &&str| field(line, 2).and_then(|it| it.parse().ok()) == Some(number);
        self.lines().find(is)
    }

    /// Whether the account is there, with all that is said of it.
    fn has(&self, account: &Account) -> Result<bool, Clash> {
        let gid = group_of(account);
        let clash = |line: &str| Clash {
            what: "account",
            name: account.name.to_string(),
            own: said(account),
            base: line.to_owned(),
            file: "passwd",
        };
        let Some(line) = self.named(&account.name) else {
            // A second name for a number makes programs disagree about who owns a file.
            return self.numbered(account.uid).map_or(Ok(false), |line| Err(clash(line)));
        };
        let numbers = [(2, account.uid), (3, gid)];
        let texts = [(4, &account.comment), (5, &account.home), (6, &account.shell)];
        let same = numbers
            .iter()
            .all(|(at, number)| field(line, *at) == Some(number.to_string().as_str()))
            && texts.iter().all(|(at, text)| {
                text.as_ref().is_none_or(|text| field(line, *at) == Some(text.value.as_str()))
            });
        if same { Ok(true) } else { Err(clash(line)) }
    }

    /// Whether the group is there, with this number.
    fn has_group(&self, name: &str, gid: u32) -> Result<bool, Clash> {
        let line = match (self.named(name), self.numbered(gid)) {
            (Some(line), _) if field(line, 2) == Some(gid.to_string().as_str()) => return Ok(true),
            (Some(line), _) | (None, Some(line)) => line.to_owned(),
            (None, None) => return Ok(false),
        };
        let (name, own) = (name.to_owned(), format!("gid {gid}"));
        Err(Clash { what: "group", name, own, base: line, file: "group" })
    }

    /// Adds members to a group, if it is there.
    fn join(&mut self, name: &str, members: &[&str]) {
        let Some(line) = self.named(name).map(str::to_owned) else { return };
        let there = field(&line, 3).unwrap_or_default();
        let there: Vec<&str> = there.split(',').filter(|member| !member.is_empty()).collect();
        let new: Vec<&str> =
            members.iter().copied().filter(|member| !there.contains(member)).collect();
        if new.is_empty() {
            return;
        }
        let head: Vec<&str> = line.split(':').take(3).collect();
        let changed = format!("{}:{}\n", head.join(":"), [there, new].concat().join(","));
        let is = |old: &str| old.trim_end_matches('\n') == line;
        let lines = self.text.split_inclusive('\n');
        self.text = lines.map(|old| if is(old) { changed.as_str() } else { old }).collect();
    }
}

fn field(line: &str, at: usize) -> Option<&str> {
    line.split(':').nth(at)
}

/// What a layer says of an account, in words.
fn said(account: &Account) -> String {
    let mut text = format!("uid {} gid {}", account.uid, group_of(account));
    let more = [("home", &account.home), ("shell", &account.shell), ("comment", &account.comment)];
    for (name, value) in more {
        if let Some(value) = value {
            let _ = write!(text, " {name} {value}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use treelay_recipes::recipe::Group;

    use super::*;

    fn account(name: &str, uid: u32) -> Account {
        Account { name: Text::new(name), uid, ..crate::kinds::users::root() }
    }

    fn group(name: &str, gid: u32, members: &[&str]) -> Group {
        let members = members.iter().map(|member| Text::new(*member)).collect();
        Group { name: Text::new(name), gid, members }
    }

    fn base() -> AccountFiles {
        AccountFiles {
            passwd: Some(
                "root:x:0:0:root:/root:/bin/bash\n\
                 www-data:x:33:33:www-data:/var/www:/usr/sbin/nologin"
                    .into(),
            ),
            group: Some("root:x:0:\nadm:x:4:syslog\nwww-data:x:33:\nusers:x:100:\n".into()),
            shadow: Some("root:*:19000:0:99999:7:::\n".into()),
            gshadow: Some("root:*::\nadm:*::syslog\n".into()),
        }
    }

    #[test]
    fn accounts_come_behind_those_of_the_base() {
        let users = UsersLayer {
            accounts: vec![
                Account { home: Some(Text::new("/srv")), ..account("app", 65532) },
                Account { gid: Some(100), shell: Some(Text::new("/bin/sh")), ..account("op", 7) },
                Account { shell: Some(Text::new("/bin/bash")), ..account("root", 0) },
                account("www-data", 33),
            ],
            groups: vec![group("adm", 4, &["app", "op"]), group("extra", 500, &["app"])],
        };
        let with = base().with(&users).unwrap();
        let lines = |text: &Option<String>| text.clone().unwrap();
        assert_eq!(
            lines(&with.passwd),
            "root:x:0:0:root:/root:/bin/bash\n\
             www-data:x:33:33:www-data:/var/www:/usr/sbin/nologin\n\
             app:x:65532:65532::/srv:/sbin/nologin\n\
             op:x:7:100::/:/bin/sh\n"
        );
        assert_eq!(
            lines(&with.group),
            "root:x:0:\nadm:x:4:syslog,app,op\nwww-data:x:33:\nusers:x:100:\nextra:x:500:app\n\
             app:x:65532:\n"
        );
        assert_eq!(lines(&with.shadow), "root:*:19000:0:99999:7:::\napp:!:::::::\nop:!:::::::\n");
        assert_eq!(lines(&with.gshadow), "root:*::\nadm:*::syslog,app,op\nextra:!::app\napp:!::\n");
        // Twice is once.
        assert_eq!(with.with(&users).unwrap(), with);
    }

    #[test]
    fn a_base_without_shadow_stays_so() {
        let users = UsersLayer { accounts: vec![account("app", 5)], groups: vec![] };
        let with = AccountFiles::default().with(&users).unwrap();
        let passwd = "root:*:0:0:root:/root:/sbin/nologin\napp:*:5:5::/:/sbin/nologin\n";
        assert_eq!(with.passwd.as_deref(), Some(passwd));
        assert_eq!(with.group.as_deref(), Some("root:*:0:\napp:*:5:\n"));
        assert_eq!((with.shadow, with.gshadow), (None, None));
    }

    #[test]
    fn what_means_something_else_is_refused_with_both_named() {
        let with = |accounts: Vec<Account>, groups: Vec<Group>| {
            base().with(&UsersLayer { accounts, groups }).unwrap_err().to_string()
        };
        let www = "\"www-data:x:33:33:www-data:/var/www:/usr/sbin/nologin\" in /etc/passwd";
        assert_eq!(
            with(vec![account("www-data", 80)], vec![]),
            format!("the account www-data of the layer is uid 80 gid 80, and the base has {www}")
        );
        assert_eq!(
            with(vec![account("nginx", 33)], vec![]),
            format!("the account nginx of the layer is uid 33 gid 33, and the base has {www}")
        );
        let home = Account { home: Some(Text::new("/srv")), ..account("www-data", 33) };
        assert_eq!(
            with(vec![home], vec![]),
            format!(
                "the account www-data of the layer is uid 33 gid 33 home /srv, and the base has {www}"
            )
        );
        for (name, gid, line) in [("adm", 5, "adm:x:4:syslog"), ("other", 4, "adm:x:4:syslog")] {
            assert_eq!(
                with(vec![account("app", 9)], vec![group(name, gid, &[])]),
                format!(
                    "the group {name} of the layer is gid {gid}, and the base has {line:?} in \
                     /etc/group"
                )
            );
        }
        // The own group of an account takes its name.
        assert_eq!(
            with(vec![account("users", 200)], vec![]),
            "the group users of the layer is gid 200, and the base has \"users:x:100:\" in \
             /etc/group"
        );
    }
}
