//! What a filter changes of the fields of a message, with what it adds written ahead.

use http::{HeaderName, HeaderValue};

/// A field that a change writes.
pub type HeaderField = (HeaderName, HeaderValue);

/// Which names there are in a set of names, roughly: two sets that do not meet have none in common.
///
/// A bit for the length of a name and the letter that it ends with, in any case: many names of
/// changes begin with the same letter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NameMarks(u64);

impl NameMarks {
    /// Of one name.
    pub const fn of(name: &[u8]) -> Self {
        match name.last() {
            Some(last) => Self(1 << ((name.len() * 33 + (*last & 31) as usize) % 64)),
            None => Self(0),
        }
    }

    /// Of both.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether a name may be in both.
    pub const fn meet(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

/// Set, add and remove fields. Whatever stands here can be written as it is, and none of it is of
/// framing or connection: that was seen when it was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderChange {
    set: Vec<HeaderField>,
    add: Vec<HeaderField>,
    remove: Vec<HeaderName>,
    /// The lines that it adds, as HTTP/1 writes them.
    lines: Box<[u8]>,
    marks: NameMarks,
}

impl HeaderChange {
    /// Of what is replaced, added to what is there, and then taken away.
    pub fn new(set: Vec<HeaderField>, add: Vec<HeaderField>, remove: Vec<HeaderName>) -> Self {
        let mut change = Self { set, add, remove, ..Self::default() };
        let mut lines = Vec::new();
        for (name, value) in change.added() {
            for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
                lines.extend_from_slice(part);
            }
        }
        change.lines = lines.into();
        let written = change.set.iter().chain(&change.add).map(|(name, _)| name);
        let names = written.chain(&change.remove).map(|name| name.as_str().as_bytes());
        change.marks = names.map(NameMarks::of).fold(NameMarks::default(), NameMarks::with);
        change
    }

    /// What replaces what is there.
    pub fn set(&self) -> &[HeaderField] {
        &self.set
    }

    /// What is added to what is there.
    pub fn add(&self) -> &[HeaderField] {
        &self.add
    }

    /// What is taken away.
    pub fn remove(&self) -> &[HeaderName] {
        &self.remove
    }

    /// The names of which no line stays that was there before.
    pub fn dropped(&self) -> impl Iterator<Item = &HeaderName> {
        self.set.iter().map(|(name, _)| name).chain(&self.remove)
    }

    /// The fields that are there behind it and were not before, in order.
    pub fn added(&self) -> impl Iterator<Item = &HeaderField> {
        self.set.iter().chain(&self.add).filter(|(name, _)| !self.remove.contains(name))
    }

    /// The lines of these, as HTTP/1 writes them.
    pub const fn lines(&self) -> &[u8] {
        &self.lines
    }

    /// The marks of all its names.
    pub const fn marks(&self) -> NameMarks {
        self.marks
    }
}

#[cfg(test)]
mod tests;
