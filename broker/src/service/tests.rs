//! The story told with a real SQLite file, in process.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod asker;
mod bound;
mod configured;
mod disk;
mod door;
mod evidence;
mod forging;
mod founding;
mod freezing;
mod growth;
mod relaxing;
mod rotation;
mod seen;
mod starting;
mod upgrade;

use policy::answer::{StartAnswer, Verdict};
use policy::envelope::Unverified;
use policy::reason::Reason;

use self::asker::Lattice;

#[tokio::test]
async fn a_new_lattice_has_its_base_contracts_and_opens_again_at_the_same_head() {
    let lattice = Lattice::new().await;
    assert_eq!(lattice.report.base.len(), 5);
    let before = lattice.service.snapshot().await.unwrap();
    assert_eq!(before.state.contracts().len(), 5);
    let lattice = lattice.reopened().await;
    let after = lattice.service.snapshot().await.unwrap();
    assert_eq!(after.head, before.head);
    assert_eq!(after.state.contracts(), before.state.contracts());
}

#[tokio::test]
async fn a_host_joins_asks_and_is_answered() {
    let lattice = Lattice::new().await;
    let host = lattice.enrolled_host().await;
    let request = lattice.request(&host);
    let answer = lattice.service.answer_start(&request).await.unwrap();
    let answer = Unverified::<StartAnswer>::parse(&answer).unwrap().verify(&lattice.decision_keys()).unwrap();
    assert_eq!(answer.verdict, Verdict::Refused);
    assert_eq!(answer.reason, Some(Reason::ClaimsMissing));
    let row = lattice.service.log().await.unwrap().row(answer.index).await.unwrap().unwrap();
    assert_eq!(row.hash, answer.entry_sha256);
}
