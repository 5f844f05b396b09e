//! What each fuzz target does with its bytes: read them as a stranger's, and hold the reader to what it promises.
//!
//! No libfuzzer here: a policy test includes these files and feeds them every committed finding. A body asserts more
//! than the absence of panics: one reading, one canonical text, the same verdict twice, nothing lost on the way.

mod claims;
mod court;
mod documents;
mod files;
mod json;
mod log;
mod names;

/// What one target does with one input.
pub type Body = fn(&[u8]);

/// Every target by its name, which is also that of its corpus and of its folder of findings.
pub const TARGETS: &[(&str, Body)] = &[
    ("answer", documents::answer),
    ("archive", files::archive),
    ("checkpoint", log::checkpoint),
    ("command", documents::command),
    ("contract", claims::contract),
    ("entry", log::entry),
    ("exhibit", log::exhibit),
    ("join_warrant_receipt_view", documents::join_warrant_receipt_view),
    ("json", json::json),
    ("names", names::names),
    ("nkey", names::nkey),
    ("query_root_inventory_withdrawals", documents::query_root_inventory_withdrawals),
    ("question", documents::question),
    ("token_claims", claims::token_claims),
    ("trust", claims::trust),
    ("wasm", files::wasm),
];

/// Feeds one input to the target of that name.
pub fn feed(target: &str, bytes: &[u8]) {
    let body = TARGETS.iter().find(|(name, _)| *name == target).map(|(_, body)| body);
    body.unwrap_or_else(|| panic!("there is no target `{target}`"))(bytes);
}
