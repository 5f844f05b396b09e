//! Hosts, and the broker's door: who asks without being somebody here, too late, too often, or for somebody else.

use broker::keys::SigningKey;
use futures::StreamExt;
use harness::asker::{Asker, lattice_name};
use harness::lattice::Lattice;
use harness::vectors::text;
use policy::key::Administrator;
use policy::reason::Reason;
use policy::wire::{FRESHNESS_S, Topic, inbox_prefix};

use super::seen::Seen;
use super::stage::{Stage, exchange, invitation};

pub(super) fn never_enrolled(stage: &Stage) -> Seen {
    let live = stage.live();
    live.ask(&Asker::with_key(&live.lattice, SigningKey::generate().unwrap()), |_| ())
}

// Its program is told so on record, once a minute; whatever else it asks is turned away and counted.
pub(super) fn banned(stage: &Stage) -> Seen {
    let live = stage.live();
    live.lattice.join("banned");
    let host = Asker::of(&live.lattice, "banned");
    live.done(&["host", "ban", &host.key.name().to_string()]);
    live.run_as("banned", &live.lattice.path("cart-acme.wasm"), "cart", &["--timeout", "60"])
        .must_be(Reason::HostBanned);
    live.ask(&host, |_| ())
}

pub(super) fn of_another_lattice(stage: &Stage) -> Seen {
    let live = stage.live();
    live.ask(&live.asker(), |request| request.aud = "elsewhere".parse().unwrap())
}

// The broker is asked to send its answer to a subject on which somebody else acts.
pub(super) fn answer_for_somebody_else(_: &Stage) -> Seen {
    let mut lattice = Lattice::start();
    let admin = SigningKey::<Administrator>::load(&lattice.path("lattice/keys/admin.nk")).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let client = async_nats::connect(lattice.nats.url()).await.unwrap();
        let (subject, target) = (Topic::Command.subject(&lattice_name()), "somebody.elses.subject");
        let mut heard = client.subscribe(target).await.unwrap();
        let lured = invitation(&admin, |_| ());
        client.publish_with_reply(subject, target, lured.into()).await.unwrap();
        // The next one is answered, so the first was dealt with; and once the broker is gone, nothing is on its way.
        exchange(&client, Topic::Command, &inbox_prefix(&admin.name()), invitation(&admin, |_| ())).await;
        lattice.stop_broker();
        let silence = std::time::Duration::from_millis(50);
        assert!(tokio::time::timeout(silence, heard.next()).await.is_err(), "it was answered");
    });
    let tail = lattice.accepted(&["audit", "tail", "-n", "1"]);
    assert_eq!(tail["entries"][0]["kind"], "door", "{tail}");
    Seen::Counted(text(&tail["entries"][0], "summary").to_owned())
}

pub(super) fn kept_for_later(stage: &Stage) -> Seen {
    let live = stage.live();
    live.ask(&live.asker(), |request| {
        let early = request.iat.seconds() - FRESHNESS_S - 5;
        request.iat = policy::time::Timestamp::from_seconds(early).unwrap();
    })
}

// One a second is its share, and it asks twice at once.
pub(super) fn flood(_: &Stage) -> Seen {
    let mut lattice = Lattice::quiet();
    lattice.furnish();
    lattice.broker_is_told(&["--host-rate", "1", "--host-burst", "1"]);
    lattice.serve();
    lattice.join("greedy");
    let host = Asker::of(&lattice, "greedy");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let client = async_nats::connect(lattice.nats.url()).await.unwrap();
        let inbox = inbox_prefix(&host.key.name());
        loop {
            let ask = || exchange(&client, Topic::StartComponent, &inbox, host.question());
            let (_, second) = tokio::join!(ask(), ask());
            let seen = Seen::on_the_wire(&second);
            // A machine that is slow enough lets a second pass between the two.
            if matches!(seen, Seen::TurnedAway { .. }) {
                return seen;
            }
        }
    })
}
