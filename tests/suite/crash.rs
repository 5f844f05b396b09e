//! SIGKILL under load: nothing that was acknowledged is missing, and no answer is without its row (I3, I4).
//!
//! The client keeps each (index, hash) that it was told. The short form runs here; `COUNTERSIGN_KILLS` makes it longer.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use broker::keys::SigningKey;
use broker::store::LogReader;
use futures::StreamExt;
use harness::lattice::Lattice;
use policy::answer::StartAnswer;
use policy::artifact;
use policy::digest::Digest;
use policy::envelope::Unverified;
use policy::json;
use policy::key::Host;
use policy::name::Lattice as LatticeName;
use policy::native::Native;
use policy::question::{Inventory, Runs, Seen, StartRequest, What};
use policy::time::Timestamp;
use policy::wire::{Topic, inbox_prefix};

type Told = Arc<Mutex<BTreeMap<u64, Digest>>>;

/// A host that asks as fast as it is answered, and remembers what it was told.
#[derive(Clone)]
struct Asker {
    key: Arc<SigningKey<Host>>,
    runs: Runs,
    imports: Vec<artifact::Import>,
    attachments: Vec<Vec<u8>>,
    told: Told,
}

impl Asker {
    fn new(lattice: &Lattice) -> Self {
        let key = SigningKey::load(&lattice.path("host/host.nk")).unwrap();
        let bytes = std::fs::read(lattice.path("cart-acme.wasm")).unwrap();
        let cart = artifact::component::read(&bytes).unwrap();
        let token = cart.token().unwrap().to_vec();
        let claims = policy::claims::read_component(&token).unwrap();
        let natives = ["native/logging@0.1.0", "native/keyvalue@0.1.0"];
        let builtins = natives.iter().map(|name| Native::find(name).unwrap().offer().unwrap()).collect();
        let runs = Runs {
            id: "cart".parse().unwrap(),
            subject: policy::provider::Subject::Component(claims.subject),
            sha256: cart.sha256(),
            claims_sha256: Some(Digest::of(&token)),
        };
        let attachments = vec![token, json::write(&Inventory { builtins })];
        Self { key: Arc::new(key), runs, imports: cart.imports().to_vec(), attachments, told: Told::default() }
    }

    fn question(&self) -> Vec<u8> {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        let request = StartRequest {
            iss: self.key.name(),
            aud: lattice_name(),
            iat: Timestamp::from_seconds(now).unwrap(),
            jti: broker::keys::nonce().unwrap(),
            what: What::StartComponent,
            runs: self.runs.clone(),
            imports: self.imports.clone(),
            inventory_sha256: Digest::of(&self.attachments[1]),
            seen: Seen { epoch: 0, index: 0, entry_sha256: Digest::of(b"") },
        };
        self.key.sign(&request, self.attachments.iter().map(Vec::as_slice))
    }

    async fn ask_on(self, client: async_nats::Client) {
        let subject = Topic::StartComponent.subject(&lattice_name());
        loop {
            let request =
                async_nats::Request::new().payload(self.question().into()).timeout(Some(Duration::from_secs(2)));
            // While the broker is dead there is no answer; the loop ends with the test.
            let Ok(message) = client.send_request(subject.clone(), request).await else {
                tokio::task::yield_now().await;
                continue;
            };
            if let Ok(answer) = Unverified::<StartAnswer>::parse(&message.payload) {
                self.told.lock().unwrap().insert(answer.says().index, answer.says().entry_sha256);
            }
        }
    }
}

fn lattice_name() -> LatticeName {
    "default".parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_killed_under_load_loses_nothing_that_it_acknowledged() {
    let kills: usize = std::env::var("COUNTERSIGN_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(5);
    let mut lattice = Lattice::with_cart();
    let asker = Asker::new(&lattice);
    let options = async_nats::ConnectOptions::new().custom_inbox_prefix(inbox_prefix(&asker.key.name()));
    let client = options.connect(lattice.nats.url()).await.unwrap();
    let load: Vec<_> = (0..16).map(|_| tokio::spawn(asker.clone().ask_on(client.clone()))).collect();
    for round in 0..kills {
        // Wherever it is: each round lets a different number of answers through before the kill.
        let wanted = asker.told.lock().unwrap().len() + 20 + 13 * round;
        while asker.told.lock().unwrap().len() < wanted {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        lattice.kill_broker();
        lattice.serve();
    }
    load.iter().for_each(tokio::task::JoinHandle::abort);
    futures::stream::iter(load).for_each(|task| async { drop(task.await) }).await;
    lattice.stop_broker();

    let told = asker.told.lock().unwrap().clone();
    let log = LogReader::open(&lattice.log()).await.unwrap();
    for (index, hash) in &told {
        let row =
            log.row(*index).await.unwrap().unwrap_or_else(|| panic!("entry {index} was acknowledged and is missing"));
        assert_eq!(row.hash, *hash, "entry {index} is not the one that was acknowledged");
    }
    let (code, verified) = lattice.json(&["audit", "verify"]);
    assert_eq!(code, 0, "{verified}");
    println!("{kills} kills, {} answers, {} entries: none missing", told.len(), log.size().await.unwrap());
    assert!(told.len() >= 20 * kills);
}
