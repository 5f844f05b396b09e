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
use crate::store::{Claim, says};

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
    let (found, entry) = read(scene, index).await?;
    let exhibit = Exhibit {
        checkpoint: note,
        entry: text(found)?,
        evidence: pieces(scene, &entry).await?.iter().map(|piece| BASE64.encode(piece)).collect(),
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
    let (inception, first) = read(scene, 0).await?;
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
        let (_, entry) = read(scene, index).await?;
        roots.push(&pieces(scene, &entry).await?.join(&b'\n'))?;
    }
    let missing = || Refusal::new(Reason::BrokerKeyUnknown, "the log holds no warrant");
    let warrant = scene.log.document(warrant.ok_or_else(missing)?).await?;
    let warrant = text(warrant.ok_or_else(missing)?)?;
    Ok(Papers { inception: text(inception)?, roots, warrant, log_key })
}

async fn read(scene: Scene<'_>, index: u64) -> Result<(Vec<u8>, Entry), Error> {
    let found = scene.page(index, index + 1).await?.into_iter().next();
    let found = found.ok_or_else(|| Refusal::new(Reason::LogBroken, format!("row {index} is missing")))?;
    let moved = || Refusal::new(Reason::SegmentMissing, format!("entry {index} lies in a segment"));
    let entry = found.entry()?.ok_or_else(moved)?;
    Ok((found.bytes, entry))
}

async fn pieces(scene: Scene<'_>, entry: &Entry) -> Result<Vec<Vec<u8>>, Error> {
    let kept = scene.log.kept(entry).await?;
    let piece = |sha256: &Digest| {
        let missing = || Error::refused(Reason::LogBroken, format!("evidence {sha256} is missing"));
        kept.find(*sha256).ok_or_else(missing)
    };
    entry.evidence.iter().map(piece).collect()
}

fn text(bytes: Vec<u8>) -> Result<String, Error> {
    String::from_utf8(bytes).map_err(|_| Error::refused(Reason::LogBroken, "what should be text is none"))
}
