//! Programs of git commits: from wherever the commit is, and with the stamp of version control.

use std::fs;

use treelay_tests::Env;
use treelay_tests::git::Repo;
use treelay_tests::http::Server;
use treelay_tests::modules::add_module;

use super::{build, env, report};
use crate::sdk::{ARCHES, sdk};

const MAIN: &str = "package main\n\nimport (\n\t\"os\"\n\t\"runtime/debug\"\n)\n\n\
    var commit string\n\n\
    func main() {\n\
    \tinfo, _ := debug.ReadBuildInfo()\n\
    \ttold := info.Main.Version\n\
    \tfor _, setting := range info.Settings {\n\
    \t\tif len(setting.Key) >= 3 && setting.Key[:3] == \"vcs\" {\n\
    \t\t\ttold += \" \" + setting.Key + \"=\" + setting.Value\n\
    \t\t}\n\
    \t}\n\
    \tos.Stdout.WriteString(told + \" \" + commit + \"\\n\")\n\
    }\n";

fn repository<'e>(env: &'e Env, folder: &str, format: &str) -> Repo<'e> {
    let repo = Repo::new(env, folder, format);
    repo.write("go.mod", "module example.org/said\n\ngo 1.24\n");
    repo.write("cmd/said/main.go", MAIN);
    repo
}

/// The recipe with an input for the source, and what the layer has beside it.
fn recipe(arches: &str, input: &str, more: &str) -> Env {
    let env = env(
        arches,
        &format!(
            "  - name: said\n    go-build:\n      source: {{git: src}}\n      \
             packages: [./cmd/said]\n      dest: /usr/bin\n{more}"
        ),
    );
    change_input(&env, input);
    env
}

fn change_input(env: &Env, input: &str) {
    let recipe = env.read("programs.yaml");
    let inputs = recipe.lines().find(|line| line.starts_with("inputs: ")).unwrap().to_owned();
    let new = format!(
        "inputs: {{src: {{git: {{{input}}}}}, go: {{go-toolchain: {{version: 1.27.3, sources: \
         [pypi]}}}}}}"
    );
    env.write("programs.yaml", recipe.replace(&inputs, &new));
}

const VCS: &str = "      vcs: true\n";
const COMMIT: &str = "      ldflags: -s -w -buildid= -X main.commit={{ input.src.commit }}\n";

#[test]
fn a_commit_is_built_from_wherever_it_is() {
    let env = recipe("amd64, arm64, ppc64le", "url: repo, ref: main", COMMIT);
    let repo = repository(&env, "repo", "sha1");
    let commit = repo.commit("first");
    let first = report(&env, &["-o", "oci:first"])["index"].clone();
    for arch in &ARCHES {
        build(&env, &["--arch", arch.go, "-o", &format!("tree:{}", arch.go)]).ok();
        let program = env.path(arch.go).join("usr/bin/said");
        // Nothing of version control that was not asked for.
        assert_eq!(env.qemu(arch.uname, &program).ok().out(), format!("(devel) {commit}\n"));
    }
    // From servers and files, and with the commit itself, it is the same.
    repo.git(["clone", "-q", "--bare", ".", "../served/bare.git"]).ok();
    env.run("git").current_dir(env.path("served/bare.git")).args(["update-server-info"]).ok();
    let server = Server::of(&env.path("served"));
    for url in [server.url("bare.git"), format!("file://{}", env.path("repo").display())] {
        change_input(&env, &format!("url: \"{url}\", commit: {commit}"));
        assert_eq!(report(&env, &["-o", "oci:again"])["index"], first, "{url}");
    }
    // The repository may go: no process starts.
    fs::remove_dir_all(env.path("repo")).unwrap();
    drop(server);
    let nothing = env.path("nothing");
    fs::create_dir(&nothing).unwrap();
    let again = build(&env, &["--json", "--locked", "--offline", "-o", "oci:again"]);
    assert_eq!(again.env("PATH", nothing).ok().json()["index"], first);
}

