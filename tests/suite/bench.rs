//! The measured figures of the verifier, printed; asserted only where the build is optimised.
//!
//! `make bench` runs these in release; in the ordinary suite they run a few rounds, so that they cannot rot.

use std::time::{Duration, Instant};

use harness::mint;
use policy::issuer::Kind;
use policy::verify::{self, Form};
use serde_json::json;

/// F30: the verify step alone, for a token of 2 KiB.
const MOST: Duration = Duration::from_micros(150);

#[test]
fn bench_f30_a_token_of_2_kib() {
    let mut payload = mint::component();
    payload["wascap"]["tags"] = json!(vec!["x".repeat(11); 88]);
    let token = mint::claims(&payload);
    let issuers = mint::trust(&mint::issuer(), &["*"]);
    let rounds = if cfg!(debug_assertions) { 11 } else { 2001 };
    let mut times: Vec<Duration> = (0..rounds)
        .map(|_| {
            let start = Instant::now();
            let reading = verify::read(token.as_bytes(), Form::Token, Some(Kind::Component));
            assert!(reading.judge(&issuers, mint::now()).is_ok());
            start.elapsed()
        })
        .collect();
    times.sort();
    let median = times[rounds / 2];
    println!("F30: a token of {} bytes verifies in {median:?} (median of {rounds}), figure < {MOST:?}", token.len());
    assert!(cfg!(debug_assertions) || median < MOST, "{median:?}");
}
