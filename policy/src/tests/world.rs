//! A small lattice with seeded keys: what tests build on. Nothing here is random, nothing is stored.

use std::collections::{BTreeMap, BTreeSet};

use ed25519_dalek::{Signer, SigningKey};

use crate::artifact::Import;
use crate::claims::{self, Common, ComponentClaims};
use crate::command::Command;
use crate::contract::{Configuration, Contract, Providers};
use crate::decide::{Facts, LAW};
use crate::digest::Digest;
use crate::envelope::{Afresh, Document, Draft, Unverified};
use crate::examine;
use crate::govern::{
    AcceptLink, AddIssuer, AdmitComponent, AdmitProvider, ApproveCommand, Bind, Checked, InviteHost, LinkKey,
    Operation, Pin, PublishContract, PutDefault, PutLink, Stage, SwitchLink, Target, Waiver,
};
use crate::issuer::Kind;
use crate::join::{InviteProof, Join, Possession};
use crate::json;
use crate::key::{Administrator, Component, Decision, Host, Invite, Issuer, Key, Name, Role, Root};
use crate::lineage::Lineage;
use crate::log::{Entry, Evidences, Ledger, NoteKey, Ruling, Step};
use crate::name::{InterfaceName, Lattice, LinkName, Package, Version};
use crate::native::Native;
use crate::possession::KeyProof;
use crate::provider::{Source, Subject};
use crate::question::{Inventory, Offer, Runs, Seen, StartRequest, What};
use crate::reason::Refusal;
use crate::time::{Timestamp, Validity};
use crate::warrant::{Inception, Quorum, Warrant};
use crate::wire::Nonce;

pub(crate) const NOW: u64 = 1_795_350_000;

/// A seeded key of a role.
pub(crate) struct Pair<R> {
    signing: SigningKey,
    pub(crate) name: Name<R>,
}

impl<R: Role> Pair<R> {
    pub(crate) fn seeded(seed: &str) -> Self {
        let signing = SigningKey::from_bytes(Digest::of(format!("{}{seed}", R::WORD).as_bytes()).as_bytes());
        let name = Name::from_raw(signing.verifying_key().to_bytes());
        Self { signing, name }
    }

    pub(crate) fn key(&self) -> Key<R> {
        self.name.usable().unwrap()
    }

    pub(crate) fn sign(&self, bytes: &[u8]) -> [u8; 64] {
        self.signing.sign(bytes).to_bytes()
    }

    pub(crate) fn state(&self, draft: Draft) -> Vec<u8> {
        let signature = self.sign(draft.signing_input());
        draft.seal(&signature).into_bytes()
    }

    pub(crate) fn seal<T: Document>(&self, document: &T, attachments: &[Vec<u8>]) -> Vec<u8> {
        let draft = Draft::of(document);
        let signature = self.sign(draft.signing_input());
        draft.seal_with(&signature, attachments.iter().map(Vec::as_slice))
    }
}

/// A lattice with one administrator, one owner of contracts and providers, and one host.
pub(crate) struct World {
    pub(crate) ledger: Ledger,
    pub(crate) rows: Vec<Vec<u8>>,
    pub(crate) evidence: BTreeMap<Digest, Vec<u8>>,
    pub(crate) now_ms: u64,
    pub(crate) administrator: Pair<Administrator>,
    pub(crate) issuer: Pair<Issuer>,
    pub(crate) host: Pair<Host>,
    counter: u16,
}

impl Evidences for BTreeMap<Digest, Vec<u8>> {
    fn find(&self, sha256: Digest) -> Option<Vec<u8>> {
        self.get(&sha256).cloned()
    }
}

impl World {
    /// A lattice that trusts nobody yet and has no host.
    pub(crate) fn bare() -> Self {
        Self::bare_under(LAW)
    }

