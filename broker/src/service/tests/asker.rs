//! A lattice with an administrator and hosts that ask, for the tests of the court.

use std::collections::BTreeMap;
use std::sync::Arc;

use policy::answer::Receipt;
use policy::claims::{Common, ComponentClaims, draft_component};
use policy::command::Command;
use policy::digest::Digest;
use policy::envelope::Unverified;
use policy::govern::{AddIssuer, InviteHost, Operation, PutRelaxation};
use policy::inventory::HostInventory;
use policy::issuer::Kind;
use policy::join::{InviteProof, Join};
use policy::key::{Administrator, Component, Host, Invite, Issuer};
use policy::lineage::Lineage;
use policy::log::leaf_hash;
use policy::name::{ComponentId, Scope};
use policy::provider::Subject;
use policy::question::{Inventory, Runs, Seen, StartRequest, What};
use policy::relax::Weakening;
use policy::time::Validity;
use policy::warrant::DecisionKeys;
use policy::wire::Nonce;
use serde_json::Value;

use super::super::{InitOptions, InitReport, Service, init};
use crate::clock::{Clock, FixedClock};
use crate::folder::Folder;
use crate::keys::{SigningKey, nonce};
use crate::settings::Settings;
use crate::view::{self, Look, Scene};

/// The moment at which every test begins.
pub(crate) const NOW_MS: u64 = 1_795_350_417_123;

const NO_BUILTINS: &[u8] = br#"{"builtins":[]}"#;

/// A lattice in a temporary folder, its clock, and a service on it.
pub(crate) struct Lattice {
    pub(crate) place: tempfile::TempDir,
    pub(crate) folder: Folder,
    pub(crate) clock: Arc<FixedClock>,
    pub(crate) report: InitReport,
    pub(crate) service: Service,
}

/// The same, with nobody at work in it.
pub(crate) struct Closed {
    pub(crate) place: tempfile::TempDir,
    pub(crate) folder: Folder,
    pub(crate) clock: Arc<FixedClock>,
    pub(crate) report: InitReport,
}

impl Closed {
    pub(crate) async fn opened(self) -> Lattice {
        self.opened_with(Settings::default()).await
    }

    pub(crate) async fn opened_with(self, settings: Settings) -> Lattice {
        let Self { place, folder, clock, report } = self;
        let service = Service::open_with(&folder, Arc::clone(&clock) as Arc<dyn Clock>, settings).await.unwrap();
        Lattice { place, folder, clock, report, service }
    }
}

impl Lattice {
    pub(crate) async fn new() -> Self {
        Self::with(Settings::default()).await
    }

    pub(crate) async fn with(settings: Settings) -> Self {
        let place = tempfile::tempdir().unwrap();
        let clock = Arc::new(FixedClock::at(NOW_MS));
        let report = init(&place.path().join("court"), options("default")).await.unwrap();
        let folder = Folder::open(&report.folder).unwrap();
        let service = Service::open_with(&folder, Arc::clone(&clock) as Arc<dyn Clock>, settings).await.unwrap();
        Self { place, folder, clock, report, service }
    }

    pub(crate) async fn reopened(self) -> Self {
        self.closed().await.opened().await
    }

    pub(crate) async fn closed(self) -> Closed {
        let Self { place, folder, clock, report, service } = self;
        service.close().await.unwrap();
        Closed { place, folder, clock, report }
    }

    pub(crate) async fn size(&self) -> u64 {
        self.service.log().await.unwrap().size().await.unwrap()
    }

    /// What is shown by a broker that hears its hosts.
    pub(crate) async fn look(&self, look: &Look) -> Value {
        let snapshot = self.service.snapshot().await.unwrap();
        let log = self.service.log().await.unwrap();
        let present = self.service.present();
        let scene = Scene {
            state: &snapshot.state,
            head: snapshot.head,
            root: snapshot.root,
            log: &log,
            now: self.clock.now(),
            present: Some(present),
            room: present.room(),
        };
        view::answer(scene, look).await.unwrap()
    }

    pub(crate) fn warrant(&self) -> String {
        String::from_utf8(self.service.papers().0).unwrap()
    }

    pub(crate) fn admin(&self) -> SigningKey<Administrator> {
        SigningKey::load(&self.folder.key("admin")).unwrap()
    }

    pub(crate) fn decision_keys(&self) -> DecisionKeys {
        let (warrant, inception) = self.service.papers();
        let roots = Lineage::of(self.service.inception(), leaf_hash(&inception));
        let warrant = roots.read(&warrant, None).unwrap();
        DecisionKeys::of(&warrant, self.clock.now()).unwrap()
    }

