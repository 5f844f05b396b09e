//! Governance at size, in small: what is promised of many hosts, issuers and links, without a clock beside it.

use std::time::Duration;

use harness::asker::Asker;
use harness::embedded::Embedded;
use harness::large::{ADMIN, IMPORTS, Large, Size};
use harness::lattice::{Lattice, wait_for};
use harness::proxy::Proxy;
use harness::rotating::rotate;
use policy::wire::PERMIT_TTL_MS;
use serde_json::{Value, json};

const LONG: Duration = Duration::from_secs(20);
const SMALL: Size = Size { issuers: 25, links: 230, hosts: 3, runs: 2 };

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t23_an_act_is_effective_once_the_permits_of_a_host_that_is_cut_off_are_over_and_names_it() {
    let lattice = Lattice::with_cart();
    let wire = Proxy::to(&lattice.nats.address());
    lattice.join("far");
    let near = Embedded::new(&lattice, "host", &lattice.nats.url(), LONG).await;
    let far = Embedded::new(&lattice, "far", &wire.url(), LONG).await;
    let spare = lattice.issuer("spare");
    lattice.accepted(&["issuer", "add", &spare, "--scope", "spare:*"]);
    near.decides().await.unwrap();
    far.decides().await.unwrap();
    let keys = |object: &Value| -> Vec<String> {
        let rows = object["unacknowledged"].as_array().unwrap().iter();
        rows.map(|row| row["host"].as_str().unwrap().to_owned()).collect()
    };
    wire.cut();
    let done = tokio::task::block_in_place(|| lattice.accepted(&["issuer", "revoke", &spare]));
    assert_eq!(done["effective"], json!(true), "{done}");
    let took = done["effective_at_ms"].as_u64().unwrap() - done["recorded_at_ms"].as_u64().unwrap();
    assert!(took <= PERMIT_TTL_MS, "{done}");
    assert_eq!((keys(&done), &done["hosts"]), (vec![Asker::of(&lattice, "far").key.name().to_string()], &json!(2)));
    // Both came to hold it in the end: the one that was away when it is back.
    wire.heal();
    wait_for("the host that was away", || {
        let seen = lattice.accepted(&["inventory"]);
        let epochs: Vec<u64> = seen["hosts"].as_array().unwrap().iter().filter_map(|it| it["epoch"].as_u64()).collect();
        (epochs.len() == 2 && epochs.iter().all(|epoch| Some(*epoch) >= done["epoch"].as_u64())).then_some(())
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t15_t21_a_rotation_under_load_refuses_no_good_start_and_permits_none_by_the_old_key_after_its_end() {
    let lattice = Lattice::with_cart();
    let names = ["host", "second", "third", "fourth"];
    names[1..].iter().for_each(|name| lattice.join(name));
    let hosts: Vec<Asker> = names.iter().map(|name| Asker::of(&lattice, name)).collect();
    let told = rotate(&lattice, &hosts, 6).await;
    assert!(told.good_refused.is_empty() && told.good >= 5 * hosts.len(), "{told:?}");
    let retired = std::collections::BTreeMap::from([("issuer_retired".to_owned(), hosts.len())]);
    assert_eq!((told.late, told.late_told), (hosts.len(), retired));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_of_many_names_whoever_depends_on_it_and_each_start_once() {
    let large = Large::new(SMALL).await;
    let issuer = large.issuer.to_string();
    let revoke = ["issuer", "revoke", &issuer, "--running", "drain"];
    let (code, plan) = large.away_json(ADMIN, &[&revoke[..], &["--plan"]].concat());
    assert_eq!(code, 0, "{plan}");
    let (starts, idle) = (SMALL.hosts * SMALL.runs, 3);
    let count = |kind: &str| plan["depends"][kind]["count"].as_u64().unwrap() as usize;
    assert_eq!(count("components"), SMALL.runs + idle, "{}", plan["depends"]);
    assert_eq!((count("providers"), count("contracts"), count("delegates")), (IMPORTS, IMPORTS, 0));
    assert_eq!((count("links"), plan["depends"]["links"]["listed"].as_array().unwrap().len()), (SMALL.links, 100));
    let running = &plan["running"];
    assert_eq!((&running["count"], &running["bindings"]), (&json!(starts), &json!(starts * IMPORTS)));
    assert_eq!(running["listed"][0]["becomes"], "drain", "{running}");
    let flips = plan["flips"].as_array().unwrap();
    assert_eq!((&plan["starts"], flips.len()), (&json!(starts), starts), "{plan}");
    assert!(flips.iter().all(|flip| flip["after_reason"] == "issuer_revoked" && flip["running"] == true), "{flips:?}");
    // Of an issuer that nothing rests on, nobody depends.
    let others = large.away_json(ADMIN, &["issuer", "list"]).1["issuers"].as_array().unwrap().clone();
    let other = others.iter().find(|row| row["key"] != json!(issuer)).unwrap();
    let (_, plan) = large.away_json(ADMIN, &["issuer", "revoke", other["key"].as_str().unwrap(), "--plan"]);
    assert_eq!((&plan["running"]["count"], plan["flips"].as_array().map(Vec::len)), (&json!(0), Some(0)), "{plan}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_read_page_by_page_is_the_whole_list() {
    let large = Large::new(SMALL).await;
    let read = |arguments: &[&str]| {
        let (code, seen) = large.away_json(ADMIN, arguments);
        assert_eq!(code, 0, "{seen}");
        seen
    };
    for (command, list) in [
        (["issuer", "list"], "issuers"),
        (["component", "list"], "components"),
        (["provider", "list"], "providers"),
        (["contract", "list"], "contracts"),
        (["host", "list"], "hosts"),
        (["link", "list"], "links"),
    ] {
        let whole = read(&command);
        assert!(whole.get("next").is_none(), "{list}");
        let (mut rows, mut after, mut pages) = (Vec::new(), None::<String>, 0);
        loop {
            let mut arguments = [&command[..], &["--limit", "7"]].concat();
            arguments.extend(after.iter().flat_map(|after| ["--after", after]));
            let page = read(&arguments);
            let some = page[list].as_array().unwrap().clone();
            assert!(!some.is_empty() && some.len() <= 7, "{list}: {page}");
            rows.extend(some);
            pages += 1;
            match page["next"].as_str() {
                Some(next) => after = Some(next.to_owned()),
                None => break,
            }
        }
        assert_eq!(json!(rows), whole[list], "{list}");
        assert_eq!(pages, rows.len().div_ceil(7), "{list}");
    }
    // How much rests on an issuer's word is counted by whoever hears the hosts.
    let listed = read(&["issuer", "list"])["issuers"].as_array().unwrap().clone();
    let bound: Vec<u64> = listed.iter().map(|row| row["bound"].as_u64().unwrap()).filter(|bound| *bound > 0).collect();
    assert_eq!(bound, [(SMALL.hosts * SMALL.runs * IMPORTS) as u64]);
    let text = large.away(ADMIN, &["issuer", "list", "--limit", "3"]);
    assert!(String::from_utf8_lossy(&text.stdout).contains("--after A"), "{text:?}");
    assert_eq!(large.away_json(ADMIN, &["issuer", "list", "--after", "nonsense"]).0, 3);
}
