//! A state for large runs, built through `State::apply`.

use std::collections::BTreeSet;

use ed25519_dalek::{Signer, SigningKey};
use policy::artifact::Import;
use policy::claims::{Common, ComponentClaims, draft_component, read_component};
use policy::contract::{Configuration, Contract, Providers};
use policy::digest::Digest;
use policy::examine::Evidence;
use policy::govern::{
    ComponentAdmitted, ContractPublished, Event, HostInvited, HostJoined, IssuerAdded, LinkPut, LinkRecord,
    ProviderAdmitted, State,
};
use policy::issuer::{self, Kind};
use policy::key::{Administrator, Component, Host, Invite, Issuer, Name, Root};
use policy::log::NoteKey;
use policy::name::{ComponentId, LinkName, Package, Version};
use policy::provider::{Source, Subject};
use policy::question::{Question, Runs, Supposed, What};
use policy::time::{Timestamp, Validity};
use policy::warrant::{Inception, Quorum};

/// The moment at which its questions are decided.
pub(crate) const NOW: u64 = 1_795_350_000;
const IMPORTS: usize = 10;

/// A state of one component with ten imports, and a question about it.
pub(crate) struct World {
    pub(crate) state: State,
    pub(crate) question: Question,
    links: usize,
    providers: Vec<Name<Component>>,
}

impl World {
    pub(crate) fn new() -> Self {
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
        let mut events = vec![
            Event::IssuerAdded(IssuerAdded { key: issuer, issuer: everything() }),
            Event::HostInvited(HostInvited { invite, labels: Default::default(), not_after: at(NOW + 60) }),
            Event::HostJoined(HostJoined { host, invite }),
            Event::ComponentAdmitted(ComponentAdmitted {
                id: "cart".parse().unwrap(),
                subject: seeded::<Component>("cart").0,
                sha256: Digest::of(b"cart"),
                issuer,
                imports: Vec::new(),
                exports: Vec::new(),
                rev: Some(1),
                took_over: None,
                downgraded: None,
            }),
        ];
        let providers: Vec<_> = (0..IMPORTS).map(provider).collect();
        for number in 0..IMPORTS {
            events.extend(package_events(number, issuer));
            events.push(link("cart", number, &providers));
        }
        for event in &events {
            state.apply(event, 1);
        }
        let question = question(&signing, issuer, host);
        Self { state, question, links: IMPORTS, providers }
    }

    /// Trusts one more issuer.
    pub(crate) fn trust(&mut self, number: usize) {
        let key = seeded::<Issuer>(&format!("issuer-{number}")).0;
        self.state.apply(&Event::IssuerAdded(IssuerAdded { key, issuer: everything() }), 1);
    }

    /// Adds links of other components until there are so many.
    pub(crate) fn grow(&mut self, links: usize) {
        while self.links < links {
            let event = link(&format!("other-{}", self.links), self.links % IMPORTS, &self.providers);
            self.state.apply(&event, 1);
            self.links += 1;
        }
    }
}

/// How many issuers a state trusts.
pub(crate) fn trusted(state: &State) -> usize {
    state.issuers().iter().count()
}

fn everything() -> issuer::Issuer {
    let kinds = BTreeSet::from([Kind::Component, Kind::Provider, Kind::Contract]);
    issuer::Issuer::trusted(BTreeSet::from(["*".parse().unwrap()]), kinds, None)
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
        took_over: None,
        downgraded: None,
    };
    vec![
        Event::ContractPublished(ContractPublished {
            sha256: Digest::of(b"contract"),
            contract,
            took_over: None,
            downgraded: None,
        }),
        Event::ProviderAdmitted(provider),
    ]
}

fn provider(number: usize) -> Name<Component> {
    seeded::<Component>(&format!("provider-{number}")).0
}

fn link(component: &str, number: usize, providers: &[Name<Component>]) -> Event {
    let sha256 = Digest::of(format!("provider-{number}").as_bytes());
    let provider = Subject::Component(providers[number]);
    let after = LinkRecord::new(provider, sha256, None, 1);
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

pub(crate) fn claims(id: &str) -> ComponentClaims {
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

pub(crate) fn at(seconds: u64) -> Timestamp {
    Timestamp::from_seconds(seconds).unwrap()
}

pub(crate) fn seeded<R: policy::key::Role>(seed: &str) -> (Name<R>, SigningKey) {
    let signing = SigningKey::from_bytes(Digest::of(format!("{}{seed}", R::WORD).as_bytes()).as_bytes());
    (Name::from_raw(signing.verifying_key().to_bytes()), signing)
}
