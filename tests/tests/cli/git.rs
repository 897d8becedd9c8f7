//! Commits of git repositories: into the lock, the store and layers.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use treelay_tests::git::Repo;
use treelay_tests::http::Server;
use treelay_tests::{Env, Run};

/// A recipe whose layer is what a commit has; `input` says which.
fn recipe(env: &Env, input: &str) {
    env.write(
        "x.yaml",
        format!(
            "name: x\nversion: \"{{{{ input.src.version }}}}\"\narch: [amd64, arm64]\n\
             inputs: {{src: {{git: {{{input}}}}}}}\n\
             layers:\n\
             - {{name: src, archive: {{input: src, prefix: /src}}}}\n\
             - {{name: say, files: [{{path: /say, content: \"{{{{ input.src.commit }}}} \
             {{{{ input.src.commit.short }}}} {{{{ input.src.time }}}}\"}}]}}\n\
             image: {{annotations: {{org.opencontainers.image.revision: \
             \"{{{{ input.src.commit }}}}\"}}}}\n"
        ),
    );
}

/// A repository with everything that a commit may have, and what its filters would change.
fn repository<'e>(env: &'e Env, folder: &str, format: &str) -> Repo<'e> {
    let repo = Repo::new(env, folder, format);
    repo.write("README", "read me\n");
    repo.write("sub/run", "#!/bin/sh\n");
    repo.write("sub/deep/file", [0, 1, 2, 255]);
    repo.write("sub/deep/same", "read me\n");
    repo.write("big", vec![7; 300_000]);
    repo.write("dos", "a\nb\n");
    repo.write("stamp", "$Id$ $Format:%H$\n");
    repo.write(".gitattributes", "dos eol=crlf\nstamp ident export-subst\nREADME export-ignore\n");
    let run = env.path(format!("{folder}/sub/run"));
    fs::set_permissions(run, fs::Permissions::from_mode(0o755)).unwrap();
    symlink("sub/run", env.path(format!("{folder}/link"))).unwrap();
    repo
}

/// The tree of the layers, as a folder of the environment.
fn tree(env: &Env, to: &str, more: &[&str]) -> Run {
    let output = format!("tree:{to}");
    env.treelay(["build", "x.yaml", "--arch=amd64", "-o", &output]).args(more)
}

#[test]
fn a_commit_is_taken_as_its_objects_are() {
    for format in ["sha1", "sha256"] {
        let env = Env::new();
        let repo = repository(&env, "repo", format);
        let commit = repo.commit("first");
        repo.write("README", "later\n");
        repo.commit("second");
        recipe(&env, &format!("url: repo, commit: {commit}"));
        tree(&env, "out", &[]).ok();
        let short = &commit[..12];
        assert_eq!(env.read("out/say"), format!("{commit} {short} 2026-10-19T22:20:36Z"));
        let src = |path: &str| fs::read(env.path("out/src").join(path)).unwrap();
        assert_eq!(src("README"), b"read me\n");
        assert_eq!(src("sub/deep/file"), [0, 1, 2, 255]);
        assert_eq!(src("big"), vec![7; 300_000]);
        assert_eq!(src("dos"), b"a\nb\n");
        assert_eq!(src("stamp"), b"$Id$ $Format:%H$\n");
        let link = fs::read_link(env.path("out/src/link")).unwrap();
        assert_eq!(link.to_str(), Some("sub/run"));
        let mode = |path: &str| {
            fs::metadata(env.path("out/src").join(path)).unwrap().permissions().mode() & 0o7777
        };
        assert_eq!((mode("sub/run"), mode("README"), mode("sub")), (0o755, 0o644, 0o755));
        assert!(!env.path("out/src/.git").exists());

        // Time and version are the commit's.
        let plan = env.treelay(["plan", "x.yaml", "--json"]).ok().json();
        assert_eq!(plan["epoch"], 1_792_448_436);
        assert_eq!(plan["version"], format!("v0.0.0-20261019222036-{short}"));
        assert_eq!(plan["image"]["annotations"]["org.opencontainers.image.revision"], commit);
        let lock = env.read("x.lock");
        for line in [
            "kind = \"git\"\n",
            "source = \"git\"\nfrom = \"repo\"\n",
            &format!("commit = \"{commit}\"\n"),
            "released = 1792448436\n",
        ] {
            assert_eq!(lock.matches(line).count(), 2, "{line}: {lock}");
        }
    }
}

