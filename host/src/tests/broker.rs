//! A broker of one process: a genuine ledger, genuine signatures, no disk and no network.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt;
use futures::future::BoxFuture;
use nkeys::{KeyPair, KeyPairType};
use policy::answer::{Receipt, StartAnswer, Verdict};
use policy::artifact::{Artifact, Import};
use policy::command::Command;
use policy::contract::{Configuration, Contract, Providers};
use policy::decide::Facts;
use policy::digest::Digest;
use policy::envelope::{Afresh, Document, Draft, Unverified};
use policy::examine::{self, Examined};
use policy::govern::{
    AddIssuer, AdmitComponent, AdmitProvider, Bind, DeleteDefault, DeleteLink, InviteHost, Operation, PublishContract,
    PutDefault, PutLink, Restore, RetireProvider,
};
use policy::inventory::HostInventory;
use policy::issuer::Kind;
use policy::join::{Join, Possession};
use policy::key::{Key, Name, Role};
use policy::lineage::Lineage;
use policy::log::{Checkpoint, Ledger, NoteKey, Ruling, Step};
use policy::name::{ComponentId, Lattice, LinkName, Package, Scope, Version};
use policy::native::NATIVES;
use policy::provider::{Source, Subject};
use policy::question::{Runs, StartRequest, What};
use policy::reason::Refusal;
use policy::time::Validity;
use policy::warrant::{DecisionKeys, Inception, Quorum, Warrant};
use policy::wire::{PERMIT_TTL_MS, Topic};
use policy::withdrawal::{Withdrawal, Withdrawals};
use tempfile::TempDir;

use crate::clock::{Clock, SystemClock};
use crate::error::Error;
use crate::identity::{HostKey, nonce};
use crate::invite::Invite;
use crate::limits::Limits;
use crate::memory::Memory;
use crate::start::{Host, Parts};
use crate::tests::guests::{self, key};
use crate::tests::leaves::Leaves;
use crate::transport::{Replies, Transport};

/// What the wire makes of a genuine answer: everything that arrives, in order.
pub(crate) type Mischief = Arc<dyn Fn(&Broker, &[u8], Vec<u8>) -> Vec<Vec<u8>> + Send + Sync>;

/// An entry that judged a command: its index and its bytes, and the command.
pub(crate) type Judged = (u64, Vec<u8>, Vec<u8>);

pub(crate) struct Broker {
    ledger: Mutex<Ledger>,
    pub(crate) leaves: Mutex<Leaves>,
    // Each restore.
    pub(crate) restores: Mutex<Vec<Judged>>,
    pub(crate) root: Digest,
    inception: Vec<u8>,
    warrant: Mutex<Vec<u8>>,
    pub(crate) asked: Mutex<Vec<Vec<u8>>>,
    pub(crate) inventories: Mutex<Vec<HostInventory>>,
    dir: TempDir,
}

pub(crate) fn name<R: Role>(pair: &KeyPair) -> Name<R> {
    Name::parse(&pair.public_key()).unwrap()
}

pub(crate) fn decision() -> KeyPair {
    key(KeyPairType::Cluster, 3)
}

pub(crate) fn id(text: &str) -> ComponentId {
    ComponentId::parse(text).unwrap()
}

pub(crate) fn seal<T: Document>(pair: &KeyPair, document: &T, attachments: &[&[u8]]) -> Vec<u8> {
    let draft = Draft::of(document);
    let signature = pair.sign(draft.signing_input()).unwrap();
    draft.seal_with(&signature, attachments.iter().copied())
}

impl Broker {
    /// A lattice with base contracts, defaults, a host that has joined, and `cart`, `dice`, `greeter` and `logger`.
    pub(crate) fn new() -> Arc<Self> {
        Self::of_lattice("default")
    }

