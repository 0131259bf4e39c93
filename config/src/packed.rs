//! A text that is kept and hardly ever read.

use std::sync::Arc;

/// What says the same again and again takes a fraction of its memory. Cheap to clone; two are equal
/// where their texts are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packed(Arc<[u8]>);

impl Packed {
    /// Packs a text.
    pub fn new(text: &str) -> Self {
        Self(lz4_flex::block::compress_prepend_size(text.as_bytes()).into())
    }

    /// As it was.
    pub fn text(&self) -> String {
        let bytes = lz4_flex::block::decompress_size_prepended(&self.0).unwrap_or_default();
        // It was text when it was packed.
        String::from_utf8(bytes).unwrap_or_default()
    }

    /// Bytes that it takes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether it takes none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
