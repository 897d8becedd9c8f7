//! What Go's command line and environment take.

use super::{Verdict, must, spelled, url};
use crate::recipe::Base;
use crate::scope::MIRROR_NAMES;

/// A package as `go build` takes it: an import path, or a path below the source, with or without
/// `...`.
pub(crate) fn go_package(text: &str) -> Verdict {
    must(!text.is_empty(), "is empty")?;
    must(!text.starts_with('-'), "would be read as an option")?;
    must(!text.starts_with('/'), "is absolute; expected `./path` below the source")?;
    must(!text.chars().any(|c| c.is_whitespace() || c.is_control()), "has white space in it")?;
    must(!text.contains('@'), "must not have a version: go.mod says it")?;
    must(!text.ends_with(".go"), "is a file; expected the package that it is in")?;
    must(!text.split('/').any(|part| part == ".."), "must not contain `..`")
}

/// GOPROXY: addresses, folders, `direct` and `off` between `,` and `|`.
pub(crate) fn goproxy(text: &str) -> Verdict {
    let mut entries = text.split([',', '|']).map(str::trim).filter(|entry| !entry.is_empty());
    must(entries.clone().next().is_some(), "names no proxy")?;
    must(!text.contains('\0'), "contains a NUL")?;
    entries.try_for_each(|entry| match entry.split_once("://") {
        Some(("file", _)) | None => Ok(()),
        Some(_) => {
            must(
                !entry.contains(['?', '#']),
                "has a query or fragment, which no proxy is asked with",
            )?;
            url(entry)
        }
    })
}

/// The address of a folder of Go's files, or one with names that stand for a file.
pub(crate) fn mirror(text: &str) -> Verdict {
    let bare = MIRROR_NAMES.iter().fold(text.to_owned(), |text, (_, name)| text.replace(name, "x"));
    must(!bare.contains(['?', '#']), "has a query or fragment, which no file is asked with")?;
    url(&bare)
}

/// An image that has a file: any but none.
pub(crate) fn image_of_file(text: &str) -> Verdict {
    match Base::parse(text) {
        Ok(Base::Scratch) => Err("has no files"),
        Ok(_) => Ok(()),
        Err(reason) => Err(reason),
    }
}

/// A digest as registries write it.
pub(crate) fn digest(text: &str) -> Verdict {
    must(text.parse::<crate::Digest>().is_ok(), "is not sha256: and 64 hex digits")
}

/// A build tag (`go help buildconstraint`).
pub(crate) fn go_tag(text: &str) -> Verdict {
    must(
        spelled(
            text,
            |c| c.is_alphanumeric() || c == '_',
            |c| c.is_alphanumeric() || matches!(c, '_' | '.'),
        ),
        "must be letters, digits, `_` and `.`",
    )
}

/// GOAMD64 (`go help environment`).
pub(crate) fn goamd64(text: &str) -> Verdict {
    must(matches!(text, "v1" | "v2" | "v3" | "v4"), "is not v1, v2, v3 or v4")
}

/// GOARM64: a level, then options.
pub(crate) fn goarm64(text: &str) -> Verdict {
    let mut parts = text.split(',');
    let level = parts.next().unwrap_or_default();
    let known = match level.split_once('.') {
        Some(("v8", minor)) => matches!(minor.as_bytes(), [b'0'..=b'9']),
        Some(("v9", minor)) => matches!(minor.as_bytes(), [b'0'..=b'5']),
        _ => false,
    };
    must(known, "is not v8.0 to v8.9 or v9.0 to v9.5")?;
    must(
        parts.all(|option| matches!(option, "lse" | "crypto")),
        "has options besides lse and crypto",
    )
}

/// GOPPC64.
pub(crate) fn goppc64(text: &str) -> Verdict {
    must(matches!(text, "power8" | "power9" | "power10"), "is not power8, power9 or power10")
}
