//! NATS: the micro service `countersign`, its subjects, and the epoch notices.
//!
//! Answers go to the asker's own inbox and nowhere else (T54): whatever is asked is answered only below
//! `_INBOX_<its signer>.`. Everything else is dropped and counted. There is no queue
//! group: one broker serves a lattice, and a stranger who joined its group would be given questions in its place (T50).
//! What is told is left to `service`, what views show to the caller.

mod connect;
mod discovery;
mod hearing;
mod lanes;
mod tls;

use std::sync::Arc;
use std::time::Duration;

use async_nats::{Client, HeaderMap, Message, Subscriber};
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use policy::envelope::Verified;
use policy::query::Query;
use policy::reason::{Reason, Refusal};
use policy::wire::{ERROR_HEADER, Topic};
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use crate::clock::{Clock, SystemClock};
use crate::door::Reply;
use crate::error::Error;
use crate::keys::nonce;
use crate::present::Present;
use crate::service::{Service, Snapshot};
use crate::store::{Current, LogReader};
use crate::transport::nats::lanes::Lanes;

pub use connect::{LoginFile, NatsOptions, connect};
pub(crate) use tls::Advised;
pub use tls::ClientCertificate;

use connect::connect_hearing;
use discovery::{Card, discoverable};
use hearing::Hearing;

/// What queries show: the caller's own, so that the wire need not know.
pub trait Views: Send + Sync + 'static {
    /// The view of that name, as of a snapshot.
    fn view<'a>(
        &'a self,
        snapshot: &'a Snapshot,
        log: &'a LogReader,
        present: &'a Present,
        what: &'a str,
        query: &'a Verified<Query>,
    ) -> BoxFuture<'a, Result<serde_json::Value, Refusal>>;
}

/// A broker's connection to its server.
pub struct Connection {
    client: Client,
    hearing: Arc<Hearing>,
}

/// Serves a lattice until `stop` is ready, or something falls without which it cannot be served, then finishes what was
/// begun. Once the server listens for all of it, `ready` is called.
///
/// # Errors
/// [`Error::Wire`] when the service cannot be registered, [`Error::Denied`] when the server keeps it from a subject,
/// [`Error::Store`] when its log cannot be read, [`Error::Fallen`].
pub async fn serve(
    service: Arc<Service>,
    connection: Connection,
    views: Arc<dyn Views>,
    ready: impl FnOnce() + Send,
    stop: impl Future<Output = ()> + Send,
) -> Result<(), Error> {
    let Connection { client, hearing } = connection;
    let log = service.current_log();
    log.now().await?;
    let started = SystemClock::default().now().to_string();
    let card = Arc::new(Card::new(nonce()?, started, service.lattice().clone()));
    let tools = discoverable(client.clone(), Arc::clone(&card), Arc::clone(&service)).await;
    let tools = tools.map_err(|source| failed("register the service", source.into()))?;
    let desk = Arc::new(Desk { client: client.clone(), service, views, log, card });
    let (leave, leaving) = watch::channel(());
    let mut loops = JoinSet::new();
    for topic in Topic::ASKED {
        let messages = client.subscribe(topic.subject(desk.service.lattice())).await;
        let messages = messages.map_err(|source| failed("listen", source.into()))?;
        // It sorts what came into lanes and must keep up, however much there is to do for those who handle it.
        let listening = listen(messages, topic, Arc::clone(&desk), leaving.clone());
        loops.spawn(tokio::task::unconstrained(listening));
    }
    let notices = client.subscribe(Topic::Epoch.subject(desk.service.lattice())).await;
    let notices = notices.map_err(|source| failed("listen", source.into()))?;
    let mut asides = JoinSet::new();
    asides.spawn(announce(client.clone(), Arc::clone(&desk.service)));
    asides.spawn(tools);
    let sitting = async {
        hearing.is_heard(notices).await.map_err(|denied| Error::Denied(denied.to_string()))?;
        tracing::info!(lattice = %desk.service.lattice(), "the court sits");
        ready();
        std::future::pending().await
    };
    let served = tokio::select! {
        served = sitting => served,
        () = stop => Ok(()),
        // A supervisor can start it again; one that stays and says no for ever, it would leave alone.
        fallen = desk.service.fallen() => Err(fallen),
        _ = loops.join_next() => Err(Error::Fallen("ear at a subject")),
        _ = asides.join_next() => Err(Error::Fallen("voice for its notices")),
    };
    if let Err(error) = &served {
        tracing::error!(%error, "the court rises");
    }
    drop(leave);
    // What was begun is answered; what hangs is not waited for.
    let finished = tokio::time::timeout(LAST_ANSWERS, async { while loops.join_next().await.is_some() {} }).await;
    if finished.is_err() {
        tracing::warn!("some requests were still open and got no answer");
    }
    // They are told to end, and an end is what this waits for, so that nobody holds the service any more.
    loops.shutdown().await;
    asides.shutdown().await;
    // What was answered last is still on its way out; a server that is gone would be waited for without end.
    if tokio::time::timeout(LAST_ANSWERS, client.flush()).await.is_err() {
        tracing::warn!("the NATS server is gone, and the last answers with it");
    }
    served
}