#[test]
fn every_place_of_a_repository_gives_the_same_lock() {
    let env = Env::new();
    let repo = repository(&env, "repo", "sha1");
    let commit = repo.commit("first");
    repo.git(["tag", "v1.2.0"]).ok();
    repo.git(["clone", "-q", "--bare", ".", "../served/bare.git"]).ok();
    env.run("git").current_dir(env.path("served/bare.git")).args(["update-server-info"]).ok();
    repo.git(["worktree", "add", "-q", "../tree", "v1.2.0"]).ok();
    repo.git(["bundle", "create", "-q", "../all.bundle", "--all"]).ok();
    let server = Server::of(&env.path("served"));
    let url = |scheme: &str| format!("{scheme}{}", env.path("served/bare.git").display());
    let places = [
        "repo".to_owned(),
        "repo/.git".to_owned(),
        "served/bare.git".to_owned(),
        "tree".to_owned(),
        "all.bundle".to_owned(),
        url("file://"),
        url(""),
        server.url("bare.git"),
    ];
    let mut locks = Vec::new();
    for (at, place) in places.iter().enumerate() {
        for which in [format!("commit: {commit}"), "ref: v1.2.0".to_owned()] {
            recipe(&env, &format!("url: \"{place}\", {which}"));
            let store =
                format!("--store={}", env.path(format!("store-{at}-{}", &which[..3])).display());
            env.treelay(["lock", "x.yaml", "--update", &store]).ok();
            let lock = env.read("x.lock");
            let pinned = |line: &&str| line.starts_with("identity") || line.starts_with("commit");
            locks.push(lock.lines().filter(pinned).map(str::to_owned).collect::<Vec<_>>());
        }
    }
    assert_eq!(locks[0].len(), 4);
    assert!(locks.iter().all(|lock| *lock == locks[0]), "{locks:#?}");
    assert!(server.requests() > 0);
}

#[test]
fn a_branch_is_pinned_until_it_is_asked_for_again() {
    let env = Env::new();
    let repo = repository(&env, "repo", "sha1");
    let first = repo.commit("first");
    recipe(&env, "url: repo, ref: main");
    tree(&env, "out", &[]).ok();
    repo.write("README", "changed\n");
    let second = repo.commit("second");
    let say = || env.read("out/say").split(' ').next().unwrap().to_owned();
    for args in [&[][..], &["--locked"], &["--locked", "--offline"]] {
        tree(&env, "out", args).ok();
        assert_eq!(say(), first, "{args:?}");
    }
    env.treelay(["lock", "x.yaml", "--check"]).ok();
    env.treelay(["lock", "x.yaml", "--update", "src"]).ok().says("src for amd64: v0.0.0-2026");
    tree(&env, "out", &["--locked"]).ok();
    assert_eq!((say(), env.read("out/src/README")), (second.clone(), "changed\n".to_owned()));

    // A tag is a version; an annotated one is the commit that it points at.
    repo.git(["tag", "-a", "-m", "two", "v2.0.0"]).ok();
    recipe(&env, &format!("url: repo, ref: v2.0.0, commit: {second}"));
    env.treelay(["lock", "x.yaml", "--check"])
        .refuses()
        .says("the options of input \"src\" changed");
    env.treelay(["lock", "x.yaml"]).ok().says("from repo is now v2.0.0 (");
    recipe(&env, &format!("url: repo, ref: v2.0.0, commit: {first}"));
    env.treelay(["lock", "x.yaml", "--check"])
        .refuses()
        .says(&format!("input \"src\" is now the commit {first}, {second} is locked"));
    env.treelay(["lock", "x.yaml"]).refuses().says(&format!(
        "the repository repo has \"v2.0.0\" at {second}, and the recipe says the commit {first}"
    ));
    // Of a branch and a tag that have one name, one has to be meant.
    repo.git(["branch", "v2.0.0", &first]).ok();
    recipe(&env, "url: repo, ref: v2.0.0");
    env.treelay(["lock", "x.yaml"]).refuses().says("write refs/heads/v2.0.0 or refs/tags/v2.0.0");
    recipe(&env, "url: repo, ref: refs/heads/v2.0.0");
    env.treelay(["lock", "x.yaml"]).ok();
    assert_eq!(env.read("x.lock").matches(&format!("commit = \"{first}\"")).count(), 2);
}

