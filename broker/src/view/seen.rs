//! Who presented this: every start and every admission that brought a file, claims, a subject, an id or an issuer's word,
//! refused ones too, the newest first.
//!
//! It is read from the entries and their evidence, so many entries back per page; no table is kept for it. What was
//! turned away at the door left a count and no entry, and is not found here.

use std::collections::BTreeMap;

use data_encoding::BASE64URL_NOPAD;
use policy::command::Command;
use policy::contract;
use policy::digest::Digest;
use policy::examine::read_claims;
use policy::govern::{Event, Operation};
use policy::key::{Issuer, Name};
use policy::log::{Body, Entry, Judged, Ruled};
use policy::name::{ComponentId, Package};
use policy::provider::Subject;
use policy::question::{Inventory, Offer, StartRequest, What};
use policy::reason::{Reason, Refusal};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::page::Room;
use super::{PAGE, Scene, lists::row};
use crate::error::Error;

/// What is looked for, and which page of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sought {
    /// The digest of claims, of a file or of a contract; a subject's key or name; an id; an issuer's key.
    pub about: String,
    /// What comes before that entry, as the page before named it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// How many rows at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
}

pub(super) async fn seen(scene: Scene<'_>, sought: &Sought) -> Result<Value, Error> {
    let needle = Needle::parse(&sought.about)?;
    let size = scene.head.size;
    let mut at = sought.after.as_deref().map_or(Ok(size), index)?.min(size);
    let floor = at.saturating_sub(LOOK_BACK);
    let (mut room, mut told) = (Room::of(sought.limit), Vec::new());
    let mut reading = Reading { scene, statements: BTreeMap::new(), inventories: BTreeMap::new() };
    while at > floor && !room.is_full() {
        let from = at.saturating_sub(u64::from(PAGE)).max(floor);
        for place in scene.page(from, at).await?.iter().rev() {
            at = place.index;
            // What lies in a segment is not looked at.
            let Some(entry) = place.entry()? else { continue };
            for presented in reading.presented(&entry).await?.iter().filter(|presented| presented.is(&needle)) {
                let presented = presented.told(&entry);
                room.take(&presented);
                told.push(presented);
            }
            if room.is_full() {
                break;
            }
        }
    }
    let frozen = scene.log.segments().last().map(|segment| segment.size);
    Ok(row([
        ("presentations", json!(told)),
        ("looked_from", json!(at)),
        ("size", json!(size)),
        ("frozen_before", json!(frozen)),
        ("next", json!((at > 0).then(|| at.to_string()))),
    ]))
}

/// The index that a page begins before, as the page before named it.
pub(super) fn index(text: &str) -> Result<u64, Refusal> {
    text.parse().map_err(|_| Refusal::new(Reason::NameMalformed, "a page begins before the index of an entry"))
}

/// The payload of a signed document of the log; who signed it was proved when it came.
pub(crate) fn said<T: DeserializeOwned>(document: &[u8]) -> Option<T> {
    let token = document.split(|byte| *byte == b'\n').next()?;
    let payload = token.split(|byte| *byte == b'.').nth(1)?;
    policy::json::read(&BASE64URL_NOPAD.decode(payload).ok()?).ok()
}

// What is looked for.
enum Needle {
    Sha256(Digest),
    Issuer(Name<Issuer>),
    Subject(Subject),
    Id(ComponentId),
}

impl Needle {
    fn parse(text: &str) -> Result<Self, Refusal> {
        let digest = Digest::parse(text).map(Self::Sha256);
        let issuer = digest.or_else(|_| Name::parse(text).map(Self::Issuer));
        let subject = issuer.or_else(|_| Subject::parse(text).map(Self::Subject));
        subject.or_else(|_| ComponentId::parse(text).map(Self::Id)).map_err(|_| {
            let detail = "it is no digest, no issuer's or subject's key, and no id";
            Refusal::new(Reason::NameMalformed, detail)
        })
    }
}