    pub(crate) fn of_lattice(lattice: &str) -> Arc<Self> {
        let lattice = Lattice::parse(lattice).unwrap();
        let log_key = NoteKey::of(&lattice, name::<policy::key::Host>(&log_pair()).raw()).unwrap().to_string();
        let inception = Inception {
            lattice,
            roots: Quorum { threshold: 1, keys: vec![Key::parse(&root_pair().public_key()).unwrap()] },
            administrators: Quorum { threshold: 1, keys: vec![Key::parse(&admin().public_key()).unwrap()] },
            log_key,
        };
        let (ledger, step) = Ledger::incept(inception, SystemClock.wall_ms()).unwrap();
        let mut leaves = Leaves::default();
        leaves.append(step.hash);
        let broker = Self {
            ledger: Mutex::new(ledger),
            leaves: Mutex::new(leaves),
            restores: Mutex::default(),
            root: step.hash,
            inception: step.bytes,
            warrant: Mutex::default(),
            asked: Mutex::default(),
            inventories: Mutex::default(),
            dir: tempfile::tempdir().unwrap(),
        };
        broker.install(1, &decision());
        broker.furnish();
        Arc::new(broker)
    }

    /// Installs a warrant for one decision key.
    pub(crate) fn install(&self, serial: u64, pair: &KeyPair) {
        let token = self.warrant_for(serial, pair, &root_pair());
        let mut ledger = self.ledger.lock().unwrap();
        let inception = ledger.state().inception().clone();
        let roots = Lineage::of(&inception, self.root);
        let verified = roots.read(&token, None).unwrap();
        let step = ledger.install(&verified, SystemClock.wall_ms());
        step.outcome.unwrap();
        self.leaves.lock().unwrap().append(step.hash);
        *self.warrant.lock().unwrap() = token;
    }

    /// A warrant that nobody installed.
    pub(crate) fn warrant_for(&self, serial: u64, pair: &KeyPair, root: &KeyPair) -> Vec<u8> {
        let inception = self.ledger.lock().unwrap().state().inception().clone();
        let now = SystemClock.now();
        let iat = policy::time::Timestamp::from_seconds(now.seconds() - 60).unwrap();
        let warrant = Warrant {
            iss: name(root),
            lattice: inception.lattice.clone(),
            inception_sha256: self.root,
            reset: 0,
            serial,
            decision_keys: vec![Key::parse(&pair.public_key()).unwrap()],
            ends: Default::default(),
            log_key: inception.log_key,
            validity: Validity { iat, nbf: None, exp: Some(now.plus(86_400)) },
            cosigned: Default::default(),
        };
        seal(root, &warrant, &[])
    }

    fn furnish(&self) {
        let kinds = BTreeSet::from([Kind::Component, Kind::Provider, Kind::Contract]);
        let scope = BTreeSet::from([Scope::Everything]);
        let issuer = AddIssuer::vouched(name(&guests::issuer()), scope, kinds, None);
        self.command(vec![Operation::AddIssuer(issuer)], &[]);
        for native in NATIVES {
            let serves = native.serves().unwrap();
            self.publish(&serves);
            let name = format!("native-{}", serves.package.as_str().replace(':', "-"));
            let (subject, sha256) = (native.subject().unwrap(), native.sha256());
            let admit = AdmitProvider {
                id: id(&name),
                subject,
                sha256,
                claims_sha256: None,
                serves: vec![serves.clone()],
                source: Source::Native,
                waivers: Default::default(),
            };
            let default = PutDefault { package: serves.package, bind: Bind::Builtin, uniform: false };
            self.command(vec![Operation::AdmitProvider(admit), Operation::PutDefault(default)], &[]);
        }
        for guest in ["cart", "dice", "greeter"] {
            self.admit(guest, &guests::signed(guest));
        }
        self.admit_provider("logger", &guests::signed("logger"));
        let line = self.invitation();
        let invite = Invite::parse(&line).unwrap();
        let host = HostKey::load_or_make(self.dir.path()).unwrap();
        let wire = Quiet(self);
        let joined = crate::join::join(self.dir.path(), &host, &invite, &wire, &SystemClock, Duration::from_secs(5));
        futures::executor::block_on(tokio_less(joined)).unwrap();
    }

