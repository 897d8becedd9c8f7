//! What went wrong, as people are told it: a kind, which is the exit status, the causes, and where
//! there is one a hint.

use std::fmt::{self, Write as _};

use treelay_recipes::{LockError, RecipeError};

/// Why a command did not do what it was asked.
#[derive(Debug)]
pub struct Failure {
    kind: Kind,
    error: anyhow::Error,
    hint: Option<String>,
}

/// What a failure means to a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It failed, or was refused: exit status 1.
    Failed,
    /// The command line or the recipe is wrong: exit status 2.
    Usage,
}

/// What commands return.
pub type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    /// The command line or the recipe is wrong.
    pub fn usage(error: impl Into<anyhow::Error>) -> Self {
        Self { kind: Kind::Usage, error: error.into(), hint: None }
    }

    /// The same, from words.
    pub fn usage_message(message: impl fmt::Display) -> Self {
        Self::usage(anyhow::anyhow!("{message}"))
    }

    /// The same failure, where it means that the command line or the recipe is wrong.
    pub fn into_usage(self) -> Self {
        Self { kind: Kind::Usage, ..self }
    }

    /// It was refused, from words.
    pub fn message(message: impl fmt::Display) -> Self {
        anyhow::anyhow!("{message}").into()
    }

    /// Adds what the user could do.
    pub fn hinted(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The error and what caused it.
    pub fn causes(&self) -> impl Iterator<Item = &(dyn std::error::Error + 'static)> {
        self.error.chain()
    }

    /// The exit status.
    pub fn exit_status(&self) -> u8 {
        match self.kind {
            Kind::Failed => 1,
            Kind::Usage => 2,
        }
    }
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self { kind: Kind::Failed, error: error.into(), hint: None }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A recipe's and a lock's errors are told as they are: with file, line and caret.
        let told = (self.error.downcast_ref::<RecipeError>().map(ToString::to_string))
            .or_else(|| self.error.downcast_ref::<LockError>().map(ToString::to_string));
        if let Some(told) = told {
            return f.write_str(told.trim_end());
        }
        let mut text = format!("error: {}", self.error);
        let mut last = self.error.to_string();
        for cause in self.error.chain().skip(1) {
            let cause = cause.to_string();
            // Some errors already end with their cause.
            if !last.ends_with(&cause) {
                let _ = write!(text, "\n  because: {}", cause.trim_end().replace('\n', "\n  "));
            }
            last = cause;
        }
        if let Some(hint) = &self.hint {
            let _ = write!(text, "\nhint: {hint}");
        }
        f.write_str(&text)
    }
}

/// Words for what is being done, put before an error.
pub trait Doing<T> {
    /// The error becomes a cause of "`doing`".
    fn doing(self, doing: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: Into<anyhow::Error>> Doing<T> for std::result::Result<T, E> {
    fn doing(self, doing: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|error| error.into().context(doing()).into())
    }
}
