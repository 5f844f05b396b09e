//! Good traffic while ten thousand malformed messages a second come in, next to quiet.
//!
//! The flood is a process of its own, so that it does not share a queue with those who ask honestly.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::field::Field;
use crate::figure::{Board, Goal, median, quantile};
use crate::load::fire;
use harness::asker::lattice_name;
use policy::wire::Topic;

pub(crate) async fn measure(board: &mut Board, field: &Field) {
    let (mut ratios, mut sent) = (Vec::new(), Vec::new());
    for _ in 0..5 {
        let quiet = p99(field).await;
        let mut flood = Flood::start(&field.lattice.nats.url());
        tokio::time::sleep(Duration::from_millis(300)).await;
        let flooded = p99(field).await;
        sent.push(flood.stop());
        ratios.push(flooded / quiet);
    }
    board.put("good traffic under a flood, p99 / quiet", median(ratios), "ratio", Goal::AtMost(2.0));
    board.put("  malformed messages meanwhile", median(sent), "per s", Goal::Told);
}

// A few hosts, each with one question at a time.
async fn p99(field: &Field) -> f64 {
    let volley = fire(&field.client, &field.questions(1000), 8).await;
    field.prove(&volley.answers);
    quantile(volley.waits, 0.99).as_secs_f64()
}

struct Flood {
    child: Child,
    began: Instant,
}

impl Flood {
    fn start(url: &str) -> Self {
        let own = std::env::current_exe().expect("a program has a path");
        let child = Command::new(own).args([ROLE, url]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        Self { child: child.expect("it starts"), began: Instant::now() }
    }

    // How many messages a second it sent.
    fn stop(&mut self) -> f64 {
        drop(self.child.stdin.take());
        let seconds = self.began.elapsed().as_secs_f64();
        let mut text = String::new();
        let mut output = self.child.stdout.take().expect("its output");
        std::io::Read::read_to_string(&mut output, &mut text).expect("it tells");
        self.child.wait().expect("it ends");
        text.trim().parse::<f64>().expect("a count") / seconds
    }
}

/// The process's own part: floods until its input ends, then tells how many messages it sent.
pub(crate) fn main(arguments: &[String]) {
    let [url] = arguments else { panic!("flood URL") };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let client = async_nats::connect(url).await.expect("the server answers");
        let (ended, mut end) = tokio::sync::oneshot::channel::<()>();
        std::thread::spawn(move || {
            // Whatever ends the input ends the flood.
            let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
            drop(ended);
        });
        let (subject, junk) = (Topic::StartComponent.subject(&lattice_name()), junk());
        let (began, mut sent) = (Instant::now(), 0_usize);
        while end.try_recv() == Err(tokio::sync::oneshot::error::TryRecvError::Empty) {
            tokio::time::sleep(Duration::from_millis(1)).await;
            let due = (began.elapsed().as_secs_f64() * RATE) as usize;
            while sent < due {
                let reply = "_INBOX_NOBODY.x".to_owned();
                let payload = junk[sent % junk.len()].clone();
                client.publish_with_reply(subject.clone(), reply, payload.into()).await.expect("it is sent");
                sent += 1;
            }
        }
        println!("{sent}");
    });
}

// Each of about the size of a question, and malformed in its own way.
fn junk() -> Vec<Vec<u8>> {
    let header = "eyJhbGciOiJFZERTQSIsInR5cCI6ImNvdW50ZXJzaWduLnN0YXJ0LnYxIn0";
    vec![
        vec![0xff; 1500],
        format!("{header}.{}.{}", "A".repeat(1400), "A".repeat(86)).into_bytes(),
        format!("{header}.{}.{}", data_encoding::BASE64URL_NOPAD.encode(&[b'['; 900]), "A".repeat(86)).into_bytes(),
        ".".repeat(1500).into_bytes(),
        Vec::new(),
    ]
}

/// The first argument of such a process.
pub(crate) const ROLE: &str = "flood";
const RATE: f64 = 10_000.0;
