//! Bytes from elsewhere into a sink, verified as downloads are.

use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::download::{self, NotKept};
use super::sink::Pump;
use super::{Attempt, BlobSink, CHUNK, FetchError, Outcome, Wanted, Watch};

/// Reads `reader` to its end into `sink`.
///
/// # Errors
/// [`FetchError::WrongContent`] for other bytes than wanted, [`FetchError::Keeping`] where the sink
/// failed, [`FetchError::Unavailable`] where reading did.
pub async fn keep_stream(
    mut reader: impl AsyncRead + Unpin,
    wanted: &Wanted,
    sink: &dyn BlobSink,
    watch: &dyn Watch,
) -> Result<(), FetchError> {
    let what = || wanted.what.clone();
    let attempt = |outcome| vec![Attempt { place: wanted.what.clone(), tries: vec![outcome] }];
    let keeping = |source| FetchError::Keeping { what: what(), source };
    let writer = sink.begin(wanted.digest.as_ref(), wanted.size).map_err(keeping)?;
    let mut pump = Pump::start(writer);
    loop {
        let mut chunk = bytes::BytesMut::with_capacity(CHUNK);
        let read = reader.read_buf(&mut chunk).await.map_err(|error| {
            let attempts = attempt(Outcome::Connect(error.to_string()));
            FetchError::Unavailable { what: what(), attempts }
        })?;
        let actual = pump.sent() + read as u64;
        if let Some(expected) = wanted.size.filter(|size| actual > *size) {
            let attempts = attempt(Outcome::WrongSize { expected, actual });
            return Err(FetchError::WrongContent { what: what(), attempts });
        }
        if read == 0 || !pump.push(chunk.freeze()).await {
            break;
        }
        watch.at(pump.sent());
    }
    let pumped = pump.finish().await.map_err(keeping)?;
    match download::keep(wanted, pumped).await {
        Ok(_) => Ok(()),
        Err(NotKept::Wrong(outcome)) => {
            Err(FetchError::WrongContent { what: what(), attempts: attempt(outcome) })
        }
        Err(NotKept::Failed(error)) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::atomic::{AtomicU64, Ordering};

    use treelay_recipes::Digest;

    use super::*;
    use crate::fetch::BlobWriter;

    struct Nowhere;

    impl BlobSink for Nowhere {
        fn begin(&self, _: Option<&Digest>, _: Option<u64>) -> io::Result<Box<dyn BlobWriter>> {
            Ok(Box::new(Self))
        }
    }

    impl BlobWriter for Nowhere {
        fn write(&mut self, _: &[u8]) -> io::Result<()> {
            Ok(())
        }

        fn finish(self: Box<Self>, _: &Digest, _: u64) -> io::Result<bool> {
            Ok(true)
        }

        fn reject(self: Box<Self>, _: &Digest) {}
    }

    struct Sent(AtomicU64);

    impl Watch for Sent {
        fn at(&self, bytes: u64) {
            self.0.store(bytes, Ordering::Relaxed);
        }
    }

    /// Would never end if it were read to its end.
    #[tokio::test]
    async fn no_more_is_read_than_was_wanted() {
        let size = Some(CHUNK as u64);
        let wanted =
            Wanted { what: "x".to_owned(), places: vec![], digest: None, size, most: None };
        let sent = Sent(AtomicU64::new(0));
        let endless = tokio::io::repeat(0).take(1 << 30);
        let error = keep_stream(endless, &wanted, &Nowhere, &sent).await.unwrap_err();
        assert!(error.to_string().contains("WRONG SIZE: expected 262144 bytes"), "{error}");
        assert!(sent.0.load(Ordering::Relaxed) <= CHUNK as u64);
    }
}
