//! What a build asks for, and which of its products are taken.

use super::*;

#[test]
fn a_build_asks_for_one_action_that_names_no_place() {
    let layer = go_build();
    let (tree, _) = made(&layer, Arch::Arm64);
    assert_eq!(tree.get("usr/bin/server").unwrap().mode, 0o755);
    let (go, src) = (local(), local());
    let items = [Item::Tree(&go), Item::Tree(&src)];
    let given = Given { items: &items, contents: &Memory::default() };
    let action = layer.action(Arch::Arm64, Arch::Amd64, &given).unwrap().unwrap();
    assert_eq!(
        action.command.arguments[1..],
        [
            "build",
            "-C=/treelay/src",
            "-trimpath",
            "-buildvcs=false",
            "-ldflags=-s -w -buildid=",
            "-tags=a,b",
            "-o=/treelay/out/",
            "--",
            "./cmd/server"
        ]
    );
    let env = |name: &str| action.command.environment.get(name).map(String::as_str);
    for (name, value) in [
        ("CGO_ENABLED", "0"),
        ("GOARCH", "arm64"),
        ("GOARM64", "v8.0"),
        ("GODEBUG", "x=1"),
        ("GOTOOLCHAIN", "local"),
        ("GOPROXY", "off"),
    ] {
        assert_eq!(env(name), Some(value), "{name}");
    }
    assert_eq!(env("HOME"), None);
    assert_eq!(action.command.platform["ISA"], "x86-64");

    // A stand-in for git is started first, by the machine's own Go, and starts the same.
    let commit = Commit { id: "01".repeat(20), time: 1, tag: Some("v1.0.0".to_owned()) };
    let stamp = Some(Stamp { commit, dir: Some("sub/dir".to_owned()) });
    let stamped = GoBuildLayer { stamp, ..go_build() };
    assert_ne!(stamped.options(Arch::Arm64).unwrap(), layer.options(Arch::Arm64).unwrap());
    let action = stamped.action(Arch::Arm64, Arch::Amd64, &given).unwrap().unwrap();
    let (arguments, env) = (&action.command.arguments, &action.command.environment);
    let wrapped = arguments.iter().position(|argument| argument == "--").unwrap();
    assert_eq!(arguments[1], "run");
    assert!(arguments[..wrapped].iter().any(|argument| argument == "GOARM64=v8.0"));
    assert_eq!(
        arguments[wrapped + 1..][..5],
        ["/treelay/go/bin/go", "build", "-C=/treelay/src/sub/dir", "-trimpath", "-buildvcs=true"]
    );
    assert_eq!(
        (env["GOARCH"].as_str(), env.get("GOARM64"), env.get("GODEBUG")),
        ("amd64", None, None)
    );
    let places: Vec<&str> = action.inputs.iter().map(|input| input.at).collect();
    assert_eq!(places, ["go", "src", "vcs"]);
    assert!(action.inputs[1].tree.get(".git").is_some_and(|git| git.node == Node::Dir));
    assert!(action.inputs[1].tree.get("sub/dir/bin/run").is_some());
    let brought = Digest::of(stamped.brings().unwrap());
    let git = action.inputs[2].tree.get("git.go").unwrap();
    assert_eq!(git.file().unwrap().0, &brought);

    // What makes no program is named.
    let other = GoBuildLayer { packages: vec![text("./cmd/other"), text("./...")], ..go_build() };
    let (distribution, mut contents) = go::tests::raw(&go::tests::files(Arch::Arm64), "go/", 0o644);
    let program = contents.put(&mut &*Sample::good(Arch::Arm64).bytes()).unwrap();
    let entry = Entry::new_file(TreePath::new("out/server").unwrap(), 0o755, program.0, program.1);
    let renamed = Entry { path: TreePath::new("out/renamed").unwrap(), ..entry.clone() };
    let renamed = Tree::from_entries(vec![renamed]).unwrap();
    let items = [Item::Tree(&distribution), Item::Tree(&src), Item::Tree(&renamed)];
    let given = Given { items: &items, contents: &contents };
    let told = go_build().tree(Arch::Arm64, &given, &mut Memory::default()).unwrap_err();
    assert!(matches!(told, KindError::Gate { program, .. } if program == "renamed"));
    let outputs = Tree::from_entries(vec![entry]).unwrap();
    let items = [Item::Tree(&distribution), Item::Tree(&src), Item::Tree(&outputs)];
    let given = Given { items: &items, contents: &contents };
    let told = |layer: &GoBuildLayer| {
        layer.tree(Arch::Arm64, &given, &mut Memory::default()).unwrap_err().to_string()
    };
    assert_eq!(told(&other), "`./cmd/other` makes no program: its package is not main");
    let small = GoBuildLayer { max_size: Some(9), ..go_build() };
    assert!(told(&small).starts_with("the program server has "), "{}", told(&small));
}
