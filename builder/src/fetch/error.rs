//! What can go wrong while fetching, named after what the user can mend.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use treelay_recipes::{Arch, Digest};

use super::pip::PipError;

/// Why something could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// Going on would have needed the network.
    #[error("{what} is not at hand, and being offline forbids to download it")]
    Offline {
        /// The input.
        what: String,
    },
    /// Every place failed, none of them by serving wrong bytes.
    #[error("{what} could not be fetched{}", listed(.attempts))]
    Unavailable {
        /// The input.
        what: String,
        /// One for each place, in the order they were tried.
        attempts: Vec<Attempt>,
    },
    /// At least one place served other bytes than wanted, and no other place had the right ones.
    #[error(
        "WRONG CONTENT for {what}: what was served is not what was pinned; nothing of it was \
         kept{}",
        listed(.attempts)
    )]
    WrongContent {
        /// The input.
        what: String,
        /// One for each place, in the order they were tried.
        attempts: Vec<Attempt>,
    },
    /// No index has this version.
    #[error(
        "{package} {version} is not in the package index{}{}",
        nearest_there(.nearest),
        listed(.attempts)
    )]
    NoSuchVersion {
        /// The package.
        package: String,
        /// The version that was asked for.
        version: String,
        /// The nearest versions that are there, the nearest first.
        nearest: Vec<String>,
        /// Indexes that could not be asked.
        attempts: Vec<Attempt>,
    },
    /// A list of releases has no such release of Go.
    #[error("{place} has no Go {version} for {arch}{}", nearest_there(.nearest))]
    NoSuchRelease {
        /// Who was asked.
        place: String,
        /// The version that was asked for.
        version: String,
        /// The arch.
        arch: Arch,
        /// The newest releases that are there, the newest first.
        nearest: Vec<String>,
    },
    /// The version is there, but not for this arch.
    #[error(
        "{package} {version} is not there for {arch}: the index has it for {}",
        if .available.is_empty() { "no Linux with glibc".to_owned() } else { .available.join(", ") }
    )]
    NoSuchArch {
        /// The package.
        package: String,
        /// The version.
        version: String,
        /// The arch that was asked for.
        arch: Arch,
        /// The arches it is there for, by their `uname -m` names.
        available: Vec<String>,
    },
    /// The publisher withdrew it.
    #[error("{package} {version} was withdrawn (yanked) by its publisher{}", .reason.as_ref().map(|r| format!(": {r}")).unwrap_or_default())]
    Yanked {
        /// The package.
        package: String,
        /// The version.
        version: String,
        /// The publisher's words.
        reason: Option<String>,
    },
    /// The recipe asks a source for something that it says nothing about.
    #[error("{what}: the source {kind} needs {needs}")]
    NothingToAsk {
        /// The input.
        what: String,
        /// The source's name in recipes.
        kind: &'static str,
        /// What is missing.
        needs: &'static str,
    },
    /// An address that cannot be used.
    #[error("{url} cannot be fetched from: {reason}")]
    BadUrl {
        /// The address, without credentials.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// pip's own set-up is broken.
    #[error(transparent)]
    Pip(#[from] PipError),
    /// A certificate file, proxy or such that the set-up names cannot be used.
    #[error("setting up {what}: {reason}")]
    Setup {
        /// What.
        what: String,
        /// Why not.
        reason: String,
    },
    /// The bytes arrived, but could not be kept.
    #[error("keeping {what}")]
    Keeping {
        /// The input.
        what: String,
        /// Why not.
        source: io::Error,
    },
}

impl FetchError {
    /// What became of the places that were asked, where the failure is about places.
    pub fn attempts(&self) -> &[Attempt] {
        match self {
            Self::Unavailable { attempts, .. }
            | Self::WrongContent { attempts, .. }
            | Self::NoSuchVersion { attempts, .. } => attempts,
            _ => &[],
        }
    }
}

fn listed(attempts: &[Attempt]) -> String {
    attempts.iter().map(|attempt| format!("\n  {attempt}")).collect()
}

fn nearest_there(versions: &[String]) -> String {
    if versions.is_empty() {
        return String::new();
    }
    format!("; the nearest there: {}", versions.join(", "))
}

/// What became of one place: why each try failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// The file, or the address without credentials and query.
    pub place: String,
    /// One for each try, at least one.
    pub tries: Vec<Outcome>,
}

