//! Prints the fields of the Gateway API's objects, one a line, from a release's definitions.
//!
//! ```sh
//! cargo run --package spanway-config --bin gateway_fields -- config/crd/standard \
//!     > config/src/api/gateway/fields.txt
//! ```
//!
//! with `config/crd/standard` of a checkout of `sigs.k8s.io/gateway-api`. A test compares our
//! generated types with what is printed.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use serde_json::Value;

/// The kinds of which types are generated, by plural.
const PLURALS: [&str; 5] =
    ["gatewayclasses", "gateways", "httproutes", "referencegrants", "tlsroutes"];
/// The version of each that is generated.
const VERSION: &str = "v1";
/// Who has these fields is a condition, for which there is a type already.
const CONDITION: [&str; 6] =
    ["lastTransitionTime", "message", "observedGeneration", "reason", "status", "type"];

fn main() -> ExitCode {
    let Some(folder) = std::env::args_os().nth(1) else {
        drop(writeln!(std::io::stderr(), "usage: gateway_fields FOLDER"));
        return ExitCode::from(2);
    };
    let read = |plural: &&str| {
        let file = Path::new(&folder).join(format!("gateway.networking.k8s.io_{plural}.yaml"));
        let text = std::fs::read_to_string(&file)
            .map_err(|error| format!("cannot read {}: {error}", file.display()))?;
        let definition: Value = serde_saphyr::from_str(&text)
            .map_err(|error| format!("{}: {error}", file.display()))?;
        fields(&definition).ok_or_else(|| format!("{} defines no {VERSION}", file.display()))
    };
    let printed = PLURALS.iter().map(read).collect::<Result<Vec<_>, _>>().and_then(|kinds| {
        let text = kinds.concat().join("\n") + "\n";
        std::io::stdout().write_all(text.as_bytes()).map_err(|error| error.to_string())
    });
    match printed {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Where standard error is gone too, the exit code alone has to do.
            drop(writeln!(std::io::stderr(), "{error}"));
            ExitCode::FAILURE
        }
    }
}

/// The lines of one definition: its release, then its fields.
fn fields(definition: &Value) -> Option<Vec<String>> {
    let annotation = |name: &str| {
        let path = format!("/metadata/annotations/gateway.networking.k8s.io~1{name}");
        definition.pointer(&path).and_then(Value::as_str)
    };
    let kind = definition.pointer("/spec/names/kind")?.as_str()?;
    let versions = definition.pointer("/spec/versions")?.as_array()?;
    let version =
        versions.iter().find(|one| one.get("name").and_then(Value::as_str) == Some(VERSION))?;
    let schema = version.pointer("/schema/openAPIV3Schema/properties")?;
    let release = (annotation("bundle-version")?, annotation("channel")?);
    let mut lines = vec![format!("# {kind} {VERSION} of release {}, {}", release.0, release.1)];
    for part in ["spec", "status"] {
        if let Some(schema) = schema.get(part) {
            below(&format!("{kind} {part}"), schema, &mut lines);
        }
    }
    Some(lines)
}

/// The lines of what is below an object.
fn below(path: &str, schema: &Value, lines: &mut Vec<String>) {
    let required = schema.get("required").and_then(Value::as_array);
    let is_required = |name: &str| required.is_some_and(|names| names.iter().any(|it| it == name));
    for (name, schema) in schema.get("properties").and_then(Value::as_object).into_iter().flatten()
    {
        let (path, need) =
            (format!("{path}.{name}"), if is_required(name) { "required" } else { "optional" });
        lines.push(format!("{path} {need} {}", type_of(schema)));
        match schema.get("items") {
            Some(items) if type_of(items) == "object" => below(&format!("{path}[]"), items, lines),
            None if type_of(schema) == "object" => below(&path, schema, lines),
            _ => {}
        }
    }
}

fn type_of(schema: &Value) -> String {
    let text = |field: &str| schema.get(field).and_then(Value::as_str);
    match (text("type"), schema.get("items"), schema.get("additionalProperties")) {
        // kopium leaves the values of a list's elements open.
        (Some("array"), Some(items), _) if items.get("enum").is_some() => {
            "list of string".to_owned()
        }
        (Some("array"), Some(items), _) => format!("list of {}", type_of(items)),
        (Some("object"), _, Some(values)) => format!("map of {}", type_of(values)),
        (Some("object"), ..) if is_condition(schema) => "condition".to_owned(),
        (Some("integer"), ..) => text("format").unwrap_or("int64").to_owned(),
        (Some("string"), ..) => match schema.get("enum").and_then(Value::as_array) {
            Some(values) => values
                .iter()
                .filter_map(Value::as_str)
                .fold("one of".to_owned(), |all, value| all + " " + value),
            None => "string".to_owned(),
        },
        (type_, ..) => type_.unwrap_or("unknown").to_owned(),
    }
}

fn is_condition(schema: &Value) -> bool {
    let names = schema.get("properties").and_then(Value::as_object);
    let names: BTreeSet<&str> = names.into_iter().flatten().map(|(name, _)| &**name).collect();
    names == CONDITION.into()
}
