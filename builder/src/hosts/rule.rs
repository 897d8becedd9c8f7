//! [`Rule`]: what treelay asks hosts to require of its images.

use super::json::Value;
use super::policy::{Identity, Requirement, Signer, SigstoreSigned, Source};

/// A scope of a policy, and who must have signed what is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// A host, namespace or repository.
    pub scope: String,
    /// Public key files, as paths of the host. Never empty; one of the keys is enough.
    pub keys: Vec<String>,
    /// Where the signed names differ from those that hosts ask for: the prefix that they have
    /// instead of `scope`.
    pub signed_prefix: Option<String>,
}

impl Rule {
    /// As it is in a policy.
    pub fn requirement(&self) -> Requirement {
        Requirement::Sigstore(self.sigstore())
    }

    /// The same, without what other requirements may be. One key is a `keyPath`, the form that every version in use reads;
    /// several are `keyPaths`.
    pub fn sigstore(&self) -> SigstoreSigned {
        let keys = match self.keys.as_slice() {
            [key] => Source::Path(key.clone()),
            keys => Source::Paths(keys.to_vec()),
        };
        let identity = match &self.signed_prefix {
            None => Identity::default(),
            Some(signed) => Identity::RemapIdentity {
                prefix: self.scope.clone(),
                signed_prefix: signed.clone(),
            },
        };
        SigstoreSigned { signer: Signer::Keys(keys), rekor: None, identity }
    }

    /// The member that has the keys.
    pub(super) fn keys_member(&self) -> (&'static str, Value) {
        let text = |text: &String| Value::text(text.as_str());
        match self.keys.as_slice() {
            [key] => ("keyPath", text(key)),
            keys => ("keyPaths", Value::array(keys.iter().map(text))),
        }
    }

    /// The same as JSON: the list of requirements of its scope.
    pub fn to_json(&self) -> Value {
        let text = |text: &String| Value::text(text.as_str());
        let mut members = vec![("type", Value::text("sigstoreSigned")), self.keys_member()];
        if let Some(signed) = &self.signed_prefix {
            let remap = [
                ("type", Value::text("remapIdentity")),
                ("prefix", text(&self.scope)),
                ("signedPrefix", text(signed)),
            ];
            members.push(("signedIdentity", Value::object(remap)));
        }
        Value::array([Value::object(members)])
    }
}

/// `[{"type": TYPE}]`, for the types that have nothing else.
pub(super) fn plain(kind: &str) -> Value {
    Value::array([Value::object([("type", Value::text(kind))])])
}
