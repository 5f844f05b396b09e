//! Enters a lattice: a join signed by the host's own key, and a receipt that is held against the pinned root.
//!
//! Nothing is remembered before the root, the warrant and the receipt fit; then all of it, at once.

use std::path::Path;
use std::time::Duration;

use futures::StreamExt;
use policy::answer::Receipt;
use policy::digest::Digest;
use policy::envelope::{Unverified, Verified};
use policy::join::{InviteProof, Join};
use policy::lineage::{Changes, Lineage};
use policy::reason::{Reason, Refusal};
use policy::warrant::{DecisionKeys, Warrant};
use policy::wire::Topic;
use tokio::time::{Instant, timeout_at};

use crate::clock::Clock;
use crate::error::{Error, Refused};
use crate::identity::{HostKey, nonce};
use crate::invite::Invite;
use crate::memory::{Answered, Head, Memory, Record, inception};
use crate::transport::{Transport, hint};

/// Joins, and remembers.
///
/// # Errors
/// `already_exists` when the folder has joined; the broker's refusal; `broker_unreachable`, or the reason why what came
/// was ignored.
pub async fn join(
    dir: &Path,
    key: &HostKey,
    invite: &Invite,
    transport: &dyn Transport,
    clock: &dyn Clock,
    timeout: Duration,
) -> Result<Memory, Error> {
    if Memory::exists(dir) {
        let detail = format!(
            "`{}` has joined a lattice already; a host in another one needs a folder of its own",
            dir.display()
        );
        return Err(Refusal::new(Reason::AlreadyExists, detail).into());
    }
    let bytes = request(key, invite, clock)?;
    let sha256 = Digest::of(bytes.split(|byte| *byte == b'\n').next().unwrap_or_default());
    let deadline = Instant::now() + timeout;
    let waited = format!("no receipt that counts came from {}", transport.address());
    let sent = timeout_at(deadline, transport.ask(Topic::Join.subject(&invite.lattice), bytes)).await;
    let Ok(sent) = sent else { return Err(Refusal::new(Reason::BrokerUnreachable, waited).into()) };
    let mut replies = sent?;
    let mut ignored: Option<Refusal> = None;
    while let Ok(Some(reply)) = timeout_at(deadline, replies.next()).await {
        match open(&reply, invite, sha256, clock) {
            Ok(Opened { receipt, .. }) if receipt.reason.is_some() => return Err(refused(&receipt)),
            Ok(opened) => return Memory::begin(dir, record(key, invite, opened)?),
            Err(refusal) => ignored = ignored.or(Some(refusal)),
        }
    }
    Err(match ignored {
        Some(refusal) => refusal.within(waited),
        None => Refusal::new(Reason::BrokerUnreachable, waited + &hint(transport, clock.now())),
    }
    .into())
}

struct Opened {
    receipt: Verified<Receipt>,
    warrant: Verified<Warrant>,
    inception: Vec<u8>,
    changes: Changes,
}

fn request(key: &HostKey, invite: &Invite, clock: &dyn Clock) -> Result<Vec<u8>, Error> {
    let jti = nonce()?;
    let proof = InviteProof { iss: *invite.key.name(), aud: invite.lattice.clone(), host: *key.name(), jti };
    let proof = invite.key.sign(&proof, &[])?;
    let proof_sha256 = Digest::of(&proof);
    let join = Join { iss: *key.name(), aud: invite.lattice.clone(), iat: clock.now(), jti, proof_sha256 };
    key.sign(&join, &[&proof])
}

// The root first, from the invitation; then the warrant under it; then the receipt under the warrant.
fn open(bytes: &[u8], invite: &Invite, sha256: Digest, clock: &dyn Clock) -> Result<Opened, Refusal> {
    let receipt = Unverified::<Receipt>::parse(bytes)?;
    let [warrant, entry, changes @ ..] = receipt.attachments() else {
        return Err(Refusal::new(
            Reason::EvidenceMissing,
            "a receipt carries the warrant and the lattice's first entry",
        ));
    };
    let (entry, changes) =
        (entry.clone(), changes.first().map_or(Ok(Changes::default()), |text| Changes::parse(text))?);
    let begun = inception(&entry, invite.root)?;
    if begun.lattice != invite.lattice {
        let detail =
            format!("the pinned root is that of lattice `{}`, the invitation says `{}`", begun.lattice, invite.lattice);
        return Err(Refusal::new(Reason::LatticeMismatch, detail));
    }
    let mut lineage = Lineage::of(&begun, invite.root);
    lineage.follow_all(&changes)?;
    let warrant = lineage.read_any(warrant)?;
    let keys = DecisionKeys::of(&warrant, clock.now())?;
    let receipt = receipt.verify(&keys)?;
    if receipt.request_sha256 != sha256 {
        return Err(Refusal::new(Reason::AnswerMismatch, "the receipt is for another join"));
    }
    Ok(Opened { receipt, warrant, inception: entry, changes })
}

fn record(key: &HostKey, invite: &Invite, opened: Opened) -> Result<Record, Refusal> {
    let Opened { receipt, warrant, inception, changes } = opened;
    let inception = String::from_utf8(inception)
        .map_err(|_| Refusal::new(Reason::LogBroken, "the lattice's first entry is no text"))?;
    let head = Head { index: receipt.index, entry_sha256: receipt.entry_sha256 };
    Ok(Record {
        proved: None,
        asked_since_ms: None,
        lattice: invite.lattice.clone(),
        nats_url: invite.nats_url.clone(),
        host: *key.name(),
        root: invite.root,
        inception,
        log_key: warrant.log_key.clone(),
        warrant_serial: warrant.serial,
        warrant_reset: warrant.reset,
        warrant_sha256: Some(warrant.sha256()),
        epoch: receipt.epoch,
        head,
        checkpoint: None,
        answered: Some(Answered { epoch: receipt.epoch, head }),
        changes,
        answer: None,
        forked: None,
    })
}

fn refused(receipt: &Receipt) -> Error {
    let reason = receipt.reason.unwrap_or(Reason::InviteUnknown);
    let detail = receipt.detail.clone().unwrap_or_else(|| reason.meaning().to_owned());
    let refusal = Refusal::new(reason, format!("the broker refuses the join: {detail}"));
    Error::Refused(Box::new(Refused { refusal, imports: Vec::new(), index: Some(receipt.index) }))
}
