//! Strangers who flood a host, with notices or with answers: what it says of that, and whom it hears beside them.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt;
use futures::future::BoxFuture;
use nkeys::KeyPairType;
use policy::answer::StartAnswer;
use policy::digest::Digest;
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::fmt::MakeWriter;

use super::broker::{Bench, decision, id, root_pair, seal};
use super::guests;
use crate::error::Error;
use crate::notice::listen;
use crate::transport::{Replies, Transport};

/// A wire over which these notices come.
struct Told(Vec<Vec<u8>>);

impl Transport for Told {
    fn ask(&self, _subject: String, _payload: Vec<u8>) -> BoxFuture<'_, Result<Replies, Error>> {
        Box::pin(futures::future::pending())
    }

    fn listen(&self, _subject: String) -> BoxFuture<'_, Result<Replies, Error>> {
        let told = self.0.clone();
        Box::pin(async move { Ok(futures::stream::iter(told).chain(futures::stream::pending()).boxed()) })
    }

    fn address(&self) -> String {
        "the test's wire".to_owned()
    }
}

/// Where the lines of a host go.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    /// All lines of this thread, as long as what comes along is kept.
    fn heard() -> (Self, DefaultGuard) {
        let lines = Self::default();
        let subscriber = tracing_subscriber::fmt().with_writer(lines.clone()).with_ansi(false).finish();
        (lines, tracing::subscriber::set_default(subscriber))
    }

    fn said(&self) -> Vec<String> {
        let said = self.0.lock().unwrap();
        String::from_utf8(said.clone()).unwrap().lines().map(ToOwned::to_owned).collect()
    }
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn t70_a_flood_of_garbage_notices_is_one_line_for_each_reason() {
    let bench = Bench::new();
    bench.broker.forget_default("wasi:clocks");
    let mut told = vec![b"abc".to_vec(); 5_000];
    // Garbage of another kind, and the broker behind all of it.
    told.extend(vec![bench.broker.warrant()[..40].to_vec(); 5_000]);
    told.push(bench.broker.notice());
    let (lines, _until_the_end) = Lines::heard();
    let raised = bench.memory.raised();
    let _listening = listen(Arc::clone(&bench.memory), &Told(told)).await.unwrap();
    raised.notified().await;
    let said = lines.said();
    assert!((1..=3).contains(&said.len()) && said.iter().all(|line| line.contains("a notice was ignored")), "{said:?}");
}

#[tokio::test]
async fn t70_a_flood_of_answers_whose_warrant_cannot_be_remembered_is_one_line() {
    let newer: Arc<Mutex<Vec<u8>>> = Arc::default();
    let shown = Arc::clone(&newer);
    // Nobody's answer, with the roots' own newest word beside it, as everybody hears it.
    let mut bench = Bench::with(move |broker, asked, _| {
        let warrant = shown.lock().unwrap().clone();
        let answer = StartAnswer { warrant_sha256: Digest::of(&warrant), ..broker.decide(asked).unwrap() };
        vec![seal(&guests::key(KeyPairType::Server, 66), &answer, &[&warrant]); 100]
    });
    bench.timeout = Duration::from_millis(1500);
    *newer.lock().unwrap() = bench.broker.warrant_for(9, &decision(), &root_pair());
    let host = bench.host().await;
    // What would be written there first is in the way, as on a disk that is full.
    std::fs::create_dir(bench.broker.dir().join("memory.new")).unwrap();
    let (lines, _until_the_end) = Lines::heard();
    let refused = host.start(&guests::signed("cart"), &id("cart")).await.err().unwrap();
    assert_eq!(host.ignored(), 100, "{refused}");
    let said = lines.said();
    let unkept = said.iter().filter(|line| line.contains("a warrant could not be remembered"));
    assert_eq!(unkept.count(), 1, "{said:?}");
}
