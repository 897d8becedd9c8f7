//! The JSON Schema of a recipe, for editors and for `treelay schema`.

use schemars::generate::SchemaSettings;
use schemars::transform::{Transform, transform_subschemas};
use schemars::{JsonSchema, Schema};
use serde_json::{Value, json};

use crate::recipe::Recipe;

/// The name of the schema: a name, not a place, since `treelay schema` prints it everywhere.
const ID: &str = "urn:treelay:recipe:1";

/// The JSON Schema (draft 2020-12) of a recipe. It is as strict as the parser about keys, kinds
/// and types; what needs the meaning of a value (a path without `..`, an input that exists) is
/// checked by [`Recipe::parse`] alone.
pub fn schema() -> Value {
    let settings = SchemaSettings::draft2020_12().with_transform(Strict);
    let mut schema = settings.into_generator().into_root_schema_for::<Recipe>();
    schema.insert("$id".into(), ID.into());
    schema.insert("title".into(), "treelay recipe".into());
    schema.to_value()
}

/// Makes of what serde accepts what a recipe may say: a key that is there has a value.
#[derive(Debug, Clone)]
struct Strict;

impl Transform for Strict {
    fn transform(&mut self, schema: &mut Schema) {
        transform_subschemas(self, schema);
        let Some(object) = schema.as_object_mut() else { return };
        if object.get("default") == Some(&Value::Null) {
            object.remove("default");
        }
        if let Some(Value::Array(types)) = object.get_mut("type") {
            types.retain(|name| name != "null");
            if let [only] = types.as_slice() {
                let only = only.clone();
                object.insert("type".into(), only);
            }
        }
        if let Some(Value::Array(any)) = object.get_mut("anyOf") {
            any.retain(|one| one != &json!({"type": "null"}));
            if let [Value::Object(only)] = any.as_slice() {
                let only = only.clone();
                object.remove("anyOf");
                for (key, value) in only {
                    object.entry(key).or_insert(value);
                }
            }
        }
        // `uint32` is no format of JSON Schema's.
        if object.get("format") == Some(&json!("uint32")) {
            object.remove("format");
            object.insert("maximum".into(), u32::MAX.into());
        }
        if object.get("format") == Some(&json!("uint64")) {
            object.remove("format");
        }
        // Comments break their lines for their own width.
        if let Some(Value::String(text)) = object.get_mut("description") {
            *text =
                text.split("\n\n").map(|p| p.replace('\n', " ")).collect::<Vec<_>>().join("\n\n");
        }
    }
}

/// The rule that exactly one of `names` is there, as `oneOf` of a schema.
pub(crate) fn exactly_one(names: &[&str]) -> Value {
    names.iter().map(|name| json!({"required": [name]})).collect()
}

/// The schema of a text: what stands without quotes is taken as it is written, so `1.20` is a text.
pub(crate) fn text(generator: &mut schemars::SchemaGenerator) -> Schema {
    let mut schema = String::json_schema(generator);
    schema.insert("type".into(), json!(["string", "number", "boolean"]));
    schema
}
