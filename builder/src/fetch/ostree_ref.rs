//! Refs of OSTree repositories on web servers: `refs/heads/REF` below the repository's address holds a
//! commit's checksum.

use treelay_recipes::Digest;

use super::download::Failed;
use super::{FetchError, Fetcher, Outcome, Place, small};

impl Fetcher {
    /// The commit that a ref of a repository names.
    ///
    /// # Errors
    /// [`FetchError`]; for a server that has no such ref too.
    pub async fn ostree_ref(&self, url: &str, refname: &str) -> Result<Digest, FetchError> {
        let url = url.trim_end_matches('/');
        let what = format!("the ref {refname} of {url}");
        if self.is_offline() {
            return Err(FetchError::Offline { what });
        }
        let Place::Remote(remote) = Place::parse(&format!("{url}/refs/heads/{refname}"))? else {
            return Err(FetchError::BadUrl {
                url: url.to_owned(),
                reason: "expected https".into(),
            });
        };
        let nonsense = |said: &str| {
            let tries = vec![Outcome::Nonsense(said.to_owned())];
            super::Attempt { place: remote.to_string(), tries }
        };
        let unavailable =
            |attempt| FetchError::Unavailable { what: what.clone(), attempts: vec![attempt] };
        match small::document(self, &remote, "*/*").await {
            Ok(document) => Digest::from_hex(document.body.trim())
                .map_err(|_| unavailable(nonsense("its answer is no commit's checksum"))),
            Err(Failed::Place(attempt)) => Err(unavailable(attempt)),
            Err(Failed::All(error)) => Err(error),
        }
    }
}
