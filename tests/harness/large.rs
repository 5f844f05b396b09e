//! A large lattice: many issuers, components and links, put there by signed commands, and hosts that run much of it.
//!
//! What is made of it is left to tests and benchmarks.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Output;
use std::sync::Arc;

use broker::clock::SystemClock;
use broker::folder::Folder;
use broker::keys::{SigningKey, nonce};
use broker::service::Service;
use policy::answer::{Receipt, StartAnswer, Verdict};
use policy::artifact::Import;
use policy::claims::{Common, ComponentClaims, draft_component};
use policy::command::Command;
use policy::contract::{Configuration, Contract, Providers};
use policy::digest::Digest;
use policy::envelope::Unverified;
use policy::govern::{AddIssuer, AdmitComponent, AdmitProvider, InviteHost, Operation, PublishContract, PutLink};
use policy::inventory::{Bound, HostInventory, Runs as Running};
use policy::issuer::Kind;
use policy::join::{InviteProof, Join};
use policy::json;
use policy::key::{Administrator, Component, Host, Invite, Issuer, Name};
use policy::log::leaf_hash;
use policy::name::{ComponentId, LinkName, Version};
use policy::provider::{Source, Subject};
use policy::question::{Inventory, Runs, Seen};
use policy::time::Validity;
use policy::wire::Topic;
use serde_json::Value;

use crate::asker::{Asker, lattice_name, now, send};
use crate::lattice::{Lattice, path};
use crate::program::program;

/// How large.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// How many issuers are trusted besides the one whose word everything rests on that runs.
    pub issuers: usize,
    /// How many links there are.
    pub links: usize,
    /// How many hosts there are.
    pub hosts: usize,
    /// How many components each of them runs, each with ten imports.
    pub runs: usize,
}

/// Such a lattice, with its broker.
pub struct Large {
    /// Its processes and files.
    pub lattice: Lattice,
    /// Who signed everything that runs.
    pub issuer: Name<Issuer>,
    hosts: Vec<Asker>,
    running: Vec<(HostInventory, Asker)>,
    root: Digest,
}

/// How many imports each running component has.
pub const IMPORTS: usize = 10;
// The links of one import of a component that does not run.
const NAMES: usize = 10;

impl Large {
    /// Makes it, starts everything once, has each host say what it runs, and serves it.
    pub async fn new(size: Size) -> Self {
        let mut lattice = Lattice::quiet();
        let folder = Folder::open(&lattice.path("lattice")).expect("a folder");
        let admin = SigningKey::load(&folder.key("admin")).expect("the administrator's key");
        let service = Service::open(&folder, Arc::new(SystemClock::default())).await.expect("it opens");
        let epoch = service.snapshot().await.expect("it looks").head.epoch;
        let mut founding = Founding { service, admin, epoch, issuer: SigningKey::generate().expect("a key") };
        founding.trust(size.issuers).await;
        let providers = founding.provide().await;
        let running = founding.admit("cart", size.runs).await;
        let others = size.links.saturating_sub(size.runs * IMPORTS).div_ceil(IMPORTS * NAMES);
        let idle = founding.admit("idle", others).await;
        founding.link(&running, &idle, &providers, size.links).await;
        let hosts = founding.enrol(&running[0], size.hosts).await;
        let told = founding.start(&hosts, &running).await;
        let (issuer, root) = (founding.issuer.name(), leaf_hash(&founding.service.papers().1));
        founding.service.close().await.expect("it closes");
        lattice.serve();
        let large = Self { lattice, issuer, hosts, running: told, root };
        large.report().await;
        large
    }

    /// Has each host say again what it runs.
    pub async fn report(&self) {
        for (inventory, host) in &self.running {
            let client = host.connect(&self.lattice.nats.url()).await;
            let bytes = host.key.sign(&HostInventory { iat: now(), ..inventory.clone() }, []);
            let told = send(&client, Topic::Inventory, bytes).await.expect("the broker's word");
            assert!(told.headers.is_none(), "{:?}", told.headers);
        }
    }

