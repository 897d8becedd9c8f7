//! Places as users write them on the command line, in the names of containers-transports(5).

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use treelay_recipes::{Arch, Digest};

use crate::image_store::layout::Layout;
use crate::image_store::registry::RegistryClient;
use crate::image_store::{ImageRef, Repository, SharedStore, StoreError, is_tag};

/// A place where images, commits or trees are read or written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dest {
    /// `oci:DIR[:TAG]`: an OCI layout directory.
    Oci {
        /// The directory; it holds no colon, as containers-transports(5) has it.
        dir: PathBuf,
        /// The image's name in the layout; may hold `/`, `:` and `@`.
        tag: Option<String>,
    },
    /// `docker://HOST[:PORT]/REPO[:TAG|@DIGEST]`: a repository of a registry.
    Docker {
        /// The repository.
        repository: Repository,
        /// The tag or digest; [`ImageRef::Default`] when left out.
        image: ImageRef,
    },
    /// `ostree:REPO[:REF]`: an OSTree repository.
    Ostree {
        /// The repository's directory; it holds no colon.
        repo: PathBuf,
        /// The ref; may hold `{{ }}` names.
        reference: Option<String>,
    },
    /// `tree:DIR`: a directory of plain files. All after `tree:` is the path.
    Tree {
        /// The directory.
        dir: PathBuf,
    },
}

/// What a place is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// It must be there.
    Read,
    /// It is made where it is missing.
    Write,
}

/// Why a text is not a [`Dest`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a place: {reason}; expected {FORMS}")]
pub struct NotADest {
    /// The text.
    pub text: String,
    /// What is wrong with it.
    pub reason: String,
}

const FORMS: &str =
    "oci:DIR[:TAG], docker://HOST/REPO[:TAG|@DIGEST], ostree:REPO[:REF] or tree:DIR";

impl Dest {
    /// Opens the place as a store of images; `None` for places that hold none. A layout that is to
    /// be written to is made where it is missing.
    ///
    /// # Errors
    /// [`StoreError::NotALayout`], and what [`RegistryClient::repository`] may meet.
    pub fn open_images(
        &self,
        access: Access,
        registries: &RegistryClient,
    ) -> Result<Option<SharedStore>, StoreError> {
        Ok(match (self, access) {
            (Self::Oci { dir, .. }, Access::Read) => Some(Arc::new(Layout::open(dir)?)),
            (Self::Oci { dir, .. }, Access::Write) => Some(Arc::new(Layout::create(dir)?)),
            (Self::Docker { repository, .. }, _) => {
                Some(Arc::new(registries.repository(repository.clone())?))
            }
            (Self::Ostree { .. } | Self::Tree { .. }, _) => None,
        })
    }

    /// The same place with its path seen from `folder`.
    pub fn under(&self, folder: &Path) -> Self {
        let mut place = self.clone();
        if let Self::Oci { dir: path, .. }
        | Self::Ostree { repo: path, .. }
        | Self::Tree { dir: path } = &mut place
        {
            *path = folder.join(&*path);
        }
        place
    }

    /// Which image of the place is meant; `None` for places that hold no images.
    pub fn image(&self) -> Option<ImageRef> {
        match self {
            Self::Oci { tag: Some(tag), .. } => Some(ImageRef::Tag(tag.clone())),
            Self::Oci { tag: None, .. } => Some(ImageRef::Default),
            Self::Docker { image, .. } => Some(image.clone()),
            Self::Ostree { .. } | Self::Tree { .. } => None,
        }
    }
}

/// A ref with its `{{ arch.uname }}` and `{{ arch }}` replaced.
pub fn for_arch(refname: &str, arch: Arch) -> String {
    [("arch.uname", arch.uname()), ("arch", arch.go())].into_iter().fold(
        refname.to_owned(),
        |text, (name, value)| {
            text.replace(&format!("{{{{ {name} }}}}"), value)
                .replace(&format!("{{{{{name}}}}}"), value)
        },
    )
}

impl FromStr for Dest {
    type Err = NotADest;

    fn from_str(text: &str) -> Result<Self, NotADest> {
        parse(text).map_err(|reason| NotADest { text: text.to_owned(), reason })
    }
}

fn parse(text: &str) -> Result<Dest, String> {
    let Some((transport, rest)) = text.split_once(':') else {
        return Err("it does not say of what kind it is".to_owned());
    };
    match transport {
        "oci" => {
            let (dir, tag) = split_path(rest, "tag")?;
            if let Some(tag) = tag.as_deref().filter(|tag| !is_layout_name(tag)) {
                return Err(format!(
                    "a tag holds letters and digits, joined by single - . _ : @ + or /, \
                     which {tag:?} does not"
                ));
            }
            Ok(Dest::Oci { dir, tag })
        }
        "ostree" => {
            let (repo, reference) = split_path(rest, "ref")?;
            Ok(Dest::Ostree { repo, reference })
        }
        "tree" if rest.is_empty() => Err("the directory is missing".to_owned()),
        "tree" => Ok(Dest::Tree { dir: rest.into() }),
        "docker" => match rest.strip_prefix("//") {
            Some(reference) => parse_docker(reference),
            None => Err("after docker: come two slashes".to_owned()),
        },
        other => Err(format!("there is no kind {other:?}")),
    }
}

