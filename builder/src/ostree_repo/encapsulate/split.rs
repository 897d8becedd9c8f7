//! Which chunk an object of a commit goes into. Pure.
//!
//! A chunk is downloaded again when anything in it changes, so what changes together belongs
//! together: a layer of the recipe is a chunk, and the base is divided by where a path is. Never by how
//! large anything is, which would move objects from one chunk to another when something else grows.
//!
//! A layer's chunk has all that the layer's paths are, and depends on nothing else: what is the base's
//! or another layer's too is in both. So a changed layer changes no other chunk, at the price of what
//! two of them have in common. Of the base, an object is in one chunk only, that of its first path.

use std::collections::BTreeMap;

use treelay_recipes::Digest;

/// The files of a commit that are in one layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// What it is called: a layer of the recipe, or a place such as `usr/lib/modules`.
    pub name: String,
    /// Whether it is a layer of the recipe.
    pub is_layer: bool,
    /// Content objects, by checksum, with the paths that they are at, sorted.
    pub objects: BTreeMap<Digest, Vec<String>>,
}

/// What has chunks of its own, where a system has it, and how many: it is large, or often changed, or
/// neither of both while all around it is. In a directory with many packages' files each goes by the
/// beginning of its name, so that a library that is updated changes one chunk of several. The numbers
/// are part of the result: another one moves what is there to other chunks, once.
const ROOMS: &[(&str, u64)] = &[
    ("usr/bin", 4),
    ("usr/etc", 1),
    ("usr/lib", 4),
    ("usr/lib/aarch64-linux-gnu", 8),
    ("usr/lib/firmware", 4),
    ("usr/lib/golang", 1),
    ("usr/lib/jvm", 1),
    ("usr/lib/modules", 1),
    ("usr/lib/powerpc64le-linux-gnu", 8),
    ("usr/lib/python3", 1),
    ("usr/lib/sysimage", 1),
    ("usr/lib/x86_64-linux-gnu", 8),
    ("usr/lib64", 8),
    ("usr/libexec", 1),
    ("usr/local", 1),
    ("usr/sbin", 1),
    ("usr/share", 4),
    ("usr/share/doc", 1),
    ("usr/share/fonts", 1),
    ("usr/share/icons", 1),
    ("usr/share/licenses", 1),
    ("usr/share/locale", 1),
    ("usr/share/man", 1),
    ("usr/share/rpm", 1),
];

/// Where all else goes.
const REST: &str = "the rest";

/// How many layers have chunks of their own; those after them share one. containerd and Docker take
/// 127 layers in all, and the base has some 50.
const MOST_LAYERS: usize = 60;

/// Where a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    /// One of [`ROOMS`] by its path, and which of its chunks.
    Room(&'static str, u64),
    Layer(usize),
}

/// Divides files among chunks: `files` are sorted paths with their objects, `layer_of` says which
/// layer brings a path, by its index in `layers`. The base's chunks come first, since they change
/// less often.
pub(super) fn split(
    files: &BTreeMap<String, Digest>,
    layers: &[String],
    layer_of: impl Fn(&str, &Digest) -> Option<usize>,
) -> Vec<Chunk> {
    let mut room_of: BTreeMap<Digest, Place> = BTreeMap::new();
    let mut chunks: BTreeMap<Place, BTreeMap<Digest, Vec<String>>> = BTreeMap::new();
    for (path, object) in files {
        let place = match layer_of(path, object) {
            Some(layer) => Place::Layer(layer.min(MOST_LAYERS)),
            None => *room_of.entry(*object).or_insert_with(|| room(path)),
        };
        chunks.entry(place).or_default().entry(*object).or_default().push(path.clone());
    }
    let named = |(place, objects): (Place, _)| match place {
        Place::Room(name, piece) => {
            let pieces = ROOMS.iter().find(|room| room.0 == name).map_or(1, |room| room.1);
            let name = match pieces {
                1 => name.to_owned(),
                _ => format!("{name} {} of {pieces}", piece + 1),
            };
            Chunk { name, is_layer: false, objects }
        }
        Place::Layer(layer) => {
            let name = match layers.get(layer) {
                Some(name) if layer < MOST_LAYERS => name.clone(),
                _ => "other layers".to_owned(),
            };
            Chunk { name, is_layer: true, objects }
        }
    };
    chunks.into_iter().map(named).collect()
}

