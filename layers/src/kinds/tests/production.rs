//! What production images need: attributes and capabilities, accounts, certificates, time zones.

use super::*;

#[test]
fn files_have_capabilities() {
    let with_caps = |entry: FileEntry| vec![FileEntry { caps: Some(text("cap_chown=p")), ..entry }];
    let layer = with_caps(FileEntry { content: Some(text("x")), ..file("/bin/x") });
    let (tree, _) = made(&layer, Arch::Amd64);
    let value = hex::decode("0000000201000000000000000000000000000000").unwrap();
    let expected = [("security.capability".to_owned(), value)];
    assert_eq!(tree.get("bin/x").unwrap().xattrs(), expected);

    for entry in [
        FileEntry { dir: Some(true), ..file("/bin") },
        FileEntry { link: Some(text("x")), ..file("/bin/y") },
    ] {
        let refused = with_caps(entry).needs(Arch::Amd64).unwrap_err();
        assert!(refused.to_string().contains("only files have capabilities"), "{refused}");
    }
}

/// The kind of a layer with `attributes` on top.
fn with_attributes(attributes: Vec<PathAttributes>) -> Layer {
    let yaml = "name: t\nversion: 1\narch: [amd64]\n\
                layers: [{name: d, directory: {source: tree, prefix: /opt/app}}]\n";
    let recipe = treelay_recipes::Recipe::parse(yaml, "t.yaml").unwrap();
    Layer { attributes, ..recipe.layers[0].clone() }
}

fn path(path: &str) -> PathAttributes {
    PathAttributes {
        path: text(path),
        mode: None,
        uid: None,
        gid: None,
        user: None,
        xattrs: BTreeMap::new(),
        caps: None,
    }
}

#[test]
fn any_layer_may_have_attributes() {
    let plain = with_attributes(Vec::new());
    let layer = with_attributes(vec![
        PathAttributes {
            mode: Some(text("0500")),
            uid: Some(7),
            xattrs: BTreeMap::from([("user.note".to_owned(), text("hi"))]),
            caps: Some(text("cap_net_bind_service=ep")),
            ..path("/opt/app/bin/run")
        },
        PathAttributes { gid: Some(8), ..path("/opt/app/link") },
    ]);
    let (before, _) = made(&of_layer(&plain).unwrap(), Arch::Amd64);
    let (after, _) = made(&of_layer(&layer).unwrap(), Arch::Amd64);
    let changed: Vec<_> =
        after.entries().iter().filter(|entry| !before.entries().contains(entry)).collect();
    let [run, link] = changed[..] else { panic!("{changed:?}") };
    assert_eq!((run.path.as_str(), run.mode, run.owner.uid), ("opt/app/bin/run", 0o500, 7));
    let names: Vec<_> = run.xattrs().iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["security.capability", "user.note"]);
    assert_eq!((link.path.as_str(), link.owner.gid), ("opt/app/link", 8));
    assert_eq!(Tree::from_text(&after.to_text()).unwrap(), after);

    let options = |layer: &Layer| of_layer(layer).unwrap().options(Arch::Amd64).unwrap();
    assert_eq!(options(&plain)["attributes"], Value::Null);
    assert_ne!(options(&layer), options(&plain));

    for (attributes, says) in [
        (path("/usr/bin/run"), "the layer has no /usr/bin/run; it has /opt/app/bin/run"),
        (
            PathAttributes { mode: Some(text("0644")), ..path("/opt/app/link") },
            "links have no mode",
        ),
        (PathAttributes { caps: Some(text("=p")), ..path("/opt/app/bin") }, "is no file"),
    ] {
        let layer = with_attributes(vec![attributes]);
        let (tree, local) = (local(), Memory::default());
        let given = Given { items: &[Item::Tree(&tree)], contents: &local };
        let kind = of_layer(&layer).unwrap();
        let refused = kind.tree(Arch::Amd64, &given, &mut Memory::default()).unwrap_err();
        assert!(refused.to_string().contains(says), "{refused}");
    }
    let bad = with_attributes(vec![PathAttributes { caps: Some(text("chown=p")), ..path("/a") }]);
    assert!(of_layer(&bad).unwrap().needs(Arch::Amd64).is_err());
}

