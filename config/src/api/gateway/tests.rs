//! The generated types are those of the release: field for field, value for value.
//!
//! `fields.txt` says what the release's definitions have; its first page says how it is made.

use std::collections::BTreeMap;

use regex::Regex;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::*;

const FIELDS: &str = include_str!("fields.txt");
/// The release that the types are generated from.
const RELEASE: &str = "v1.7.0";

/// Kind, name of the generated types, generated text.
const GENERATED: [(&str, &str, &str); 5] = [
    ("GatewayClass", "GatewayClass", include_str!("gatewayclass.rs")),
    ("Gateway", "Gateway", include_str!("gateway.rs")),
    ("HTTPRoute", "HttpRoute", include_str!("httproute.rs")),
    ("ReferenceGrant", "ReferenceGrant", include_str!("referencegrant.rs")),
    ("TLSRoute", "TlsRoute", include_str!("tlsroute.rs")),
];

/// A field as the release defines it: its path below the kind, whether it must be there, its type.
type Field = (&'static str, bool, &'static str);

fn defined(kind: &str) -> Vec<Field> {
    let of_kind = FIELDS.lines().filter_map(|line| line.strip_prefix(kind)?.strip_prefix(' '));
    let field = |line: &'static str| {
        let (path, rest) = line.split_once(' ').expect("a path, then more");
        let (need, type_) = rest.split_once(' ').expect("a need, then a type");
        (path, need == "required", type_)
    };
    of_kind.map(field).collect()
}

/// The generated text of one kind, read.
#[derive(Default)]
struct Types {
    /// Of each struct its fields: name, whether it is an option, type.
    structs: BTreeMap<String, Vec<(String, bool, String)>>,
    enums: BTreeMap<String, Vec<String>>,
    numbers: Vec<String>,
}

impl Types {
    fn read(text: &str) -> Self {
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let item = Regex::new(r"pub (struct|enum) (\w+) \{ (.*?) \}").expect("a pattern");
        let number = Regex::new(r"pub type (\w+) = i64;").expect("a pattern");
        let mut types = Self::default();
        for found in item.captures_iter(&text) {
            let (name, body) = (found[2].to_owned(), &found[3]);
            if &found[1] == "struct" {
                types.structs.insert(name, fields_of(body));
            } else {
                types.enums.insert(name, variants_of(body));
            }
        }
        types.numbers = number.captures_iter(&text).map(|found| found[1].to_owned()).collect();
        types
    }

    /// The lines of `fields.txt` that these types deserve.
    fn below(&self, path: &str, name: &str, lines: &mut Vec<String>) {
        for (field, optional, type_) in &self.structs[name] {
            let (path, need) =
                (format!("{path}.{field}"), if *optional { "optional" } else { "required" });
            lines.push(format!("{path} {need} {}", self.type_of(type_)));
            let (inner, path) = match inner(type_, "Vec") {
                Some(inner) => (inner, format!("{path}[]")),
                None => (type_.as_str(), path),
            };
            if self.structs.contains_key(inner) {
                self.below(&path, inner, lines);
            }
        }
    }

    fn type_of(&self, type_: &str) -> String {
        if let Some(inner) = inner(type_, "Vec") {
            return format!("list of {}", self.type_of(inner));
        }
        match type_ {
            "BTreeMap<String,String>" => "map of string".to_owned(),
            "Condition" => "condition".to_owned(),
            "String" => "string".to_owned(),
            "bool" => "boolean".to_owned(),
            "i32" => "int32".to_owned(),
            "i64" => "int64".to_owned(),
            number if self.numbers.iter().any(|one| one == number) => "int64".to_owned(),
            name => match self.enums.get(name) {
                Some(values) => format!("one of {}", values.join(" ")),
                None if self.structs.contains_key(name) => "object".to_owned(),
                None => format!("unknown {name}"),
            },
        }
    }
}

fn inner<'t>(type_: &'t str, of: &str) -> Option<&'t str> {
    type_.strip_prefix(of)?.strip_prefix('<')?.strip_suffix('>')
}

fn fields_of(body: &str) -> Vec<(String, bool, String)> {
    let field = Regex::new(r"(?:#\[serde\(([^\]]*)\)\] )?pub (?:r#)?(\w+): ([^#]*?),(?: |$)");
    let fields = field.expect("a pattern");
    let read = |found: regex::Captures<'_>| {
        let renamed = found.get(1).and_then(|said| renamed(said.as_str()));
        let (name, type_) = (renamed.unwrap_or_else(|| found[2].to_owned()), &found[3]);
        let optional = inner(type_, "Option");
        (name, optional.is_some(), optional.unwrap_or(type_).to_owned())
    };
    // Of a map the type has a comma of its own.
    fields.captures_iter(&body.replace("String, String", "String,String")).map(read).collect()
}

