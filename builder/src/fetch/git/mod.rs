//! Commits of git repositories, fetched by the `git` program and read object by object.
//!
//! git is asked for as little as can be: it finds out where a branch or tag is, transfers one commit
//! without history into an empty repository of its own, and hands out the objects there. No work
//! tree is made, so that no filter, hook, attribute or setting has a say in what a file is; it reads
//! no configuration of the machine or the user, asks nothing of a terminal, and follows no
//! submodule. From the user it has what reaches a server: HOME (`~/.netrc`, and ssh's own settings),
//! the agent of ssh, proxies and certificates.
//!
//! *What is trusted.* The id of every object is computed here ([`Objects`]), from the commit down to
//! each file, so neither the server nor git can pass off other files for a commit that is known by
//! its id; collisions made for SHA-1 are found and refused. Where a branch or tag is, is the server's
//! word, once: the lock pins the commit, and a SHA-256 of the files.

mod error;
mod objects;

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::Command;

use super::{FetchError, Fetcher};
pub use error::GitError;
pub use objects::{CommitObject, Objects};

/// Variables that reach a server: taken over from the environment.
const TAKEN: &[&str] = &[
    "ALL_PROXY",
    "GIT_SSL_CAINFO",
    "GIT_SSL_CAPATH",
    "HOME",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "NO_PROXY",
    "PATH",
    "SSH_AUTH_SOCK",
    "all_proxy",
    "http_proxy",
    "https_proxy",
    "no_proxy",
];

/// All other variables.
const FIXED: &[(&str, &str)] = &[
    ("GIT_ALLOW_PROTOCOL", "file:http:https:ssh"),
    ("GIT_ATTR_NOSYSTEM", "1"),
    ("GIT_CONFIG_NOSYSTEM", "1"),
    ("GIT_NO_LAZY_FETCH", "1"),
    ("GIT_NO_REPLACE_OBJECTS", "1"),
    ("GIT_SSH_COMMAND", "ssh -oBatchMode=yes -oConnectTimeout=30"),
    ("GIT_TERMINAL_PROMPT", "0"),
    ("LC_ALL", "C"),
    ("TZ", "UTC"),
];

/// All of its configuration. That the recipe names a repository is the consent to read it, whoever
/// owns it (`safe.directory`); what serves a local repository reads this file too.
const CONFIG: &str = "[safe]\n\tdirectory = *\n[core]\n\thooksPath = /dev/null\n[gc]\n\tauto = 0\n\
                      [maintenance]\n\tauto = false\n[http]\n\tlowSpeedLimit = 1\n\tlowSpeedTime = 60\n";

/// What is kept of what git says, in bytes.
const SAID: u64 = 64 << 10;

/// What git says where a server gives single commits only by name, or no part of a history.
const ONLY_BY_NAME: &[&str] =
    &["unadvertised object", "dumb http transport", "does not support shallow", "not valid"];

/// A repository that may be asked.
pub struct Repository<'f> {
    fetcher: &'f Fetcher,
    /// As the recipe has it.
    url: &'f str,
    /// As git is told it.
    location: String,
}

/// What a branch or tag is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// The commit, in hex.
    pub commit: String,
    /// The tag's name, without `refs/tags/`, where it is a tag.
    pub tag: Option<String>,
}

impl Fetcher {
    /// The repository at `url`, an address or a path from `folder`; `what` is the input.
    ///
    /// # Errors
    /// [`FetchError::Offline`] where it is on a server and none may be asked.
    pub fn repository<'f>(
        &'f self,
        what: &str,
        url: &'f str,
        folder: &Path,
    ) -> Result<Repository<'f>, GitError> {
        let is_local = url.starts_with("file://") || !is_remote(url);
        if !is_local && self.is_offline() {
            return Err(FetchError::Offline { what: what.to_owned() }.into());
        }
        let location = match is_remote(url) || url.starts_with("file://") {
            true => url.to_owned(),
            false => folder.join(url).display().to_string(),
        };
        Ok(Repository { fetcher: self, url, location })
    }
}

/// Whether git takes it for the address of another machine (git-fetch(1), "Git URLs").
fn is_remote(url: &str) -> bool {
    match url.split_once("://") {
        Some((scheme, _)) => scheme != "file",
        None => url.split_once(':').is_some_and(|(host, _)| !host.contains('/')),
    }
}

