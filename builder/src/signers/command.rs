//! Keys behind a program of the user's, which asks a key service or whatever else it knows.
//!
//! The program is started in two ways, and without a shell:
//!
//! | arguments | standard input | standard output |
//! |---|---|---|
//! | `… public-key` | nothing | the public key, as PEM `PUBLIC KEY` |
//! | `… sign ALGORITHM DIGEST` | the message | the signature, in base64 |
//!
//! `ALGORITHM` is one of `ecdsa-p256-sha256`, `ecdsa-p384-sha256`, `rsa-pkcs1v15-sha256`, `ed25519`.
//! `DIGEST` is the SHA-256 of the message in 64 hexadecimal digits, for services that sign digests;
//! for `ed25519`, which signs messages themselves, it is `-`. A signature by ECDSA is in DER, or `r`
//! and `s` side by side. White space in the base64 does not count.
//!
//! Exit status 0 means done. Any other is a failure, and what the program wrote to standard error
//! says why; of a success it is shown too. The program has two minutes. It sees the environment that
//! treelay sees, less the passwords and PINs that are meant for treelay.
//!
//! A program that has ended has answered, though something that it started may hold its output open.
//! Where there is no terminal it is the head of a process group of its own, so that nothing of it is
//! left when it was too slow. On a terminal it stays in treelay's: only there may it ask for
//! something, and a user who interrupts treelay interrupts both.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use rustix::process::{Pid, Signal};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use treelay_recipes::Digest;
use treelay_signing::{KeyError, KeyKind, PublicKey, SecretKey};

/// How long one run may take: a person may have to touch something.
const LIMIT: Duration = Duration::from_secs(120);
/// Most that is read of an answer; the longest, a signature by RSA-8192, has 1,400 bytes.
const MAX_ANSWER: u64 = 64 * 1024;
/// Most that is shown of a complaint.
const MAX_COMPLAINT: u64 = 8 * 1024;

/// How long what a program wrote is read after it ended. All of it is in the pipes by then.
const GRACE: Duration = Duration::from_millis(500);
/// Variables with treelay's own secrets, which are none of the program's business.
const SECRETS: [&str; 3] = ["COSIGN_PASSWORD", "TREELAY_PIN", "COSIGN_PKCS11_PIN"];

/// A program and its first arguments, which are shown to nobody: they may be secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Signer {
    program: String,
    arguments: Vec<String>,
}

/// Takes what a program that succeeded wrote to standard error.
pub type Tell = Arc<dyn Fn(&str) + Send + Sync>;

