//! A broker that may open few files: what it needs is open before it serves, so that it neither falls nor forgets (T88).

use std::net::TcpStream;

use harness::caller::{Administrator, Caller, Said};
use harness::lattice::Lattice;
use harness::process::{open_files, started};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t88_f21_few_descriptors_and_many_requests_fell_nobody() {
    let mut lattice = Lattice::quiet();
    lattice.furnish();
    lattice.broker_may_open(64);
    lattice.serve();
    lattice.join("host");
    let (asker, administrator) = (Caller::new(&lattice, "host").await, Administrator::new(&lattice).await);
    let (pid, process) = (lattice.broker_pid().unwrap(), started(lattice.broker_pid().unwrap()));
    // Connections to the server, and questions and commands at once, many more than the broker could open files for.
    let address = lattice.nats.url().replace("nats://", "");
    let crowd: Vec<_> = (0..200).map(|_| TcpStream::connect(&address).unwrap()).collect();
    let asking: Vec<_> = (0..200)
        .map(|number| {
            let (asker, administrator) = (asker.clone(), administrator.clone());
            tokio::spawn(async move {
                loop {
                    let said = if number % 4 == 0 { administrator.command().await } else { asker.ask().await };
                    // A slow machine may be silent for a while.
                    if said != Said::Nothing {
                        return said;
                    }
                }
            })
        })
        .collect();
    for said in asking {
        let said = said.await.unwrap();
        assert!(said.is_yes(), "{said:?}");
    }
    let open = open_files(pid);
    println!("{open} files open under a limit of 64");
    assert!(open < 64);
    drop(crowd);
    assert_eq!(started(pid), process);
    lattice.stop_broker();
    let (code, verified) = lattice.json(&["audit", "verify"]);
    assert_eq!(code, 0, "{verified}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t88_a_broker_that_cannot_open_its_files_again_grants_nothing_until_it_can() {
    let mut lattice = Lattice::quiet();
    lattice.furnish();
    let mut faults = harness::faults::Faults::prepare(&mut lattice);
    lattice.serve();
    lattice.join("host");
    let asker = Caller::new(&lattice, "host").await;
    let process = started(lattice.broker_pid().unwrap());
    assert!(asker.ask().await.is_yes());
    // One write fails, so that the files are opened again; and no file can be opened.
    let emfile = harness::faults::Fault { calls: "wo", done: false, first: 1, count: u32::MAX, errno: 24 };
    faults.on(emfile);
    for _ in 0..10 {
        assert!(asker.ask().await.is("audit_unavailable"));
    }
    faults.off();
    while !asker.ask().await.is_yes() {}
    assert_eq!(started(lattice.broker_pid().unwrap()), process);
    lattice.stop_broker();
    let (code, verified) = lattice.json(&["audit", "verify"]);
    assert_eq!(code, 0, "{verified}");
}