impl Repository<'_> {
    /// Where a branch or tag is now. `room` is an empty directory.
    ///
    /// # Errors
    /// [`GitError::NoRef`], [`GitError::TwoRefs`], or git's own.
    pub async fn resolve(&self, name: &str, room: &Path) -> Result<Named, GitError> {
        let full = match name == "HEAD" || name.starts_with("refs/") {
            true => vec![name.to_owned()],
            false => vec![format!("refs/heads/{name}"), format!("refs/tags/{name}")],
        };
        let mut command = self.command(room)?;
        command.args(["ls-remote", "--quiet", "--", &self.location]);
        // Patterns of git match the end of a name: others are left out below.
        command.args(full.iter().flat_map(|name| [name.clone(), format!("{name}^{{}}")]));
        let said = self.run(command).await?;
        let id_of = |wanted: &str| {
            let mut lines = said.lines().filter_map(|line| line.split_once('\t'));
            lines.find(|(_, name)| *name == wanted).map(|(id, _)| id.to_owned())
        };
        let mut found = full.iter().filter_map(|name| {
            let tag = name.strip_prefix("refs/tags/").map(str::to_owned);
            // What an annotated tag points at comes beside the tag.
            let commit = id_of(&format!("{name}^{{}}")).or_else(|| id_of(name))?;
            Some(Named { commit, tag })
        });
        let (url, name) = (self.url.to_owned(), name.to_owned());
        match (found.next(), found.next()) {
            (Some(found), None) => match objects::is_id(&found.commit) {
                true => Ok(found),
                false => Err(GitError::NoRef { url, name }),
            },
            (None, _) => Err(GitError::NoRef { url, name }),
            (Some(_), Some(_)) => Err(GitError::TwoRefs { url, name }),
        }
    }

    /// Fetches a commit; `name` is a branch or tag that has it, which a few servers want to know.
    /// `room` is an empty directory.
    ///
    /// # Errors
    /// [`GitError::NoCommit`], or git's own.
    pub async fn fetch(
        &self,
        commit: &str,
        name: Option<&str>,
        room: TempDir,
    ) -> Result<Objects, GitError> {
        let bare = room.path().join("git");
        let mut init = self.command(room.path())?;
        let format = if commit.len() == 64 { "sha256" } else { "sha1" };
        init.args(["init", "--quiet", "--bare", "--template="]);
        init.arg(format!("--object-format={format}")).arg(&bare);
        self.run(init).await?;

        let missing = || GitError::NoCommit { url: self.url.to_owned(), commit: commit.to_owned() };
        match self.transfer(&bare, room.path(), &["--depth=1"], &[commit.to_owned()]).await {
            Ok(_) => {}
            Err(GitError::Failed { said, .. }) if said.contains("not our ref") => {
                return Err(missing());
            }
            Err(GitError::Failed { said, .. })
                if ONLY_BY_NAME.iter().any(|words| said.contains(words)) =>
            {
                let refs: Vec<String> = match name {
                    Some(name) => vec![format!("+{name}:refs/treelay/wanted")],
                    None => ["heads", "tags"]
                        .map(|kind| format!("+refs/{kind}/*:refs/{kind}/*"))
                        .to_vec(),
                };
                self.transfer(&bare, room.path(), &[], &refs).await?;
            }
            Err(error) => return Err(error),
        }
        let read = self.command(room.path())?;
        Objects::open(read.into_std(), &bare, commit, room)?.ok_or_else(missing)
    }

    async fn transfer(
        &self,
        bare: &Path,
        room: &Path,
        options: &[&str],
        refs: &[String],
    ) -> Result<String, GitError> {
        let mut command = self.command(room)?;
        command.env("GIT_DIR", bare).args(["fetch", "--quiet", "--no-tags"]);
        command.args(["--no-recurse-submodules", "--no-write-fetch-head", "--no-auto-maintenance"]);
        command.args(options).args(["--", &self.location]).args(refs);
        self.run(command).await
    }

    /// git, with nothing of its surroundings but what is said here.
    fn command(&self, room: &Path) -> Result<Command, GitError> {
        let config = room.join("config");
        std::fs::write(&config, CONFIG).map_err(GitError::io("preparing for git"))?;
        let env = &self.fetcher.options.env;
        let mut command = Command::new("git");
        command.env_clear().current_dir(room).stdin(Stdio::null()).kill_on_drop(true);
        // Where everybody else looks for certificates.
        let own = [("SSL_CERT_FILE", "GIT_SSL_CAINFO"), ("SSL_CERT_DIR", "GIT_SSL_CAPATH")];
        for (name, name_of_git) in own {
            command.envs(env.get(name).map(|value| (name_of_git, value)));
        }
        command.envs(TAKEN.iter().filter_map(|name| Some((*name, env.get(*name)?))));
        command.envs(FIXED.iter().copied());
        command.env("GIT_CONFIG_GLOBAL", config);
        // It is no part of a repository that the store may lie in.
        command
            .env("GIT_CEILING_DIRECTORIES", room.parent().map_or(PathBuf::new(), Path::to_owned));
        Ok(command)
    }

    /// Runs git to its end; what it printed.
    async fn run(&self, mut command: Command) -> Result<String, GitError> {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(GitError::start)?;
        let (printed, said) = (some(child.stdout.take()), some(child.stderr.take()));
        let (printed, said, status) = tokio::join!(printed, said, child.wait());
        let status = status.map_err(GitError::io("waiting for git"))?;
        if status.success() {
            return Ok(printed);
        }
        let said = match said.trim() {
            "" => format!("it said nothing and ended with {status}"),
            said => said.to_owned(),
        };
        Err(GitError::Failed { url: self.url.to_owned(), said })
    }
}

/// The beginning of a stream, which is read to its end.
async fn some(stream: Option<impl AsyncRead + Unpin>) -> String {
    let Some(mut stream) = stream else { return String::new() };
    let mut kept = Vec::new();
    // What cannot be read any more ends it; how git ends tells the rest.
    let _ = (&mut stream).take(SAID).read_to_end(&mut kept).await;
    let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
    String::from_utf8_lossy(&kept).into_owned()
}

#[cfg(test)]
mod tests {
    use super::is_remote;

    #[test]
    fn addresses_are_told_from_paths() {
        for url in ["https://a.example/b", "ssh://a/b", "git@a.example:b", "a.example:b/c"] {
            assert!(is_remote(url), "{url}");
        }
        for url in ["file:///a", "/a", "a", "../a:b", "./a:b", "a/b:c"] {
            assert!(!is_remote(url), "{url}");
        }
    }
}
