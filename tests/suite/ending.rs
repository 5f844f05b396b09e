//! A broker that is told to end does: without a server that ever heard it, and with one of its folders failing.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::process::{Child, Command, ExitStatus, Stdio};

use broker::keys::SigningKey;
use harness::faults::{EROFS, EVERY_CALL, Fault, Faults};
use harness::lattice::{Lattice, path, wait_for};
use harness::program::program;
use policy::key::Administrator;
use policy::wire::{ERROR_HEADER, inbox_prefix};
use serde_json::json;

fn told_to_end(broker: &mut Child) -> ExitStatus {
    let told = Command::new("kill").args(["-TERM", &broker.id().to_string()]).status().unwrap();
    assert!(told.success());
    wait_for("the end", || broker.try_wait().unwrap())
}

// A broker on a server that is there for no longer than it takes to connect, and its messages.
fn deserted(lattice: &Lattice) -> Child {
    let door = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = door.local_addr().unwrap().port();
    let said = File::create(lattice.path("said")).unwrap();
    let mut broker = program("countersign");
    broker.args(["--dir", path(&lattice.path("lattice")), "--nats-url", &format!("nats://127.0.0.1:{port}"), "serve"]);
    let child = broker.stdout(Stdio::null()).stderr(said).spawn().unwrap();
    let (mut stream, _) = door.accept().unwrap();
    drop(door);
    let info = json!({"server_id": "S", "version": "2.10.0", "proto": 1, "host": "127.0.0.1", "port": port,
        "headers": true, "max_payload": 1_048_576});
    stream.write_all(format!("INFO {info}\r\n").as_bytes()).unwrap();
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.starts_with("PING")), "it connects");
    stream.write_all(b"PONG\r\n").unwrap();
    child
}

#[test]
fn t94_a_broker_whose_server_went_away_before_it_began_ends_when_it_is_told_to() {
    let lattice = Lattice::quiet();
    let mut broker = deserted(&lattice);
    wait_for("the loss of the server", || {
        std::fs::read_to_string(lattice.path("said")).unwrap().contains("the NATS server is gone").then_some(())
    });
    let ended = told_to_end(&mut broker);
    assert!(ended.success(), "{ended}");
    assert_eq!(lattice.json(&["audit", "verify"]).0, 0);
}

#[test]
fn t82_where_one_of_several_folders_cannot_be_closed_in_order_the_others_are_all_the_same() {
    let mut lattice = Lattice::quiet();
    let mut faults = Faults::prepare(&mut lattice);
    let beside = path(&lattice.path("other")).to_owned();
    lattice.accepted(&["--dir", &beside, "-x", "other", "init"]);
    let here = path(&lattice.path("lattice")).to_owned();
    let said = File::create(lattice.path("said")).unwrap();
    let mut broker = program("countersign");
    broker.args(["--nats-url", &lattice.nats.url(), "serve", "--dirs", &here, &beside]).envs(lattice.environment());
    let mut broker = broker.stdout(Stdio::piped()).stderr(said).spawn().unwrap();
    let mut lines = BufReader::new(broker.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert_eq!(lines.by_ref().take(2).filter(|line| line.starts_with("ready")).count(), 2);
    // Each has turned something away, which is recorded at the end.
    let key = SigningKey::<Administrator>::load(&lattice.path("lattice/keys/admin.nk")).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let reason = runtime.block_on(async {
        let options = async_nats::ConnectOptions::new().custom_inbox_prefix(inbox_prefix(&key.name()));
        let client = options.connect(lattice.nats.url()).await.unwrap();
        let mut reasons = Vec::new();
        for name in ["default", "other"] {
            let told = client.request(format!("countersign.v1.{name}.command"), "nonsense".into()).await.unwrap();
            reasons.push(told.headers.unwrap().get(ERROR_HEADER).unwrap().to_string());
        }
        reasons.pop().unwrap()
    });
    faults.on(Fault { calls: EVERY_CALL, done: false, first: 1, count: u32::MAX, errno: EROFS });
    let ended = told_to_end(&mut broker);
    let said = std::fs::read_to_string(lattice.path("said")).unwrap();
    assert_eq!(ended.code(), Some(1), "{said}");
    assert!(said.contains("the folder was not closed in order") && said.contains("lattice=default"), "{said}");
    let tail = lattice.accepted(&["--dir", &beside, "audit", "tail"]);
    assert!(tail.to_string().contains(&reason), "what the second had counted is on record: {tail}");
}
