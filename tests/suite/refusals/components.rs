//! Components: what runs under an id is whose it is, and imports what its claims say.

use harness::lattice::path;
use harness::sign::subject;
use nkeys::KeyPair;
use policy::artifact::component;
use policy::claims::{Common, ComponentClaims, draft_component};
use policy::key::Name;
use policy::time::Validity;

use super::seen::Seen;
use super::stage::{Stage, exporting, importing};

pub(super) fn never_admitted(stage: &Stage) -> Seen {
    let live = stage.live();
    let file = live.signed("never-admitted", &importing(&[]), "acme");
    live.run(&file, "never-admitted", &[])
}

pub(super) fn under_anothers_id(stage: &Stage) -> Seen {
    let live = stage.live();
    live.component("till", &importing(&[]));
    let other = live.signed("not-the-till", &exporting("demo:till/a@0.1.0"), "acme");
    live.run(&other, "till", &[])
}

// Any trusted issuer can write any subject's name into claims.
pub(super) fn anothers_subject(stage: &Stage) -> Seen {
    let live = stage.live();
    live.component("safe", &importing(&[]));
    live.trusted("colleague", &["--scope", "demo:*", "--kind", "component"]);
    let other = live.signed("safe", &importing(&[]), "colleague");
    live.run(&other, "safe", &[])
}

// Genuine, signed by its owner, and older than what was admitted since.
pub(super) fn older_than_admitted(stage: &Stage) -> Seen {
    let live = stage.live();
    let (key, newer) = (live.lattice.path("acme.nk"), live.lattice.path("mended-2.wasm"));
    let bytes = wat::parse_str(exporting("demo:mended/a@0.1.0")).unwrap();
    std::fs::write(&newer, harness::sign::component_of_revision(&bytes, "mended", 2, &key)).unwrap();
    live.done(&["component", "admit", path(&newer), "--id", "mended"]);
    let older = live.signed("mended", &importing(&[]), "acme");
    live.told(&["component", "admit", path(&older), "--id", "mended"])
}

pub(super) fn retired(stage: &Stage) -> Seen {
    let live = stage.live();
    let file = live.component("retired", &importing(&[]));
    live.done(&["component", "retire", "retired"]);
    live.run(&file, "retired", &[])
}

pub(super) fn more_than_its_claims_list(stage: &Stage) -> Seen {
    let live = stage.live();
    live.published("demo:unlisted", |_| ());
    let bytes = wat::parse_str(importing(&["demo:unlisted/a@0.1.0"])).unwrap();
    let seed = std::fs::read_to_string(live.lattice.path("acme.nk")).unwrap();
    let acme = KeyPair::from_seed(seed.trim()).unwrap();
    let claims = ComponentClaims {
        common: Common {
            jti: "unlisted".into(),
            validity: Validity { iat: harness::asker::now(), nbf: None, exp: None },
            name: None,
            rev: None,
            ver: None,
        },
        subject: Name::parse(&subject("unlisted").public_key()).unwrap(),
        hash: component::read(&bytes).unwrap().claims_hash(),
        tags: Vec::new(),
        call_alias: None,
        caps: Some(vec!["wasi:logging".parse().unwrap()]),
    };
    let draft = draft_component(&Name::parse(&acme.public_key()).unwrap(), &claims);
    let signature = acme.sign(draft.signing_input()).unwrap();
    let file = live.lattice.path("unlisted.wasm");
    std::fs::write(&file, component::attach(&bytes, &draft.seal(&signature)).unwrap()).unwrap();
    live.done(&["component", "admit", path(&file), "--id", "unlisted"]);
    live.run(&file, "unlisted", &[])
}
