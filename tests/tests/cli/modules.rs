//! The modules that Go programs need: from proxies into the lock.

use treelay_tests::Env;
use treelay_tests::http::Server;
use treelay_tests::modules::add_module;

/// A recipe with modules, and nothing that would build with them.
fn recipe(proxy: &str) -> String {
    format!(
        "name: x\nversion: 1\narch: [amd64]\nepoch: 1\n\
         inputs: {{mods: {{go-modules: {{dir: src, proxy: \"{proxy}\"}}}}}}\n\
         layers: [{{name: a, files: [{{path: /a, content: a}}]}}]\n"
    )
}

const A: &[(&str, &str)] = &[("go.mod", "module example.org/a\n"), ("a.go", "package a\n")];

/// An environment with the module `example.org/a` in `proxy`, and a source that needs it.
fn env() -> Env {
    let env = Env::new();
    let sums = add_module(&env, "proxy", "example.org/a", "v1.0.0", A);
    env.write("src/go.mod", "module example.org/x\n\nrequire example.org/a v1.0.0\n");
    env.write("src/go.sum", sums);
    env.write("x.yaml", recipe("proxy"));
    env
}

#[test]
fn modules_come_from_folders_files_and_servers_and_are_the_same() {
    let env = env();
    env.treelay(["lock", "x.yaml"]).ok();
    let first = env.read("x.lock");
    assert!(first.contains("kind = \"go-modules\"\nsource = \"dir\"\nfrom = \"src\"\n"), "{first}");
    let server = Server::of(&env.path("proxy"));
    let file = format!("file://{}", env.path("proxy").display());
    let served = server.url("");
    // What one proxy has not the next one has; after a bar also where it fails.
    let lists = [
        file,
        served.clone(),
        format!("empty,{served}"),
        format!("http://127.0.0.1:1|{served},off"),
    ];
    for (at, list) in lists.iter().enumerate() {
        env.write("x.yaml", recipe(list));
        let store = format!("--store={}", env.path(format!("store-{at}")).display());
        env.treelay(["lock", "x.yaml", "--update", &store]).ok();
        assert_eq!(env.read("x.lock"), first, "{list}");
    }
    assert!(server.requests() >= 6);
    // All of it is in the store: nothing is asked any more.
    drop(server);
    env.treelay(["lock", "x.yaml", "--update"]).ok();

    // GOPROXY of the environment is asked where the recipe names none.
    let store = format!("--store={}", env.path("store-env").display());
    env.write("x.yaml", recipe("proxy").replace(", proxy: \"proxy\"", ""));
    let run = env.treelay(["lock", "x.yaml", "--update", &store]);
    run.env("GOPROXY", format!("file://{}", env.path("proxy").display())).ok();
    assert_eq!(env.read("x.lock"), first);
}

/// What several arches or inputs need is fetched once.
#[test]
fn modules_are_fetched_once() {
    let env = env();
    let server = Server::of(&env.path("proxy"));
    env.write("x.yaml", recipe(&server.url("")).replace("[amd64]", "[amd64, arm64]"));
    env.treelay(["lock", "x.yaml"]).ok();
    assert_eq!(server.requests(), 2);
}

#[test]
fn proxies_with_queries_are_refused() {
    let env = env();
    env.write("x.yaml", recipe("https://proxy.example/go?key=1"));
    env.treelay(["lock", "x.yaml"]).fails(2).says("has a query or fragment");
}

#[test]
fn what_go_sum_says_is_what_is_locked() {
    let env = env();
    env.treelay(["lock", "x.yaml"]).ok();
    env.treelay(["build", "x.yaml", "--locked", "-o", "oci:out"]).ok();
    let more = add_module(
        &env,
        "proxy",
        "example.org/b",
        "v0.2.0",
        &[("go.mod", "module example.org/b\n")],
    );
    env.write("src/go.sum", env.read("src/go.sum") + &more);
    env.treelay(["build", "x.yaml", "--locked", "-o", "oci:out"])
        .fails(1)
        .says("mods for amd64 is not what the lock")
        .says("hint: if that is meant, run `treelay lock`");
    env.treelay(["build", "x.yaml", "-o", "oci:out"]).ok().says("locked mods for amd64");
    env.treelay(["build", "x.yaml", "--locked", "-o", "oci:out"]).ok();
}

