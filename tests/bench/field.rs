//! The lattice under load: a real nats-server, a real broker on a real disk, many enrolled hosts.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use async_nats::Client;
use broker::clock::SystemClock;
use broker::folder::Folder;
use broker::keys::{SigningKey, nonce};
use broker::service::Service;
use bytes::Bytes;
use harness::asker::{Asker, lattice_name, now};
use harness::lattice::{Lattice, path};
use policy::answer::{StartAnswer, Verdict};
use policy::claims::{ComponentClaims, draft_component, read_component};
use policy::command::Command;
use policy::digest::Digest;
use policy::envelope::Unverified;
use policy::govern::{InviteHost, Operation};
use policy::join::{InviteProof, Join};
use policy::key::{Administrator, Host, Invite, Issuer};
use policy::lineage::Lineage;
use policy::log::leaf_hash;
use policy::warrant::DecisionKeys;
use policy::wire::{Topic, inbox_prefix};

use crate::echo::Echo;
use crate::load::Shot;

/// How many hosts ask.
pub(crate) const HOSTS: usize = 64;
/// How many components have a link that may change.
pub(crate) const LINKED: usize = 16;

/// A lattice with its hosts, and what is needed to ask in their name.
pub(crate) struct Field {
    pub(crate) lattice: Lattice,
    pub(crate) askers: Vec<Asker>,
    pub(crate) client: Client,
    keys: DecisionKeys,
    issuer: SigningKey<Issuer>,
    claims: ComponentClaims,
    fresh: std::cell::Cell<u64>,
}

impl Field {
    pub(crate) async fn new() -> Self {
        let mut lattice = Lattice::quiet();
        lattice.furnish();
        furnish_links(&lattice);
        let folder = Folder::open(&lattice.path("lattice")).expect("a folder");
        let admin = SigningKey::load(&folder.key("admin")).expect("the administrator's key");
        let service = Service::open(&folder, Arc::new(SystemClock::default())).await.expect("it opens");
        let hosts = enrol(&service, &admin).await;
        let keys = decision_keys(&service);
        service.close().await.expect("it closes");
        lattice.serve();
        let askers: Vec<_> = hosts.into_iter().map(|host| Asker::with_key(&lattice, host)).collect();
        let claims = (*read_component(&askers[0].attachments[0]).expect("sound claims")).clone();
        let issuer = SigningKey::load(&lattice.path("acme.nk")).expect("the issuer's key");
        let client = async_nats::connect(lattice.nats.url()).await.expect("the server answers");
        Self { lattice, askers, client, keys, issuer, claims, fresh: 0.into() }
    }

    /// So many signed questions to the broker, by all hosts in turn; the same bytes serve the echo.
    pub(crate) fn questions(&self, count: usize) -> Vec<Shot> {
        (0..count).map(|number| self.shot(number, self.askers[number % HOSTS].question())).collect()
    }

    /// The same, each with claims that nobody has seen.
    pub(crate) fn unseen_questions(&self, count: usize) -> Vec<Shot> {
        let asker = |number: usize| self.askers[number % HOSTS].clone().showing(self.fresh_claims());
        (0..count).map(|number| self.shot(number, asker(number).question())).collect()
    }

    /// The same requests, sent to the echo.
    pub(crate) fn to_echo(shots: &[Shot]) -> Vec<Shot> {
        let turned = |(number, shot): (usize, &Shot)| Shot { subject: Echo::subject(number % HOSTS), ..shot.clone() };
        shots.iter().enumerate().map(turned).collect()
    }

    /// Proves that each answer permits, in the broker's name.
    pub(crate) fn prove(&self, answers: &[Bytes]) {
        for bytes in answers {
            let answer = Unverified::<StartAnswer>::parse(bytes).and_then(|answer| answer.verify(&self.keys));
            let answer = answer.expect("the broker's own answer");
            assert_eq!(answer.verdict, Verdict::Permitted, "{:?}", answer.reason);
        }
    }

    fn shot(&self, number: usize, question: Vec<u8>) -> Shot {
        let inbox = inbox_prefix(&self.askers[number % HOSTS].key.name());
        let subject = Topic::StartComponent.subject(&lattice_name());
        Shot { subject, inbox, payload: question.into() }
    }

    fn fresh_claims(&self) -> Vec<u8> {
        self.fresh.set(self.fresh.get() + 1);
        let mut claims = self.claims.clone();
        claims.common.jti = format!("fresh-{}", self.fresh.get());
        self.issuer.sign_draft(draft_component(&self.issuer.name(), &claims)).into_bytes()
    }
}

// Components and two providers between which their links may change.
fn furnish_links(lattice: &Lattice) {
    for provider in PROVIDERS {
        let file = lattice.signed("logger", provider, "acme");
        lattice.accepted(&["provider", "admit", path(&file), "--id", provider]);
    }
    for number in 0..LINKED {
        let id = linked(number);
        let file = lattice.signed("cart", &id, "acme");
        lattice.accepted(&["component", "admit", path(&file), "--id", &id]);
    }
}

/// The id of a component whose link may change.
pub(crate) fn linked(number: usize) -> String {
    format!("cart-{number}")
}

/// The digest of the file of a provider.
pub(crate) fn provider_file(lattice: &Lattice, provider: &str) -> Vec<u8> {
    read(&lattice.path(&format!("{provider}-acme.wasm")))
}

fn read(file: &Path) -> Vec<u8> {
    std::fs::read(file).expect("it was written")
}

async fn enrol(service: &Service, admin: &SigningKey<Administrator>) -> Vec<SigningKey<Host>> {
    let mut hosts = Vec::new();
    for _ in 0..HOSTS {
        let invite = SigningKey::<Invite>::generate().expect("a key");
        let operation = InviteHost { invite: invite.name(), labels: BTreeMap::new(), not_after: now().plus(600) };
        let basis = service.snapshot().await.expect("it looks").head.epoch;
        let command = command(admin, basis, vec![Operation::InviteHost(operation)]);
        service.command(&command).await.expect("it is recorded");
        let host = SigningKey::<Host>::generate().expect("a key");
        let (aud, jti) = (lattice_name(), nonce().expect("randomness"));
        let proof = invite.sign(&InviteProof { iss: invite.name(), aud: aud.clone(), host: host.name(), jti }, []);
        let proof_sha256 = Digest::of(&proof);
        let join = Join { iss: host.name(), aud, iat: now(), jti, proof_sha256 };
        service.join(&host.sign(&join, [proof.as_slice()])).await.expect("it is recorded");
        hosts.push(host);
    }
    hosts
}

/// A command of the administrator, who has seen that epoch.
pub(crate) fn command(admin: &SigningKey<Administrator>, basis: u64, operations: Vec<Operation>) -> Vec<u8> {
    let command = Command {
        iss: admin.name(),
        aud: lattice_name(),
        inception_sha256: None,
        iat: now(),
        not_after: now().plus(60),
        jti: nonce().expect("randomness"),
        basis,
        planned: None,
        because: None,
        operations,
        statements: Vec::new(),
    };
    admin.sign(&command, [])
}

fn decision_keys(service: &Service) -> DecisionKeys {
    let (warrant, inception) = service.papers();
    let roots = Lineage::of(service.inception(), leaf_hash(&inception));
    let warrant = roots.read(&warrant, None).expect("a warrant");
    DecisionKeys::of(&warrant, now()).expect("it holds")
}

/// The providers between which links may change.
pub(crate) const PROVIDERS: [&str; 2] = ["logger-a", "logger-b"];
