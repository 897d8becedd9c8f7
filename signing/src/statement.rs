//! [`Statement`]: what is said of which artifacts.
//!
//! Specified in in-toto, `spec/v1/statement.md`. A statement is the payload of a
//! [DSSE envelope](crate::dsse); its *predicate* is what is said, its *subjects* are of what.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use crate::form::{self, Fields, FormError, Limits};

/// Type of the payload of an envelope with a statement.
pub const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";

/// Type of the statements that are written.
pub const TYPE: &str = "https://in-toto.io/Statement/v1";

/// Type of older statements, as cosign 2 writes attestations.
pub const OLD_TYPE: &str = "https://in-toto.io/Statement/v0.1";

/// Longest statement that is read, in bytes: bills of material list every file.
pub const MAX_STATEMENT: usize = 48 * 1024 * 1024;

/// A statement.
#[derive(Debug, Clone, PartialEq)]
pub struct Statement {
    /// [`TYPE`] or [`OLD_TYPE`].
    pub statement_type: String,
    /// What it is about; at least one.
    pub subjects: Vec<StatementSubject>,
    /// What the predicate is, a URI such as `https://slsa.dev/provenance/v1`.
    pub predicate_type: String,
    /// What is said; null where there is none.
    pub predicate: Value,
}

/// An artifact that a statement is about.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StatementSubject {
    /// What people call it.
    pub name: Option<String>,
    /// Its digests: the algorithm, such as `sha256`, and the hex digits.
    pub digests: BTreeMap<String, String>,
    /// Free words about it; cosign keeps a signature's annotations here.
    pub annotations: Option<BTreeMap<String, Value>>,
}

#[derive(Serialize)]
struct Written<'a> {
    #[serde(rename = "_type")]
    statement_type: &'a str,
    subject: Vec<WrittenSubject<'a>>,
    #[serde(rename = "predicateType")]
    predicate_type: &'a str,
    #[serde(skip_serializing_if = "Value::is_null")]
    predicate: &'a Value,
}

#[derive(Serialize)]
struct WrittenSubject<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    digest: &'a BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    annotations: Option<&'a BTreeMap<String, Value>>,
}

impl Statement {
    /// About one artifact, of which `sha256` are the 64 lowercase hex digits.
    pub fn about(sha256: &str, predicate_type: &str, predicate: Value) -> Self {
        let digests = BTreeMap::from([("sha256".to_owned(), sha256.to_owned())]);
        Self {
            statement_type: TYPE.to_owned(),
            subjects: vec![StatementSubject { digests, ..StatementSubject::default() }],
            predicate_type: predicate_type.to_owned(),
            predicate,
        }
    }

    /// Its JSON, without spaces; the same statement gives the same bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let subjects = self.subjects.iter().map(|subject| WrittenSubject {
            name: subject.name.as_deref(),
            digest: &subject.digests,
            annotations: subject.annotations.as_ref(),
        });
        let written = Written {
            statement_type: &self.statement_type,
            subject: subjects.collect(),
            predicate_type: &self.predicate_type,
            predicate: &self.predicate,
        };
        // Writing fails only for maps whose keys are no texts, and there are none.
        serde_json::to_vec(&written).unwrap_or_default()
    }

    /// Reads a statement.
    ///
    /// # Errors
    /// [`FormError`]. Fields that the specification does not name are let be, as it demands; those
    /// whose names differ from known ones in case alone are not.
    pub fn parse(bytes: &[u8]) -> Result<Self, FormError> {
        let value = form::parse(bytes, Limits { bytes: MAX_STATEMENT, values: 4_000_000 })?;
        let names = ["_type", "subject", "predicateType", "predicate"];
        let fields = Fields::of("", &value)?.no_variants(&names)?;
        let statement_type = fields.need_text("_type")?;
        if ![TYPE, OLD_TYPE].contains(&statement_type) {
            return Err(fields.wrong("_type", "https://in-toto.io/Statement/v1 or v0.1"));
        }
        let predicate_type = fields.need_text("predicateType")?;
        if predicate_type.is_empty() {
            return Err(fields.wrong("predicateType", "a URI"));
        }
        let predicate = match fields.get("predicate") {
            None => Value::Null,
            Some(predicate @ Value::Object(_)) => predicate.clone(),
            // The specification has objects only; cosign's `custom` type may hold a text.
            Some(predicate @ Value::String(_)) => predicate.clone(),
            Some(_) => return Err(fields.wrong("predicate", "an object")),
        };
        let mut subjects = Vec::new();
        for subject in fields.list("subject", usize::MAX)? {
            subjects.push(StatementSubject::from_value(subject)?);
        }
        if subjects.is_empty() {
            return Err(FormError::Missing { name: "subject".to_owned() });
        }
        Ok(Self {
            statement_type: statement_type.to_owned(),
            subjects,
            predicate_type: predicate_type.to_owned(),
            predicate,
        })
    }

    /// The subject with this SHA-256: 64 lowercase hex digits.
    pub fn subject(&self, sha256: &str) -> Option<&StatementSubject> {
        self.subjects.iter().find(|subject| subject.sha256() == Some(sha256))
    }
}

