//! Who presented something, in a log that is longer than one page looks back.

use std::time::Instant;

use policy::decide::Facts;
use policy::envelope::{Afresh, Unverified};
use policy::examine;
use policy::question::StartRequest;
use serde_json::json;

use super::asker::{Lattice, NOW_MS};
use crate::sequencer::court::{Court, Files};
use crate::store::Act;
use crate::view::{Look, Sought};

fn sought(about: &str, after: Option<String>, limit: Option<u64>) -> Look {
    Look::Seen(Sought { about: about.to_owned(), after, limit })
}

#[tokio::test]
async fn t19_no_page_looks_further_back_than_it_may_and_none_skips_anything() {
    let lattice = Lattice::new().await;
    let host = lattice.enrolled_host().await;
    lattice.service.answer_start(&lattice.request(&host)).await.unwrap();
    let first = lattice.size().await - 1;
    let other = lattice.request_with(&host, |request| request.runs.id = "other".parse().unwrap());
    let lattice = lattice.closed().await;
    // A busy day, without the day.
    let files = Files { log: lattice.folder.log(), lock: lattice.folder.lock_file(), whole: u64::MAX };
    let mut court = Court::open(files).await.unwrap();
    let request = Unverified::<StartRequest>::parse(&other).unwrap();
    let request = request.verify(court.ledger().state().host_keys()).unwrap();
    let examined = examine::start(request, &Afresh).unwrap();
    for _ in 0..17 {
        let ledger = court.ledger_mut();
        let rulings = (0..256).map(|_| ledger.rule(examined.clone(), Facts::default(), NOW_MS));
        let steps = rulings.map(|step| step.map(|ruling| Act::Ruled(Box::new(ruling)))).collect();
        (court, _) = court.commit(steps).await.unwrap();
    }
    court.close().await.unwrap();
    let lattice = lattice.opened().await;
    let size = lattice.size().await;
    let began = Instant::now();
    let page = lattice.look(&sought("cart", None, None)).await;
    println!("4096 entries were looked at in {} ms", began.elapsed().as_millis());
    assert_eq!((&page["presentations"], &page["next"]), (&json!([]), &json!((size - 4096).to_string())));
    let page = lattice.look(&sought("cart", Some((size - 4096).to_string()), None)).await;
    assert_eq!((&page["presentations"][0]["index"], &page["looked_from"]), (&json!(first), &json!(0)));
    assert_eq!(page.get("next"), None);
    // However the pages are cut, all of them together are all that there is.
    let (mut after, mut found) = (None, Vec::new());
    loop {
        let page = lattice.look(&sought("other", after, Some(1000))).await;
        let rows = page["presentations"].as_array().unwrap();
        found.extend(rows.iter().map(|row| row["index"].as_u64().unwrap()));
        after = page.get("next").map(|next| next.as_str().unwrap().to_owned());
        if after.is_none() {
            break;
        }
    }
    assert_eq!(found, (first + 1..size).rev().collect::<Vec<_>>());
}