/// Why a program gives no key or no signature.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// It does not start.
    #[error("starting {program}")]
    Start {
        /// The program.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// It broke off.
    #[error("running {program}")]
    Run {
        /// The program.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// It took too long.
    #[error("{program} {what} did not end within {} seconds, and was stopped", .limit.as_secs())]
    Slow {
        /// The program.
        program: String,
        /// What it was to do.
        what: String,
        /// How long it had.
        limit: Duration,
    },
    /// It failed.
    #[error("{program} {what} failed ({status}){}", said(.complaint))]
    Failed {
        /// The program.
        program: String,
        /// What it was to do.
        what: String,
        /// Its exit status or signal.
        status: std::process::ExitStatus,
        /// What it wrote to standard error.
        complaint: String,
    },
    /// It answered something else.
    #[error("{program} {what} answered {found}, expected {expected}{}", said(.complaint))]
    Answer {
        /// The program.
        program: String,
        /// What it was to do.
        what: String,
        /// What came.
        found: String,
        /// What should have come.
        expected: &'static str,
        /// What it wrote to standard error.
        complaint: String,
    },
    /// What it gave as a public key is none.
    #[error("the public key that {program} gave")]
    Key {
        /// The program.
        program: String,
        /// What is wrong with it.
        source: KeyError,
    },
}

fn said(complaint: &str) -> String {
    if complaint.is_empty() { String::new() } else { format!(": {complaint}") }
}

impl Signer {
    /// From the program and its arguments; [`None`] when there is none.
    pub fn new(words: impl IntoIterator<Item = String>) -> Option<Self> {
        let mut words = words.into_iter();
        let program = words.next().filter(|program| !program.is_empty())?;
        Some(Self { program, arguments: words.collect() })
    }

    /// Asks for the public key. The program starts in `folder`.
    ///
    /// # Errors
    /// [`CommandError`].
    pub fn public_key(&self, folder: &Path, tell: &Tell) -> Result<PublicKey, CommandError> {
        let answer = self.run(folder, &["public-key"], b"", LIMIT, tell)?;
        PublicKey::parse(&answer.output)
            .map_err(|source| CommandError::Key { program: self.program.clone(), source })
    }

    /// Asks for the public key; the key that is given asks for each signature.
    ///
    /// # Errors
    /// [`CommandError`].
    pub fn secret_key(&self, folder: &Path, tell: &Tell) -> Result<SecretKey, CommandError> {
        let public = self.public_key(folder, tell)?;
        let (signer, folder, tell) = (self.clone(), PathBuf::from(folder), Arc::clone(tell));
        let kind = public.kind();
        let name = format!("the program {}", self.program);
        Ok(SecretKey::external(public, name, move |message| {
            signer.sign(&folder, kind, message, &tell).map_err(|error| {
                let causes =
                    std::iter::successors(std::error::Error::source(&error), |it| it.source());
                causes.fold(error.to_string(), |all, cause| format!("{all}: {cause}"))
            })
        }))
    }

    fn sign(
        &self,
        folder: &Path,
        kind: KeyKind,
        message: &[u8],
        tell: &Tell,
    ) -> Result<Vec<u8>, CommandError> {
        let digest = match kind {
            KeyKind::Ed25519 => "-".to_owned(),
            _ => Digest::of(message).hex(),
        };
        let arguments = ["sign", algorithm(kind), &digest];
        let Answer { output, complaint } = self.run(folder, &arguments, message, LIMIT, tell)?;
        let base64: Vec<u8> =
            output.iter().copied().filter(|it| !it.is_ascii_whitespace()).collect();
        let signature = BASE64.decode(&base64).ok().filter(|bytes| !bytes.is_empty());
        signature.ok_or_else(|| CommandError::Answer {
            program: self.program.clone(),
            what: "sign".to_owned(),
            found: match base64.is_empty() {
                true => "nothing".to_owned(),
                false => format!("{:?}", String::from_utf8_lossy(&base64[..base64.len().min(40)])),
            },
            expected: "the signature in base64",
            complaint,
        })
    }

    /// Runs it once.
    fn run(
        &self,
        folder: &Path,
        arguments: &[&str],
        input: &[u8],
        limit: Duration,
        tell: &Tell,
    ) -> Result<Answer, CommandError> {
        let program = || self.program.clone();
        let what = || arguments[0].to_owned();
        // A thread with a runtime of its own: the caller may be inside of one, which cannot wait.
        let ended = std::thread::scope(|scope| {
            let run = || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                let runtime =
                    runtime.map_err(|source| CommandError::Run { program: program(), source })?;
                runtime.block_on(self.talk(folder, arguments, input, limit))
            };
            scope.spawn(run).join()
        });
        let (status, output, complaint) = ended.unwrap_or_else(|_| {
            let source = io::Error::other("a thread of treelay's broke off");
            Err(CommandError::Run { program: program(), source })
        })?;
        let complaint = String::from_utf8_lossy(&complaint).trim().to_owned();
        if !status.success() {
            return Err(CommandError::Failed {
                program: program(),
                what: what(),
                status,
                complaint,
            });
        }
        if output.len() as u64 > MAX_ANSWER {
            return Err(CommandError::Answer {
                program: program(),
                what: what(),
                found: format!("more than {MAX_ANSWER} bytes"),
                expected: "a key or a signature",
                complaint,
            });
        }
        for line in complaint.lines() {
            tell(&format!("{}: {line}", self.program));
        }
        Ok(Answer { output, complaint })
    }

    async fn talk(
        &self,
        folder: &Path,
        arguments: &[&str],
        input: &[u8],
        limit: Duration,
    ) -> Result<(std::process::ExitStatus, Vec<u8>, Vec<u8>), CommandError> {
        let mut command = tokio::process::Command::new(&self.program);
        command
            .args(&self.arguments)
            .args(arguments)
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        for name in SECRETS {
            command.env_remove(name);
        }
        let alone = !has_terminal();
        if alone {
            command.process_group(0);
        }
        let mut child = command
            .spawn()
            .map_err(|source| CommandError::Start { program: self.program.clone(), source })?;
        let group = child.id().filter(|_| alone);
        let ended = tokio::time::timeout(limit, converse(&mut child, input)).await;
        let Ok(ended) = ended else {
            if let Some(group) = group.and_then(|id| Pid::from_raw(id.try_into().ok()?)) {
                // It may have ended just now.
                let _ = rustix::process::kill_process_group(group, Signal::KILL);
            }
            let _ = child.kill().await;
            let (program, what) = (self.program.clone(), arguments[0].to_owned());
            return Err(CommandError::Slow { program, what, limit });
        };
        ended.map_err(|source| CommandError::Run { program: self.program.clone(), source })
    }
}

