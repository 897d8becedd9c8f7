//! `certificates`: one bundle of certificate authorities, and links to it from where each
//! distribution keeps its own.
//!
//! What comes in is read as RFC 7468 has it and written anew: certificates only, each once, in the
//! order of the input, so that comments and line ends of a source make no other bundle.

use std::collections::BTreeSet;
use std::io::Read as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use treelay_recipes::recipe::CertificatesLayer;
use treelay_recipes::{Arch, Digest};

use super::{Given, Kind, KindError, Need, put, wrong};
use crate::{ContentSink, Contents, Entry, Tree, TreePath};

/// Where the bundle is: what Debian and Alpine write, and the first place Go's crypto/x509 looks.
const BUNDLE: &str = "etc/ssl/certs/ca-certificates.crt";

/// Other places (crypto/x509, root_linux.go; Fedora's ca-certificates; OpenSSL's default file on
/// each), as links, relative so that they hold wherever the tree is.
const LINKS: [(&str, &str); 5] = [
    // Alpine, and OpenSSL there.
    ("etc/ssl/cert.pem", "certs/ca-certificates.crt"),
    // openSUSE.
    ("etc/ssl/ca-bundle.pem", "certs/ca-certificates.crt"),
    // Fedora, and OpenSSL there.
    ("etc/pki/tls/certs/ca-bundle.crt", "../../../ssl/certs/ca-certificates.crt"),
    ("etc/pki/tls/cert.pem", "../../ssl/certs/ca-certificates.crt"),
    (
        "etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
        "../../../../ssl/certs/ca-certificates.crt",
    ),
];

/// Where certifi's wheel has its bundle.
const DEFAULT_PATH: &str = "certifi/cacert.pem";

/// More than any bundle of authorities; what is read into memory is bounded by it.
const MOST: u64 = 16 << 20;

impl Kind for CertificatesLayer {
    fn name(&self) -> &'static str {
        "certificates"
    }

    fn needs(&self, _arch: Arch) -> Result<Vec<Need>, KindError> {
        let local = self.add.iter().cloned().map(Need::LocalFile);
        Ok([Need::Input(self.input.clone())].into_iter().chain(local).collect())
    }

    fn options(&self, _arch: Arch) -> Result<Value, KindError> {
        Ok(json!({ "kind": self.name(), "rules": 1, "path": self.place() }))
    }

    fn tree(
        &self,
        _arch: Arch,
        given: &Given<'_>,
        sink: &mut dyn ContentSink,
    ) -> Result<Tree, KindError> {
        let mut bundle = Bundle::default();
        let at = self.path.as_ref().unwrap_or(&self.input);
        for (path, digest, size) in self.sources(given.tree(0)?)? {
            let named = format!("{path} of the input");
            let pem =
                read(given.contents, &digest, size, &named).map_err(|reason| wrong(at, reason))?;
            bundle.add(&pem, &named).map_err(|reason| wrong(at, reason))?;
        }
        for (number, local) in self.add.iter().enumerate() {
            let (digest, size, _) = given.file(number + 1)?;
            let pem = read(given.contents, &digest, size, local)
                .map_err(|reason| wrong(local, reason))?;
            bundle.add(&pem, local).map_err(|reason| wrong(local, reason))?;
        }
        let mut entries = vec![put(sink, BUNDLE, bundle.text.as_bytes())?];
        for (path, target) in LINKS {
            entries.push(Entry::symlink(TreePath::new(path)?, target));
        }
        Ok(Tree::from_entries(entries)?)
    }
}

trait Sources {
    fn place(&self) -> &str;
    fn sources(&self, input: &Tree) -> Result<Vec<(TreePath, Digest, u64)>, KindError>;
}

impl Sources for CertificatesLayer {
    fn place(&self) -> &str {
        self.path.as_ref().map_or(DEFAULT_PATH, |path| path)
    }

    /// The PEM files of the input.
    fn sources(&self, input: &Tree) -> Result<Vec<(TreePath, Digest, u64)>, KindError> {
        let place = self.place();
        let at = self.path.as_ref().unwrap_or(&self.input);
        let prefix = if place == "." { String::new() } else { format!("{place}/") };
        let mut found = Vec::new();
        for entry in input.entries() {
            let path = entry.path.as_str();
            let below =
                path.starts_with(&prefix) && (path.ends_with(".crt") || path.ends_with(".pem"));
            if let Some((digest, size)) = entry.file()
                && (path == place || below)
            {
                found.push((entry.path.clone(), *digest, size));
            }
        }
        if found.is_empty() {
            let reason = format!("the input has no {place}, and no .crt or .pem file below it");
            return Err(wrong(at, reason));
        }
        Ok(found)
    }
}

