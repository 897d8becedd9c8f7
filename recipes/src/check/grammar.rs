//! The grammar of single values. Each rule answers what is wrong as the rest of a sentence:
//! "the path `x` is not absolute".

use crate::caps::{FileCaps, NotCaps};
use crate::recipe::nanoseconds;

/// A rule for one value.
pub(crate) type Rule = fn(&str) -> Result<(), &'static str>;

mod git;
mod go;
mod proofs;
mod selinux;

pub(crate) use git::{git_commit, git_ref, git_url};
pub(crate) use go::{
    digest, go_package, go_tag, goamd64, goarm64, goppc64, goproxy, image_of_file, mirror,
};
pub(crate) use proofs::{fingerprint, patterns, place, sumdb};
pub(crate) use selinux::{selinux_context, selinux_path};

type Verdict = Result<(), &'static str>;

fn must(holds: bool, reason: &'static str) -> Verdict {
    if holds { Ok(()) } else { Err(reason) }
}

/// `first` for the first character, `rest` for the others; not empty.
fn spelled(text: &str, first: fn(char) -> bool, rest: fn(char) -> bool) -> bool {
    let mut chars = text.chars();
    chars.next().is_some_and(first) && chars.all(rest)
}

/// The product's name: part of refs and tags, so it has what both allow.
pub(crate) fn product_name(text: &str) -> Verdict {
    must(
        spelled(
            text,
            |c| c.is_ascii_lowercase() || c.is_ascii_digit(),
            |c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_' | '.'),
        ),
        "must be lowercase letters, digits, `-`, `_` and `.`, a letter or digit first",
    )?;
    must(text.len() <= 128, "is longer than 128 characters")
}

/// An input's name: a part of template names, so without dots.
pub(crate) fn input_name(text: &str) -> Verdict {
    must(
        spelled(
            text,
            |c| c.is_ascii_lowercase() || c.is_ascii_digit(),
            |c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_'),
        ),
        "must be lowercase letters, digits, `-` and `_`, a letter or digit first",
    )
}

/// A layer's name.
pub(crate) fn layer_name(text: &str) -> Verdict {
    must(
        spelled(
            text,
            |c| c.is_ascii_alphanumeric(),
            |c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '+'),
        ),
        "must be letters, digits, `-`, `_`, `.` and `+`, a letter or digit first",
    )
}

/// A tag of a registry (distribution-spec, "Pulling manifests").
pub(crate) fn tag(text: &str) -> Verdict {
    must(
        spelled(
            text,
            |c| c.is_ascii_alphanumeric() || c == '_',
            |c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'),
        ),
        "must be letters, digits, `_`, `.` and `-`, not `.` or `-` first, since it is a tag too",
    )?;
    must(text.len() <= 128, "is longer than the 128 characters of a tag")
}

/// A Go release without `go` in front: 1.27, 1.27.3, 1.27rc1, 1.27beta2; or `stable`.
pub(crate) fn go_version(text: &str) -> Verdict {
    if text == "stable" {
        return Ok(());
    }
    let number = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|b| b.is_ascii_digit())
            && (part == "0" || !part.starts_with('0'))
    };
    let minor = |part: &str| {
        number(part)
            || ["rc", "beta"]
                .iter()
                .any(|pre| part.split_once(pre).is_some_and(|(a, b)| number(a) && number(b)))
    };
    let right = match text.split('.').collect::<Vec<_>>().as_slice() {
        [major, second] => number(major) && minor(second),
        [major, second, patch] => number(major) && number(second) && number(patch),
        _ => false,
    };
    must(!text.starts_with("go"), "must stand without `go` in front")?;
    must(right, "is not a Go version such as 1.27.3, 1.27 or 1.27rc1, nor `stable`")
}

/// 64 hex digits. Upper case is refused, since a digest is compared as text by others.
pub(crate) fn sha256(text: &str) -> Verdict {
    must(!text.starts_with("sha256:"), "must stand without `sha256:` in front")?;
    must(
        text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')),
        "is not 64 lowercase hex digits",
    )
}

