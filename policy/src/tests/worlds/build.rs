//! A plan as the law sees it: events applied to a state, and a question that nobody signed.
//!
//! Names, keys and tokens are made once; only claims need a genuine signature, because nothing else makes them.

use std::collections::{BTreeMap, BTreeSet};

use super::plan::{
    Asked, Claims, Component, Contract, End, Interfaces, Issuer, Kind, Link, Pinned, Plan, Provider, Standing,
};
use super::plan::{GHOST, IMPOSTER, INTERFACES, LEGACY, NAMES, PACKAGES, SCOPES, Times, VERSIONS};
use crate::artifact::Import;
use crate::claims::{self, Common, ComponentClaims, ProviderClaims};
use crate::contract::{Configuration, Providers};
use crate::digest::Digest;
use crate::envelope::Draft;
use crate::examine::{Evidence, read_claims};
use crate::govern::{
    Bind, ComponentAdmitted, ComponentRecord, ComponentRetired, ContractPublished, ContractWithdrawn, DefaultPut,
    Event, HostBanned, HostJoined, IssuerAdded, IssuerRevoked, LinkDeleted, LinkPut, LinkRecord, Pin, PinnedIssuer,
    ProviderAdmitted, ProviderRetired, SignedBy, State,
};
use crate::key::{self, Name};
use crate::name::{
    ComponentId, InterfaceName, Lattice, LegacyId, LinkName, NativeName, Package, Scope, Track, Version,
};
use crate::provider::{Source, Subject};
use crate::question::{Offer, Question, Runs, Supposed, What};
use crate::reason::{Reason, Refusal};
use crate::tests::world::{NOW, Pair, World, at, component_token_with};
use crate::time::Validity;

/// Everything that is the same in every world.
pub(super) struct Stage {
    empty: State,
    issuers: Vec<Pair<key::Issuer>>,
    host: Name<key::Host>,
    pub(super) subjects: Vec<[Subject; 3]>,
    pub(super) files: Vec<Digest>,
    /// What was admitted of each provider later.
    pub(super) newer: Vec<Digest>,
    cart: [Name<key::Component>; 2],
    packages: Vec<Package>,
    pub(super) names: BTreeMap<&'static str, LinkName>,
    interfaces: BTreeMap<&'static str, InterfaceName>,
    legacy: BTreeMap<&'static str, LegacyId>,
    scopes: BTreeMap<&'static str, Scope>,
    versions: Vec<(Option<Version>, Option<Track>)>,
    ids: BTreeMap<&'static str, ComponentId>,
    tokens: BTreeMap<String, Evidence>,
}

impl Stage {
    pub(super) fn new() -> Self {
        let subject = |number: usize| {
            let seed = number.to_string();
            [
                Subject::Component(Pair::seeded(&seed).name),
                Subject::Provider(Pair::seeded(&seed).name),
                Subject::Native(NativeName::parse(&format!("native/n{number}@0.1.0")).unwrap()),
            ]
        };
        let version = |(version, track, _): &(Option<&str>, Option<&str>, u32)| {
            (version.map(|text| Version::parse(text).unwrap()), track.map(|text| Track::parse(text).unwrap()))
        };
        Self {
            empty: World::bare().ledger.state().clone(),
            issuers: ["1", "2", "3", "4"].map(Pair::seeded).into(),
            host: Pair::<key::Host>::seeded("1").name,
            subjects: (0..=IMPOSTER).map(subject).collect(),
            files: (0..=GHOST).map(|number| Digest::of(format!("file {number}").as_bytes())).collect(),
            newer: (0..=GHOST).map(|number| Digest::of(format!("newer {number}").as_bytes())).collect(),
            cart: [Pair::seeded("cart").name, Pair::seeded("stranger").name],
            packages: PACKAGES.map(|text| text.parse().unwrap()).into(),
            names: NAMES.map(|text| (text, text.parse().unwrap())).into(),
            interfaces: INTERFACES.map(|text| (text, text.parse().unwrap())).into(),
            legacy: LEGACY.iter().chain(&PACKAGES).map(|text| (*text, text.parse().unwrap())).collect(),
            scopes: SCOPES.map(|text| (text, text.parse().unwrap())).into(),
            versions: VERSIONS.iter().map(version).collect(),
            ids: ["cart", "other", "third", "elder", "p0", "p1", "p2", "p3", "p4", "p5"]
                .map(|text| (text, text.parse().unwrap()))
                .into(),
            tokens: BTreeMap::new(),
        }
    }

