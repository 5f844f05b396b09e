//! The law's figures, as ratios taken in one run on one machine, next to the honest limit.
//!
//! `make bench` runs it and writes `target/bench/summary.json`. Figures over the wire and the disk are left to later.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::BTreeSet;
use std::hint::black_box;
use std::time::{Duration, Instant};

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use policy::artifact::Import;
use policy::claims::{Common, ComponentClaims, draft_component, read_component};
use policy::contract::{Configuration, Contract, Providers};
use policy::decide::{Decision, Facts, decide};
use policy::digest::Digest;
use policy::examine::Evidence;
use policy::govern::{
    ComponentAdmitted, ContractPublished, Event, HostInvited, HostJoined, IssuerAdded, LinkPut, LinkRecord,
    ProviderAdmitted, State,
};
use policy::issuer::{self, Kind, Standing};
use policy::key::{Administrator, Component, Host, Invite, Issuer, Name, Root};
use policy::log::NoteKey;
use policy::name::{ComponentId, LinkName, Package, Version};
use policy::provider::{Source, Subject};
use policy::question::{Question, Runs, Supposed, What};
use policy::time::{Timestamp, Validity};
use policy::warrant::{Inception, Quorum};

const NOW: u64 = 1_795_350_000;
const IMPORTS: usize = 10;

/// One figure and whether it meets its goal.
struct Figure {
    name: &'static str,
    value: f64,
    unit: &'static str,
    goal: &'static str,
    holds: bool,
}

fn main() {
    let mut figures = Vec::new();
    eprintln!("claims verification …");
    figures.push(verification());
    eprintln!("decide at 10, 1 000, 100 000 and 1 000 000 links …");
    figures.extend(decisions());
    let mut summary = serde_json::Map::new();
    println!("{:<46} {:>12} {:<6} {:<14} holds", "figure", "value", "unit", "goal");
    for Figure { name, value, unit, goal, holds } in figures {
        println!("{name:<46} {value:>12.2} {unit:<6} {goal:<14} {holds}");
        summary.insert(name.into(), serde_json::json!({"value": value, "unit": unit, "goal": goal, "holds": holds}));
    }
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/bench");
    let written = std::fs::create_dir_all(folder).and_then(|()| {
        std::fs::write(format!("{folder}/summary.json"), serde_json::Value::Object(summary).to_string())
    });
    if let Err(error) = written {
        eprintln!("the summary was not written: {error}");
    }
}

// Both sides in turn, many times, the median of each: neighbours on the machine disturb both alike.
fn ratio(mut honest: impl FnMut(), mut ours: impl FnMut()) -> f64 {
    let mut pairs: Vec<(Duration, Duration)> = (0..200).map(|_| (timed(&mut honest), timed(&mut ours))).collect();
    pairs.sort_by_key(|pair| pair.0);
    let honest = pairs[pairs.len() / 2].0;
    pairs.sort_by_key(|pair| pair.1);
    honest.as_secs_f64() / pairs[pairs.len() / 2].1.as_secs_f64()
}

fn timed(work: &mut impl FnMut()) -> Duration {
    let start = Instant::now();
    for _ in 0..8 {
        work();
    }
    start.elapsed()
}

fn verification() -> Figure {
    let (issuer, signing) = seeded::<Issuer>("issuer");
    let draft = draft_component(&issuer, &claims("cart"));
    let signature = signing.sign(draft.signing_input());
    let message = draft.signing_input().to_vec();
    let token = draft.seal(&signature.to_bytes()).into_bytes();
    let raw = signing.verifying_key().to_bytes();
    let honest = || {
        let name = Name::<Issuer>::from_raw(black_box(raw));
        let checked = name.usable().is_ok();
        let verified = VerifyingKey::from_bytes(&raw)
            .map(|key| key.verify_strict(&message, black_box(&Signature::from_bytes(&signature.to_bytes()))));
        black_box((checked, verified.is_ok()));
    };
    let value = ratio(honest, || {
        let _verdict = black_box(read_component(black_box(&token)).is_ok());
    });
    Figure {
        name: "claims, unknown issuer / raw + prime-order",
        value,
        unit: "ratio",
        goal: ">= 0.85",
        holds: value >= 0.85,
    }
}

