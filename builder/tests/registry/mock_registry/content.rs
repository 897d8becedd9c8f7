//! What the registry has, and its answers about that.

use std::collections::BTreeMap;

use treelay_recipes::Digest;

use super::{Reply, Request, reply, subject_of};

#[derive(Default)]
pub(super) struct Content {
    /// By repository and digest.
    pub(super) blobs: BTreeMap<(String, String), Vec<u8>>,
    /// By repository and tag or digest: media type and bytes.
    pub(super) manifests: BTreeMap<(String, String), (String, Vec<u8>)>,
    pub(super) uploads: BTreeMap<usize, Vec<u8>>,
    pub(super) log: Vec<Request>,
}

impl Content {
    pub(super) fn referrers(
        &self,
        repository: &str,
        subject: &str,
        size: usize,
        request: &Request,
    ) -> Reply {
        let last = request.query("last").unwrap_or_default();
        let mut listed = Vec::new();
        for ((repo, name), (kind, bytes)) in &self.manifests {
            let refers = subject_of(bytes).as_deref() == Some(subject);
            if repo != repository || !name.contains(':') || *name <= last || !refers {
                continue;
            }
            let said: serde_json::Value = serde_json::from_slice(bytes).unwrap();
            listed.push(serde_json::json!({
                "mediaType": kind, "digest": name, "size": bytes.len(),
                "artifactType": said["artifactType"], "annotations": said["annotations"],
            }));
        }
        let index = "application/vnd.oci.image.index.v1+json";
        let page = &listed[..listed.len().min(size)];
        let body = serde_json::json!({"schemaVersion": 2, "mediaType": index, "manifests": page});
        let answer = reply(200).with("content-type", index).body(body.to_string());
        if listed.len() <= size {
            return answer;
        }
        let last = page.last().unwrap()["digest"].as_str().unwrap();
        let next = format!("</v2/{repository}/referrers/{subject}?last={last}>; rel=\"next\"");
        answer.with("link", next)
    }

    pub(super) fn manifests(
        &mut self,
        method: &str,
        repository: &str,
        name: &str,
        request: &Request,
        body: Vec<u8>,
    ) -> Reply {
        let key = |name: &str| (repository.to_owned(), name.to_owned());
        if method == "PUT" {
            let digest = Digest::of(&body).to_string();
            let entry = (request.headers["content-type"].clone(), body);
            self.manifests.insert(key(name), entry.clone());
            self.manifests.insert(key(&digest), entry);
            return reply(201).with("docker-content-digest", digest);
        }
        match self.manifests.get(&key(name)) {
            None => reply(404),
            Some((kind, bytes)) => reply(200)
                .with("content-type", kind)
                .with("docker-content-digest", Digest::of(bytes).to_string())
                .body(bytes.clone()),
        }
    }

    pub(super) fn upload(
        &mut self,
        method: &str,
        repository: &str,
        session: &str,
        request: &Request,
        body: Vec<u8>,
    ) -> Reply {
        if method == "POST" {
            if let (Some(mount), Some(from)) = (request.query("mount"), request.query("from"))
                && let Some(blob) = self.blobs.get(&(from, mount.clone())).cloned()
            {
                self.blobs.insert((repository.to_owned(), mount), blob);
                return reply(201);
            }
            let session = self.uploads.len();
            self.uploads.insert(session, Vec::new());
            return reply(202)
                .with("location", format!("/v2/{repository}/blobs/uploads/{session}?s=1"));
        }
        let number = session.parse().unwrap();
        let Some(upload) = self.uploads.get_mut(&number) else { return reply(404) };
        let here = format!("/v2/{repository}/blobs/uploads/{number}?s=1");
        let range = |upload: &[u8]| format!("0-{}", upload.len().saturating_sub(1));
        match method {
            "GET" => reply(204).with("range", range(upload)).with("location", here),
            "PATCH" => {
                let from = request.headers["content-range"].split('-').next().unwrap();
                if from.parse() != Ok(upload.len()) {
                    return reply(416);
                }
                upload.extend_from_slice(&body);
                reply(202).with("range", range(upload)).with("location", here)
            }
            _ => {
                upload.extend_from_slice(&body);
                let digest = request.query("digest").unwrap();
                if Digest::of(&upload).to_string() != digest {
                    let words = r#"{"errors":[{"code":"DIGEST_INVALID","message":"no match"}]}"#;
                    return reply(400).body(words);
                }
                let blob = self.uploads.remove(&number).unwrap();
                self.uploads.insert(usize::MAX - number, Vec::new());
                self.blobs.insert((repository.to_owned(), digest), blob);
                reply(201)
            }
        }
    }

    /// Two to a page.
    pub(super) fn tags(&self, repository: &str, request: &Request) -> Reply {
        let last = request.query("last").unwrap_or_default();
        let names =
            self.manifests.keys().filter(|(r, name)| r == repository && !name.contains(':'));
        let names: Vec<_> = names.map(|(_, name)| name.clone()).filter(|n| *n > last).collect();
        let page = &names[..names.len().min(2)];
        let reply =
            reply(200).body(serde_json::json!({"name": repository, "tags": page}).to_string());
        if names.len() <= 2 {
            return reply;
        }
        let next = format!("</v2/{repository}/tags/list?last={}&n=2>; rel=\"next\"", page[1]);
        reply.with("link", next)
    }
}
