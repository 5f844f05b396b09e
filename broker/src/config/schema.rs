//! Whether values fit a JSON Schema: within bounds, in linear time for patterns, and without a look at anything else.
//!
//! A reference out of the schema is refused, never followed: no network and no file is at hand here (T38, T48).

use jsonschema::PatternOptions;
use policy::json::{self, Profile};
use policy::reason::{Reason, Refusal};
use serde_json::Value;

/// The most bytes of a schema.
pub(crate) const MAX_SCHEMA: usize = 64 * 1024;
const MAX_PATTERN: usize = 1 << 20;

/// Judges values by a schema; `whose` names it in the sentence.
///
/// # Errors
/// `config_mismatch` with the place that does not fit, never with its value; `schema_mismatch` and its kin for a schema
/// that cannot be used.
pub(crate) fn fits(schema: &[u8], whose: &str, values: &Value) -> Result<(), Refusal> {
    let unfit =
        |why: String| Refusal::new(Reason::SchemaMismatch, format!("the schema of {whose} cannot be used: {why}"));
    if schema.len() > MAX_SCHEMA {
        return Err(Refusal::new(Reason::TokenOversize, format!("the schema of {whose} has {} bytes", schema.len())));
    }
    json::check(schema, Profile::Any).map_err(|refusal| refusal.within(format!("the schema of {whose}")))?;
    let schema: Value = serde_json::from_slice(schema).map_err(|_| unfit("it is no JSON".to_owned()))?;
    refuse_references(&schema).map_err(unfit)?;
    let patterns = PatternOptions::regex().size_limit(MAX_PATTERN).dfa_size_limit(MAX_PATTERN);
    let built = jsonschema::options().offline().with_pattern_options(patterns).build(&schema);
    let validator = built.map_err(|error| unfit(format!("at `{}`", error.schema_path().as_str())))?;
    validator.validate(values).map_err(|error| {
        let (place, rule) = (error.instance_path().as_str().to_owned(), error.schema_path().as_str().to_owned());
        let place: String =
            format!("`{place}` breaks `{rule}`").chars().take(200).flat_map(char::escape_default).collect();
        Refusal::new(Reason::ConfigMismatch, format!("by the schema of {whose}, {place}"))
    })
}