impl StatementSubject {
    fn from_value(value: &Value) -> Result<Self, FormError> {
        let names = ["name", "uri", "digest", "content", "downloadLocation", "mediaType"];
        let fields = Fields::of("subject", value)?.no_variants(&names)?;
        let fields = fields.no_variants(&["annotations"])?;
        let mut digests = BTreeMap::new();
        let digest = Fields::of("subject.digest", fields.need("digest")?)?.no_variants(&["sha256"]);
        for (algorithm, hex) in digest?.map() {
            let hex = hex.as_str().filter(|hex| is_hex(algorithm, hex)).ok_or_else(|| {
                FormError::Wrong {
                    name: format!("subject.digest.{algorithm}"),
                    expected: "a digest in lowercase hex digits",
                }
            })?;
            digests.insert(algorithm.clone(), hex.to_owned());
        }
        if digests.is_empty() {
            return Err(fields.wrong("digest", "an object with a digest"));
        }
        let annotations = match fields.get("annotations") {
            None => None,
            Some(annotations) => {
                let annotations = Fields::of("subject.annotations", annotations)?.map();
                Some(annotations.iter().map(|(name, it)| (name.clone(), it.clone())).collect())
            }
        };
        Ok(Self { name: fields.text("name")?.map(str::to_owned), digests, annotations })
    }

    /// Its SHA-256, 64 lowercase hex digits, where it has one.
    pub fn sha256(&self) -> Option<&str> {
        self.digests.get("sha256").map(String::as_str)
    }
}

/// Digests of other algorithms (`gitCommit`, `dirHash`) are not looked at, so they may be anything.
fn is_hex(algorithm: &str, text: &str) -> bool {
    let hex = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    match algorithm {
        "sha256" => hex && text.len() == 64,
        _ => !text.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const HEX: &str = "db270f0acb4e573c5f49cb758c2c0ee280c09d19fd7000552fa73a0ab3af9683";

    #[test]
    fn a_statement_is_read_as_it_is_written() {
        let mut statement =
            Statement::about(HEX, "https://a.example/b", json!({ "b": [1], "a": 2 }));
        statement.subjects[0].name = Some("registry.example/a".to_owned());
        let other = BTreeMap::from([("gitCommit".to_owned(), "ABC".to_owned())]);
        let annotations = Some(BTreeMap::from([("n".to_owned(), json!("2"))]));
        statement.subjects.push(StatementSubject { name: None, digests: other, annotations });
        let bytes = statement.to_bytes();
        let expected = format!(
            r#"{{"_type":"{TYPE}","subject":[{{"name":"registry.example/a","digest":{{"sha256":"{HEX}"}}}},{{"digest":{{"gitCommit":"ABC"}},"annotations":{{"n":"2"}}}}],"predicateType":"https://a.example/b","predicate":"#
        );
        assert!(String::from_utf8(bytes.clone()).unwrap().starts_with(&expected));
        assert_eq!(Statement::parse(&bytes), Ok(statement.clone()));
        assert_eq!(statement.subject(HEX), Some(&statement.subjects[0]));
        assert_eq!(statement.subject(&"00".repeat(32)), None);
    }

    #[test]
    fn what_is_ambiguous_or_no_statement_is_refused() {
        let good =
            String::from_utf8(Statement::about(HEX, "https://a.example/b", json!({})).to_bytes())
                .unwrap();
        let change = |from: &str, to: &str| {
            assert!(good.contains(from), "{from}");
            Statement::parse(good.replacen(from, to, 1).as_bytes())
        };
        for (from, to) in [
            ("{\"_type\"", "{\"more\":1,\"_type\""),
            ("{\"digest\"", "{\"more\":1,\"digest\""),
            (",\"predicate\":{}", ""),
            ("Statement/v1", "Statement/v0.1"),
        ] {
            assert!(change(from, to).is_ok(), "{from} {to}");
        }
        let upper = HEX.to_uppercase();
        for (from, to) in [
            ("Statement/v1", "Statement/v2"),
            ("{\"_type\"", "{\"_Type\":1,\"_type\""),
            ("\"subject\":", "\"Subject\":"),
            ("\"subject\":", "\"\u{17f}ubject\":[],\"subject\":"),
            ("\"subject\":", "\"subject\":[],\"subject\":"),
            ("{\"digest\"", "{\"Digest\":{},\"digest\""),
            ("{\"sha256\"", "{\"SHA256\":\"\",\"sha256\""),
            ("{\"sha256\"", "{\"sha256\":\"\",\"sha256\""),
            (HEX, &upper),
            (HEX, "00"),
            ("https://a.example/b", ""),
            ("\"predicate\":{}", "\"predicate\":[]"),
            ("\"predicate\":{}", "\"predicate\":{\"a\":1,\"a\":1}"),
            ("\"predicate\":{}", "\"PREDICATE\":{}"),
            ("\"predicate\":{}", "\"predicate\":{},\"predicatetype\":\"\""),
        ] {
            assert!(change(from, to).is_err(), "{from} {to}");
        }
        assert!(Statement::parse(good.replace(HEX, "").as_bytes()).is_err());
    }
}
