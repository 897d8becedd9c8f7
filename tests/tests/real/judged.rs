//! A commit of a web server, as `treelay verify --remote` and `ostree pull` judge it: whatever ostree
//! refuses is refused.

use std::fs;

use treelay_tests::http::Server;
use treelay_tests::{Env, Run};

/// What treelay and ostree say of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    /// Both take it.
    Good,
    /// Both refuse it.
    Refused,
    /// ostree takes it; treelay refuses it, because nothing vouches for it.
    Stricter,
}

/// The repository `os`, on a server, and a way to ask both of it.
pub struct Os {
    pub env: Env,
    server: Server,
    ostree: fn(&Env) -> Run,
}

impl Os {
    pub fn new(ostree: fn(&Env) -> Run) -> Self {
        let env = Env::new();
        env.write("root/usr/bin/sh", "sh\n");
        for repo in ["--repo=os", "--repo=host"] {
            ostree(&env).args(["init", "--mode=archive", repo]).ok();
        }
        let server = Server::of(&env.path("os"));
        Self { env, server, ostree }
    }

    pub fn ostree(&self, args: &[&str]) -> Run {
        (self.ostree)(&self.env).args(args)
    }

    /// A commit, signed with these GPG keys.
    pub fn commit(&self, refname: &str, keys: &[&str], args: &[&str]) -> String {
        self.env.write("root/usr/lib/name", refname);
        let branch = format!("--branch={refname}");
        let commit = ["commit", "--repo=os", "--owner-uid=0", "--owner-gid=0", &branch];
        let homedir = format!("--gpg-homedir={}", self.env.dir().join("gnupg").display());
        let keys = keys.iter().flat_map(|key| [format!("--gpg-sign={key}"), homedir.clone()]);
        self.ostree(&commit).args(keys).args(args).arg("root").ok().out().trim().to_owned()
    }

    /// A remote of `host`.
    pub fn remote(&self, name: &str, args: &[&str]) {
        self.ostree(&["remote", "add", "--repo=host"])
            .args(args)
            .args([name, &self.server.url("")])
            .ok();
    }

    /// Pulls into a copy of `host`.
    fn pull(&self, remote: &str, refname: &str) -> Run {
        let _ = fs::remove_dir_all(self.env.path("copy"));
        self.env.run("cp").arg("-a").args(["host", "copy"]).ok();
        self.ostree(&["pull", "--repo=copy", remote, refname])
    }

    /// Asks treelay of the published repository with the configuration of `host`.
    pub fn verify(&self, remote: &str, refname: &str) -> Run {
        let _ = fs::remove_dir_all(self.env.path("judged"));
        self.env.run("cp").arg("-a").args(["os", "judged"]).ok();
        for file in fs::read_dir(self.env.path("host")).unwrap() {
            let file = file.unwrap();
            let name = file.file_name().into_string().unwrap();
            if name == "config" || name.ends_with(".gpg") {
                fs::copy(file.path(), self.env.path("judged").join(name)).unwrap();
            }
        }
        let place = format!("ostree:judged:{refname}");
        self.env.treelay(["verify", &place, "--remote", remote])
    }

    #[track_caller]
    pub fn ask(&self, remote: &str, refname: &str, expected: Said) {
        let (pull, verify) =
            (self.pull(remote, refname).output(), self.verify(remote, refname).output());
        let found = match (verify.status.success(), pull.status.success()) {
            (true, true) => Said::Good,
            (false, false) => Said::Refused,
            (false, true) => Said::Stricter,
            (true, false) => panic!("{remote} {refname}: only ostree refuses it\n{pull}\n{verify}"),
        };
        assert_eq!(found, expected, "{remote} {refname}\n{pull}\n{verify}");
        assert_ne!(verify.status.code(), Some(2), "{verify}");
    }
}
