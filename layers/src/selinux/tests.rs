use super::*;

fn contexts(text: &str) -> FileContexts {
    FileContexts::parse(&Texts { contexts: text.as_bytes(), ..Texts::default() }, &[]).unwrap()
}

fn own(path: &str, kind: Option<FileType>, context: &str) -> Own {
    Own { path: path.to_owned(), kind, context: context.to_owned() }
}

/// The labels of regular files.
fn labels<'a>(contexts: &'a FileContexts, paths: &[&str]) -> Vec<&'a str> {
    let label = |path: &&str| contexts.label(path.as_bytes(), FileType::Regular).unwrap();
    paths.iter().map(|path| label(path).unwrap_or("-")).collect()
}

#[test]
fn the_last_pattern_wins_and_a_literal_over_all() {
    let contexts = contexts(
        "/usr/bin/go\tliteral\n/.*\tany\n/usr/(.*/)?bin(/.*)?\tbin\n/usr/bin/.*\t-d\tdir\n\
         # a comment\n\n  /usr/lib(/.*)? lib\n/usr/lib/none(/.*)?\t<<none>>\n/usr/.*/late late",
    );
    let paths = ["/a", "/usr/bin/go", "/usr/local/bin", "/usr//bin/x/", "/usr/lib", "/usr/libx"];
    assert_eq!(labels(&contexts, &paths), ["any", "literal", "bin", "bin", "lib", "any"]);
    let paths = ["/usr/lib/none", "/usr/lib/none/x", "/usr/lib/late", "", "/", "x"];
    assert_eq!(labels(&contexts, &paths), ["-", "-", "late", "-", "any", "-"]);
    assert_eq!(contexts.label(b"/usr/bin/x", FileType::Directory).unwrap(), Some("dir"));
}

#[test]
fn files_come_in_order_and_substitutions_once_each() {
    let texts = Texts {
        contexts: b"/home/.* base\n/usr/lib/.* lib\n/var/x var\n",
        homedirs: b"/home/[^/]+/.* home\n",
        local: b"/home/me/.* local\n",
        subs: b"/opt/lib /lib\n/opt/lib /var\n",
        subs_dist: b"# of the distribution\n/lib /usr/lib\n/usr/lib /home/me\n/root /\n",
    };
    let contexts = FileContexts::parse(&texts, &[]).unwrap();
    let paths = ["/home/x", "/home/you/x", "/home/me/x", "/opt/lib/x", "/lib/x", "/usr/lib/x"];
    assert_eq!(labels(&contexts, &paths), ["base", "home", "local", "lib", "lib", "local"]);
    assert_eq!(labels(&contexts, &["/root/var/x", "/rootvar/x"]), ["var", "-"]);
}

#[test]
fn own_ones_come_before_those_of_the_policy() {
    let texts = Texts {
        contexts:
            b"/usr/bin/a -- typed\n/usr/bin/b literal\n/usr/bin/none(/.*)? <<none>>\n/.* any\n",
        local: b"/usr/bin/.* local\n",
        subs_dist: b"/bin /usr/bin\n/all /\n",
        ..Texts::default()
    };
    let own_ones = [
        own("/usr/bin/a", None, "u:own"),
        own("/usr/bin/.*", Some(FileType::Regular), "u:pattern"),
        own("/usr/bin/b[x]?", None, "u:later"),
        own("/usr/bin/c", None, NO_LABEL),
    ];
    let contexts = FileContexts::parse(&texts, &own_ones).unwrap();
    let paths = ["/usr/bin/a", "/bin/a", "/usr/bin/b", "/usr/bin/bx", "/usr/bin/x", "/usr/bin/c"];
    assert_eq!(
        labels(&contexts, &paths),
        ["u:own", "u:own", "literal", "u:later", "u:pattern", "-"]
    );
    assert_eq!(labels(&contexts, &["/usr/bin/none/x", "/x"]), ["u:pattern", "any"]);
    assert_eq!(contexts.label(b"/usr/bin/x", FileType::Symlink).unwrap(), Some("local"));

    let error =
        |path: &str| FileContexts::parse(&texts, &[own(path, None, "x")]).unwrap_err().to_string();
    assert_eq!(
        error("/bin/x(/.*)?"),
        "the context for /bin/x(/.*)? has no effect: the policy labels /bin as /usr/bin; write \
         /usr/bin/x(/.*)?"
    );
    assert!(error("/all/x").ends_with("; write /x"), "{}", error("/all/x"));
    assert_eq!(error("/é"), "entry 1 of the contexts: has characters outside of ASCII");
    assert_eq!(error("/a b"), "entry 1 of the contexts: is not one word");
    assert_eq!(error("/a(b"), "entry 1 of the contexts: the pattern /a(b has a ( without a )");
}

