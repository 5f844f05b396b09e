//! What is permitted, and each way of being refused.

use super::world::{
    Asked, NOW, Pair, World, at, common, component_token, component_token_with, contract, file, import, logging, offer,
    unnamed,
};
use crate::decide::{Decision, Facts, decide};
use crate::digest::Digest;
use crate::explain::{explain, fix};
use crate::govern::{
    AdmitProvider, BanHost, Bind, DeleteLink, Operation, RetireComponent, RetireProvider, RevokeIssuer, Waiver,
    WithdrawContract,
};
use crate::key::{Component, Host, Issuer};
use crate::log::Ruling;
use crate::provider::{Source, Subject};
use crate::question::{Question, Supposed, What};
use crate::reason::Reason;
use crate::resolve::By;
use crate::time::Timestamp;

fn reason(ruling: &Ruling) -> Option<Reason> {
    ruling.decision().refusal().map(|refusal| refusal.reason)
}

fn refused(world: &mut World, change: impl FnOnce(&mut Asked)) -> Option<Reason> {
    let mut asked = world.request();
    change(&mut asked);
    reason(&world.ask(&asked).unwrap())
}

fn by(ruling: &Ruling) -> Vec<By> {
    ruling.decision().outcomes().iter().map(|outcome| outcome.grant.as_ref().unwrap().by).collect()
}

#[test]
fn a_builtin_answers_where_no_link_does_and_a_link_beats_it() {
    let mut world = World::with_builtin();
    assert_eq!(by(&world.start()), [By::Builtin]);
    let logger = world.admit_provider("logger").unwrap();
    world.link("logger", "default").unwrap();
    let ruling = world.start();
    assert_eq!(by(&ruling), [By::Link]);
    let grant = ruling.decision().outcomes()[0].grant.clone().unwrap();
    assert_eq!((grant.sha256, grant.revision), (logger, Some(1)));
}

#[test]
fn t45_a_deleted_link_never_falls_back_silently() {
    let mut world = World::with_builtin();
    world.admit_provider("logger").unwrap();
    world.link("logger", "default").unwrap();
    let delete = |accept_default| {
        Operation::DeleteLink(DeleteLink {
            component: "cart".parse().unwrap(),
            package: logging().package,
            name: unnamed(),
            accept_default,
            running: None,
        })
    };
    world.act(delete(false)).unwrap();
    assert_eq!(reason(&world.start()), Some(Reason::LinkRemoved));
    world.act(delete(true)).unwrap();
    assert_eq!(by(&world.start()), [By::Builtin]);
}

#[test]
fn t45_a_refused_link_beside_a_good_builtin_is_refused() {
    let mut world = World::with_builtin();
    let sha256 = world.admit_provider("logger").unwrap();
    world.link("logger", "default").unwrap();
    world.act(Operation::RetireProvider(RetireProvider { sha256, running: None })).unwrap();
    assert_eq!(reason(&world.start()), Some(Reason::ProviderRetired));
}

#[test]
fn t44_two_builtins_are_ambiguous_whatever_their_order() {
    let mut world = World::with_builtin();
    world.admit_provider("logger").unwrap();
    let logger = crate::question::Offer {
        subject: Subject::Component(Pair::<Component>::seeded("logger").name),
        sha256: file("logger"),
    };
    for offers in
        [vec![logger.clone(), offer("native/logging@0.1.0")], vec![offer("native/logging@0.1.0"), logger.clone()]]
    {
        let asked = world.request().with_offers(offers);
        assert_eq!(reason(&world.ask(&asked).unwrap()), Some(Reason::Ambiguous));
    }
    let asked = world.request().with_offers(vec![logger.clone(), logger]);
    assert_eq!(by(&world.ask(&asked).unwrap()), [By::Builtin]);
}

#[test]
fn t43_each_link_name_has_its_own_outcome() {
    let mut world = World::with_builtin();
    world.admit_provider("logger").unwrap();
    world.admit_provider("archive").unwrap();
    world.link("archive", "archive").unwrap();
    let ruling = world.start();
    let outcomes: Vec<_> =
        ruling.decision().outcomes().iter().map(|o| (o.link.to_string(), o.grant.clone().unwrap().sha256)).collect();
    assert_eq!(
        outcomes,
        [("default".to_owned(), offer("native/logging@0.1.0").sha256), ("archive".to_owned(), file("archive"))]
    );
}

