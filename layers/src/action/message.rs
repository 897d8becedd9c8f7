//! Protocol Buffers, as far as the Remote Execution API's messages need them: texts, numbers that
//! are not negative, and messages. Written in the order of their fields, without default values,
//! which is the canonical form that the API asks for.

/// A message on its way.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Message(Vec<u8>);

/// Wire types (protobuf.dev, "Encoding").
const VARINT: u64 = 0;
const LENGTH: u64 = 2;

impl Message {
    /// An element of a repeated text, or a text that is not empty.
    pub(super) fn text(&mut self, field: u64, text: &str) {
        self.bytes(field, text.as_bytes());
    }

    /// A number or a truth; 0 is the default and not written.
    pub(super) fn number(&mut self, field: u64, number: u64) {
        if number != 0 {
            self.varint(field << 3 | VARINT);
            self.varint(number);
        }
    }

    /// A message, also an empty one: that is there, and not the default.
    pub(super) fn message(&mut self, field: u64, message: &Message) {
        self.bytes(field, &message.0);
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    fn bytes(&mut self, field: u64, bytes: &[u8]) {
        self.varint(field << 3 | LENGTH);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    fn varint(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }
}
