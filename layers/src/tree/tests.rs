use super::fixture::tree;
use super::*;

#[test]
fn text_and_back() {
    let (tree, _) = tree(
        "d 0700 7 8 root
         f 0644 0 0 =hello etc/motd
         x user.note 6869
         l 0777 0 0 usr/bin/gofmt -> ../lib/go",
    );
    let text = tree.to_text();
    assert_eq!(Tree::from_text(&text), Ok(tree));
    let motd = "f 0644 0 0 5 2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
    let expected = format!(
        "d 0755 0 0 etc\n{motd} etc/motd\nx user.note 6869\nd 0700 7 8 root\nd 0755 0 0 usr\n\
         d 0755 0 0 usr/bin\nl 0777 0 0 usr/bin/gofmt -> ../lib/go\n"
    );
    assert_eq!(text, expected);
}

#[test]
fn odd_names_survive() {
    for name in ["a\\nb", "a\nb", "a\rb", "a -> b", "a b", "\\", "ü"] {
        let entry = Entry::symlink(TreePath::new(name).unwrap(), name);
        let tree = Tree::from_entries(vec![entry]).unwrap();
        assert_eq!(Tree::from_text(&tree.to_text()), Ok(tree), "{name:?}");
    }
}

#[test]
fn refuses_duplicates_and_files_as_parents() {
    let file = |path: &str| Entry::new_file(TreePath::new(path).unwrap(), 0o644, Digest::of(""), 0);
    let twice = Tree::from_entries(vec![file("a"), file("a")]);
    assert!(matches!(twice, Err(TreeError::Twice(_))));
    let below = Tree::from_entries(vec![file("a"), file("a/b")]);
    assert!(matches!(below, Err(TreeError::BelowNoDirectory { .. })));
}

#[test]
fn merging_is_a_union_that_refuses_differences() {
    let (a, _) = tree("f 0644 0 0 =1 etc/a\nd 0700 0 0 root");
    let (b, _) = tree("f 0644 0 0 =1 etc/a\nf 0600 0 0 =2 root/b");
    let merged = Tree::merge([("a", &a), ("b", &b)]).unwrap().tree;
    assert_eq!(merged.get("root").unwrap().mode, 0o700);
    assert_eq!(merged.entries().len(), 4);
    assert_eq!(Tree::merge([("b", &b), ("a", &a)]).unwrap().tree, merged);

    for (other, difference) in [
        ("f 0644 0 0 =9 etc/a", "content"),
        ("f 0600 0 0 =1 etc/a", "mode"),
        ("f 0644 1 0 =1 etc/a", "owner"),
        ("d 0755 0 0 etc/a", "one is a file, the other a directory or link"),
        ("l 0777 0 0 etc -> usr/etc", "one is a file, the other a directory or link"),
    ] {
        let (c, _) = tree(other);
        let conflict = Tree::merge([("a", &a), ("c", &c)]).unwrap_err();
        assert_eq!(conflict.difference, difference, "{other}");
    }
}

#[test]
fn filtering_keeps_parents_as_they_are() {
    let (all, _) = tree("d 0700 0 0 root\nf 0644 0 0 =1 root/a\nf 0644 0 0 =2 etc/b");
    let part = all.filter(|entry| entry.path.name() == "a");
    assert_eq!(part.to_text().lines().count(), 2);
    assert_eq!(part.get("root").unwrap().mode, 0o700);
}
