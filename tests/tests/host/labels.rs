//! SELinux labels are those of libselinux 3.8.1.

use std::path::Path;

use treelay_layers::selinux::FileType;
use treelay_tests::Env;
use treelay_tests::selinux::{Paths, Policy, paths_of_machine};

#[test]
fn as_libselinux_3_8_1_on_debians_policy() {
    let env = Env::new();
    let policy = Policy::of_debian(&env);
    let mut paths = policy.paths();
    for folder in ["/usr", "/etc", "/var"] {
        paths.extend(paths_of_machine(Path::new(folder), 10_000));
    }
    assert!(paths.len() > 10_000, "{}", paths.len());
    let labels = policy.ask(|| env.trixie(["/usr/sbin/matchpathcon"]), &paths);
    let (differences, labelled) = policy.differences(&paths, &labels);
    assert!(labelled > 10_000, "{labelled} of {}", paths.len());
    assert_eq!(differences, Vec::<String>::new());
}

/// Where implementations of the same idea part.
const CONTEXTS: &str = r"
/.*                             a:a:default:s0
/                               -d a:a:root:s0
/usr/(.*/)?bin(/.*)?            a:a:bin:s0
/usr/lib(/.*)?                  a:a:lib:s0
/usr/lib/.+\.so(\.[^/]*)*       --  a:a:so:s0
/usr/lib/none(/.*)?             <<none>>
/usr/lib/none/but               a:a:literal:s0
/usr/lib/deep/deeper/deepest/.* a:a:deep:s0
/th/r/ee/.*                     <<none>>
/th/r/.*                        a:a:three:s0
/fo/u/r/names/.*                <<none>>
/fo/u/r/.*                      a:a:four:s0
/usr/lib/deep/.*                a:a:later:s0
/twice                          a:a:first:s0
/twice                          a:a:second:s0
/typed                          a:a:any:s0
/typed                          -d a:a:dir:s0
/typed                          -- a:a:file:s0
/typed                          -- a:a:again:s0
/never                          -d <<none>>
/alt/one|/alt/two               a:a:alternative:s0
/alt/x/one/a|/other/x/one/b     a:a:far:s0
/al(t|u)/(three|four|)(/x)?     a:a:group:s0
/q/a?b*c+d{2}e{1,2}f{3,}g{,2}h{ a:a:quantifier:s0
/q/lazy.*?x+?y??z               a:a:lazy:s0
/c/[]a-c^-]                     a:a:class:s0
/c/[^]/x]y                      a:a:not:s0
/c/[[:alpha:]_][[:^digit:]&&z]  a:a:named:s0
/c/[\d\-\]~][\w.]\s?\S\D\W      a:a:sets:s0
/e/\.\+\*\?\(\)\[\]\{\}\|\^\$\-\_\,  a:a:escapes:s0
/e/\:\/\@\#                     a:a:other:s0
/e/a$                           a:a:dollar:s0
/e/(b$|^/e/c)                   a:a:anchors:s0
//double//slash                 a:a:double:s0
//double//pattern(/.*)?         a:a:pattern:s0
/dash/a-z_%~<>&#;:=@!'          a:a:plain:s0
no/slash/here.*                 a:a:unrooted:s0
/ends/in/slash/                 a:a:slash:s0
/words  --  a:a:words:s0  more  of them
";

const LOCAL: &str = r"
# of the machine
/twice                          a:a:local:s0
/usr/lib/local                  -l a:a:link:s0
/usr/lib/.*/here                a:a:here:s0
/usr/.*                         -p a:a:pipe:s0
/usr/lib/none/.*                -s a:a:socket:s0
";

const SUBS: &str = "\n  # here too\n/sub /usr/lib\n/sub/more /alt\n/one\n/toroot /\n/x /sub2 y\n";
const SUBS_DIST: &str = "/lib64 /usr/lib\n/usr/lib/again /twice\n/sub2 /typed\n/sub2 /twice\n";

const PATHS: &str = "/ // /a /a/ //a//b/// /usr/bin /usr/x/y/bin/z /usr/lib/x.so.1.2 /usr/lib/x.so/ \
    /usr/lib/none /usr/lib/none/but /usr/lib/none/or /usr/lib/deep/deeper/deepest/x \
    /th/r/ee/x /th/r/x /fo/u/r/names/x /alt/x/other/x/one/b /usr/lib/deep/deeper/x /usr/lib/deep/x /twice /twice/ /typed /never /alt/one /alt/two \
    /alt/two/x /x/alt/two /alt/x/one/a /alt/x/one/a/b /other/x/one/b /z/other/x/one/b /alt/three \
    /alu/ /alu/four/x /q/bccddefffgh{ /q/acddeeffffggh{ /q/acdeffh{ /q/lazyxz /q/lazyaaxxyz /c/] \
    /c/b /c/^ /c/- /c/d /c/zy /c/xy /c/]y /c/aa /c/_& /c/a1 /c/é /c/7.a!? /c/]_x./ /e/.+*?()[]{}|^$-_, \
    /e/:/@# /e/a /e/a$ /e/b /e/c /e/e/b /double/slash //double//slash /double/pattern/x \
    /dash/a-z_%~<>&#;:=@!' no/slash/here no/slash/here/x /no/slash/here /ends/in/slash /ends/in/slash/ \
    /words /usr/lib/local /usr/lib/a/b/here /usr/lib/here /sub /sub/x.so /sub/more/one /submore /one \
    /toroot /toroot/ /toroot/twice /torootx /x /x/y /sub2 /lib64/again /lib64/x.so /lib64x \
    /usr/lib/again /usr/lib/again/x relative";

#[test]
fn as_libselinux_3_8_1_where_it_is_hard_to_say() {
    let env = Env::new();
    let texts = [("", CONTEXTS), (".local", LOCAL), (".subs", SUBS), (".subs_dist", SUBS_DIST)];
    let texts = texts.map(|(part, text)| (part, text.as_bytes().to_vec()));
    let policy = Policy::new(&env, "made", texts.to_vec());
    let mut paths: Paths = policy.paths();
    // A dot is any byte, and `$` is also before a newline at the end.
    let more = ["/e/a\n", "/e/a\n\n", "/usr/lib\n", "/usr/lib/\n/x", "/twice\n", "/c/x\ny"];
    for path in PATHS.split_whitespace().chain(more) {
        paths.extend(FileType::ALL.map(|kind| (kind, path.to_owned())));
    }
    let labels = policy.ask(|| env.trixie(["/usr/sbin/matchpathcon"]), &paths);
    let (differences, labelled) = policy.differences(&paths, &labels);
    assert!(labelled > 500, "{labelled} of {}", paths.len());
    assert_eq!(differences, Vec::<String>::new());
}
