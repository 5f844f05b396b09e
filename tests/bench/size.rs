//! Governance at size: plans and lists of a lattice with a thousand issuers and a hundred thousand links, as an operator
//! without its folder asks for them.

use std::time::{Duration, Instant};

use harness::large::{ADMIN, IMPORTS, Large, Size};
use serde_json::Value;

use crate::figure::{Board, Goal, median};
use crate::starts::resident_mib;

pub(crate) async fn measure(board: &mut Board) {
    let size = size();
    board.doing(&format!("a lattice with {} issuers and {} links", size.issuers, size.links));
    let large = Large::new(size).await;
    let (issuer, bindings) = (large.issuer.to_string(), size.hosts * size.runs * IMPORTS);
    board.doing("plans and lists");
    let plan = timed(&large, &["issuer", "revoke", &issuer, "--plan"], |plan| {
        assert_eq!(plan["running"]["bindings"], bindings, "{}", plan["running"]["count"]);
        assert_eq!(
            plan["flips"].as_array().map_or(0, Vec::len) as u64 + told(plan, "flips_more"),
            told(plan, "starts")
        );
    });
    let name = format!("`issuer revoke --plan`, {bindings} running bindings, {} links", size.links);
    board.put(&name, plan, "ms", Goal::AtMost(2000.0));
    let issuers = timed(&large, &["issuer", "list", "--limit", "1000"], |seen| {
        assert!(seen["issuers"].as_array().map_or(0, Vec::len) >= size.issuers, "{}", seen["next"]);
    });
    board.put(&format!("`issuer list` of {} issuers", size.issuers), issuers, "ms", Goal::AtMost(200.0));
    let page = ["link", "list", "--limit", "1000"];
    let mut after = String::new();
    let links = timed(&large, &page, |seen| {
        assert_eq!(seen["links"].as_array().map_or(0, Vec::len), 1000.min(size.links));
        after = seen["next"].as_str().unwrap_or_default().to_owned();
    });
    board.put(&format!("a page of `link list`, of {} links", size.links), links, "ms", Goal::AtMost(200.0));
    let deep = timed(&large, &[&page[..], &["--after", &after]].concat(), |_| ());
    board.put("  the page after it", deep, "ms", Goal::Told);
    let memory = large.lattice.broker_pid().map_or(0.0, resident_mib);
    board.put("  resident memory of that broker", memory, "MiB", Goal::Told);
    // With the folder every look folds the log anew: that is no broker's doing, and it is told beside.
    let began = Instant::now();
    large.lattice.accepted(&["link", "list", "--limit", "1000"]);
    board.put("  the same page from the folder, its log folded", ms(began.elapsed()), "ms", Goal::Told);
}

// The middle of a few runs of the command line, each with its connection and its proof of who answers.
fn timed(large: &Large, arguments: &[&str], mut check: impl FnMut(&Value)) -> f64 {
    let mut took = Vec::new();
    for _ in 0..5 {
        let began = Instant::now();
        let (code, seen) = large.away_json(ADMIN, arguments);
        took.push(began.elapsed());
        assert_eq!(code, 0, "{arguments:?}: {seen}");
        check(&seen);
    }
    ms(median(took))
}

fn told(plan: &Value, name: &str) -> u64 {
    plan[name].as_u64().unwrap_or_default()
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

// Less of it where nobody optimised the programs: then it is a rehearsal.
fn size() -> Size {
    let part = if cfg!(debug_assertions) { 20 } else { 1 };
    Size { issuers: 1000 / part, links: 100_000 / part, hosts: 50, runs: 20 }
}
