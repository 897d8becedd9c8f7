//! Actions: processes that make parts of layers.
//!
//! An [`Executor`] carries an [`Action`] out. The one that is here is [`LocalExecutor`]: a process
//! in namespaces of its own, which sees the action's inputs and nothing else. Another could send
//! the action's messages and contents to a server of the Remote Execution API; no digest would
//! change, so what the store remembers holds for both.

mod checkout;
mod local;
mod sandbox;
#[cfg(test)]
mod tests;

use std::io;
use std::time::Duration;

use async_trait::async_trait;
use treelay_layers::action::Action;
use treelay_layers::{Contents, Tree};

pub use local::{LocalExecutor, LocalOptions};
pub use sandbox::{NoSandbox, Sandbox};

/// Carries actions out.
#[async_trait]
pub trait Executor: Send + Sync {
    /// Carries the action out. The contents of its inputs are in `contents`; the directories of its
    /// outputs are given back as a tree, whose contents are in the store.
    ///
    /// # Errors
    /// [`ActionError`]; [`ActionError::Failed`] where the process itself failed.
    async fn execute(
        &self,
        action: &Action<'_>,
        contents: &dyn Contents,
    ) -> Result<Tree, ActionError>;
}

/// Why an action was not carried out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ActionError {
    /// The process said that it failed; this is what it wrote.
    #[error("{output}")]
    Failed {
        /// Its output, errors and all.
        output: String,
    },
    /// It took too long and was ended.
    #[error("it took longer than {} minutes and was ended; until then it said:\n{output}", .limit.as_secs() / 60)]
    TimedOut {
        /// How long it may take.
        limit: Duration,
        /// Its output.
        output: String,
    },
    /// It cannot be shut in here.
    #[error(transparent)]
    NoSandbox(#[from] NoSandbox),
    /// What it was to see could not be put in place.
    #[error("putting /{path} in place")]
    Input {
        /// The file.
        path: String,
        /// Why not.
        source: io::Error,
    },
    /// It made something that cannot be taken.
    #[error("it made {path}, which is {what}")]
    Output {
        /// The file.
        path: String,
        /// What it is.
        what: &'static str,
    },
    /// The machine failed.
    #[error("{doing}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// Why not.
        source: io::Error,
    },
}

impl ActionError {
    fn io<E: Into<io::Error>>(doing: &'static str) -> impl FnOnce(E) -> Self {
        move |source| Self::Io { doing, source: source.into() }
    }
}
