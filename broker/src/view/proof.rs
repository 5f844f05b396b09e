//! Proofs over the log: that an entry is in a tree, that a tree grew out of another, and one entry with all its proof.

use data_encoding::BASE64;
use policy::digest::Digest;
use policy::govern::Event;
use policy::lineage::Changes;
use policy::log::{Body, Entry, Evidences, Exhibit, NoteKey};
use policy::reason::{Reason, Refusal};
use serde_json::{Value, json};

use super::lists::row;
use super::{Scene, why};
use crate::error::Error;
use crate::store::{Claim, Kept, Row, says};

pub(super) async fn proof(
    scene: Scene<'_>,
    index: Option<u64>,
    size: Option<u64>,
    from: Option<u64>,
) -> Result<Value, Error> {
    let claim = Claim { size: size.unwrap_or(scene.head.size), index, from };
    let shown = scene.log.prove(claim, (scene.head.size, scene.root)).await?;
    let (leaf, inclusion) = shown.entry.unzip();
    let (old, consistency) = shown.from.unzip();
    Ok(row([
        ("size", json!(claim.size)),
        ("root", json!(shown.root)),
        ("index", json!(index)),
        ("entry_sha256", json!(leaf)),
        ("inclusion", json!(inclusion)),
        ("from", json!(from)),
        ("from_root", json!(old)),
        ("consistency", json!(consistency)),
    ]))
}

/// One entry with everything that proves it to whoever has the lattice's digest alone.
pub(super) async fn prove(scene: Scene<'_>, about: &str) -> Result<Value, Error> {
    let index = why::find(scene, about, None).await?;
    let note = scene.log.shelf().newest();
    let note = note.ok_or_else(|| Error::refused(Reason::NotFound, "no signed checkpoint is beside the log"))?;
    let note =
        String::from_utf8(note).map_err(|_| Error::refused(Reason::ProofInvalid, "the checkpoint is no text"))?;
    let signed = says(note.as_bytes()).unwrap_or_default();
    if signed <= index {
        let detail = format!(
            "the newest signed checkpoint is of {signed} entries, and entry {index} is not among them: a running broker \
             signs one each second, and the next command does"
        );
        return Err(Error::refused(Reason::NotFound, detail));
    }
    let Papers { inception, roots, warrant, log_key } = papers(scene, signed).await?;
    let checkpoint = NoteKey::parse(&log_key)?.open(note.as_bytes())?;
    let claim = Claim { size: checkpoint.size, index: Some(index), from: None };
    let shown = scene.log.prove(claim, (checkpoint.size, checkpoint.root)).await?;
    let (found, entry, kept) = scene.log.whole(index).await?;
    let exhibit = Exhibit {
        checkpoint: note,
        entry: text(found.bytes)?,
        evidence: pieces(&entry, &kept)?.iter().map(|piece| BASE64.encode(piece)).collect(),
        format: Exhibit::FORMAT.to_owned(),
        inception,
        inclusion: shown.entry.map(|(_, proof)| proof).unwrap_or_default(),
        roots,
        warrant,
    };
    Ok(json!(exhibit))
}

// What leads from the lattice's digest to the key of its log.
struct Papers {
    inception: String,
    roots: Changes,
    warrant: String,
    log_key: String,
}

async fn papers(scene: Scene<'_>, size: u64) -> Result<Papers, Error> {
    let (mut changes, mut warrant) = (Vec::new(), None);
    let (Row { bytes: inception, .. }, first, _) = scene.log.whole(0).await?;
    let Body::Inception(begun) = first.body else {
        return Err(Error::refused(Reason::LogBroken, "the first entry is no inception"));
    };
    let mut log_key = begun.log_key;
    let visited = scene.resting(size, |entry| {
        let Body::Governance(judged) = &entry.body else { return };
        for event in &judged.events {
            match event {
                Event::RootsChanged(_) => changes.push(entry.index),
                Event::WarrantInstalled(installed) => {
                    warrant = Some(entry.index);
                    log_key = installed.log_key.clone().unwrap_or_else(|| std::mem::take(&mut log_key));
                }
                _ => {}
            }
        }
    });
    visited.await?;
    let mut roots = Changes::default();
    for index in changes {
        let (_, entry, kept) = scene.log.whole(index).await?;
        roots.push(&pieces(&entry, &kept)?.join(&b'\n'))?;
    }
    let missing = || Refusal::new(Reason::BrokerKeyUnknown, "the log holds no warrant");
    let warrant = scene.log.document(warrant.ok_or_else(missing)?).await?;
    let warrant = text(warrant.ok_or_else(missing)?)?;
    Ok(Papers { inception: text(inception)?, roots, warrant, log_key })
}

fn pieces(entry: &Entry, kept: &Kept) -> Result<Vec<Vec<u8>>, Error> {
    let piece = |sha256: &Digest| {
        let missing = || Error::refused(Reason::LogBroken, format!("evidence {sha256} is missing"));
        kept.find(*sha256).ok_or_else(missing)
    };
    entry.evidence.iter().map(piece).collect()
}

fn text(bytes: Vec<u8>) -> Result<String, Error> {
    String::from_utf8(bytes).map_err(|_| Error::refused(Reason::LogBroken, "what should be text is none"))
}