    fn bare_under(law: u64) -> Self {
        let (root, administrator) = (Pair::<Root>::seeded("1"), Pair::<Administrator>::seeded("1"));
        let log_key = SigningKey::from_bytes(&[9; 32]).verifying_key().to_bytes();
        let lattice = Lattice::parse("default").unwrap();
        let inception = Inception {
            log_key: NoteKey::of(&lattice, &log_key).unwrap().to_string(),
            lattice,
            roots: Quorum { threshold: 1, keys: vec![root.key()] },
            administrators: Quorum { threshold: 1, keys: vec![administrator.key()] },
        };
        let (ledger, step) = Ledger::incept_under(law, inception.clone(), NOW * 1000).unwrap();
        let mut world = Self {
            ledger,
            rows: vec![step.bytes],
            evidence: BTreeMap::new(),
            now_ms: NOW * 1000,
            administrator,
            issuer: Pair::seeded("1"),
            host: Pair::seeded("1"),
            counter: 0,
        };
        let warrant = Warrant {
            iss: root.name,
            lattice: inception.lattice.clone(),
            inception_sha256: step.hash,
            reset: 0,
            serial: 1,
            decision_keys: vec![Pair::<Decision>::seeded("1").key()],
            ends: Default::default(),
            log_key: inception.log_key.clone(),
            validity: Validity { iat: at(NOW), nbf: None, exp: Some(at(NOW + 86_400)) },
            cosigned: Default::default(),
        };
        let roots = Lineage::of(&inception, step.hash);
        let warrant = roots.read(&root.seal(&warrant, &[]), None).unwrap();
        let installed = world.ledger.install(&warrant, world.now_ms);
        world.keep(installed).unwrap();
        world
    }

    /// A lattice with a trusted issuer, an enrolled host, and `cart` admitted, which imports logging.
    pub(crate) fn new() -> Self {
        Self::new_under(LAW)
    }

    fn new_under(law: u64) -> Self {
        let mut world = Self::bare_under(law);
        world.trust(&["*"]);
        world.enrol();
        world.admit_cart();
        world
    }

    /// As `new`, with the logging contract, its native builtin and a default.
    pub(crate) fn with_builtin() -> Self {
        Self::with_builtin_under(LAW)
    }

    /// The same, begun in the days of another law.
    pub(crate) fn with_builtin_under(law: u64) -> Self {
        let mut world = Self::new_under(law);
        world.publish(&contract(&world.issuer, 1)).unwrap();
        world.admit_native("native/logging@0.1.0").unwrap();
        world.default(Bind::Builtin).unwrap();
        world
    }

    pub(crate) fn nonce(&mut self) -> Nonce {
        self.counter += 1;
        // The first of them have one byte throughout, as in the vectors.
        let (low, high) = (self.counter as u8, (self.counter >> 8) as u8);
        Nonce::from_random(std::array::from_fn(|at| if at == 0 { low ^ high } else { low }))
    }

    pub(crate) fn keep<T>(&mut self, step: Step<T>) -> T {
        self.rows.push(step.bytes);
        self.evidence.extend(step.evidence);
        step.outcome
    }

    pub(crate) fn command(&mut self, operations: Vec<Operation>) -> Command {
        Command {
            iss: self.administrator.name,
            aud: self.ledger.state().lattice().clone(),
            inception_sha256: None,
            iat: Timestamp::from_millis(self.now_ms),
            not_after: Timestamp::from_millis(self.now_ms).plus(600),
            jti: self.nonce(),
            basis: self.ledger.head().epoch,
            planned: None,
            because: None,
            operations,
            statements: Vec::new(),
        }
    }

    pub(crate) fn submit(&mut self, command: Command, statements: &[Vec<u8>]) -> Result<(), Refusal> {
        self.submit_knowing(command, statements, Vec::new())
    }

    /// As `submit`, with what a broker would say of configurations.
    pub(crate) fn submit_knowing(
        &mut self,
        mut command: Command,
        statements: &[Vec<u8>],
        found: Vec<Checked>,
    ) -> Result<(), Refusal> {
        command.statements = statements.iter().map(|token| Digest::of(token)).collect();
        let bytes = self.administrator.seal(&command, statements);
        self.govern_knowing(&bytes, found)
    }

