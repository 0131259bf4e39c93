//! What an operator usually writes, composed from the events of the parser at once.
//!
//! Nothing is decided here that could be decided otherwise: a tag, an anchor, a key that comes
//! twice or is no text, a scalar that is a number or a truth in some spelling or other, and
//! whatever is wrong, is left to serde-saphyr.

use std::borrow::Cow;

use granit_parser::{Event, Parser, ScalarStyle, Span, StrInput, options};

use super::{Content, Node, Part};

/// How many values a part may have, and how deep they may lie in one another: more than any object
/// has. What is larger is left to the limits of serde-saphyr.
const NODES_MAX: usize = 100_000;
const DEPTH_MAX: usize = 64;
/// Words that are truths or nothing in some version of YAML.
const WORDS: [&str; 9] = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
/// Up to how many keys are compared with one another: with more it costs less to sort them.
const KEYS_COMPARED: usize = 16;

/// The documents of a part, or nothing: it is not as it usually is.
pub(super) fn documents((before, text): Part<'_>) -> Option<Vec<Node<'_>>> {
    let events = Parser::new_from_str_with_options(text, options! { emit_comments: false });
    let mut composer = Composer { events, before, nodes: 0 };
    let mut documents = Vec::new();
    loop {
        match composer.next()? {
            (Event::StreamEnd, _) => return Some(documents),
            (Event::StreamStart | Event::DocumentStart(..) | Event::DocumentEnd, _) => {}
            first => {
                let node = composer.node(first, 0)?;
                documents.extend(Some(node).filter(|node| node.content != Content::Null));
            }
        }
    }
}

struct Composer<'t> {
    events: Parser<'t, StrInput<'t>>,
    /// How many lines of the file are before the part.
    before: u32,
    nodes: usize,
}

impl<'t> Composer<'t> {
    fn next(&mut self) -> Option<(Event<'t>, Span)> {
        self.events.next_event()?.ok()
    }

    fn node(&mut self, (event, span): (Event<'t>, Span), depth: usize) -> Option<Node<'t>> {
        self.nodes += 1;
        if self.nodes > NODES_MAX || depth > DEPTH_MAX {
            return None;
        }
        let content = match event {
            Event::Scalar(text, ScalarStyle::Plain, 0, None) => plain(text)?,
            Event::Scalar(text, _, 0, None) => Content::Text(text),
            Event::SequenceStart(_, 0, None) => self.list(depth)?,
            Event::MappingStart(_, 0, None) => self.map(depth)?,
            _ => return None,
        };
        let line = u32::try_from(span.start.line()).ok()?.checked_add(self.before)?;
        Some(Node { line, content })
    }

    fn list(&mut self, depth: usize) -> Option<Content<'t>> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Some(Content::List(items)),
                first => items.push(self.node(first, depth + 1)?),
            }
        }
    }

    fn map(&mut self, depth: usize) -> Option<Content<'t>> {
        let mut fields = Vec::new();
        loop {
            let key = match self.next()? {
                (Event::MappingEnd, _) => break,
                first => match self.node(first, depth + 1)?.content {
                    Content::Text(key) if key != "<<" => key,
                    _ => return None,
                },
            };
            let value = self.next()?;
            fields.push((key, self.node(value, depth + 1)?));
        }
        differ(&fields).then_some(Content::Map(fields))
    }
}

/// Whether no key comes twice.
fn differ(fields: &[(Cow<'_, str>, Node<'_>)]) -> bool {
    if fields.len() <= KEYS_COMPARED {
        let mut rest = fields;
        while let Some(((key, _), after)) = rest.split_first() {
            if after.iter().any(|(other, _)| other == key) {
                return false;
            }
            rest = after;
        }
        return true;
    }
    let mut keys: Vec<&str> = fields.iter().map(|(key, _)| &**key).collect();
    keys.sort_unstable();
    keys.windows(2).all(|pair| pair.first() != pair.last())
}

/// What a plain scalar means, where there is no doubt.
fn plain(text: Cow<'_, str>) -> Option<Content<'_>> {
    match &*text {
        "" | "~" | "null" => return Some(Content::Null),
        "true" => return Some(Content::Bool(true)),
        "false" => return Some(Content::Bool(false)),
        _ => {}
    }
    if text.starts_with(|first: char| first.is_ascii_digit() || "+-.".contains(first)) {
        return number(text);
    }
    let is_word = text.len() <= 5 && WORDS.iter().any(|word| word.eq_ignore_ascii_case(&text));
    (!is_word).then_some(Content::Text(text))
}

/// What a plain scalar means that begins as numbers do.
fn number(text: Cow<'_, str>) -> Option<Content<'_>> {
    let is_decimal = text.bytes().all(|byte| byte.is_ascii_digit());
    if is_decimal && (text.len() == 1 || !text.starts_with('0')) {
        return text.parse::<u64>().ok().map(|number| Content::Number(number.into()));
    }
    // An address, a duration, a time: with two dots, or a letter that is in no number.
    let is_foreign = |one: char| !(one.is_ascii_hexdigit() || "+-._xXoOiInN".contains(one));
    let is_text = text.contains(is_foreign) || text.matches('.').count() > 1;
    is_text.then_some(Content::Text(text))
}