/// Connects as the broker of a service: with a login key that signs nothing there (T09).
///
/// # Errors
/// As [`connect()`], or `key_in_use`.
pub async fn connect_broker(options: &NatsOptions, service: &Service) -> Result<Connection, Error> {
    if let Some(raw) = options.login_raw()? {
        service.refuse_login_key(raw)?;
    }
    let hearing = Arc::new(Hearing::of(service.lattice().clone()));
    let heard = Arc::clone(&hearing);
    let client = connect_hearing(options, move |event| heard.hear(&event)).await?;
    Ok(Connection { client, hearing })
}

struct Desk {
    client: Client,
    service: Arc<Service>,
    views: Arc<dyn Views>,
    log: Current,
    card: Arc<Card>,
}

// Each topic has places of its own, so that a flood of questions cannot keep an administrator out, and lanes, so that
// one who asks without end keeps no other out (T86). Nothing is read here but where the answer would go.
async fn listen(mut messages: Subscriber, topic: Topic, desk: Arc<Desk>, mut leaving: watch::Receiver<()>) {
    let mut lanes = Lanes::new(places(topic));
    let mut answering = JoinSet::new();
    loop {
        let message = tokio::select! {
            message = messages.next() => message,
            // Only its end is told there.
            _ = leaving.changed() => break,
        };
        let Some(message) = message else { break };
        while answering.try_join_next().is_some() {}
        let reply = message.reply.as_deref().unwrap_or_default();
        let asker = reply.split_once('.').and_then(|(owner, _)| owner.strip_prefix("_INBOX_"));
        let Some(ticket) = lanes.enter(asker, |asker| desk.service.knows(asker), message.length) else {
            desk.service.turn_away(Reason::RateLimited);
            continue;
        };
        let desk = Arc::clone(&desk);
        answering.spawn(async move {
            let Some(_place) = ticket.turn().await else { return };
            desk.handle(topic, &message).await;
        });
    }
    answering.join_all().await;
}

impl Desk {
    async fn handle(&self, topic: Topic, message: &Message) {
        self.card.count(topic);
        let reply = message.reply.as_deref().unwrap_or_default();
        let Some(inbox) = inbox_owner(reply) else {
            self.service.turn_away(Reason::ReplyElsewhere);
            return;
        };
        // A task of its own, so that whatever goes wrong in one request ends with it (T93).
        let told = std::panic::AssertUnwindSafe(self.tell(topic, message, inbox)).catch_unwind().await;
        let told = told.unwrap_or_else(|_| Err(Error::Unavailable("a request could not be handled".to_owned())));
        let told = told.and_then(|bytes| self.fitting(topic, bytes));
        let sent = match told {
            Ok(bytes) => self.client.publish(reply.to_owned(), bytes.into()).await,
            Err(error) if error.reason() == Some(Reason::ReplyElsewhere) => return,
            Err(error) => {
                self.client.publish_with_headers(reply.to_owned(), refusal_headers(&error), bytes::Bytes::new()).await
            }
        };
        if let Err(error) = sent {
            tracing::warn!(%error, topic = topic.suffix(), "an answer did not leave");
        }
    }

    // What the server would not take is told to the asker by its reason, rather than not at all.
    fn fitting(&self, topic: Topic, bytes: Vec<u8>) -> Result<Vec<u8>, Error> {
        let most = self.client.max_payload();
        if bytes.len() <= most {
            return Ok(bytes);
        }
        let detail = format!("the answer has {} bytes, the NATS server takes {most} in one message", bytes.len());
        tracing::warn!(topic = topic.suffix(), "{detail}; its `max_payload` should be 1 MiB or more");
        Err(Error::refused(Reason::TokenOversize, detail))
    }

    async fn tell(&self, topic: Topic, message: &Message, inbox: &str) -> Result<Vec<u8>, Error> {
        let bytes = &message.payload;
        let reply = Reply::Inbox(inbox);
        match topic {
            Topic::StartComponent | Topic::StartProvider => self.service.answer_start_to(bytes, reply).await,
            Topic::Command => self.service.command_to(bytes, reply).await,
            Topic::Join => self.service.join_to(bytes, reply).await,
            Topic::Inventory => self.service.inventory_to(bytes, reply).await,
            Topic::Growth => self.service.growth_to(bytes, reply).await,
            Topic::Warrant => self.service.install(bytes).await,
            Topic::Query => {
                let query = self.service.query_to(bytes, reply)?;
                self.look(message.subject.rsplit('.').next().unwrap_or_default(), &query).await
            }
            // INVARIANT: nobody listens on the topic that is only published.
            Topic::Epoch => Err(Error::refused(Reason::NotFound, "nothing is asked there")),
        }
    }

