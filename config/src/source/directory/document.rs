//! YAML documents that remember on which line each of their fields stands.
//!
//! A file is taken apart where a line begins a document, so that each is read, kept and compared
//! on its own. What an operator usually writes is composed from the events of the parser at once;
//! whatever is rarer or wrong is read by serde-saphyr, which is built on the same parser, knows
//! all of YAML, and says what is wrong: at twice the cost.

mod compose;
mod read;
mod saphyr;

use std::borrow::Cow;

use serde_json::{Map, Number, Value};

/// A value and its line.
#[derive(Debug, PartialEq)]
pub(super) struct Node<'t> {
    /// The line, from 1.
    pub(super) line: u32,
    content: Content<'t>,
}

#[derive(Debug, PartialEq)]
enum Content<'t> {
    Null,
    Bool(bool),
    Number(Number),
    Text(Cow<'t, str>),
    List(Vec<Node<'t>>),
    Map(Vec<(Cow<'t, str>, Node<'t>)>),
}

/// A part of a file that begins where a document does, and how many lines are before it.
pub(super) type Part<'t> = (u32, &'t str);

/// Takes a file apart: a line that begins with `---` begins a document, whatever is around it
/// (YAML 1.2, `c-forbidden`). Directives and comments stay with the document that they precede.
pub(super) fn parts(text: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let (mut rest, mut first) = (text, 0);
    let (mut length, mut lines, mut begun) = (0, 0, false);
    for line in text.split_inclusive('\n') {
        if begun && marker(line, "---").is_some() {
            let (part, after) = rest.split_at(length);
            parts.push((first, part));
            (rest, first) = (after, first + lines);
            (length, lines) = (0, 0);
        }
        begun = marker(line, "...").is_none() && (begun || says(line));
        length += line.len();
        lines += breaks(line);
    }
    parts.push((first, rest));
    parts
}

/// How many line breaks end with this line: to YAML a carriage return alone is one too (1.2, §5.4).
fn breaks(line: &str) -> u32 {
    let alone = line.strip_suffix("\r\n").unwrap_or(line).matches('\r').count();
    1 + u32::try_from(alone).unwrap_or(u32::MAX - 1)
}

/// What follows a marker at the beginning of a line.
fn marker<'l>(line: &'l str, marker: &str) -> Option<&'l str> {
    let rest = line.strip_prefix(marker)?;
    (rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n'])).then_some(rest)
}

/// Whether a line is more than a marker, a directive or a comment.
fn says(line: &str) -> bool {
    let text = marker(line, "---").unwrap_or(line).trim_start();
    !line.starts_with('%') && !text.starts_with('#') && !text.is_empty()
}

/// Why a part cannot be read.
#[derive(Debug)]
pub(super) struct Wrong {
    /// The line, from 1.
    pub(super) line: u32,
    /// What is wrong, a sentence.
    pub(super) message: String,
}

impl<'t> Node<'t> {
    /// The documents of a part; a document of nothing but comments is none.
    pub(super) fn documents(part: Part<'t>) -> Result<Vec<Self>, Wrong> {
        compose::documents(part).map_or_else(|| saphyr::documents(part), Ok)
    }

    /// The document of a part that we wrote, one object as JSON on one line: read as such it takes a
    /// fraction of the time. JSON lets a name stand twice, so this is not for what others wrote.
    pub(super) fn made((before, text): Part<'t>) -> Option<Self> {
        let line = text.strip_prefix('{').map(str::trim_end)?;
        let value = if line.contains('\n') { None } else { serde_json::from_str(text).ok() };
        Some(Self::of(before + 1, value?))
    }

    fn of(line: u32, value: Value) -> Self {
        let content = match value {
            Value::Null => Content::Null,
            Value::Bool(value) => Content::Bool(value),
            Value::Number(number) => Content::Number(number),
            Value::String(text) => Content::Text(text.into()),
            Value::Array(items) => {
                Content::List(items.into_iter().map(|item| Self::of(line, item)).collect())
            }
            Value::Object(fields) => Content::Map(
                fields
                    .into_iter()
                    .map(|(key, value)| (key.into(), Self::of(line, value)))
                    .collect(),
            ),
        };
        Self { line, content }
    }

    /// The value without its lines.
    pub(super) fn value(&self) -> Value {
        match &self.content {
            Content::Null => Value::Null,
            Content::Bool(value) => (*value).into(),
            Content::Number(number) => number.clone().into(),
            Content::Text(text) => (&**text).into(),
            Content::List(items) => items.iter().map(Self::value).collect(),
            Content::Map(fields) => Value::Object(
                fields
                    .iter()
                    .map(|(key, node)| (key.to_string(), node.value()))
                    .collect::<Map<_, _>>(),
            ),
        }
    }

    /// The text of a field of this map; empty where it is none.
    pub(super) fn text(&self, field: &str) -> &str {
        match self.child(field).map(|node| &node.content) {
            Some(Content::Text(text)) => text,
            _ => "",
        }
    }

    /// Whether it is a map.
    pub(super) const fn is_map(&self) -> bool {
        matches!(self.content, Content::Map(_))
    }

    /// The line of the field with a path such as `spec.rules[0].name`, or of the nearest field
    /// around it that is there.
    pub(super) fn line_of(&self, path: &str) -> u32 {
        let steps = path.split(['.', '[', ']']).filter(|step| !step.is_empty());
        let mut at = self;
        for step in steps {
            let Some(next) = at.child(step) else { break };
            at = next;
        }
        at.line
    }

    /// A field of this map or an item of this list.
    pub(super) fn child(&self, step: &str) -> Option<&Self> {
        match &self.content {
            Content::List(items) => items.get(step.parse::<usize>().ok()?),
            Content::Map(fields) => {
                fields.iter().find(|(key, _)| key == step).map(|(_, node)| node)
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
