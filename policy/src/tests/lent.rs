//! Delegation: over any graph of who lent to whom, cycles too, just those are believed who should be; and what may be
//! written narrows only, goes one step, and ends with its delegator (T12).

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::world::{NOW, Pair, World, at, common, component_token_with};
use crate::delegation::Delegation;
use crate::digest::Digest;
use crate::govern::{AddIssuer, DelegateIssuer, Operation, RetireIssuer, RevokeIssuer, ScopeIssuer};
use crate::issuer::{Issuer, Issuers, Kind, Signed, Standing};
use crate::key::{self, Name};
use crate::reason::{Reason, Refusal};
use crate::time::Validity;

const KINDS: [Kind; 3] = [Kind::Component, Kind::Provider, Kind::Contract];
const PACKAGES: [&str; 3] = ["wasi:logging", "wasi:keyvalue", "acme:store"];
const SCOPES: [&str; 5] = ["*", "wasi:*", "wasi:logging", "acme:*", "acme:store"];

/// An issuer of a random graph, and by whose number it has its say.
#[derive(Debug, Clone)]
struct Node {
    listed: bool,
    from: Option<usize>,
    scopes: Vec<usize>,
    kinds: [bool; 3],
    /// Prepared, active, retired before or after the signing, revoked.
    standing: u8,
}

fn node() -> impl Strategy<Value = Node> {
    let from = proptest::option::weighted(0.6, 0..50_usize);
    let scopes = proptest::collection::vec(0..SCOPES.len(), 0..3);
    let standing = prop_oneof![6 => Just(1_u8), 1 => 0..5_u8];
    (proptest::bool::weighted(0.9), from, scopes, any::<[bool; 3]>(), standing)
        .prop_map(|(listed, from, scopes, kinds, standing)| Node { listed, from, scopes, kinds, standing })
}

fn name(number: usize) -> Name<key::Issuer> {
    Pair::<key::Issuer>::seeded(&number.to_string()).name
}

fn build(nodes: &[Node], names: &[Name<key::Issuer>]) -> Issuers {
    let mut issuers = Issuers::default();
    for (node, own) in nodes.iter().zip(names).filter(|(node, _)| node.listed) {
        let scope = node.scopes.iter().map(|scope| SCOPES[*scope].parse().unwrap()).collect();
        let kinds = KINDS.into_iter().zip(node.kinds).filter(|(_, may)| *may).map(|(kind, _)| kind).collect();
        let standing = match node.standing {
            0 => Standing::Prepared,
            2 => Standing::Retired(at(NOW - 200)),
            3 => Standing::Retired(at(NOW)),
            4 => Standing::Revoked(at(NOW)),
            _ => Standing::Active,
        };
        let delegator = node.from.map(|from| names[from % names.len()]);
        issuers.put(*own, Issuer { standing, delegator, ..Issuer::trusted(scope, kinds, None) });
    }
    issuers
}

// The closure, from the words alone: walk to the root with a visited set, and nothing longer than one step of lending.
fn believed(nodes: &[Node], number: usize, kind: usize, package: &str) -> bool {
    let (mut visited, mut next) = (BTreeSet::new(), Some(number));
    while let Some(number) = next {
        let node = &nodes[number];
        let covers = |scope: &str| match scope.strip_suffix('*') {
            Some(start) => package.starts_with(start),
            None => package == scope,
        };
        let says = node.scopes.iter().any(|scope| covers(SCOPES[*scope]));
        let stands = matches!(node.standing, 1 | 3);
        if !visited.insert(number) || visited.len() > 2 || !node.listed || !says || !node.kinds[kind] || !stands {
            return false;
        }
        next = node.from.map(|from| from % nodes.len());
    }
    true
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn t12_over_any_graph_just_those_are_believed_who_should_be(nodes in proptest::collection::vec(node(), 1..50)) {
        let names: Vec<_> = (0..nodes.len()).map(name).collect();
        let issuers = build(&nodes, &names);
        let validity = Validity { iat: at(NOW - 100), nbf: None, exp: None };
        for (number, issuer) in names.iter().enumerate() {
            for (index, kind) in KINDS.into_iter().enumerate() {
                for package in PACKAGES {
                    let verdict = issuers.judge(Signed { issuer, kind, validity: &validity }, [package], at(NOW));
                    let expected = believed(&nodes, number, index, package);
                    prop_assert_eq!(verdict.is_ok(), expected, "{} {:?} {}: {:?}", number, kind, package, verdict);
                }
            }
        }
    }
}

fn reason(verdict: Result<(), Refusal>) -> Option<Reason> {
    verdict.err().map(|refusal| refusal.reason)
}

fn lent(world: &World, from: &Pair<key::Issuer>, to: Name<key::Issuer>, scope: &str) -> Delegation {
    Delegation {
        iss: from.name,
        sub: to,
        aud: world.ledger.state().lattice().clone(),
        inception_sha256: Some(world.ledger.state().inception_sha256()),
        iat: at(NOW - 10),
        exp: at(NOW + 1000),
        scope: BTreeSet::from([scope.parse().unwrap()]),
        kinds: BTreeSet::from([Kind::Component]),
    }
}

fn publish(world: &mut World, from: &Pair<key::Issuer>, delegation: &Delegation) -> Result<(), Refusal> {
    let token = from.state(delegation.draft());
    let operation = DelegateIssuer { key: delegation.sub, sha256: Digest::of(&token) };
    world.act_with(Operation::DelegateIssuer(operation), &token)
}

