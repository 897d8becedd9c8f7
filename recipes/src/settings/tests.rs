use std::time::Duration;

use super::read::HOST;
use super::*;
use crate::error::Problem;

fn brief(text: &str, whose: Whose) -> Vec<String> {
    let problems = Settings::parse(text, "treelay.toml", whose).unwrap_err().problems;
    let label = |problem: &Problem| problem.label().unwrap_or_default();
    let line = |p: &Problem| format!("{}:{} {} | {}", p.at.line, p.at.column, p.message, label(p));
    problems.iter().map(line).collect()
}

#[test]
fn all_that_a_user_may_say() {
    let text = r#"
        [[mirror]]
        from = "go.dev"
        to = ["https://m.example/go", "/srv/go"]
        only = true
        [host."M.example:8443"]
        ca = "ca.pem"
        client-cert = "me.pem"
        client-key = "me.key"
        min-tls = "1.3"
        user = "me"
        password-file = "pw"
        [host."t.example"]
        token-env = "TOKEN"
        [limits]
        resolve = "1s"
        first-byte = "1m30s"
        tries = 2
    "#;
    let settings = Settings::parse(text, "treelay.toml", Whose::User).unwrap();
    let mirror = &settings.mirrors[0];
    assert_eq!((mirror.from.as_str(), mirror.only), ("https://go.dev/", true));
    assert_eq!(mirror.to, ["https://m.example/go/", "/srv/go"]);
    let host = &settings.hosts["m.example:8443"];
    let password = SecretPlace::File("pw".into());
    assert_eq!(host.login, Some(LoginSetting::Basic { user: "me".into(), password }));
    assert_eq!(host.client, Some(("me.pem".into(), "me.key".into())));
    let token = LoginSetting::Bearer(SecretPlace::Env("TOKEN".into()));
    assert_eq!(settings.hosts["t.example"].login, Some(token));
    let limits = settings.limits;
    assert_eq!((limits.tries, limits.first_byte), (Some(2), Some(Duration::from_secs(90))));
}

#[test]
fn what_is_wrong_has_a_place() {
    for (text, expected) in [
        (
            "mirrors = 1",
            &["1:1 unknown key `mirrors` in treelay.toml | did you mean `mirror`?"][..],
        ),
        ("a = ", &["1:5 string values must be quoted, expected literal string | "]),
        (
            "[[mirror]]\nfrom = \"http://a.example/\"\nto = []\nonyl = true",
            &[
                "2:8 the address `http://a.example/` is plain http to another machine; use https | ",
                "3:6 `to` is empty | ",
                "4:1 unknown key `onyl` in mirror | did you mean `only`?",
            ],
        ),
        (
            "[host.\"a.example\"]\nuser = \"me\"\n[host.\"b/c\"]\nmin-tls = \"1.1\"\nclient-key = \"k\"",
            &[
                "2:8 `user` without a password | \
                 expected `password-env` or `password-file` beside it",
                "3:7 a host is neither a name with or without a port, nor `*` | ",
                "4:11 no such version of TLS | expected 1.2 or 1.3",
                "5:14 `client-key` without `client-cert` | ",
            ],
        ),
        (
            "[host.\"*\"]\ntoken-env = \"T\"\n[limits]\ntries = 0\nconnect = \"soon\"",
            &[
                "2:13 `token-env` would be for every host | expected it at the host it is for",
                "4:9 `tries` is no number from 1 to 100 | ",
                "5:11 `connect` is no time | expected one such as \"1m30s\", \"10s\" or \"500ms\"",
            ],
        ),
    ] {
        let found = brief(text, Whose::User);
        let syntax = text == "a = ";
        assert!(found == expected || (syntax && found[0].starts_with("1:")), "{found:#?}");
    }
}

#[test]
fn a_project_neither_trusts_nor_logs_in() {
    for key in HOST.into_iter().filter(|key| *key != "min-tls") {
        let found = brief(&format!("[host.\"a.example\"]\n{key} = \"x\"\n"), Whose::Project);
        let said = format!("`{key}` is for the user's own treelay.toml alone");
        assert!(found[0].contains(&said), "{found:?}");
    }
    let text = "[host.\"a.example\"]\nmin-tls = \"1.3\"\n[[mirror]]\nfrom=\"a\"\nto=[\"m\"]\n";
    Settings::parse(text, "treelay.toml", Whose::Project).unwrap();
}

#[test]
fn what_may_be_a_secret_is_not_shown() {
    for text in [
        "[[mirror]]\nfrom = \"https://a.example\"\nto = [\"https://me:s3cret@b.example/\"]\n",
        // Another problem on the line of one that is hidden.
        "mirror = [{ frm = 1, to = [\"https://me:s3cret@b.example/\"] }]\n",
        "[[mirror]]\nfrom = \"a.example\"\nto = [\"https://b.example/?sig=s3cret\"]\n",
        "[[mirror]]\nfrom = \"a.example\"\nto = [\"https://b.example:s3cret/\"]\n",
        "[host.\"a.example\"]\ntoken = \"s3cret\"\n",
        "[host.\"a.example\"]\ntoken-env = \"s3cret+/\"\n",
        "[host.\"a.example\"]\nuser = \"s3cret\"\n",
        "[host.\"me:s3cret@a.example\"]\nmin-tls = \"1.2\"\n",
        "host.\"a.example\" = { min-tls = 1, password = \"s3cret\" }\n",
        "[host.\"a.example\"]\ntoken-file = s3cret\n",
    ] {
        let error = Settings::parse(text, "treelay.toml", Whose::User).unwrap_err();
        assert!(error.to_string().contains("treelay.toml:"), "{error}");
        assert!(!error.to_string().contains("s3cret"), "{text}\n{error}");
    }
}

#[test]
fn a_host_is_there_once_however_it_is_written() {
    let text = "[host.\"A.example\"]\nca = \"a\"\n[host.\"a.example\"]\nca = \"b\"\n";
    let found = brief(text, Whose::User);
    assert!(found[0].contains("the host `a.example` is there already"), "{found:?}");
}