/// What a proxy or mirror says wrongly is told and set aside, and whoever comes next is asked.
#[test]
fn who_lies_about_a_module_is_followed_by_the_next() {
    let evil = [("go.mod", "module example.org/a\n"), ("a.go", "package a // evil\n")];
    for case in ["zip", "go.mod", "no zip", "mirror"] {
        let env = env();
        add_module(&env, "evil", "example.org/a", "v1.0.0", &evil);
        let at = "evil/example.org/a/@v/v1.0.0";
        match case {
            "go.mod" => drop(env.write(&format!("{at}.mod"), "module example.org/evil\n")),
            "no zip" => drop(env.write(&format!("{at}.zip"), "no archive")),
            _ => {}
        }
        let (liar, honest) = (Server::of(&env.path("evil")), Server::of(&env.path("proxy")));
        let (from, to) = (liar.url(""), honest.url(""));
        if case == "mirror" {
            let mirror = format!("[[mirror]]\nfrom = \"{to}\"\nto = [\"{from}\"]\n");
            env.write("treelay.toml", mirror);
            env.write("x.yaml", recipe(&to));
        } else {
            env.write("x.yaml", recipe(&format!("{from},{to}")));
        }
        let output = env.treelay(["lock", "x.yaml", "--json"]).ok();
        let err = output.err();
        assert!(
            err.contains("WRONG CONTENT for ") && err.contains("example.org/a v1.0.0"),
            "{err}"
        );
        let json = output.json();
        let served = &json["served"][0];
        assert!(served["served"].as_str().unwrap().starts_with(to.trim_end_matches('/')), "{json}");
        let attempts = served["attempts"].as_array().unwrap();
        assert_eq!(attempts.len(), 1, "{case}: {json}");
        assert_eq!(attempts[0]["lied"], true, "{case}: {json}");
        let place = attempts[0]["place"].as_str().unwrap();
        assert!(place.starts_with(from.trim_end_matches('/')), "{case}: {json}");
        let kept = std::fs::read_dir(env.dir().join("store/quarantine")).unwrap().count();
        // The go.mod of one, and the archive too.
        assert_eq!(kept, if case == "go.mod" { 2 } else { 1 }, "{case}");
    }
}

/// A proxy that answers every archive with one page, and one that answers a module with another's
/// archive: the next is asked, and what was there before stays.
#[test]
fn one_answer_to_everything_spoils_nothing() {
    let env = env();
    let (mut requires, mut sums) = (String::new(), String::new());
    for n in 0..20 {
        let module = format!("example.org/m{n}");
        let files = [("go.mod", format!("module {module}\n")), ("a.go", format!("package m{n}\n"))];
        let files = files.each_ref().map(|(name, text)| (*name, text.as_str()));
        sums += &add_module(&env, "proxy", &module, "v1.0.0", &files);
        add_module(&env, "evil", &module, "v1.0.0", &files);
        env.write(&format!("evil/{module}/@v/v1.0.0.zip"), "blocked by policy");
        requires += &format!("require {module} v1.0.0\n");
    }
    let a = env.read("src/go.sum");
    // What it serves for `a` the store has already, as the archive of m0.
    let m0 = std::fs::read(env.path("proxy/example.org/m0/@v/v1.0.0.zip")).unwrap();
    env.write("evil/example.org/a/@v/v1.0.0.mod", "module example.org/a\n");
    env.write("evil/example.org/a/@v/v1.0.0.zip", &m0);
    env.write("src/go.mod", format!("module example.org/x\n\n{requires}"));
    env.write("src/go.sum", sums.clone());
    env.write("x.yaml", recipe("evil,proxy"));
    env.treelay(["lock", "x.yaml"]).ok();

    env.write(
        "src/go.mod",
        format!("module example.org/x\n\n{requires}require example.org/a v1.0.0\n"),
    );
    env.write("src/go.sum", format!("{a}{sums}"));
    env.treelay(["lock", "x.yaml"]).ok().says("WRONG CONTENT for example.org/a v1.0.0");
    let objects = treelay_tests::tamper::files(&env.dir().join("store/objects"));
    assert!(objects.iter().any(|object| std::fs::read(object).unwrap() == m0));
    env.treelay(["lock", "x.yaml", "--update", "--offline"]).ok();
}

