//! Who commands, how many must sign what, and which commands wait.

use data_encoding::BASE64;
use policy::command::Command;
use policy::envelope::Unverified;
use policy::govern::{AdminRecord, State, Waiting, Weighty};
use policy::log::{Body, Entry};
use policy::reason::{Reason, Refusal};
use policy::time::Timestamp;
use policy::wire::Nonce;
use serde_json::{Value, json};

use super::Scene;
use super::lists::row;
use super::page::Room;
use crate::error::Error;

pub(super) fn administrators(state: &State, now: Timestamp) -> Value {
    let rows = state.administrators().iter().map(|(key, record)| {
        row([
            ("key", json!(key)),
            ("name", json!(record.name)),
            ("roles", json!(record.roles)),
            ("standing", json!(standing(record, now))),
            ("end", json!(record.until)),
        ])
    });
    let thresholds = Weighty::ALL.map(|class| json!({"class": class, "threshold": state.needed(class)}));
    let operators = state.administrators().lasting_operators();
    json!({"administrators": rows.collect::<Vec<_>>(), "thresholds": thresholds, "operators": operators})
}

fn standing(record: &AdminRecord, now: Timestamp) -> &'static str {
    match (record.removed, record.stands(now)) {
        (true, _) => "removed",
        (false, true) => IN_OFFICE,
        (false, false) => "ended",
    }
}

pub(super) async fn pending(scene: Scene<'_>, id: Option<Nonce>) -> Result<Value, Error> {
    let waiting = scene.state.waiting().iter().filter(|(_, waiting)| waiting.lack.until >= scene.now);
    let meant = waiting.filter(|(of, _)| id.is_none_or(|id| id == **of));
    let (mut rows, mut room) = (Vec::new(), Room::of(None));
    for (of, waiting) in meant {
        rows.push(tell(scene, *of, waiting, id.is_some(), &mut room).await?);
    }
    match id.filter(|_| rows.is_empty()) {
        None => Ok(json!({"pending": rows})),
        Some(id) => Err(Refusal::new(Reason::NotFound, format!("no command {id} waits, or it has ended")).into()),
    }
}

async fn tell(scene: Scene<'_>, id: Nonce, waiting: &Waiting, whole: bool, room: &mut Room) -> Result<Value, Error> {
    let found = scene.log.row(waiting.index).await?;
    let found = found.ok_or_else(|| Error::refused(Reason::LogBroken, format!("row {} is missing", waiting.index)))?;
    let entry = Entry::read(&found.bytes)?;
    let because = match &entry.body {
        Body::Governance(judged) => judged.because.clone(),
        _ => None,
    };
    let kept = scene.log.kept(&entry).await?;
    let pieces: Vec<Vec<u8>> =
        entry.evidence.iter().filter_map(|sha256| policy::log::Evidences::find(&kept, *sha256)).collect();
    let author = waiting.signers.first();
    let known = author.and_then(|signer| scene.state.administrators().iter().find(|(key, _)| **key == signer.key));
    let (operations, more) = asked(&pieces, room).unzip();
    Ok(row([
        ("id", json!(id)),
        ("by", json!(author.map(|signer| signer.key))),
        ("name", json!(author.and_then(|signer| signer.name.clone()))),
        ("standing", json!(known.map(|(_, record)| standing(record, scene.now)))),
        ("at", json!(entry.at_ms / 1000)),
        ("because", json!(because)),
        ("operations", json!(operations)),
        ("operations_more", json!(more.filter(|more| *more > 0))),
        ("signed", json!(waiting.signers.iter().map(|signer| signer.key).collect::<Vec<_>>())),
        ("missing", json!(waiting.lack.missing)),
        ("roles", json!(waiting.lack.roles)),
        ("not_after", json!(waiting.lack.until)),
        ("sha256", json!(waiting.sha256)),
        ("index", json!(waiting.index)),
        (
            "pieces",
            if whole {
                json!(pieces.iter().map(|bytes| BASE64.encode(bytes)).collect::<Vec<_>>())
            } else {
                Value::Null
            },
        ),
    ]))
}

// What is proposed, as far as there is room, and how much more it is; nothing where the command itself is not at hand.
fn asked(pieces: &[Vec<u8>], room: &mut Room) -> Option<(Vec<Value>, usize)> {
    let command = Unverified::<Command>::parse(&pieces.join(&b'\n')).ok()?;
    let all = &command.says().operations;
    let mut told = Vec::new();
    for operation in all.iter().filter_map(|operation| serde_json::to_value(operation).ok()) {
        if room.is_full() {
            break;
        }
        room.take(&operation);
        told.push(operation);
    }
    let more = all.len() - told.len();
    Some((told, more))
}

/// How an administrator stands who may sign.
pub const IN_OFFICE: &str = "in office";
