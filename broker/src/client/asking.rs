//! Looks over NATS: a signed query, and the view that a pinned lattice's broker signed for it; a long list page by page.

use std::time::Duration;

use policy::digest::Digest;
use policy::key::Administrator;
use policy::query::Query;
use policy::reason::{Reason, Refusal};
use policy::wire::Topic;
use serde_json::Value;

use super::wire::Wire;
use super::{Client, DEADLINE, Pin, Seen, told};
use crate::clock::{Clock, SystemClock};
use crate::error::Error;
use crate::keys::{SigningKey, nonce};
use crate::output::Usage;
use crate::view::{self, Look};

impl Client {
    pub(super) async fn ask(&self, look: &Look) -> anyhow::Result<Seen> {
        self.ask_telling(look, &mut |_| ()).await
    }

    /// As `ask`; each page of a list that is wanted whole is told as it comes.
    pub(super) async fn ask_telling(&self, look: &Look, heard: &mut dyn FnMut(&Value)) -> anyhow::Result<Seen> {
        let pin = if self.folder.is_some() { Some(self.pin_of().await?) } else { self.globals.root.map(Pin::at) };
        let Some(pin) = pin else {
            let folder = Error::NoFolder(self.globals.folder());
            let how = format!("{folder}; or ask a broker over NATS with `--root DIGEST` and `--nats-url URL`");
            return Err(Usage(how).into());
        };
        self.nats()?.refuse_unsafe().map_err(told)?;
        let key = self.administrator()?;
        let wire = Wire::connect(self.nats()?, &key.name()).await?;
        let mut seen = self.query(&wire, &key, &pin, look).await?;
        // A list that is wanted whole comes page by page; what it is a basis for is the epoch of its first.
        let mut next = look.following(&seen.view);
        heard(&seen.view);
        for _ in 0..MOST_PAGES {
            let Some(look) = next else { return Ok(seen) };
            let page = self.query(&wire, &key, &pin, &look).await?;
            next = look.following(&page.view);
            heard(&page.view);
            view::join(&mut seen.view, page.view);
        }
        Ok(seen)
    }

    async fn query(
        &self,
        wire: &Wire,
        key: &SigningKey<Administrator>,
        pin: &Pin,
        look: &Look,
    ) -> anyhow::Result<Seen> {
        let (arguments, statements) = (policy::json::write(look), look.statements());
        let query = Query {
            iss: key.name(),
            aud: self.lattice.clone(),
            inception_sha256: Some(pin.root()),
            iat: SystemClock::default().now(),
            jti: nonce()?,
            what: look.word().to_owned(),
            arguments_sha256: Digest::of(&arguments),
            statements: statements.iter().map(|statement| Digest::of(statement)).collect(),
        };
        let query = key.sign(&query, std::iter::once(arguments.as_slice()).chain(statements));
        let token_sha256 = Digest::of(query.split(|byte| *byte == b'\n').next().unwrap_or_default());
        let subject = Topic::Query.subject(&self.lattice).replace('*', look.word());
        let check = |answer: &[u8]| pin.view(answer, token_sha256, &self.lattice, SystemClock::default().now());
        let seen = wire.ask(&subject, &query, patience(look), check).await?;
        // What the broker refuses to show comes as a view of the refusal.
        match seen.view.get("refused").and_then(Value::as_str).and_then(Reason::from_code) {
            Some(reason) => Err(Refusal::new(reason, view::cell(&seen.view, "detail")).into()),
            None => Ok(seen),
        }
    }
}

// Some looks decide thousands of starts again, or read as many entries.
const fn patience(look: &Look) -> Duration {
    if matches!(look, Look::Plan(_) | Look::RulesDiff { .. } | Look::Seen(_) | Look::Relaxed { .. }) {
        LONG
    } else {
        DEADLINE
    }
}

const LONG: Duration = Duration::from_secs(60);
// More pages than any lattice fills.
const MOST_PAGES: usize = 10_000;