/// https, or http to this machine alone.
pub(crate) fn url(text: &str) -> Verdict {
    must(!text.chars().any(|c| c.is_whitespace() || c.is_control()), "has white space in it")?;
    let (rest, secure) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
        (Some(rest), _) => (rest, true),
        (None, Some(rest)) => (rest, false),
        (None, None) => return Err("is not an https URL"),
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    must(!authority.contains('@'), "has a login in it, which would be copied into the lock")?;
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    must(!host.is_empty(), "has no host")?;
    let port = authority.rsplit_once(':').filter(|(_, port)| !port.ends_with(']'));
    let fits = |port: &str| port.is_empty() || port.parse::<u16>().is_ok();
    must(port.is_none_or(|(_, port)| fits(port)), "has a port that is none")?;
    let loopback = host == "localhost"
        || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
    must(secure || loopback, "is plain http to another machine; use https")
}

/// A local path, taken from the folder of the recipe.
pub(crate) fn local_path(text: &str) -> Verdict {
    must(!text.is_empty(), "is empty")?;
    must(!text.contains('\0'), "contains a NUL")
}

/// A path inside the tree; `/` is the root.
pub(crate) fn absolute(text: &str) -> Verdict {
    must(!text.is_empty(), "is empty")?;
    must(text.starts_with('/'), "is not absolute")?;
    if text == "/" {
        return Ok(());
    }
    let mut parts = text[1..].split('/');
    must(!parts.clone().any(|part| part == ".."), "must not contain `..`")?;
    must(!text.ends_with('/'), "must not end with `/`")?;
    must(!parts.clone().any(|part| part.is_empty() || part == "."), "has an empty or `.` part")?;
    must(!text.contains('\0'), "contains a NUL")?;
    must(text.len() <= 4096, "is longer than 4096 bytes")?;
    must(parts.all(|part| part.len() <= 255), "has a part longer than 255 bytes")
}

/// A path inside the tree, not the root itself.
pub(crate) fn absolute_below_root(text: &str) -> Verdict {
    absolute(text)?;
    must(text != "/", "is the root itself")
}

/// What a symbolic link says: any text that Linux takes.
pub(crate) fn link_target(text: &str) -> Verdict {
    local_path(text)?;
    must(text.len() <= 4095, "is longer than 4095 bytes")
}

/// Permission bits in octal.
pub(crate) fn mode(text: &str) -> Verdict {
    let octal = !text.is_empty() && text.bytes().all(|b| matches!(b, b'0'..=b'7'));
    must(octal, "is not octal such as 0644")?;
    must(u32::from_str_radix(text, 8).is_ok_and(|mode| mode <= 0o7777), "is more than 7777")
}

/// File capabilities.
pub(crate) fn caps(text: &str) -> Result<(), NotCaps> {
    FileCaps::parse(text).map(drop)
}

/// An account or a group (useradd(8), with the length that utmp has room for).
pub(crate) fn account(text: &str) -> Verdict {
    must(
        spelled(
            text,
            |c| c.is_ascii_lowercase() || c == '_',
            |c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_'),
        ),
        "must be lowercase letters, digits, `-` and `_`, a letter or `_` first",
    )?;
    must(text.len() <= 32, "is longer than 32 characters")
}

/// A field of passwd(5).
pub(crate) fn passwd_field(text: &str) -> Verdict {
    must(!text.contains(':'), "has a `:`, which ends a field of passwd")?;
    must(!text.chars().any(char::is_control), "has a control character")
}

/// A home or shell: an absolute path that fits into passwd(5).
pub(crate) fn passwd_path(text: &str) -> Verdict {
    absolute(text)?;
    passwd_field(text)
}

/// A path inside an input: relative, `.` for all of it.
pub(crate) fn inner_path(text: &str) -> Verdict {
    must(!text.is_empty(), "is empty")?;
    must(!text.starts_with('/'), "must not start with `/`: it is a path in the input")?;
    must(
        text == "." || !text.split('/').any(|part| matches!(part, "" | "." | "..")),
        "has an empty, `.` or `..` part",
    )
}

/// The name of a time zone.
pub(crate) fn zone(text: &str) -> Verdict {
    must(
        text.split('/').all(|part| {
            spelled(
                part,
                |c| c.is_ascii_alphabetic(),
                |c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '+'),
            )
        }),
        "is no time zone such as Europe/Berlin",
    )
}

