//! What is built.

use std::fs;
use std::path::{Path, PathBuf};

use treelay_tests::Env;
use treelay_tests::modules::add_module;

use super::{build, env, report};
use crate::sdk::{ARCHES, listing, of_arch, sdk};

/// A program with a vendored dependency, a tag, and a variable that the linker sets.
fn vendored(env: &Env) {
    env.write(
        "hello/go.mod",
        "module example.org/hello\n\ngo 1.24\n\nrequire example.org/words v1.0.0\n",
    );
    env.write("hello/go.sum", "");
    env.write(
        "hello/vendor/modules.txt",
        "# example.org/words v1.0.0\n## explicit; go 1.24\nexample.org/words\n",
    );
    env.write(
        "hello/vendor/example.org/words/words.go",
        "package words\n\nconst Hello = \"hello\"\n",
    );
    env.write(
        "hello/cmd/hello/main.go",
        "package main\n\nimport (\n\t\"os\"\n\t\"runtime\"\n\n\t\"example.org/words\"\n)\n\n\
         var version = \"none\"\n\nfunc main() {\n\tos.Stdout.WriteString(words.Hello + \" \" + \
         version + \" \" + runtime.GOARCH + tagged + \"\\n\")\n}\n",
    );
    env.write(
        "hello/cmd/hello/tagged.go",
        "//go:build special\n\npackage main\n\nconst tagged = \" tagged\"\n",
    );
    env.write(
        "hello/cmd/hello/plain.go",
        "//go:build !special\n\npackage main\n\nconst tagged = \"\"\n",
    );
    // It is not part of the source: a build cannot depend on it.
    env.write("hello/.git/HEAD", env.dir().display().to_string());
}

const HELLO: &str = "  - name: hello\n    go-build:\n      source: {dir: hello}\n      \
                     packages: [./cmd/hello]\n      dest: /usr/bin\n      tags: [special]\n      \
                     ldflags: -s -w -buildid= -X main.version={{ version }}\n";

#[test]
fn programs_of_the_distribution_run_on_every_arch() {
    let layers =
        "  - name: tools\n    go-build: {packages: [cmd/gofmt, cmd/vet, cmd/go], dest: /usr/bin}\n";
    let env = env("amd64, arm64, ppc64le", layers);
    report(&env, &["-o", "oci:layout"]);
    for arch in &ARCHES {
        build(&env, &["--arch", arch.go, "-o", &format!("tree:{}", arch.go)]).ok();
        let bin = env.path(arch.go).join("usr/bin");
        let run = |name: &str| env.qemu(arch.uname, &bin.join(name));
        let source = env.write("ugly.go", "package x\nfunc  f ( ) { }\n");
        assert_eq!(run("gofmt").arg(source).ok().out(), "package x\n\nfunc f() {}\n");
        // Who does not say it itself is told by GOROOT where the rest of Go is.
        let version = run("go").env("GOROOT", sdk().unpacked(arch).join("usr/lib/golang"));
        let version = version.env("GOTOOLCHAIN", "local").arg("version").ok().out();
        assert_eq!(version, format!("go version go1.27.3 linux/{}\n", arch.go));
        assert!(run("vet").arg("-V=full").ok().out().starts_with("vet version go1.27.3"));
    }
    // The distribution's own tool agrees about what they are.
    let go = sdk().unpacked(&ARCHES[0]).join("usr/bin/go");
    let program = env.path("ppc64le/usr/bin/gofmt");
    let said = env.run(go).env("GOTOOLCHAIN", "local").args(["version", "-m"]).arg(program).ok();
    for words in
        ["go1.27.3\n", "path\tcmd/gofmt", "CGO_ENABLED=0", "GOARCH=ppc64le", "-trimpath=true"]
    {
        let said = said.out();
        assert!(said.contains(words), "{words}: {said}");
    }
}

