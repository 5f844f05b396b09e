//! The configuration of a link is held to the schema in the claims of its provider, wherever those claims are.

use std::collections::{BTreeMap, BTreeSet};

use policy::artifact::Import;
use policy::claims::{Common, ProviderClaims, draft_provider};
use policy::contract::{Configuration, Contract, Providers};
use policy::digest::Digest;
use policy::envelope::Unverified;
use policy::govern::{AddIssuer, AdmitProvider, Operation, PublishContract, PutLink};
use policy::issuer::Kind;
use policy::key::{Issuer, Name, Provider};
use policy::name::Version;
use policy::provider::{Source, Subject};

use policy::reason::Reason;
use policy::time::Validity;
use serde_json::{Value, json};

use super::asker::Lattice;
use crate::clock::Clock;
use crate::config::{Config, Sealed};
use crate::keys::SigningKey;

#[tokio::test]
async fn t48_a_provider_holds_a_configuration_to_its_own_schema() {
    let shop = Shop::open().await;
    let (admit, token) = shop.provider("store", Some(schema()));
    shop.accepted(vec![admit.clone()], &[token]).await;
    let refused = shop.told(vec![put(&admit, &config(json!(3)))], &[], &config(json!(3))).await;
    assert_eq!(refused, Some(Reason::ConfigMismatch));
    assert_eq!(shop.told(vec![put(&admit, &config(json!("eu")))], &[], &config(json!("eu"))).await, None);
}

#[tokio::test]
async fn t48_who_admits_a_provider_and_links_it_in_one_command_is_held_to_its_schema_all_the_same() {
    let shop = Shop::open().await;
    let (admit, token) = shop.provider("store", Some(schema()));
    let at_once = |values: &[u8]| vec![admit.clone(), put(&admit, values)];
    let refused = shop.told(at_once(&config(json!(3))), std::slice::from_ref(&token), &config(json!(3))).await;
    assert_eq!(refused, Some(Reason::ConfigMismatch));
    let fits = config(json!("eu"));
    assert_eq!(shop.told(at_once(&fits), &[token], &fits).await, None);
}

#[tokio::test]
async fn t48_a_provider_that_asks_for_nothing_takes_what_the_contract_takes() {
    let shop = Shop::open().await;
    let (admit, token) = shop.provider("store", None);
    let anything = config(json!(3));
    assert_eq!(shop.told(vec![admit.clone(), put(&admit, &anything)], &[token], &anything).await, None);
}

#[tokio::test]
async fn t48_t70_values_that_come_with_a_refused_command_are_kept_nowhere() {
    let shop = Shop::open().await;
    let (admit, token) = shop.provider("store", None);
    shop.accepted(vec![admit.clone()], &[token]).await;
    let config = config(json!("eu"));
    let Operation::PutLink(mut nobodys) = put(&admit, &config) else { panic!() };
    nobodys.component = "nobody".parse().unwrap();
    let refused = shop.told(vec![Operation::PutLink(nobodys)], &[], &config).await;
    assert_eq!(refused, Some(Reason::ComponentUnknown));
    let sealed = Sealed::of(&shop.lattice.folder);
    assert_eq!(sealed.find(Digest::of(&config)).unwrap(), None);
    assert_eq!(shop.told(vec![put(&admit, &config)], &[], &config).await, None);
    assert_eq!(sealed.find(Digest::of(&config)).unwrap(), Some(config));
}

struct Shop {
    lattice: Lattice,
    issuer: SigningKey<Issuer>,
}

impl Shop {
    // With a contract that takes any configuration, and something that a link can begin at.
    async fn open() -> Self {
        let shop = Self { lattice: Lattice::new().await, issuer: SigningKey::generate().unwrap() };
        let kinds = BTreeSet::from([Kind::Provider, Kind::Contract]);
        let scope = BTreeSet::from(["*".parse().unwrap()]);
        let trust = AddIssuer::vouched(shop.issuer.name(), scope, kinds, None);
        shop.accepted(vec![Operation::AddIssuer(trust)], &[]).await;
        let contract = shop.issuer.sign_contract(&shop.contract()).into_bytes();
        let publish =
            PublishContract { package: served().package, sha256: Digest::of(&contract), waivers: Default::default() };
        shop.accepted(vec![Operation::PublishContract(publish)], &[contract]).await;
        let (asker, token) = shop.provider("asker", None);
        shop.accepted(vec![asker], &[token]).await;
        shop
    }