fn decisions() -> Vec<Figure> {
    let mut nanoseconds = Vec::new();
    let mut world = World::new();
    for (links, name) in [
        (10, "decide, 10 imports, 10 links"),
        (1_000, "decide, 10 imports, 1 000 links"),
        (100_000, "decide, 10 imports, 100 000 links"),
        (1_000_000, "decide, 10 imports, 1 000 000 links"),
    ] {
        world.grow(links);
        nanoseconds.push((name, world.nanoseconds()));
    }
    let growth = nanoseconds[3].1 / nanoseconds[0].1;
    let mut figures: Vec<_> = nanoseconds
        .into_iter()
        .map(|(name, value)| Figure { name, value, unit: "ns", goal: "<= 10 000", holds: value <= 10_000.0 })
        .collect();
    figures.push(Figure {
        name: "decide, 1 000 000 / 10 links",
        value: growth,
        unit: "ratio",
        goal: "<= 3",
        holds: growth <= 3.0,
    });
    figures
}

struct World {
    state: State,
    question: Question,
    links: usize,
}

impl World {
    fn new() -> Self {
        let (issuer, signing) = seeded::<Issuer>("issuer");
        let lattice = "default".parse().unwrap();
        let inception = Inception {
            log_key: NoteKey::of(&lattice, &signing.verifying_key().to_bytes()).unwrap().to_string(),
            lattice,
            roots: Quorum { threshold: 1, keys: vec![seeded::<Root>("root").0.usable().unwrap()] },
            administrators: Quorum { threshold: 1, keys: vec![seeded::<Administrator>("admin").0.usable().unwrap()] },
        };
        let mut state = State::incept(inception).unwrap();
        let (host, _) = seeded::<Host>("host");
        let (invite, _) = seeded::<Invite>("invite");
        let kinds = BTreeSet::from([Kind::Component, Kind::Provider, Kind::Contract]);
        let trusted = issuer::Issuer {
            scope: BTreeSet::from(["*".parse().unwrap()]),
            kinds,
            max_lifetime_s: None,
            standing: Standing::Active,
        };
        let mut events = vec![
            Event::IssuerAdded(IssuerAdded { key: issuer, issuer: trusted }),
            Event::HostInvited(HostInvited { invite, labels: Default::default(), not_after: at(NOW + 60) }),
            Event::HostJoined(HostJoined { host, invite }),
            Event::ComponentAdmitted(ComponentAdmitted {
                id: "cart".parse().unwrap(),
                subject: seeded::<Component>("cart").0,
                sha256: Digest::of(b"cart"),
                issuer,
                imports: Vec::new(),
                exports: Vec::new(),
            }),
        ];
        for number in 0..IMPORTS {
            events.extend(package_events(number, issuer));
            events.push(link("cart", number));
        }
        for event in &events {
            state.apply(event, 1);
        }
        let question = question(&signing, issuer, host);
        Self { state, question, links: IMPORTS }
    }

    fn grow(&mut self, links: usize) {
        while self.links < links {
            let event = link(&format!("other-{}", self.links), self.links % IMPORTS);
            self.state.apply(&event, 1);
            self.links += 1;
        }
    }

    fn nanoseconds(&self) -> f64 {
        let answer = decide(&self.state, &self.question, &Facts::default(), at(NOW));
        assert!(matches!(answer, Decision::Permitted(_)), "{answer:?}");
        let mut samples: Vec<_> = (0..200)
            .map(|_| {
                timed(&mut || {
                    black_box(decide(black_box(&self.state), &self.question, &Facts::default(), at(NOW)));
                })
            })
            .collect();
        samples.sort();
        samples[samples.len() / 2].as_nanos() as f64 / 8.0
    }
}