#[test]
fn the_lattice_decides_whether_a_default_answers() {
    let mut world = World::new();
    assert_eq!(reason(&world.start()), Some(Reason::ContractUnknown));
    world.publish(&contract(&world.issuer, 1)).unwrap();
    assert_eq!(reason(&world.start()), Some(Reason::LinkMissing));
    world.default(Bind::Never).unwrap();
    assert_eq!(reason(&world.start()), Some(Reason::LinkMissing));
    world.default(Bind::Builtin).unwrap();
    assert_eq!(reason(&world.start()), Some(Reason::BuiltinAbsent));
    world.admit_native("native/logging@0.1.0").unwrap();
    assert_eq!(reason(&world.start()), None);
    let asked = world.request().with_offers(Vec::new());
    assert_eq!(reason(&world.ask(&asked).unwrap()), Some(Reason::BuiltinAbsent));
}

#[test]
fn t45_an_owner_who_withdraws_the_default_is_heard() {
    let mut world = World::with_builtin();
    let mut strict = contract(&world.issuer, 2);
    strict.defaultable = false;
    world.publish(&strict).unwrap();
    assert_eq!(reason(&world.start()), Some(Reason::NotDefaultable));
    world.admit_provider("logger").unwrap();
    world.link("logger", "default").unwrap();
    assert_eq!(by(&world.start()), [By::Link]);
}

#[test]
fn a_contract_bounds_version_interface_and_provider() {
    let mut world = World::with_builtin();
    let asks = [
        (import("wasi:logging", "0.1.0", &["logging"]), Reason::ContractTrack),
        (import("wasi:logging", "0.1.0-draft2", &["logging"]), Reason::ContractTrack),
        (import("wasi:logging", "0.1.0-draft", &["logging", "sink"]), Reason::ContractInterface),
    ];
    for (import, expected) in asks {
        assert_eq!(refused(&mut world, |asked| asked.request.imports = vec![import]), Some(expected));
    }
    let mut narrow = contract(&world.issuer, 2);
    narrow.providers.subjects.clear();
    world.publish(&narrow).unwrap();
    assert_eq!(reason(&world.start()), Some(Reason::ProviderNotAllowed));
    world.act(Operation::WithdrawContract(WithdrawContract { package: logging().package, running: None })).unwrap();
    assert_eq!(reason(&world.start()), Some(Reason::ContractWithdrawn));
}

#[test]
fn a_provider_must_serve_what_is_imported() {
    let mut world = World::with_builtin();
    let mut wide = contract(&world.issuer, 2);
    wide.interfaces.push("sink".parse().unwrap());
    wide.tracks.push("1".parse().unwrap());
    world.publish(&wide).unwrap();
    world.admit_provider("logger").unwrap();
    world.link("logger", "default").unwrap();
    let sink = import("wasi:logging", "0.1.0-draft", &["logging", "sink"]);
    assert_eq!(refused(&mut world, |asked| asked.request.imports = vec![sink]), Some(Reason::ProviderInterface));
    let newer = import("wasi:logging", "1.2.0", &["logging"]);
    assert_eq!(refused(&mut world, |asked| asked.request.imports = vec![newer]), Some(Reason::ProviderVersion));
}

#[test]
fn t10_t14_claims_must_be_there_genuine_and_trusted() {
    let mut world = World::with_builtin();
    let stranger = Pair::<Issuer>::seeded("stranger");
    let asked = world.request().with_claims(component_token(&stranger, "cart", None));
    assert_eq!(reason(&world.ask(&asked).unwrap()), Some(Reason::IssuerUnknown));

    let mut forged = component_token(&world.issuer, "cart", None);
    let last = forged.len() - 3;
    forged[last] = if forged[last] == b'A' { b'B' } else { b'A' };
    let asked = world.request().with_claims(forged);
    assert_eq!(reason(&world.ask(&asked).unwrap()), Some(Reason::SignatureInvalid));

    let mut asked = world.request();
    asked.request.runs.claims_sha256 = None;
    asked.attachments.remove(0);
    assert_eq!(reason(&world.ask(&asked).unwrap()), Some(Reason::ClaimsMissing));

    let mut expired = common();
    expired.validity.exp = Some(at(NOW - 1));
    let asked = world.request().with_claims(component_token_with(&world.issuer, "cart", None, expired));
    assert_eq!(reason(&world.ask(&asked).unwrap()), Some(Reason::Expired));

    let asked = world.request().with_claims(component_token(&world.issuer, "other", None));
    assert_eq!(reason(&world.ask(&asked).unwrap()), Some(Reason::ComponentIdNotYours));
}

#[test]
fn t15_revocation_of_the_components_or_the_providers_issuer_refuses() {
    let mut world = World::with_builtin();
    let key = world.issuer.name;
    world.act(Operation::RevokeIssuer(RevokeIssuer { key, running: None })).unwrap();
    assert_eq!(reason(&world.start()), Some(Reason::IssuerRevoked));
}