    /// Signs a command of those operations as this administrator, and gives it; its id is told, too.
    pub(crate) fn act_as(
        &mut self,
        seed: &str,
        operations: Vec<Operation>,
        statements: &[Vec<u8>],
    ) -> (Nonce, Result<(), Refusal>) {
        let pair = Pair::<Administrator>::seeded(seed);
        let statements_named = statements.iter().map(|token| Digest::of(token)).collect();
        let command = Command { iss: pair.name, statements: statements_named, ..self.command(operations) };
        (command.jti, self.govern(&pair.seal(&command, statements)))
    }

    /// Approves what waits, with all of it attached, as whoever has the bytes at hand would.
    pub(crate) fn approve_as(&mut self, seed: &str, id: Nonce) -> Result<(), Refusal> {
        let Some(waiting) = self.ledger.state().waiting().get(&id).cloned() else {
            let sha256 = Digest::of(b"nothing");
            return self.act_as(seed, vec![Operation::ApproveCommand(ApproveCommand { id, sha256 })], &[]).1;
        };
        let entry = Entry::read(&self.rows[waiting.index as usize]).unwrap();
        let pieces: Vec<Vec<u8>> = entry.evidence.iter().map(|sha256| self.evidence[sha256].clone()).collect();
        let sha256 = waiting.sha256;
        self.act_as(seed, vec![Operation::ApproveCommand(ApproveCommand { id, sha256 })], &pieces).1
    }

    pub(crate) fn govern(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        self.govern_knowing(bytes, Vec::new())
    }

    fn govern_knowing(&mut self, bytes: &[u8], found: Vec<Checked>) -> Result<(), Refusal> {
        let verified = Unverified::<Command>::parse(bytes)?.verify(self.ledger.state().administrators())?;
        let step = self.ledger.govern_knowing(&examine::command(verified), found, self.now_ms);
        self.keep(step)
    }

    pub(crate) fn act(&mut self, operation: Operation) -> Result<(), Refusal> {
        let command = self.command(vec![operation]);
        self.submit(command, &[])
    }

    pub(crate) fn act_with(&mut self, operation: Operation, statement: &[u8]) -> Result<(), Refusal> {
        let command = self.command(vec![operation]);
        self.submit(command, &[statement.to_vec()])
    }

    /// The proof that an issuer's owner would make now, for this lattice.
    pub(crate) fn proof(&mut self, issuer: &Pair<Issuer>) -> Vec<u8> {
        let (aud, iat) = (self.ledger.state().lattice().clone(), Timestamp::from_millis(self.now_ms));
        issuer.state(KeyProof { iss: issuer.name, aud, inception_sha256: None, iat, jti: self.nonce() }.draft())
    }

    pub(crate) fn trust(&mut self, scope: &[&str]) {
        let scope = scope.iter().map(|scope| scope.parse().unwrap()).collect();
        let kinds = BTreeSet::from([Kind::Component, Kind::Provider, Kind::Contract]);
        let key = self.issuer.name;
        self.act(Operation::AddIssuer(AddIssuer::vouched(key, scope, kinds, None))).unwrap();
    }

    pub(crate) fn enrol(&mut self) {
        let invite = Pair::<Invite>::seeded("1");
        let not_after = Timestamp::from_millis(self.now_ms).plus(3600);
        let labels = BTreeMap::from([("zone".to_owned(), "a".to_owned())]);
        self.act(Operation::InviteHost(InviteHost { invite: invite.name, labels, not_after })).unwrap();
        self.join(&invite).unwrap();
    }

    pub(crate) fn join(&mut self, invite: &Pair<Invite>) -> Result<(), Refusal> {
        let (jti, aud) = (self.nonce(), self.ledger.state().lattice().clone());
        let proof = InviteProof { iss: invite.name, aud: aud.clone(), host: self.host.name, jti };
        let proof = invite.seal(&proof, &[]);
        let iat = Timestamp::from_millis(self.now_ms);
        let join = Join { iss: self.host.name, aud, iat, jti, proof_sha256: Digest::of(&proof) };
        let verified = Unverified::<Join>::parse(&self.host.seal(&join, &[proof]))?.verify(&Possession)?;
        let step = self.ledger.enrol(&examine::join(verified)?, self.now_ms);
        self.keep(step)
    }