    /// The hosts.
    pub fn hosts(&self) -> &[Asker] {
        &self.hosts
    }

    /// Runs `countersign` as an operator who has the lattice's name, his key, and no folder.
    pub fn away(&self, key: &str, arguments: &[&str]) -> Output {
        let (key, root, nowhere) = (self.lattice.path(key), self.root.to_string(), self.lattice.path("nowhere"));
        let url = self.lattice.nats.url();
        let mut command = program("countersign");
        command.args(["--dir", path(&nowhere), "--nats-url", &url, "--root", &root, "--key", path(&key)]);
        command.args(arguments).output().expect("it starts")
    }

    /// The same: its exit code, and the object that it printed.
    pub fn away_json(&self, key: &str, arguments: &[&str]) -> (i32, Value) {
        let output = self.away(key, &[&["-o", "json"], arguments].concat());
        let printed = if output.stdout.is_empty() { &output.stderr } else { &output.stdout };
        let object = serde_json::from_slice(printed);
        let object = object.unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(printed)));
        (output.status.code().unwrap_or(-1), object)
    }
}

/// The administrator's key, in the lattice's room.
pub const ADMIN: &str = "lattice/keys/admin.nk";

// A component, admitted under an id.
struct Admitted {
    id: ComponentId,
    subject: Name<Component>,
    sha256: Digest,
    token: Vec<u8>,
}

struct Founding {
    service: Service,
    admin: SigningKey<Administrator>,
    epoch: u64,
    issuer: SigningKey<Issuer>,
}

impl Founding {
    async fn act(&mut self, operations: Vec<Operation>, statements: &[Vec<u8>]) {
        let command = Command {
            iss: self.admin.name(),
            aud: lattice_name(),
            inception_sha256: None,
            iat: now(),
            not_after: now().plus(60),
            jti: nonce().expect("randomness"),
            basis: self.epoch,
            planned: None,
            because: None,
            operations,
            statements: statements.iter().map(|statement| Digest::of(statement)).collect(),
        };
        let bytes = self.admin.sign(&command, statements.iter().map(Vec::as_slice));
        let receipt = self.service.command(&bytes).await.expect("it is judged");
        let receipt = Unverified::<Receipt>::parse(&receipt).expect("a receipt");
        let (reason, detail) = (receipt.says().reason, &receipt.says().detail);
        assert_eq!(reason, None, "{detail:?}");
        self.epoch = receipt.says().epoch;
    }

    async fn in_batches(&mut self, acts: Vec<(Operation, Option<Vec<u8>>)>, most: usize) {
        for batch in acts.chunks(most) {
            let (operations, statements): (Vec<_>, Vec<_>) = batch.iter().cloned().unzip();
            self.act(operations, &statements.into_iter().flatten().collect::<Vec<_>>()).await;
        }
    }

    async fn trust(&mut self, others: usize) {
        let mut keys = vec![self.issuer.name()];
        keys.extend((0..others).map(|_| SigningKey::<Issuer>::generate().expect("a key").name()));
        let kinds = BTreeSet::from([Kind::Component, Kind::Provider, Kind::Contract]);
        let everything = BTreeSet::from(["*".parse().expect("a scope")]);
        let add = |key| AddIssuer::vouched(key, everything.clone(), kinds.clone(), None);
        let acts = keys.into_iter().map(|key| (Operation::AddIssuer(add(key)), None));
        self.in_batches(acts.collect(), 1000).await;
    }