fn lender(world: &mut World, seed: &str) -> Pair<key::Issuer> {
    let lender = Pair::<key::Issuer>::seeded(seed);
    let (scope, kinds) = (BTreeSet::from(["acme:*".parse().unwrap()]), BTreeSet::from([Kind::Component]));
    let limited = AddIssuer { until: Some(at(NOW + 2000)), ..AddIssuer::vouched(lender.name, scope, kinds, None) };
    world.act(Operation::AddIssuer(limited)).unwrap();
    lender
}

#[test]
fn t12_what_is_lent_is_narrower_shorter_and_goes_one_step() {
    let mut world = World::bare();
    let above = lender(&mut world, "above");
    let [below, further] = ["below", "further"].map(Pair::<key::Issuer>::seeded);
    let good = lent(&world, &above, below.name, "acme:shop");
    for (wrong, expected) in [
        (Delegation { scope: BTreeSet::from(["*".parse().unwrap()]), ..good.clone() }, Reason::IssuerScope),
        (Delegation { scope: BTreeSet::from(["acme-evil:*".parse().unwrap()]), ..good.clone() }, Reason::IssuerScope),
        (Delegation { kinds: BTreeSet::from([Kind::Provider]), ..good.clone() }, Reason::IssuerKind),
        (Delegation { exp: at(NOW + 2001), ..good.clone() }, Reason::LifetimeExceeded),
        (Delegation { exp: at(NOW), ..good.clone() }, Reason::Expired),
        (Delegation { iat: at(NOW + 1), ..good.clone() }, Reason::IssuedInFuture),
        (Delegation { aud: "other".parse().unwrap(), ..good.clone() }, Reason::LatticeMismatch),
        (Delegation { inception_sha256: Some(Digest::of(b"a twin")), ..good.clone() }, Reason::LatticeMismatch),
        (Delegation { sub: above.name, ..good.clone() }, Reason::SelfSigned),
        (Delegation { scope: BTreeSet::new(), ..good.clone() }, Reason::SchemaMismatch),
        (Delegation { sub: Name::from_raw(*world.administrator.name.raw()), ..good.clone() }, Reason::KeyInUse),
        (Delegation { sub: Name::from_raw([0; 32]), ..good.clone() }, Reason::KeyWeak),
    ] {
        assert_eq!(reason(publish(&mut world, &above, &wrong)), Some(expected), "{wrong:?}");
    }
    // Signed by another than it says; lent by nobody.
    assert_eq!(reason(publish(&mut world, &further, &good)), Some(Reason::SignatureInvalid));
    let nobodys = Delegation { iss: further.name, ..good.clone() };
    assert_eq!(reason(publish(&mut world, &further, &nobodys)), Some(Reason::IssuerUnknown));
    publish(&mut world, &above, &good).unwrap();
    // Lending it on, lending it back, and lending it twice.
    let on = lent(&world, &below, further.name, "acme:shop");
    assert_eq!(reason(publish(&mut world, &below, &on)), Some(Reason::DelegationDepth));
    let back = lent(&world, &below, above.name, "acme:shop");
    assert_eq!(reason(publish(&mut world, &below, &back)), Some(Reason::DelegationDepth));
    assert_eq!(reason(publish(&mut world, &above, &good)), Some(Reason::AlreadyExists));
    let widen = ScopeIssuer { key: below.name, scope: BTreeSet::from(["acme:*".parse().unwrap()]) };
    assert_eq!(reason(world.act(Operation::ScopeIssuer(widen))), Some(Reason::IssuerScope));
}

#[test]
fn t12_a_delegates_say_ends_with_its_delegators_and_shrinks_with_it() {
    let ends: [(Operation, Option<Reason>, Option<Reason>); 3] = [
        (
            Operation::RevokeIssuer(RevokeIssuer { key: name_of("above"), running: None }),
            Some(Reason::IssuerRevoked),
            Some(Reason::IssuerRevoked),
        ),
        (
            Operation::RetireIssuer(RetireIssuer { key: name_of("above"), at: Some(at(NOW - 50)), running: None }),
            None,
            Some(Reason::IssuerRetired),
        ),
        (
            Operation::ScopeIssuer(ScopeIssuer {
                key: name_of("above"),
                scope: BTreeSet::from(["acme:till".parse().unwrap()]),
            }),
            Some(Reason::IssuerScope),
            Some(Reason::IssuerScope),
        ),
    ];
    for (end, before, after) in ends {
        let mut world = World::bare();
        let above = lender(&mut world, "above");
        let below = Pair::<key::Issuer>::seeded("below");
        let good = Delegation { iat: at(NOW - 100), ..lent(&world, &above, below.name, "acme:shop") };
        publish(&mut world, &above, &good).unwrap();
        let exports = || vec![super::world::import("acme:shop", "1.0.0", &["shop"])];
        let admit = |world: &mut World, id: &str, iat: u64| {
            let mut signed = common();
            signed.validity.iat = at(iat);
            let token = component_token_with(&below, id, None, signed);
            reason(world.admit(id, &token, exports()))
        };
        assert_eq!(admit(&mut world, "zero", NOW - 20), None);
        world.act(end.clone()).unwrap();
        assert_eq!(admit(&mut world, "one", NOW - 60), before, "{end:?}");
        assert_eq!(admit(&mut world, "two", NOW - 40), after, "{end:?}");
    }
}

fn name_of(seed: &str) -> Name<key::Issuer> {
    Pair::<key::Issuer>::seeded(seed).name
}
