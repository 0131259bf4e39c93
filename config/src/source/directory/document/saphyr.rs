//! Any YAML, read by serde-saphyr.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::Number;
use serde_saphyr::Spanned;

use super::{Content, Node, Part, Wrong};

/// The documents of a part, or what is wrong with it.
pub(super) fn documents((before, text): Part<'_>) -> Result<Vec<Node<'_>>, Wrong> {
    let mut documents: Vec<Node<'_>> =
        serde_saphyr::from_multiple(text).map_err(|error| wrong(before, &error))?;
    for document in &mut documents {
        document.shift(before);
    }
    Ok(documents)
}

fn wrong(before: u32, error: &serde_saphyr::Error) -> Wrong {
    let location = error.location();
    let line = location.and_then(|location| u32::try_from(location.line()).ok()).unwrap_or(1);
    Wrong { line: before + line, message: error.without_snippet().to_string() }
}

impl Node<'_> {
    /// Puts it that many lines further down.
    fn shift(&mut self, lines: u32) {
        self.line += lines;
        match &mut self.content {
            Content::List(items) => items.iter_mut().for_each(|item| item.shift(lines)),
            Content::Map(fields) => fields.iter_mut().for_each(|(_, field)| field.shift(lines)),
            Content::Null | Content::Bool(_) | Content::Number(_) | Content::Text(_) => {}
        }
    }
}

impl<'de> Deserialize<'de> for Node<'_> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Content<'_>>::deserialize(deserializer)?;
        let line = u32::try_from(spanned.referenced.line()).unwrap_or(u32::MAX);
        Ok(Self { line, content: spanned.value })
    }
}

impl<'de> Deserialize<'de> for Content<'_> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ContentVisitor)
    }
}

struct ContentVisitor;

impl<'de> Visitor<'de> for ContentVisitor {
    type Value = Content<'static>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value that JSON has too")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Content::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
        Ok(Content::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
        Ok(Content::Number(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Self::Value, E> {
        let number = Number::from_f64(value).ok_or_else(|| E::custom("not a finite number"))?;
        Ok(Content::Number(number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
        Ok(Content::Text(value.to_owned().into()))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Content::Null)
    }

    fn visit_none<E>(self) -> Result<Self::Value, E> {
        Ok(Content::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        Content::deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Content::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Self::Value, A::Error> {
        let mut map = Vec::new();
        while let Some((key, node)) = fields.next_entry::<String, Node<'_>>()? {
            map.push((key.into(), node));
        }
        Ok(Content::Map(map))
    }
}
