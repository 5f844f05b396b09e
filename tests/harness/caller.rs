//! Those who call a broker over NATS and say what came back: an enrolled host, and the administrator.
//!
//! What a host asks is written in `asker`; what is to be made of an answer is left to the suite.

use std::sync::Arc;
use std::time::Duration;

use broker::keys::{SigningKey, nonce};
use policy::answer::{Receipt, StartAnswer, Verdict, View};
use policy::command::Command;
use policy::digest::Digest;
use policy::envelope::Unverified;
use policy::govern::{InviteHost, Operation};
use policy::key::{self, Host, Invite};
use policy::query::Query;
use policy::wire::{Topic, inbox_prefix};

use crate::asker::{Asker, lattice_name, now};
use crate::lattice::Lattice;

/// An enrolled host that asks whether `cart` may start.
#[derive(Clone)]
pub struct Caller {
    /// How long it waits for an answer.
    pub patience: Duration,
    /// Who asks.
    pub asker: Asker,
    client: async_nats::Client,
}

/// The administrator of a lattice.
#[derive(Clone)]
pub struct Administrator {
    key: Arc<SigningKey<key::Administrator>>,
    patience: Duration,
    client: async_nats::Client,
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// A signed answer or receipt: its entry, and why it says no, if it does.
    Signed(u64, Digest, Option<String>),
    /// No signature, but a reason.
    TurnedAway(String),
    /// Silence.
    Nothing,
}

impl Caller {
    /// The host whose folder in the lattice's room has that name.
    pub async fn new(lattice: &Lattice, host: &str) -> Self {
        let asker = Asker::of(lattice, host);
        let client = asker.connect(&lattice.nats.url()).await;
        Self { patience: PATIENCE, asker, client }
    }

    /// The inbox that its answers go to.
    pub fn inbox(&self) -> String {
        inbox_prefix(&self.asker.key.name())
    }

    /// A new question in this host's name, signed by somebody else.
    pub fn forged(&self, signer: &SigningKey<Host>) -> Vec<u8> {
        let mut forger = self.asker.clone();
        forger.key = Arc::new(SigningKey::from_seed(&signer.seed().expect("a seed")).expect("a key"));
        forger.question_with(|request| request.iss = self.asker.key.name())
    }

    /// Asks a new question.
    pub async fn ask(&self) -> Said {
        self.ask_this(self.asker.question()).await
    }

    /// Asks this very question.
    pub async fn ask_this(&self, question: Vec<u8>) -> Said {
        let answer = send(&self.client, self.patience, Topic::StartComponent.subject(&lattice_name()), question).await;
        said(answer, |bytes| {
            let answer = Unverified::<StartAnswer>::parse(bytes).ok()?;
            let answer = answer.says();
            assert_eq!(answer.verdict == Verdict::Permitted, answer.reason.is_none());
            Some((answer.index, answer.entry_sha256, answer.reason.map(|reason| reason.code().to_owned())))
        })
    }
}

impl Administrator {
    /// The one who made the lattice.
    pub async fn new(lattice: &Lattice) -> Self {
        let key = SigningKey::load(&lattice.path("lattice/keys/admin.nk")).expect("the administrator's key");
        let options = async_nats::ConnectOptions::new().custom_inbox_prefix(inbox_prefix(&key.name()));
        let client = options.connect(lattice.nats.url()).await.expect("the server answers");
        Self { key: Arc::new(key), patience: PATIENCE, client }
    }

    /// A new command that hands out an invitation, and needs nobody to look at the state first.
    pub fn order(&self) -> Vec<u8> {
        let invite = SigningKey::<Invite>::generate().expect("a key").name();
        let labels = std::collections::BTreeMap::new();
        self.order_to(Operation::InviteHost(InviteHost { invite, labels, not_after: now().plus(600) }))
    }

    /// A new command to do this, whatever happened since somebody looked.
    pub fn order_to(&self, operation: Operation) -> Vec<u8> {
        let command = Command {
            iss: self.key.name(),
            aud: lattice_name(),
            inception_sha256: None,
            iat: now(),
            not_after: now().plus(60),
            jti: nonce().expect("randomness"),
            basis: 0,
            planned: None,
            because: None,
            operations: vec![operation],
            statements: Vec::new(),
        };
        self.key.sign(&command, [])
    }

    /// Looks at the state; the view, if one was signed.
    pub async fn look(&self, subject: &str, query: Vec<u8>) -> Option<Vec<u8>> {
        let answer = send(&self.client, self.patience, subject.to_owned(), query).await?;
        let view = Unverified::<View>::parse(&answer.payload).ok()?;
        view.attachments().last().cloned()
    }

    /// A fresh query for what stands there, whatever it is.
    pub fn query(&self, what: &str, arguments: &serde_json::Value) -> Vec<u8> {
        query_by(&self.key, what, arguments, |_| ())
    }

    /// Gives a new command.
    pub async fn command(&self) -> Said {
        self.command_this(self.order()).await
    }

    /// Gives this very command.
    pub async fn command_this(&self, order: Vec<u8>) -> Said {
        said(send(&self.client, self.patience, Topic::Command.subject(&lattice_name()), order).await, |bytes| {
            let receipt = Unverified::<Receipt>::parse(bytes).ok()?;
            let receipt = receipt.says();
            Some((receipt.index, receipt.entry_sha256, receipt.reason.map(|reason| reason.code().to_owned())))
        })
    }
}

/// A query, with a change.
pub fn query_by(
    key: &SigningKey<key::Administrator>,
    what: &str,
    arguments: &serde_json::Value,
    change: impl FnOnce(&mut Query),
) -> Vec<u8> {
    let arguments = arguments.to_string().into_bytes();
    let mut query = Query {
        iss: key.name(),
        aud: lattice_name(),
        inception_sha256: None,
        iat: now(),
        jti: nonce().expect("randomness"),
        what: what.to_owned(),
        arguments_sha256: Digest::of(&arguments),
        statements: Vec::new(),
    };
    change(&mut query);
    key.sign(&query, [arguments.as_slice()])
}

impl Said {
    /// Whether it is a signed yes.
    pub fn is_yes(&self) -> bool {
        matches!(self, Self::Signed(_, _, None))
    }

    /// Whether it is this reason, with or without a signature.
    pub fn is(&self, code: &str) -> bool {
        match self {
            Self::Signed(_, _, reason) => reason.as_deref() == Some(code),
            Self::TurnedAway(reason) => reason == code,
            Self::Nothing => false,
        }
    }
}

async fn send(
    client: &async_nats::Client,
    patience: Duration,
    subject: String,
    payload: Vec<u8>,
) -> Option<async_nats::Message> {
    let request = async_nats::Request::new().payload(payload.into()).timeout(Some(patience));
    client.send_request(subject, request).await.ok()
}

fn said(answer: Option<async_nats::Message>, read: impl Fn(&[u8]) -> Option<(u64, Digest, Option<String>)>) -> Said {
    let Some(message) = answer else {
        return Said::Nothing;
    };
    if let Some((index, hash, reason)) = read(&message.payload) {
        return Said::Signed(index, hash, reason);
    }
    let reason = message.headers.as_ref().and_then(|headers| headers.get("Nats-Service-Error"));
    reason.map_or(Said::Nothing, |reason| Said::TurnedAway(reason.as_str().to_owned()))
}

const PATIENCE: Duration = Duration::from_secs(5);