#[test]
fn a_vendored_program_runs_from_image_and_commit() {
    let env = env("amd64, arm64, ppc64le", HELLO);
    vendored(&env);
    let report = report(&env, &["-o", "oci:layout", "-o", "ostree:repo"]);
    for arch in &ARCHES {
        let checkout = env.path(format!("checkout-{}", arch.go));
        let commit = of_arch(&report["commits"], arch)["checksum"].as_str().unwrap();
        env.ostree(["checkout", "--repo=repo", "-U", commit]).arg(&checkout).ok();
        let program = checkout.join("usr/bin/hello");
        let said = env.qemu(arch.uname, &program).ok().out();
        assert_eq!(said, format!("hello 1.0 {} tagged\n", arch.go));
        let text = listing(&env, &checkout).lines().collect::<Vec<_>>().join("\n");
        assert!(text.contains("usr/bin/hello f 755 "), "{text}");

        let single = format!("oci:{}:x", env.path(format!("single-{}", arch.go)).display());
        let copy = ["copy", "--quiet", "--override-arch", arch.go, "--override-os=linux"];
        env.skopeo(copy).arg("oci:layout:1.0").arg(&single).ok();
        let unpacked = env.path(format!("unpacked-{}", arch.go));
        env.umoci_unpack(single.strip_prefix("oci:").unwrap(), &unpacked).ok();
        assert_eq!(fs::read(unpacked.join("usr/bin/hello")).unwrap(), fs::read(&program).unwrap());
    }
    let image = format!("oci:{}:1.0", env.path("layout").display());
    let said = env.podman(["run", "--rm", "--network=none", &image, "/usr/bin/hello"]).ok().out();
    assert_eq!(said, "hello 1.0 amd64 tagged\n");
}

/// A workspace of two modules, one of which needs a module of a proxy.
#[test]
fn modules_and_workspaces_are_built_without_network() {
    let layer = "  - name: all\n    go-build: {source: {dir: work}, packages: [./one/cmd/one, \
                 ./two], dest: /usr/bin, modules: mods}\n";
    let env = env("amd64", layer);
    let input = "inputs: {mods: {go-modules: {dir: work, proxy: proxy}}, go: ";
    env.write("programs.yaml", env.read("programs.yaml").replace("inputs: {go: ", input));
    // Capitals are escaped in caches and proxies.
    let files = [
        ("go.mod", "module example.org/Words\n\ngo 1.24\n"),
        ("words.go", "package words\n\nconst Hello = \"moin\"\n"),
    ];
    let sums = add_module(&env, "made", "example.org/Words", "v1.2.3", &files);
    env.run("cp").args(["-r", "made", "proxy"]).ok();
    fs::rename(env.path("proxy/example.org/Words"), env.path("proxy/example.org/!words")).unwrap();
    env.write("work/go.work", "go 1.24\n\nuse (\n\t./one\n\t./two\n)\n");
    env.write(
        "work/one/go.mod",
        "module example.org/one\n\ngo 1.24\n\nrequire example.org/Words v1.2.3\n",
    );
    env.write("work/one/go.sum", sums);
    env.write(
        "work/one/say/say.go",
        "package say\n\nimport \"example.org/Words\"\n\nfunc Hello() { println(words.Hello) }\n",
    );
    env.write(
        "work/one/cmd/one/main.go",
        "package main\n\nimport \"example.org/one/say\"\n\nfunc main() { say.Hello() }\n",
    );
    env.write("work/two/go.mod", "module example.org/two\n\ngo 1.24\n");
    env.write("work/two/main.go", "package main\n\nimport \"example.org/one/say\"\n\nfunc main() { say.Hello(); println(\"two\") }\n");
    build(&env, &["-o", "tree:tree", "--check-reproducible"])
        .ok()
        .says("1 layer made again from nothing: the same, byte for byte");
    let run = |name: &str| env.run(env.path("tree/usr/bin").join(name)).ok().err();
    assert_eq!((run("one"), run("two")), ("moin\n".to_owned(), "moin\ntwo\n".to_owned()));
    let program = fs::read(env.path("tree/usr/bin/one")).unwrap();
    let told = program.windows(24).any(|bytes| bytes.starts_with(b"example.org/Words\tv1.2.3"));
    assert!(told, "the build info names the module");

    // With the proxy gone, and the network too, it is all in the store.
    fs::remove_dir_all(env.path("proxy")).unwrap();
    env.write("work/two/main.go", "package main\n\nfunc main() { println(\"zwei\") }\n");
    build(&env, &["-o", "tree:tree", "--offline", "--locked"]).ok();
    assert_eq!(run("two"), "zwei\n");
}