    async fn provide(&mut self) -> Vec<(Subject, Digest)> {
        let (mut acts, mut found) = (Vec::new(), Vec::new());
        for number in 0..IMPORTS {
            let import = import(number);
            let contract = self.issuer.sign_contract(&self.contract(&import)).into_bytes();
            let publish = PublishContract {
                package: import.package.clone(),
                sha256: Digest::of(&contract),
                waivers: Default::default(),
            };
            acts.push((Operation::PublishContract(publish), Some(contract)));
            let admitted = self.claimed(&format!("provider-{number}"));
            let subject = Subject::Component(admitted.subject);
            found.push((subject.clone(), admitted.sha256));
            let admit = AdmitProvider {
                id: admitted.id,
                subject,
                sha256: admitted.sha256,
                claims_sha256: Some(Digest::of(&admitted.token)),
                serves: vec![import],
                source: Source::Exports,
                waivers: BTreeSet::new(),
            };
            acts.push((Operation::AdmitProvider(admit), Some(admitted.token)));
        }
        self.in_batches(acts, 100).await;
        found
    }

    async fn admit(&mut self, word: &str, count: usize) -> Vec<Admitted> {
        let admitted: Vec<Admitted> = (0..count).map(|number| self.claimed(&format!("{word}-{number}"))).collect();
        let acts = admitted.iter().map(|admitted| {
            let admit = AdmitComponent {
                id: admitted.id.clone(),
                sha256: admitted.sha256,
                claims_sha256: Digest::of(&admitted.token),
                imports: (0..IMPORTS).map(import).collect(),
                exports: Vec::new(),
                waivers: BTreeSet::new(),
            };
            (Operation::AdmitComponent(admit), Some(admitted.token.clone()))
        });
        let acts = acts.collect();
        self.in_batches(acts, 200).await;
        admitted
    }

    async fn link(&mut self, running: &[Admitted], idle: &[Admitted], to: &[(Subject, Digest)], links: usize) {
        let put = |id: &ComponentId, number: usize, name: LinkName| {
            let (provider, sha256) = to[number].clone();
            let put = PutLink {
                component: id.clone(),
                package: import(number).package,
                name,
                provider,
                sha256,
                config_sha256: None,
                pin: None,
                component_pin: None,
            };
            (Operation::PutLink(put), None)
        };
        let run = running.iter().flat_map(|it| (0..IMPORTS).map(|number| put(&it.id, number, LinkName::unnamed())));
        let name = |name: usize| format!("name-{name}").parse::<LinkName>().expect("a name");
        let idle =
            idle.iter().flat_map(|it| (0..IMPORTS).flat_map(move |number| (0..NAMES).map(move |at| (it, number, at))));
        let acts = run.chain(idle.map(|(it, number, at)| put(&it.id, number, name(at)))).take(links);
        let acts = acts.collect();
        self.in_batches(acts, 1000).await;
    }

    async fn enrol(&mut self, shown: &Admitted, count: usize) -> Vec<Asker> {
        let invites: Vec<_> = (0..count).map(|_| SigningKey::<Invite>::generate().expect("a key")).collect();
        let invited = invites.iter().map(|invite| {
            let invite = InviteHost { invite: invite.name(), labels: BTreeMap::new(), not_after: now().plus(600) };
            (Operation::InviteHost(invite), None)
        });
        self.in_batches(invited.collect(), 1000).await;
        let mut hosts = Vec::new();
        for invite in invites {
            let host = SigningKey::<Host>::generate().expect("a key");
            let (aud, jti) = (lattice_name(), nonce().expect("randomness"));
            let proof = invite.sign(&InviteProof { iss: invite.name(), aud: aud.clone(), host: host.name(), jti }, []);
            let proof_sha256 = Digest::of(&proof);
            let join = Join { iss: host.name(), aud, iat: now(), jti, proof_sha256 };
            self.service.join(&host.sign(&join, [proof.as_slice()])).await.expect("it is recorded");
            hosts.push(Asker {
                key: Arc::new(host),
                runs: shown.runs(),
                imports: (0..IMPORTS).map(import).collect(),
                attachments: vec![shown.token.clone(), json::write(&Inventory { builtins: Vec::new() })],
            });
        }
        hosts
    }