    /// Publishes a contract that any provider of the issuer, and any native one of that package, may answer.
    pub(crate) fn publish(&self, serves: &Import) {
        let issuer = name(&guests::issuer());
        let natives = NATIVES.iter().filter(|native| native.package == serves.package.as_str());
        let contract = Contract {
            iss: issuer,
            sub: serves.package.clone(),
            iat: policy::time::Timestamp::from_seconds(1_700_000_000).unwrap(),
            exp: None,
            revision: 1,
            interfaces: serves.interfaces.clone(),
            tracks: serves.version.iter().map(Version::track).collect(),
            providers: Providers {
                issuers: vec![issuer],
                subjects: natives.map(|native| native.subject().unwrap()).collect(),
            },
            defaultable: true,
            config: Configuration::None,
            config_schema_sha256: None,
            legacy_ids: Vec::new(),
        };
        let draft = contract.draft();
        let signature = guests::issuer().sign(draft.signing_input()).unwrap();
        let token = draft.seal(&signature).into_bytes();
        let publish = PublishContract {
            package: serves.package.clone(),
            sha256: Digest::of(&token),
            waivers: Default::default(),
        };
        self.command(vec![Operation::PublishContract(publish)], &[&token]);
    }

    pub(crate) fn admit(&self, as_id: &str, bytes: &[u8]) {
        let (file, token) = parts(bytes);
        let admit = AdmitComponent {
            id: id(as_id),
            sha256: file.sha256(),
            claims_sha256: Digest::of(&token),
            imports: file.imports().to_vec(),
            exports: file.exports().to_vec(),
            waivers: Default::default(),
        };
        self.command(vec![Operation::AdmitComponent(admit)], &[&token]);
    }

    pub(crate) fn admit_provider(&self, as_id: &str, bytes: &[u8]) {
        let (file, token) = parts(bytes);
        let admit = AdmitProvider {
            id: id(as_id),
            subject: subject(&token),
            sha256: file.sha256(),
            claims_sha256: Some(Digest::of(&token)),
            serves: file.exports().to_vec(),
            source: Source::Exports,
            waivers: Default::default(),
        };
        self.command(vec![Operation::AdmitProvider(admit)], &[&token]);
    }

    pub(crate) fn link(&self, component: &str, package: &str, provider: &[u8]) {
        let (file, token) = parts(provider);
        let link = PutLink {
            component: id(component),
            package: Package::parse(package).unwrap(),
            name: LinkName::unnamed(),
            provider: subject(&token),
            sha256: file.sha256(),
            config_sha256: None,
            pin: None,
            component_pin: None,
        };
        self.command(vec![Operation::PutLink(link)], &[]);
    }

    pub(crate) fn unlink(&self, component: &str, package: &str) {
        let (component, package) = (id(component), Package::parse(package).unwrap());
        let delete = DeleteLink { component, package, name: LinkName::unnamed(), accept_default: false, running: None };
        self.command(vec![Operation::DeleteLink(delete)], &[]);
    }

    pub(crate) fn retire(&self, sha256: Digest) {
        self.command(vec![Operation::RetireProvider(RetireProvider { sha256, running: None })], &[]);
    }

    pub(crate) fn forget_default(&self, package: &str) {
        let package = Package::parse(package).unwrap();
        self.command(vec![Operation::DeleteDefault(DeleteDefault { package })], &[]);
    }

    pub(crate) fn lacks(&self, package: &str) -> bool {
        !self.ledger.lock().unwrap().state().contracts().contains_key(&Package::parse(package).unwrap())
    }

    /// The line that lets one host in.
    pub(crate) fn invitation(&self) -> String {
        let pair = KeyPair::new_server();
        let not_after = SystemClock.now().plus(600);
        let invite = InviteHost { invite: name(&pair), labels: Default::default(), not_after };
        self.command(vec![Operation::InviteHost(invite)], &[]);
        let url = data_encoding::BASE64URL_NOPAD.encode(b"nats://127.0.0.1:4222");
        format!("countersign-invite:v1:{}:{url}:{}:{}", self.lattice(), self.root, pair.seed().unwrap())
    }

    pub(crate) fn lattice(&self) -> Lattice {
        self.ledger.lock().unwrap().state().lattice().clone()
    }

    pub(crate) fn command(&self, operations: Vec<Operation>, statements: &[&[u8]]) {
        self.command_by(&admin(), operations, statements);
    }

    /// Restores this log, which is an older one that was put back: fills what is lost, and records the act.
    pub(crate) fn restore_by(&self, by: &KeyPair, restore: Restore) {
        while self.ledger().head().size < restore.seen {
            let step = self.ledger.lock().unwrap().lose(SystemClock.wall_ms());
            self.leaves.lock().unwrap().append(step.hash);
        }
        let told = self.command_by(by, vec![Operation::Restore(restore)], &[]);
        self.restores.lock().unwrap().push(told);
    }