    pub(crate) fn admit_cart(&mut self) {
        let token = component_token(&self.issuer, "cart", None);
        self.admit("cart", &token, Vec::new()).unwrap();
    }

    pub(crate) fn admit(&mut self, id: &str, token: &[u8], exports: Vec<Import>) -> Result<(), Refusal> {
        self.admit_despite(id, token, exports, &[])
    }

    pub(crate) fn admit_despite(
        &mut self,
        id: &str,
        token: &[u8],
        exports: Vec<Import>,
        waivers: &[Waiver],
    ) -> Result<(), Refusal> {
        let operation = AdmitComponent {
            id: id.parse().unwrap(),
            sha256: file(id),
            claims_sha256: Digest::of(token),
            imports: vec![logging()],
            exports,
            waivers: waivers.iter().copied().collect(),
        };
        let command = self.command(vec![Operation::AdmitComponent(operation)]);
        self.submit(command, &[token.to_vec()])
    }

    pub(crate) fn publish(&mut self, contract: &Contract) -> Result<(), Refusal> {
        let token = contract_token(&self.issuer, contract);
        let sha256 = Digest::of(&token);
        let package = contract.sub.clone();
        let command = self.command(vec![Operation::PublishContract(PublishContract {
            package,
            sha256,
            waivers: Default::default(),
        })]);
        self.submit(command, &[token])
    }

    pub(crate) fn admit_native(&mut self, name: &str) -> Result<(), Refusal> {
        let native = Native::find(name).unwrap();
        let id = name.trim_start_matches("native/").split('@').next().unwrap();
        self.act(Operation::AdmitProvider(AdmitProvider {
            id: id.parse().unwrap(),
            subject: native.subject().unwrap(),
            sha256: native.sha256(),
            claims_sha256: None,
            serves: vec![native.serves().unwrap()],
            source: Source::Native,
            waivers: Default::default(),
        }))
    }

    /// Admits a component that serves logging, and returns its digest.
    pub(crate) fn admit_provider(&mut self, id: &str) -> Result<Digest, Refusal> {
        let token = component_token(&self.issuer, id, None);
        let operation = AdmitProvider {
            id: id.parse().unwrap(),
            subject: Subject::Component(Pair::<Component>::seeded(id).name),
            sha256: file(id),
            claims_sha256: Some(Digest::of(&token)),
            serves: vec![logging()],
            source: Source::Exports,
            waivers: Default::default(),
        };
        let command = self.command(vec![Operation::AdmitProvider(operation)]);
        self.submit(command, &[token])?;
        Ok(file(id))
    }

    pub(crate) fn default(&mut self, bind: Bind) -> Result<(), Refusal> {
        self.act(Operation::PutDefault(PutDefault { package: logging().package, bind, uniform: false }))
    }

    pub(crate) fn link(&mut self, provider: &str, name: &str) -> Result<(), Refusal> {
        self.put(PutLink { name: name.parse().unwrap(), ..put_to(provider) })
    }

    /// Links to a provider as its issuer signs it, from a revision on.
    pub(crate) fn link_pinned(&mut self, provider: &str, from: i32) -> Result<(), Refusal> {
        let (subject, key) = (Subject::Component(Pair::<Component>::seeded(provider).name), self.issuer.name);
        let pin = Some(Pin::Issuer(crate::govern::PinnedIssuer { key, from: Some(from), to: Some(from + 1) }));
        let newest = self.ledger.state().newest(&subject).map(|(sha256, _)| sha256);
        self.put(PutLink { sha256: newest.unwrap_or(file(provider)), pin, ..put_to(provider) })
    }

