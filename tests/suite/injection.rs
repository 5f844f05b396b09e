//! What looks like a query language is text wherever it is given: on the command line and over NATS (T73).

use broker::store::LogReader;
use harness::asker::lattice_name;
use harness::caller::{Administrator, Caller};
use harness::lattice::{Lattice, path};
use policy::wire::Topic;
use serde_json::{Value, json};

const HOSTILE: [&str; 12] = [
    "'",
    "' OR '1'='1",
    "'; DROP TABLE entries; --",
    "x'); DELETE FROM evidence; --",
    "\" OR 1=1 --",
    "cart' UNION SELECT sql FROM sqlite_schema --",
    "cart/**/--",
    "%",
    "_%",
    "*",
    "cart\\' OR 1=1",
    "1; ATTACH DATABASE 'stolen.db' AS stolen; --",
];

// The log as somebody else finds it: every row, and every piece of evidence.
async fn tables(lattice: &Lattice) -> (Vec<broker::store::Row>, usize) {
    let log = LogReader::open(&lattice.log()).await.unwrap();
    let rows = log.rows(0, 10_000).await.unwrap();
    (rows, log.evidence_after(None).await.unwrap().len())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t73_hostile_text_in_every_argument_is_text_and_changes_nothing() {
    let lattice = Lattice::with_cart();
    let asker = Caller::new(&lattice, "host").await;
    assert!(asker.ask().await.is_yes());
    let before = tables(&lattice).await;
    let cart = lattice.path("cart-acme.wasm");
    for text in HOSTILE {
        for arguments in [
            &["why", text][..],
            &["why", "cart", "--contract", text],
            &["link", "history", text],
            &["explain", path(&cart), "--id", text],
            &["component", "show", text],
            &["default", "put", text, "--bind", "builtin"],
            &["link", "put", text, "native/logging@0.1.0", "--contract", "wasi:logging"],
            &["link", "put", "cart", "native/logging@0.1.0", "--contract", text],
            &["issuer", "add", text, "--scope", "demo:*"],
            &["component", "admit", path(&cart), "--id", text],
            &["host", "ban", text],
        ] {
            let (code, said) = tokio::task::block_in_place(|| lattice.json(arguments));
            assert!(matches!(code, 1..=3), "{arguments:?}: {code}: {said}");
            assert!(!said.to_string().contains("CREATE TABLE"), "{said}");
        }
    }
    assert_eq!(tables(&lattice).await, before, "the log is another");
    assert!(!lattice.path("stolen.db").exists() && !lattice.path("lattice/stolen.db").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t73_hostile_text_in_every_query_over_nats_is_text_and_changes_nothing() {
    let mut lattice = Lattice::with_cart();
    let asker = Caller::new(&lattice, "host").await;
    let administrator = Administrator::new(&lattice).await;
    assert!(asker.ask().await.is_yes());
    let before = tables(&lattice).await;
    for text in HOSTILE {
        for (word, look) in [
            ("why", json!({"why": {"about": text}})),
            ("seen", json!({"seen": {"about": text}})),
            ("seen", json!({"seen": {"about": "cart", "after": text}})),
            ("relaxed", json!({"relaxed": {"after": text}})),
            ("why", json!({"why": {"about": "cart", "contract": text}})),
            ("history", json!({"history": {"id": text}})),
            ("tail", json!({"tail": {"from": text, "most": 3}})),
            ("tail", json!({"tail": {"most": text}})),
            (text, json!("status")),
            ("status", json!(text)),
        ] {
            let word = harmless(word);
            let subject = Topic::Query.subject(&lattice_name()).replace('*', &word);
            let said = administrator.look(&subject, administrator.query(&word, &look)).await;
            let view: Option<Value> = said.and_then(|bytes| serde_json::from_slice(&bytes).ok());
            let refused = view.as_ref().is_some_and(|view| view.get("refused").is_some());
            let nobodys = word == harmless(text) && view.is_none();
            assert!(refused || nobodys, "{word}: {text}: {view:?}");
        }
    }
    assert!(asker.ask().await.is_yes());
    let after = tables(&lattice).await;
    assert_eq!(after.0[..before.0.len()], before.0, "the log is another");
    lattice.stop_broker();
    let (code, verified) = lattice.json(&["audit", "verify"]);
    assert_eq!(code, 0, "{verified}");
}

// A subject has no blanks and no wildcards; what cannot be sent cannot be asked.
fn harmless(word: &str) -> String {
    word.chars().filter(|letter| !" *>.\r\n".contains(*letter)).collect()
}
