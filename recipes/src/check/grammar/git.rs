//! Where repositories of git are, and what is named in them.

use super::{Verdict, local_path, must, url};

/// A git repository: an address that the other rules allow, ssh, or a local path.
pub(crate) fn git_url(text: &str) -> Verdict {
    local_path(text)?;
    must(!text.chars().any(char::is_control), "has control characters in it")?;
    must(!text.starts_with('-'), "would be read as an option")?;
    match text.split_once("://") {
        Some(("https" | "http", _)) => url(text),
        Some(("file", path)) => must(path.starts_with('/'), "has no absolute path"),
        Some(("ssh", rest)) => {
            let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
            let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
            must(!user.contains(':'), "has a password in it, which would be copied into the lock")?;
            must(!user.starts_with('-') && !host.starts_with('-'), "would be read as an option")?;
            must(!host.is_empty() && !path.is_empty(), "has no host or no path")
        }
        Some(_) => Err("is none of https://, ssh://, file:// and a local path"),
        None => must(!text.contains("::"), "names a helper program of git"),
    }
}

/// A whole commit.
pub(crate) fn git_commit(text: &str) -> Verdict {
    must(
        matches!(text.len(), 40 | 64)
            && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')),
        "is not a whole commit: 40 lowercase hex digits, 64 with SHA-256; `ref` takes names",
    )
}

/// A branch or tag (git-check-ref-format(1)).
pub(crate) fn git_ref(text: &str) -> Verdict {
    must(!text.starts_with('-'), "would be read as an option")?;
    let allowed =
        |c: char| !c.is_control() && !matches!(c, ' ' | '~' | '^' | ':' | '?' | '*' | '[' | '\\');
    let part = |part: &str| !part.is_empty() && !part.starts_with('.') && !part.ends_with(".lock");
    must(
        text.len() <= 255
            && text.chars().all(allowed)
            && text.split('/').all(part)
            && !text.ends_with('.')
            && !text.contains("..")
            && !text.contains("@{")
            && text != "@",
        "is no name of a branch or tag",
    )
}