    pub(super) fn state(&self, plan: &Plan) -> State {
        let mut state = self.empty.clone();
        for event in self.events(plan) {
            let index = state.next_index();
            state.apply(&event, index);
        }
        state
    }

    fn events(&self, plan: &Plan) -> Vec<Event> {
        let mut events = self.people(plan);
        for (number, issuer) in plan.issuers.iter().enumerate() {
            events.extend(issuer.iter().flat_map(|issuer| self.issuer(number, issuer)));
        }
        for (number, package) in self.packages.iter().enumerate() {
            if let Some(contract) = &plan.contracts[number] {
                let published = ContractPublished {
                    sha256: Digest::of(b"contract"),
                    contract: self.contract(number, contract),
                    took_over: None,
                    downgraded: None,
                };
                events.push(Event::ContractPublished(published));
                if contract.withdrawn {
                    events
                        .push(Event::ContractWithdrawn(ContractWithdrawn { package: package.clone(), running: None }));
                }
            }
            if let Some(builtin) = plan.defaults[number] {
                let bind = if builtin { Bind::Builtin } else { Bind::Never };
                events.push(Event::DefaultPut(DefaultPut { package: package.clone(), before: None, bind }));
            }
        }
        for (number, provider) in plan.providers.iter().enumerate() {
            events.extend(self.provider(number, provider));
        }
        events.extend(plan.links.iter().flat_map(|link| self.link(plan, link)));
        events
    }

    fn people(&self, plan: &Plan) -> Vec<Event> {
        let mut events = Vec::new();
        if plan.host != Standing::Unknown {
            events
                .push(Event::HostJoined(HostJoined { host: self.host, invite: Pair::<key::Invite>::seeded("1").name }));
        }
        if plan.host == Standing::Bad {
            events.push(Event::HostBanned(HostBanned { host: self.host, running: None }));
        }
        if plan.component != Component::Unknown {
            events.push(Event::ComponentAdmitted(ComponentAdmitted {
                id: self.ids["cart"].clone(),
                subject: self.cart[usize::from(plan.component == Component::AnothersId)],
                sha256: self.files[0],
                issuer: self.issuers[plan.admitted_under].name,
                imports: plan.crowd[0].imports.iter().map(|import| self.import(import)).collect(),
                exports: Vec::new(),
                rev: plan.admitted_rev,
                took_over: None,
                downgraded: None,
            }));
        }
        if let Some((issuer, rev)) = plan.elder {
            events.push(Event::ComponentAdmitted(ComponentAdmitted {
                id: self.ids["elder"].clone(),
                subject: self.cart[usize::from(plan.component == Component::AnothersId)],
                sha256: Digest::of(b"elder"),
                issuer: self.issuers[issuer].name,
                imports: Vec::new(),
                exports: Vec::new(),
                rev,
                took_over: None,
                downgraded: None,
            }));
        }
        for neighbour in &plan.crowd[1..] {
            let id = self.ids[neighbour.id].clone();
            events.push(Event::ComponentAdmitted(ComponentAdmitted {
                id: id.clone(),
                subject: Pair::seeded(neighbour.id).name,
                sha256: Digest::of(neighbour.id.as_bytes()),
                issuer: self.issuers[neighbour.issuer].name,
                imports: neighbour.imports.iter().map(|import| self.import(import)).collect(),
                exports: Vec::new(),
                rev: None,
                took_over: None,
                downgraded: None,
            }));
            if neighbour.retired {
                events.push(Event::ComponentRetired(ComponentRetired { id, running: None }));
            }
        }
        if plan.component == Component::Retired {
            events.push(Event::ComponentRetired(ComponentRetired { id: self.ids["cart"].clone(), running: None }));
        }
        events
    }