// One thing that somebody brought, and who says so.
#[derive(Clone)]
struct Presented {
    what: &'static str,
    verdict: &'static str,
    reason: Option<Reason>,
    // The id under which it would run or answer; of an answer and an offer, the component that asked.
    id: Option<ComponentId>,
    component: Option<ComponentId>,
    package: Option<Package>,
    subject: Option<String>,
    sha256: Option<Digest>,
    claims: Option<Digest>,
    signed: Signed,
    by: (&'static str, String),
}

// Who a statement says signed it, about whom, and why it does not hold.
#[derive(Debug, Clone, Default)]
struct Signed {
    issuer: Option<String>,
    subject: Option<String>,
    refused: Option<Reason>,
}

impl Presented {
    fn is(&self, needle: &Needle) -> bool {
        let named = |found: Option<&String>, name: String| found == Some(&name);
        match needle {
            Needle::Sha256(sha256) => [self.sha256, self.claims].contains(&Some(*sha256)),
            Needle::Issuer(issuer) => named(self.signed.issuer.as_ref(), issuer.to_string()),
            Needle::Subject(subject) => named(self.subject(), subject.to_string()),
            Needle::Id(id) => self.id.as_ref() == Some(id),
        }
    }

    fn subject(&self) -> Option<&String> {
        self.subject.as_ref().or(self.signed.subject.as_ref())
    }

    fn told(&self, entry: &Entry) -> Value {
        let (by, key) = &self.by;
        row([
            ("index", json!(entry.index)),
            ("at", json!(entry.at_ms / 1000)),
            ("what", json!(self.what)),
            ("verdict", json!(self.verdict)),
            ("reason", json!(self.reason)),
            ("id", json!(self.id)),
            ("component", json!(self.component)),
            ("package", json!(self.package)),
            ("subject", json!(self.subject())),
            ("sha256", json!(self.sha256)),
            ("claims_sha256", json!(self.claims)),
            ("issuer", json!(self.signed.issuer)),
            ("claims_refused", json!(self.signed.refused)),
            (by, json!(key)),
        ])
    }
}

// What statements and inventories say is read once for a page, however often they come.
struct Reading<'a> {
    scene: Scene<'a>,
    statements: BTreeMap<Digest, Signed>,
    inventories: BTreeMap<Digest, Vec<Offer>>,
}

impl Reading<'_> {
    async fn presented(&mut self, entry: &Entry) -> Result<Vec<Presented>, Error> {
        match &entry.body {
            Body::Ruling(ruled) => self.asked(entry, ruled).await,
            Body::Governance(judged) | Body::Refusal(judged) => match judged.by {
                Some(by) => self.commanded(entry, judged, by.to_string()).await,
                None => Ok(Vec::new()),
            },
            Body::Inception(_) | Body::Door(_) | Body::Report(_) | Body::Clock(_) | Body::Lost(_) | Body::Freeze(_) => {
                Ok(Vec::new())
            }
        }
    }

    // What would start, what answers it, and what its host offered beside that.
    async fn asked(&mut self, entry: &Entry, ruled: &Ruled) -> Result<Vec<Presented>, Error> {
        let verdict = if ruled.reason.is_some() { "refused" } else { "permitted" };
        let bare = Presented::bare("start", verdict, ruled.reason, ("host", ruled.host.to_string()));
        let mut all = Vec::new();
        let document = self.scene.log.document(entry.index).await?;
        if let Some(StartRequest { runs, what, .. }) = document.as_deref().and_then(said) {
            let what = if what == What::StartComponent { "start" } else { "start_provider" };
            let (claims, signed) = (runs.claims_sha256, self.signed(runs.claims_sha256).await?);
            let (id, subject, sha256) = (Some(runs.id), Some(runs.subject.to_string()), Some(runs.sha256));
            all.push(Presented { what, id, subject, sha256, claims, signed, ..bare.clone() });
        }
        let asker = Presented { component: Some(ruled.id.clone()), ..bare };
        for outcome in &ruled.outcomes {
            // What is refused names nobody.
            let Ok(grant) = &outcome.grant else { continue };
            let (id, package, signed) = (Some(grant.id.clone()), outcome.package.clone(), self.admitted(grant.sha256));
            let (subject, sha256, package) = (Some(grant.provider.to_string()), Some(grant.sha256), Some(package));
            all.push(Presented { what: "answer", id, package, subject, sha256, signed, ..asker.clone() });
        }
        // A request names its inventory last.
        for offer in self.offers(entry.evidence.last().copied()).await? {
            let sha256 = Some(offer.sha256);
            if all.iter().all(|presented| presented.sha256 != sha256) {
                let (subject, signed) = (Some(offer.subject.to_string()), self.admitted(offer.sha256));
                all.push(Presented { what: "offer", subject, sha256, signed, ..asker.clone() });
            }
        }
        Ok(all)
    }

    // What an administrator brought to be admitted or published, also in a command that others approve.
    async fn commanded(&mut self, entry: &Entry, judged: &Judged, by: String) -> Result<Vec<Presented>, Error> {
        let document = self.scene.log.document(entry.index).await?;
        let mut command = document.as_deref().and_then(said::<Command>);
        if let Some([Operation::ApproveCommand(approve)]) = command.as_ref().map(|it| it.operations.as_slice()) {
            command = self.scene.log.evidence(approve.sha256).await?.as_deref().and_then(said);
        }
        let (verdict, reason) = verdict(judged);
        let bare = Presented::bare("admit", verdict, reason, ("by", by));
        let mut all = Vec::new();
        for operation in command.map(|command| command.operations).unwrap_or_default() {
            let presented = match operation {
                Operation::AdmitComponent(it) => {
                    let (id, sha256, claims) = (Some(it.id), Some(it.sha256), Some(it.claims_sha256));
                    Presented { id, sha256, claims, ..bare.clone() }
                }
                Operation::AdmitProvider(it) => {
                    let (id, subject, sha256) = (Some(it.id), Some(it.subject.to_string()), Some(it.sha256));
                    Presented { what: "admit_provider", id, subject, sha256, claims: it.claims_sha256, ..bare.clone() }
                }
                Operation::PublishContract(it) => {
                    Presented { what: "publish", package: Some(it.package), claims: Some(it.sha256), ..bare.clone() }
                }
                _ => continue,
            };
            let signed = self.signed(presented.claims).await?;
            all.push(Presented { signed, ..presented });
        }
        Ok(all)
    }

    async fn signed(&mut self, statement: Option<Digest>) -> Result<Signed, Error> {
        let Some(sha256) = statement else { return Ok(Signed::default()) };
        if let Some(known) = self.statements.get(&sha256) {
            return Ok(known.clone());
        }
        let token = self.scene.log.evidence(sha256).await?;
        let signed = token.map(|token| Signed::of(&token)).unwrap_or_default();
        self.statements.insert(sha256, signed.clone());
        Ok(signed)
    }

    async fn offers(&mut self, inventory: Option<Digest>) -> Result<Vec<Offer>, Error> {
        let Some(sha256) = inventory else { return Ok(Vec::new()) };
        if let Some(known) = self.inventories.get(&sha256) {
            return Ok(known.clone());
        }
        let inventory = self.scene.log.evidence(sha256).await?;
        let inventory = inventory.and_then(|bytes| policy::json::read::<Inventory>(&bytes).ok());
        let offers = inventory.map(|inventory| inventory.builtins).unwrap_or_default();
        self.inventories.insert(sha256, offers.clone());
        Ok(offers)
    }

    // Who signed what was admitted; what answers brings no claims along.
    fn admitted(&self, sha256: Digest) -> Signed {
        let signed = self.scene.state.providers().get(&sha256).and_then(|record| record.signed.as_ref());
        Signed { issuer: signed.map(|(issuer, _)| issuer.to_string()), ..Signed::default() }
    }
}

