//! Git repositories that tests make.

use crate::Env;
use crate::run::Run;

/// A repository with a work tree, in the test's own folder.
#[derive(Debug)]
pub struct Repo<'e> {
    env: &'e Env,
    folder: String,
}

impl<'e> Repo<'e> {
    /// An empty one, whose branch is `main`; `format` is what its ids are made of.
    pub fn new(env: &'e Env, folder: &str, format: &str) -> Self {
        std::fs::create_dir_all(env.path(folder)).unwrap();
        let repo = Self { env, folder: folder.to_owned() };
        repo.git(["init", "-q", "-b", "main", &format!("--object-format={format}")]).ok();
        repo
    }

    /// git in its folder, as somebody, at a time.
    pub fn git<const N: usize>(&self, args: [&str; N]) -> Run {
        let mut run = self.env.run("git").current_dir(self.env.path(&self.folder));
        for who in ["AUTHOR", "COMMITTER"] {
            run = run.env(&format!("GIT_{who}_NAME"), "Somebody");
            run = run.env(&format!("GIT_{who}_EMAIL"), "somebody@example.org");
            run = run.env(&format!("GIT_{who}_DATE"), "1792448436 +0200");
        }
        run.args(args)
    }

    /// Writes a file.
    pub fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        self.env.write(&format!("{}/{path}", self.folder), content);
    }

    /// Commits everything; the commit's id.
    pub fn commit(&self, message: &str) -> String {
        self.git(["add", "-A"]).ok();
        self.git(["commit", "-q", "--allow-empty", "-m", message]).ok();
        self.id("HEAD")
    }

    /// The id of anything that has a name.
    pub fn id(&self, name: &str) -> String {
        self.git(["rev-parse", name]).ok().out().trim().to_owned()
    }
}