    fn issuer(&self, number: usize, issuer: &Issuer) -> Vec<Event> {
        use crate::issuer::{Issuer as Trusted, Kind as Signs, Standing as Stands};
        let all = [Signs::Component, Signs::Provider, Signs::Contract];
        let kinds = all.into_iter().zip(issuer.kinds).filter(|(_, may)| *may).map(|(kind, _)| kind).collect();
        let scope = issuer.scopes.iter().map(|scope| self.scopes[scope].clone()).collect();
        let active = if issuer.prepared { Stands::Prepared } else { Stands::Active };
        let standing = issuer.retired_at.map_or(active, |since| Stands::Retired(at(since)));
        let (until, delegator) = (issuer.until.map(at), issuer.lent_by.map(|lender| self.issuers[lender].name));
        let key = self.issuers[number].name;
        let issuer_added =
            Trusted { standing, until, delegator, ..Trusted::trusted(scope, kinds, issuer.max_lifetime_s) };
        let added = Event::IssuerAdded(IssuerAdded { key, issuer: issuer_added });
        let revoked = issuer.revoked.then(|| Event::IssuerRevoked(IssuerRevoked { key, at: at(NOW), running: None }));
        [added].into_iter().chain(revoked).collect()
    }

    fn contract(&self, package: usize, contract: &Contract) -> crate::contract::Contract {
        let tracks: BTreeSet<_> =
            contract.versions.iter().filter_map(|version| self.versions[*version].1.clone()).collect();
        crate::contract::Contract {
            iss: self.issuers[contract.issuer].name,
            sub: self.packages[package].clone(),
            iat: at(contract.iat),
            exp: contract.exp.map(at),
            revision: 1,
            interfaces: contract.interfaces.iter().map(|name| self.interfaces[name].clone()).collect(),
            tracks: tracks.into_iter().collect(),
            providers: Providers {
                issuers: contract.issuers.iter().map(|number| self.issuers[*number].name).collect(),
                subjects: contract.subjects.iter().flat_map(|number| self.subjects[*number].clone()).collect(),
            },
            defaultable: contract.defaultable,
            config: [Configuration::None, Configuration::Optional, Configuration::Required]
                [usize::from(contract.config)],
            config_schema_sha256: None,
            legacy_ids: contract.legacy.iter().map(|id| self.legacy[id].clone()).collect(),
        }
    }

    fn provider(&self, number: usize, provider: &Provider) -> Vec<Event> {
        let sha256 = self.files[number];
        let (issuer, validity) = (self.issuers[provider.issuer].name, validity(&provider.times));
        let signed = SignedBy { issuer, validity, rev: provider.rev };
        let admitted = ProviderAdmitted {
            id: self.ids[["p0", "p1", "p2", "p3", "p4", "p5"][number]].clone(),
            subject: self.subject(number, provider.kind),
            sha256,
            signed: (provider.kind != Kind::Native).then_some(signed),
            serves: provider.serves.iter().map(|served| self.import(served)).collect(),
            capid: provider.capid.map(|id| self.legacy[id].clone()),
            source: Source::Exports,
            took_over: None,
            downgraded: None,
        };
        let newer = provider.newer.map(|rev| {
            let signed = admitted.signed.clone().map(|signed| SignedBy { rev: Some(rev), ..signed });
            Event::ProviderAdmitted(ProviderAdmitted { sha256: self.newer[number], signed, ..admitted.clone() })
        });
        let retired = provider.retired.then_some(Event::ProviderRetired(ProviderRetired { sha256, running: None }));
        [Event::ProviderAdmitted(admitted)].into_iter().chain(newer).chain(retired).collect()
    }

    fn link(&self, plan: &Plan, link: &Link) -> Vec<Event> {
        let kind = plan.providers.get(link.provider).map_or(Kind::Native, |provider| provider.kind);
        let after = LinkRecord {
            pin: self.pin(link.pin, self.files[link.provider]),
            component_pin: self.pin(link.component_pin, self.files[0]),
            ..LinkRecord::new(
                if link.misnamed { self.subject(IMPOSTER, kind) } else { self.subject(link.provider, kind) },
                self.files[link.provider],
                link.config.then(|| Digest::of(b"config")),
                1,
            )
        };
        let (component, package) = (self.ids[link.component].clone(), self.packages[link.package].clone());
        let name = self.names[link.name].clone();
        let put = LinkPut { component, package, name, before: None, after: after.clone() };
        let LinkPut { component, package, name, .. } = put.clone();
        let accept_default = link.end == End::Accepted;
        let deleted = LinkDeleted { component, package, name, before: after, accept_default, running: None };
        let deleted = (link.end != End::Live).then_some(Event::LinkDeleted(deleted));
        [Event::LinkPut(put)].into_iter().chain(deleted).collect()
    }

