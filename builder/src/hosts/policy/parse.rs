//! [`Policy::parse`].

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::{Identity, Policy, Requirement, Signer, SigstoreSigned, Source, Transport};
use super::{identity, scopes};
use crate::hosts::json::{Member, Node, NotJson, Value, line_of};

/// Why a file is not a policy. containers/image then refuses every image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// It is not JSON at all; comments are not JSON.
    #[error(transparent)]
    NotJson(#[from] NotJson),
    /// Something in it is not as it must be.
    #[error("line {line}: {what}: {reason}")]
    Wrong {
        /// Counted from 1.
        line: usize,
        /// Where: `transports.docker."h.example"[0].keyPath`.
        what: String,
        /// What is wrong.
        reason: String,
    },
}

impl Policy {
    /// Reads a policy as containers/image does: what it would refuse is refused.
    ///
    /// # Errors
    /// [`PolicyError`].
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        let root = Node::parse(text)?;
        let place = Place { text, path: String::new() };
        let [default, transports] = place.fields(&root, ["default", "transports"])?;
        let Some(default) = default else {
            return Err(place.wrong(&root, "the default is missing, which every policy must have"));
        };
        let default = place.at("default").requirements(default)?;
        let place = place.at("transports");
        let mut list = Vec::new();
        for Member { name, value, .. } in
            transports.map_or(Ok(&[][..]), |node| place.members(node))?
        {
            let place = place.at(name);
            let mut transport = Transport { name: name.clone(), scopes: Vec::new() };
            for Member { name: scope, value, .. } in place.members(value)? {
                if !scope.is_empty() {
                    scopes::check(name, scope).map_err(|reason| place.wrong(value, reason))?;
                }
                let requirements = place.at(&format!("{scope:?}")).requirements(value)?;
                transport.scopes.push((scope.clone(), requirements));
            }
            list.push(transport);
        }
        Ok(Self { default, transports: list })
    }
}

/// Where in the file the reader is.
struct Place<'a> {
    text: &'a str,
    path: String,
}

impl<'a> Place<'a> {
    fn at(&self, name: &str) -> Self {
        let dot = if self.path.is_empty() { "" } else { "." };
        Self { text: self.text, path: format!("{}{dot}{name}", self.path) }
    }

    fn wrong(&self, node: &Node, reason: impl Into<String>) -> PolicyError {
        let what = if self.path.is_empty() { "policy".to_owned() } else { self.path.clone() };
        PolicyError::Wrong {
            line: line_of(self.text, node.span.start),
            what,
            reason: reason.into(),
        }
    }

