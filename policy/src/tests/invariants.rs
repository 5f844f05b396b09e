//! I1 and I5 to I8 over random worlds, against a model that knows nothing of how the law is written.

use proptest::prelude::*;

use super::world::{World, contract, file, logging, offer, unnamed};
use crate::decide::Decision;
use crate::govern::{Bind, DeleteLink, Operation, RetireProvider, RevokeIssuer};
use crate::resolve::By;

/// A world as the model sees it.
#[derive(Debug, Clone, Copy)]
struct Plan {
    published: bool,
    default: Option<bool>,
    native_admitted: bool,
    native_offered: bool,
    logger_offered: bool,
    linked: Linked,
    logger_retired: bool,
    revoked: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Linked {
    Never,
    Live,
    Removed,
    Accepted,
}

fn plan() -> impl Strategy<Value = Plan> {
    let linked = prop_oneof![Just(Linked::Never), Just(Linked::Live), Just(Linked::Removed), Just(Linked::Accepted)];
    (any::<[bool; 6]>(), any::<Option<bool>>(), linked).prop_map(|(flags, default, linked)| Plan {
        published: flags[0],
        default,
        native_admitted: flags[1],
        native_offered: flags[2],
        logger_offered: flags[3],
        linked,
        logger_retired: flags[4],
        // Revocation ends everything, so it is rare.
        revoked: flags[5] && flags[0] && flags[1],
    })
}

/// What must come out, written down from the rules of binding.
fn model(plan: Plan) -> Option<By> {
    if plan.revoked || !plan.published {
        return None;
    }
    match plan.linked {
        Linked::Live => (!plan.logger_retired).then_some(By::Link),
        Linked::Removed => None,
        Linked::Never | Linked::Accepted => {
            let native = plan.native_admitted && plan.native_offered;
            let logger = plan.logger_offered && !plan.logger_retired;
            (plan.default == Some(true) && (native != logger)).then_some(By::Builtin)
        }
    }
}

fn build(plan: Plan) -> World {
    let mut world = World::new();
    // Links and defaults need a contract when they are put; it is withdrawn where the plan has none.
    world.publish(&contract(&world.issuer, 1)).unwrap();
    if let Some(builtin) = plan.default {
        world.default(if builtin { Bind::Builtin } else { Bind::Never }).unwrap();
    }
    if plan.native_admitted {
        world.admit_native("native/logging@0.1.0").unwrap();
    }
    world.admit_provider("logger").unwrap();
    if plan.linked != Linked::Never {
        world.link("logger", "default").unwrap();
    }
    if matches!(plan.linked, Linked::Removed | Linked::Accepted) {
        let (component, package) = ("cart".parse().unwrap(), logging().package);
        let accept_default = plan.linked == Linked::Accepted;
        world
            .act(Operation::DeleteLink(DeleteLink {
                component,
                package,
                name: unnamed(),
                accept_default,
                running: None,
            }))
            .unwrap();
    }
    if plan.logger_retired {
        world.act(Operation::RetireProvider(RetireProvider { sha256: file("logger"), running: None })).unwrap();
    }
    if !plan.published {
        let package = logging().package;
        world.act(Operation::WithdrawContract(crate::govern::WithdrawContract { package, running: None })).unwrap();
    }
    if plan.revoked {
        let key = world.issuer.name;
        world.act(Operation::RevokeIssuer(RevokeIssuer { key, running: None })).unwrap();
    }
    world
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    #[test]
    fn the_law_agrees_with_the_model(plan in plan()) {
        let mut world = build(plan);
        let logger = crate::question::Offer {
            subject: crate::provider::Subject::Component(super::world::Pair::seeded("logger").name),
            sha256: file("logger"),
        };
        let natives = plan.native_offered.then(|| offer("native/logging@0.1.0"));
        let offers = natives.into_iter().chain(plan.logger_offered.then_some(logger)).collect();
        let asked = world.request().with_offers(offers);
        let ruling = world.ask(&asked).unwrap();
        let found = match ruling.decision() {
            Decision::Permitted(outcomes) => {
                // I1: a permit is for exactly what was asked.
                prop_assert_eq!(outcomes.len(), 1);
                prop_assert_eq!(&outcomes[0].package, &asked.request.imports[0].package);
                prop_assert_eq!(&outcomes[0].version, &asked.request.imports[0].version);
                Some(outcomes[0].grant.as_ref().unwrap().by)
            }
            Decision::Relaxed { .. } => panic!("nothing is relaxed here"),
            Decision::Refused { .. } => None,
        };
        prop_assert_eq!(found, model(plan), "{:?}", ruling.decision());
        // I5: a builtin never answers where a link or its tombstone stands.
        prop_assert!(!(found == Some(By::Builtin) && matches!(plan.linked, Linked::Live | Linked::Removed)));
        // I8: asked again, the same answer.
        let again = world.request();
        let again = super::world::Asked { request: crate::question::StartRequest { jti: again.request.jti, ..asked.request.clone() }, attachments: asked.attachments.clone() };
        let again = world.ask(&again).unwrap();
        prop_assert_eq!(again.decision(), ruling.decision());
    }
}
