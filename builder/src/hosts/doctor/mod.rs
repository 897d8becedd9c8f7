//! What a host would refuse, or accept too easily, and how to mend it.
//!
//! [`examine`] reads the files that say whom a host trusts, each as the program that obeys it does,
//! and tells what is wrong as [`Finding`]s. Their ids are listed in `docs/consumers.md`.

mod containers;
mod ostree;
mod requirements;

use serde::Serialize;

use super::Reference;
use super::policy::Policy;
use super::registries_d::RegistriesD;
use super::root::Files;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Something is refused that should not be.
    Refused,
    /// Something is accepted that nobody signed.
    Insecure,
    /// Good to know.
    Note,
}

/// Something about a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// A fixed name for scripts: `attachments-off`.
    pub id: &'static str,
    /// How bad it is.
    pub level: Level,
    /// The file, scope, remote or deployment.
    pub place: String,
    /// What is so.
    pub message: String,
    /// How to mend it; empty where nothing has to be.
    pub mend: String,
}

/// What a host trusts, as far as it could be read.
#[derive(Debug, Clone, Default)]
pub struct Host {
    /// The policy that counts, and its file.
    pub policy: Option<(String, Policy)>,
    /// Where signatures are looked for; [`None`] where the files do not go together.
    pub registries_d: Option<RegistriesD>,
    /// What is wrong.
    pub findings: Vec<Finding>,
    /// What rpm-ostree and bootc go by, whatever a user has.
    system: System,
}

/// The files below `/etc`.
#[derive(Debug, Clone, Default)]
struct System {
    policy: Option<Policy>,
    registries_d: Option<RegistriesD>,
}

impl Host {
    /// Whether nothing has to be mended.
    pub fn is_healthy(&self) -> bool {
        self.findings.iter().all(|finding| finding.level == Level::Note)
    }

    /// Whether the host looks for signatures beside an image.
    pub fn looks_beside(&self, image: &Reference) -> bool {
        let setting = self.registries_d.as_ref().and_then(|settings| settings.attachments(image));
        setting.is_some_and(|setting| setting.value)
    }

    /// Adds something that was found, unless it is there.
    pub fn add(
        &mut self,
        id: &'static str,
        level: Level,
        place: impl Into<String>,
        message: impl Into<String>,
        mend: impl Into<String>,
    ) {
        let (place, message, mend) = (place.into(), message.into(), mend.into());
        let finding = Finding { id, level, place, message, mend };
        if !self.findings.contains(&finding) {
            self.findings.push(finding);
        }
    }
}

/// Looks at a host. `home` is the folder of the user whose own settings count before those of the
/// host, as a path of the host. `images` are looked at more closely.
pub fn examine(files: &dyn Files, home: Option<&str>, images: &[Reference]) -> Host {
    let mut host = Host::default();
    containers::examine(&mut host, files, home, images);
    ostree::examine(&mut host, files);
    host.findings.sort_by_key(|finding| finding.level);
    host
}

/// Words for what kept a file from being read.
fn why(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "it is not there".to_owned(),
        _ => error.to_string(),
    }
}