    pub(crate) async fn signed_command(&self, operations: Vec<Operation>) -> Vec<u8> {
        self.command_by(&self.admin(), operations).await
    }

    pub(crate) async fn command_by(&self, admin: &SigningKey<Administrator>, operations: Vec<Operation>) -> Vec<u8> {
        let basis = self.service.snapshot().await.unwrap().head.epoch;
        admin.sign(&self.draft(admin, basis, None, operations), [])
    }

    pub(crate) async fn command_because(&self, because: &str) -> Vec<u8> {
        let (admin, basis) = (self.admin(), self.service.snapshot().await.unwrap().head.epoch);
        admin.sign(&self.draft(&admin, basis, Some(because), vec![self.invitation()]), [])
    }

    /// A command whose signer did not look first.
    pub(crate) fn unseen_command(&self) -> Vec<u8> {
        let admin = self.admin();
        admin.sign(&self.draft(&admin, 0, None, vec![self.invitation()]), [])
    }

    fn invitation(&self) -> Operation {
        let invite = SigningKey::<Invite>::generate().unwrap().name();
        Operation::InviteHost(InviteHost { invite, labels: BTreeMap::new(), not_after: self.clock.now().plus(600) })
    }

    fn draft(
        &self,
        admin: &SigningKey<Administrator>,
        basis: u64,
        because: Option<&str>,
        operations: Vec<Operation>,
    ) -> Command {
        Command {
            iss: admin.name(),
            aud: self.report.lattice.clone(),
            inception_sha256: None,
            iat: self.clock.now(),
            not_after: self.clock.now().plus(60),
            jti: nonce().unwrap(),
            basis,
            planned: None,
            because: because.map(str::to_owned),
            operations,
            statements: Vec::new(),
        }
    }

    pub(crate) async fn command(&self, operations: Vec<Operation>) -> Receipt {
        let bytes = self.signed_command(operations).await;
        self.receipt(&self.service.command(&bytes).await.unwrap())
    }

    pub(crate) fn receipt(&self, bytes: &[u8]) -> Receipt {
        Unverified::<Receipt>::parse(bytes).unwrap().verify(&self.decision_keys()).as_deref().unwrap().clone()
    }

    pub(crate) async fn invite(&self) -> SigningKey<Invite> {
        let invite = SigningKey::<Invite>::generate().unwrap();
        let not_after = self.clock.now().plus(600);
        let operation = InviteHost { invite: invite.name(), labels: BTreeMap::new(), not_after };
        assert_eq!(self.command(vec![Operation::InviteHost(operation)]).await.reason, None);
        invite
    }

    pub(crate) fn join(&self, host: &SigningKey<Host>, invite: &SigningKey<Invite>) -> Vec<u8> {
        let (aud, jti) = (self.report.lattice.clone(), nonce().unwrap());
        let proof = invite.sign(&InviteProof { iss: invite.name(), aud: aud.clone(), host: host.name(), jti }, []);
        let proof_sha256 = Digest::of(&proof);
        host.sign(&Join { iss: host.name(), aud, iat: self.clock.now(), jti, proof_sha256 }, [proof.as_slice()])
    }

    pub(crate) async fn enrolled_host(&self) -> SigningKey<Host> {
        let (host, invite) = (SigningKey::generate().unwrap(), self.invite().await);
        let receipt = self.service.join(&self.join(&host, &invite)).await.unwrap();
        assert_eq!(self.receipt(&receipt).reason, None);
        host
    }

    pub(crate) fn request(&self, host: &SigningKey<Host>) -> Vec<u8> {
        self.request_with(host, |_| {})
    }

    pub(crate) fn inventory_with(
        &self,
        host: &SigningKey<Host>,
        sequence: u64,
        change: impl FnOnce(&mut HostInventory),
    ) -> Vec<u8> {
        let mut inventory = HostInventory {
            iss: host.name(),
            aud: self.report.lattice.clone(),
            iat: self.clock.now(),
            process: Nonce::from_random([5; 16]),
            sequence,
            page: 0,
            pages: 1,
            seen: Seen { epoch: 0, index: 0, entry_sha256: self.report.root_sha256 },
            checkpoint: None,
            forked: None,
            builtins_sha256: Digest::of(b""),
            running: Vec::new(),
            closed: Vec::new(),
            at_hand: None,
        };
        change(&mut inventory);
        host.sign(&inventory, [])
    }