/// The name of a Python package (packaging.python.org, "Names and normalization").
pub(crate) fn package(text: &str) -> Verdict {
    let end = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    must(
        end(text.chars().next())
            && end(text.chars().next_back())
            && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')),
        "must be letters, digits, `-`, `_` and `.`, a letter or digit first and last",
    )
}

/// A version of a Python package (PEP 440), one and not a range.
pub(crate) fn package_version(text: &str) -> Verdict {
    must(
        spelled(
            text,
            |c| c.is_ascii_alphanumeric(),
            |c| c.is_ascii_alphanumeric() || matches!(c, '.' | '!' | '+' | '-' | '_'),
        ),
        "is not one version such as 2026.1.4",
    )
}

/// A pattern of paths to leave out, below the source.
pub(crate) fn pattern(text: &str) -> Verdict {
    must(!text.is_empty(), "is empty")?;
    must(!text.starts_with('/'), "must not start with `/`: it is below the source")?;
    must(!text.split('/').any(|part| part == ".."), "must not contain `..`")
}

/// A pattern of paths inside the tree.
pub(crate) fn absolute_pattern(text: &str) -> Verdict {
    must(text.starts_with('/'), "is not absolute")?;
    must(!text.trim_matches('/').is_empty(), "is the root itself")?;
    pattern(text.trim_start_matches('/'))
}

/// An extended attribute: namespace and name (xattr(7)).
pub(crate) fn xattr_name(text: &str) -> Verdict {
    must(
        text.split_once('.').is_some_and(|(space, name)| {
            matches!(space, "user" | "security" | "trusted" | "system") && !name.is_empty()
        }),
        "must start with user., security., trusted. or system.",
    )?;
    must(text.len() <= 255 && !text.contains('\0'), "is longer than 255 bytes")
}

/// An image's full name, with or without a tag (distribution-spec; the host as containers/image
/// has it).
pub(crate) fn reference(text: &str) -> Verdict {
    must(!text.contains('@'), "must not have a digest")?;
    must(!text.contains("://"), "must stand without a transport in front")?;
    let (name, tagged) = match text.rfind(':').filter(|colon| !text[*colon..].contains('/')) {
        Some(colon) => (&text[..colon], Some(&text[colon + 1..])),
        None => (text, None),
    };
    if let Some(tagged) = tagged {
        must(tag(tagged).is_ok(), "has a tag that no registry takes")?;
    }
    let (host, path) = name.split_once('/').ok_or("must start with the registry's host")?;
    must(
        host.contains(['.', ':']) || host == "localhost",
        "must start with the registry's host, such as registry.example/",
    )?;
    let host_like = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '[' | ']');
    must(host.chars().all(host_like), "has a host with characters that no host has")?;
    let component = |part: &str| {
        let ends =
            |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
        ends(part.chars().next())
            && ends(part.chars().next_back())
            && part.chars().all(|c| {
                c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_' | '-')
            })
    };
    must(
        path.split('/').all(component),
        "must have a path of lowercase letters, digits, `.`, `_`, `-` and `/`",
    )
}

/// `user`, `uid`, `user:group`, `uid:gid` (image-spec, config.md).
pub(crate) fn user(text: &str) -> Verdict {
    let one = |part: &str| {
        spelled(
            part,
            |c| c.is_ascii_alphanumeric() || c == '_',
            |c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'),
        )
    };
    let right = match text.split_once(':') {
        Some((user, group)) => one(user) && one(group),
        None => one(text),
    };
    must(right, "is not `user`, `uid`, `user:group` or `uid:gid`")
}