#[test]
fn t49_older_claims_bound_the_imports() {
    let mut world = World::with_builtin();
    for (caps, expected) in [
        (vec!["wasmcloud:keyvalue"], Some(Reason::UndeclaredImport)),
        (vec![], Some(Reason::UndeclaredImport)),
        (vec!["wasmcloud:builtin:logging"], None),
        (vec!["wasi:logging"], None),
    ] {
        let asked = world.request().with_claims(component_token(&world.issuer, "cart", Some(caps)));
        assert_eq!(reason(&world.ask(&asked).unwrap()), expected);
    }
}

#[test]
fn an_id_belongs_to_its_subject() {
    let mut world = World::with_builtin();
    assert_eq!(
        refused(&mut world, |asked| asked.request.runs.id = "till".parse().unwrap()),
        Some(Reason::ComponentUnknown)
    );
    let token = component_token(&world.issuer, "till", None);
    let refusal = world.admit("cart", &token, Vec::new()).unwrap_err();
    assert_eq!(refusal.reason, Reason::ComponentIdNotYours);
    world.admit("till", &token, Vec::new()).unwrap();
    assert_eq!(
        refused(&mut world, |asked| asked.request.runs.id = "till".parse().unwrap()),
        Some(Reason::ComponentIdNotYours)
    );
    world.act(Operation::RetireComponent(RetireComponent { id: "cart".parse().unwrap(), running: None })).unwrap();
    assert_eq!(reason(&world.start()), Some(Reason::ComponentRetired));
}

#[test]
fn t18_another_trusted_issuer_does_not_take_a_subject_over() {
    let mut world = World::with_builtin();
    world.issuer = Pair::seeded("second");
    world.trust(&["*"]);
    assert_eq!(reason(&world.start()), Some(Reason::SubjectOwned));
    // Handing it over is an act of its own.
    let token = component_token(&world.issuer, "cart", None);
    let refusal = world.admit("cart", &token, Vec::new()).unwrap_err();
    assert_eq!(refusal.reason, Reason::SubjectOwned);
    world.act(Operation::RetireComponent(RetireComponent { id: "cart".parse().unwrap(), running: None })).unwrap();
    let refusal = world.admit("cart", &token, Vec::new()).unwrap_err();
    assert_eq!(refusal.reason, Reason::SubjectOwned, "retiring an id leaves its subject whose it is");
    world.admit_despite("cart", &token, Vec::new(), &[Waiver::TakeOver]).unwrap();
    let told = String::from_utf8(world.rows.last().unwrap().clone()).unwrap();
    assert!(told.contains(&format!("\"took_over\":\"{}\"", Pair::<Issuer>::seeded("1").name)), "{told}");
    assert_eq!(reason(&world.start()), None);
    world.issuer = Pair::seeded("1");
    assert_eq!(reason(&world.start()), Some(Reason::SubjectOwned));
}

#[test]
fn t55_only_enrolled_hosts_of_this_lattice_are_answered() {
    let mut world = World::with_builtin();
    assert_eq!(
        refused(&mut world, |asked| asked.request.aud = "other".parse().unwrap()),
        Some(Reason::LatticeMismatch)
    );
    let asked = world.request();
    world.host = Pair::<Host>::seeded("rogue");
    assert_eq!(world.ask(&asked).unwrap_err().reason, Reason::SignatureInvalid);
    let asked = world.request();
    assert_eq!(world.ask(&asked).unwrap_err().reason, Reason::HostUnknown);
    world.host = Pair::seeded("1");
    let host = world.host.name;
    world.act(Operation::BanHost(BanHost { host, running: None })).unwrap();
    assert_eq!(reason(&world.start()), Some(Reason::HostBanned));
}

#[test]
fn a_provider_starts_under_its_own_id_and_bytes_only() {
    let mut world = World::with_builtin();
    world.admit_provider("logger").unwrap();
    let token = component_token(&world.issuer, "logger", None);
    let logger = |asked: &mut Asked| {
        asked.request.what = What::StartProvider;
        asked.request.runs.id = "logger".parse().unwrap();
        asked.request.runs.subject = Subject::Component(Pair::<Component>::seeded("logger").name);
        asked.request.runs.sha256 = file("logger");
        asked.request.runs.claims_sha256 = Some(Digest::of(&token));
        asked.attachments[0] = token.clone();
        asked.request.imports.clear();
    };
    assert_eq!(refused(&mut world, logger), None);
    let other_bytes = |asked: &mut Asked| {
        logger(asked);
        asked.request.runs.sha256 = file("rival");
    };
    assert_eq!(refused(&mut world, other_bytes), Some(Reason::ProviderUnknown));
    let other_id = |asked: &mut Asked| {
        logger(asked);
        asked.request.runs.id = "cart".parse().unwrap();
    };
    assert_eq!(refused(&mut world, other_id), Some(Reason::ProviderUnknown));
    world.act(Operation::RetireProvider(RetireProvider { sha256: file("logger"), running: None })).unwrap();
    assert_eq!(refused(&mut world, logger), Some(Reason::ProviderRetired));
}

