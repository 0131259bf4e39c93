//! YAML documents that remember on which line each of their fields stands.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use serde_saphyr::Spanned;

/// A value and its line.
#[derive(Debug)]
pub(super) struct Node {
    /// The line, from 1.
    pub(super) line: u32,
    content: Content,
}

#[derive(Debug)]
enum Content {
    Scalar(Value),
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

impl Node {
    /// The documents of a file; a document of nothing but comments is none.
    pub(super) fn documents(text: &str) -> Result<Vec<Self>, serde_saphyr::Error> {
        serde_saphyr::from_multiple(text)
    }

    /// The document of a file that we wrote, one object as JSON, which takes a fraction of the time
    /// of YAML. All of it stands on one line.
    pub(super) fn made(text: &str) -> Option<Self> {
        let value = serde_json::from_str(text).ok()?;
        Some(Self { line: 1, content: Content::Scalar(value) })
    }

    /// The value without its lines.
    pub(super) fn value(&self) -> Value {
        match &self.content {
            Content::Scalar(value) => value.clone(),
            Content::List(items) => items.iter().map(Self::value).collect(),
            Content::Map(fields) => Value::Object(
                fields.iter().map(|(key, node)| (key.clone(), node.value())).collect::<Map<_, _>>(),
            ),
        }
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

    fn child(&self, step: &str) -> Option<&Self> {
        match &self.content {
            Content::Scalar(_) => None,
            Content::List(items) => items.get(step.parse::<usize>().ok()?),
            Content::Map(fields) => {
                fields.iter().find(|(key, _)| key == step).map(|(_, node)| node)
            }
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Content>::deserialize(deserializer)?;
        let line = u32::try_from(spanned.referenced.line()).unwrap_or(u32::MAX);
        Ok(Self { line, content: spanned.value })
    }
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ContentVisitor)
    }
}

struct ContentVisitor;

impl<'de> Visitor<'de> for ContentVisitor {
    type Value = Content;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value that JSON has too")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Content, E> {
        Ok(Content::Scalar(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Content, E> {
        Ok(Content::Scalar(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Content, E> {
        Ok(Content::Scalar(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Content, E> {
        let number = Number::from_f64(value).ok_or_else(|| E::custom("not a finite number"))?;
        Ok(Content::Scalar(number.into()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Content, E> {
        Ok(Content::Scalar(value.into()))
    }

    fn visit_unit<E>(self) -> Result<Content, E> {
        Ok(Content::Scalar(Value::Null))
    }

    fn visit_none<E>(self) -> Result<Content, E> {
        Ok(Content::Scalar(Value::Null))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Content, D::Error> {
        Content::deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Content, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Content::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Content, A::Error> {
        let mut map: Vec<(String, Node)> = Vec::new();
        while let Some((key, node)) = fields.next_entry::<String, Node>()? {
            map.push((key, node));
        }
        Ok(Content::Map(map))
    }
}