/// A search path without anything that could shut a process in.
fn nothing(env: &Env) -> PathBuf {
    let folder = env.path("nothing");
    fs::create_dir_all(&folder).unwrap();
    folder
}

#[test]
fn what_did_not_change_starts_no_process() {
    let env = env("amd64, arm64", HELLO);
    vendored(&env);
    let first = report(&env, &["-o", "oci:first"]);
    let again = |to: &str| build(&env, &["--json", "-o", to]).env("PATH", nothing(&env));
    assert_eq!(again("oci:again").ok().json()["index"], first["index"]);
    // Where the programs go is the layer's affair, and nothing is built for it.
    let recipe = env.read("programs.yaml");
    env.write("programs.yaml", recipe.replace("/usr/bin", "/opt/bin"));
    assert_ne!(again("oci:moved").ok().json()["index"], first["index"]);
    // With another content, be it as long, something has to start.
    env.write(
        "hello/vendor/example.org/words/words.go",
        "package words\n\nconst Hello = \"howdy\"\n",
    );
    again("oci:changed").refuses().says("nothing on this machine can shut a build in");
    build(&env, &["-o", "tree:tree", "--arch=amd64"]).ok();
    let said = env.run(env.path("tree/opt/bin/hello")).ok().out();
    assert_eq!(said, "howdy 1.0 amd64 tagged\n");
}

/// A search path with unshare and no bubblewrap.
fn unshare_alone(env: &Env) -> PathBuf {
    let folder = env.path("unshare");
    if folder.exists() {
        return folder;
    }
    fs::create_dir_all(&folder).unwrap();
    for name in ["unshare", "env", "mount", "mkdir", "setpriv"] {
        let found = ["/usr/bin", "/bin"].map(|folder| Path::new(folder).join(name));
        let found = found.into_iter().find(|path| path.exists()).unwrap();
        std::os::unix::fs::symlink(found, folder.join(name)).unwrap();
    }
    folder
}

#[test]
fn the_bytes_depend_on_neither_sandbox_nor_cache_nor_user_nor_place() {
    let env = env("ppc64le, amd64", HELLO);
    vendored(&env);
    let first = report(&env, &["-o", "oci:first"])["index"].clone();

    // Another store with the same Go and nothing that was built, in another place.
    let fresh = |name: &str| {
        let store = env.dir().join(name);
        fs::create_dir_all(&store).unwrap();
        let original = PathBuf::from(sdk().store().strip_prefix("--store=").unwrap().to_owned());
        for room in ["objects", "trees", "treelay-store"] {
            env.run("cp").args(["-a", "--reflink=auto"]).arg(original.join(room)).arg(&store).ok();
        }
        format!("--store={}", store.display())
    };
    let store = fresh("cold");
    let run = |args: &[&str]| {
        let build = env.treelay(["build", "programs.yaml", "--offline", "--json"]);
        build.args(args).arg(&store).env("TZ", "Asia/Tokyo").env("GOFLAGS", "-v")
    };
    // An empty cache, one thread, unshare; then a full cache, in the open.
    let unshare = run(&["--jobs=1", "-o", "oci:cold"]).env("PATH", unshare_alone(&env));
    assert_eq!(unshare.ok().json()["index"], first);
    forget(&env.dir().join("cold"));
    assert_eq!(run(&["--sandbox=off", "-o", "oci:open"]).ok().json()["index"], first);

    // As somebody else.
    if treelay_tests::env::is_root() {
        forget(&env.dir().join("cold"));
        env.run("chown").args(["-R", "65534:65534"]).arg(env.dir()).ok();
        let nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
        let user = run(&["-o", "oci:user"]).through(nobody);
        assert_eq!(user.ok().json()["index"], first);
        forget(&env.dir().join("cold"));
        let user = run(&["-o", "oci:user2"]).through(nobody);
        assert_eq!(user.env("PATH", unshare_alone(&env)).ok().json()["index"], first);
    }
}

/// Forgets what was built, but not what the tools keep.
fn forget(store: &Path) {
    fs::remove_dir_all(store.join("products")).unwrap();
}
