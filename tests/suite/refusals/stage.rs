//! What the attacks share: a folder for files, and one live lattice in which each keeps to names of its own.
//!
//! Both last as long as some test holds them, so that tests that run side by side use one and the same.

use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::Duration;

use broker::keys::SigningKey;
use futures::StreamExt;
use harness::asker::{Asker, lattice_name, now};
use harness::lattice::{Lattice, path};
use harness::mint::{self, NOW, issuer};
use harness::program::program;
use harness::sign;
use policy::command;
use policy::contract::Contract;
use policy::digest::Digest;
use policy::govern::{InviteHost, Operation};
use policy::key::{self, Administrator, Name, Role};
use policy::question::StartRequest;
use policy::wire::{Topic, inbox_prefix};
use serde_json::{Value, json};

use super::seen::Seen;

/// What the attacks share.
pub(super) struct Stage {
    room: tempfile::TempDir,
    live: OnceLock<Live>,
}

/// A lattice with its broker, a host, and an issuer `acme` that speaks for `demo` and `wasi`.
pub(super) struct Live {
    pub(super) lattice: Lattice,
    pub(super) runtime: tokio::runtime::Runtime,
    client: async_nats::Client,
}

impl Stage {
    /// The stage that other tests of this process use now, or a new one.
    pub(super) fn shared() -> Arc<Self> {
        static STAGE: Mutex<Weak<Stage>> = Mutex::new(Weak::new());
        // A test that failed while it held the stage left it whole.
        let mut shared = STAGE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        shared.upgrade().unwrap_or_else(|| {
            let stage = Arc::new(Self { room: tempfile::tempdir().unwrap(), live: OnceLock::new() });
            *shared = Arc::downgrade(&stage);
            stage
        })
    }

    /// The live lattice, started by whoever needs it first.
    pub(super) fn live(&self) -> &Live {
        self.live.get_or_init(Live::start)
    }

    /// A file in the shared folder.
    pub(super) fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.room.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// A folder in the shared folder.
    pub(super) fn folder(&self, name: &str) -> PathBuf {
        let path = self.room.path().join(name);
        std::fs::create_dir(&path).unwrap();
        path
    }

    /// `countersign verify`, offline, under a list that trusts the minting issuer for everything.
    pub(super) fn verify(&self, name: &str, bytes: impl AsRef<[u8]>) -> Seen {
        self.verify_under(name, bytes, &json!({"key": issuer(), "scope": ["*"]}))
    }

    /// `countersign verify`, offline, under a list of one issuer.
    pub(super) fn verify_under(&self, name: &str, bytes: impl AsRef<[u8]>, trusted: &Value) -> Seen {
        let trust = self.file(&format!("{name}.trust"), json!({"issuers": [trusted]}).to_string());
        self.verified(&self.file(name, bytes), &["--trust", path(&trust), "--at", &NOW.to_string()])
    }

    /// `countersign verify` of a file or a folder.
    pub(super) fn verified(&self, what: &std::path::Path, options: &[&str]) -> Seen {
        let arguments = [&["-o", "json", "verify", path(what)], options].concat();
        Seen::printed(&program("countersign").args(arguments).current_dir(self.room.path()).output().unwrap())
    }

    /// `countersign` on a lattice's folder of its own, where no broker runs and no wire is.
    pub(super) fn alone(&self, folder: &str, arguments: &[&str]) -> Seen {
        let folder = self.room.path().join(folder);
        let arguments = [&["-o", "json", "--dir", path(&folder)], arguments].concat();
        let mut command: Command = program("countersign");
        Seen::printed(&command.args(arguments).current_dir(self.room.path()).output().unwrap())
    }

    /// Makes a lattice's folder of its own.
    pub(super) fn found(&self, folder: &str) -> PathBuf {
        let made = self.alone(folder, &["init", "--bare"]);
        assert!(made.is_done(), "{made:?}");
        self.room.path().join(folder)
    }
}

impl Live {
    fn start() -> Self {
        let lattice = Lattice::with_cart();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let client = runtime.block_on(async_nats::connect(lattice.nats.url())).unwrap();
        Self { lattice, runtime, client }
    }

