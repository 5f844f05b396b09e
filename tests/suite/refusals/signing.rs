//! Several administrators: who has not the role, who signs alone, who signs twice, and who looks twice.

use std::path::PathBuf;
use std::sync::Arc;

use broker::clock::SystemClock;
use broker::folder::Folder;
use broker::keys::SigningKey;
use broker::service::Service;
use harness::caller::query_by;
use policy::answer::Receipt;
use policy::envelope::Unverified;
use policy::govern::{Operation, PutThreshold, Weighty};
use policy::key::Administrator;
use policy::wire::inbox_prefix;
use serde_json::json;

use super::administrators::admin;
use super::seen::Seen;
use super::stage::{Stage, invitation};

pub(super) fn viewer(stage: &Stage) -> Seen {
    let live = stage.live();
    let key = SigningKey::<Administrator>::generate().unwrap();
    live.done(&["admin", "put", &key.name().to_string(), "--role", "viewer"]);
    live.command(invitation(&key, |_| ()), &key)
}

pub(super) fn more_than_there_are(stage: &Stage) -> Seen {
    stage.live().told(&["threshold", "put", "restore", "2"])
}

pub(super) fn nobody_left(stage: &Stage) -> Seen {
    let live = stage.live();
    live.told(&["admin", "remove", &admin(live).name().to_string()])
}

// A lattice of two operators, in which nobody alone changes a threshold.
fn of_two(stage: &Stage, name: &str) -> PathBuf {
    let folder = stage.found(name);
    let second = SigningKey::<Administrator>::generate().unwrap();
    let put = stage.alone(name, &["admin", "put", &second.name().to_string(), "--role", "operator"]);
    assert!(put.is_done(), "{put:?}");
    folder
}

// Commands to raise a threshold, each its own, and their receipts.
fn proposed(folder: &std::path::Path, times: usize) -> Vec<Receipt> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let admin = SigningKey::<Administrator>::load(&folder.join("keys/admin.nk")).unwrap();
    runtime.block_on(async {
        let service = Service::open(&Folder::open(folder).unwrap(), Arc::new(SystemClock::default())).await.unwrap();
        let basis = service.snapshot().await.unwrap().head.epoch;
        let mut receipts = Vec::new();
        for _ in 0..times {
            let raise = Operation::PutThreshold(PutThreshold { class: Weighty::Restore, threshold: 2 });
            let command = invitation(&admin, |command| {
                command.operations = vec![raise];
                command.basis = basis;
            });
            let receipt = service.command(&command).await.unwrap();
            receipts.push(Unverified::<Receipt>::parse(&receipt).unwrap().says().clone());
        }
        service.close().await.unwrap();
        receipts
    })
}

pub(super) fn one_of_two(stage: &Stage) -> Seen {
    let receipt = proposed(&of_two(stage, "one-of-two"), 1).remove(0);
    assert_eq!(receipt.pending.as_ref().map(|lack| lack.missing), Some(1));
    Seen::Answered(json!(receipt))
}

pub(super) fn own_second(stage: &Stage) -> Seen {
    let receipt = proposed(&of_two(stage, "own-second"), 1).remove(0);
    let id = receipt.pending.unwrap().id.to_string();
    stage.alone("own-second", &["approve", &id])
}

pub(super) fn queue_of_proposals(stage: &Stage) -> Seen {
    let receipts = proposed(&of_two(stage, "queue"), policy::govern::MAX_WAITING + 1);
    Seen::Answered(json!(receipts.last().unwrap()))
}

pub(super) fn same_query_twice(stage: &Stage) -> Seen {
    let live = stage.live();
    let admin = admin(live);
    let query = query_by(&admin, "links", &json!("links"), |_| ());
    let look =
        || live.send_to("countersign.v1.default.query.links".to_owned(), &inbox_prefix(&admin.name()), query.clone());
    let Seen::Answered(first) = look() else { panic!("the first is answered") };
    assert_eq!(first.get("reason"), None, "{first}");
    look()
}
