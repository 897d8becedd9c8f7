//! When an image was made, by its own words.

use futures_util::{StreamExt, stream};
use serde::Deserialize;

use super::walk::{Content, Node};
use crate::image_store::{Descriptor, ImageStore, MANIFEST_LIMIT, Parts};

/// Configs that are read at once.
const AT_ONCE: usize = 8;

/// The time of what says none. Not Go's zero time: not every reader knows a year 1.
const NO_TIME: &str = "1970-01-01T00:00:00Z";

#[derive(Deserialize)]
struct Config {
    created: Option<String>,
}

/// The `created` of each node, in order: of a manifest what its config says, of an index the newest
/// below it.
pub(super) async fn of(store: &dyn ImageStore, nodes: &[Node]) -> Vec<String> {
    let configs = nodes.iter().map(|node| match &node.content {
        Ok(Content { parts: Parts::Image { config, .. }, .. }) => Some(config.clone()),
        _ => None,
    });
    let configs: Vec<Option<Descriptor>> = configs.collect();
    let mut reads = stream::iter(configs.into_iter().map(|config| async move {
        match config {
            Some(config) => read(store, &config).await,
            None => None,
        }
    }))
    .buffered(AT_ONCE);
    let mut times = Vec::new();
    while let Some(time) = reads.next().await {
        times.push(time);
    }
    let newest = times.iter().flatten().max().cloned();
    let time = |(node, time): (&Node, Option<String>)| match &node.content {
        Ok(Content { parts: Parts::Index(_), .. }) => newest.clone(),
        _ => time,
    };
    let times = nodes.iter().zip(times).map(time);
    times.map(|time| time.unwrap_or_else(|| NO_TIME.to_owned())).collect()
}

/// An artifact's config need not be that of an image: then it has no time.
async fn read(store: &dyn ImageStore, config: &Descriptor) -> Option<String> {
    let bytes = store.blob(&config.digest, config.size).await.ok()?;
    let bytes = bytes.read_all(MANIFEST_LIMIT).await.ok()?;
    let created = serde_json::from_slice::<Config>(&bytes).ok()?.created?;
    is_utc(&created).then_some(created)
}

/// Whether it is a time of RFC 3339 in UTC, so that the greater text is the later time.
fn is_utc(text: &str) -> bool {
    let pattern = b"dddd-dd-ddTdd:dd:dd";
    let Some((time, rest)) = text.split_at_checked(pattern.len()) else { return false };
    let fits = |(byte, form): (u8, &u8)| match form {
        b'd' => byte.is_ascii_digit(),
        other => byte == *other,
    };
    let fraction = rest.strip_suffix('Z').map(|rest| rest.strip_prefix('.').unwrap_or(rest));
    time.bytes().zip(pattern).all(fits)
        && fraction.is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_times_in_utc_are_taken() {
        for (text, taken) in [
            ("2026-11-30T00:05:47Z", true),
            ("2026-11-30T00:05:47.123456789Z", true),
            ("2026-11-30T00:05:47+01:00", false),
            ("2026-11-30", false),
            ("2026-11-30T00:05:47", false),
            ("2026-11-30T00:05:47Zx", false),
            ("2026-11-30t00:05:47Z", false),
            ("\u{e9}", false),
            ("", false),
        ] {
            assert_eq!(is_utc(text), taken, "{text}");
        }
    }
}