    /// The members of an object, none of them twice.
    fn members<'n>(&self, node: &'n Node) -> Result<&'n [Member], PolicyError> {
        let members = node.members().ok_or_else(|| {
            self.wrong(node, format!("expected an object, found {}", node.kind()))
        })?;
        for (n, member) in members.iter().enumerate() {
            if members[..n].iter().any(|other| other.name == member.name) {
                return Err(self.wrong(&member.value, format!("{:?} is there twice", member.name)));
            }
        }
        Ok(members)
    }

    /// The values of these members, and no others.
    fn fields<'n, const N: usize>(
        &self,
        node: &'n Node,
        names: [&str; N],
    ) -> Result<[Option<&'n Node>; N], PolicyError> {
        let mut found = [None; N];
        for member in self.members(node)? {
            match names.iter().position(|name| *name == member.name) {
                Some(at) => found[at] = Some(&member.value),
                None => {
                    let known = names.join(", ");
                    let reason = format!("unknown member {:?}, expected {known}", member.name);
                    return Err(self.wrong(&member.value, reason));
                }
            }
        }
        Ok(found)
    }

    fn text(&self, node: &Node) -> Result<String, PolicyError> {
        match &node.value {
            Value::Text(text) => Ok(text.clone()),
            _ => Err(self.wrong(node, format!("expected a text, found {}", node.kind()))),
        }
    }

    /// A member that must be there and hold something.
    fn words(&self, object: &Node, name: &str, node: Option<&Node>) -> Result<String, PolicyError> {
        let node = node.ok_or_else(|| self.wrong(object, format!("{name} is missing")))?;
        let text = self.at(name).text(node)?;
        match text.is_empty() {
            true => Err(self.at(name).wrong(node, "it is empty")),
            false => Ok(text),
        }
    }

    fn list<T>(
        &self,
        node: &Node,
        each: impl Fn(&Self, &Node) -> Result<T, PolicyError>,
    ) -> Result<Vec<T>, PolicyError> {
        let Value::Array(items) = &node.value else {
            return Err(self.wrong(node, format!("expected an array, found {}", node.kind())));
        };
        if items.is_empty() {
            return Err(self.wrong(node, "the list is empty"));
        }
        let at = |n| Self { text: self.text, path: format!("{}[{n}]", self.path) };
        items.iter().enumerate().map(|(n, item)| each(&at(n), item)).collect()
    }

    fn requirements(&self, node: &Node) -> Result<Vec<Requirement>, PolicyError> {
        self.list(node, |place, node| place.requirement(node))
    }

    fn kind(&self, node: &Node) -> Result<String, PolicyError> {
        self.members(node)?;
        self.words(node, "type", node.get("type"))
    }

    fn requirement(&self, node: &Node) -> Result<Requirement, PolicyError> {
        Ok(match self.kind(node)?.as_str() {
            "insecureAcceptAnything" => {
                self.fields(node, ["type"])?;
                Requirement::AcceptAnything
            }
            "reject" => {
                self.fields(node, ["type"])?;
                Requirement::Reject
            }
            "signedBaseLayer" => {
                let [_, identity] = self.fields(node, ["type", "baseLayerIdentity"])?;
                let missing = || self.wrong(node, "baseLayerIdentity is missing");
                let identity = identity.ok_or_else(missing)?;
                let identity = self.at("baseLayerIdentity").identity(identity)?;
                Requirement::SignedBaseLayer { identity }
            }
            "signedBy" => self.signed_by(node)?,
            "sigstoreSigned" => Requirement::Sigstore(self.sigstore(node)?),
            other => {
                let known = "insecureAcceptAnything, reject, signedBy, sigstoreSigned";
                let reason = format!("unknown type {other:?}, expected one of {known}");
                return Err(self.wrong(node, reason));
            }
        })
    }

    fn signed_by(&self, node: &Node) -> Result<Requirement, PolicyError> {
        let names = ["type", "keyType", "keyPath", "keyPaths", "keyData", "signedIdentity"];
        let [_, key_type, path, paths, data, identity] = self.fields(node, names)?;
        let key_type = self.words(node, "keyType", key_type)?;
        // policy_types.go knows four, of which the program uses the first.
        let known = ["GPGKeys", "signedByGPGKeys", "X509Certificates", "signedByX509CAs"];
        if !known.contains(&key_type.as_str()) {
            let reason = format!("unknown keyType {key_type:?}, expected {}", known.join(", "));
            return Err(self.wrong(node, reason));
        }
        let keys = self.source("key", [path, paths, data, None])?;
        let keys = keys.ok_or_else(|| {
            self.wrong(node, "one of keyPath, keyPaths and keyData must be there")
        })?;
        let identity = self.signed_identity(identity)?;
        Ok(Requirement::SignedBy { key_type, keys, identity })
    }

    fn sigstore(&self, node: &Node) -> Result<SigstoreSigned, PolicyError> {
        let [
            _,
            path,
            paths,
            data,
            datas,
            fulcio,
            pki,
            rekor_path,
            rekor_paths,
            rekor_data,
            rekor_datas,
            identity,
        ] = self.fields(
            node,
            [
                "type",
                "keyPath",
                "keyPaths",
                "keyData",
                "keyDatas",
                "fulcio",
                "pki",
                "rekorPublicKeyPath",
                "rekorPublicKeyPaths",
                "rekorPublicKeyData",
                "rekorPublicKeyDatas",
                "signedIdentity",
            ],
        )?;
        let keys = self.source("key", [path, paths, data, datas])?;
        let signer = match (keys, fulcio, pki) {
            (Some(keys), None, None) => Signer::Keys(keys),
            (None, Some(fulcio), None) => self.at("fulcio").fulcio(fulcio)?,
            (None, None, Some(pki)) => self.at("pki").pki(pki)?,
            _ => {
                let one = "exactly one of keyPath, keyPaths, keyData, keyDatas, fulcio and pki must \
                           be there";
                return Err(self.wrong(node, one));
            }
        };
        let sources = [rekor_path, rekor_paths, rekor_data, rekor_datas];
        let rekor = self.source("rekorPublicKey", sources)?;
        if matches!(signer, Signer::Fulcio { .. }) && rekor.is_none() {
            let reason = "with fulcio one of rekorPublicKeyPath, …Paths, …Data and …Datas must be \
                          there";
            return Err(self.wrong(node, reason));
        }
        Ok(SigstoreSigned { signer, rekor, identity: self.signed_identity(identity)? })
    }

    fn fulcio(&self, node: &Node) -> Result<Signer, PolicyError> {
        let names = ["caPath", "caData", "oidcIssuer", "subjectEmail"];
        let [path, data, issuer, email] = self.fields(node, names)?;
        let ca = self.source("ca", [path, None, data, None])?;
        Ok(Signer::Fulcio {
            ca: ca.ok_or_else(|| self.wrong(node, "caPath or caData must be there"))?,
            oidc_issuer: self.words(node, "oidcIssuer", issuer)?,
            subject_email: self.words(node, "subjectEmail", email)?,
        })
    }

    fn pki(&self, node: &Node) -> Result<Signer, PolicyError> {
        let names = [
            "caRootsPath",
            "caRootsData",
            "caIntermediatesPath",
            "caIntermediatesData",
            "subjectEmail",
            "subjectHostname",
        ];
        let [path, data, between_path, between_data, email, host] = self.fields(node, names)?;
        let roots = self.source("caRoots", [path, None, data, None])?;
        let words = |name, node: Option<&Node>| {
            node.map(|node| self.at(name).text(node))
                .transpose()
                .map(|text| text.filter(|text| !text.is_empty()))
        };
        let subject_email = words("subjectEmail", email)?;
        let subject_hostname = words("subjectHostname", host)?;
        if subject_email.is_none() && subject_hostname.is_none() {
            return Err(self.wrong(node, "subjectEmail or subjectHostname must be there"));
        }
        Ok(Signer::Pki {
            roots: roots
                .ok_or_else(|| self.wrong(node, "caRootsPath or caRootsData must be there"))?,
            intermediates: self
                .source("caIntermediates", [between_path, None, between_data, None])?,
            subject_email,
            subject_hostname,
        })
    }

    /// The one of `…Path`, `…Paths`, `…Data` and `…Datas` that is there.
    fn source(
        &self,
        prefix: &str,
        [path, paths, data, datas]: [Option<&Node>; 4],
    ) -> Result<Option<Source>, PolicyError> {
        let at = |ending: &str| self.at(&format!("{prefix}{ending}"));
        let mut found = Vec::new();
        if let Some(node) = path {
            found.push((node, Source::Path(at("Path").file(node)?)));
        }
        if let Some(node) = paths {
            let list = at("Paths").list(node, |place, node| place.file(node))?;
            found.push((node, Source::Paths(list)));
        }
        if let Some(node) = data {
            found.push((node, Source::Data(at("Data").bytes(node)?)));
        }
        if let Some(node) = datas {
            let list = at("Datas").list(node, |place, node| place.bytes(node))?;
            found.push((node, Source::Datas(list)));
        }
        if let [_, (second, _), ..] = found.as_slice() {
            let reason = format!("only one of {prefix}Path, …Paths, …Data and …Datas may be there");
            return Err(self.wrong(second, reason));
        }
        Ok(found.pop().map(|(_, source)| source))
    }

    fn file(&self, node: &Node) -> Result<String, PolicyError> {
        let text = self.text(node)?;
        match text.is_empty() {
            true => Err(self.wrong(node, "the path is empty")),
            false => Ok(text),
        }
    }

    /// Base64 as Go reads it: ends of lines do not count.
    fn bytes(&self, node: &Node) -> Result<Vec<u8>, PolicyError> {
        let text: String = self.text(node)?.chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
        BASE64.decode(text).map_err(|error| self.wrong(node, format!("not base64: {error}")))
    }

    fn signed_identity(&self, node: Option<&Node>) -> Result<Identity, PolicyError> {
        node.map_or(Ok(Identity::default()), |node| self.at("signedIdentity").identity(node))
    }

    fn identity(&self, node: &Node) -> Result<Identity, PolicyError> {
        let kind = self.kind(node)?;
        let alone = |identity| self.fields(node, ["type"]).map(|_| identity);
        let named = |name: &str| {
            let [_, value] = self.fields(node, ["type", name])?;
            self.words(node, name, value)
        };
        let identity = match kind.as_str() {
            "matchExact" => alone(Identity::MatchExact)?,
            "matchRepoDigestOrExact" => alone(Identity::MatchRepoDigestOrExact)?,
            "matchRepository" => alone(Identity::MatchRepository)?,
            "exactReference" => Identity::ExactReference(named("dockerReference")?),
            "exactRepository" => Identity::ExactRepository(named("dockerRepository")?),
            "remapIdentity" => {
                let [_, prefix, signed] = self.fields(node, ["type", "prefix", "signedPrefix"])?;
                Identity::RemapIdentity {
                    prefix: self.words(node, "prefix", prefix)?,
                    signed_prefix: self.words(node, "signedPrefix", signed)?,
                }
            }
            other => {
                let known = "matchExact, matchRepoDigestOrExact, matchRepository, exactReference, \
                             exactRepository, remapIdentity";
                let reason = format!("unknown type {other:?}, expected one of {known}");
                return Err(self.wrong(node, reason));
            }
        };
        identity::check(&identity).map_err(|reason| self.wrong(node, reason))?;
        Ok(identity)
    }
}

#[cfg(test)]
mod tests;
