//! [`SignatureError`].

use treelay_signing::SignError;

use crate::image_store::StoreError;

/// Why an image could be neither signed nor judged. An image that is judged and refused is no error
/// but a report.
#[derive(Debug, thiserror::Error)]
pub enum SignatureError {
    /// Nothing to sign or verify with.
    #[error("no key was given")]
    NoKeys,
    /// An annotation has a name under which something else is signed.
    #[error(
        "{name} is what treelay itself says of its signatures: an annotation needs another name"
    )]
    ReservedAnnotation {
        /// The name.
        name: &'static str,
    },
    /// The key cannot sign this.
    #[error("signing {what}")]
    Sign {
        /// The subject, as people know it.
        what: String,
        /// Why not.
        #[source]
        source: SignError,
    },
    /// The store could not be read or written, or does not have the image.
    #[error(transparent)]
    Store(#[from] StoreError),
}
