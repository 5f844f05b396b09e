//! Values that look like secrets: they are references, `secret:NAME`, or they are refused (T48, T69).

use policy::reason::{Reason, Refusal};
use serde_json::{Map, Value};

use super::is_reference;

/// Refuses values that are secrets by their name or by their look.
pub(super) fn refuse(values: &Map<String, Value>) -> Result<(), Refusal> {
    values.iter().try_for_each(|(name, value)| under(name, value))
}

/// Refuses a name that is no name: it comes back in messages.
pub(super) fn refuse_name(name: &str) -> Result<(), Refusal> {
    let shaped = (1..=64).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'/'))
        && !name.contains("..");
    if shaped {
        return Ok(());
    }
    Err(Refusal::new(
        Reason::NameMalformed,
        "a name of configuration is 1 to 64 of `A-Z a-z 0-9 - _ . /`, without `..`",
    ))
}

fn under(name: &str, value: &Value) -> Result<(), Refusal> {
    match value {
        Value::String(text) if is_reference(text) => Ok(()),
        Value::String(text) if names_a_secret(name) && !text.is_empty() => found(name),
        Value::String(text) if looks_secret(text) => found(name),
        Value::Array(items) => items.iter().try_for_each(|item| under(name, item)),
        Value::Object(members) => refuse(members),
        Value::String(_) | Value::Number(_) | Value::Bool(_) | Value::Null => Ok(()),
    }
}

fn found(name: &str) -> Result<(), Refusal> {
    let name: String = name.chars().take(64).flat_map(char::escape_default).collect();
    let detail = format!("the value of `{name}` looks like a secret; write a reference, `secret:NAME`, in its place");
    Err(Refusal::new(Reason::SecretInInput, detail))
}

fn names_a_secret(name: &str) -> bool {
    let bare: String = name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    // The name's end says what it is: a `token_lifetime` is none.
    SECRETS.iter().any(|word| bare.ends_with(word))
}

fn looks_secret(text: &str) -> bool {
    let jwt = text.split_whitespace().any(|word| word.starts_with("eyJ") && word.split('.').count() == 3);
    let access_key = text
        .split(|char: char| !char.is_ascii_alphanumeric())
        .any(|word| word.len() == 20 && (word.starts_with("AKIA") || word.starts_with("ASIA")));
    let authority = text.split_once("://").and_then(|(_, rest)| rest.split(['/', '?', '#']).next());
    let password = authority
        .and_then(|authority| authority.rsplit_once('@'))
        .is_some_and(|(user, _)| user.split_once(':').is_some_and(|(_, password)| !password.is_empty()));
    jwt || access_key || password
}

const SECRETS: [&str; 10] = [
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "apikey",
    "privatekey",
    "accesskey",
    "secretkey",
    "credentials",
];
