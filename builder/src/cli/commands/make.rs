//! What `treelay build` writes: made once, and again where the store turns out to be damaged.
//!
//! Whatever of the store is damaged or gone is found by whoever reads it. Then everything of the
//! store that the build uses is read, what is damaged is forgotten, and the same is done again: it
//! makes what is missing.

use treelay_recipes::Lock;

use crate::cli::report::Phases;
use crate::cli::workspace::Workspace;
use crate::cli::{Failure, Result};
use crate::exec::{Bases, Blobs, ExecError, Layers, Workshop};
use crate::image_store::StoreError;
use crate::ostree_repo::OstreeError;
use crate::output::BuiltImage;
use crate::output::ostree::CommitError;
use crate::plan::Plan;
use crate::tree_dir::TreeDirError;

/// A disk that loses things again and again is not to be built on.
const MOST_TIMES: u32 = 16;

/// Trees, and where images are wanted the image and the blobs of its layers.
pub struct Made<'a> {
    pub layers: Layers<'a>,
    pub image: Option<Image<'a>>,
}

/// The layers of an image as they lie above their bases, their blobs, and the bases.
type Encoded<'a> = (Layers<'a>, Blobs, Bases);

/// An image, and what it was made of.
pub struct Image<'a> {
    pub built: BuiltImage,
    /// The layers as they lie above their bases.
    pub layers: Layers<'a>,
    pub blobs: Blobs,
}

/// Makes them.
pub struct Maker<'a> {
    workspace: &'a Workspace,
    workshop: &'a Workshop<'a>,
    plan: &'a Plan,
    lock: &'a Lock,
    /// Whether images are wanted.
    encode: bool,
    /// How often something had to be made again.
    times: u32,
}

impl<'a> Maker<'a> {
    pub fn new(
        workspace: &'a Workspace,
        workshop: &'a Workshop<'a>,
        plan: &'a Plan,
        lock: &'a Lock,
        encode: bool,
    ) -> Self {
        Self { workspace, workshop, plan, lock, encode, times: 0 }
    }

    /// Makes everything that the store does not have.
    pub async fn make(&mut self, phases: &mut Phases) -> Result<Made<'a>> {
        loop {
            match self.make_once(phases).await {
                Err(ExecError::Damaged { what }) if self.times < MOST_TIMES => {
                    self.times += 1;
                    self.tell(&what);
                }
                made => {
                    let (layers, encoded) = made?;
                    let image = |(layers, blobs, bases): Encoded<'a>| {
                        BuiltImage::new(self.plan, &layers, &blobs, bases).map(|built| Image {
                            built,
                            layers,
                            blobs,
                        })
                    };
                    let image = encoded.map(image).transpose()?;
                    return Ok(Made { layers, image });
                }
            }
        }
    }

    async fn make_once(
        &self,
        phases: &mut Phases,
    ) -> std::result::Result<(Layers<'a>, Option<Encoded<'a>>), ExecError> {
        let Self { workspace, workshop, plan, lock, .. } = *self;
        let sources = &workspace.sources;
        let layers = workshop.make_layers(plan, &workspace.expanded, lock, sources).await?;
        phases.end("layers");
        if !self.encode {
            return Ok((layers, None));
        }
        let bases = workshop.bases(&plan.arches, lock).await?;
        let placed = workshop.on_bases(&layers, &bases, &workspace.expanded)?;
        workshop.check_loading(&placed, &bases, &workspace.expanded, sources)?;
        workshop.check_host_images(plan, &placed, &bases, sources)?;
        let blobs = workshop.encode_layers(&placed, plan.codec(), sources)?;
        phases.end("encode");
        Ok((layers, Some((placed, blobs, bases))))
    }

    /// Forgets what of the store may have made an output fail; whether it is worth trying again.
    pub fn mend(&mut self, failure: &Failure, made: &Made<'_>) -> bool {
        if self.times == MOST_TIMES || !failure.causes().any(may_be_damage) {
            return false;
        }
        self.times += 1;
        let blobs = made.image.as_ref().map(|image| &image.blobs);
        let mut mended = self.workshop.mend(&made.layers, blobs, &self.workspace.sources)
            || failure.causes().any(is_damage);
        let bases = made.image.iter().flat_map(|image| image.built.bases.values());
        for layer in bases.flat_map(|base| &base.layers) {
            mended |= !self.workspace.store.check_object(&layer.digest);
        }
        if mended {
            self.tell("something");
        }
        mended
    }

    fn tell(&self, what: &str) {
        if !self.workspace.tell_mishaps(self.workshop.observer) {
            let text = format!("{what} is missing from the store; it is made anew");
            self.workshop.observer.note(&text);
        }
    }
}

type Cause = dyn std::error::Error + 'static;

/// Whether the store can be at fault. What it is not at fault for costs one reading of what the
/// build uses of it.
fn may_be_damage(cause: &Cause) -> bool {
    let image = matches!(
        cause.downcast_ref(),
        Some(
            StoreError::DigestMismatch { .. }
                | StoreError::SizeMismatch { .. }
                | StoreError::NotFound { .. }
                | StoreError::Io { .. }
        )
    );
    let commit = matches!(
        cause.downcast_ref(),
        Some(CommitError::Ostree(OstreeError::Content { .. } | OstreeError::WrongContent { .. }))
    );
    let tree = matches!(
        cause.downcast_ref(),
        Some(TreeDirError::WrongContent { .. } | TreeDirError::Io { .. })
    );
    image || commit || tree || is_damage(cause)
}

/// Whether something was found damaged, and forgotten.
fn is_damage(cause: &Cause) -> bool {
    matches!(cause.downcast_ref(), Some(ExecError::Damaged { .. }))
        || matches!(cause.downcast_ref(), Some(CommitError::Exec(ExecError::Damaged { .. })))
}
