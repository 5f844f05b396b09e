//! Who owns a subject, and how high its revisions came; and that an older law is still judged as it was.

use std::collections::BTreeMap;

use data_encoding::BASE64;

use super::examples::root;
use super::world::{NOW, Pair, World, at, common, component_token_with, file, logging};
use crate::digest::Digest;
use crate::govern::{AdmitProvider, Operation, RetireComponent, RetireProvider, RotateIssuer, Waiver};
use crate::key::{Component, Issuer};
use crate::log::{Entry, Ledger, Rejudge};
use crate::provider::{Source, Subject};
use crate::reason::{Reason, Refusal};

fn token(issuer: &Pair<Issuer>, id: &str, rev: Option<i32>) -> Vec<u8> {
    component_token_with(issuer, id, None, crate::claims::Common { rev, ..common() })
}

// Admits other bytes of the subject `logger`, under an id of the same name.
fn provider(
    world: &mut World,
    issuer: &Pair<Issuer>,
    bytes: &str,
    rev: Option<i32>,
    waivers: &[Waiver],
) -> Result<(), Refusal> {
    let token = token(issuer, "logger", rev);
    let operation = AdmitProvider {
        id: "logger".parse().unwrap(),
        subject: Subject::Component(Pair::<Component>::seeded("logger").name),
        sha256: file(bytes),
        claims_sha256: Some(Digest::of(&token)),
        serves: vec![logging()],
        source: Source::Exports,
        waivers: waivers.iter().copied().collect(),
    };
    world.act_with(Operation::AdmitProvider(operation), &token)
}

fn reason(verdict: Result<(), Refusal>) -> Option<Reason> {
    verdict.err().map(|refusal| refusal.reason)
}

// Starts `cart` with claims of that revision, as these bytes.
fn started(world: &mut World, issuer: &Pair<Issuer>, rev: Option<i32>, bytes: &str) -> Option<Reason> {
    let mut asked = world.request().with_claims(token(issuer, "cart", rev));
    asked.request.runs.sha256 = file(bytes);
    world.ask(&asked).unwrap().decision().refusal().map(|refusal| refusal.reason)
}

#[test]
fn t18_a_provider_is_not_taken_over_by_another_trusted_issuer_either() {
    let mut world = World::with_builtin();
    let (first, second) = (Pair::<Issuer>::seeded("1"), Pair::<Issuer>::seeded("second"));
    provider(&mut world, &first, "one", Some(1), &[]).unwrap();
    world.issuer = Pair::seeded("second");
    world.trust(&["*"]);
    assert_eq!(reason(provider(&mut world, &second, "two", Some(2), &[])), Some(Reason::SubjectOwned));
    assert_eq!(
        reason(provider(&mut world, &second, "two", Some(2), &[Waiver::Downgrade])),
        Some(Reason::SubjectOwned),
        "one waiver is not the other"
    );
    provider(&mut world, &second, "two", Some(2), &[Waiver::TakeOver]).unwrap();
    // Now it is the second one's: the first must ask like anybody else.
    assert_eq!(reason(provider(&mut world, &first, "three", Some(3), &[])), Some(Reason::SubjectOwned));
    // Under an id as a component it is the same subject.
    let other = token(&first, "logger", Some(9));
    assert_eq!(reason(world.admit("logger", &other, Vec::new())), Some(Reason::SubjectOwned));
}

#[test]
fn t18_whoever_succeeds_by_rotation_has_what_the_old_key_owned() {
    let mut world = World::with_builtin();
    let (old, new) = (Pair::<Issuer>::seeded("1"), Pair::<Issuer>::seeded("next"));
    provider(&mut world, &old, "one", Some(1), &[]).unwrap();
    let proof = world.proof(&new);
    let (overlap_until, proof_sha256) = (at(NOW + 60), Some(Digest::of(&proof)));
    let rotate = RotateIssuer { old: old.name, new: new.name, overlap_until, until: None, proof_sha256 };
    world.act_with(Operation::RotateIssuer(rotate), &proof).unwrap();
    provider(&mut world, &new, "two", Some(2), &[]).unwrap();
    provider(&mut world, &old, "three", Some(3), &[]).unwrap();
    assert_eq!(started(&mut world, &new, Some(1), "cart-two"), None);
}

#[test]
fn t29_revision_three_then_two_is_a_downgrade() {
    let mut world = World::with_builtin();
    let issuer = Pair::<Issuer>::seeded("1");
    provider(&mut world, &issuer, "three", Some(3), &[]).unwrap();
    for rev in [Some(2), Some(-1), None] {
        assert_eq!(reason(provider(&mut world, &issuer, "two", rev, &[])), Some(Reason::Downgrade), "{rev:?}");
    }
    assert_eq!(
        reason(provider(&mut world, &issuer, "two", Some(2), &[Waiver::TakeOver])),
        Some(Reason::Downgrade),
        "one waiver is not the other"
    );
    provider(&mut world, &issuer, "two", Some(2), &[Waiver::Downgrade]).unwrap();
    let row = String::from_utf8(world.rows.last().unwrap().clone()).unwrap();
    assert!(row.contains("\"downgraded\":3"), "{row}");
    // The exception was for those bytes alone.
    assert_eq!(reason(provider(&mut world, &issuer, "other two", Some(2), &[])), Some(Reason::Downgrade));
    world.act(Operation::RetireProvider(RetireProvider { sha256: file("two"), running: None })).unwrap();
    assert_eq!(reason(provider(&mut world, &issuer, "two", Some(2), &[])), Some(Reason::Downgrade));
    provider(&mut world, &issuer, "other three", Some(3), &[]).unwrap();
}