/// The path ends at the first colon (containers-transports(5), "oci:path").
fn split_path(rest: &str, second: &str) -> Result<(PathBuf, Option<String>), String> {
    let (path, name) = match rest.split_once(':') {
        Some((path, name)) => (path, Some(name)),
        None => (rest, None),
    };
    if path.is_empty() {
        return Err("the directory is missing".to_owned());
    }
    if name == Some("") {
        return Err(format!("the {second} after the last colon is empty"));
    }
    Ok((path.into(), name.map(str::to_owned)))
}

fn parse_docker(reference: &str) -> Result<Dest, String> {
    let (name, digest) = match reference.split_once('@') {
        Some((name, digest)) => {
            (name, Some(digest.parse::<Digest>().map_err(|error| error.to_string())?))
        }
        None => (reference, None),
    };
    // A colon behind the last slash begins a tag; one before it, a port.
    let tag_at = name.rfind(':').filter(|at| !name[*at..].contains('/'));
    let (name, tag) = match tag_at {
        Some(at) => (&name[..at], Some(&name[at + 1..])),
        None => (name, None),
    };
    let repository: Repository =
        name.parse().map_err(|error: crate::image_store::NotARepository| error.to_string())?;
    let image = match (tag, digest) {
        (None, None) => ImageRef::Default,
        (None, Some(digest)) => ImageRef::Digest(digest),
        (Some(tag), None) if is_tag(tag) => ImageRef::Tag(tag.to_owned()),
        (Some(tag), None) => {
            return Err(format!(
                "a tag holds up to 128 letters, digits, _ . and -, which {tag:?} does not"
            ));
        }
        (Some(_), Some(_)) => return Err("give a tag or a digest, not both".to_owned()),
    };
    Ok(Dest::Docker { repository, image })
}

/// containers/image's grammar for names in a layout (its oci/internal, `refRegexp`).
fn is_layout_name(name: &str) -> bool {
    name.split('/').all(|component| {
        let alnum = |c: char| c.is_ascii_alphanumeric();
        let mut joints = component.split(alnum).filter(|j| !j.is_empty());
        component.starts_with(alnum)
            && component.ends_with(alnum)
            && joints.all(|j| matches!(j, "-" | "." | "_" | ":" | "@" | "+" | "--"))
    })
}

impl fmt::Display for Dest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let with = |name: &Option<String>| name.as_ref().map_or(String::new(), |n| format!(":{n}"));
        match self {
            Self::Oci { dir, tag } => write!(f, "oci:{}{}", dir.display(), with(tag)),
            Self::Ostree { repo, reference } => {
                write!(f, "ostree:{}{}", repo.display(), with(reference))
            }
            Self::Tree { dir } => write!(f, "tree:{}", dir.display()),
            Self::Docker { repository, image } => match image {
                ImageRef::Default => write!(f, "docker://{repository}"),
                ImageRef::Tag(tag) => write!(f, "docker://{repository}:{tag}"),
                ImageRef::Digest(digest) => write!(f, "docker://{repository}@{digest}"),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_all_forms() {
        let digest = Digest::of("x");
        let by_digest = format!("docker://h.example:5000/a/b@{digest}");
        for (text, again) in [
            ("oci:./out", "oci:./out"),
            ("oci:/srv/out:1.27.3", "oci:/srv/out:1.27.3"),
            ("oci:/srv/out:h.example:5000/a/b:1", "oci:/srv/out:h.example:5000/a/b:1"),
            ("docker://alpine", "docker://docker.io/library/alpine"),
            ("docker://h.example/a/b:t", "docker://h.example/a/b:t"),
            ("docker://localhost:5000/a", "docker://localhost:5000/a"),
            ("docker://[::1]:5000/a:t", "docker://[::1]:5000/a:t"),
            (&by_digest, &by_digest),
            ("ostree:repo", "ostree:repo"),
            ("ostree:/r:treelay/go/{{ arch.uname }}", "ostree:/r:treelay/go/{{ arch.uname }}"),
            ("tree:with:colon", "tree:with:colon"),
        ] {
            let dest: Dest = text.parse().unwrap();
            assert_eq!(dest.to_string(), again);
            assert_eq!(again.parse::<Dest>().unwrap(), dest);
        }
        let dest: Dest = "oci:/path:with:colon".parse().unwrap();
        assert_eq!(dest.image(), Some(ImageRef::Tag("with:colon".into())));
    }

    #[test]
    fn refuses_the_rest_and_tells_the_forms() {
        for text in [
            "",
            "out",
            "/srv/out",
            "oci:",
            "oci::tag",
            "oci:dir:",
            "oci:dir:a b",
            "oci:dir:a//b",
            "docker:h/a",
            "docker://",
            "docker://h.example/",
            "docker://h.example/a:",
            "docker://h.example/a:.t",
            "docker://h.example/A",
            "docker://h.example/a@sha256:12",
            "ostree:",
            "ostree:r:",
            "tree:",
            "oci-archive:x.tar",
            "dir:x",
        ] {
            let error = text.parse::<Dest>().unwrap_err().to_string();
            assert!(error.ends_with(FORMS), "{error}");
        }
        let both = format!("docker://h.example/a:t@{}", Digest::of("x"));
        assert!(both.parse::<Dest>().unwrap_err().reason.contains("not both"));
    }
}