#[test]
fn users_are_files_and_homes() {
    let (tree, own) = made(&users(), Arch::Amd64);
    let home = tree.get("home/app").unwrap();
    assert_eq!((home.mode, home.owner.uid, home.owner.gid), (0o700, 65532, 65532));
    let (digest, _) = tree.get("etc/passwd").unwrap().file().unwrap();
    let passwd = String::from_utf8(own.0[digest].clone()).unwrap();
    assert!(passwd.ends_with("app:*:65532:65532::/home/app:/sbin/nologin\n"), "{passwd}");
    assert!(tree.get("etc/shadow").is_none());
}

#[test]
fn certificates_are_where_everybody_looks() {
    let own = format!("corp\n{}", PEM.replace("MAIBAg", "MAIBAw"));
    let (input, mut contents) = one_file("certifi/cacert.pem", PEM.as_bytes());
    let (digest, size) = contents.put(&mut own.as_bytes()).unwrap();
    let items = [Item::Tree(&input), Item::File { digest, size, executable: false }];
    let layer = CertificatesLayer { input: text("ca"), path: None, add: vec![text("corp.pem")] };
    assert_eq!(layer.needs(Arch::Amd64).unwrap().len(), 2);
    let mut sink = Memory::default();
    let given = Given { items: &items, contents: &contents };
    let tree = layer.tree(Arch::Amd64, &given, &mut sink).unwrap();
    let (digest, _) = tree.get("etc/ssl/certs/ca-certificates.crt").unwrap().file().unwrap();
    let bundle = String::from_utf8(sink.0[digest].clone()).unwrap();
    assert_eq!(bundle, format!("{PEM}{}", PEM.replace("MAIBAg", "MAIBAw")));
    for entry in tree.entries() {
        let Node::Symlink { target } = &entry.node else { continue };
        let mut at: Vec<&str> = entry.path.as_str().split('/').collect();
        at.pop();
        for part in target.split('/') {
            if part == ".." {
                at.pop();
            } else {
                at.push(part);
            }
        }
        assert_eq!(at.join("/"), "etc/ssl/certs/ca-certificates.crt", "{}", entry.path);
    }

    let (other, contents) = one_file("ca/a.crt", PEM.as_bytes());
    for (path, says) in [(None, "the input has no certifi/cacert.pem"), (Some("c"), "has no c,")] {
        let layer = CertificatesLayer { path: path.map(text), ..layer.clone() };
        let given = Given { items: &[Item::Tree(&other)], contents: &contents };
        let refused = layer.tree(Arch::Amd64, &given, &mut Memory::default()).unwrap_err();
        assert!(refused.to_string().contains(says), "{refused}");
    }
    for place in ["ca", "ca/a.crt", "."] {
        let layer = CertificatesLayer { path: Some(text(place)), add: Vec::new(), ..layer.clone() };
        let given = Given { items: &[Item::Tree(&other)], contents: &contents };
        layer.tree(Arch::Amd64, &given, &mut Memory::default()).unwrap();
    }
}

#[test]
fn zones_from_packages_and_from_go() {
    let zip = {
        let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
        for name in ["Etc/UTC", "Europe/Berlin"] {
            zip.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
            std::io::Write::write_all(&mut zip, b"TZif").unwrap();
        }
        zip.finish().unwrap().into_inner()
    };
    let package = tree(ZONES);
    for (input, contents) in [package, one_file("lib/time/zoneinfo.zip", &zip)] {
        let given = Given { items: &[Item::Tree(&input)], contents: &contents };
        let make = |layer: TzdataLayer| layer.tree(Arch::Amd64, &given, &mut Memory::default());
        let tree = make(zones(Some("Europe/Berlin"))).unwrap();
        assert!(tree.get("usr/share/zoneinfo/Etc/UTC").is_some());
        assert!(!tree.to_text().contains("__init__"));
        assert!(tree.to_text().contains("etc/localtime -> ../usr/share/zoneinfo/Europe/Berlin"));
        let refused = make(zones(Some("Europe/Atlantis"))).unwrap_err();
        assert_eq!(refused.to_string(), "the input has no time zone Europe/Atlantis");
    }
    let (input, contents) = one_file("a", b"");
    let given = Given { items: &[Item::Tree(&input)], contents: &contents };
    let refused = zones(None).tree(Arch::Amd64, &given, &mut Memory::default()).unwrap_err();
    assert!(refused.to_string().contains("no Etc/UTC is in it"), "{refused}");
}
