//! Bases and results as text: `PATH OBJECT` for a file, `PATH/ META` for a directory.

use std::cell::RefCell;

use super::*;

/// A base in memory, which notes what it is asked for.
#[derive(Default)]
struct Base {
    listings: BTreeMap<Digest, Listing>,
    asked: RefCell<Vec<Digest>>,
}

fn digest(name: &str) -> Digest {
    Digest::of(name)
}

impl Base {
    /// Its root.
    fn of(text: &str) -> (Self, DirRef) {
        let mut base = Self::default();
        let root = base.add(text, "");
        (base, root)
    }

    fn add(&mut self, text: &str, dir: &str) -> DirRef {
        let mut listing = Listing::default();
        let mut meta = digest("root");
        for line in text.lines() {
            let (path, what) = line.trim().split_once(' ').unwrap();
            if path.trim_end_matches('/') == dir.trim_end_matches('/') {
                meta = digest(what);
            }
            let Some(rest) = path.strip_prefix(dir).filter(|rest| !rest.is_empty()) else {
                continue;
            };
            match rest.split_once('/') {
                None => {
                    listing.files.insert(rest.to_owned(), digest(what));
                }
                Some((name, "")) => {
                    let below = self.add(text, path);
                    listing.dirs.insert(name.to_owned(), below);
                }
                Some(_) => {}
            }
        }
        let tree = Digest::of(format!("{listing:?}"));
        self.listings.insert(tree, listing);
        DirRef { tree, meta }
    }
}

impl Lower for Base {
    fn listing(&self, tree: &Digest) -> Result<Listing> {
        self.asked.borrow_mut().push(*tree);
        Ok(self.listings[tree].clone())
    }

    fn label(&self, meta: &Digest) -> Result<Option<Vec<u8>>> {
        Ok((*meta == digest("labelled")).then(|| b"label".to_vec()))
    }

    fn describe(&self, object: &Digest) -> Result<String> {
        Ok(if *object == digest("link") { "a link to x" } else { "a file" }.to_owned())
    }
}

/// What a plan says, in the order of paths; what is kept as a whole has `...`.
fn text(plan: &Plan<'_>, base: &Base) -> String {
    let mut lines = Vec::new();
    let mut todo = vec![(0, String::new())];
    let names = ["a", "b", "c", "link", "m", "labelled", "root"];
    let name = |of: &Digest| names.iter().find(|name| digest(name) == *of).unwrap().to_string();
    while let Some((at, path)) = todo.pop() {
        let dir = &plan.dirs[at];
        for (file, what) in &dir.files {
            let what = match what {
                File::Base(object) => name(object),
                File::Own(entry) => format!("own {}", plan.entries[*entry].path),
            };
            lines.push(format!("{path}{file} {what}"));
        }
        for (dir, place) in &dir.dirs {
            let path = format!("{path}{dir}/");
            match place {
                Place::Kept(dir) => {
                    let count = base.listings[&dir.tree].files.len();
                    lines.push(format!("{path} {} ...{count}", name(&dir.meta)));
                }
                Place::Made(at) => {
                    let meta = match &plan.dirs[*at].meta {
                        Meta::Kept(meta) => name(meta),
                        Meta::Own { label: None, .. } => "own".to_owned(),
                        Meta::Own { .. } => "own, labelled".to_owned(),
                        Meta::Root { .. } => "root".to_owned(),
                    };
                    lines.push(format!("{path} {meta}"));
                    todo.push((*at, path));
                }
            }
        }
    }
    lines.sort();
    lines.join("\n")
}

const BASE: &str = "\
etc-like a
usr/ m
usr/bin/ m
usr/bin/one a
usr/bin/two link
usr/bin-2/ m
usr/bin-2/three b
usr/lib/ labelled
usr/lib/x/ m
usr/lib/x/y a
usr/share/ m
usr/share/doc/ m
usr/share/doc/d1/ m
usr/share/doc/d1/f a
usr/share/doc/g b
usr/share/empty/ m";

