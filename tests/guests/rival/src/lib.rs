//! The logger's source with another prefix: same exports and imports, other bytes.

#[path = "../../logger/src/provider.rs"]
mod provider;

const PREFIX: &str = "rival-log";