    fn command_by(&self, by: &KeyPair, operations: Vec<Operation>, statements: &[&[u8]]) -> Judged {
        let mut ledger = self.ledger.lock().unwrap();
        let now = SystemClock.now();
        let command = Command {
            iss: name(by),
            aud: ledger.state().lattice().clone(),
            inception_sha256: None,
            iat: now,
            not_after: now.plus(60),
            jti: nonce().unwrap(),
            basis: ledger.head().epoch,
            planned: None,
            because: None,
            operations,
            statements: statements.iter().map(|statement| Digest::of(statement)).collect(),
        };
        let bytes = seal(by, &command, statements);
        let verified = Unverified::<Command>::parse(&bytes).unwrap().verify(ledger.state().administrators()).unwrap();
        let step = ledger.govern(&examine::command(verified), SystemClock.wall_ms());
        step.outcome.unwrap();
        self.leaves.lock().unwrap().append(step.hash);
        (step.index, step.bytes, bytes)
    }

    /// The newest checkpoint, as it is announced.
    pub(crate) fn notice(&self) -> Vec<u8> {
        self.notice_by(&log_pair())
    }

    /// The same, signed by whoever has that key.
    pub(crate) fn notice_by(&self, pair: &KeyPair) -> Vec<u8> {
        let ledger = self.ledger.lock().unwrap();
        let (head, lattice) = (ledger.head(), ledger.state().lattice());
        let note_key = NoteKey::of(lattice, name::<policy::key::Host>(pair).raw()).unwrap();
        let root = self.leaves.lock().unwrap().root();
        let origin = format!("countersign/{lattice}");
        let checkpoint = Checkpoint { origin, size: head.size, root, epoch: head.epoch, last: head.last };
        let signature: [u8; 64] = pair.sign(checkpoint.text().as_bytes()).unwrap().try_into().unwrap();
        note_key.note(&checkpoint.text(), &signature).into_bytes()
    }

    /// The warrant in force.
    pub(crate) fn warrant(&self) -> Vec<u8> {
        self.warrant.lock().unwrap().clone()
    }

    /// A copy of the whole broker, its keys too, that goes its own way from here.
    pub(crate) fn copy(&self) -> Arc<Self> {
        Arc::new(Self {
            ledger: Mutex::new(self.ledger()),
            leaves: Mutex::new(self.leaves.lock().unwrap().clone()),
            restores: Mutex::new(self.restores.lock().unwrap().clone()),
            root: self.root,
            inception: self.inception.clone(),
            warrant: Mutex::new(self.warrant.lock().unwrap().clone()),
            asked: Mutex::default(),
            inventories: Mutex::default(),
            dir: tempfile::tempdir().unwrap(),
        })
    }

    /// One entry more that governs nothing.
    pub(crate) fn count(&self) {
        let turned_away = [(policy::reason::Reason::Expired, 1)].into();
        let step = self.ledger.lock().unwrap().count(turned_away, SystemClock.wall_ms());
        self.leaves.lock().unwrap().append(step.hash);
    }

    /// Decides a request, genuinely.
    pub(crate) fn decide(&self, request: &[u8]) -> Result<StartAnswer, Refusal> {
        let mut ledger = self.ledger.lock().unwrap();
        let request = Unverified::<StartRequest>::parse(request)?.verify(ledger.state().host_keys())?;
        let (what, runs) = (request.what, request.runs.clone());
        let (aud, jti, request_sha256) = (request.iss, request.jti, request.sha256());
        let step = ledger.rule(examine::start(request, &Afresh)?, Facts::default(), SystemClock.wall_ms());
        self.leaves.lock().unwrap().append(step.hash);
        Ok(self.answer(&step, what, runs, (aud, jti, request_sha256), ledger.state().lattice().clone()))
    }

