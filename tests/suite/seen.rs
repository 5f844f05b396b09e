//! Who presented this: found by hash, by subject, by issuer and by id, refused presentations too, from folder and wire.

use harness::caller::{Administrator, Caller};
use harness::lattice::{Lattice, path};
use policy::digest::Digest;
use policy::wire::Topic;
use serde_json::{Value, json};

fn found(lattice: &Lattice, about: &str) -> Vec<Value> {
    lattice.accepted(&["audit", "seen", about])["presentations"].as_array().unwrap().clone()
}

// Each with what it was, what became of it, and why.
fn told(rows: &[Value]) -> Vec<[&str; 3]> {
    let word = |row: &'_ Value, name: &str| row[name].as_str().unwrap_or_default().to_owned().leak() as &str;
    rows.iter().map(|row| [word(row, "what"), word(row, "verdict"), word(row, "reason")]).collect()
}

fn digest(file: &std::path::Path) -> String {
    Digest::of(&std::fs::read(file).unwrap()).to_string()
}

// The claims of a signed component.
fn claims(file: &std::path::Path) -> Vec<u8> {
    policy::artifact::component::read(&std::fs::read(file).unwrap()).unwrap().token().unwrap().to_vec()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t19_whoever_presented_a_hash_is_found_refused_presentations_too() {
    let mut lattice = Lattice::with_cart();
    let caller = Caller::new(&lattice, "host").await;
    let host = caller.asker.key.name().to_string();
    let cart = lattice.path("cart-acme.wasm");
    let acme = policy::claims::read_component(&claims(&cart)).unwrap().issuer().to_string();
    // Permitted, then refused: signed by a stranger; by nobody, in acme's name; brought to be admitted.
    assert!(caller.ask().await.is_yes());
    let stranger = lattice.issuer("stranger");
    let imposter = lattice.signed("cart", "cart", "stranger");
    let strange = claims(&imposter);
    let mut other = caller.clone();
    other.asker = other.asker.showing(strange.clone());
    assert!(other.ask().await.is("issuer_unknown"));
    let mut forged = claims(&cart);
    let last = forged.len() - 3;
    forged[last] = if forged[last] == b'A' { b'B' } else { b'A' };
    other.asker = other.asker.showing(forged.clone());
    assert!(other.ask().await.is("signature_invalid"));
    let (code, refused) = lattice.json(&["component", "admit", path(&imposter), "--id", "other"]);
    assert_eq!((code, &refused["error"]), (3, &json!("issuer_unknown")));
    // What nobody let in leaves a count and no entry.
    let nobody = broker::keys::SigningKey::<policy::key::Host>::generate().unwrap();
    let mut at_the_door = caller.clone();
    at_the_door.asker = at_the_door.asker.showing(b"never.let.in".to_vec());
    assert!(caller.ask_this(at_the_door.asker.signed_by(&nobody, |_| ())).await.is("signature_invalid"));

    // By the hash of claims: the good ones, the stranger's, the forged ones, and those that were turned away.
    let rows = found(&lattice, &Digest::of(&claims(&cart)).to_string());
    assert_eq!(told(&rows), [["start", "permitted", ""], ["admit", "accepted", ""]]);
    assert_eq!((&rows[0]["host"], &rows[0]["id"], &rows[0]["issuer"]), (&json!(host), &json!("cart"), &json!(acme)));
    let rows = found(&lattice, &Digest::of(&strange).to_string());
    let (asked, brought) = (["start", "refused", "issuer_unknown"], ["admit", "refused", "issuer_unknown"]);
    assert_eq!(told(&rows), [brought, asked]);
    assert_eq!(&rows[1]["host"], &json!(host));
    let rows = found(&lattice, &Digest::of(&forged).to_string());
    assert_eq!(told(&rows), [["start", "refused", "signature_invalid"]]);
    assert_eq!((&rows[0]["issuer"], &rows[0]["claims_refused"]), (&json!(acme), &json!("signature_invalid")));
    assert_eq!(found(&lattice, &Digest::of(b"never.let.in").to_string()), Vec::<Value>::new());
    // By the file, by the subject that both name, by issuer and by id.
    assert_eq!(told(&found(&lattice, &digest(&imposter))), [brought]);
    let subject = harness::sign::subject("cart").public_key();
    let all = [
        brought,
        ["start", "refused", "signature_invalid"],
        asked,
        ["start", "permitted", ""],
        ["admit", "accepted", ""],
    ];
    assert_eq!(told(&found(&lattice, &subject)), all);
    assert_eq!(told(&found(&lattice, &stranger)), [brought, asked]);
    let by_acme = found(&lattice, &acme);
    let contracts = by_acme.iter().filter(|row| row["what"] == "publish").count();
    assert_eq!((contracts, by_acme.len()), (2, 5), "two contracts, one admission, a start, and one in its name");
    assert_eq!(told(&found(&lattice, "other")), [brought]);
    // What answered, and what its host offered beside the one that did.
    let logging = policy::native::Native::find("native/logging@0.1.0").unwrap();
    let rows = found(&lattice, &logging.sha256().to_string());
    assert_eq!(told(&rows)[2], ["answer", "permitted", ""], "{rows:?}");
    assert_eq!((&rows[2]["component"], &rows[2]["package"]), (&json!("cart"), &json!("wasi:logging")));
    assert_eq!(rows, found(&lattice, "native/logging@0.1.0"));
    assert_eq!(told(&rows)[0], ["offer", "refused", "signature_invalid"]);

    // Page by page the same, and over the wire; in text as people read it.
    let (mut pages, mut after) = (Vec::new(), None);
    loop {
        let from: Vec<&str> = after.iter().flat_map(|after: &String| ["--after", after.as_str()]).collect();
        let page = lattice.accepted(&[&["audit", "seen", &subject, "--limit", "2"][..], &from].concat());
        pages.extend(page["presentations"].as_array().unwrap().clone());
        after = page.get("next").map(|next| next.as_str().unwrap().to_owned());
        if after.is_none() {
            break;
        }
    }
    assert_eq!(pages, found(&lattice, &subject));
    let administrator = Administrator::new(&lattice).await;
    let subject_of = Topic::Query.subject(&harness::asker::lattice_name()).replace('*', "seen");
    let query = administrator.query("seen", &json!({"seen": {"about": subject}}));
    let view = administrator.look(&subject_of, query).await.unwrap();
    let view: Value = serde_json::from_slice(&view).unwrap();
    assert_eq!(view["presentations"], json!(pages));
    let query = administrator.query("seen", &json!({"seen": {"about": "no such thing"}}));
    let view: Value = serde_json::from_slice(&administrator.look(&subject_of, query).await.unwrap()).unwrap();
    assert_eq!(view["refused"], "name_malformed");
    lattice.stop_broker();
    let (code, verified) = lattice.json(&["audit", "verify"]);
    assert_eq!(code, 0, "{verified}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t19_one_page_looks_back_so_far_and_says_where_the_next_begins() {
    let mut lattice = Lattice::with_cart();
    let caller = Caller::new(&lattice, "host").await;
    assert!(caller.ask().await.is_yes());
    let size = lattice.accepted(&["status"])["size"].as_u64().unwrap();
    let sha256 = digest(&lattice.path("cart-acme.wasm"));
    // Nothing matches, and still no page goes further than it may.
    let page = lattice.accepted(&["audit", "seen", "nobody", "--limit", "1"]);
    assert_eq!((&page["presentations"], &page["looked_from"]), (&json!([]), &json!(0)), "{page}");
    let page = lattice.accepted(&["audit", "seen", &sha256, "--limit", "1"]);
    assert_eq!(page["next"], json!((size - 1).to_string()), "{page}");
    let page = lattice.accepted(&["audit", "seen", &sha256, "--after", &(size - 1).to_string()]);
    assert_eq!(told(page["presentations"].as_array().unwrap()), [["admit", "accepted", ""]]);
    lattice.stop_broker();
}
