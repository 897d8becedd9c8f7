//! [`Origin`]: the file a recipe was read from, kept so that a message can show its line.

use std::sync::Arc;

use crate::error::Problems;
use crate::recipe::At;
use crate::yaml::{Node, Place};

/// The file a recipe was read from. All origins are equal: a recipe is what it says, wherever it
/// was read.
#[derive(Debug, Clone, Default)]
pub(crate) struct Origin(Option<Arc<File>>);

#[derive(Debug)]
struct File {
    name: String,
    text: String,
    /// Where everything stands, by line and column.
    places: Vec<Place>,
}

impl PartialEq for Origin {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Origin {
    pub(crate) fn new(name: &str, text: &str, root: &Node) -> Self {
        let mut places = Vec::new();
        root.places(&mut |place| places.push(place));
        places.sort_by_key(|place| (place.at.line, place.at.column));
        let file = File { name: name.to_owned(), text: text.to_owned(), places };
        Self(Some(Arc::new(file)))
    }

    pub(crate) fn problems(&self) -> Problems<'_> {
        match &self.0 {
            Some(file) => Problems::new(&file.name, &file.text),
            None => Problems::new("recipe", ""),
        }
    }

    /// Where the key of the value at this place stands: a key is what stands right before its value.
    pub(crate) fn key_of(&self, at: At) -> Place {
        let places = self.0.as_ref().map_or(&[][..], |file| &file.places);
        let index =
            places.partition_point(|place| (place.at.line, place.at.column) < (at.line, at.column));
        match index.checked_sub(1) {
            Some(key) => places[key],
            None => Place { at, width: self.width(at) },
        }
    }

    /// How many characters what stands at this place takes on its line.
    pub(crate) fn width(&self, at: At) -> u32 {
        let places = self.0.as_ref().map_or(&[][..], |file| &file.places);
        let key = (at.line, at.column);
        places
            .binary_search_by_key(&key, |place| (place.at.line, place.at.column))
            .map_or(1, |index| places[index].width)
    }
}
