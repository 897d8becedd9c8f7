//! [`Text`]: a string that knows where in the file it stands.

use std::fmt;
use std::ops::Deref;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};

/// A place in a recipe file. Both count from 1; 0 means that the place is not known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct At {
    /// Line.
    pub line: u32,
    /// Column, in characters.
    pub column: u32,
}

/// A text of the recipe with its place. Compares by its value alone.
#[derive(Debug, Clone)]
pub struct Text {
    /// What it says.
    pub value: String,
    /// Where it says it.
    pub at: At,
}

impl Text {
    /// A text that stands in no file.
    pub fn new(value: impl Into<String>) -> Self {
        Self { value: value.into(), at: At::default() }
    }
}

impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl Eq for Text {}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        &self.value
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.value)
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = serde_saphyr::Spanned::<String>::deserialize(deserializer)?;
        let at = At {
            line: spanned.referenced.line() as u32,
            column: spanned.referenced.column() as u32,
        };
        Ok(Self { value: spanned.value, at })
    }
}

impl JsonSchema for Text {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Text".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        crate::schema::text(generator)
    }
}