    async fn look(&self, what: &str, query: &Verified<Query>) -> Result<Vec<u8>, Error> {
        let snapshot = self.service.snapshot().await?;
        let log = self.log.now().await?;
        let view = self.views.view(&snapshot, &log, self.service.present(), what, query).await?;
        let (signed, most) = (self.service.sign_view(query, &view, &snapshot), self.client.max_payload());
        if signed.len() <= most {
            return Ok(signed);
        }
        // Signed like any view, so that it is believed, and at once.
        let (bytes, reason) = (signed.len(), Reason::TokenOversize);
        tracing::warn!(?what, bytes, most, "a view is larger than what the NATS server takes in one message");
        let detail = format!(
            "the view has {bytes} bytes, the NATS server takes {most} in one message; ask for less (`-n`, `--limit`), \
             ask where the folder is, or raise the server's `max_payload`"
        );
        Ok(self.service.sign_view(query, &json!({"refused": reason, "detail": detail}), &snapshot))
    }
}

// `_INBOX_<public nkey>` of `_INBOX_<public nkey>.<tokens>`.
fn inbox_owner(reply: &str) -> Option<&str> {
    let (owner, rest) = reply.split_once('.')?;
    policy::key::inspect(owner.strip_prefix("_INBOX_")?).ok()?;
    is_tokens(rest).then_some(owner)
}

fn is_tokens(rest: &str) -> bool {
    let token = |token: &str| {
        !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
    };
    rest.split('.').all(token)
}

// The asker learns the stable code and no more.
fn refusal_headers(error: &Error) -> HeaderMap {
    tracing::debug!(%error, "turned away");
    let code = if matches!(error, Error::Refused(_)) { "400" } else { "503" };
    let reason = error.reason().unwrap_or(Reason::AuditUnavailable);
    let mut headers = HeaderMap::new();
    headers.insert(ERROR_HEADER, reason.code());
    headers.insert("Nats-Service-Error-Code", code);
    headers
}

// The newest checkpoint, whenever there is one, and each second, so that a lost notice repairs itself; the warrant with
// it, so that a key which it drops is refused by every host that listens, whoever asks first (T17).
async fn announce(client: Client, service: Arc<Service>) {
    let subject = Topic::Epoch.subject(service.lattice());
    let mut notes = service.epochs();
    let mut beat = tokio::time::interval(Duration::from_secs(1));
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            // Whoever signed them is gone, and the guard names who fell.
            changed = notes.changed() => if changed.is_err() { return std::future::pending().await },
            _ = beat.tick() => {}
        }
        let note = notes.borrow_and_update().clone();
        for notice in [service.notice(), note] {
            if let Err(error) = client.publish(subject.clone(), notice.into()).await {
                tracing::debug!(%error, "a notice did not leave");
            }
        }
    }
}

fn failed(act: &'static str, source: Box<dyn std::error::Error + Send + Sync>) -> Error {
    Error::Wire { act, url: "the NATS server".to_owned(), source }
}

// How many messages of one lane are handled at once: enough to fill a batch, few enough that a lane full of what costs
// much to read leaves the other tasks their turn.
const fn places(topic: Topic) -> usize {
    match topic {
        Topic::StartComponent | Topic::StartProvider => 32,
        Topic::Command | Topic::Join | Topic::Epoch | Topic::Inventory => 16,
        // A look may read the whole log, a proof a few tiles; neither is in a hurry.
        Topic::Query | Topic::Growth => 4,
        // Anybody may bring one, and rarely does.
        Topic::Warrant => 1,
    }
}

// How long the last answers may take.
const LAST_ANSWERS: Duration = Duration::from_secs(5);

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use policy::key::Host;

    use super::*;
    use crate::keys::SigningKey;

    #[test]
    fn t54_only_an_inbox_is_answered() {
        let host = SigningKey::<Host>::generate().unwrap();
        let inbox = policy::wire::inbox_prefix(&host.name());
        assert_eq!(inbox_owner(&format!("{inbox}.a1.b2")), Some(inbox.as_str()));
        for hostile in [
            "",
            "a",
            "$JS.API.STREAM.DELETE.x",
            "countersign.v1.default.command",
            "_INBOX.abc.1",
            &inbox,
            &format!("{inbox}."),
            &format!("{inbox}.*"),
            &format!("{inbox}.a.>"),
            &format!("{inbox}x.a"),
            &format!("{inbox}.a b"),
            &format!("{}.a", inbox.to_lowercase()),
            &format!("x.{inbox}.a"),
            &format!("{inbox}.a\r\nPUB x"),
        ] {
            assert_eq!(inbox_owner(hostile), None, "{hostile}");
        }
    }
}
