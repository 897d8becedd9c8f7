use super::*;

#[test]
fn every_rule_accepts_and_refuses() {
    let long = "x".repeat(256);
    let table: &[(&str, Rule, &[&str], &[&str])] = &[
        (
            "product_name",
            product_name,
            &["go", "go-sdk", "0ad", "a.b_c"],
            &["", "Go", "-go", ".go", "a/b", "a b", "é", "{{ arch }}"],
        ),
        ("input_name", input_name, &["go", "go-1_27"], &["", "go.dev", "Go", "-"]),
        ("layer_name", layer_name, &["Go", "go-1.27+x"], &["", ".a", "a/b", "a b"]),
        ("tag", tag, &["1.27.3", "_x", "V1"], &["", "1+2", ".1", "-1", "a/b", &long]),
        (
            "go_version",
            go_version,
            &["1.27.3", "1.27", "1.27rc1", "1.9beta2", "1.20", "stable"],
            &["", "1", "go1.27", "1.27.", "1.27.3.1", "1.27.x", "1.027", "1.27rc", "1.27.3rc1"],
        ),
        (
            "url",
            url,
            &[
                "https://a.example/b",
                "http://localhost:8080/",
                "http://127.0.0.1/x",
                "http://127.9.9.9",
                "http://[::1]:80/x",
            ],
            &[
                "",
                "a.example/b",
                "ftp://a.example",
                "http://a.example/",
                "http://localhost.example/",
                "http://127.0.0.1.example/",
                "http://127.0.0.1@a.example/",
                "https://user:secret@a.example/",
                "https:///x",
                "https://a.example/b c",
                "HTTPS://a.example",
            ],
        ),
        (
            "git_url",
            git_url,
            &[
                "https://a.example/b.git",
                "http://127.0.0.1:80/b",
                "ssh://git@a.example:22/b",
                "git@a.example:b/c.git",
                "file:///srv/a b",
                "../a",
                "a/.git",
                "/srv/a",
            ],
            &[
                "",
                "-u",
                "git://a.example/b",
                "http://a.example/b",
                "https://me:secret@a.example/b",
                "ssh://me:secret@a.example/b",
                "ssh://-oProxyCommand=x/b",
                "ssh://a.example",
                "file://a/b",
                "ext::sh -c x",
                "a\nb",
            ],
        ),
        (
            "git_commit",
            git_commit,
            &[
                "0123456789abcdef0123456789abcdef01234567",
                "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
            ],
            &["", "0123456", "v1.0", "0123456789ABCDEF0123456789ABCDEF01234567"],
        ),
        (
            "git_ref",
            git_ref,
            &["main", "v1.2.0", "feature/x", "refs/tags/v1", "é", "HEAD"],
            &[
                "", "-x", "a b", "a..b", "a/", "/a", "a//b", ".a", "a.lock", "a.", "a~1", "a^",
                "a:b", "a*", "a[b", "a\\b", "a@{1}", "@", "a?",
            ],
        ),
        (
            "absolute",
            absolute,
            &["/", "/a", "/a.b/..c/d..", "/é"],
            &["", "a", "./a", "/a/", "//a", "/a//b", "/./a", "/a/.", "/..", "/a/../b", "/a\0"],
        ),
        ("absolute_below_root", absolute_below_root, &["/a"], &["/", "a"]),
        (
            "mode",
            mode,
            &["0644", "755", "7777", "00000755", "0"],
            &["", "0o644", "888", "10000", "-1", "rwx"],
        ),
        ("pattern", pattern, &["*.pyc", "**/x", "a/b"], &["", "/a", "../a", "a/../b"]),
        (
            "xattr_name",
            xattr_name,
            &["user.comment", "security.capability", "trusted.a.b"],
            &["", "comment", "user.", "other.x"],
        ),
        (
            "reference",
            reference,
            &[
                "registry.example/tools/go",
                "registry.example/go:1.27.3",
                "localhost/a",
                "localhost:5000/a/b:x",
                "[::1]:5000/a",
            ],
            &[
                "",
                "go",
                "tools/go",
                "registry.example/",
                "registry.example/Go",
                "registry.example/go:",
                "registry.example/go:a/b",
                "registry.example/-go",
                "registry.example/go@sha256:00",
                "docker://registry.example/go",
                "registry.example/a//b",
                "registry .example/a",
            ],
        ),
        (
            "user",
            user,
            &["65532", "app", "app:app", "1:2", "a.b-c"],
            &["", ":", "a:", "a b", "a:b:c"],
        ),
        (
            "port",
            port,
            &["1", "8080", "53/udp", "443/tcp", "65535"],
            &["", "0", "65536", "080", "80/sctp", "80/", "+80", "http"],
        ),
        ("env_name", env_name, &["PATH", "_a1"], &["", "1A", "A-B", "A=B", "é"]),
        ("key", key, &["org.example.a", "é"], &["", "a b", "a\n"]),
        (
            "signal",
            signal,
            &["SIGTERM", "SIGRTMIN", "SIGRTMIN+3", "SIGRTMAX-1"],
            &["", "TERM", "sigterm", "SIGRTMIN-1", "SIGRTMIN+99", "15"],
        ),
        (
            "ostree_ref",
            ostree_ref,
            &["a", "treelay/go-sdk/x86_64", "-a/.b/c_d"],
            &["", "/a", "a/", "a//b", "a b", "a:b", "é", "a/../b", ".", "a\n"],
        ),
        ("account", account, &["app", "_x", "a-b_1"], &["", "App", "1a", "a.b", "-a", &long]),
        ("passwd_field", passwd_field, &["", "the server, ü"], &["a:b", "a\nb"]),
        ("inner_path", inner_path, &[".", "a", "a/b.c"], &["", "/a", "a//b", "a/..", "./a", "a/"]),
        ("zone", zone, &["UTC", "Etc/GMT+1", "America/New_York"], &["", "/UTC", "a.tab", "../UTC"]),
        ("package", package, &["certifi", "a.b_c-1"], &["", "-a", "a-", "a b", "a/b"]),
        ("package_version", package_version, &["2026.1.4", "1!2+x"], &["", ">=1", "1 2", "-1"]),
        (
            "duration",
            duration,
            &["30s", "1m30s", "24h", "1h1ms"],
            &["", "0s", "s", "3", "1s1m", "25h"],
        ),
        (
            "collection_id",
            collection_id,
            &["org.example.Tools", "_a._b1"],
            &["", "org", ".org", "org.", "org..a", "org.1a", "org.a-b", &format!("a.{long}")],
        ),
        (
            "sha256",
            sha256,
            &["00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"],
            &[
                "",
                "00",
                "00112233445566778899AABBCCDDEEFF00112233445566778899AABBCCDDEEFF",
                "sha256:00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff",
            ],
        ),
    ];
    for (name, rule, right, wrong) in table {
        for text in *right {
            assert_eq!(rule(text), Ok(()), "{name}: {text:?}");
        }
        for text in *wrong {
            assert!(rule(text).is_err(), "{name}: {text:?}");
        }
    }
}