#[test]
fn t13_an_issuer_out_of_scope_cannot_bring_in_a_provider() {
    let mut world = World::bare();
    world.trust(&["wasi:keyvalue"]);
    let refusal = world.admit_provider("logger").unwrap_err();
    assert_eq!(refusal.reason, Reason::IssuerScope);
}

#[test]
fn a_native_builtin_is_its_name_and_nothing_else() {
    let mut world = World::with_builtin();
    let operation = AdmitProvider {
        id: "rogue".parse().unwrap(),
        subject: offer("native/keyvalue@0.1.0").subject,
        sha256: file("rogue"),
        claims_sha256: None,
        serves: vec![logging()],
        source: Source::Native,
        waivers: Default::default(),
    };
    assert_eq!(world.act(Operation::AdmitProvider(operation.clone())).unwrap_err().reason, Reason::HashMismatch);
    let subject = Subject::Component(Pair::<Component>::seeded("rogue").name);
    let unsigned = AdmitProvider { subject, source: Source::Exports, ..operation };
    assert_eq!(world.act(Operation::AdmitProvider(unsigned)).unwrap_err().reason, Reason::ClaimsMissing);
}

#[test]
fn a_fix_lifts_every_refusal_it_can_and_says_what_is_left() {
    let mut world = World::new();
    let asked = world.request();
    let bytes = world.host.seal(&asked.request, &asked.attachments);
    let verified =
        crate::envelope::Unverified::parse(&bytes).unwrap().verify(world.ledger.state().host_keys()).unwrap();
    let question = Question::signed(&crate::examine::start(verified, &crate::envelope::Afresh).unwrap());
    let now = Timestamp::from_millis(world.now_ms);
    let fixed = fix(world.ledger.state(), &question, now);
    let lifts: Vec<_> = fixed.acts.iter().map(|act| act.lifts).collect();
    assert_eq!(lifts, [Reason::ContractUnknown, Reason::LinkMissing, Reason::BuiltinAbsent]);
    assert_eq!(fixed.still, None);
    let told = explain(world.ledger.state(), &question, &Facts::default(), now);
    assert_eq!(told.start.len(), crate::decide::START_RULES.len());
    assert_eq!(told.imports[0].rules[0].reason, Some(Reason::ContractUnknown));

    // A forged token has no fix.
    let supposed = Supposed {
        what: What::StartComponent,
        runs: question.runs().clone(),
        claims: None,
        imports: question.imports().to_vec(),
        offers: Vec::new(),
    };
    let unsigned = Question::supposed(*question.host(), world.ledger.state().lattice().clone(), supposed);
    let hopeless = fix(world.ledger.state(), &unsigned, now);
    assert!(hopeless.acts.is_empty());
    assert_eq!(hopeless.still, Some(Reason::ClaimsMissing));
}

#[test]
fn a_refused_start_still_tells_every_import() {
    let mut world = World::with_builtin();
    let unknown = import("wasi:blobstore", "0.2.0", &["container"]);
    let mut asked = world.request();
    asked.request.imports.push(unknown);
    let ruling = world.ask(&asked).unwrap();
    let Decision::Refused { refusal, outcomes } = ruling.decision() else { panic!("permitted") };
    assert_eq!(refusal.reason, Reason::ContractUnknown);
    assert!(outcomes[0].grant.is_ok() && outcomes[1].grant == Err(Reason::ContractUnknown));
}

#[test]
fn a_memory_that_mixes_tokens_up_proves_nothing() {
    use crate::examine::Examiner;

    struct MixedUp(Vec<u8>);
    impl Examiner for MixedUp {
        fn verdict(&self, what: What, _: &[u8], sha256: Digest) -> crate::examine::Verdict {
            crate::envelope::Afresh.verdict(what, &self.0, sha256)
        }
    }
    let mut world = World::with_builtin();
    let asked = world.request();
    let bytes = world.host.seal(&asked.request, &asked.attachments);
    let verified =
        crate::envelope::Unverified::parse(&bytes).unwrap().verify(world.ledger.state().host_keys()).unwrap();
    let others = component_token(&world.issuer, "other", None);
    let question = Question::signed(&crate::examine::start(verified, &MixedUp(others)).unwrap());
    let decision = decide(world.ledger.state(), &question, &Facts::default(), Timestamp::from_millis(world.now_ms));
    assert_eq!(decision.refusal().unwrap().reason, Reason::EvidenceMissing);
}
