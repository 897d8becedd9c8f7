//! Which chunk an object of a commit goes into. Pure.
//!
//! A chunk is downloaded again when anything in it changes, so what changes together belongs
//! together: by where a path is, and never by how large anything is, which would move objects from
//! one chunk to another when something else grows.

use std::collections::BTreeMap;

use treelay_recipes::Digest;

/// The files of a commit that are in one layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// What it is called, such as `usr/lib/modules`.
    pub name: String,
    /// Content objects, by checksum, with the paths that they are at, sorted.
    pub objects: BTreeMap<Digest, Vec<String>>,
}

/// What has a chunk of its own, where a system has it: large, or often changed, or neither of both
/// while all around it is.
const ROOMS: &[&str] = &[
    "usr/bin",
    "usr/etc",
    "usr/lib",
    "usr/lib/firmware",
    "usr/lib/golang",
    "usr/lib/jvm",
    "usr/lib/modules",
    "usr/lib/sysimage",
    "usr/lib64",
    "usr/libexec",
    "usr/local",
    "usr/sbin",
    "usr/share",
    "usr/share/doc",
    "usr/share/fonts",
    "usr/share/icons",
    "usr/share/licenses",
    "usr/share/locale",
    "usr/share/man",
    "usr/share/rpm",
];

/// Where all else goes.
const REST: &str = "the rest";

/// Divides files among chunks, by path: `files` are sorted paths with their objects, `own` says
/// which of them are not the base's. An object is in one chunk only, that of its first path.
pub(super) fn split(
    files: &BTreeMap<String, Digest>,
    own: impl Fn(&str, &Digest) -> bool,
) -> Vec<Chunk> {
    let mut chunk_of: BTreeMap<Digest, (bool, &str)> = BTreeMap::new();
    let mut chunks: BTreeMap<(bool, &str), BTreeMap<Digest, Vec<String>>> = BTreeMap::new();
    for (path, object) in files {
        let chunk = *chunk_of.entry(*object).or_insert_with(|| (own(path, object), room(path)));
        chunks.entry(chunk).or_default().entry(*object).or_default().push(path.clone());
    }
    // The base's first: what lies over it changes more often.
    let named = |((own, room), objects): ((bool, &str), _)| Chunk {
        name: if own { format!("{room}, over the base") } else { room.to_owned() },
        objects,
    };
    chunks.into_iter().map(named).collect()
}

fn room(path: &str) -> &'static str {
    let is_in = |room: &&&str| path.strip_prefix(**room).is_some_and(|rest| rest.starts_with('/'));
    ROOMS.iter().filter(is_in).max_by_key(|room| room.len()).copied().unwrap_or(REST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_have_their_rooms_and_objects_one_chunk() {
        let object = |name: &str| Digest::of(name);
        let files: BTreeMap<String, Digest> = [
            ("boot/x", "1"),
            ("usr/bin/a", "2"),
            ("usr/lib/libc.so", "3"),
            ("usr/lib/modules/6/vmlinuz", "4"),
            ("usr/lib/modules", "5"),
            ("usr/share/licenses/a/GPL", "6"),
            ("usr/share/licenses/b/GPL", "6"),
            ("usr/local/GPL", "6"),
            ("usr/lib/golang/VERSION", "7"),
        ]
        .map(|(path, name)| (path.to_owned(), object(name)))
        .into();
        let own = |path: &str, _: &Digest| path.contains("golang");
        let chunks = split(&files, own);
        let told: Vec<(String, Vec<String>)> = chunks
            .iter()
            .map(|chunk| (chunk.name.clone(), chunk.objects.values().flatten().cloned().collect()))
            .collect();
        let expected = [
            ("the rest", vec!["boot/x"]),
            ("usr/bin", vec!["usr/bin/a"]),
            ("usr/lib", vec!["usr/lib/modules", "usr/lib/libc.so"]),
            ("usr/lib/modules", vec!["usr/lib/modules/6/vmlinuz"]),
            (
                "usr/local",
                vec!["usr/local/GPL", "usr/share/licenses/a/GPL", "usr/share/licenses/b/GPL"],
            ),
            ("usr/lib/golang, over the base", vec!["usr/lib/golang/VERSION"]),
        ];
        for ((name, paths), (expected, mut expected_paths)) in told.iter().zip(expected) {
            let mut paths: Vec<&str> = paths.iter().map(String::as_str).collect();
            paths.sort_unstable();
            expected_paths.sort_unstable();
            assert_eq!((name.as_str(), paths), (expected, expected_paths));
        }
        assert_eq!(told.len(), 6);
        assert_eq!(split(&BTreeMap::new(), own), []);
    }
}