#[test]
fn what_is_known_starts_no_git() {
    let env = Env::new();
    let repo = repository(&env, "repo", "sha1");
    let commit = repo.commit("first");
    recipe(&env, &format!("url: repo, commit: {commit}"));
    tree(&env, "out", &[]).ok();
    fs::remove_dir_all(env.path("repo")).unwrap();
    let nothing = env.path("nothing");
    fs::create_dir(&nothing).unwrap();
    // Locked anew, from the store alone.
    fs::remove_file(env.path("x.lock")).unwrap();
    tree(&env, "out", &[]).env("PATH", &nothing).ok();
    env.treelay(["lock", "x.yaml", "--update"]).env("PATH", &nothing).ok();
    env.treelay(["store", "verify"]).ok();
    env.treelay(["gc", "--keep-days=1"]).ok();
    tree(&env, "out", &["--locked"]).env("PATH", &nothing).ok();

    // Another store has to ask.
    let elsewhere = format!("--store={}", env.path("elsewhere").display());
    tree(&env, "out", &["--locked", &elsewhere])
        .env("PATH", &nothing)
        .refuses()
        .says("install the package git");
    tree(&env, "out", &["--locked", &elsewhere]).refuses().says("does not appear to be a git");
    env.treelay(["gc", "--keep-days=0"]).ok();
    tree(&env, "out", &["--locked"]).refuses().says("does not appear to be a git");
}

#[test]
fn what_no_commit_is_is_refused() {
    let env = Env::new();
    let repo = repository(&env, "repo", "sha1");
    let commit = repo.commit("first");
    repo.git(["tag", "-a", "-m", "one", "v1.0.0"]).ok();
    let (tag, tree, blob) = (repo.id("v1.0.0"), repo.id("HEAD^{tree}"), repo.id("HEAD:README"));
    let nowhere = "1".repeat(40);
    let long = "1".repeat(64);
    for (input, told) in [
        (format!("url: repo, commit: {}", &commit[..12]), "is not a whole commit".to_owned()),
        ("url: repo".to_owned(), "nothing says which commit".to_owned()),
        (
            format!("url: repo, commit: {nowhere}"),
            format!("the repository repo has no commit {nowhere}"),
        ),
        (format!("url: repo, commit: {long}"), "sha".to_owned()),
        (
            format!("url: repo, commit: {tag}"),
            format!("{tag} is a tag, not a commit: its commit is {commit}"),
        ),
        (format!("url: repo, commit: {tree}"), format!("{tree} is a tree, not a commit")),
        (format!("url: repo, commit: {blob}"), format!("{blob} is a blob, not a commit")),
        ("url: repo, ref: none".to_owned(), "has no branch or tag \"none\"".to_owned()),
        ("url: gone, ref: main".to_owned(), "does not appear to be a git repository".to_owned()),
        (
            "url: \"http://127.0.0.1:1/x\", ref: main".to_owned(),
            "asking the repository http://127.0.0.1:1/x".to_owned(),
        ),
        (
            format!("url: repo, commit: {commit}, dir: sub/none"),
            format!("the commit {commit} has no folder \"sub/none\""),
        ),
        (
            format!("url: repo, commit: {commit}, dir: README"),
            format!("the commit {commit} has no folder \"README\""),
        ),
    ] {
        recipe(&env, &input);
        let run = env.treelay(["lock", "x.yaml"]).output();
        let said = run.err();
        assert!(said.starts_with("error: ") && said.contains(&told), "{input}: {said}");
        assert!(!env.path("x.lock").exists(), "{input}");
    }
    recipe(&env, "url: \"https://git.example/x\", ref: main");
    env.treelay(["lock", "x.yaml", "--offline"])
        .refuses()
        .says("src for amd64 is not at hand, and being offline forbids to download it");
    // What is on this machine needs no network.
    recipe(&env, "url: repo, ref: main, dir: sub");
    env.treelay(["lock", "x.yaml", "--offline"]).ok();
    self::tree(&env, "out", &["--locked"]).ok();
    assert_eq!(env.read("out/src/run"), "#!/bin/sh\n");
}

