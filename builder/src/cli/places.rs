//! Places that the command line names, opened.

use super::failure::Doing as _;
use super::{Failure, Result, Session};
use crate::dest::{Access, Dest};
use crate::image_store::registry::RegistryClient;
use crate::image_store::signatures::is_attachment_tag;
use crate::image_store::{Descriptor, ImageRef, SharedStore};

/// A place of images, and which of them is meant.
pub struct Images {
    /// The place.
    pub store: SharedStore,
    /// Which image.
    pub image: ImageRef,
    /// What hosts pull it by, where the place says so: `host/repo:tag`.
    pub reference: Option<String>,
}

impl Images {
    /// What the image is in the place; `dest` is how the user named it.
    ///
    /// # Errors
    /// No such image, with those that a layout has.
    pub async fn resolve(&self, dest: &Dest) -> Result<Descriptor> {
        let looking = || format!("finding the image of {dest}");
        if let Some(found) = self.store.resolve(&self.image).await.doing(looking)? {
            return Ok(found);
        }
        let (Dest::Oci { dir, .. }, ImageRef::Tag(tag)) = (dest, &self.image) else {
            return Err(Failure::message(format!("{dest} has no such image")));
        };
        // A registry may have thousands; a layout has a few.
        let tags = self.store.tags().await.doing(looking)?;
        let tags: Vec<_> = tags.into_iter().filter(|tag| !is_attachment_tag(tag)).collect();
        let has = if tags.is_empty() { "none".to_owned() } else { tags.join(", ") };
        Err(Failure::message(format!("oci:{} has no image {tag}: it has {has}", dir.display())))
    }
}

/// Opens a place of images. Writing makes a layout where nothing is.
///
/// # Errors
/// A place of another kind, or one that cannot be opened.
pub fn images(
    session: &Session,
    registries: &RegistryClient,
    dest: &Dest,
    access: Access,
) -> Result<Images> {
    let place = dest.under(&session.around.current_dir);
    let opened = place.open_images(access, registries).doing(|| format!("opening {dest}"))?;
    let (Some(store), Some(image)) = (opened, dest.image()) else {
        return Err(Failure::usage_message(format!(
            "{dest} holds no images: expected oci:DIR[:TAG] or docker://HOST/REPO[:TAG]"
        )));
    };
    let reference = match (dest, &image) {
        (Dest::Docker { repository, .. }, ImageRef::Tag(tag)) => {
            Some(format!("{repository}:{tag}"))
        }
        (Dest::Docker { repository, .. }, _) => Some(repository.to_string()),
        _ => None,
    };
    Ok(Images { store, image, reference })
}
