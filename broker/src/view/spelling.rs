//! How members of a view are spelled for people.

use policy::artifact::Import;
use serde_json::Value;

/// A package at a version with its interfaces, as people write it.
pub fn spelled(import: &Import) -> String {
    let names: Vec<&str> = import.interfaces.iter().map(policy::name::InterfaceName::as_str).collect();
    let interfaces = match names.as_slice() {
        [only] => (*only).to_owned(),
        several => format!("{{{}}}", several.join(",")),
    };
    let version = import.version.as_ref().map(|version| format!("@{version}")).unwrap_or_default();
    format!("{}/{interfaces}{version}", import.package)
}

/// A member of a view as text; nothing where it is absent.
pub fn cell(row: &Value, member: &str) -> String {
    match row.get(member) {
        None => String::new(),
        Some(value) => text(value),
    }
}

/// A value of a view as text.
pub fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Bool(truth) => if *truth { "yes" } else { "no" }.to_owned(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(text).collect::<Vec<_>>().join(", "),
        Value::Object(members) => {
            members.iter().map(|(name, value)| format!("{name}={}", text(value))).collect::<Vec<_>>().join(", ")
        }
    }
}

/// The rows of a view's list.
pub fn rows<'a>(view: &'a Value, list: &str) -> &'a [Value] {
    view.get(list).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}