impl Presented {
    fn bare(what: &'static str, verdict: &'static str, reason: Option<Reason>, by: (&'static str, String)) -> Self {
        let (id, component, package, subject, sha256, claims) = (None, None, None, None, None, None);
        Self { what, verdict, reason, id, component, package, subject, sha256, claims, signed: Signed::default(), by }
    }
}

impl Signed {
    // A statement that does not hold names its issuer all the same: who tries to pass as whom is worth finding.
    fn of(token: &[u8]) -> Self {
        let refused = match contract::read(token) {
            Ok(contract) => {
                return Self { issuer: Some(contract.issuer().to_string()), ..Self::default() };
            }
            Err(_) => match read_claims(token) {
                Ok(_) => None,
                Err(refusal) => Some(refusal.reason),
            },
        };
        let says: Option<Value> = said(token);
        let named = |member: &str| Some(says.as_ref()?.get(member)?.as_str()?.to_owned());
        let issuer = named("iss").filter(|name| Name::<Issuer>::parse(name).is_ok());
        let subject = named("sub").filter(|name| Subject::parse(name).is_ok());
        Self { issuer, subject, refused }
    }
}

fn verdict(judged: &Judged) -> (&'static str, Option<Reason>) {
    let waits = |event: &Event| match event {
        Event::CommandProposed(_) => true,
        Event::CommandApproved(approved) => approved.lack.is_some(),
        _ => false,
    };
    match judged.reason {
        Some(reason) => ("refused", Some(reason)),
        None if judged.events.iter().any(waits) => ("waits", Some(Reason::PendingApproval)),
        None => ("accepted", None),
    }
}

// How far one page looks back, so that no query reads a long log in one go.
const LOOK_BACK: u64 = 4096;
