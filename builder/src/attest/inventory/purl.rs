//! Names of packages that scanners look up: package URLs (purl, ECMA-427) and CPE 2.3.

use std::fmt::Write as _;

/// Everything outside of RFC 3986's unreserved characters in percent-encoding. The standard leaves
/// colons as they are.
fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b':' => {
                out.push(char::from(byte));
            }
            // Writing to a String cannot fail.
            _ => drop(write!(out, "%{byte:02X}")),
        }
    }
    out
}

/// A package URL: `path` is namespace and name, and `qualifiers` are sorted, those without a value
/// left out.
pub fn purl(kind: &str, path: &str, version: Option<&str>, qualifiers: &[(&str, &str)]) -> String {
    let path: Vec<String> = path.split('/').filter(|part| !part.is_empty()).map(encoded).collect();
    let mut purl = format!("pkg:{kind}/{}", path.join("/"));
    if let Some(version) = version.filter(|version| !version.is_empty()) {
        purl.push('@');
        purl.push_str(&encoded(version));
    }
    let mut said: Vec<_> = qualifiers.iter().filter(|(_, value)| !value.is_empty()).collect();
    said.sort_unstable();
    for (at, (key, value)) in said.into_iter().enumerate() {
        let mark = if at == 0 { '?' } else { '&' };
        let _ = write!(purl, "{mark}{key}={}", encoded(value));
    }
    purl
}

/// The name of a Go release in the National Vulnerability Database, with which scanners look up
/// toolchain and standard library alike (syft and grype do).
pub fn go_cpe(version: &str) -> String {
    let mut escaped = String::new();
    for c in version.chars() {
        if !(c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_')) {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    format!("cpe:2.3:a:golang:go:{escaped}:-:*:*:*:*:*:*")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_as_scanners_have_them() {
        for (found, expected) in [
            (
                purl("golang", "github.com/BurntSushi/toml", Some("v1.2.0"), &[]),
                "pkg:golang/github.com/BurntSushi/toml@v1.2.0",
            ),
            (
                purl("golang", "example.org/z", Some("v2.0.0+incompatible"), &[]),
                "pkg:golang/example.org/z@v2.0.0%2Bincompatible",
            ),
            (purl("golang", "example.org/main", None, &[]), "pkg:golang/example.org/main"),
            (
                purl(
                    "deb",
                    "debian/libstdc++6",
                    Some("1:12.2.0-14+deb12u1"),
                    &[("distro", "debian-12"), ("arch", "amd64"), ("upstream", "")],
                ),
                "pkg:deb/debian/libstdc%2B%2B6@1:12.2.0-14%2Bdeb12u1?arch=amd64&distro=debian-12",
            ),
            (go_cpe("1.27.3"), "cpe:2.3:a:golang:go:1.27.3:-:*:*:*:*:*:*"),
            (go_cpe("1.28rc1+x"), "cpe:2.3:a:golang:go:1.28rc1\\+x:-:*:*:*:*:*:*"),
        ] {
            assert_eq!(found, expected);
        }
    }
}
