//! Small files of any kind, such as signatures and lists of checksums: held in memory, from the first
//! place that has them, tried again as downloads are.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use treelay_recipes::Digest;

use super::{BlobSink, BlobWriter, FetchError, Fetcher, Place, Wanted};

impl Fetcher {
    /// The bytes of a file, `most` of them at most, and who served it. `what` names it in messages.
    ///
    /// # Errors
    /// As [`Fetcher::fetch`].
    pub async fn small_file(
        &self,
        what: &str,
        places: Vec<Place>,
        most: u64,
    ) -> Result<(Vec<u8>, String), FetchError> {
        let most = Some(most);
        let wanted = Wanted { what: what.to_owned(), places, digest: None, size: None, most };
        let memory = Memory::default();
        let fetched = self.fetch(&wanted, &memory, &()).await?;
        let bytes = std::mem::take(&mut *memory.0.lock().unwrap_or_else(PoisonError::into_inner));
        Ok((bytes, fetched.served_by))
    }
}

#[derive(Default)]
struct Memory(Arc<Mutex<Vec<u8>>>);

struct Writer(Vec<u8>, Arc<Mutex<Vec<u8>>>);

impl BlobSink for Memory {
    fn begin(&self, _: Option<&Digest>, _: Option<u64>) -> io::Result<Box<dyn BlobWriter>> {
        Ok(Box::new(Writer(Vec::new(), self.0.clone())))
    }
}

impl BlobWriter for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn finish(self: Box<Self>, _: &Digest, _: u64) -> io::Result<bool> {
        *self.1.lock().unwrap_or_else(PoisonError::into_inner) = self.0;
        Ok(true)
    }
}