#[test]
fn a_type_alone_is_a_whole_context() {
    for (policy, expected) in
        [("u:r:t", "system_u:object_r:bin_t"), ("u:r:t:s0-s1:c0", "system_u:object_r:bin_t:s0")]
    {
        let contexts = format!("/none <<none>>\n/.* {policy}\n");
        let texts = Texts { contexts: contexts.as_bytes(), ..Texts::default() };
        let own_ones = [own("/a", None, "bin_t"), own("/b", None, "x:y:z")];
        let contexts = FileContexts::parse(&texts, &own_ones).unwrap();
        assert_eq!(labels(&contexts, &["/a", "/b", "/c"]), [expected, "x:y:z", policy]);
    }
}

#[test]
fn what_libselinux_refuses_is_refused() {
    for (text, problem) in [
        ("\n/a\n", "line 2: has a pattern and no context"),
        ("/a -x c", "line 1: -x is not a file type"),
        ("/a --- c", "line 1: --- is not a file type"),
        ("/é c", "line 1: has characters outside of ASCII"),
        ("/a c\u{e9}", "line 1: has characters outside of ASCII"),
    ] {
        let texts = Texts { local: text.as_bytes(), ..Texts::default() };
        let error = FileContexts::parse(&texts, &[]).unwrap_err().to_string();
        assert_eq!(error, format!("file_contexts.local: {problem}"), "{text:?}");
    }
    let long = format!("/{} c", "a".repeat(70_000));
    let texts = Texts { contexts: long.as_bytes(), ..Texts::default() };
    let error = FileContexts::parse(&texts, &[]).unwrap_err().to_string();
    assert_eq!(error, "file_contexts: line 1: has a word that is too long");
}

#[test]
fn a_pattern_that_cannot_be_compared_is_an_error_where_it_matters() {
    for (pattern, problem) in [
        (r"/a/x(?!y)", "has (?, which treelay does not know"),
        (r"/a/x(*F)", "has (*, which treelay does not know"),
        (r"/a/x\Q.\E", "has \\Q, which treelay does not know"),
        (r"/a/x\1", "has \\1, which treelay does not know"),
        (r"/a/x.++", "has a possessive quantifier, which treelay does not know"),
        (r"/a/x.**", "has a quantifier after a quantifier, which treelay does not know"),
        (r"/a/x[[.a.]]", "has a collating element, which treelay does not know"),
        (r"/a/x[[:all:]]", "has [:all:], which treelay does not know"),
        (
            r"/a/x[a-\d]",
            "has a range to something else than a character, which treelay does not know",
        ),
        (r"/a/x[z-a]", "has a range that ends before it begins"),
        (r"/a/x[a", "has a [ without a ]"),
        (r"/a/x(a", "has a ( without a )"),
        (r"/a/x)", "has a ) without a ("),
        (r"/a/x(*)", "has (*, which treelay does not know"),
        (r"/a/x(+)", "repeats nothing"),
        (r"/a/x.\", "ends with a backslash"),
        (r"/a/x(y{1000}){1000}", "is too big"),
    ] {
        let contexts = contexts(&format!("# patterns\n{pattern} c"));
        // Elsewhere, and with another beginning, it does not matter.
        assert_eq!(labels(&contexts, &["/b/x", "/a/other"]), ["-", "-"], "{pattern}");
        let error = contexts.label(b"/a/xyz", FileType::Regular).unwrap_err().to_string();
        assert_eq!(error, format!("file_contexts: line 2: the pattern {pattern} {problem}"));
    }
}
