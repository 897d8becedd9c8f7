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
