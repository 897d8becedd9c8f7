//! Where a checksum database is asked: at a GOPROXY that stands for it, else at its own address
//! (go.dev/ref/mod, "Checksum database"). What its answers prove is `treelay_signing::sumdb`.

use treelay_signing::sumdb::Database;

use super::goproxy::{self, At, Proxy};
use super::{FetchError, Fetcher};

/// Bytes that an answer may have: a record and a head have some 500, a whole tile 8 KiB.
const MOST: u64 = 1 << 20;

/// Where a database is asked.
#[derive(Debug, Clone)]
pub struct Reached {
    at: Proxy,
    /// Whether it answers itself. What a proxy has of it may be old.
    pub direct: bool,
}

impl Fetcher {
    /// Finds out where a database is asked. As for Go, the first entry of the list that is no proxy
    /// ends it, and so does its end: then the database is asked itself.
    ///
    /// # Errors
    /// [`FetchError`] of a proxy that does not say whether it stands for the database, unless a bar
    /// follows it in the list.
    pub async fn reach_sumdb(
        &self,
        database: &Database,
        proxies: &[Proxy],
    ) -> Result<Reached, FetchError> {
        let name = database.key.name();
        for proxy in proxies.iter().filter(|_| !database.direct) {
            let at = match &proxy.at {
                At::Url(url) => At::Url(format!("{url}/sumdb/{name}")),
                At::Folder(folder) => At::Folder(folder.join("sumdb").join(name)),
                At::Direct | At::Off => break,
            };
            let at = Proxy { at, any_error: false };
            match self.ask(&at, "supported").await {
                Ok(Some(_)) => return Ok(Reached { at, direct: false }),
                Ok(None) => {}
                Err(_) if proxy.any_error => {}
                Err(error) => return Err(error),
            }
        }
        let at = Proxy { at: At::Url(database.url.clone()), any_error: false };
        Ok(Reached { at, direct: true })
    }

    /// A file of the database; `None` where it does not have it.
    ///
    /// # Errors
    /// [`FetchError`].
    pub async fn ask_sumdb(
        &self,
        reached: &Reached,
        file: &str,
    ) -> Result<Option<Vec<u8>>, FetchError> {
        self.ask(&reached.at, file).await
    }

    async fn ask(&self, at: &Proxy, file: &str) -> Result<Option<Vec<u8>>, FetchError> {
        let Some(place) = at.place(file)? else { return Ok(None) };
        let what = format!("{file} of the checksum database");
        match self.small_file(&what, vec![place.clone()], MOST).await {
            Ok((bytes, _)) => Ok(Some(bytes)),
            Err(error) if goproxy::has_not(&place, &error) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
