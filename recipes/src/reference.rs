//! The reference of the recipe language, written from the same schema that recipes are checked
//! against.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use crate::shape::{Field, Object, RECIPE, Shape};

/// The text of `docs/recipe.md`: an introduction, and a section for every mapping of the language.
pub fn reference() -> String {
    // Tables name sections that come later, so the first writing is for the headings alone.
    let headings = Writer::default().write().headings;
    let known = headings.clone();
    Writer { known, ..Writer::default() }.write().text
}

#[derive(Default)]
struct Writer {
    text: String,
    /// The heading of every mapping's section, by the name of its definition or its path. Each has
    /// one, though several keys may take it.
    headings: BTreeMap<String, String>,
    /// The same, known from the writing before.
    known: BTreeMap<String, String>,
    /// Lists of names whose meanings have been told.
    told: BTreeSet<String>,
}

impl Writer {
    fn write(mut self) -> Self {
        self.say(include_str!("reference/intro.md"));
        self.say(
            "\n# Reference\n\nKeys in **bold** must be there. NAME and ARCH stand for a name of \
             yours and for an arch.\n",
        );
        self.section("", "The recipe", &RECIPE);
        self
    }

    /// A section for what has keys, and the sections of what is below it.
    fn section(&mut self, path: &str, heading: &str, shape: &Shape) {
        match shape {
            Shape::Object(object) => self.object(path, heading, object),
            Shape::Kind(kinds) => {
                self.heading(path, heading);
                self.say("Exactly one key, which names the kind:\n\n");
                self.table(path, kinds);
                self.below(path, kinds);
            }
            Shape::List { item, .. } => self.section(&format!("{path}[]"), heading, item),
            Shape::Map { keys, value } => {
                let key = if keys.is_some() { "ARCH" } else { "NAME" };
                let path = format!("{path}.{key}");
                self.section(&path, &format!("`{path}`"), value);
            }
            Shape::Text | Shape::Number(_) | Shape::Bool | Shape::Names(_) => {}
        }
    }

    fn object(&mut self, path: &str, heading: &str, object: &Object) {
        if self.headings.contains_key(&object.title) {
            return;
        }
        self.heading(&object.title, heading);
        if !path.is_empty() {
            self.say(&format!("{}\n\n", object.about));
        }
        if !object.one_of.is_empty() && !object.about.contains("xactly one") {
            let keys: Vec<String> = object.one_of.iter().map(|key| format!("`{key}`")).collect();
            self.say(&format!("Exactly one of {} is there.\n\n", keys.join(", ")));
        }
        self.table(path, &object.fields);
        self.below(path, &object.fields);
    }

    fn heading(&mut self, definition: &str, heading: &str) {
        self.headings.insert(definition.to_owned(), heading.to_owned());
        // Writing to a String cannot fail.
        let _ = write!(self.text, "\n## {heading}\n\n");
    }

    fn say(&mut self, text: &str) {
        self.text.push_str(text);
    }

    fn table(&mut self, path: &str, fields: &[Field]) {
        self.say("| key | value | meaning |\n|---|---|---|\n");
        for field in in_order(fields) {
            let name = match field.required {
                true => format!("**`{}`**", field.name),
                false => format!("`{}`", field.name),
            };
            let value = self.value(&child(path, &field.name), &field.shape);
            let about = field.about.replace('|', "\\|");
            let names = self.names(&field.shape);
            let _ = writeln!(self.text, "| {name} | {value} | {about}{names} |");
        }
    }

    fn below(&mut self, path: &str, fields: &[Field]) {
        for field in in_order(fields) {
            let path = child(path, &field.name);
            let heading = match &field.shape {
                Shape::List { .. } => format!("`{path}[]`"),
                _ => format!("`{path}`"),
            };
            self.section(&path, &heading, &field.shape);
        }
    }

    /// What stands in the column of values.
    fn value(&self, path: &str, shape: &Shape) -> String {
        match shape {
            Shape::Text => "text".into(),
            Shape::Number(_) => "number".into(),
            Shape::Bool => "`true`, `false`".into(),
            Shape::Names(names) => {
                names.iter().map(|name| format!("`{}`", name.name)).collect::<Vec<_>>().join(", ")
            }
            Shape::List { item, .. } => {
                let item = self.value(&format!("{path}[]"), item);
                format!("list of {}", item.replace("[mapping]", "[mappings]"))
            }
            Shape::Map { keys: Some(_), value } => {
                format!("arch to {}", self.value(&format!("{path}.ARCH"), value))
            }
            Shape::Map { keys: None, value } => {
                format!("name to {}", self.value(&format!("{path}.NAME"), value))
            }
            Shape::Object(object) => self.link(&object.title),
            Shape::Kind(_) => self.link(path),
        }
    }

    fn link(&self, definition: &str) -> String {
        let heading = self.known.get(definition).map(String::as_str).unwrap_or_default();
        // How the places that render Markdown make an anchor of a heading.
        let anchor: String = heading
            .to_lowercase()
            .chars()
            .filter(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | ' '))
            .map(|c| if c == ' ' { '-' } else { c })
            .collect();
        format!("[mapping](#{anchor})")
    }

    /// The meaning of each name that a key may have as its value, told once.
    fn names(&mut self, shape: &Shape) -> String {
        let names = match shape {
            Shape::Names(names) => names,
            Shape::List { item, .. } => return self.names(item),
            _ => return String::new(),
        };
        let all: Vec<&str> = names.iter().map(|name| name.name.as_str()).collect();
        if !self.told.insert(all.join(" ")) {
            return String::new();
        }
        names.iter().map(|name| format!("<br>`{}`: {}", name.name, name.about)).collect()
    }
}

/// What must be there first.
fn in_order(fields: &[Field]) -> impl Iterator<Item = &Field> {
    let required = fields.iter().filter(|field| field.required);
    required.chain(fields.iter().filter(|field| !field.required))
}

fn child(path: &str, key: &str) -> String {
    match path {
        "" => key.to_owned(),
        path => format!("{path}.{key}"),
    }
}
