//! The recipe language as data, read from its JSON Schema: what the shape of a file is checked
//! against, and what the reference is written from. One source for editors, messages and papers.

use std::sync::LazyLock;

use serde_json::Value as Json;

use crate::error::{Problems, one_of};
use crate::yaml::{Entry, Node, Place, Value};

/// What a node must be.
#[derive(Debug, Clone)]
pub(crate) enum Shape {
    Text,
    /// A whole number from 0 to this.
    Number(u64),
    Bool,
    /// One of some names.
    Names(Vec<Name>),
    List {
        item: Box<Shape>,
        /// Whether an empty list is refused.
        filled: bool,
        /// Whether an item may be there only once.
        unique: bool,
    },
    /// Any keys, or only some names; one shape for every value.
    Map {
        keys: Option<Vec<Name>>,
        value: Box<Shape>,
    },
    Object(Object),
    /// A mapping with exactly one key, which names the kind.
    Kind(Vec<Field>),
}

/// A name with what is said about it.
#[derive(Debug, Clone)]
pub(crate) struct Name {
    pub name: String,
    pub about: String,
}

/// A mapping with known keys.
#[derive(Debug, Clone)]
pub(crate) struct Object {
    /// The name of its definition.
    pub title: String,
    pub about: String,
    pub fields: Vec<Field>,
    /// Exactly one of these keys must be there; empty where there is no such rule.
    pub one_of: Vec<String>,
}

/// A key of an [`Object`], or a kind.
#[derive(Debug, Clone)]
pub(crate) struct Field {
    pub name: String,
    pub about: String,
    pub required: bool,
    pub shape: Shape,
}

/// The shape of a whole recipe.
pub(crate) static RECIPE: LazyLock<Shape> = LazyLock::new(|| {
    let schema = crate::schema();
    Shape::read(&schema, &schema["$defs"], "Recipe")
});

fn text_of(schema: &Json, key: &str) -> String {
    schema[key].as_str().unwrap_or_default().to_owned()
}

fn list_of<'j>(schema: &'j Json, key: &str) -> impl Iterator<Item = &'j Json> {
    schema[key].as_array().into_iter().flatten()
}

impl Shape {
    /// Reads the part of JSON Schema that [`crate::schema()`] uses.
    fn read(schema: &Json, defs: &Json, title: &str) -> Shape {
        if let Some(name) = schema["$ref"].as_str().and_then(|path| path.strip_prefix("#/$defs/")) {
            return Shape::read(&defs[name], defs, name);
        }
        if let Some(names) = Name::list(schema) {
            return Shape::Names(names);
        }
        let kinds: Vec<Field> = list_of(schema, "oneOf")
            .filter(|kind| kind["properties"].is_object())
            .flat_map(|kind| Field::list(kind, defs))
            .map(|kind| Field { required: false, ..kind })
            .collect();
        if !kinds.is_empty() {
            return Shape::Kind(kinds);
        }
        match schema["type"].as_str() {
            Some("integer") => Shape::Number(schema["maximum"].as_u64().unwrap_or(u64::MAX)),
            Some("boolean") => Shape::Bool,
            Some("array") => Shape::List {
                item: Box::new(Shape::read(&schema["items"], defs, "")),
                filled: schema["minItems"].as_u64().is_some_and(|least| least > 0),
                unique: schema["uniqueItems"] == true,
            },
            Some("object") if schema["properties"].is_object() => Shape::Object(Object {
                title: title.to_owned(),
                about: text_of(schema, "description"),
                fields: Field::list(schema, defs),
                one_of: list_of(schema, "oneOf")
                    .flat_map(|rule| list_of(rule, "required"))
                    .filter_map(|name| name.as_str().map(str::to_owned))
                    .collect(),
            }),
            Some("object") => {
                let keys = &schema["propertyNames"];
                let keys = match keys["$ref"].as_str() {
                    Some(path) => &defs[path.trim_start_matches("#/$defs/")],
                    None => keys,
                };
                Shape::Map {
                    keys: Name::list(keys),
                    value: Box::new(Shape::read(&schema["additionalProperties"], defs, "")),
                }
            }
            _ => Shape::Text,
        }
    }

    /// What is expected, with its article.
    pub(crate) fn article(&self) -> String {
        match self {
            Shape::Text => "a text".into(),
            Shape::Number(_) => "a whole number".into(),
            Shape::Bool => "true or false".into(),
            Shape::Names(names) => {
                one_of(&names.iter().map(|n| n.name.as_str()).collect::<Vec<_>>())
            }
            Shape::List { .. } => "a list".into(),
            Shape::Map { .. } | Shape::Object(_) | Shape::Kind(_) => "a mapping".into(),
        }
    }

