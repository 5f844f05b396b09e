//! A past decision, told from the log alone: the fold of the entries before it, its question from the evidence, each
//! rule in order; and the same question asked again now.

use policy::decide::{Facts, decide};
use policy::digest::Digest;
use policy::explain as law;
use policy::log::{Body, Ledger, Ruled, leaf_hash};
use policy::name::{ComponentId, Package};
use policy::question::{Question, StartRequest};
use policy::reason::{Reason, Refusal};
use policy::time::Timestamp;
use policy::wire::Nonce;
use serde_json::{Value, json};

use super::explain::{telling, verdict};
use super::{Scene, history};
use crate::error::Error;

pub(super) async fn why(scene: Scene<'_>, about: &str, contract: Option<&Package>) -> Result<Value, Error> {
    let index = find(scene, about, contract).await?;
    let (row, entry, kept) = scene.log.whole(index).await?;
    let mut told = history::tell(&entry, &row.bytes);
    let (Value::Object(members), Body::Ruling(ruled)) = (&mut told, &entry.body) else {
        return Ok(told);
    };
    let mut ledger = scene.fold_before(index).await?;
    ledger.judge_under(entry.law);
    let question = ledger.question_of(&entry, &kept)?;
    let explanation = law::explain(ledger.state(), &question, &ruled.facts, Timestamp::from_millis(entry.at_ms));
    let refusal = explanation.decision.refusal();
    let follows = refusal.map(|refusal| refusal.reason) == ruled.reason
        && explanation.decision.outcomes() == ruled.outcomes.as_slice()
        && explanation.decision.relaxed() == ruled.relaxed.as_slice();
    if let Value::Object(telling) = telling(&explanation) {
        members.extend(telling);
    }
    for (name, value) in [
        ("id", json!(ruled.id)),
        ("subject", json!(question.runs().subject)),
        ("sha256", json!(question.runs().sha256)),
        ("what", json!(ruled.what)),
        ("host", json!(ruled.host)),
        ("assurance", json!(ruled.assurance)),
        ("request_sha256", json!(ruled.request_sha256)),
        ("follows", json!(follows)),
        ("standby", json!(ruled.standby)),
        ("providers", providers(&ledger, ruled)),
        ("again", again(scene, &question, &ruled.facts)),
        ("fix", json!(fix(scene, &question, &ruled.facts))),
    ] {
        if !value.is_null() {
            members.insert(name.to_owned(), value);
        }
    }
    if let Some(contract) = contract {
        only(&mut told, contract);
    }
    Ok(told)
}

// The ids under which the providers of its outcomes were admitted at that time.
fn providers(ledger: &Ledger, ruled: &Ruled) -> Value {
    let granted = ruled.outcomes.iter().filter_map(|outcome| outcome.grant.as_ref().ok());
    let named = granted.filter_map(|grant| {
        let record = ledger.state().providers().get(&grant.sha256)?;
        Some((grant.sha256.to_string(), json!(record.id)))
    });
    Value::Object(named.collect())
}

fn again(scene: Scene<'_>, question: &Question, facts: &Facts) -> Value {
    let decision = decide(scene.state, question, facts, scene.now);
    super::lists::row([
        ("verdict", json!(verdict(&decision))),
        ("reason", json!(decision.refusal().map(|refusal| refusal.reason))),
        ("outcomes", json!(decision.outcomes())),
    ])
}

// What would lift it where it would be refused now; what was refused then and is permitted now needs none.
fn fix(scene: Scene<'_>, question: &Question, facts: &Facts) -> Option<law::Fix> {
    let decision = decide(scene.state, question, facts, scene.now);
    decision.refusal().map(|_| law::fix(scene.state, question, scene.now))
}

// Keeps what concerns one package.
fn only(told: &mut Value, contract: &Package) {
    let is_it = |row: &Value| row.get("package").and_then(Value::as_str) == Some(contract.as_str());
    for path in ["/outcomes", "/rules/imports", "/again/outcomes"] {
        if let Some(Value::Array(rows)) = told.pointer_mut(path) {
            rows.retain(is_it);
        }
    }
}

pub(super) async fn find(scene: Scene<'_>, about: &str, contract: Option<&Package>) -> Result<u64, Error> {
    let size = scene.head.size;
    if let Some(index) = about.parse::<u64>().ok().filter(|index| *index < size) {
        return Ok(index);
    }
    if let Ok(id) = ComponentId::parse(about)
        && let Some(index) = newest_ruling(scene, &id, contract).await?
    {
        return Ok(index);
    }
    let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if about.len() >= SHORTEST && about.bytes().all(is_hex) {
        return by_hash(scene, about).await;
    }
    let about: String = about.chars().take(80).flat_map(char::escape_default).collect();
    let detail = format!(
        "`{about}` is no index below {size}, no start of a hash (8 digits or more), and no id that a ruling is about"
    );
    Err(Refusal::new(Reason::NotFound, detail).into())
}

async fn newest_ruling(scene: Scene<'_>, id: &ComponentId, contract: Option<&Package>) -> Result<Option<u64>, Error> {
    let mut found = None;
    let visited = scene.backwards(u64::MAX, |entry, _| {
        let Body::Ruling(ruled) = &entry.body else {
            return Ok(false);
        };
        // A start that was refused as a whole has no outcomes, and concerns every package.
        let concerns = |package: &Package| ruled.outcomes.iter().any(|outcome| outcome.package == *package);
        if ruled.id == *id && (ruled.outcomes.is_empty() || contract.is_none_or(concerns)) {
            found = Some(entry.index);
        }
        Ok(found.is_some())
    });
    visited.await?;
    Ok(found)
}

async fn by_hash(scene: Scene<'_>, about: &str) -> Result<u64, Error> {
    let nonce = Nonce::parse(about).ok();
    let starts = |digest: &Digest| digest.to_string().starts_with(about);
    let (mut found, mut requests) = (Vec::new(), Vec::new());
    let visited = scene.backwards(u64::MAX, |entry, row| {
        let named = match &entry.body {
            Body::Governance(judged) | Body::Refusal(judged) => {
                starts(&judged.token_sha256) || (nonce.is_some() && judged.id == nonce)
            }
            Body::Ruling(ruled) => {
                requests.extend(nonce.map(|_| entry.index));
                starts(&ruled.request_sha256)
            }
            Body::Inception(_) | Body::Door(_) | Body::Report(_) | Body::Clock(_) | Body::Lost(_) | Body::Freeze(_) => {
                false
            }
        };
        if named || starts(&leaf_hash(&row.bytes)) {
            found.push(entry.index);
        }
        Ok(false)
    });
    visited.await?;
    // The nonce of a request stands in its token.
    for index in requests {
        let token = scene.log.document(index).await?;
        if token.and_then(|token| jti(&token)) == nonce {
            found.push(index);
        }
    }
    match found.as_slice() {
        [] => Err(Refusal::new(Reason::NotFound, format!("no entry, command or request begins with `{about}`")).into()),
        [index] => Ok(*index),
        several => {
            let detail = format!("`{about}` could be any of {several:?}");
            Err(Refusal::new(Reason::Ambiguous, detail).into())
        }
    }
}

fn jti(token: &[u8]) -> Option<Nonce> {
    super::seen::said(token).map(|request: StartRequest| request.jti)
}

// The fewest hex digits that name an entry.
const SHORTEST: usize = 8;
