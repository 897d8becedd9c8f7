//! What SELinux contexts look like.

use super::{Verdict, must, spelled};

/// A regular expression for paths, as `semanage fcontext` takes it; whether it is one, the layers'
/// crate says, since it knows how the policy's own are read.
pub(crate) fn selinux_path(text: &str) -> Verdict {
    must(text.starts_with('/'), "is not absolute")?;
    must(!text.contains(|c: char| c.is_whitespace() || c.is_control()), "has white space in it")?;
    must(text.is_ascii(), "has characters outside of ASCII; write `.` for each of their bytes")?;
    must(text.len() <= 4096, "is longer than 4096 characters")
}

/// An SELinux context, or its type alone, or none.
pub(crate) fn selinux_context(text: &str) -> Verdict {
    let name = |text: &str| {
        spelled(
            text,
            |c| c.is_ascii_alphabetic() || c == '_',
            |c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'),
        )
    };
    let level = |text: &str| {
        let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | ',' | ':');
        !text.is_empty() && text.chars().all(known)
    };
    let good = text == "<<none>>"
        || match text.splitn(4, ':').collect::<Vec<_>>().as_slice() {
            [kind] => name(kind),
            [user, role, kind] => [user, role, kind].into_iter().all(|part| name(part)),
            [user, role, kind, levels] => {
                [user, role, kind].into_iter().all(|part| name(part)) && level(levels)
            }
            _ => false,
        };
    must(good, "is neither a context as user:role:type:level, nor a type, nor `<<none>>`")
}
