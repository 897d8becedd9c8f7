//! What may be a module's path and version (`module.CheckPath` and `semver` of golang.org/x/mod), so
//! that both can stand in an address and in a file's path and stay where they are put.

/// Whether it can be the path of a module that a proxy has. How it may end (`/v2`) is for the proxy.
pub(super) fn is_path(path: &str) -> bool {
    let first = path.split('/').next().unwrap_or_default();
    let first_ok = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.');
    first.contains('.')
        && !first.starts_with('-')
        && first.chars().all(first_ok)
        && path.split('/').all(is_element)
}

fn is_element(part: &str) -> bool {
    let ok = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | '~');
    if part.is_empty() || part.starts_with('.') || part.ends_with('.') || !part.chars().all(ok) {
        return false;
    }
    // What Windows takes for a device or a short name is no path anywhere.
    let short = part.split('.').next().unwrap_or_default().to_ascii_lowercase();
    let device = matches!(short.as_str(), "con" | "prn" | "aux" | "nul")
        || short
            .strip_prefix("com")
            .or(short.strip_prefix("lpt"))
            .is_some_and(|number| matches!(number.as_bytes(), [b'1'..=b'9']));
    let numbered = short.rsplit_once('~').is_some_and(|(_, number)| {
        !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit())
    });
    !device && !numbered
}

/// Whether it is a whole version: `v1.2.3-pre+build`.
pub(super) fn is_version(version: &str) -> bool {
    let Some(rest) = version.strip_prefix('v') else { return false };
    let (rest, build) = rest.split_once('+').map_or((rest, None), |(r, b)| (r, Some(b)));
    let (core, pre) = rest.split_once('-').map_or((rest, None), |(c, p)| (c, Some(p)));
    let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    let number =
        |part: &str| !part.is_empty() && digits(part) && (part == "0" || !part.starts_with('0'));
    let word = |part: &str| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    core.split('.').count() == 3
        && core.split('.').all(number)
        && pre.is_none_or(|pre| {
            pre.split('.').all(|part| word(part) && (!digits(part) || number(part)))
        })
        && build.is_none_or(|build| build.split('.').all(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_those_of_go() {
        for good in [
            "github.com/Azure/azure-sdk-for-go/v2",
            "gopkg.in/yaml.v3",
            "rsc.io/quote",
            "git.sr.ht/~sbinet/gg",
            "example.org/a_b/c~d/company",
        ] {
            assert!(is_path(good), "{good}");
        }
        for bad in [
            "",
            "a",
            "/a.b",
            "a.b/",
            "a.b//c",
            "a.b/../c",
            "a.b/./c",
            "..",
            "../a.b",
            "A.b/c",
            "-a.b",
            "a.b/.c",
            "a.b/c.",
            "a.b/c d",
            "a.b/c?d",
            "a.b/c#d",
            "a.b/c%2e",
            "a.b/c\\d",
            "a.b/é",
            "a.b/con",
            "a.b/COM1.x",
            "a.b/c~1",
            "a.b/c@v1",
            "a.b:80/c",
            "a.b/!c",
        ] {
            assert!(!is_path(bad), "{bad}");
        }
    }

    #[test]
    fn versions_are_semantic() {
        for good in [
            "v0.0.0",
            "v1.2.30",
            "v2.0.0+incompatible",
            "v0.0.0-20170915032832-14c0d48ead0c",
            "v1.0.0-rc.1+meta.01",
            "v1.0.0-0.20200101000000-0123456789ab",
        ] {
            assert!(is_version(good), "{good}");
        }
        for bad in [
            "",
            "1.0.0",
            "v1",
            "v1.2",
            "v1.2.3.4",
            "v01.2.3",
            "v1.2.x",
            "v1.2.3-",
            "v1.2.3+",
            "v1.2.3-01",
            "v1.2.3-a..b",
            "v1.2.3/..",
            "v1.2.3-a/b",
            "v1.2.3\"",
            "..",
        ] {
            assert!(!is_version(bad), "{bad}");
        }
    }
}