    pub(crate) fn put(&mut self, put: PutLink) -> Result<(), Refusal> {
        self.act(Operation::PutLink(put))
    }

    /// One stage of a switch of cart's link; prepared is the newest of a provider.
    pub(crate) fn switch(&mut self, step: u8, to: &str) -> Result<(), Refusal> {
        let PutLink { component, package, name, provider, .. } = put_to(to);
        let newest = self.ledger.state().newest(&provider).map(|(sha256, _)| sha256);
        let target = Target { provider, sha256: newest.unwrap_or(file(to)), config_sha256: None, pin: None };
        let stage = match step {
            0 | 1 => Stage::Prepare(target),
            2 => Stage::CutOver,
            3 => Stage::Rollback,
            _ => Stage::Retire,
        };
        self.act(Operation::SwitchLink(SwitchLink { component, package, name, stage }))
    }

    /// Accepts the ends of cart's link as they are.
    pub(crate) fn accept(&mut self) -> Result<(), Refusal> {
        let PutLink { component, package, name, .. } = put_to("logger");
        let key = LinkKey { component: component.clone(), package: package.clone(), name: name.clone() };
        let state = self.ledger.state();
        let link = state.links().get(&key).map(|slot| slot.record().provider.clone());
        let newest = link.and_then(|provider| state.newest(&provider)).map(|(sha256, _)| sha256);
        let provider_sha256 = newest.unwrap_or(file("logger"));
        let component_sha256 = state.components().get(&component).map(|record| record.sha256);
        self.act(Operation::AcceptLink(AcceptLink { component, package, name, provider_sha256, component_sha256 }))
    }

    /// Admits other bytes of a component that serves logging, in that revision, and returns their digest.
    pub(crate) fn revise(&mut self, id: &str, rev: i32) -> Result<Digest, Refusal> {
        let token = component_token_with(&self.issuer, id, None, Common { rev: Some(rev), ..common() });
        let sha256 = file(&format!("{id} {rev}"));
        let operation = AdmitProvider {
            id: id.parse().unwrap(),
            subject: Subject::Component(Pair::<Component>::seeded(id).name),
            sha256,
            claims_sha256: Some(Digest::of(&token)),
            serves: vec![logging()],
            source: Source::Exports,
            waivers: Default::default(),
        };
        let command = self.command(vec![Operation::AdmitProvider(operation)]);
        self.submit(command, &[token])?;
        Ok(sha256)
    }

    /// The request that this world's host would sign to start `cart`.
    pub(crate) fn request(&mut self) -> Asked {
        let token = component_token(&self.issuer, "cart", None);
        let inventory = Inventory { builtins: vec![offer("native/logging@0.1.0")] };
        let inventory = json::write(&inventory);
        let head = self.ledger.head();
        let request = StartRequest {
            iss: self.host.name,
            aud: self.ledger.state().lattice().clone(),
            iat: Timestamp::from_millis(self.now_ms),
            jti: self.nonce(),
            what: What::StartComponent,
            runs: Runs {
                id: "cart".parse().unwrap(),
                subject: Subject::Component(Pair::<Component>::seeded("cart").name),
                sha256: file("cart"),
                claims_sha256: Some(Digest::of(&token)),
            },
            imports: vec![logging()],
            inventory_sha256: Digest::of(&inventory),
            stood_in: Vec::new(),
            seen: Seen { epoch: head.epoch, index: head.size - 1, entry_sha256: head.last },
        };
        Asked { request, attachments: vec![token, inventory] }
    }

    pub(crate) fn ask(&mut self, asked: &Asked) -> Result<Ruling, Refusal> {
        let bytes = self.host.seal(&asked.request, &asked.attachments);
        let verified = Unverified::<StartRequest>::parse(&bytes)?.verify(self.ledger.state().host_keys())?;
        let step = self.ledger.rule(examine::start(verified, &Afresh)?, Facts::default(), self.now_ms);
        Ok(self.keep(step))
    }