    fn pin(&self, pinned: Pinned, bytes: Digest) -> Option<Pin> {
        match pinned {
            Pinned::Freely => None,
            Pinned::Bytes => Some(Pin::Sha256(bytes)),
            Pinned::Issuer(number, from, to) => {
                Some(Pin::Issuer(PinnedIssuer { key: self.issuers[number].name, from, to }))
            }
        }
    }

    pub(super) fn question(&mut self, plan: &Plan) -> Question {
        let Asked { lattice_is_ours, claims, imports, offers } = &plan.asked;
        let lattice = Lattice::parse(if *lattice_is_ours { "default" } else { "elsewhere" }).unwrap();
        let runs = Runs {
            id: self.ids["cart"].clone(),
            subject: Subject::Component(self.cart[0]),
            sha256: if plan.same_bytes { self.files[0] } else { Digest::of(b"rebuilt") },
            claims_sha256: None,
        };
        let offer = |(number, misnamed): &(usize, bool)| {
            let kind = plan.providers.get(*number).map_or(Kind::Native, |provider| provider.kind);
            let subject = if *misnamed { self.subject(IMPOSTER, kind) } else { self.subject(*number, kind) };
            Offer { subject, sha256: self.files[*number] }
        };
        let offers = offers.iter().map(offer).collect();
        let imports = imports.iter().map(|import| self.import(import)).collect();
        let claims = claims.as_ref().map(|claims| self.claims(claims));
        let what = What::StartComponent;
        Question::supposed(self.host, lattice, Supposed { what, runs, claims, imports, offers })
    }

    fn claims(&mut self, claims: &Claims) -> Result<Evidence, Refusal> {
        let Claims::Signed { issuer, about_us, of_a_provider, caps, times, rev } = claims else {
            return Err(Refusal::new(Reason::SignatureInvalid, "forged"));
        };
        let issuer = &self.issuers[*issuer];
        let common = Common { jti: "j".to_owned(), validity: validity(times), name: None, rev: *rev, ver: None };
        let make = || {
            let draft: Draft = if *of_a_provider {
                let subject = Pair::<key::Provider>::seeded("cart").name;
                let (vendor, target_hashes) = ("v".to_owned(), BTreeMap::new());
                let claims =
                    ProviderClaims { common, subject, vendor, target_hashes, config_schema: None, capid: None };
                claims::draft_provider(&issuer.name, &claims)
            } else {
                let caps = caps.as_ref().map(|caps| caps.iter().map(|id| self.legacy[id].clone()).collect());
                let (subject, hash) = (self.cart[usize::from(!about_us)], self.files[0]);
                let claims = ComponentClaims { common, subject, hash, tags: Vec::new(), call_alias: None, caps };
                claims::draft_component(&issuer.name, &claims)
            };
            let signature = issuer.sign(draft.signing_input());
            read_claims(draft.seal(&signature).as_bytes()).unwrap()
        };
        Ok(self.tokens.entry(format!("{claims:?}")).or_insert_with(make).clone())
    }

    /// Claims of an admitted component as its issuer could have signed them: long ago, without an end.
    pub(super) fn claims_of(&mut self, record: &ComponentRecord) -> Result<Evidence, Refusal> {
        let seeds = ["cart", "stranger", "other", "third"];
        let is_its = |seed: &&str| Subject::Component(Pair::seeded(seed).name) == record.subject;
        let seed = seeds.into_iter().find(is_its).unwrap();
        let issuer = self.issuers.iter().find(|issuer| issuer.name == record.issuer).unwrap();
        let validity = Validity { iat: at(1), nbf: None, exp: None };
        let common = Common { jti: "j".to_owned(), validity, name: None, rev: record.rev, ver: None };
        let make = || read_claims(&component_token_with(issuer, seed, None, common)).unwrap();
        Ok(self.tokens.entry(format!("{seed} in {:?} by {}", record.rev, record.issuer)).or_insert_with(make).clone())
    }

    pub(super) fn subject(&self, number: usize, kind: Kind) -> Subject {
        self.subjects[number][kind as usize].clone()
    }

    pub(super) fn import(&self, import: &Interfaces) -> Import {
        Import {
            package: self.packages[import.package].clone(),
            version: self.versions[import.version].0.clone(),
            interfaces: import.interfaces.iter().map(|name| self.interfaces[name].clone()).collect(),
        }
    }
}

fn validity(times: &Times) -> Validity {
    Validity { iat: at(times.iat), nbf: times.nbf.map(at), exp: times.exp.map(at) }
}