fn lay_text(own: &str, remove: &[&str], replace: &[&str]) -> std::result::Result<String, String> {
    let (base, root) = Base::of(BASE);
    let tree = Tree::from_text(own).unwrap();
    let rules = Rules::new(remove.iter().copied(), replace.iter().copied());
    let plan = lay(&tree, Some((root, &base)), &rules).map_err(|error| error.to_string())?;
    let unused: String = plan.unused.iter().map(|unused| format!("\nunused {unused}")).collect();
    Ok(text(&plan, &base) + &unused)
}

#[test]
fn only_what_is_touched_is_looked_at() {
    let (base, root) = Base::of(BASE);
    let tree = Tree::from_text("d 0755 0 0 usr\nd 0755 0 0 usr/bin\nl 0777 0 0 usr/bin/new -> x\n");
    let tree = tree.unwrap();
    let plan = lay(&tree, Some((root, &base)), &Rules::default()).unwrap();
    assert_eq!(
        text(&plan, &base),
        "etc-like a\nusr/ m\nusr/bin-2/ m ...1\nusr/bin/ m\nusr/bin/new own usr/bin/new\n\
         usr/bin/one a\nusr/bin/two link\nusr/lib/ labelled ...0\nusr/share/ m ...0"
    );
    assert_eq!(base.asked.borrow().len(), 3, "the root, /usr, /usr/bin");
    assert_eq!(
        plan.look("usr/lib/x/y", Some(&base)).unwrap(),
        Some(Look::File(File::Base(digest("a"))))
    );
    assert_eq!(plan.look("usr/bin/new", Some(&base)).unwrap(), Some(Look::File(File::Own(2))));
    assert_eq!(plan.look("usr/bin/one/x", Some(&base)).unwrap(), None);
    let lib = Look::Dir { files: vec![], dirs: vec!["x".to_owned()] };
    assert_eq!(plan.look("usr/lib", Some(&base)).unwrap(), Some(lib));
}