#[test]
fn submodules_are_refused_where_they_are() {
    let env = Env::new();
    let repo = repository(&env, "repo", "sha1");
    let first = repo.commit("first");
    let link = format!("160000,{first},other/module");
    repo.git(["update-index", "--add", "--cacheinfo", &link]).ok();
    repo.git(["commit", "-q", "-m", "second"]).ok();
    recipe(&env, "url: repo, ref: main");
    env.treelay(["lock", "x.yaml"]).refuses().says("other/module is a submodule");
    recipe(&env, "url: repo, ref: main, dir: sub/deep");
    tree(&env, "out", &[]).ok();
    assert_eq!(env.read("out/src/same"), "read me\n");
}

#[test]
fn whoever_lies_is_found_out() {
    let env = Env::new();
    let repo = repository(&env, "repo", "sha1");
    let commit = repo.commit("first");
    recipe(&env, &format!("url: repo, commit: {commit}"));
    // A git that hands out something else.
    let folder = env.path("liar");
    fs::create_dir(&folder).unwrap();
    let liar = env.write(
        "liar/git",
        "#!/bin/sh\ncase \"$*\" in cat-file*) exec 3<&0; /usr/bin/git \"$@\" <&3 | /usr/bin/sed -u \
         's/read me/READ ME/';; *) exec /usr/bin/git \"$@\";; esac\n",
    );
    fs::set_permissions(liar, fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:/usr/bin:/bin", folder.display());
    env.treelay(["lock", "x.yaml"]).env("PATH", path).refuses().says("WRONG CONTENT: the blob");

    // A lock that pins something else.
    env.treelay(["lock", "x.yaml"]).ok();
    let lock = env.read("x.lock");
    let identity = lock.lines().find(|line| line.starts_with("identity")).unwrap();
    let other = format!("identity = \"sha256:{}\"", "0".repeat(64));
    env.write("x.lock", lock.replace(identity, &other));
    tree(&env, "out", &["--locked"]).refuses().says("is not what the lock says");
    env.write("x.lock", lock.replace("released = 1792448436", "released = 1792448437"));
    let elsewhere = format!("--store={}", env.path("elsewhere").display());
    tree(&env, "out", &["--locked", &elsewhere]).refuses().says("was made at 1792448436");
    env.write("x.lock", lock.replace(&commit, &"1".repeat(40)));
    tree(&env, "out", &["--locked"]).refuses().says("is now the commit");
    env.write("x.lock", lock.replace(&commit, "main"));
    tree(&env, "out", &["--locked"]).refuses().says("the commit `main` is not a whole commit");
}

/// What a user or machine has set, and what a repository brings, changes nothing and runs nothing.
#[test]
fn settings_and_hooks_are_of_no_account() {
    let env = Env::new();
    let repo = repository(&env, "repo", "sha1");
    repo.commit("first");
    recipe(&env, "url: repo, ref: main");
    env.treelay(["lock", "x.yaml"]).ok();
    let lock = env.read("x.lock");
    let trap = format!("touch {}", env.path("trapped").display());
    for key in ["core.fsmonitor", "core.sshCommand", "uploadpack.packObjectsHook", "alias.fetch"] {
        repo.git(["config", key, &trap]).ok();
    }
    for hook in ["post-checkout", "reference-transaction", "post-update"] {
        let hook = env.write(&format!("repo/.git/hooks/{hook}"), format!("#!/bin/sh\n{trap}\n"));
        fs::set_permissions(hook, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let config = format!(
        "[core]\n\thooksPath = {hooks}\n\tautocrlf = true\n[uploadpack]\n\tpackObjectsHook = {trap}\n\
         [url \"/nowhere/\"]\n\tinsteadOf = {work}\n[protocol]\n\tallow = never\n",
        hooks = env.path("repo/.git/hooks").display(),
        work = env.path("").display(),
    );
    fs::write(env.dir().join("home/.gitconfig"), config).unwrap();
    let elsewhere = format!("--store={}", env.path("elsewhere").display());
    env.treelay(["lock", "x.yaml", "--update", &elsewhere])
        .env("GIT_DIR", env.path("nowhere"))
        .env("GIT_CONFIG_COUNT", "1")
        .env("GIT_CONFIG_KEY_0", "protocol.allow")
        .env("GIT_CONFIG_VALUE_0", "never")
        .ok();
    assert_eq!(env.read("x.lock"), lock);
    assert!(!env.path("trapped").exists());
}