fn variants_of(body: &str) -> Vec<String> {
    let variant = Regex::new(r"(?:#\[serde\(([^\]]*)\)\] )?(\w+),").expect("a pattern");
    let read = |found: regex::Captures<'_>| {
        let renamed = found.get(1).and_then(|said| renamed(said.as_str()));
        renamed.unwrap_or_else(|| found[2].to_owned())
    };
    variant.captures_iter(body).map(read).collect()
}

fn renamed(said: &str) -> Option<String> {
    let (_, name) = said.split_once("rename = \"")?;
    Some(name.trim_end_matches('"').to_owned())
}

#[test]
fn generated_types_have_the_fields_of_the_release_and_no_others() {
    for (kind, name, text) in GENERATED {
        let types = Types::read(text);
        let mut generated = Vec::new();
        for part in ["Spec", "Status"] {
            let root = format!("{name}{part}");
            if types.structs.contains_key(&root) {
                types.below(&format!("{kind} {}", part.to_lowercase()), &root, &mut generated);
            }
        }
        let prefix = format!("{kind} ");
        let mut defined: Vec<_> =
            FIELDS.lines().filter(|line| line.starts_with(&prefix)).map(str::to_owned).collect();
        generated.sort();
        defined.sort();
        let only = |these: &[String], those: &[String]| {
            these.iter().filter(|line| !those.contains(line)).cloned().collect::<Vec<_>>()
        };
        assert_eq!(only(&generated, &defined), [""; 0], "only generated");
        assert_eq!(only(&defined, &generated), [""; 0], "only defined");
        assert!(!generated.is_empty(), "{kind}");
    }
}

#[test]
fn the_fields_are_those_of_the_release() {
    let heads: Vec<_> = FIELDS.lines().filter(|line| line.starts_with('#')).collect();
    let expected: Vec<_> =
        GENERATED.map(|(kind, ..)| format!("# {kind} v1 of release {RELEASE}, standard")).into();
    assert_eq!(heads, expected);
}

/// An object of the kind with every field that there is.
fn whole(kind: &str) -> Value {
    let mut object = json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": kind,
        "metadata": {"name": "all"}, "spec": {},
    });
    for (path, _, type_) in defined(kind) {
        if path.starts_with("status.") && object.get("status").is_none() {
            object["status"] = Map::new().into();
        }
        *place(&mut object, path) = value(type_);
    }
    object
}

/// Where the field stands, in the first of each list.
fn place<'o>(object: &'o mut Value, path: &str) -> &'o mut Value {
    path.split('.').fold(object, |object, part| match part.strip_suffix("[]") {
        Some(name) => &mut object[name][0],
        None => &mut object[part],
    })
}

fn value(type_: &str) -> Value {
    if let Some(element) = type_.strip_prefix("list of ") {
        return json!([value(element)]);
    }
    match type_ {
        "object" => json!({}),
        "map of string" => json!({"key": "value"}),
        "boolean" => json!(true),
        "int32" | "int64" => json!(7),
        "string" => json!("text"),
        "condition" => json!({
            "type": "Ready", "status": "True", "reason": "Ready", "message": "m",
            "observedGeneration": 1, "lastTransitionTime": "2026-01-01T00:00:00Z",
        }),
        other => match other.strip_prefix("one of ").and_then(|all| all.split(' ').next()) {
            Some(first) => json!(first),
            None => panic!("no value for {other}"),
        },
    }
}

/// Reads the object as a `T` and writes it again.
fn through<T: DeserializeOwned + Serialize>(object: &Value) -> Result<Value, serde_json::Error> {
    let read: T = serde_json::from_value(object.clone())?;
    serde_json::to_value(read)
}

fn check<T: DeserializeOwned + Serialize>(kind: &str) {
    let object = whole(kind);
    assert_eq!(through::<T>(&object).expect("each field can be read"), object);
    for (path, required, type_) in defined(kind) {
        for value in type_.strip_prefix("one of ").into_iter().flat_map(|all| all.split(' ')) {
            let mut other = object.clone();
            *place(&mut other, path) = value.into();
            assert_eq!(through::<T>(&other).expect(value), other, "{kind} {path}");
            *place(&mut other, path) = "Unheard".into();
            assert!(through::<T>(&other).is_err(), "{kind} {path} takes what nobody defined");
        }
        let mut without = object.clone();
        let (parent, name) = path.rsplit_once('.').expect("it is below spec or status");
        place(&mut without, parent).as_object_mut().expect("an object").remove(name);
        assert_eq!(through::<T>(&without).is_err(), required, "{kind} without {path}");
    }
}

#[test]
fn an_object_with_every_field_is_read_whole() {
    check::<GatewayClass>("GatewayClass");
    check::<Gateway>("Gateway");
    check::<HttpRoute>("HTTPRoute");
    check::<ReferenceGrant>("ReferenceGrant");
    check::<TlsRoute>("TLSRoute");
}
