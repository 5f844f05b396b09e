//! Issuers: a signature that verifies is worth what its signer may say.

use harness::lattice::path;
use harness::mint::{self, NOW, component, issuer};
use serde_json::json;

use super::seen::Seen;
use super::stage::{Live, Stage, exporting};

fn admitted(live: &Live, issuer: &str) -> Seen {
    let id = format!("by-{issuer}");
    let file = live.signed(&id, &exporting("demo:issuers/a@0.1.0"), issuer);
    live.told(&["component", "admit", path(&file), "--id", &id])
}

pub(super) fn stranger(stage: &Stage) -> Seen {
    let live = stage.live();
    live.lattice.issuer("stranger");
    admitted(live, "stranger")
}

// Whoever stole the key chose the time of signing, too.
pub(super) fn thief(stage: &Stage) -> Seen {
    let live = stage.live();
    let stolen = live.trusted("stolen", &["--scope", "demo:*"]);
    live.done(&["issuer", "revoke", &stolen]);
    admitted(live, "stolen")
}

pub(super) fn pensioner(stage: &Stage) -> Seen {
    let trusted = json!({"key": issuer(), "scope": ["*"], "revoked_at": NOW - 200, "reason": "retired"});
    stage.verify_under("pensioner.jwt", mint::claims(&component()), &trusted)
}

pub(super) fn owner_of_contracts_alone(stage: &Stage) -> Seen {
    let live = stage.live();
    live.trusted("owner", &["--scope", "demo:*", "--kind", "contract"]);
    admitted(live, "owner")
}

pub(super) fn neighbour(stage: &Stage) -> Seen {
    let live = stage.live();
    live.trusted("neighbour", &["--scope", "next-door:*"]);
    admitted(live, "neighbour")
}

pub(super) fn too_early(stage: &Stage) -> Seen {
    let live = stage.live();
    live.trusted("early", &["--scope", "demo:*", "--prepared"]);
    admitted(live, "early")
}

// Whoever would be trusted might not hold the key at all.
pub(super) fn key_of_somebody(stage: &Stage) -> Seen {
    let live = stage.live();
    let somebody = live.trusted("somebody", &["--scope", "demo:*", "--prepared"]);
    live.told(&["issuer", "activate", &somebody])
}

pub(super) fn lent_on(stage: &Stage) -> Seen {
    let live = stage.live();
    live.trusted("lender", &["--scope", "demo:*"]);
    let [delegate, another] = ["delegate", "another"].map(|name| live.lattice.issuer(name));
    let lent = |from: &str, to: &str| {
        let key = live.lattice.path(&format!("{from}.nk"));
        let what = ["--scope", "demo:lent", "--kind", "component", "--until", "+1h"];
        let said = live.done(&[&["issuer", "lend", to, "--issuer-key", path(&key)], &what[..]].concat());
        let file = live.lattice.path(&format!("{from}.delegation"));
        std::fs::write(&file, said["delegation"].as_str().unwrap()).unwrap();
        file
    };
    live.done(&["issuer", "delegate", path(&lent("lender", &delegate))]);
    live.told(&["issuer", "delegate", path(&lent("delegate", &another))])
}
