//! Owners that a recipe names become numbers.

use std::collections::BTreeMap;

use crate::error::Problems;
use crate::recipe::{Recipe, Text};

/// Sets `uid` and `gid` where `user` names an account.
pub(super) fn resolve(recipe: &mut Recipe, problems: &mut Problems<'_>) {
    let mut accounts = BTreeMap::from([("root".to_owned(), (0, 0))]);
    for users in recipe.layers.iter().filter_map(|layer| layer.users.as_ref()) {
        for account in &users.accounts {
            let name = &account.name.value;
            accounts.extend(users.owner(name).map(|owner| (name.clone(), owner)));
        }
    }
    let origin = recipe.origin.clone();
    let mut set = |user: &Option<Text>, uid: &mut Option<u32>, gid: &mut Option<u32>| {
        let Some(user) = user else { return };
        if problems.has(user.at) {
            return;
        }
        let width = origin.width(user.at);
        let number = if uid.is_some() { "uid" } else { "gid" };
        if uid.is_some() || gid.is_some() {
            problems
                .add(user.at, width, format!("both `user` and `{number}` say whose it is"))
                .expected(format!("leave `{number}` out"));
            return;
        }
        match accounts.get(&user.value) {
            Some((owner, group)) => (*uid, *gid) = (Some(*owner), Some(*group)),
            None => {
                let message = format!("no `users` layer has the account `{user}`");
                let known = accounts.keys().map(String::as_str);
                problems.add(user.at, width, message).nearest(user, known);
            }
        }
    };
    for layer in &mut recipe.layers {
        for file in layer.files.iter_mut().flatten() {
            set(&file.user, &mut file.uid, &mut file.gid);
        }
        for path in &mut layer.attributes {
            set(&path.user, &mut path.uid, &mut path.gid);
        }
    }
}