// Only into `$defs` of the schema itself, and from there no further: nothing is fetched, and nothing goes in circles.
fn refuse_references(schema: &Value) -> Result<(), String> {
    let defined = ["$defs", "definitions"].into_iter().filter_map(|name| schema.get(name));
    for definitions in defined {
        if holds_reference(definitions) {
            return Err("a definition refers to another".to_owned());
        }
    }
    let mut open = vec![schema];
    while let Some(value) = open.pop() {
        match value {
            Value::Object(members) => {
                for (name, member) in members {
                    // A property may well be called `id`; then a schema stands there, and no text.
                    if member.as_str().is_some_and(|text| leads_elsewhere(name, text)) {
                        return Err(format!("`{name}` leads elsewhere"));
                    }
                    open.push(member);
                }
            }
            Value::Array(items) => open.extend(items),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    Ok(())
}

fn leads_elsewhere(name: &str, text: &str) -> bool {
    match name {
        "$schema" => !METASCHEMAS.iter().any(|known| text.trim_end_matches('#') == *known),
        name if REFERENCES.contains(&name) => !(text.starts_with("#/$defs/") || text.starts_with("#/definitions/")),
        _ => false,
    }
}

fn holds_reference(value: &Value) -> bool {
    let refers = |name: &str, member: &Value| member.is_string() && REFERENCES.contains(&name);
    match value {
        Value::Object(members) => members.iter().any(|(name, member)| refers(name, member) || holds_reference(member)),
        Value::Array(items) => items.iter().any(holds_reference),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

const METASCHEMAS: [&str; 5] = [
    "https://json-schema.org/draft/2020-12/schema",
    "https://json-schema.org/draft/2019-09/schema",
    "http://json-schema.org/draft-07/schema",
    "http://json-schema.org/draft-06/schema",
    "http://json-schema.org/draft-04/schema",
];
const REFERENCES: [&str; 5] = ["$ref", "$dynamicRef", "$recursiveRef", "$id", "id"];

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use serde_json::json;

    use super::*;

    fn judged(schema: &Value, values: &Value) -> Option<Reason> {
        fits(&json::write(schema), "the contract", values).err().map(|refusal| refusal.reason)
    }

    #[test]
    fn t48_a_mistyped_value_is_refused_without_being_repeated() {
        let schema = json!({
            "type": "object", "additionalProperties": false, "required": ["bucket"],
            "properties": {"bucket": {"type": "string", "maxLength": 8}, "size": {"$ref": "#/$defs/size"}, "id": {}},
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "$defs": {"size": {"type": "integer", "minimum": 1}},
        });
        assert_eq!(judged(&schema, &json!({"bucket": "eu", "size": 3})), None);
        for wrong in
            [json!({}), json!({"bucket": 3}), json!({"bucket": "eu", "size": 0}), json!({"bucket": "eu", "x": 1})]
        {
            assert_eq!(judged(&schema, &wrong), Some(Reason::ConfigMismatch), "{wrong}");
        }
        let long = fits(&json::write(&schema), "the contract", &json!({"bucket": "quite-private"})).unwrap_err();
        assert!(!long.detail.contains("quite-private") && long.detail.contains("/bucket"), "{long}");
    }

    #[test]
    fn t48_a_reference_to_elsewhere_is_refused_and_nothing_is_fetched() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let here = listener.local_addr().unwrap();
        for schema in [
            json!({"$ref": format!("http://{here}/schema.json")}),
            json!({"properties": {"a": {"$ref": format!("http://{here}/schema.json#/a")}}}),
            json!({"$id": format!("http://{here}/base"), "type": "object"}),
            json!({"$schema": format!("http://{here}/meta"), "type": "object"}),
            json!({"$ref": "file:///etc/passwd"}),
            json!({"$dynamicRef": "other.json"}),
        ] {
            assert_eq!(judged(&schema, &json!({})), Some(Reason::SchemaMismatch), "{schema}");
        }
        assert_eq!(listener.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock, "somebody called");
    }

    #[test]
    fn t48_a_schema_that_goes_in_circles_is_refused() {
        for schema in [
            json!({"$ref": "#"}),
            json!({"allOf": [{"$ref": "#/allOf/0"}]}),
            json!({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}}),
        ] {
            assert_eq!(judged(&schema, &json!({})), Some(Reason::SchemaMismatch), "{schema}");
        }
    }

    #[test]
    fn t48_a_hostile_pattern_costs_no_time() {
        let schema = json!({"properties": {"a": {"type": "string", "pattern": "^(a+)+$"}}});
        let began = std::time::Instant::now();
        assert_eq!(judged(&schema, &json!({"a": format!("{}!", "a".repeat(900))})), Some(Reason::ConfigMismatch));
        assert!(began.elapsed() < std::time::Duration::from_secs(20));
        let huge = json!({"properties": {"a": {"pattern": "((a{1,500}){1,500}){1,500}"}}});
        assert_eq!(judged(&huge, &json!({"a": "a"})), Some(Reason::SchemaMismatch));
    }

    #[test]
    fn t48_a_huge_or_deep_schema_is_refused() {
        let huge = json!({"enum": (0..4000).map(|number| format!("value number {number}")).collect::<Vec<_>>()});
        assert_eq!(judged(&huge, &json!({})), Some(Reason::TokenOversize));
        let deep = (0..20).fold(json!({}), |inner, _| json!({"not": inner}));
        assert_eq!(judged(&deep, &json!({})), Some(Reason::JsonLimit));
    }
}