fn package_events(number: usize, issuer: Name<Issuer>) -> Vec<Event> {
    let served = import(number);
    let contract = Contract {
        iss: issuer,
        sub: served.package.clone(),
        iat: at(NOW - 100),
        exp: None,
        revision: 1,
        interfaces: served.interfaces.clone(),
        tracks: vec!["1".parse().unwrap()],
        providers: Providers { issuers: vec![issuer], subjects: Vec::new() },
        defaultable: true,
        config: Configuration::None,
        config_schema_sha256: None,
        legacy_ids: Vec::new(),
    };
    let id = format!("provider-{number}");
    let signed = policy::govern::SignedBy { issuer, validity: validity(), rev: Some(1) };
    let provider = ProviderAdmitted {
        id: id.parse().unwrap(),
        subject: Subject::Component(seeded::<Component>(&id).0),
        sha256: Digest::of(id.as_bytes()),
        signed: Some(signed),
        serves: vec![served],
        capid: None,
        source: Source::Exports,
    };
    vec![
        Event::ContractPublished(ContractPublished { sha256: Digest::of(b"contract"), contract }),
        Event::ProviderAdmitted(provider),
    ]
}

fn link(component: &str, number: usize) -> Event {
    let id = format!("provider-{number}");
    let sha256 = Digest::of(id.as_bytes());
    let provider = Subject::Component(seeded::<Component>(&id).0);
    let after = LinkRecord { provider, sha256, config_sha256: None, revision: 1 };
    let component: ComponentId = component.parse().unwrap();
    Event::LinkPut(LinkPut {
        component,
        package: import(number).package,
        name: LinkName::unnamed(),
        before: None,
        after,
    })
}

fn question(signing: &SigningKey, issuer: Name<Issuer>, host: Name<Host>) -> Question {
    let draft = draft_component(&issuer, &claims("cart"));
    let signature = signing.sign(draft.signing_input()).to_bytes();
    let claimed = read_component(draft.seal(&signature).as_bytes()).unwrap();
    let runs = Runs {
        id: "cart".parse().unwrap(),
        subject: Subject::Component(claimed.subject),
        sha256: Digest::of(b"cart"),
        claims_sha256: Some(claimed.sha256()),
    };
    let supposed = Supposed {
        what: What::StartComponent,
        runs,
        claims: Some(Ok(Evidence::Component(claimed))),
        imports: (0..IMPORTS).map(import).collect(),
        offers: Vec::new(),
    };
    Question::supposed(host, "default".parse().unwrap(), supposed)
}

fn import(number: usize) -> Import {
    let package: Package = format!("bench:package-n{number}").parse().unwrap();
    Import { package, version: Some(Version::parse("1.0.0").unwrap()), interfaces: vec!["api".parse().unwrap()] }
}

fn claims(id: &str) -> ComponentClaims {
    let common = Common {
        jti: "bench".into(),
        validity: validity(),
        name: Some(id.into()),
        rev: Some(1),
        ver: Some("1.0.0".into()),
    };
    let subject = seeded::<Component>(id).0;
    ComponentClaims { common, subject, hash: Digest::of(id.as_bytes()), tags: Vec::new(), call_alias: None, caps: None }
}

fn validity() -> Validity {
    Validity { iat: at(NOW - 100), nbf: None, exp: Some(at(NOW + 86_400)) }
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_seconds(seconds).unwrap()
}

fn seeded<R: policy::key::Role>(seed: &str) -> (Name<R>, SigningKey) {
    let signing = SigningKey::from_bytes(Digest::of(format!("{}{seed}", R::WORD).as_bytes()).as_bytes());
    (Name::from_raw(signing.verifying_key().to_bytes()), signing)
}