#[test]
fn t29_an_older_component_does_not_start_unless_it_was_admitted_itself() {
    let mut world = World::with_builtin();
    let issuer = Pair::<Issuer>::seeded("1");
    let admit = |world: &mut World, rev, waivers: &[Waiver]| {
        world.admit_despite("till", &token(&issuer, "cart", rev), Vec::new(), waivers)
    };
    admit(&mut world, Some(3), &[]).unwrap();
    // The bytes under the id were admitted as revision 1, long ago, and nobody took that back.
    assert_eq!(started(&mut world, &issuer, Some(1), "cart"), None);
    assert_eq!(started(&mut world, &issuer, Some(2), "another cart"), Some(Reason::Downgrade));
    assert_eq!(started(&mut world, &issuer, None, "another cart"), Some(Reason::Downgrade));
    assert_eq!(started(&mut world, &issuer, Some(3), "another cart"), None);
    assert_eq!(started(&mut world, &issuer, Some(4), "another cart"), None);
    assert_eq!(
        reason(world.admit("cart", &token(&issuer, "cart", Some(2)), Vec::new())),
        Some(Reason::Downgrade),
        "not even under the id where it ran"
    );
}

#[test]
fn t29_versions_are_numbers_and_not_text() {
    use super::world::import;
    let answers = |served: &str, wanted: &str| {
        let (served, wanted) =
            (import("wasi:logging", served, &["logging"]), import("wasi:logging", wanted, &["logging"]));
        crate::resolve::answers_version(&served, &wanted)
    };
    assert!(answers("1.10.0", "1.9.0") && !answers("1.9.0", "1.10.0"));
    assert!(answers("0.2.10", "0.2.9") && !answers("0.2.9", "0.2.10"));
    assert!(!answers("0.10.0", "0.9.0"), "another track, however much higher");
}

#[test]
fn what_older_laws_judged_is_judged_again_as_it_was() {
    for law in 1..crate::decide::LAW {
        judged_again(law);
    }
}

fn judged_again(law: u64) {
    let mut count = 0;
    for file in std::fs::read_dir(root().join(format!("tests/vectors/law-{law}"))).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let vector: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let mut rows: Vec<Vec<u8>> =
            vector["log"].as_array().unwrap().iter().map(|row| row.as_str().unwrap().as_bytes().to_vec()).collect();
        rows.push(vector["ruling"].as_str().unwrap().as_bytes().to_vec());
        let mut evidence: BTreeMap<Digest, Vec<u8>> = BTreeMap::new();
        for (_, piece) in vector["evidence"].as_object().unwrap() {
            let bytes = BASE64.decode(piece.as_str().unwrap().as_bytes()).unwrap();
            evidence.insert(Digest::of(&bytes), bytes);
        }
        let request = BASE64.decode(vector["request"].as_str().unwrap().as_bytes()).unwrap();
        request.split(|byte| *byte == b'\n').for_each(|piece| drop(evidence.insert(Digest::of(piece), piece.to_vec())));
        assert_eq!(Entry::read(rows.last().unwrap()).unwrap().law, law, "{}", path.display());
        let mut ledger = Ledger::begin(&rows[0]).unwrap();
        for row in &rows[1..] {
            ledger.replay(row, Rejudge::Yes(&evidence)).unwrap_or_else(|why| panic!("{}: {why}", path.display()));
        }
        // What follows is judged by the newest law again.
        assert_eq!(ledger.state().law(), crate::decide::LAW);
        count += 1;
    }
    assert!(count >= 5);
}

#[test]
fn under_the_law_before_an_admission_handed_a_subject_over() {
    let mut world = World::with_builtin_under(1);
    world.issuer = Pair::seeded("second");
    world.trust(&["*"]);
    let handed = token(&world.issuer, "cart", Some(-7));
    world.act(Operation::RetireComponent(RetireComponent { id: "cart".parse().unwrap(), running: None })).unwrap();
    world.admit("cart", &handed, Vec::new()).unwrap();
    assert_eq!(Entry::read(world.rows.last().unwrap()).unwrap().law, 1);
    world.ledger.judge_under(2);
    assert_eq!(started(&mut world, &Pair::seeded("second"), Some(-7), "cart"), None);
    let mut rows = world.rows.iter();
    let mut ledger = Ledger::begin(rows.next().unwrap()).unwrap();
    rows.for_each(|row| drop(ledger.replay(row, Rejudge::Yes(&world.evidence)).unwrap()));
    assert_eq!(ledger.head(), world.ledger.head());
}