    /// Notes everything in which `node` is not of this shape.
    pub(crate) fn check(&self, node: &Node, problems: &mut Problems<'_>) {
        let top = Path { key: node.place, what: "the recipe".into(), top: true };
        self.check_at(node, &top, problems);
    }

    fn check_at(&self, node: &Node, path: &Path, problems: &mut Problems<'_>) {
        let what = &path.what;
        if node.is_null() {
            problems
                .add(path.key.at, path.key.width, format!("{what} has no value"))
                .expected(format!("expected {}", self.article()));
            return;
        }
        let fits = match (self, &node.value) {
            (Shape::Text, Value::Scalar { .. }) => true,
            (Shape::Number(max), Value::Scalar { text, plain }) => {
                *plain && text.parse::<u64>().is_ok_and(|number| number <= *max)
            }
            (Shape::Bool, Value::Scalar { text, plain }) => {
                *plain && matches!(text.as_str(), "true" | "false")
            }
            (Shape::Names(names), Value::Scalar { text, .. }) => {
                let what = what.strip_prefix("an entry of ").unwrap_or(what);
                let message = format!("value `{text}` in {what}");
                Name::check(names, text, node.place, &message, problems);
                true
            }
            (Shape::List { item, filled, unique }, Value::List(items)) => {
                if *filled && items.is_empty() {
                    problems
                        .add(node.place.at, node.place.width, format!("{what} is empty"))
                        .expected("expected at least one");
                }
                for (index, node) in items.iter().enumerate() {
                    item.check_at(node, &path.item(node), problems);
                    if *unique && items[..index].iter().any(|earlier| same_text(earlier, node)) {
                        let text = scalar(node).unwrap_or_default();
                        let message = format!("{what} has `{text}` twice");
                        problems.add(node.place.at, node.place.width, message);
                    }
                }
                true
            }
            (Shape::Map { keys, value }, Value::Map(entries)) => {
                for entry in entries {
                    if let Some(keys) = keys {
                        let message = format!("key `{}` in {what}", entry.key);
                        Name::check(keys, &entry.key, entry.place, &message, problems);
                    }
                    value.check_at(&entry.node, &path.field(entry), problems);
                }
                true
            }
            (Shape::Object(object), Value::Map(entries)) => {
                object.check(entries, path, problems);
                true
            }
            (Shape::Kind(kinds), Value::Map(entries)) => {
                check_kind(kinds, entries, path, problems);
                true
            }
            _ => false,
        };
        if !fits {
            let expected = match self {
                Shape::Number(max) if *max < u64::MAX => {
                    format!("expected a whole number from 0 to {max}")
                }
                _ => format!("expected {}", self.article()),
            };
            problems
                .add(node.place.at, node.place.width, format!("{what} is {}", found(node)))
                .expected(expected);
        }
    }
}

impl Name {
    /// The names of an enumeration: `oneOf` constants with descriptions, or `enum`.
    fn list(schema: &Json) -> Option<Vec<Name>> {
        let name = |name: &Json, about: String| {
            name.as_str().map(|name| Name { name: name.to_owned(), about })
        };
        let mut names: Vec<Name> =
            list_of(schema, "enum").filter_map(|value| name(value, String::new())).collect();
        names.extend(
            list_of(schema, "oneOf")
                .filter_map(|one| name(&one["const"], text_of(one, "description"))),
        );
        (!names.is_empty()).then_some(names)
    }

    fn check(names: &[Name], text: &str, place: Place, what: &str, problems: &mut Problems<'_>) {
        if !names.iter().any(|name| name.name == text) {
            problems
                .add(place.at, place.width, format!("unknown {what}"))
                .nearest(text, names.iter().map(|name| name.name.as_str()));
        }
    }
}

impl Field {
    fn list(schema: &Json, defs: &Json) -> Vec<Field> {
        let required = |name: &str| list_of(schema, "required").any(|given| given == name);
        let mut fields: Vec<Field> = schema["properties"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(name, property)| Field {
                name: name.clone(),
                about: text_of(property, "description"),
                required: required(name),
                shape: Shape::read(property, defs, ""),
            })
            .collect();
        // A kind that stands alone says what it is in the schema around it.
        if let [field] = &mut fields[..]
            && field.about.is_empty()
        {
            field.about = text_of(schema, "description");
        }
        fields
    }
}