    /// Asks to start `cart`.
    pub(crate) fn start(&mut self) -> Ruling {
        let asked = self.request();
        self.ask(&asked).unwrap()
    }
}

/// A request with its attachments.
#[derive(Clone)]
pub(crate) struct Asked {
    pub(crate) request: StartRequest,
    pub(crate) attachments: Vec<Vec<u8>>,
}

impl Asked {
    pub(crate) fn with_claims(mut self, token: Vec<u8>) -> Self {
        self.request.runs.claims_sha256 = Some(Digest::of(&token));
        self.attachments[0] = token;
        self
    }

    pub(crate) fn with_offers(mut self, builtins: Vec<Offer>) -> Self {
        let inventory = json::write(&Inventory { builtins });
        self.request.inventory_sha256 = Digest::of(&inventory);
        *self.attachments.last_mut().unwrap() = inventory;
        self
    }
}

pub(crate) fn at(seconds: u64) -> Timestamp {
    Timestamp::from_seconds(seconds).unwrap()
}

pub(crate) fn file(id: &str) -> Digest {
    Digest::of(format!("file {id}").as_bytes())
}

pub(crate) fn import(package: &str, version: &str, interfaces: &[&str]) -> Import {
    Import {
        package: Package::parse(package).unwrap(),
        version: Some(Version::parse(version).unwrap()),
        interfaces: interfaces.iter().map(|name| InterfaceName::parse(name).unwrap()).collect(),
    }
}

pub(crate) fn logging() -> Import {
    import("wasi:logging", "0.1.0-draft", &["logging"])
}

pub(crate) fn offer(native: &str) -> Offer {
    Native::find(native).unwrap().offer().unwrap()
}

pub(crate) fn unnamed() -> LinkName {
    LinkName::unnamed()
}

pub(crate) fn common() -> Common {
    let validity = Validity { iat: at(NOW - 100), nbf: None, exp: None };
    Common { jti: "j".into(), validity, name: None, rev: Some(1), ver: None }
}

/// Claims of the component that this id stands for.
pub(crate) fn component_token(issuer: &Pair<Issuer>, id: &str, caps: Option<Vec<&str>>) -> Vec<u8> {
    component_token_with(issuer, id, caps, common())
}

pub(crate) fn component_token_with(
    issuer: &Pair<Issuer>,
    id: &str,
    caps: Option<Vec<&str>>,
    common: Common,
) -> Vec<u8> {
    let claims = ComponentClaims {
        common,
        subject: Pair::<Component>::seeded(id).name,
        hash: file(id),
        tags: Vec::new(),
        call_alias: None,
        caps: caps.map(|caps| caps.into_iter().map(|cap| cap.parse().unwrap()).collect()),
    };
    issuer.state(claims::draft_component(&issuer.name, &claims))
}

pub(crate) fn contract(issuer: &Pair<Issuer>, revision: u64) -> Contract {
    Contract {
        iss: issuer.name,
        sub: logging().package,
        iat: at(NOW - 100),
        exp: None,
        revision,
        interfaces: logging().interfaces,
        tracks: vec![logging().version.unwrap().track()],
        providers: Providers {
            issuers: vec![issuer.name],
            subjects: vec![Native::find("native/logging@0.1.0").unwrap().subject().unwrap()],
        },
        defaultable: true,
        config: Configuration::None,
        config_schema_sha256: None,
        legacy_ids: vec!["wasmcloud:builtin:logging".parse().unwrap()],
    }
}

pub(crate) fn contract_token(issuer: &Pair<Issuer>, contract: &Contract) -> Vec<u8> {
    issuer.state(contract.draft())
}

/// A link of cart's logging to a provider's first bytes.
pub(crate) fn put_to(provider: &str) -> PutLink {
    PutLink {
        component: "cart".parse().unwrap(),
        package: logging().package,
        name: unnamed(),
        provider: Subject::Component(Pair::<Component>::seeded(provider).name),
        sha256: file(provider),
        config_sha256: None,
        pin: None,
        component_pin: None,
    }
}
