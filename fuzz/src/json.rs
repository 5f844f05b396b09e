//! The strict JSON reader against serde's, and the canonical writer against both.
//!
//! Also what other bodies need to compare documents as values.

use policy::json::{Profile, check, read, write};
use serde_json::Value;

/// Any bytes, under every profile.
pub(super) fn json(bytes: &[u8]) {
    let own = check(bytes, Profile::Own);
    let claims = check(bytes, Profile::Claims);
    let any = check(bytes, Profile::Any);
    assert_eq!(own, check(bytes, Profile::Own));
    // Each profile admits what the stricter one does.
    assert!(own.is_err() || claims.is_ok());
    assert!(claims.is_err() || any.is_ok());
    let Ok(()) = any else { return };
    let value: Value = serde_json::from_slice(bytes).expect("what is admitted is JSON");
    // Serde rounds a long fraction the last bit either way, so only whole numbers have one text.
    if holds_fraction(&value) {
        assert!(own.is_err());
        return;
    }
    let written = write(&value);
    for profile in [Profile::Own, Profile::Claims, Profile::Any] {
        assert_eq!(check(&written, profile).is_ok(), check(bytes, profile).is_ok(), "{profile:?}");
    }
    assert!(written.iter().all(|byte| (b' '..=b'~').contains(byte)));
    let again: Value = serde_json::from_slice(&written).expect("what is written is JSON");
    assert_eq!(again, value);
    assert_eq!(write(&again), written);
    if own.is_ok() {
        assert_eq!(read::<Value>(bytes).expect("what is admitted has a value"), value);
        assert!(!holds_null(&value));
    }
}

/// The value of a text, without what its reader may leave out when it writes it: `false`, `null`, empty lists and maps,
/// and the order and repetition of what is a set. None when it holds a fraction.
pub(super) fn meaning(payload: &[u8]) -> Option<Value> {
    let value: Value = serde_json::from_slice(payload).expect("a strict reader took it");
    (!holds_fraction(&value)).then(|| plain(value))
}

fn plain(value: Value) -> Value {
    match value {
        Value::Array(items) => {
            let mut items: Vec<_> = items.into_iter().map(plain).collect();
            items.sort_by_key(Value::to_string);
            items.dedup();
            Value::Array(items)
        }
        Value::Object(members) => {
            let members = members.into_iter().map(|(name, member)| (name, plain(member)));
            Value::Object(members.filter(|(_, member)| !is_nothing(member)).collect())
        }
        other => other,
    }
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
        Value::Bool(true) | Value::Number(_) | Value::String(_) => false,
    }
}

fn holds_fraction(value: &Value) -> bool {
    holds(value, &|value| value.as_number().is_some_and(serde_json::Number::is_f64))
}

fn holds_null(value: &Value) -> bool {
    holds(value, &Value::is_null)
}

fn holds(value: &Value, what: &dyn Fn(&Value) -> bool) -> bool {
    match value {
        Value::Array(items) => items.iter().any(|item| holds(item, what)),
        Value::Object(members) => members.values().any(|member| holds(member, what)),
        other => what(other),
    }
}