/// A PEM file, whole, as text.
fn read(contents: &dyn Contents, digest: &Digest, size: u64, name: &str) -> Result<String, String> {
    if size > MOST {
        return Err(format!("{name} has {size} bytes; a bundle has less than {MOST}"));
    }
    let mut text = Vec::new();
    let opened = contents.open(digest, size);
    let read = opened.and_then(|file| file.take(MOST).read_to_end(&mut text));
    read.map_err(|error| format!("reading {name}: {error}"))?;
    // Comments are in whatever encoding their author had.
    Ok(String::from_utf8_lossy(&text).into_owned())
}

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

#[derive(Default)]
struct Bundle {
    seen: BTreeSet<Digest>,
    text: String,
}

impl Bundle {
    /// Adds the certificates of a PEM file.
    fn add(&mut self, pem: &str, name: &str) -> Result<(), String> {
        let mut rest = pem;
        let mut any = false;
        while let Some(begin) = rest.find(BEGIN) {
            let line = pem.len() - rest.len() + begin;
            let line = pem[..line].matches('\n').count() + 1;
            let body = &rest[begin + BEGIN.len()..];
            let Some(end) = body.find(END) else {
                return Err(format!("the certificate on line {line} of {name} has no end"));
            };
            rest = &body[end + END.len()..];
            let base64: String = body[..end].chars().filter(|c| !c.is_whitespace()).collect();
            let der = STANDARD
                .decode(base64)
                .ok()
                .filter(|der| is_sequence(der))
                .ok_or_else(|| format!("what is on line {line} of {name} is no certificate"))?;
            any = true;
            if self.seen.insert(Digest::of(&der)) {
                self.write(&der);
            }
        }
        match any {
            true => Ok(()),
            false => Err(format!("{name} has no certificate in PEM")),
        }
    }

    fn write(&mut self, der: &[u8]) {
        let base64 = STANDARD.encode(der);
        self.text += BEGIN;
        for (at, character) in base64.char_indices() {
            if at % 64 == 0 {
                self.text.push('\n');
            }
            self.text.push(character);
        }
        self.text += "\n";
        self.text += END;
        self.text.push('\n');
    }
}

/// Whether these bytes are one DER SEQUENCE, whole (X.690, 8.1.3): what every certificate is.
fn is_sequence(der: &[u8]) -> bool {
    let [0x30, first, rest @ ..] = der else { return false };
    let (length, body) = match *first {
        short @ 0..=0x7f => (usize::from(short), rest),
        long @ 0x81..=0x84 if rest.len() >= usize::from(long & 0x7f) => {
            let (bytes, body) = rest.split_at(usize::from(long & 0x7f));
            (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), body)
        }
        _ => return false,
    };
    length == body.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pem(der: &[u8]) -> String {
        format!("{BEGIN}\r\n{}\r\n{END}\r\n", STANDARD.encode(der))
    }

    #[test]
    fn bundles_hold_each_certificate_once_and_nothing_else() {
        let (one, other) = ([0x30, 2, 1, 2], [0x30, 0x81, 3, 1, 2, 3]);
        let mut bundle = Bundle::default();
        let text = format!("# Label: ü\n{}junk\n{}{}", pem(&one), pem(&other), pem(&one));
        bundle.add(&text, "a.pem").unwrap();
        bundle.add(&pem(&other), "b.pem").unwrap();
        let expected = format!("{BEGIN}\nMAIBAg==\n{END}\n{BEGIN}\nMIEDAQID\n{END}\n");
        assert_eq!(bundle.text, expected);
    }

    #[test]
    fn what_is_no_certificate_is_told_with_its_line() {
        for (text, says) in [
            (String::new(), "a.pem has no certificate in PEM"),
            (format!("x\n\n{BEGIN}\nMAIB"), "line 3 of a.pem has no end"),
            (pem(&[0x30, 3, 1, 2]), "line 1 of a.pem is no certificate"),
            (pem(&[0x31, 2, 1, 2]), "is no certificate"),
            (format!("{BEGIN}\n!!\n{END}"), "is no certificate"),
        ] {
            let error = Bundle::default().add(&text, "a.pem").unwrap_err();
            assert!(error.contains(says), "{error}");
        }
    }
}