/// What a run gave.
struct Answer {
    output: Vec<u8>,
    complaint: String,
}

/// Whether there is a terminal through which a person can answer a program, or interrupt it.
fn has_terminal() -> bool {
    std::fs::File::open("/dev/tty").is_ok()
}

/// Gives the program its input, and takes what it writes until it has ended.
async fn converse(
    child: &mut tokio::process::Child,
    input: &[u8],
) -> io::Result<(std::process::ExitStatus, Vec<u8>, Vec<u8>)> {
    let (mut output, mut complaint) = (Vec::new(), Vec::new());
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let status = {
        let write = async {
            if let Some(mut stdin) = stdin {
                // A program that signs the digest need not read the message.
                let _ = stdin.write_all(input).await;
            }
            Ok(())
        };
        let pipes = async {
            tokio::try_join!(
                write,
                read(stdout, MAX_ANSWER, &mut output),
                read(stderr, MAX_COMPLAINT, &mut complaint)
            )
        };
        tokio::pin!(pipes);
        tokio::select! {
            moved = &mut pipes => {
                moved?;
                child.wait().await?
            }
            status = child.wait() => {
                // When that is over, something it started holds them open.
                if let Ok(moved) = tokio::time::timeout(GRACE, &mut pipes).await {
                    moved?;
                }
                status?
            }
        }
    };
    Ok((status, output, complaint))
}

/// Reads to the end, and keeps so many bytes and one more, which shows that there were more. What was
/// read is kept too when this is dropped before the end.
async fn read(
    from: Option<impl AsyncRead + Unpin>,
    limit: u64,
    kept: &mut Vec<u8>,
) -> io::Result<()> {
    let Some(mut from) = from else { return Ok(()) };
    let most = usize::try_from(limit).unwrap_or(usize::MAX).saturating_add(1);
    let mut piece = [0; 8192];
    loop {
        let length = from.read(&mut piece).await?;
        if length == 0 {
            return Ok(());
        }
        let left = most.saturating_sub(kept.len()).min(length);
        kept.extend_from_slice(&piece[..left]);
    }
}

/// What a program is told that it should make.
fn algorithm(kind: KeyKind) -> &'static str {
    match kind {
        KeyKind::EcdsaP256 => "ecdsa-p256-sha256",
        KeyKind::EcdsaP384 => "ecdsa-p384-sha256",
        KeyKind::Ed25519 => "ed25519",
        KeyKind::Rsa => "rsa-pkcs1v15-sha256",
    }
}

/// The program alone.
impl fmt::Display for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.program)
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.arguments.len();
        f.debug_struct("Signer")
            .field("program", &self.program)
            .field("arguments", &number)
            .finish()
    }
}

#[cfg(test)]
mod tests;
