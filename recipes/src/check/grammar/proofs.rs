//! What `verify` takes: places, fingerprints, databases.

use super::{Verdict, local_path, must, url};

/// An address, or a path from the recipe's folder.
pub(crate) fn place(text: &str) -> Verdict {
    match text.split_once("://") {
        Some(_) => url(text),
        None => local_path(text),
    }
}

/// The whole fingerprint of an OpenPGP key, with or without spaces: 20 bytes, or 32 of version 6.
pub(crate) fn fingerprint(text: &str) -> Verdict {
    let digits: String = text.chars().filter(|c| *c != ' ').collect();
    let digits = digits.strip_prefix("0x").unwrap_or(&digits);
    let hex = digits.bytes().all(|b| b.is_ascii_hexdigit());
    must(
        !(hex && matches!(digits.len(), 8 | 16)),
        "is a key ID, which others can make keys for: give the whole fingerprint",
    )?;
    must(
        hex && matches!(digits.len(), 40 | 64),
        "is not the fingerprint of an OpenPGP key, 40 hex digits",
    )
}

/// What GOSUMDB may say, where a database has to be asked.
pub(crate) fn sumdb(text: &str) -> Verdict {
    let words: Vec<&str> = text.split_whitespace().collect();
    must(words != ["off"], "asks nobody: leave `sumdb` out of `verify`")?;
    let parts = |key: &str| key.split('+').count();
    let key = words.first().is_some_and(|key| {
        parts(key) >= 3 || matches!(*key, "sum.golang.org" | "sum.golang.google.cn")
    });
    must(key, "is neither sum.golang.org nor the key of a database, NAME+HASH+KEY")?;
    must(words.len() <= 2, "has more than a key and an address")?;
    words.get(1).map_or(Ok(()), |address| url(address))
}

/// Patterns of module paths, commas between them.
pub(crate) fn patterns(text: &str) -> Verdict {
    must(!text.trim_matches([',', ' ']).is_empty(), "has no pattern in it")?;
    must(!text.chars().any(|c| c.is_whitespace() || c.is_control()), "has white space in it")
}