/// `8080`, `8080/tcp`, `53/udp`.
pub(crate) fn port(text: &str) -> Verdict {
    let (number, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let digits = number.bytes().all(|b| b.is_ascii_digit()) && !number.starts_with('0');
    must(
        digits && number.parse::<u16>().is_ok() && matches!(protocol, "tcp" | "udp"),
        "is not a port such as 8080, 8080/tcp or 53/udp",
    )
}

/// A time such as 30s or 1m30s.
pub(crate) fn duration(text: &str) -> Verdict {
    must(nanoseconds(text).is_some(), "is not a time such as 30s or 1m30s, up to 24h")
}

/// The name of an environment variable (POSIX, "Environment Variable Definition").
pub(crate) fn env_name(text: &str) -> Verdict {
    must(
        spelled(
            text,
            |c| c.is_ascii_alphabetic() || c == '_',
            |c| c.is_ascii_alphanumeric() || c == '_',
        ),
        "must be letters, digits and `_`, not a digit first",
    )
}

/// The key of a label, an annotation or a metadata entry.
pub(crate) fn key(text: &str) -> Verdict {
    must(!text.is_empty(), "is empty")?;
    must(!text.chars().any(|c| c.is_whitespace() || c.is_control()), "has white space in it")
}

/// A text for a C program.
pub(crate) fn no_nul(text: &str) -> Verdict {
    must(!text.contains('\0'), "contains a NUL")
}

/// Linux's signals (signal(7)).
pub(crate) const SIGNALS: &[&str] = &[
    "SIGHUP",
    "SIGINT",
    "SIGQUIT",
    "SIGILL",
    "SIGTRAP",
    "SIGABRT",
    "SIGBUS",
    "SIGFPE",
    "SIGKILL",
    "SIGUSR1",
    "SIGSEGV",
    "SIGUSR2",
    "SIGPIPE",
    "SIGALRM",
    "SIGTERM",
    "SIGSTKFLT",
    "SIGCHLD",
    "SIGCONT",
    "SIGSTOP",
    "SIGTSTP",
    "SIGTTIN",
    "SIGTTOU",
    "SIGURG",
    "SIGXCPU",
    "SIGXFSZ",
    "SIGVTALRM",
    "SIGPROF",
    "SIGWINCH",
    "SIGIO",
    "SIGPWR",
    "SIGSYS",
];

/// A signal by name, or as `SIGRTMIN+3` (image-spec, config.md, `StopSignal`).
pub(crate) fn signal(text: &str) -> Verdict {
    let offset = |text: &str, name: &str, sign: char| {
        text.strip_prefix(name).is_some_and(|rest| {
            rest.is_empty()
                || rest
                    .strip_prefix(sign)
                    .is_some_and(|digits| digits.parse::<u8>().is_ok_and(|n| n <= 30))
        })
    };
    must(
        SIGNALS.contains(&text) || offset(text, "SIGRTMIN", '+') || offset(text, "SIGRTMAX", '-'),
        "is not a signal such as SIGTERM",
    )
}

/// What `ostree_validate_rev` accepts (ostree-core.c: parts of `[-._\w\d]+` between `/`), and no
/// `.` or `..`, which would be folders of the repository.
pub(crate) fn ostree_ref(text: &str) -> Verdict {
    let part = |part: &str| {
        !part.is_empty()
            && part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_'))
    };
    must(
        text.split('/').all(part),
        "is not a ref: letters, digits, `-`, `.` and `_` between single `/`",
    )?;
    must(
        !text.split('/').any(|part| matches!(part, "." | "..")),
        "must not contain `.` or `..` parts",
    )
}

/// The base64 of 32 bytes: 43 characters, of which the last holds 4 bits, and `=`.
pub(crate) fn ed25519_key(text: &str) -> Verdict {
    let digits = text.strip_suffix('=').unwrap_or_default();
    must(
        digits.len() == 43
            && digits.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '/'))
            && digits.ends_with([
                'A', 'E', 'I', 'M', 'Q', 'U', 'Y', 'c', 'g', 'k', 'o', 's', 'w', '0', '4', '8',
            ]),
        "is not the base64 of 32 bytes",
    )
}

/// What `ostree_validate_collection_id` accepts: the grammar of D-Bus interface names.
pub(crate) fn collection_id(text: &str) -> Verdict {
    let element = |part: &str| {
        spelled(
            part,
            |c| c.is_ascii_alphabetic() || c == '_',
            |c| c.is_ascii_alphanumeric() || c == '_',
        )
    };
    must(
        text.contains('.') && text.split('.').all(element) && text.len() <= 255,
        "is not a reversed domain name such as org.example.Tools",
    )
}

#[cfg(test)]
mod tests;