#[test]
fn trees_are_laid_over_the_base() {
    let usr = "d 0755 0 0 usr\n";
    for (own, remove, replace, expected) in [
        // Without anything, the base as it is.
        ("", &[][..], &[][..], Ok("etc-like a\nusr/ m ...0")),
        // Later wins; a file may replace a link.
        (
            "d 0755 0 0 usr\nd 0755 0 0 usr/bin\nl 0777 0 0 usr/bin/one -> x\n\
             l 0777 0 0 usr/bin/two -> x\n",
            &[],
            &[],
            Ok("etc-like a\nusr/ m\nusr/bin-2/ m ...1\nusr/bin/ m\nusr/bin/one own usr/bin/one\n\
                usr/bin/two own usr/bin/two\nusr/lib/ labelled ...0\nusr/share/ m ...0"),
        ),
        // A directory that says more than that it is there, and one that is new.
        (
            "d 0755 0 0 new\nd 0755 0 0 usr\nd 0700 0 0 usr/bin\nd 0711 0 0 usr/lib\n",
            &[],
            &[],
            Ok("etc-like a\nnew/ own\nusr/ m\nusr/bin-2/ m ...1\nusr/bin/ own\nusr/bin/one a\n\
                usr/bin/two link\nusr/lib/ own, labelled\nusr/lib/x/ m ...1\nusr/share/ m ...0"),
        ),
        // A label alone says nothing of a directory that is there.
        (
            "d 0755 0 0 usr\nx security.selinux 00\nd 0700 0 0 usr/lib\nx security.selinux 00\n",
            &[],
            &[],
            Ok("etc-like a\nusr/ m\nusr/bin-2/ m ...1\nusr/bin/ m ...2\nusr/lib/ own\n\
                usr/lib/x/ m ...1\nusr/share/ m ...0"),
        ),
        // Removal: of files, of directories whole, of what a pattern finds, of nothing.
        (
            "",
            &["/usr/bin/one", "/usr/share/doc/**", "/usr/lib", "/etc/x"],
            &[],
            Ok(
                "etc-like a\nusr/ m\nusr/bin-2/ m ...1\nusr/bin/ m\nusr/bin/two link\nusr/share/ m\n\
                usr/share/doc/ m\nusr/share/empty/ m ...0\nunused /etc/x",
            ),
        ),
        (
            "d 0755 0 0 usr\nd 0755 0 0 usr/share\nl 0777 0 0 usr/share/f -> x\n",
            &["/usr/share/*/d1", "/usr/bin*"],
            &[],
            Ok("etc-like a\nusr/ m\nusr/lib/ labelled ...0\nusr/share/ m\nusr/share/doc/ m\n\
                usr/share/doc/g b\nusr/share/empty/ m\nusr/share/f own usr/share/f"),
        ),
        // What is removed is in nobody's way.
        (
            "d 0755 0 0 usr\nl 0777 0 0 usr/bin -> x\n",
            &["/usr/bin"],
            &[],
            Ok(
                "etc-like a\nusr/ m\nusr/bin own usr/bin\nusr/bin-2/ m ...1\nusr/lib/ labelled ...0\n\
                usr/share/ m ...0",
            ),
        ),
        // A file where a directory is, and the reverse.
        (
            "d 0755 0 0 usr\nl 0777 0 0 usr/bin -> x\n",
            &[],
            &[],
            Err(
                "a link at /usr/bin, where the base has a directory; it would be gone with all in it",
            ),
        ),
        (
            "d 0755 0 0 etc-like\n",
            &[],
            &[],
            Err("a directory at /etc-like, where the base has a file"),
        ),
        (
            "d 0755 0 0 usr\nd 0755 0 0 usr/bin\nd 0755 0 0 usr/bin/two\n",
            &[],
            &[],
            Err("where the base has a link to x; write below what the link leads to"),
        ),
        (
            "d 0755 0 0 etc-like\nl 0777 0 0 etc-like/a -> b\nd 0755 0 0 usr\n\
             l 0777 0 0 usr/share -> x\n",
            &["/usr/share/doc/d1/f"],
            &["/etc-like", "/usr/share"],
            Ok("etc-like/ own\netc-like/a own etc-like/a\nusr/ m\nusr/bin-2/ m ...1\n\
                usr/bin/ m ...2\nusr/lib/ labelled ...0\nusr/share own usr/share\n\
                unused /usr/share/doc/d1/f"),
        ),
        (
            usr,
            &["/usr/nothing"],
            &[],
            Ok("etc-like a\nusr/ m\nusr/bin-2/ m ...1\nusr/bin/ m ...2\n\
            usr/lib/ labelled ...0\nusr/share/ m ...0\nunused /usr/nothing"),
        ),
    ] {
        let laid = lay_text(own, remove, replace);
        match expected {
            Ok(expected) => assert_eq!(laid.as_deref(), Ok(expected), "{own}"),
            Err(part) => {
                let error = laid.unwrap_err();
                assert!(error.contains(part), "{error}");
            }
        }
    }
}

#[test]
fn an_unchanged_directory_has_no_new_object() {
    let (base, root) = Base::of("a/ m\na/x b");
    let tree = Tree::default();
    // Looked at for a removal that finds nothing: made again, and what it was.
    let rules = Rules::new(["/a/y"], []);
    let plan = lay(&tree, Some((root, &base)), &rules).unwrap();
    let objects = plan.objects(|_| unreachable!());
    assert_eq!(objects.len(), 2);
    let a = &objects[0];
    assert!(a.meta.is_none());
    assert_eq!(a.named.meta, digest("m"));
    // These listings are named by their text, not by their checksum: it counts as changed.
    assert!(a.tree.is_some());
    let was = DirRef { tree: a.named.tree, meta: root.meta };
    let mut again = plan;
    again.dirs[1].was = Some(was);
    assert!(again.objects(|_| unreachable!())[0].tree.is_none());
}
