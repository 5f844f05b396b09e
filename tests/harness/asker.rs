//! A host that asks by hand: enrolled, with its own key, one question after the other over the wire.
//!
//! What is to be made of the answers is left to the tests.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use broker::keys::SigningKey;
use data_encoding::BASE64URL_NOPAD;
use nkeys::KeyPair;
use policy::answer::StartAnswer;
use policy::artifact::{self, Import};
use policy::digest::Digest;
use policy::envelope::Unverified;
use policy::json;
use policy::key::Host;
use policy::name::Lattice as LatticeName;
use policy::native::Native;
use policy::question::{Inventory, Runs, Seen, StartRequest, What};
use policy::time::Timestamp;
use policy::wire::{Topic, inbox_prefix};

use crate::lattice::Lattice;

/// A host that would start `cart`.
#[derive(Clone)]
pub struct Asker {
    /// Its key.
    pub key: Arc<SigningKey<Host>>,
    /// What would start.
    pub runs: Runs,
    /// What that imports.
    pub imports: Vec<Import>,
    /// Its claims, and the host's inventory.
    pub attachments: Vec<Vec<u8>>,
}

impl Asker {
    /// The host of that folder, about the lattice's `cart`.
    pub fn of(lattice: &Lattice, host: &str) -> Self {
        Self::with_key(lattice, SigningKey::load(&lattice.path(&format!("{host}/host.nk"))).expect("the host's key"))
    }

    /// As a host of that key.
    pub fn with_key(lattice: &Lattice, key: SigningKey<Host>) -> Self {
        let bytes = std::fs::read(lattice.path("cart-acme.wasm")).expect("the signed guest");
        let cart = artifact::component::read(&bytes).expect("a component");
        let token = cart.token().expect("its claims").to_vec();
        let claims = policy::claims::read_component(&token).expect("sound claims");
        let natives = ["native/logging@0.1.0", "native/keyvalue@0.1.0"];
        let builtins = natives.iter().map(|name| Native::find(name).expect("ours").offer().expect("offered")).collect();
        let runs = Runs {
            id: "cart".parse().expect("an id"),
            subject: policy::provider::Subject::Component(claims.subject),
            sha256: cart.sha256(),
            claims_sha256: Some(Digest::of(&token)),
        };
        let attachments = vec![token, json::write(&Inventory { builtins })];
        Self { key: Arc::new(key), runs, imports: cart.imports().to_vec(), attachments }
    }

    /// The same host with other claims for the same component.
    #[must_use]
    pub fn showing(mut self, token: Vec<u8>) -> Self {
        self.runs.claims_sha256 = Some(Digest::of(&token));
        self.attachments[0] = token;
        self
    }

    /// A question as it goes over the wire, never the same twice.
    pub fn question(&self) -> Vec<u8> {
        self.question_with(|_| {})
    }

    /// A question with a change.
    pub fn question_with(&self, change: impl FnOnce(&mut StartRequest)) -> Vec<u8> {
        self.signed_by(&self.key, change)
    }

    /// A question with a change, signed by another.
    pub fn signed_by(&self, key: &SigningKey<Host>, change: impl FnOnce(&mut StartRequest)) -> Vec<u8> {
        let mut request = StartRequest {
            iss: self.key.name(),
            aud: lattice_name(),
            iat: now(),
            jti: broker::keys::nonce().expect("randomness"),
            what: What::StartComponent,
            runs: self.runs.clone(),
            imports: self.imports.clone(),
            inventory_sha256: Digest::of(&self.attachments[1]),
            stood_in: Vec::new(),
            seen: Seen { epoch: 0, index: 0, entry_sha256: Digest::of(b"") },
        };
        change(&mut request);
        key.sign(&request, self.attachments.iter().map(Vec::as_slice))
    }

    /// Whatever bytes under whatever header, signed by this host.
    pub fn seal(&self, header: &str, payload: &[u8], attachments: &str) -> Vec<u8> {
        let pair = KeyPair::from_seed(&self.key.seed().expect("its seed")).expect("a seed");
        let input = format!("{header}.{}", BASE64URL_NOPAD.encode(payload));
        let signature = pair.sign(input.as_bytes()).expect("a signature");
        format!("{input}.{}\n{attachments}", BASE64URL_NOPAD.encode(&signature)).into_bytes()
    }

    /// Its connection, with an inbox of its own.
    pub async fn connect(&self, url: &str) -> async_nats::Client {
        let options = async_nats::ConnectOptions::new().custom_inbox_prefix(inbox_prefix(&self.key.name()));
        options.connect(url).await.expect("the server answers")
    }
}

/// Sends a question and waits for what comes back, at most so long.
pub async fn ask(client: &async_nats::Client, question: Vec<u8>, longest: Duration) -> Option<bytes::Bytes> {
    let request = async_nats::Request::new().payload(question.into()).timeout(Some(longest));
    let subject = Topic::StartComponent.subject(&lattice_name());
    client.send_request(subject, request).await.ok().map(|message| message.payload)
}

/// Sends bytes to a topic, and gives the first message that comes back.
pub async fn send(client: &async_nats::Client, topic: Topic, bytes: Vec<u8>) -> Option<async_nats::Message> {
    let request = async_nats::Request::new().payload(bytes.into()).timeout(Some(Duration::from_secs(5)));
    client.send_request(topic.subject(&lattice_name()), request).await.ok()
}

/// Why a message was turned away, or why its answer says no; nothing for a yes.
pub fn reason(message: &async_nats::Message) -> String {
    let turned_away = message.headers.as_ref().and_then(|headers| headers.get("Nats-Service-Error"));
    turned_away.map(ToString::to_string).unwrap_or_else(|| {
        let answer = Unverified::<StartAnswer>::parse(&message.payload).expect("an answer");
        answer.says().reason.map(|reason| reason.code().to_owned()).unwrap_or_default()
    })
}

/// The name of the suite's lattices.
pub fn lattice_name() -> LatticeName {
    "default".parse().expect("a name")
}

/// The time.
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    Timestamp::from_seconds(since.as_secs()).expect("in range")
}