    /// `countersign`, over NATS: the broker holds the folder.
    pub(super) fn told(&self, arguments: &[&str]) -> Seen {
        let (code, object) = self.lattice.json(arguments);
        Seen::Printed { code: Some(code), object }
    }

    /// `countersign`, for what must be done.
    pub(super) fn done(&self, arguments: &[&str]) -> Value {
        self.lattice.accepted(arguments)
    }

    /// `countersign-host run`, as the enrolled host.
    ///
    /// Other attacks govern the lattice all the while. A host whose answer is overtaken three times by such news is
    /// told to ask again, and does.
    pub(super) fn run(&self, file: &std::path::Path, id: &str, options: &[&str]) -> Seen {
        let options = [&["--timeout", "60"], options].concat();
        let mut tries = (0..5).map(|_| self.run_as("host", file, id, &options));
        tries.find(|seen| !seen.is("epoch_behind")).expect("fifteen times overtaken")
    }

    /// `countersign-host run`, as the host of that folder.
    pub(super) fn run_as(&self, host: &str, file: &std::path::Path, id: &str, options: &[&str]) -> Seen {
        let arguments = [&["-o", "json", "run", path(file), "--id", id], options].concat();
        Seen::printed(&self.lattice.host(host, &arguments))
    }

    /// Makes an issuer and trusts it within these words of `issuer add`.
    pub(super) fn trusted(&self, name: &str, words: &[&str]) -> String {
        let public = self.lattice.issuer(name);
        self.done(&[&["issuer", "add", &public], words].concat());
        public
    }

    /// A component of text, signed by an issuer under the subject of a name.
    pub(super) fn signed(&self, name: &str, wat: &str, issuer: &str) -> PathBuf {
        let bytes = wat::parse_str(wat).unwrap();
        let file = self.lattice.path(&format!("{name}-{issuer}.wasm"));
        let key = self.lattice.path(&format!("{issuer}.nk"));
        std::fs::write(&file, sign::component(&bytes, name, &key)).unwrap();
        file
    }

    /// As `signed` by acme, and admitted under that id.
    pub(super) fn component(&self, id: &str, wat: &str) -> PathBuf {
        let file = self.signed(id, wat, "acme");
        self.done(&["component", "admit", path(&file), "--id", id]);
        file
    }

    /// As `signed` by acme, and admitted as a provider under that id.
    pub(super) fn provider(&self, id: &str, wat: &str) -> PathBuf {
        let file = self.signed(id, wat, "acme");
        self.done(&["provider", "admit", path(&file), "--id", id]);
        file
    }

    /// Acme's contract for a package with the interfaces `a` and `b` on track 0.1, changed at will, as a file.
    pub(super) fn contract(&self, package: &str, change: impl FnOnce(&mut Value)) -> PathBuf {
        let key = SigningKey::<key::Issuer>::load(&self.lattice.path("acme.nk")).unwrap();
        let acme = key.name();
        let mut draft = json!({
            "iss": acme, "sub": package, "iat": now(), "revision": 1, "interfaces": ["a", "b"], "tracks": ["0.1"],
            "providers": {"issuers": [acme], "subjects": []}, "defaultable": true, "config": "none", "legacy_ids": [],
        });
        change(&mut draft);
        let contract: Contract = policy::json::read(&policy::json::write(&draft)).unwrap();
        let file = self.lattice.path(&format!("{}.{}.jwt", package.replace(':', "."), contract.revision));
        std::fs::write(&file, key.sign_contract(&contract)).unwrap();
        file
    }

    /// As `contract`, and published.
    pub(super) fn published(&self, package: &str, change: impl FnOnce(&mut Value)) {
        self.done(&["contract", "publish", path(&self.contract(package, change))]);
    }

    /// The enrolled host, asking by hand.
    pub(super) fn asker(&self) -> Asker {
        Asker::of(&self.lattice, "host")
    }

    /// Sends a host's question and waits for what comes back.
    pub(super) fn ask(&self, asker: &Asker, change: impl FnOnce(&mut StartRequest)) -> Seen {
        let inbox = inbox_prefix(&asker.key.name());
        self.send(Topic::StartComponent, &inbox, asker.question_with(change))
    }