impl Object {
    fn check(&self, entries: &[Entry], path: &Path, problems: &mut Problems<'_>) {
        let what = &path.what;
        let mut unknown = false;
        let mut meant: Vec<String> = Vec::new();
        for entry in entries {
            match self.fields.iter().find(|field| field.name == entry.key) {
                Some(field) => field.shape.check_at(&entry.node, &path.field(entry), problems),
                None => {
                    unknown = true;
                    let message = format!("unknown key `{}` in {what}", entry.key);
                    let problem = problems
                        .add(entry.place.at, entry.place.width, message)
                        .nearest(&entry.key, self.fields.iter().map(|field| field.name.as_str()));
                    meant.extend(problem.nearest.clone());
                }
            }
        }
        let has = |name: &str| entries.iter().any(|entry| entry.key == name);
        // An unknown key that was told to be meant for this one is not missing as well.
        let missing: Vec<&Field> = self
            .fields
            .iter()
            .filter(|field| field.required && !has(&field.name) && !meant.contains(&field.name))
            .collect();
        let message = match missing.as_slice() {
            [] => None,
            [field] => Some(format!("{what} has no `{}`", field.name)),
            [init @ .., last] => {
                let init: Vec<String> = init.iter().map(|f| format!("`{}`", f.name)).collect();
                Some(format!("{what} has no {} and no `{}`", init.join(", no "), last.name))
            }
        };
        if let Some(message) = message {
            let expected: Vec<String> = missing
                .iter()
                .map(|field| format!("`{}`, {}", field.name, field.shape.article()))
                .collect();
            problems
                .add(path.key.at, path.key.width, message)
                .expected(format!("expected {}", expected.join("; ")));
        }
        let there: Vec<&Entry> =
            entries.iter().filter(|entry| self.one_of.contains(&entry.key)).collect();
        let names: Vec<&str> = self.one_of.iter().map(String::as_str).collect();
        match there.as_slice() {
            // A misspelt key is most likely the one that is missing, and is reported already.
            [] if unknown || names.is_empty() => {}
            [] => {
                problems
                    .add(path.key.at, path.key.width, format!("{what} does not say what it is"))
                    .expected(format!("expected one of the keys {}", one_of(&names)));
            }
            [_] => {}
            [_, second, ..] => {
                let keys: Vec<&str> = there.iter().map(|entry| entry.key.as_str()).collect();
                problems
                    .add(
                        second.place.at,
                        second.place.width,
                        format!("{what} has {} at once", keys.join(" and ")),
                    )
                    .expected(format!("expected exactly one of {}", one_of(&names)));
            }
        }
    }
}

fn check_kind(kinds: &[Field], entries: &[Entry], path: &Path, problems: &mut Problems<'_>) {
    let what = &path.what;
    let names: Vec<&str> = kinds.iter().map(|kind| kind.name.as_str()).collect();
    for entry in entries {
        match kinds.iter().find(|kind| kind.name == entry.key) {
            Some(kind) => kind.shape.check_at(&entry.node, &path.field(entry), problems),
            None => {
                problems
                    .add(
                        entry.place.at,
                        entry.place.width,
                        format!("unknown kind `{}` of {what}", entry.key),
                    )
                    .nearest(&entry.key, names.iter().copied());
            }
        }
    }
    let there: Vec<&Entry> =
        entries.iter().filter(|entry| names.contains(&entry.key.as_str())).collect();
    match there.as_slice() {
        // What stands there instead is reported already.
        [] if !entries.is_empty() => {}
        [] => {
            problems
                .add(path.key.at, path.key.width, format!("{what} does not say what it is"))
                .expected(format!("expected one of the keys {}", one_of(&names)));
        }
        [_] => {}
        [first, second, ..] => {
            problems
                .add(
                    second.place.at,
                    second.place.width,
                    format!("{what} has {} and {} at once", first.key, second.key),
                )
                .expected(format!("expected exactly one of {}", one_of(&names)));
        }
    }
}

/// Where the check is: the key to point at, and how to call it.
struct Path {
    key: Place,
    what: String,
    top: bool,
}

impl Path {
    fn field(&self, entry: &Entry) -> Path {
        let what = match self {
            Path { top: true, .. } => entry.key.clone(),
            Path { what, .. } if what.contains(' ') => format!("{} of {what}", entry.key),
            Path { what, .. } => format!("{what}.{}", entry.key),
        };
        Path { key: entry.place, what, top: false }
    }

    fn item(&self, node: &Node) -> Path {
        let what = match (self.what.strip_suffix('s'), node.get("name").and_then(scalar)) {
            (Some(one), Some(name)) => format!("{one} `{name}`"),
            _ => format!("an entry of {}", self.what),
        };
        Path { key: node.place, what, top: false }
    }
}

fn scalar(node: &Node) -> Option<&str> {
    match &node.value {
        Value::Scalar { text, .. } => Some(text),
        _ => None,
    }
}

fn same_text(one: &Node, other: &Node) -> bool {
    scalar(one).is_some() && scalar(one) == scalar(other)
}

fn found(node: &Node) -> String {
    match &node.value {
        Value::Scalar { text, plain: true } => format!("`{text}`"),
        Value::Scalar { text, plain: false } => format!("the text {text:?}"),
        Value::List(_) => "a list".into(),
        Value::Map(_) => "a mapping".into(),
    }
}
