//! Configuration of links: values that travel beside a command, never in it, and lie sealed in the broker's folder.
//!
//! What is signed, recorded and answered is the SHA-256 of a document that holds the values and a random salt, so that
//! nobody guesses small values from their digest (T69).

mod held;
mod schema;
mod sealed;
mod secret;

use policy::digest::Digest;
use policy::json;
use policy::key::refuse_secrets_in_json;
use policy::name::LinkName;
use policy::reason::{Reason, Refusal};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::Error;
use crate::keys::nonce;

pub(crate) use held::{Found, Held};
pub(crate) use schema::{MAX_SCHEMA, fits};
pub(crate) use sealed::Sealed;

/// The values of one link's configuration, with the salt that hides them in their digest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    salt: policy::wire::Nonce,
    values: Map<String, Value>,
}

impl Config {
    /// Values with a new salt.
    ///
    /// # Errors
    /// `secret_in_input` for what looks like a secret, `json_limit`, `token_oversize`.
    pub(crate) fn new(values: Map<String, Value>) -> Result<Self, Error> {
        let config = Self { salt: nonce()?, values };
        // Whatever the broker would turn away is told before it leaves.
        Ok(Self::read(&config.to_bytes())?)
    }

    /// Reads a document, strictly and within bounds.
    ///
    /// # Errors
    /// As [`Config::new`], and `schema_mismatch`.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, Refusal> {
        if bytes.len() > MAX_CONFIG {
            let detail = format!("{} bytes of configuration, a link has at most {MAX_CONFIG}", bytes.len());
            return Err(Refusal::new(Reason::TokenOversize, detail));
        }
        refuse_secrets_in_json(bytes)?;
        let config: Self = json::read(bytes)?;
        config.values.keys().try_for_each(|name| secret::refuse_name(name))?;
        secret::refuse(&config.values)?;
        if config.to_bytes() != bytes {
            return Err(Refusal::new(Reason::SchemaMismatch, "a configuration is canonical JSON"));
        }
        Ok(config)
    }

    /// The canonical bytes.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        json::write(self)
    }

    /// The values alone.
    pub(crate) fn values(&self) -> Value {
        Value::Object(self.values.clone())
    }
}

/// Whether a line is a configuration: no token and no schema begins so.
pub(crate) fn is_one(line: &[u8]) -> bool {
    line.starts_with(MARK)
}

/// A message as it came: the command, and the configurations below it, each with its digest.
pub(crate) fn parted(message: &[u8]) -> (&[u8], Vec<(Digest, Vec<u8>)>) {
    let mut end = message.len();
    let mut documents = Vec::new();
    for line in message.rsplit(|byte| *byte == b'\n').take(policy::command::MAX_OPERATIONS) {
        if !is_one(line) || line.len() >= end {
            break;
        }
        end -= line.len() + 1;
        documents.push((Digest::of(line), line.to_vec()));
    }
    (message.get(..end).unwrap_or_default(), documents)
}

/// A name that stands for a secret of the provider's host: `secret:NAME`.
pub(crate) fn is_reference(value: &str) -> bool {
    value.strip_prefix("secret:").is_some_and(|name| LinkName::parse(name).is_ok())
}

/// The most bytes of one configuration.
pub(crate) const MAX_CONFIG: usize = 64 * 1024;
const MARK: &[u8] = b"{\"salt\":\"";

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn values(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    fn refused(value: Value) -> Reason {
        match Config::new(values(value)).unwrap_err() {
            Error::Refused(refusal) => refusal.reason,
            other => panic!("{other}"),
        }
    }

    #[test]
    fn t48_what_looks_like_a_secret_is_refused_and_a_reference_is_not() {
        let jwt = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJlLW9mLWl0";
        for secret in [
            json!({"password": "hunter2"}),
            json!({"db": {"api_key": "abc"}}),
            json!({"list": [{"clientSecret": "abc"}]}),
            json!({"url": "postgres://user:hunter2@db/x"}),
            json!({"header": jwt}),
            json!({"aws": "AKIAIOSFODNN7EXAMPLE"}),
            json!({"pem": "-----BEGIN PRIVATE KEY-----"}),
            json!({"auth": "Bearer abcdef"}),
        ] {
            assert_eq!(refused(secret.clone()), Reason::SecretInInput, "{secret}");
        }
        for fine in [
            json!({"password": "secret:db-password", "url": "postgres://db:5432/x"}),
            json!({"bucket": "eu", "keys": 3, "nested": {"deep": [true, "x"]}, "token_lifetime_s": 60}),
            json!({}),
        ] {
            assert!(Config::new(values(fine.clone())).is_ok(), "{fine}");
        }
    }

    #[test]
    fn t48_what_is_huge_or_too_deep_is_refused() {
        let long = "x".repeat(1000);
        let huge: Map<String, Value> = (0..100).map(|number| (format!("n{number}"), json!(long))).collect();
        assert_eq!(refused(Value::Object(huge)), Reason::TokenOversize);
        let deep = (0..20).fold(json!(1), |inner, _| json!([inner]));
        assert_eq!(refused(json!({"deep": deep})), Reason::JsonLimit);
        assert_eq!(refused(json!({"string": "x".repeat(1025)})), Reason::JsonLimit);
    }

    #[test]
    fn the_same_values_have_another_digest_each_time() {
        let one = || Digest::of(&Config::new(values(json!({"bucket": "eu"}))).unwrap().to_bytes());
        assert_ne!(one(), one());
    }

    #[test]
    fn a_message_is_parted_into_the_command_and_what_came_beside_it() {
        let config = Config::new(values(json!({"bucket": "eu"}))).unwrap().to_bytes();
        let message = [b"token\n{\"type\":\"object\"}\n".as_slice(), &config, b"\n", &config].concat();
        let (command, documents) = parted(&message);
        assert_eq!(command, b"token\n{\"type\":\"object\"}");
        assert_eq!(documents.len(), 2);
        for whole in [b"token".as_slice(), b"", b"\n", &config] {
            assert_eq!(parted(whole), (whole, Vec::new()));
        }
    }
}
