//! How a refusal looks to whoever meets it, and what must hold wherever that is.
//!
//! An administrator reads code, sentence and remedy; who asks over the wire learns the code alone.

use std::process::Output;

use async_nats::Message;
use policy::answer::{Receipt, StartAnswer, View};
use policy::envelope::Unverified;
use policy::reason::Reason;
use serde_json::{Value, json};

/// What was seen of a refusal.
#[derive(Debug)]
pub(super) enum Seen {
    /// A program printed it with `-o json`.
    Printed { code: Option<i32>, object: Value },
    /// The broker turned a message away: what its error header says, and how long its body is.
    TurnedAway { error: String, code: String, body: usize },
    /// The broker's signed answer, its members as they went over the wire.
    Answered(Value),
    /// No answer came; the log counts it, in the words of `audit tail`.
    Counted(String),
}

impl Seen {
    /// What a program printed that was run with `-o json`.
    pub(super) fn printed(output: &Output) -> Self {
        let text = if output.stdout.is_empty() { &output.stderr } else { &output.stdout };
        // Warnings for people may stand before the object; an error is its last line.
        let line = text.split(|byte| *byte == b'\n').rfind(|line| line.starts_with(b"{")).unwrap_or_default();
        let object = serde_json::from_slice(line)
            .unwrap_or_else(|error| panic!("no JSON: {error}: {}", String::from_utf8_lossy(text)));
        Self::Printed { code: output.status.code(), object }
    }

    /// What came back over the wire.
    pub(super) fn on_the_wire(message: &Message) -> Self {
        let header = |name: &str| {
            message.headers.as_ref().and_then(|headers| headers.get(name)).map(|value| value.as_str().to_owned())
        };
        if let (Some(error), Some(code)) = (header("Nats-Service-Error"), header("Nats-Service-Error-Code")) {
            return Self::TurnedAway { error, code, body: message.payload.len() };
        }
        let answer = Unverified::<StartAnswer>::parse(&message.payload).map(|answer| json!(answer.says()));
        let receipt = || Unverified::<Receipt>::parse(&message.payload).map(|receipt| json!(receipt.says()));
        // A view is a yes: nothing was refused.
        let view = || Unverified::<View>::parse(&message.payload).map(|view| json!(view.says()));
        Self::Answered(answer.or_else(|_| receipt()).or_else(|_| view()).expect("a signed answer, receipt or view"))
    }

    /// Whether it is what a program printed with that code.
    pub(super) fn is(&self, error: &str) -> bool {
        matches!(self, Self::Printed { object, .. } if object["error"] == error)
    }

    /// Whether a program did what it was told.
    pub(super) fn is_done(&self) -> bool {
        matches!(self, Self::Printed { code: Some(0), .. })
    }

    /// Holds it to the reason.
    pub(super) fn must_be(&self, reason: Reason) {
        match self {
            Self::Printed { code, object } => printed(*code, object, reason),
            Self::TurnedAway { error, code, body } => {
                let number = if fails(reason) { "503" } else { "400" };
                assert_eq!((error.as_str(), code.as_str()), (reason.code(), number), "{self:?}");
                assert_eq!(*body, 0, "{reason}: more than the code came back");
            }
            Self::Answered(answer) => {
                assert_eq!(answer["reason"], json!(reason), "{answer}");
                // A host is told no sentence; an administrator is, in a receipt.
                assert!(answer.get("aud").is_none() || answer.get("detail").is_none(), "{answer}");
            }
            Self::Counted(said) => {
                assert_eq!(*said, format!("turned away at the door: 1 x {reason}"));
            }
        }
    }
}

fn printed(code: Option<i32>, object: &Value, reason: Reason) {
    let expected = if fails(reason) { 1 } else { 3 };
    assert_eq!((&object["error"], code), (&json!(reason), Some(expected)), "{reason}: {object}");
    assert_eq!((&object["success"], &object["remedy"]), (&json!(false), &json!(reason.remedy())), "{object}");
    let message = object["message"].as_str().unwrap_or_default();
    assert!(!message.is_empty() && !message.contains(char::is_control), "{reason}: {message:?}");
    // What the broker refused a host is told by the code: its meaning is the same for everybody.
    if object.get("host_dir").is_some() && object["index"].is_u64() {
        assert!(message.starts_with(reason.code()) && message.ends_with(reason.meaning()), "{reason}: {message}");
    }
}

// Nobody refused where nothing could be decided, or where what was let in failed later.
fn fails(reason: Reason) -> bool {
    matches!(reason, Reason::BrokerUnreachable | Reason::AuditUnavailable | Reason::LimitExceeded)
}
