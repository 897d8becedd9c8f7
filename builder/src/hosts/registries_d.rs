//! containers-registries.d(5): where containers/image looks for signatures of images in registries.
//!
//! All `*.yaml` of one directory count together (`docker/registries_d.go`): that of the user where
//! it is there, else `/etc/containers/registries.d`. What is asked for is looked up scope by scope
//! from the most specific one, each setting by itself, and last in `default-docker`.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::Reference;
use super::policy::namespaces;

/// The settings of a directory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RegistriesD {
    default: Option<(String, Namespace)>,
    /// By scope: the file's name and what it says.
    docker: BTreeMap<String, (String, Namespace)>,
}

/// What is said of one scope.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct Namespace {
    use_sigstore_attachments: Option<bool>,
}

/// A file; names that are not known are passed over, as containers/image does.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct File {
    default_docker: Option<Namespace>,
    docker: Option<BTreeMap<String, Option<Namespace>>>,
}

/// Why the files of a directory do not go together. containers/image then fetches nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegistriesDError {
    /// Not YAML of this form.
    #[error("{file}: {reason}")]
    Malformed {
        /// The file.
        file: String,
        /// What is wrong.
        reason: String,
    },
    /// Two files speak of the same.
    #[error("{what} is in {first} and in {second}: one of them must go")]
    Twice {
        /// The scope, or `default-docker`.
        what: String,
        /// A file.
        first: String,
        /// The other.
        second: String,
    },
}

/// A setting and where it was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setting<'a> {
    /// The scope; `default-docker` for the default.
    pub scope: &'a str,
    /// The file.
    pub file: &'a str,
    /// What is set.
    pub value: bool,
}

impl RegistriesD {
    /// Reads files, each with its name for messages. Those that do not end in `.yaml` do not
    /// count.
    ///
    /// # Errors
    /// [`RegistriesDError`].
    pub fn parse<'a>(
        files: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, RegistriesDError> {
        let mut all = Self::default();
        for (name, text) in files.into_iter().filter(|(name, _)| name.ends_with(".yaml")) {
            let malformed = |reason| RegistriesDError::Malformed { file: name.to_owned(), reason };
            let empty = text.lines().all(|line| {
                let line = line.trim();
                line.is_empty() || line.starts_with('#') || line == "---"
            });
            let file: File = match empty {
                true => File::default(),
                false => {
                    serde_saphyr::from_str(text).map_err(|error| malformed(error.to_string()))?
                }
            };
            let twice = |what: &str, first: &str| RegistriesDError::Twice {
                what: what.to_owned(),
                first: first.to_owned(),
                second: name.to_owned(),
            };
            if let Some(namespace) = file.default_docker {
                if let Some((first, _)) = &all.default {
                    return Err(twice("default-docker", first));
                }
                all.default = Some((name.to_owned(), namespace));
            }
            for (scope, namespace) in file.docker.unwrap_or_default() {
                if let Some((first, _)) = all.docker.get(&scope) {
                    return Err(twice(&scope, first));
                }
                all.docker.insert(scope, (name.to_owned(), namespace.unwrap_or_default()));
            }
        }
        Ok(all)
    }

    /// `use-sigstore-attachments` for an image; [`None`] where nobody says it: then it is off.
    pub fn attachments(&self, image: &Reference) -> Option<Setting<'_>> {
        self.attachments_in(&namespaces(image))
    }

    /// The same for what these scopes cover, from the most specific to the least.
    pub fn attachments_in(&self, scopes: &[String]) -> Option<Setting<'_>> {
        let named = scopes.iter().filter_map(|scope| {
            let (scope, (file, namespace)) = self.docker.get_key_value(scope)?;
            Some((scope.as_str(), file, namespace))
        });
        let default = self.default.iter().map(|(file, space)| ("default-docker", file, space));
        named.chain(default).find_map(|(scope, file, namespace)| {
            let value = namespace.use_sigstore_attachments?;
            Some(Setting { scope, file, value })
        })
    }

    /// All scopes that the files speak of, without the default.
    pub fn scopes(&self) -> impl Iterator<Item = &str> {
        self.docker.keys().map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_setting_is_that_of_the_most_specific_scope_that_has_it() {
        let one = "default-docker:\n  use-sigstore-attachments: false\n  lookaside: file:///d\n\
                   docker:\n  h.example:\n    use-sigstore-attachments: true\n";
        let two = "# comment\ndocker:\n  h.example/a:\n    lookaside: https://l.example\n    new: 1\n  \
                   h.example/b:\n    use-sigstore-attachments: false\n  \"*.sub.example\":\n    \
                   use-sigstore-attachments: true\n  h.example/null:\n";
        let files = [("one.yaml", one), ("two.yaml", two), ("three.yml", "{"), ("4.yaml", "# x\n")];
        let settings = RegistriesD::parse(files).unwrap();
        for (image, scope, value) in [
            ("h.example/a/x:1", "h.example", true),
            ("h.example/b:1", "h.example/b", false),
            ("h.example/null:1", "h.example", true),
            ("r.sub.example/b:1", "*.sub.example", true),
            ("other.example/b:1", "default-docker", false),
        ] {
            let found = settings.attachments(&image.parse().unwrap()).unwrap();
            assert_eq!((found.scope, found.value), (scope, value), "{image}");
        }
        let all: Vec<_> = settings.scopes().collect();
        let scopes = ["*.sub.example", "h.example", "h.example/a", "h.example/b", "h.example/null"];
        assert_eq!(all, scopes);
        assert_eq!(RegistriesD::default().attachments(&"a".parse().unwrap()), None);
    }

    #[test]
    fn files_that_do_not_go_together() {
        let scope = "docker:\n  h.example:\n    use-sigstore-attachments: true\n";
        let default = "default-docker:\n  lookaside: file:///x\n";
        for (files, says) in [
            ([("a.yaml", scope), ("b.yaml", scope)], "h.example is in a.yaml and in b.yaml"),
            ([("a.yaml", default), ("b.yaml", default)], "default-docker is in a.yaml"),
            ([("a.yaml", scope), ("b.yaml", "docker: [")], "b.yaml: "),
            (
                [("a.yaml", scope), ("b.yaml", "docker: {x: {use-sigstore-attachments: maybe}}")],
                "b.yaml: ",
            ),
        ] {
            let error = RegistriesD::parse(files).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}