    /// Sends an administrator's command and waits for what comes back.
    pub(super) fn command(&self, command: Vec<u8>, by: &SigningKey<Administrator>) -> Seen {
        self.send(Topic::Command, &inbox_prefix(&by.name()), command)
    }

    /// Sends a message and waits for the first that comes back.
    pub(super) fn send(&self, topic: Topic, inbox: &str, message: Vec<u8>) -> Seen {
        self.send_to(topic.subject(&lattice_name()), inbox, message)
    }

    /// As `send`, to that subject.
    pub(super) fn send_to(&self, subject: String, inbox: &str, message: Vec<u8>) -> Seen {
        Seen::on_the_wire(&self.runtime.block_on(exchange_at(&self.client, subject, inbox, message)))
    }
}

/// Sends a message, and waits for the first that comes back to this inbox.
pub(super) async fn exchange(client: &async_nats::Client, topic: Topic, inbox: &str, message: Vec<u8>) -> Message {
    exchange_at(client, topic.subject(&lattice_name()), inbox, message).await
}

async fn exchange_at(client: &async_nats::Client, subject: String, inbox: &str, message: Vec<u8>) -> Message {
    let inbox = format!("{inbox}.{}", broker::keys::nonce().unwrap());
    let mut answers = client.subscribe(inbox.clone()).await.unwrap();
    client.publish_with_reply(subject, inbox, message.into()).await.unwrap();
    tokio::time::timeout(PATIENCE, answers.next()).await.unwrap().unwrap()
}

/// An administrator's command that invites a host, changed at will.
pub(super) fn invitation(by: &SigningKey<Administrator>, change: impl FnOnce(&mut command::Command)) -> Vec<u8> {
    let invite = SigningKey::generate().unwrap().name();
    let not_after = now().plus(600);
    let operation = Operation::InviteHost(InviteHost { invite, labels: Default::default(), not_after });
    let mut command = command::Command {
        iss: by.name(),
        aud: lattice_name(),
        inception_sha256: None,
        iat: now(),
        not_after,
        jti: broker::keys::nonce().unwrap(),
        basis: 0,
        planned: None,
        because: None,
        operations: vec![operation],
        statements: Vec::new(),
    };
    change(&mut command);
    by.sign(&command, [])
}

/// A component that imports one function under each of these names.
pub(super) fn importing(names: &[&str]) -> String {
    let imports = names.iter().map(|name| format!("(import \"{name}\" (instance (export \"f\" (func))))"));
    format!("(component {})", imports.collect::<String>())
}

/// A component that exports one function under that name.
pub(super) fn exporting(name: &str) -> String {
    format!("(component {})", export(name))
}

/// The export of one function under that name, inside of a component.
pub(super) fn export(name: &str) -> String {
    format!(
        "(core module $m (func (export \"f\"))) (core instance $c (instantiate $m))
         (func $f (canon lift (core func $c \"f\"))) (instance $i (export \"f\" (func $f)))
         (export \"{name}\" (instance $i))"
    )
}

/// A WebAssembly file with claims of the minting issuer about it, changed at will.
pub(super) fn minted(bytes: &[u8], change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let mut payload = mint::component();
    let hash = policy::artifact::component::read(bytes).unwrap().claims_hash();
    payload["wascap"]["hash"] = json!(hash.to_string().to_uppercase());
    change(&mut payload);
    policy::artifact::component::attach(bytes, &mint::claims(&payload)).unwrap()
}

/// A provider archive with claims of the minting issuer about these entries.
pub(super) fn archived(signed: &[(&str, &[u8])], entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut payload = mint::provider();
    let hashes = signed.iter().map(|(name, bytes)| (*name, Digest::of(bytes).to_string().to_uppercase()));
    payload["wascap"]["target_hashes"] = hashes.collect::<std::collections::BTreeMap<_, _>>().into_iter().collect();
    policy::artifact::archive::write(&mint::claims(&payload), entries).unwrap()
}

/// The same 32 bytes as a key of another role.
pub(super) fn as_role<R: Role>(raw: &[u8; 32]) -> String {
    Name::<R>::from_raw(*raw).to_string()
}

pub(super) use async_nats::Message;

/// Longer than anything here takes, on the slowest machine.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);