fn room(path: &str) -> Place {
    let below = |room: &'static (&str, u64)| {
        let rest = path.strip_prefix(room.0)?.strip_prefix('/')?;
        Some((room, rest))
    };
    let Some(((name, pieces), rest)) =
        ROOMS.iter().filter_map(below).max_by_key(|(room, _)| room.0.len())
    else {
        return Place::Room(REST, 0);
    };
    // A library's version is behind the first dot, so that all of them are in one chunk.
    let first = rest.split(['/', '.']).next().unwrap_or_default();
    Place::Room(name, u64::from(Digest::of(first).as_bytes()[0]) % pieces)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(text: &[(&str, &str)]) -> BTreeMap<String, Digest> {
        text.iter().map(|(path, object)| (path.to_string(), Digest::of(object))).collect()
    }

    fn names(chunks: &[Chunk]) -> Vec<&str> {
        chunks.iter().map(|chunk| chunk.name.as_str()).collect()
    }

    fn paths(chunk: &Chunk) -> Vec<&str> {
        let mut paths: Vec<&str> = chunk.objects.values().flatten().map(String::as_str).collect();
        paths.sort_unstable();
        paths
    }

    #[test]
    fn the_base_goes_by_rooms_and_its_objects_into_one_chunk() {
        let files = files(&[
            ("boot/x", "1"),
            ("usr/lib/golang/VERSION", "3"),
            ("usr/lib/modules/6/vmlinuz", "4"),
            ("usr/local/GPL", "6"),
            ("usr/share/licenses/a/GPL", "6"),
            ("usr/share/licenses/b/BSD", "7"),
        ]);
        let chunks = split(&files, &[], |_, _| None);
        assert_eq!(
            names(&chunks),
            ["the rest", "usr/lib/golang", "usr/lib/modules", "usr/local", "usr/share/licenses"]
        );
        assert_eq!(paths(&chunks[3]), ["usr/local/GPL", "usr/share/licenses/a/GPL"]);
        assert_eq!(split(&BTreeMap::new(), &[], |_, _| None), []);
    }

    #[test]
    fn an_update_in_a_room_of_several_chunks_changes_one() {
        let names = ["libc", "libm", "libssl", "libcrypto", "libz", "libpam", "libacl", "libfoo"];
        let libraries = |version: &str| {
            let each = names.iter().map(|name| {
                let version = if *name == "libssl" { version } else { "1" };
                let path = format!("usr/lib64/{name}.so.{version}");
                (path.clone(), Digest::of(path))
            });
            split(&each.collect(), &[], |_, _| None)
        };
        let (before, after) = (libraries("3.0"), libraries("3.1.2"));
        assert!(before.len() > 2 && before.len() == after.len());
        let changed: Vec<_> = before.iter().zip(&after).filter(|(a, b)| a != b).collect();
        let [(before, after)] = changed[..] else { panic!("{changed:?}") };
        assert_eq!(before.name, after.name);
        assert!(before.name.starts_with("usr/lib64 ") && before.name.ends_with(" of 8"));
    }

    #[test]
    fn a_layer_is_a_chunk_whatever_the_others_have() {
        let base = files(&[("usr/bin/sh", "sh"), ("usr/share/doc/GPL", "GPL")]);
        let layers = ["go".to_owned(), "tools".to_owned()];
        let with = |of_go: &[(&str, &str)]| {
            let mut all = base.clone();
            all.extend(files(of_go));
            all.extend(files(&[("usr/tools/GPL", "GPL"), ("usr/tools/x", "x")]));
            split(&all, &layers, |path, _| {
                let of = |prefix: &str| path.starts_with(prefix);
                of("usr/go").then_some(0).or(of("usr/tools").then_some(1))
            })
        };
        let one = with(&[("usr/go/GPL", "GPL"), ("usr/go/bin", "go 1")]);
        let two = with(&[("usr/go/bin", "go 2"), ("usr/go/x", "x")]);
        assert_eq!(names(&one)[1..], ["usr/share/doc", "go", "tools"]);
        assert_eq!(
            one.iter().map(|it| it.is_layer).collect::<Vec<_>>(),
            [false, false, true, true]
        );
        assert_eq!(paths(&one[2]), ["usr/go/GPL", "usr/go/bin"]);
        assert_eq!(paths(&one[3]), ["usr/tools/GPL", "usr/tools/x"]);
        let differ: Vec<_> = one.iter().zip(&two).filter(|(a, b)| a != b).collect();
        assert_eq!((differ.len(), &*differ[0].0.name), (1, "go"));
        // The base's chunks are those that the base has alone.
        assert_eq!(one[..2], split(&base, &[], |_, _| None)[..]);
    }

    #[test]
    fn no_image_gets_more_layers_than_runtimes_take() {
        let names: Vec<String> = (0..100).map(|n| format!("layer{n}")).collect();
        let all = (0..100).map(|n| (format!("usr/{n:03}"), Digest::of([n])));
        let chunks = split(&all.collect(), &names, |path, _| path[4..].parse().ok());
        assert_eq!(chunks.len(), MOST_LAYERS + 1);
        let rooms: u64 = ROOMS.iter().map(|room| room.1).sum();
        // And the commit layer, and the rest.
        assert!(chunks.len() + usize::try_from(rooms).unwrap() + 2 <= 127, "{rooms}");
        assert_eq!(chunks.last().unwrap().name, "other layers");
        assert_eq!(chunks.last().unwrap().objects.len(), 40);
    }
}