    /// The genuine answer that a step leads to.
    pub(crate) fn answer(
        &self,
        step: &Step<Ruling>,
        what: What,
        runs: Runs,
        (aud, jti, request_sha256): (Name<policy::key::Host>, policy::wire::Nonce, Digest),
        lattice: Lattice,
    ) -> StartAnswer {
        let decision = step.outcome.decision();
        let reason = decision.refusal().map(|refusal| refusal.reason);
        let (component, provider) = match what {
            What::StartComponent => (Some(runs), None),
            What::StartProvider => (None, Some(runs)),
        };
        StartAnswer {
            iss: name(&decision_pair()),
            aud,
            lattice,
            warrant_sha256: Digest::of(&self.warrant.lock().unwrap()),
            request_sha256,
            jti,
            verdict: if reason.is_none() { Verdict::Permitted } else { Verdict::Refused },
            reason,
            ttl_ms: PERMIT_TTL_MS,
            component,
            provider,
            outcomes: decision.outcomes().to_vec(),
            epoch: step.epoch,
            index: step.index,
            entry_sha256: step.hash,
            relaxations: decision.relaxed().to_vec(),
            standby: step.outcome.standby().cloned(),
        }
    }

    /// Signs an answer with the decision key of the warrant.
    pub(crate) fn sign(&self, answer: &StartAnswer) -> Vec<u8> {
        seal(&decision_pair(), answer, &[&self.warrant.lock().unwrap()])
    }

    fn enrol(&self, join: &[u8]) -> Vec<u8> {
        let join = Unverified::<Join>::parse(join).unwrap().verify(&Possession).unwrap();
        let request_sha256 = join.sha256();
        let mut ledger = self.ledger.lock().unwrap();
        let step = ledger.enrol(&examine::join(join).unwrap(), SystemClock.wall_ms());
        self.leaves.lock().unwrap().append(step.hash);
        let warrant = self.warrant.lock().unwrap().clone();
        let receipt = Receipt {
            iss: name(&decision_pair()),
            lattice: ledger.state().lattice().clone(),
            warrant_sha256: Digest::of(&warrant),
            inception_bytes_sha256: Digest::of(&self.inception),
            roots_sha256: None,
            request_sha256,
            reason: step.outcome.as_ref().err().map(|refusal| refusal.reason),
            detail: step.outcome.as_ref().err().map(|refusal| refusal.detail.clone()),
            pending: None,
            epoch: step.epoch,
            index: step.index,
            entry_sha256: step.hash,
        };
        seal(&decision_pair(), &receipt, &[&warrant, &self.inception])
    }

    // The genuine word on an inventory; what was closed is kept for the tests.
    fn withdrawals(&self, payload: &[u8]) -> Vec<u8> {
        let ledger = self.ledger.lock().unwrap();
        let inventory =
            Unverified::<HostInventory>::parse(payload).unwrap().verify(ledger.state().host_keys()).unwrap();
        let withdrawal = |runs: &policy::inventory::Runs| {
            let lost = ledger.state().withdrawn().of(&inventory.iss, runs)?;
            let (component, index, since) = (runs.component.clone(), runs.index, lost.since);
            Some(Withdrawal { component, index, close: lost.running.close()?, since })
        };
        let warrant = self.warrant.lock().unwrap().clone();
        let told = Withdrawals {
            iss: name(&decision_pair()),
            aud: inventory.iss,
            lattice: ledger.state().lattice().clone(),
            warrant_sha256: Digest::of(&warrant),
            request_sha256: inventory.sha256(),
            epoch: ledger.head().epoch,
            withdrawn: inventory.running.iter().filter_map(withdrawal).collect(),
            noted: inventory.closed.iter().map(|closed| closed.number).max().unwrap_or_default(),
        };
        self.inventories.lock().unwrap().push((*inventory).clone());
        seal(&decision_pair(), &told, &[&warrant])
    }

    /// What this broker says to a message on a subject.
    pub(crate) fn reply(&self, subject: &str, payload: &[u8]) -> Vec<u8> {
        if subject == Topic::Inventory.subject(&self.lattice()) {
            return self.withdrawals(payload);
        }
        if subject == Topic::Growth.subject(&self.lattice()) {
            return self.grown(payload);
        }
        self.asked.lock().unwrap().push(payload.to_vec());
        if subject == Topic::Join.subject(&self.lattice()) {
            return self.enrol(payload);
        }
        self.decide(payload).map(|answer| self.sign(&answer)).unwrap_or_default()
    }

    /// The ledger as it is now, for a world of its own.
    pub(crate) fn ledger(&self) -> Ledger {
        self.ledger.lock().unwrap().clone()
    }