impl Attempt {
    /// Whether the place served something else than what was wanted.
    pub fn lied(&self) -> bool {
        self.tries.iter().any(|outcome| {
            matches!(
                outcome,
                Outcome::WrongDigest { .. } | Outcome::WrongSize { .. } | Outcome::Refused(_)
            )
        })
    }
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.place)?;
        // The same failure again and again is said once.
        let mut at = 0;
        while let Some(outcome) = self.tries.get(at) {
            let same = self.tries[at..].iter().take_while(|other| *other == outcome).count();
            if at > 0 {
                f.write_str(", then ")?;
            }
            write!(f, "{outcome}")?;
            if same > 1 {
                write!(f, " ({same} times)")?;
            }
            at += same;
        }
        Ok(())
    }
}

/// How one try failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Outcome {
    /// No connection: name resolution, refusal, reset.
    #[error("{0}")]
    Connect(String),
    /// TLS failed, though not for the server's certificate.
    #[error("TLS failed: {0}")]
    Tls(String),
    /// The certificate was not accepted.
    #[error("its certificate was not accepted: {0}")]
    Certificate(String),
    /// An HTTP status that is no success.
    #[error("HTTP {code}{}", status_hint(*.code))]
    Status {
        /// The status code.
        code: u16,
    },
    /// A status that may go away, though not soon enough.
    #[error(
        "HTTP {code}{}, and not to be asked again for {}, where {} is the most that is waited",
        status_hint(*.code),
        seconds(.asked),
        seconds(.most)
    )]
    Later {
        /// The status code.
        code: u16,
        /// The wait that it asks for.
        asked: Duration,
        /// The longest that there is.
        most: Duration,
    },
    /// No answer within the limit.
    #[error("no answer within {}", seconds(.limit))]
    Silent {
        /// The limit.
        limit: Duration,
    },
    /// The body stopped arriving.
    #[error("nothing more arrived for {} after {got} bytes", seconds(.limit))]
    Stalled {
        /// Bytes that had arrived.
        got: u64,
        /// The limit.
        limit: Duration,
    },
    /// The body ended early.
    #[error("the body ended after {got} bytes{}", .expected.map(|n| format!(" of {n}")).unwrap_or_default())]
    Cut {
        /// Bytes that had arrived.
        got: u64,
        /// What had been announced, where something had.
        expected: Option<u64>,
    },
    /// A redirect that is not followed.
    #[error("{0}")]
    Redirect(String),
    /// An answer that makes no sense, such as another range than was asked for.
    #[error("{0}")]
    Nonsense(String),
    /// Another length than is pinned.
    #[error("WRONG SIZE: expected {expected} bytes, got {actual}")]
    WrongSize {
        /// What was pinned.
        expected: u64,
        /// What was served or announced.
        actual: u64,
    },
    /// More than is taken of what has no pinned size.
    #[error("it is larger than {most} bytes, which is the most that is taken")]
    TooLarge {
        /// The most.
        most: u64,
    },
    /// Other bytes than are pinned.
    #[error("WRONG DIGEST: expected {expected}, got {actual}")]
    WrongDigest {
        /// What was pinned.
        expected: Digest,
        /// What was served.
        actual: Digest,
    },
    /// Other bytes than its publisher has signed, or than something else says that is asked.
    #[error("REFUSED by {0}")]
    Refused(String),
    /// A local file that is not there.
    #[error("{0}")]
    NoFile(String),
    /// A local file that cannot be read.
    #[error("{0}")]
    File(String),
}

fn status_hint(status: u16) -> &'static str {
    match status {
        401 => " (a login is needed)",
        403 => " (forbidden)",
        404 => " (not found)",
        407 => " (the proxy wants a login)",
        410 => " (gone)",
        429 => " (too many requests)",
        _ => "",
    }
}

pub(super) fn seconds(duration: &Duration) -> String {
    if duration.as_millis() < 1000 {
        format!("{} ms", duration.as_millis())
    } else {
        format!("{} s", duration.as_secs())
    }
}

/// A local file that could not be opened or read, for people.
pub(super) fn reading(path: PathBuf, error: &io::Error) -> Attempt {
    let outcome = match error.kind() {
        io::ErrorKind::NotFound => Outcome::NoFile,
        _ => Outcome::File,
    };
    Attempt { place: path.display().to_string(), tries: vec![outcome(error.to_string())] }
}
