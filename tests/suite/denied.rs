//! A broker that its server does not let hear or speak: it does not begin, and where that comes later it says so.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use harness::lattice::{Lattice, path, wait_for};
use harness::program::program;
use serde_json::Value;

// Whoever comes may do everything but this.
fn but(denied: &str) -> String {
    format!(
        "authorization {{ users: [ {{ user: \"u\", password: \"p\", permissions: {{ {denied} }} }} ] }}\nno_auth_user: \"u\"\n"
    )
}

// A broker that ends by itself, and the error that is its last word.
fn serve(lattice: &Lattice) -> (i32, Value) {
    let mut broker = program("countersign");
    broker.args(["-o", "json", "--dir", path(&lattice.path("lattice")), "--nats-url", &lattice.nats.url(), "serve"]);
    let output = broker.arg("--quiet").output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.stdout.is_empty() && said.contains("ERROR"), "{said}");
    (output.status.code().unwrap_or(-1), serde_json::from_str(said.lines().last().unwrap()).unwrap())
}

// A broker whose messages go to a file.
struct Served(Child);

impl Served {
    fn on(lattice: &Lattice) -> Self {
        let said = File::create(lattice.path("said")).unwrap();
        let mut broker: Command = program("countersign");
        broker.args(["--dir", path(&lattice.path("lattice")), "--nats-url", &lattice.nats.url(), "serve"]);
        let mut child = broker.stdout(Stdio::piped()).stderr(said).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert!(line.starts_with("ready"), "{line}");
        Self(child)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_broker_that_is_denied_a_subject_does_not_begin_and_names_it() {
    let mut lattice = Lattice::quiet();
    for (denied, subject, right) in [
        ("subscribe: { deny: \"countersign.v1.default.command\" }", "countersign.v1.default.command", "subscribe"),
        ("subscribe: { deny: \"countersign.v1.default.query.*\" }", "countersign.v1.default.query.*", "subscribe"),
        ("subscribe: { allow: \"$SRV.>\" }", "countersign.v1.default.start.component", "subscribe"),
        ("publish: { deny: \"countersign.v1.default.epoch\" }", "countersign.v1.default.epoch", "publish"),
    ] {
        lattice.nats.configure(&but(denied));
        let (code, refused) = serve(&lattice);
        assert_eq!((code, refused["error"].as_str()), (1, Some("failed")), "{denied}: {refused}");
        let said = refused.to_string();
        for part in [subject, &format!("under `{right}`"), "docs/operations.md"] {
            assert!(said.contains(part), "{denied}: no `{part}` in {said}");
        }
    }
    // Where only tools are kept out, and where it does not hear its own notices, it works.
    for denied in ["subscribe: { deny: \"$SRV.>\" }", "subscribe: { deny: \"countersign.v1.default.epoch\" }"] {
        lattice.nats.configure(&but(denied));
        lattice.serve();
        lattice.accepted(&["host", "invite"]);
        lattice.stop_broker();
    }
}

#[test]
fn a_subject_that_is_denied_after_a_return_is_told() {
    let mut lattice = Lattice::quiet();
    let _broker = Served::on(&lattice);
    let said = || std::fs::read_to_string(lattice.path("said")).unwrap();
    assert!(!said().contains("ERROR"), "{}", said());
    let config = but("subscribe: { deny: \"countersign.v1.default.command\" }");
    lattice.nats.configure(&config);
    let said = || std::fs::read_to_string(lattice.path("said")).unwrap();
    wait_for("the denial", || {
        let said = said();
        let is_it = |line: &&str| line.contains("ERROR") && line.contains("`countersign.v1.default.command`");
        said.lines().find(is_it).map(str::to_owned)
    });
    assert!(said().contains("the NATS server is gone"), "{}", said());
}