/// What Go itself writes, in a clone without history and with a git of the machine, byte for byte.
#[test]
fn the_stamp_is_the_one_that_go_itself_writes() {
    let env = recipe("amd64, arm64, ppc64le", "", VCS);
    let cases = [
        ("sha1", "v1.4.0", "v1.4.0", &ARCHES[..]),
        ("sha1", "nightly", "v0.0.0-20261019222036-", &ARCHES[..1]),
        ("sha256", "v0.1.0-rc.1", "v0.1.0-rc.1", &ARCHES[..1]),
    ];
    for (at, (format, tag, version, arches)) in cases.into_iter().enumerate() {
        let (folder, clone) = (format!("repo-{at}"), format!("clone-{at}"));
        let repo = repository(&env, &folder, format);
        let commit = repo.commit("first");
        repo.git(["tag", tag]).ok();
        change_input(&env, &format!("url: {folder}, ref: {tag}"));
        let url = format!("file://{}", env.path(&folder).display());
        let to = format!("../{clone}");
        repo.git(["clone", "-q", "--depth=1", "--branch", tag, &url, &to]).ok();
        for arch in arches {
            let tree = format!("tree-{at}-{}", arch.go);
            build(&env, &["--arch", arch.go, "-o", &format!("tree:{tree}")]).ok();
            let program = env.path(&tree).join("usr/bin/said");
            let told = env.qemu(arch.uname, &program).ok().out();
            assert!(told.starts_with(version), "{told}");
            let stamp = format!(
                " vcs=git vcs.revision={commit} vcs.time=2026-10-19T22:20:36Z vcs.modified=false"
            );
            assert!(told.contains(&stamp), "{told}");

            let go = sdk().unpacked(&ARCHES[0]).join("usr/lib/golang/bin/go");
            let own = env.path(format!("own-{at}-{}", arch.go));
            env.run(go)
                .current_dir(env.path(&clone))
                .args(["build", "-trimpath", "-buildvcs=true", "-ldflags=-s -w -buildid=", "-o"])
                .arg(&own)
                .arg("./cmd/said")
                .env("GOARCH", arch.go)
                .env("CGO_ENABLED", "0")
                .env("GOTOOLCHAIN", "local")
                .ok();
            assert_eq!(fs::read(own).unwrap(), fs::read(program).unwrap(), "{tag} {}", arch.go);
        }
    }
}

#[test]
fn stamps_need_no_sandbox_and_are_reproducible() {
    let env = recipe("amd64", "url: repo, ref: main, dir: sub", VCS);
    let repo = Repo::new(&env, "repo", "sha1");
    repo.write("README", "not a module\n");
    repo.write("sub/go.mod", "module example.org/said\n\ngo 1.24\n");
    repo.write("sub/cmd/said/main.go", MAIN);
    let commit = repo.commit("first");
    build(&env, &["-o", "tree:tree", "--check-reproducible"])
        .ok()
        .says("1 layer made again from nothing: the same");
    let told = env.run(env.path("tree/usr/bin/said")).ok().out();
    assert!(told.starts_with(&format!("(devel) vcs=git vcs.revision={commit} ")), "{told}");
    // The commit is in the program: another one is another program, even of the same files.
    let second = repo.commit("nothing");
    env.treelay(["lock", "programs.yaml", "--update", "src"]).arg(sdk().store()).ok();
    build(&env, &["-o", "tree:tree", "--sandbox=off"]).ok();
    let told = env.run(env.path("tree/usr/bin/said")).ok().out();
    assert!(told.contains(&format!("vcs.revision={second}")), "{told}");
}

/// Modules of a source that is not on this machine.
#[test]
fn modules_are_those_of_the_commit() {
    let env = recipe("amd64", "", &format!("{VCS}      modules: mods\n"));
    let recipe = env.read("programs.yaml").replace(
        "src: {git: {}}",
        "src: {git: {url: repo, ref: v1.0.0}}, mods: {go-modules: {input: src, proxy: proxy}}",
    );
    env.write("programs.yaml", recipe);
    let files = [
        ("go.mod", "module example.org/words\n\ngo 1.24\n"),
        ("words.go", "package words\n\nconst Hello = \"moin\"\n"),
    ];
    let sums = add_module(&env, "proxy", "example.org/words", "v1.2.3", &files);
    let repo = Repo::new(&env, "repo", "sha1");
    let require = "module example.org/said\n\ngo 1.24\n\nrequire example.org/words v1.2.3\n";
    repo.write("go.mod", require);
    repo.write("go.sum", &sums);
    repo.write("cmd/said/main.go", MAIN);
    repo.write(
        "cmd/said/words.go",
        "package main\n\nimport \"example.org/words\"\n\nfunc init() { println(words.Hello) }\n",
    );
    repo.commit("first");
    repo.git(["tag", "v1.0.0"]).ok();
    build(&env, &["-o", "tree:tree", "--check-reproducible"]).ok();
    let run = env.run(env.path("tree/usr/bin/said")).ok();
    assert_eq!(run.err(), "moin\n");
    assert!(run.out().starts_with("v1.0.0 vcs=git "), "{}", run.out());
    env.treelay(["lock", "programs.yaml", "--check"]).arg(sdk().store()).ok();

    // A commit with other modules is locked with them.
    repo.write("go.sum", sums.replace("h1:", "h1:A"));
    repo.commit("second");
    repo.git(["tag", "-f", "v1.0.0"]).ok();
    env.treelay(["lock", "programs.yaml", "--update", "src"])
        .arg(sdk().store())
        .refuses()
        .says("WRONG CONTENT for ");
}