    // Every component on every host, and what each host says of that.
    async fn start(&self, hosts: &[Asker], running: &[Admitted]) -> Vec<(HostInventory, Asker)> {
        let mut told = Vec::new();
        for host in hosts {
            let (mut seen, mut runs) = (None, Vec::new());
            for one in running {
                let asker = Asker { runs: one.runs(), ..host.clone() }.showing(one.token.clone());
                let answer = self.service.answer_start(&asker.question()).await.expect("an answer");
                let answer = Unverified::<StartAnswer>::parse(&answer).expect("an answer");
                let answer = answer.says();
                assert_eq!(answer.verdict, Verdict::Permitted, "{:?}", answer.reason);
                seen = Some(Seen { epoch: answer.epoch, index: answer.index, entry_sha256: answer.entry_sha256 });
                runs.push(self.running(one, answer));
            }
            let pages = runs.chunks(policy::inventory::MAX_RUNNING).count() as u64;
            let process = nonce().expect("randomness");
            for (page, runs) in (0..).zip(runs.chunks(policy::inventory::MAX_RUNNING)) {
                let inventory = HostInventory {
                    iss: host.key.name(),
                    aud: lattice_name(),
                    iat: now(),
                    process,
                    sequence: 1,
                    page,
                    pages,
                    seen: seen.expect("something was started"),
                    checkpoint: None,
                    builtins_sha256: Digest::of(&host.attachments[1]),
                    running: runs.to_vec(),
                    closed: Vec::new(),
                    at_hand: None,
                    forked: None,
                };
                told.push((inventory, host.clone()));
            }
        }
        told
    }

    fn running(&self, one: &Admitted, answer: &StartAnswer) -> Running {
        let bound = answer.outcomes.iter().filter_map(|outcome| {
            let grant = outcome.grant.as_ref().ok()?;
            Some(Bound {
                package: outcome.package.clone(),
                link: outcome.link.clone(),
                provider: grant.provider.clone(),
                sha256: grant.sha256,
                index: answer.index,
            })
        });
        Running {
            component: one.id.clone(),
            sha256: one.sha256,
            issuer: Some(self.issuer.name()),
            index: answer.index,
            bindings: bound.collect(),
            closing: None,
        }
    }

    fn claimed(&self, id: &str) -> Admitted {
        let validity = Validity { iat: now(), nbf: None, exp: Some(now().plus(86_400)) };
        let (name, ver) = (Some(id.to_owned()), Some("1.0.0".to_owned()));
        let common = Common { jti: id.to_owned(), validity, name, rev: Some(1), ver };
        let subject = SigningKey::<Component>::generate().expect("a key").name();
        let hash = Digest::of(id.as_bytes());
        let claims = ComponentClaims { common, subject, hash, tags: Vec::new(), call_alias: None, caps: None };
        let token = self.issuer.sign_draft(draft_component(&self.issuer.name(), &claims)).into_bytes();
        Admitted { id: id.parse().expect("an id"), subject, sha256: hash, token }
    }

    fn contract(&self, served: &Import) -> Contract {
        Contract {
            iss: self.issuer.name(),
            sub: served.package.clone(),
            iat: now(),
            exp: None,
            revision: 1,
            interfaces: served.interfaces.clone(),
            tracks: vec!["1".parse().expect("a track")],
            providers: Providers { issuers: vec![self.issuer.name()], subjects: Vec::new() },
            defaultable: true,
            config: Configuration::None,
            config_schema_sha256: None,
            legacy_ids: Vec::new(),
        }
    }
}

impl Admitted {
    fn runs(&self) -> Runs {
        let (id, subject) = (self.id.clone(), Subject::Component(self.subject));
        Runs { id, subject, sha256: self.sha256, claims_sha256: Some(Digest::of(&self.token)) }
    }
}

fn import(number: usize) -> Import {
    Import {
        package: format!("large:package-n{number}").parse().expect("a package"),
        version: Some(Version::parse("1.0.0").expect("a version")),
        interfaces: vec!["api".parse().expect("a name")],
    }
}
