//! What must be right of the image and of the commits.

use std::collections::BTreeMap;

use super::{Check, grammar, shown};
use crate::recipe::{Base, Image, Ostree, PathContext, PathType};

impl Check<'_, '_> {
    pub(super) fn image(&mut self, image: &Image) {
        self.each("the reference", &image.reference, grammar::reference);
        if let Some(base) = &image.base {
            match Base::parse(base) {
                Ok(_) => {}
                Err(reason) => {
                    let problem =
                        self.problem(base, format!("the base `{}` {reason}", shown(base)));
                    if base.starts_with("docker://") && !base.contains('@') {
                        problem.expected("expected @sha256: and its digest at the end");
                    }
                }
            }
        }
        let config = &image.config;
        self.each("the user", &config.user, grammar::user);
        self.each("the directory", &config.workdir, grammar::absolute);
        self.each("the port", &config.ports, grammar::port);
        self.each("the volume", &config.volumes, grammar::absolute_below_root);
        if let Some(signal) = &config.stop_signal
            && let Err(reason) = grammar::signal(signal)
        {
            let message = format!("the signal `{}` {reason}", shown(signal));
            self.problem(signal, message).nearest(signal, grammar::SIGNALS.iter().copied());
        }
        for (name, value) in &config.env {
            self.key("the variable name", name, value, grammar::env_name);
            self.rule("the value", value, grammar::no_nul);
        }
        if let Some(health) = &config.health {
            self.each("the argument", &health.test, grammar::no_nul);
            let times = [&health.interval, &health.timeout, &health.start_period];
            self.each("the time", times.into_iter().flatten(), grammar::duration);
        }
        for (name, value) in config.labels.iter().chain(&image.annotations) {
            self.key("the key", name, value, grammar::key);
        }
        self.each("the argument", config.entrypoint.iter().chain(&config.cmd), grammar::no_nul);
    }

    /// A layer of accounts is the whole of them.
    fn no_users(&mut self, whose: &str, expected: &str) {
        for layer in self.recipe.layers.iter().filter(|layer| layer.users.is_some()) {
            let message = format!("`users` would replace the {whose}");
            self.problem(&layer.name, message).expected(expected);
        }
    }

    pub(super) fn ostree(&mut self, ostree: &Ostree) {
        self.each("the ref", &ostree.refname, grammar::ostree_ref);
        self.each("the path", &ostree.remove, grammar::absolute_pattern);
        self.each("the path", &ostree.replace, grammar::absolute_below_root);
        if let Some(base) = &ostree.base {
            self.each("the repository", &base.repo, grammar::local_path);
            if let Some(remote) = &base.remote {
                self.rule("the address", &remote.url, grammar::url);
                self.each("the key file", &remote.gpg_key, grammar::local_path);
                self.each("the key file", &remote.spki_key, grammar::local_path);
                self.each("the file of keys", &remote.revoked_keys, grammar::local_path);
                self.each("the key", &remote.ed25519_key, grammar::ed25519_key);
            }
            if let Some(image) = &base.image
                && let Some(reason) = match Base::parse(image) {
                    Ok(Base::Scratch) => Some("is no image"),
                    Ok(_) => None,
                    Err(reason) => Some(reason),
                }
            {
                self.problem(image, format!("the image `{}` {reason}", shown(image)));
            }
            self.each("the ref", &base.refname, grammar::ostree_ref);
            let commits = base.commit.iter().flat_map(BTreeMap::values);
            self.each("the commit", commits, grammar::sha256);
            self.no_users("accounts of ostree.base", "expected the base to have them");
        }
        let mut seen: Vec<(&str, Option<PathType>)> = Vec::new();
        for PathContext { path, kind, context } in &ostree.contexts {
            self.rule("the path", path, grammar::selinux_path);
            self.rule("the context", context, grammar::selinux_context);
            if seen.contains(&(path.value.as_str(), *kind)) {
                self.problem(path, format!("`{}` has two contexts", shown(path)));
            }
            seen.push((&path.value, *kind));
        }
        self.each("the collection id", &ostree.collection, grammar::collection_id);
        for (name, value) in &ostree.metadata {
            self.key("the key", name, value, grammar::key);
            self.rule("the value", value, grammar::no_nul);
        }
    }
}
