//! What a relaxation let through is told of a log however long, and few rows are read for it.

use policy::claims::{Common, ComponentClaims, draft_component};
use policy::decide::Facts;
use policy::digest::Digest;
use policy::envelope::{Afresh, Unverified};
use policy::examine;
use policy::govern::{AddIssuer, Operation, PutRelaxation};
use policy::issuer::Kind;
use policy::key::{Component, Host, Issuer};
use policy::log::Ledger;
use policy::name::RelaxationId;
use policy::provider::Subject;
use policy::question::StartRequest;
use policy::relax::Weakening;
use policy::time::Validity;
use serde_json::{Value, json};

use super::asker::{Closed, Lattice, NOW_MS};
use super::starting::tamper;
use crate::clock::Clock;
use crate::keys::SigningKey;
use crate::store::{LogReader, Room, rehearse};
use crate::view::{self, Look, Scene};

// More than any look counts in, and than any page of a report has.
const MANY: u64 = 4200;
// As many as are read.
const READ: u64 = 4096;
const LATER_MS: u64 = NOW_MS + 5_000;

/// A lattice on which everything passes that is asked, and which is asked much.
struct Busy {
    closed: Closed,
    ledger: Ledger,
    reader: LogReader,
    // How long the log was before.
    quiet: u64,
}

impl Busy {
    async fn new() -> Self {
        let lattice = Lattice::new().await;
        let host = lattice.enrolled_host().await;
        let put = PutRelaxation {
            id: RelaxationId::parse("first-week").unwrap(),
            kind: Weakening::Observe { package: None },
            until: lattice.clock.now().plus(86_400),
            reason: "the first week".to_owned(),
        };
        assert_eq!(lattice.command(vec![Operation::PutRelaxation(put)]).await.reason, None);
        let question = nobody_admitted(&lattice, &host).await;
        let closed = lattice.closed().await;
        let reader = LogReader::open(&closed.folder.log()).await.unwrap();
        let mut ledger = reader.replay(None, |_, _| Ok(())).await.unwrap();
        let quiet = ledger.head().size;
        let question = Unverified::<StartRequest>::parse(&question).unwrap();
        let question = examine::start(question.verify(ledger.state().host_keys()).unwrap(), &Afresh).unwrap();
        let mut log = rehearse::Log::open(&closed.folder.log()).await.unwrap();
        for _ in 0..MANY / 200 {
            let rule = |_| ledger.rule(question.clone(), Facts::default(), LATER_MS).map(drop);
            log.append((0..200).map(rule).collect()).await.unwrap();
        }
        log.close().await.unwrap();
        Self { closed, ledger, reader, quiet }
    }

    async fn look(&self, look: &Look) -> Value {
        let (state, head, root) = (self.ledger.state(), self.ledger.head(), self.ledger.root());
        let now = self.closed.clock.now().plus(60);
        let scene = Scene { state, head, root, log: &self.reader, now, present: None, room: Room::Ample };
        view::answer(scene, look).await.unwrap()
    }

    async fn report(&self) -> Vec<Value> {
        let (mut look, mut pages) = (Some(Look::Relaxed { after: None }), Vec::new());
        while let Some(asked) = look {
            let page = self.look(&asked).await;
            look = asked.following(&page);
            pages.push(page);
        }
        pages
    }
}

// A question about a component of a trusted issuer, under an id that nobody gave it.
async fn nobody_admitted(lattice: &Lattice, host: &SigningKey<Host>) -> Vec<u8> {
    let (issuer, subject) = (SigningKey::<Issuer>::generate().unwrap(), SigningKey::<Component>::generate().unwrap());
    let (scope, kinds) = (["acme:*".parse().unwrap()].into(), [Kind::Component].into());
    let trust = Operation::AddIssuer(AddIssuer::vouched(issuer.name(), scope, kinds, None));
    assert_eq!(lattice.command(vec![trust]).await.reason, None);
    let validity = Validity { iat: lattice.clock.now(), nbf: None, exp: None };
    let common = Common { jti: "cart".to_owned(), validity, name: None, rev: Some(1), ver: None };
    let (subject, hash) = (subject.name(), Digest::of(b"bytes"));
    let claims = ComponentClaims { common, subject, hash, tags: Vec::new(), call_alias: None, caps: None };
    let claims = issuer.sign_draft(draft_component(&issuer.name(), &claims)).into_bytes();
    let mut asked = None;
    lattice.request_with(host, |request| {
        request.runs.subject = Subject::Component(subject);
        request.runs.claims_sha256 = Some(Digest::of(&claims));
        asked = Some(request.clone());
    });
    host.sign(&asked.unwrap(), [claims.as_slice(), br#"{"builtins":[]}"#])
}

#[tokio::test]
async fn what_stands_on_a_busy_lattice_is_told_from_few_rows_and_a_report_tells_all() {
    let busy = Busy::new().await;
    let pages = busy.report().await;
    let counted = pages.iter().flat_map(|page| page["observed"].as_array().unwrap());
    let counted: u64 = counted.map(|row| row["count"].as_u64().unwrap()).sum();
    assert_eq!((pages.len(), counted), (2, MANY), "{pages:?}");
    // Whatever lies further back is gone: a look that read it would say so.
    let (log, end) = (busy.closed.folder.log(), (busy.quiet + MANY - READ).to_string());
    tamper(&log, &["DELETE FROM entries WHERE idx > 0 AND idx < ", &end]).await;
    for look in [Look::Status, Look::Relaxations] {
        let told = &busy.look(&look).await["relaxations"][0];
        assert_eq!((&told["let_through"], &told["counted_since"]), (&json!(READ), &json!(LATER_MS / 1000)), "{told}");
    }
    // What each changing command asks first reads none at all.
    tamper(&log, &["DELETE FROM entries"]).await;
    assert_eq!(busy.look(&Look::Administrators).await["thresholds"][0]["threshold"], json!(1));
}
