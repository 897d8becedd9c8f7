//! What podman, skopeo, rpm-ostree and bootc have in common: containers/image, with a policy that
//! asks for `sigstoreSigned` by keys under the default identity.

use super::{Broken, Trust};
use crate::hosts::policy::{
    Identity, ImageAsked, Policy, Requirement, Signer, SigstoreSigned, Source, Unmet,
};
use crate::sign::evidence::{SigTag, Subject};

/// The ids of the rules that are checked for each manifest, as one consumer calls them.
pub(super) struct Ids {
    pub(super) readable: &'static str,
    pub(super) sig_tag: &'static str,
    pub(super) sig_manifest: &'static str,
    pub(super) key: &'static str,
    pub(super) payload: &'static str,
    pub(super) digest: &'static str,
    pub(super) identity: &'static str,
}

/// The policy that treelay's kits ship, as far as it concerns an image.
pub(super) fn shipped(trust: &Trust<'_>) -> Policy {
    let keys = trust.keys.iter().map(|key| key.to_pem().into_bytes()).collect();
    let signed = SigstoreSigned {
        signer: Signer::Keys(Source::Datas(keys)),
        rekor: None,
        identity: Identity::default(),
    };
    Policy { default: vec![Requirement::Sigstore(signed)], transports: Vec::new() }
}

/// Which of the rules a manifest breaks.
pub(super) fn judge(subject: &Subject, trust: &Trust<'_>, ids: &Ids) -> Option<Broken> {
    let broken =
        |rule, reason: String| Some(Broken { rule, subject: subject.name.clone(), reason });
    if let Some(reason) = &subject.unreadable {
        return broken(ids.readable, reason.clone());
    }
    match &subject.sig {
        SigTag::Absent => return broken(ids.sig_tag, no_tag(subject)),
        SigTag::Unusable(reason) => return broken(ids.sig_manifest, reason.clone()),
        SigTag::Found(_) => {}
    }
    let asked =
        ImageAsked { name: trust.name, digest: &subject.digest, attached: subject.sig.attached() };
    let no_files = |path: &str| Err(format!("{path} is not read here"));
    let unmet = shipped(trust).evaluate(&asked, &no_files).unmet.into_iter().next()?;
    let rule = match &unmet {
        Unmet::NoSignature => ids.sig_tag,
        Unmet::OtherName { .. } => ids.identity,
        Unmet::OtherImage(_) => ids.digest,
        Unmet::Unusable(_) => ids.payload,
        _ => ids.key,
    };
    broken(rule, unmet.to_string())
}

/// That a manifest has no signature where containers/image looks for one.
pub(super) fn no_tag(subject: &Subject) -> String {
    format!("there is no tag sha256-{}.sig", subject.digest.hex())
}

#[cfg(test)]
pub(in crate::hosts) mod tests {
    use std::collections::BTreeMap;

    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD as BASE64;
    use treelay_recipes::Digest;
    use treelay_signing::SecretKey;
    use treelay_signing::schemes::Scheme as _;
    use treelay_signing::schemes::simplesigning::{
        MEDIA_TYPE, SIGNATURE_ANNOTATION, SimpleSigning,
    };

    use super::*;
    use crate::hosts::policy::Attached;
    use crate::sign::evidence::Evidence;

    /// A signature over `digest` as `name`.
    pub(in crate::hosts::consumers) fn signature(
        key: &SecretKey,
        digest: &Digest,
        name: &str,
    ) -> Attached {
        let digest = digest.to_string();
        let subject = treelay_signing::Subject::Image { digest: &digest, reference: Some(name) };
        let made = SimpleSigning.sign(&subject, key).unwrap();
        let text = BASE64.encode(&made.bytes);
        Attached {
            media_type: MEDIA_TYPE.to_owned(),
            annotations: BTreeMap::from([(SIGNATURE_ANNOTATION.to_owned(), text)]),
            payload: made.payload.unwrap(),
        }
    }

    /// An index and one manifest, both signed as `name`.
    pub(in crate::hosts) fn evidence(key: &SecretKey, name: &str) -> Evidence {
        let subject = |what: &str, is_index| {
            let digest = Digest::of(what);
            Subject {
                name: what.to_owned(),
                digest,
                is_index,
                platform: None,
                unreadable: None,
                sig: SigTag::Found(vec![signature(key, &digest, name)]),
                bundles: Ok(Vec::new()),
            }
        };
        Evidence {
            place: "docker://h.example/a".to_owned(),
            image: Digest::of("index"),
            subjects: vec![subject("index", true), subject("linux/amd64", false)],
        }
    }
}
