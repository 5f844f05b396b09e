//! Words that the rules share when they say what they read. They decide nothing.

use std::fmt;

use crate::artifact::Import;
use crate::govern::State;
use crate::issuer::{Kind, Standing};
use crate::key::{self, Name};
use crate::time::{Timestamp, Validity};

/// At most so many of a list are told.
const TOLD: usize = 8;

/// `a`, `b`; or what is said of none.
pub(super) fn listed<T: fmt::Display>(items: impl IntoIterator<Item = T>, none: &str) -> String {
    let mut items = items.into_iter();
    let told: Vec<String> = items.by_ref().take(TOLD).map(|item| format!("`{item}`")).collect();
    match (told.is_empty(), items.count()) {
        (true, _) => none.to_owned(),
        (false, 0) => told.join(", "),
        (false, more) => format!("{} and {more} more", told.join(", ")),
    }
}

/// An import, or a part of what a provider serves: `package@version` with its interfaces.
pub(crate) fn surface(import: &Import) -> String {
    let version = import.version.as_ref().map(|version| format!("@{version}")).unwrap_or_default();
    format!("`{}{version}` with {}", import.package, listed(&import.interfaces, "no interface"))
}

/// What state knows of an issuer.
pub(super) fn issuer(state: &State, name: &Name<key::Issuer>) -> String {
    let Some(issuer) = state.issuers().find(name) else {
        return format!("issuer `{name}` (not trusted here)");
    };
    let standing = match issuer.standing {
        Standing::Prepared => "prepared".to_owned(),
        Standing::Active => issuer.until.map_or_else(|| "active".to_owned(), |end| format!("active until {end}")),
        Standing::Retired(since) => format!("retired at {since}"),
        Standing::Revoked(since) => format!("revoked at {since}"),
    };
    let (scope, kinds) =
        (listed(&issuer.scope, "nothing"), listed(issuer.kinds.iter().map(|kind: &Kind| kind.word()), "nothing"));
    let lifetime = issuer.max_lifetime_s.map(|longest| format!(", for {longest} s at most")).unwrap_or_default();
    format!("issuer `{name}` ({standing}, has scope {scope}, signs {kinds}{lifetime})")
}

/// Which of the operator's rules stand.
pub(super) fn rules(state: &State) -> String {
    match state.rules() {
        None => "the operator has put no rules".to_owned(),
        Some(rules) => {
            format!("the rules {}, put by entry {}: {}", rules.sha256(), rules.since(), listed(rules.names(), "none"))
        }
    }
}

/// When a statement holds, against the clock that judges.
pub(super) fn holds(validity: &Validity, now: Timestamp) -> String {
    let begins = validity.nbf.map(|nbf| format!(", valid from {nbf}")).unwrap_or_default();
    let ends = validity.exp.map_or_else(|| "without an end".to_owned(), |exp| format!("valid until {exp}"));
    format!("signed at {}{begins}, {ends}; the clock here says {now}", validity.iat)
}
