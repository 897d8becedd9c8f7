//! `users` on a base: its accounts stay, those of the layer come behind them.

use std::collections::BTreeSet;
use std::io::Read as _;

use treelay_layers::kinds::AccountFiles;
use treelay_layers::{ContentSink as _, Contents as _, Entry, Tree, TreePath};
use treelay_recipes::Digest;
use treelay_recipes::recipe::UsersLayer;

use super::super::{ExecError, Workshop};
use super::{BaseError, BaseImage, nonsense};
use crate::store::StoreSink;

/// Where accounts are.
pub(super) const PASSWD: &str = "etc/passwd";
/// More than any of the files has: a million accounts.
const MOST: u64 = 64 << 20;

impl Workshop<'_> {
    /// The tree of a `users` layer with the base's accounts in its files; modes and owners of files
    /// that the base has are the base's.
    pub(super) fn among_users(
        &self,
        tree: &Tree,
        layer: &str,
        users: &UsersLayer,
        base: &BaseImage,
        lower: &Tree,
    ) -> Result<Tree, ExecError> {
        let files = ["etc/passwd", "etc/group", "etc/shadow", "etc/gshadow"];
        let there: Vec<Option<&Entry>> = files.iter().map(|path| lower.get(path)).collect();
        let wanted: BTreeSet<Digest> =
            there.iter().flatten().filter_map(|entry| Some(*entry.file()?.0)).collect();
        self.base_contents(base, lower, &wanted)?;
        let mut texts = Vec::new();
        for (path, entry) in files.iter().zip(&there) {
            texts.push(match entry {
                Some(entry) => Some(self.text_of_base(base, path, entry)?),
                None => None,
            });
        }
        let [passwd, group, shadow, gshadow] = [0, 1, 2, 3].map(|at| texts[at].take());
        let files_of_base = AccountFiles { passwd, group, shadow, gshadow };
        let all = files_of_base.with(users).map_err(|source| {
            let (image, layer) = (base.name.clone(), layer.to_owned());
            BaseError::Users { image, layer, source: Box::new(source) }
        })?;

        let of_accounts = |entry: &&Entry| files.contains(&entry.path.as_str());
        let mut entries: Vec<Entry> =
            tree.entries().iter().filter(|entry| !of_accounts(entry)).cloned().collect();
        // The home of an account of the base is as the base has it.
        let known = users.accounts.iter().filter(|account| files_of_base.has(&account.name));
        let homes: BTreeSet<&str> = known
            .filter_map(|account| account.home.as_ref())
            .map(|home| home.trim_matches('/'))
            .filter(|home| lower.get(home).is_some())
            .collect();
        for entry in entries.iter_mut().filter(|entry| homes.contains(entry.path.as_str())) {
            *entry = Entry::dir(entry.path.clone(), 0o755);
        }
        let mut sink = StoreSink::new(self.store);
        let texts = [all.passwd, all.group, all.shadow, all.gshadow];
        for ((path, entry), text) in files.iter().zip(there).zip(texts) {
            let Some(text) = text else { continue };
            let (digest, size) = sink
                .put(&mut text.as_bytes())
                .map_err(ExecError::store("keeping a file of accounts"))?;
            let place = TreePath::new(path).map_err(|error| nonsense(path, &error.to_string()))?;
            let made = Entry::new_file(place, 0o644, digest, size);
            entries.push(match entry {
                Some(entry) => Entry { path: made.path, node: made.node, ..entry.clone() },
                None => made,
            });
        }
        Tree::from_entries(entries).map_err(|error| nonsense(layer, &error.to_string()))
    }

    fn text_of_base(
        &self,
        base: &BaseImage,
        path: &str,
        entry: &Entry,
    ) -> Result<String, ExecError> {
        let Some((digest, size)) = entry.file().filter(|(_, size)| *size <= MOST) else {
            return Err(nonsense(&base.name, &format!("its /{path} is no file of accounts")));
        };
        let mut text = String::new();
        let read = self.store.open(digest, size).and_then(|mut it| it.read_to_string(&mut text));
        match read {
            Ok(_) => Ok(text),
            Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {
                Err(nonsense(&base.name, &format!("its /{path} is no text")))
            }
            Err(source) => Err(ExecError::Reading { path: format!("/{path}"), source }),
        }
    }
}
