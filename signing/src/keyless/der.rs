//! The little of DER (X.690) that is needed where the very bytes count: in signed timestamps.

/// Tags of the elements that are read.
pub(super) mod tag {
    pub const INTEGER: u8 = 0x02;
    pub const OCTET_STRING: u8 = 0x04;
    pub const OID: u8 = 0x06;
    pub const GENERALIZED_TIME: u8 = 0x18;
    pub const SEQUENCE: u8 = 0x30;
    pub const SET: u8 = 0x31;
    /// `[0]` with elements in it.
    pub const CONTEXT_0: u8 = 0xa0;
    /// `[1]` with elements in it.
    pub const CONTEXT_1: u8 = 0xa1;
    /// `[0]` in place of a primitive element's own tag.
    pub const CONTEXT_0_PRIMITIVE: u8 = 0x80;
}

/// One element, and where it lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Element<'a> {
    pub tag: u8,
    pub content: &'a [u8],
    /// With tag and length.
    pub whole: &'a [u8],
}

impl<'a> Element<'a> {
    /// The elements inside.
    pub fn inside(&self) -> Elements<'a> {
        Elements { rest: self.content }
    }
}

/// Elements one after the other.
#[derive(Debug, Clone, Copy)]
pub(super) struct Elements<'a> {
    rest: &'a [u8],
}

impl<'a> Elements<'a> {
    pub fn of(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next element; [`None`] where there is none, or not in DER.
    pub fn next(&mut self) -> Option<Element<'a>> {
        let (&tag, after_tag) = self.rest.split_first()?;
        // Tags of several bytes occur in nothing that is read here.
        if tag & 0x1f == 0x1f {
            return None;
        }
        let (&first, after_first) = after_tag.split_first()?;
        let (length, content) = match first {
            0..=0x7f => (usize::from(first), after_first),
            0x81..=0x84 => {
                let (bytes, rest) = after_first.split_at_checked(usize::from(first & 0x7f))?;
                let length = bytes.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
                // In the fewest bytes (section 10.1).
                let shortest = bytes[0] != 0 && length >= 0x80;
                shortest.then_some((length, rest))?
            }
            _ => return None,
        };
        let (content, rest) = content.split_at_checked(length)?;
        let whole = &self.rest[..self.rest.len() - rest.len()];
        self.rest = rest;
        Some(Element { tag, content, whole })
    }

    /// The next element, which has this tag.
    pub fn need(&mut self, tag: u8) -> Option<Element<'a>> {
        self.next().filter(|element| element.tag == tag)
    }

    /// The next element, if it has this tag.
    pub fn maybe(&mut self, tag: u8) -> Option<Element<'a>> {
        (self.rest.first() == Some(&tag)).then(|| self.next()).flatten()
    }

    /// All elements have been read.
    pub fn end(&self) -> Option<()> {
        self.rest.is_empty().then_some(())
    }
}

/// The one element that `bytes` are.
pub(super) fn only(bytes: &[u8], tag: u8) -> Option<Element<'_>> {
    let mut elements = Elements::of(bytes);
    let element = elements.need(tag)?;
    elements.end()?;
    Some(element)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_in_der_or_none() {
        for (hex, content) in [
            ("0400", Some("")),
            ("0401ff", Some("ff")),
            // Cut short, or with something behind.
            ("0402ff", None),
            ("0401ff00", None),
            // A length that is longer than need be, or not told.
            ("048101ff", None),
            ("04820001ff", None),
            ("0480ff0000", None),
            // Another tag, and one of several bytes.
            ("3000", None),
            ("1f0400", None),
            ("04", None),
            ("", None),
        ] {
            let bytes = hex::decode(hex).unwrap();
            let found = only(&bytes, tag::OCTET_STRING).map(|element| hex::encode(element.content));
            assert_eq!(found.as_deref(), content, "{hex}");
        }
        let long = [&[0x04, 0x81, 0x80][..], &[7; 0x80]].concat();
        assert_eq!(only(&long, tag::OCTET_STRING).unwrap().content.len(), 0x80);
    }
}
