//! What the lock says of bases, of images and of commits.

use super::*;

#[test]
fn a_base_is_locked_for_each_arch() {
    let recipe = |base: &str| {
        let text = format!(
            "name: x\nversion: 1\narch: [amd64, arm64]\nimage: {{base: \"{base}\"}}\n\
             layers: [{{name: a, files: [{{path: /a, dir: true}}]}}]\n"
        );
        Recipe::parse(&text, "x.yaml").unwrap()
    };
    let base = |arch: Arch, image: &str| LockedBase {
        arch,
        image: image.to_owned(),
        digest: Digest::of("index"),
        manifest: Digest::of(arch.go()),
        released: (arch == Arch::Arm64).then_some(7),
    };
    let both = |image: &str| vec![base(Arch::Arm64, image), base(Arch::Amd64, image)];
    let made = recipe("oci:base-{{ name }}:1");
    let lock = Lock::new(&made, vec![], both("oci:base-x:1"), vec![]).unwrap();
    let text = lock.to_text();
    assert!(text.contains("\n[[base]]\narch = \"amd64\"\nimage = \"oci:base-x:1\"\n"), "{text}");
    assert_eq!(Lock::parse(&text, "x.lock").unwrap(), lock);
    assert_eq!(lock.newest_release(), Some(7));

    let says =
        |recipe: &Recipe, bases| Lock::new(recipe, vec![], bases, vec![]).unwrap_err().to_string();
    assert_eq!(
        says(&recipe("oci:other"), both("oci:base")),
        "the base for amd64 is now oci:other, oci:base is locked"
    );
    assert_eq!(
        says(&recipe("oci:base"), vec![base(Arch::Amd64, "oci:base")]),
        "the base for arm64 is now oci:base, scratch is locked"
    );
    assert_eq!(
        says(&recipe("scratch"), both("oci:base")),
        "the base for amd64 is now scratch, oci:base is locked"
    );
    let more = [both("oci:base"), vec![base(Arch::Ppc64le, "oci:base")]].concat();
    assert_eq!(
        says(&recipe("oci:base"), more),
        "a base is locked for ppc64le, which the recipe no longer builds"
    );
    let twice = text.clone() + &text[text.find("\n[[base]]").unwrap()..];
    let error = Lock::parse(&twice, "x.lock").unwrap_err().to_string();
    assert!(error.contains("the base of amd64 is there twice"), "{error}");
}

#[test]
fn a_base_commit_is_locked_for_each_arch() {
    let recipe = |base: &str| {
        let text = format!(
            "name: x\nversion: 1\narch: [amd64, arm64]\nostree: {{{base}}}\n\
             layers: [{{name: a, files: [{{path: /a, dir: true}}]}}]\n"
        );
        Recipe::parse(&text, "x.yaml").unwrap()
    };
    let tree = |arch: Arch, from: &str| LockedTree {
        arch,
        from: from.to_owned(),
        commit: Digest::of(arch.go()),
        image: None,
        released: if arch == Arch::Arm64 { 9 } else { 7 },
    };
    let both = || {
        let [arm64, amd64] = [(Arch::Arm64, "aarch64"), (Arch::Amd64, "x86_64")]
            .map(|(arch, uname)| tree(arch, &format!("ostree:../repo:os/x/{uname}")));
        vec![arm64, amd64]
    };
    let made = recipe("base: {repo: ../repo, ref: 'os/{{ name }}/{{ arch.uname }}'}");
    let lock = Lock::new(&made, vec![], vec![], both()).unwrap();
    let text = lock.to_text();
    let hex = Digest::of("amd64").hex();
    let stanza = format!(
        "\n[[ostree-base]]\narch = \"amd64\"\nfrom = \"ostree:../repo:os/x/x86_64\"\n\
         commit = \"{hex}\"\nreleased = 7\n"
    );
    assert!(text.contains(&stanza), "{text}");
    assert_eq!(Lock::parse(&text, "x.lock").unwrap(), lock);
    assert_eq!(lock.newest_release(), Some(9));

    let says =
        |recipe: &Recipe, trees| Lock::new(recipe, vec![], vec![], trees).unwrap_err().to_string();
    assert_eq!(
        says(&made, both()[..1].to_vec()),
        "the base commit for amd64 is now ostree:../repo:os/x/x86_64, none is locked"
    );
    let pinned =
        recipe(&format!("base: {{repo: ../repo, commit: {{amd64: \"{hex}\", arm64: \"{hex}\"}}}}"));
    assert_eq!(
        says(&pinned, both()),
        format!(
            "the base commit for amd64 is now ostree:../repo@{hex}, \
             ostree:../repo:os/x/x86_64 is locked"
        )
    );
    assert_eq!(
        says(&recipe("ref: 'a/{{ arch }}'"), both()),
        "the base commit for amd64 is now none, ostree:../repo:os/x/x86_64 is locked"
    );
    let more = [both(), vec![tree(Arch::Ppc64le, "ostree:../repo:os/x/ppc64le")]].concat();
    assert_eq!(
        says(&made, more),
        "a base is locked for ppc64le, which the recipe no longer builds"
    );
    let twice = text.clone() + &stanza;
    let error = Lock::parse(&twice, "x.lock").unwrap_err().to_string();
    assert!(error.contains("the base commit of amd64 is there twice"), "{error}");
    let mut image = lock.clone();
    image.trees[0].image = Some((Digest::of("index"), Digest::of("manifest")));
    assert_eq!(Lock::parse(&image.to_text(), "x.lock").unwrap(), image);
    let half: String = image
        .to_text()
        .lines()
        .filter(|line| !line.starts_with("manifest"))
        .map(|l| l.to_owned() + "\n")
        .collect();
    let error = Lock::parse(&half, "x.lock").unwrap_err().to_string();
    assert!(error.contains("both a digest and a manifest"), "{error}");
    let short = text.replace(&hex, &hex[1..]);
    let error = Lock::parse(&short, "x.lock").unwrap_err().to_string();
    assert!(error.contains("64 lowercase hex digits"), "{error}");
}