    fn contract(&self) -> Contract {
        let providers = Providers { issuers: vec![self.issuer.name()], subjects: Vec::new() };
        Contract {
            iss: self.issuer.name(),
            sub: served().package,
            iat: self.lattice.clock.now(),
            exp: None,
            revision: 1,
            interfaces: served().interfaces,
            tracks: vec!["1".parse().unwrap()],
            providers,
            defaultable: true,
            config: Configuration::Optional,
            config_schema_sha256: None,
            legacy_ids: Vec::new(),
        }
    }

    fn provider(&self, id: &str, config_schema: Option<Value>) -> (Operation, Vec<u8>) {
        let subject = SigningKey::<Provider>::generate().unwrap().name();
        let token = self.claims(id, subject, config_schema);
        let admit = AdmitProvider {
            id: id.parse().unwrap(),
            subject: Subject::Provider(subject),
            sha256: Digest::of(id.as_bytes()),
            claims_sha256: Some(Digest::of(&token)),
            serves: vec![served()],
            source: Source::Stated,
            waivers: BTreeSet::new(),
        };
        (Operation::AdmitProvider(admit), token)
    }

    fn claims(&self, id: &str, subject: Name<Provider>, config_schema: Option<Value>) -> Vec<u8> {
        let validity = Validity { iat: self.lattice.clock.now(), nbf: None, exp: None };
        let common = Common { jti: id.to_owned(), validity, name: Some(id.to_owned()), rev: Some(1), ver: None };
        let target_hashes = BTreeMap::from([("x86_64-linux".to_owned(), Digest::of(id.as_bytes()))]);
        let vendor = "acme".to_owned();
        let claims = ProviderClaims { common, subject, vendor, target_hashes, config_schema, capid: None };
        self.issuer.sign_draft(draft_provider(&self.issuer.name(), &claims)).into_bytes()
    }

    async fn accepted(&self, operations: Vec<Operation>, statements: &[Vec<u8>]) {
        assert_eq!(self.told(operations, statements, b"").await, None);
    }

    // Why the command is refused, with this configuration below it.
    async fn told(&self, operations: Vec<Operation>, statements: &[Vec<u8>], config: &[u8]) -> Option<Reason> {
        let mut message = self.lattice.command_with(operations, statements).await;
        if !config.is_empty() {
            message.extend([b"\n", config].concat());
        }
        let receipt = self.lattice.service.command(&message).await.unwrap();
        let receipt = Unverified::parse(&receipt).unwrap().verify(&self.lattice.decision_keys()).unwrap();
        let receipt: &policy::answer::Receipt = &receipt;
        receipt.reason
    }
}

fn served() -> Import {
    Import {
        package: "demo:kv".parse().unwrap(),
        version: Some(Version::parse("1.0.0").unwrap()),
        interfaces: vec!["store".parse().unwrap()],
    }
}

fn schema() -> Value {
    json!({"type": "object", "properties": {"bucket": {"type": "string"}}})
}

// The same values have one digest: their salt is told.
fn config(bucket: Value) -> Vec<u8> {
    let document = json!({"salt": "00".repeat(16), "values": {"bucket": bucket}});
    Config::read(&policy::json::write(&document)).unwrap().to_bytes()
}

fn put(admit: &Operation, config: &[u8]) -> Operation {
    let Operation::AdmitProvider(admit) = admit else { panic!("{admit:?}") };
    Operation::PutLink(PutLink {
        component: "asker".parse().unwrap(),
        package: served().package,
        name: "default".parse().unwrap(),
        provider: admit.subject.clone(),
        sha256: admit.sha256,
        config_sha256: Some(Digest::of(config)),
        pin: None,
        component_pin: None,
    })
}
