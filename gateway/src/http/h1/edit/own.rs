//! What the gateway itself writes into a head: fields, and lines of them that are written ahead.
use config::table::NameMarks;
use http::HeaderName;

use super::super::grammar;
use super::super::scan::{Kind, Span};

/// A field that the gateway sets itself.
#[derive(Debug, PartialEq, Eq)]
pub struct OwnField {
    /// Its name, at hand.
    text: &'static str,
    /// What its line begins with: the name, a colon and a space.
    lead: &'static str,
    /// The same as HTTP/2 takes it.
    name: HeaderName,
    /// The mark of its name.
    mark: NameMarks,
}

/// Lines of the gateway's own that are the same for all requests of a connection: written once, and
/// copied in one piece to those whose filters have no other wish.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnLines {
    text: Vec<u8>,
    fields: Vec<(&'static OwnField, Span)>,
    /// The marks of their names.
    marks: NameMarks,
}

impl OwnField {
    /// The field whose line begins so, such as `x-request-id: `.
    ///
    /// # Panics
    /// If it does not end with a colon and a space: of a constant that is an error of the build.
    pub const fn new(lead: &'static str) -> Self {
        let (name, behind) = lead.split_at(lead.len() - 2);
        assert!(matches!(behind.as_bytes(), b": "), "a name, a colon and a space");
        let mark = NameMarks::of(name.as_bytes());
        Self { text: name, lead, name: HeaderName::from_static(name), mark }
    }

    /// Its name.
    pub(crate) const fn name(&self) -> &HeaderName {
        &self.name
    }

    /// Whether no two requests have the same value.
    pub(crate) fn is_unique(&self) -> bool {
        matches!(Kind::of(self.text()), Kind::Id | Kind::Trace)
    }

    pub(super) const fn text(&self) -> &[u8] {
        self.text.as_bytes()
    }

    /// The mark of its name.
    pub(super) const fn mark(&self) -> NameMarks {
        self.mark
    }

    pub(super) fn is_named(&self, name: &[u8]) -> bool {
        grammar::same(self.text(), name)
    }

    /// Appends its line.
    pub(super) fn write(&self, value: &[u8], out: &mut Vec<u8>) {
        debug_assert!(grammar::is_text(value));
        debug_assert!(Kind::of(self.text()).is_free(), "{self:?} is not ours to set");
        out.extend_from_slice(self.lead.as_bytes());
        out.extend_from_slice(value);
        out.extend_from_slice(b"\r\n");
    }
}

impl OwnLines {
    /// These lines.
    pub(crate) fn new<const COUNT: usize>(lines: [(&'static OwnField, &[u8]); COUNT]) -> Self {
        let mut own = Self::default();
        for (field, value) in lines {
            field.write(value, &mut own.text);
            let end = own.text.len() - 2;
            own.fields.push((field, Span::new(end - value.len(), end)));
            own.marks = own.marks.with(field.mark);
        }
        own
    }

    /// All of them, as they are written.
    pub(super) const fn text(&self) -> &[u8] {
        self.text.as_slice()
    }

    /// The marks of their names.
    pub(super) const fn marks(&self) -> NameMarks {
        self.marks
    }

    /// Each of them.
    pub(crate) fn fields(&self) -> impl Iterator<Item = (&'static OwnField, &[u8])> {
        self.fields.iter().map(|(field, value)| (*field, value.of(&self.text)))
    }
}