    /// The verifier of this broker's answers.
    pub(crate) fn decision_keys(&self) -> DecisionKeys {
        let inception = self.ledger.lock().unwrap().state().inception().clone();
        let roots = Lineage::of(&inception, self.root);
        let warrant = roots.read(&self.warrant.lock().unwrap(), None).unwrap();
        DecisionKeys::of(&warrant, SystemClock.now()).unwrap()
    }

    /// A command that its administrator signed, verified, and judged by nobody yet.
    pub(crate) fn signed_command(&self, operations: Vec<Operation>) -> Examined<Command> {
        let ledger = self.ledger.lock().unwrap();
        let now = SystemClock.now();
        let command = Command {
            iss: name(&admin()),
            aud: ledger.state().lattice().clone(),
            inception_sha256: None,
            iat: now,
            not_after: now.plus(600),
            jti: nonce().unwrap(),
            basis: ledger.head().epoch,
            planned: None,
            because: None,
            operations,
            statements: Vec::new(),
        };
        let bytes = seal(&admin(), &command, &[]);
        examine::command(Unverified::<Command>::parse(&bytes).unwrap().verify(ledger.state().administrators()).unwrap())
    }

    /// Lets another host in, with a folder of its own.
    pub(crate) fn another_host(&self) -> (TempDir, HostKey, Memory) {
        let dir = tempfile::tempdir().unwrap();
        let invite = Invite::parse(&self.invitation()).unwrap();
        let host = HostKey::load_or_make(dir.path()).unwrap();
        let wire = Quiet(self);
        let joined = crate::join::join(dir.path(), &host, &invite, &wire, &SystemClock, Duration::from_secs(5));
        futures::executor::block_on(tokio_less(joined)).unwrap();
        let memory = Memory::load(dir.path()).unwrap();
        (dir, host, memory)
    }

    /// The key of the host that joined.
    pub(crate) fn host_key(&self) -> HostKey {
        HostKey::load(self.dir.path()).unwrap()
    }

    /// The memory of the host that joined.
    pub(crate) fn memory(&self) -> Memory {
        Memory::load(self.dir.path()).unwrap()
    }

    pub(crate) fn dir(&self) -> &std::path::Path {
        self.dir.path()
    }
}

/// A host with everything in reach of a test.
pub(crate) struct Bench {
    pub(crate) broker: Arc<Broker>,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) lines: Arc<Mutex<Vec<String>>>,
    pub(crate) limits: Limits,
    pub(crate) timeout: Duration,
    pub(crate) mischief: Mischief,
    pub(crate) artifacts: Option<crate::folder::Folder>,
    pub(crate) builtins: Option<crate::folder::Folder>,
    pub(crate) memory: Arc<Memory>,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let broker = Broker::new();
        Self {
            memory: Arc::new(broker.memory()),
            broker,
            clock: Arc::default(),
            lines: Arc::default(),
            limits: Limits::default(),
            timeout: Duration::from_secs(20),
            mischief: Arc::new(|_, _, genuine| vec![genuine]),
            artifacts: None,
            builtins: None,
        }
    }

    pub(crate) fn with(mischief: impl Fn(&Broker, &[u8], Vec<u8>) -> Vec<Vec<u8>> + Send + Sync + 'static) -> Self {
        Self { mischief: Arc::new(mischief), ..Self::new() }
    }

    pub(crate) async fn host(&self) -> Host {
        self.host_on(Arc::new(Wire { broker: Arc::clone(&self.broker), mischief: Arc::clone(&self.mischief) })).await
    }

    pub(crate) async fn host_on(&self, transport: Arc<dyn Transport>) -> Host {
        let lines = Arc::clone(&self.lines);
        let parts = Parts {
            key: HostKey::load(self.broker.dir()).unwrap(),
            memory: Arc::clone(&self.memory),
            transport,
            clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
            builtins: self.builtins.clone(),
            artifacts: self.artifacts.clone(),
            timeout: self.timeout,
            limits: self.limits,
            sink: Arc::new(move |line| lines.lock().unwrap().push(line.to_owned())),
        };
        Host::new(parts).await.unwrap()
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }
}

/// The system's clocks, and what a test adds to them.
#[derive(Default)]
pub(crate) struct TestClock {
    pub(crate) boot_ahead_ms: AtomicU64,
    pub(crate) wall_ahead_ms: AtomicU64,
    pub(crate) wall_behind_ms: AtomicU64,
}