/// A folder that stands for a proxy and lacks a module is followed by the next proxy, as the proxy
/// itself would be.
#[test]
fn a_mirror_in_a_folder_may_lack_what_the_next_proxy_has() {
    let env = env();
    std::fs::create_dir(env.path("empty")).unwrap();
    let settings = "[[mirror]]\nfrom = \"https://p.example/\"\nto = [\"empty\"]\nonly = true\n";
    env.write("treelay.toml", settings);
    env.write("x.yaml", recipe("https://p.example,proxy"));
    env.treelay(["lock", "x.yaml"]).ok();
}

#[test]
fn modules_that_are_something_else_are_refused() {
    let env = env();
    let sums = env.read("src/go.sum");
    let lock = |says: &str| drop(env.treelay(["lock", "x.yaml"]).fails(1).says(says));
    let changed = |module: &str| {
        let other = [("go.mod", "module example.org/a\n"), ("a.go", "package a // evil\n")];
        add_module(&env, "proxy", module, "v1.0.0", &other)
    };
    let evil = changed("example.org/a");
    lock("WRONG CONTENT for example.org/a v1.0.0: ");
    lock(&format!("served {}", evil.split_whitespace().nth(2).unwrap()));
    lock(&format!("go.sum says {}", sums.split_whitespace().nth(2).unwrap()));
    // Nothing of it stays in the store.
    let objects = treelay_tests::tamper::files(&env.dir().join("store/objects"));
    let zip = std::fs::read(env.path("proxy/example.org/a/@v/v1.0.0.zip")).unwrap();
    assert!(objects.iter().all(|object| std::fs::read(object).unwrap() != zip));

    env.write("proxy/example.org/a/@v/v1.0.0.mod", "module example.org/evil\n");
    lock("WRONG CONTENT for the go.mod of example.org/a v1.0.0: ");
    env.write("proxy/example.org/a/@v/v1.0.0.mod", "module example.org/a\n");
    env.write("proxy/example.org/a/@v/v1.0.0.zip", "no archive");
    lock("unpacking example.org/a v1.0.0 from ");

    std::fs::remove_dir_all(env.path("proxy")).unwrap();
    lock("no proxy has example.org/a/@v/v1.0.0.mod:\n");
    env.write("x.yaml", recipe("proxy,direct"));
    lock("direct: modules are had from proxies alone");
    env.write("x.yaml", recipe("http://127.0.0.1:1,proxy"));
    lock("example.org/a/@v/v1.0.0.mod could not be fetched");
    env.treelay(["lock", "x.yaml", "--offline"])
        .fails(1)
        .says("being offline forbids to download it");

    env.write("src/go.sum", "example.org/a v1.0.0 h1:x=\n");
    lock("go.sum has no line for the go.mod of example.org/a v1.0.0");
    std::fs::remove_file(env.path("src/go.sum")).unwrap();
    lock("go.mod requires modules, and there is no go.sum");
    std::fs::remove_file(env.path("src/go.mod")).unwrap();
    lock("there is neither a go.mod nor a go.work in it");
}
