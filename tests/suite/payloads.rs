//! What is larger than one message: pages fit where the server takes what servers usually take, and where it takes less,
//! who asks is told at once and what to do.

use std::process::Output;
use std::time::{Duration, Instant};

use harness::lattice::{Lattice, path};
use harness::program::program;
use serde_json::{Value, json};

use crate::choices::Shop;

// Asks over NATS, with nothing but the lattice's digest and the administrator's key.
fn away(lattice: &Lattice, root: &str, arguments: &[&str]) -> (i32, Value) {
    let (nowhere, key) = (lattice.path("nowhere"), lattice.path("lattice/keys/admin.nk"));
    let mut command = program("countersign");
    command.args(["-o", "json", "--dir", path(&nowhere), "--nats-url", &lattice.nats.url(), "--root", root]);
    let Output { status, stdout, stderr } = command.args(["--key", path(&key)]).args(arguments).output().unwrap();
    let printed = if stdout.is_empty() { &stderr } else { &stdout };
    let object = serde_json::from_slice(printed);
    (status.code().unwrap_or(-1), object.unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(printed))))
}

fn root(lattice: &Lattice) -> String {
    harness::vectors::text(&lattice.accepted(&["status"]), "root").to_owned()
}

#[test]
fn a_view_that_the_server_does_not_take_is_refused_at_once_and_says_what_to_do() {
    let mut lattice = Lattice::quiet();
    let root = root(&lattice);
    lattice.furnish();
    lattice.nats.configure("max_payload: 8192\n");
    lattice.serve();
    let began = Instant::now();
    let (code, refused) = away(&lattice, &root, &["audit", "tail", "-n", "100"]);
    assert_eq!((code, refused["error"].as_str()), (3, Some("token_oversize")), "{refused}");
    let said = refused["message"].as_str().unwrap();
    assert!(said.contains("takes 8192") && said.contains("`-n`") && said.contains("max_payload"), "{refused}");
    // Before the deadline of a question that nobody answers.
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    let (code, seen) = away(&lattice, &root, &["audit", "tail", "-n", "1"]);
    assert_eq!((code, seen["entries"].as_array().map(Vec::len)), (0, Some(1)), "{seen}");
}

#[test]
fn more_than_a_message_holds_comes_page_by_page_and_whole() {
    let shop = Shop::open();
    let (lattice, root) = (&shop.0, root(&shop.0));
    // The same few links, to and fro.
    let providers = lattice.accepted(&["provider", "list"])["providers"].clone();
    let act = |number: usize| {
        let id = json!(["east", "west"][number / 15 % 2]);
        let provider = providers.as_array().unwrap().iter().find(|row| row["id"] == id).unwrap();
        let (name, subject, sha256) = (format!("n{}", number % 15), &provider["subject"], &provider["sha256"]);
        json!({"put_link": {"component": "asker", "package": "demo:kv", "name": name, "provider": subject, "sha256": sha256}})
    };
    for half in 0..2 {
        let file = lattice.path("acts.json");
        let acts = (half * ACTS / 2..(half + 1) * ACTS / 2).map(act);
        std::fs::write(&file, acts.collect::<Value>().to_string()).unwrap();
        lattice.accepted(&["apply", "-f", path(&file)]);
    }

    let (code, history) = away(lattice, &root, &["link", "history", "asker"]);
    assert_eq!(code, 0, "{history}");
    assert_eq!(history["changes"].as_array().map(Vec::len), Some(ACTS));
    assert!(policy::json::write(&history).len() > 1024 * 1024);
    assert_eq!(history["changes"], lattice.accepted(&["link", "history", "asker"])["changes"]);
    assert!(history.get("next").is_none());

    let tail = |lines: &str| away(lattice, &root, &["audit", "tail", "-n", lines]);
    let (code, all) = tail("1000");
    assert_eq!((code, &all["entries"]), (0, &lattice.accepted(&["audit", "tail", "-n", "1000"])["entries"]));
    let indices = |view: &Value| -> Vec<u64> {
        view["entries"].as_array().unwrap().iter().map(|entry| entry["index"].as_u64().unwrap()).collect()
    };
    let size = all["size"].as_u64().unwrap();
    assert_eq!(indices(&all), (0..size).collect::<Vec<_>>());
    // What does too much for one message is told in short, and says where the whole of it is.
    let short: Vec<_> = all["entries"].as_array().unwrap().iter().filter(|it| it["shortened"] == true).collect();
    assert!(short.len() == 2 && short[0]["summary"].as_str().unwrap().contains("countersign why"), "{short:?}");
    assert_eq!(indices(&tail("5").1), (size - 5..size).collect::<Vec<_>>());
}

const ACTS: usize = 1900;