    /// A question that brings these claims.
    pub(crate) fn request_bringing(&self, host: &SigningKey<Host>, claims: &[u8]) -> Vec<u8> {
        let mut asked = None;
        self.request_with(host, |request| {
            request.runs.claims_sha256 = Some(Digest::of(claims));
            asked = Some(request.clone());
        });
        host.sign(&asked.unwrap(), [claims, NO_BUILTINS])
    }

    /// A question that is permitted by claims and a relaxation, which are put in force here.
    pub(crate) async fn request_permitted(&self, host: &SigningKey<Host>) -> Vec<u8> {
        let issuer = SigningKey::<Issuer>::generate().unwrap();
        let (scope, kinds) = ([Scope::parse("acme:*").unwrap()].into(), [Kind::Component].into());
        let add = Operation::AddIssuer(AddIssuer::vouched(issuer.name(), scope, kinds, None));
        let (until, reason) = (self.clock.now().plus(600), "nothing is admitted here".to_owned());
        let (id, kind) = ("observe".parse().unwrap(), Weakening::Observe { package: None });
        let observe = Operation::PutRelaxation(PutRelaxation { id, kind, until, reason });
        assert_eq!(self.command(vec![add, observe]).await.reason, None);
        let subject = SigningKey::<Component>::generate().unwrap().name();
        let validity = Validity { iat: self.clock.now(), nbf: None, exp: None };
        let common = Common { jti: "cart".to_owned(), validity, name: None, rev: None, ver: None };
        let (hash, tags, call_alias, caps) = (Digest::of(b"bytes"), Vec::new(), None, None);
        let claims = ComponentClaims { common, subject, hash, tags, call_alias, caps };
        let claims = issuer.sign_draft(draft_component(&issuer.name(), &claims)).into_bytes();
        let mut asked = None;
        self.request_with(host, |request| {
            request.runs.subject = Subject::Component(subject);
            request.runs.claims_sha256 = Some(Digest::of(&claims));
            asked = Some(request.clone());
        });
        host.sign(&asked.unwrap(), [claims.as_slice(), NO_BUILTINS])
    }

    /// A command that brings this statement.
    pub(crate) async fn command_bringing(&self, statement: &[u8]) -> Vec<u8> {
        let (admin, basis) = (self.admin(), self.service.snapshot().await.unwrap().head.epoch);
        let mut command = self.draft(&admin, basis, None, vec![self.invitation()]);
        command.statements = vec![Digest::of(statement)];
        admin.sign(&command, [statement])
    }

    /// A command with what its operations name beside it.
    pub(crate) async fn command_with(&self, operations: Vec<Operation>, statements: &[Vec<u8>]) -> Vec<u8> {
        let (admin, basis) = (self.admin(), self.service.snapshot().await.unwrap().head.epoch);
        let mut command = self.draft(&admin, basis, None, operations);
        command.statements = statements.iter().map(|statement| Digest::of(statement)).collect();
        admin.sign(&command, statements.iter().map(Vec::as_slice))
    }

    pub(crate) fn request_with(&self, host: &SigningKey<Host>, change: impl FnOnce(&mut StartRequest)) -> Vec<u8> {
        let inventory = policy::json::write(&Inventory { builtins: Vec::new() });
        assert_eq!(inventory, NO_BUILTINS);
        let mut request = StartRequest {
            iss: host.name(),
            aud: self.report.lattice.clone(),
            iat: self.clock.now(),
            jti: nonce().unwrap(),
            what: What::StartComponent,
            runs: Runs {
                id: ComponentId::parse("cart").unwrap(),
                subject: Subject::Component(SigningKey::<Component>::generate().unwrap().name()),
                sha256: Digest::of(b"bytes"),
                claims_sha256: None,
            },
            imports: Vec::new(),
            inventory_sha256: Digest::of(&inventory),
            stood_in: Vec::new(),
            seen: Seen { epoch: 0, index: 0, entry_sha256: self.report.root_sha256 },
        };
        change(&mut request);
        host.sign(&request, [inventory.as_slice()])
    }
}

pub(crate) fn options(lattice: &str) -> InitOptions {
    let lattice = policy::name::Lattice::parse(lattice).unwrap();
    let (admins, roots) = (Vec::new(), 1);
    InitOptions {
        lattice,
        admins,
        admin_threshold: 1,
        lock: None,
        bare: false,
        roots,
        root_threshold: 1,
        now_ms: NOW_MS,
    }
}
