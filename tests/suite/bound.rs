//! What is really bound where: a host that says something else than it was permitted is shown as that.

use std::time::{Duration, Instant};

use harness::asker::{Asker, lattice_name, now, send};
use harness::embedded::Embedded;
use harness::lattice::{Lattice, wait_for};
use policy::digest::Digest;
use policy::inventory::{Bound, HostInventory, Runs};
use policy::question::Seen;
use policy::wire::Topic;
use serde_json::Value;

type Alter = fn(&mut Runs);

fn cart(lattice: &Lattice) -> Vec<Value> {
    let inventory = lattice.accepted(&["inventory", "--component", "cart"]);
    inventory["hosts"].as_array().unwrap().iter().flat_map(|host| host["running"].as_array().unwrap().clone()).collect()
}

fn alarms(lattice: &Lattice) -> Vec<Value> {
    let status = lattice.accepted(&["status"]);
    status["alarms"].as_array().unwrap().iter().filter(|alarm| alarm["alarm"] == "binding_differs").cloned().collect()
}

// What the host would say truly, from what is shown of it.
fn runs(rows: &[Value]) -> Runs {
    let parsed = |row: &Value, name: &str| row[name].as_str().unwrap().to_owned();
    let entry = rows[0]["entry"].as_u64().unwrap();
    let bound = rows.iter().map(|row| Bound {
        package: parsed(row, "package").parse().unwrap(),
        link: parsed(row, "link").parse().unwrap(),
        provider: policy::provider::Subject::parse(&parsed(row, "provider")).unwrap(),
        sha256: Digest::parse(&parsed(row, "sha256")).unwrap(),
        index: entry,
    });
    Runs {
        component: "cart".parse().unwrap(),
        sha256: Digest::parse(&parsed(&rows[0], "component_sha256")).unwrap(),
        issuer: None,
        index: entry,
        bindings: bound.collect(),
        closing: None,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t102_a_digest_that_was_not_permitted_is_shown_within_a_minute() {
    let lattice = Lattice::with_cart();
    let host = Embedded::new(&lattice, "host", &lattice.nats.url(), Duration::from_secs(20)).await;
    let _running = host.start("cart").await.unwrap();
    let rows = wait_for("it in the inventory", || Some(cart(&lattice)).filter(|rows| rows.len() == 2));
    assert!(rows.iter().all(|row| row.get("differs").is_none()), "{rows:?}");
    assert_eq!(alarms(&lattice), Vec::<Value>::new());
    let truth = runs(&rows);
    let altered: [(&str, Alter); 5] = [
        ("what answers", |runs| runs.bindings[0].sha256 = Digest::of(b"an imposter")),
        ("who answers", |runs| runs.bindings[0].provider = runs.bindings[1].provider.clone()),
        ("what runs", |runs| runs.sha256 = Digest::of(b"another cart")),
        ("under which id", |runs| runs.component = "till".parse().unwrap()),
        ("since which entry", |runs| runs.index -= 1),
    ];
    // The same host, in other hands: its key signs whatever they like.
    let asker = Asker::of(&lattice, "host");
    let client = asker.connect(&lattice.nats.url()).await;
    for (number, (what, alter)) in (1..).zip(altered) {
        let mut running = truth.clone();
        alter(&mut running);
        let status = lattice.accepted(&["status"]);
        let inventory = HostInventory {
            iss: asker.key.name(),
            aud: lattice_name(),
            iat: now(),
            process: broker::keys::nonce().unwrap(),
            sequence: 1,
            page: 0,
            pages: 1,
            seen: Seen {
                epoch: status["epoch"].as_u64().unwrap(),
                index: status["size"].as_u64().unwrap() - 1,
                entry_sha256: Digest::parse(status["head"].as_str().unwrap()).unwrap(),
            },
            checkpoint: None,
            forked: None,
            builtins_sha256: Digest::of(&asker.attachments[1]),
            running: vec![running],
            closed: Vec::new(),
            at_hand: None,
        };
        let said = Instant::now();
        send(&client, Topic::Inventory, asker.key.sign(&inventory, [])).await.unwrap();
        let found = wait_for(what, || Some(alarms(&lattice)).filter(|alarms| alarms.len() == number));
        println!("{what}: shown {} ms after it was said: {}", said.elapsed().as_millis(), found[number - 1]);
    }
    let differs = cart(&lattice).iter().filter(|row| row.get("differs").is_some()).count();
    assert!(differs >= 4, "each is shown where it is listed, too");
    assert_eq!(
        cart(&lattice).iter().filter(|row| row.get("differs").is_none()).count(),
        2,
        "and the truth beside them"
    );
}