impl Clock for TestClock {
    fn boot_ms(&self) -> u64 {
        SystemClock.boot_ms() + self.boot_ahead_ms.load(Ordering::SeqCst)
    }

    fn wall_ms(&self) -> u64 {
        SystemClock.wall_ms() + self.wall_ahead_ms.load(Ordering::SeqCst) - self.wall_behind_ms.load(Ordering::SeqCst)
    }
}

struct Wire {
    broker: Arc<Broker>,
    mischief: Mischief,
}

impl Transport for Wire {
    fn ask(&self, subject: String, payload: Vec<u8>) -> BoxFuture<'_, Result<Replies, Error>> {
        // What is sent again has arrived already: here nothing is lost.
        if self.broker.asked.lock().unwrap().contains(&payload) {
            return Box::pin(async { Ok(futures::stream::pending().boxed()) });
        }
        let genuine = self.broker.reply(&subject, &payload);
        let topics = [Topic::Inventory, Topic::Growth].map(|topic| topic.subject(&self.broker.lattice()));
        if topics.contains(&subject) {
            return Box::pin(async move { Ok(futures::stream::iter([genuine]).boxed()) });
        }
        let replies = (self.mischief)(&self.broker, &payload, genuine);
        // A wire stays open behind what was said.
        Box::pin(async move { Ok(futures::stream::iter(replies).chain(futures::stream::pending()).boxed()) })
    }

    fn listen(&self, _subject: String) -> BoxFuture<'_, Result<Replies, Error>> {
        Box::pin(async { Ok(futures::stream::pending().boxed()) })
    }

    fn address(&self) -> String {
        "the test's wire".to_owned()
    }
}

/// A wire that only carries.
pub(crate) fn wire(broker: &Arc<Broker>) -> Box<dyn Transport> {
    Box::new(Wire { broker: Arc::clone(broker), mischief: Arc::new(|_, _, genuine| vec![genuine]) })
}

/// A wire that takes a question and never comes back.
pub(crate) struct Hung;

impl Transport for Hung {
    fn ask(&self, _subject: String, _payload: Vec<u8>) -> BoxFuture<'_, Result<Replies, Error>> {
        Box::pin(futures::future::pending())
    }

    fn listen(&self, _subject: String) -> BoxFuture<'_, Result<Replies, Error>> {
        Box::pin(async { Ok(futures::stream::pending().boxed()) })
    }

    fn address(&self) -> String {
        "a wire that is down".to_owned()
    }
}

struct Quiet<'a>(&'a Broker);

impl Transport for Quiet<'_> {
    fn ask(&self, subject: String, payload: Vec<u8>) -> BoxFuture<'_, Result<Replies, Error>> {
        let genuine = self.0.reply(&subject, &payload);
        Box::pin(async move { Ok(futures::stream::iter([genuine]).boxed()) })
    }

    fn listen(&self, _subject: String) -> BoxFuture<'_, Result<Replies, Error>> {
        Box::pin(async { Ok(futures::stream::pending().boxed()) })
    }

    fn address(&self) -> String {
        "the test's wire".to_owned()
    }
}

// Joining waits on tokio's clock: outside a test's own runtime it needs one for the moment.
async fn tokio_less<T: Send>(work: impl Future<Output = T> + Send) -> T {
    std::thread::scope(|scope| {
        let run = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work);
        scope.spawn(run).join().unwrap()
    })
}

fn parts(bytes: &[u8]) -> (policy::artifact::component::ComponentFile, Vec<u8>) {
    let Artifact::Component(file) = policy::artifact::read(bytes).unwrap() else { panic!("no component") };
    let token = file.token().unwrap().to_vec();
    (file, token)
}

fn subject(token: &[u8]) -> Subject {
    Subject::Component(policy::claims::read_component(token).unwrap().subject)
}

pub(crate) fn root_pair() -> KeyPair {
    key(KeyPairType::Operator, 1)
}

pub(crate) fn admin() -> KeyPair {
    key(KeyPairType::Operator, 2)
}

fn decision_pair() -> KeyPair {
    decision()
}

fn log_pair() -> KeyPair {
    key(KeyPairType::Server, 5)
}
