//! The door: cheap checks first, then the signature. Who fails here is counted, not recorded, and gets no answer.
//!
//! Size and shape, lattice, enrolment, whether the host has a share left, signature, freshness, the share. What comes after is recorded by
//! `sequencer`, refusals too; what a request means is left to `policy`.

mod shares;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use policy::command::Command;
use policy::digest::Digest;
use policy::envelope::{Document, Keyring, Unverified, Verified};
use policy::examine::{self, Examined};
use policy::govern::{AdminRole, AdministratorKeys, HostKeys, Times};
use policy::growth::Growth;
use policy::inventory::HostInventory;
use policy::join::{Join, Possession};
use policy::key::{Name, refuse_hidden_secrets};
use policy::name::Lattice;
use policy::query::Query;
use policy::question::StartRequest;
use policy::reason::{Reason, Refusal};
use policy::skew::{Clock as Whose, Says, Skew};
use policy::time::Timestamp;
use policy::wire::{FRESHNESS_S, Nonce, inbox_prefix};

use crate::clock::Clock;
use crate::door::shares::Shares;
use crate::present::Present;
use crate::recall::Recall;
use crate::settings::Settings;

/// The door of one lattice.
pub(crate) struct Door {
    lattice: Lattice,
    inception_sha256: Digest,
    clock: Arc<dyn Clock>,
    hosts: Arc<ArcSwap<HostKeys>>,
    administrators: Arc<ArcSwap<AdministratorKeys>>,
    queries: Mutex<BTreeMap<Nonce, Timestamp>>,
    shares: Shares,
    turned_away: Mutex<BTreeMap<Reason, u64>>,
    recall: Recall,
    present: Arc<Present>,
}

/// Where the answer to a document goes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Reply<'a> {
    /// Back to the caller, in this process.
    Here,
    /// To the inbox of this prefix: only its owner is answered there, so that nobody makes the broker publish in
    /// somebody else's name (T54).
    Inbox(&'a str),
}

impl Reply<'_> {
    fn goes_to<T: Document>(self, document: &T) -> Result<(), Refusal> {
        match self {
            Self::Inbox(inbox) if inbox_prefix(document.signer()) != inbox => {
                let detail = format!("the reply would go to `{inbox}`, the signer is `{}`", document.signer());
                Err(Refusal::new(Reason::ReplyElsewhere, detail))
            }
            Self::Inbox(_) | Self::Here => Ok(()),
        }
    }
}

/// What passed the door.
pub(crate) struct Passed<Q> {
    /// The document, with the verdict on its evidence.
    pub(crate) examined: Examined<Q>,
    /// What a duplicate of it is known by.
    pub(crate) key: Digest,
    /// Until when a duplicate could pass the door again.
    pub(crate) until: Timestamp,
}

impl Door {
    pub(crate) fn new(
        (lattice, inception_sha256): (Lattice, Digest),
        clock: Arc<dyn Clock>,
        hosts: Arc<ArcSwap<HostKeys>>,
        administrators: Arc<ArcSwap<AdministratorKeys>>,
        present: Arc<Present>,
        settings: &Settings,
    ) -> Self {
        let (shares, turned_away, recall) = (Shares::new(settings), Mutex::default(), Recall::default());
        let queries = Mutex::default();
        Self { lattice, inception_sha256, clock, hosts, administrators, queries, shares, turned_away, recall, present }
    }

    /// Lets in a host's question. One that is `known` by its key already is charged to nobody's share.
    pub(crate) fn start(
        &self,
        bytes: &[u8],
        reply: Reply<'_>,
        known: impl FnOnce(Digest) -> bool,
    ) -> Result<Passed<StartRequest>, Refusal> {
        self.counted(self.check_start(bytes, reply, known))
    }

    /// Lets in an administrator's command. Its id and its last moment are judged and recorded, so it is fresh enough.
    pub(crate) fn command(&self, bytes: &[u8], reply: Reply<'_>) -> Result<Passed<Command>, Refusal> {
        self.counted(self.check_command(bytes, reply))
    }

    /// Lets in the query of an administrator who may look.
    pub(crate) fn query(&self, bytes: &[u8], reply: Reply<'_>) -> Result<Verified<Query>, Refusal> {
        self.counted(self.check_query(bytes, reply))
    }

    /// Lets in a join that an invitation's key vouches for. Whether it still stands is the caller's next check.
    pub(crate) fn join(&self, bytes: &[u8], reply: Reply<'_>) -> Result<Passed<Join>, Refusal> {
        self.counted(self.check_join(bytes, reply))
    }

    /// Lets in what a host says it runs; a banned host may still say it.
    pub(crate) fn inventory(&self, bytes: &[u8], reply: Reply<'_>) -> Result<Verified<HostInventory>, Refusal> {
        self.counted(self.check_inventory(bytes, reply))
    }

    /// Lets in a host's question whether the log only grew.
    pub(crate) fn growth(&self, bytes: &[u8], reply: Reply<'_>) -> Result<Verified<Growth>, Refusal> {
        self.counted(self.check_growth(bytes, reply))
    }

    /// Whether this is the key of a host or an administrator. Whoever writes it down need not hold it.
    pub(crate) fn knows(&self, key: &str) -> bool {
        let hosts = self.hosts.load();
        Name::parse(key).is_ok_and(|host| hosts.contains(&host))
            || Name::parse(key).is_ok_and(|administrator| self.administrators.load().contains(&administrator))
    }

    /// Counts a refusal that was found at the door, wherever its check lives.
    pub(crate) fn counted<T>(&self, checked: Result<T, Refusal>) -> Result<T, Refusal> {
        if let Err(refusal) = &checked {
            self.tell_of_clocks(refusal);
            self.count(refusal.reason);
        }
        checked
    }

    /// Counts one message that was turned away.
    pub(crate) fn count(&self, reason: Reason) {
        let mut counts = self.turned_away.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(reason).or_insert(0);
        *count = count.saturating_add(1);
    }

    // Nobody outside learns more than the code, so the operator here does: once in each minute that is counted.
    fn tell_of_clocks(&self, refusal: &Refusal) {
        let counts = self.turned_away.lock().unwrap_or_else(PoisonError::into_inner);
        if refusal.reason == Reason::RequestStale && !counts.contains_key(&refusal.reason) {
            tracing::warn!("{refusal}");
        }
    }

    /// Counts again what could not be recorded.
    pub(crate) fn give_back(&self, counts: BTreeMap<Reason, u64>) {
        let mut turned_away = self.turned_away.lock().unwrap_or_else(PoisonError::into_inner);
        for (reason, more) in counts {
            let count = turned_away.entry(reason).or_insert(0);
            *count = count.saturating_add(more);
        }
    }

    /// Takes what was counted since the last time.
    pub(crate) fn take_counts(&self) -> BTreeMap<Reason, u64> {
        std::mem::take(&mut *self.turned_away.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn check_start(
        &self,
        bytes: &[u8],
        reply: Reply<'_>,
        known: impl FnOnce(Digest) -> bool,
    ) -> Result<Passed<StartRequest>, Refusal> {
        let request = Unverified::<StartRequest>::parse(bytes)?;
        reply.goes_to(request.says())?;
        self.ours(&request.says().aud)?;
        let hosts = self.hosts.load();
        hosts.key(request.says())?;
        let host = request.says().iss;
        let check = self.shares.check(host, hosts.is_banned(&host), self.clock.elapsed_ms())?;
        let request = request.verify(hosts.as_ref())?;
        self.fresh(request.iat, Whose::Host)?;
        hides_nothing(&request)?;
        let (key, until) = (request.sha256(), request.iat.plus(FRESHNESS_S + 1));
        // Last of all, so that only what the host itself asks anew is charged to it (T87).
        if !known(key) {
            self.shares.charge(check)?;
        }
        Ok(Passed { examined: examine::start(request, &self.recall)?, key, until })
    }

    fn check_inventory(&self, bytes: &[u8], reply: Reply<'_>) -> Result<Verified<HostInventory>, Refusal> {
        let inventory = Unverified::<HostInventory>::parse(bytes)?;
        reply.goes_to(inventory.says())?;
        self.ours(&inventory.says().aud)?;
        let hosts = self.hosts.load();
        hosts.key(inventory.says())?;
        let check = self.shares.check(inventory.says().iss, false, self.clock.elapsed_ms())?;
        let inventory = inventory.verify(hosts.as_ref())?;
        self.fresh(inventory.iat, Whose::Host)?;
        // Whoever repeats what a host said uses up nothing of its share (T87).
        self.present.refuse_repeated(&inventory)?;
        self.shares.charge(check)?;
        Ok(inventory)
    }

    fn check_growth(&self, bytes: &[u8], reply: Reply<'_>) -> Result<Verified<Growth>, Refusal> {
        let growth = Unverified::<Growth>::parse(bytes)?;
        reply.goes_to(growth.says())?;
        self.ours(&growth.says().aud)?;
        let hosts = self.hosts.load();
        hosts.key(growth.says())?;
        let check = self.shares.check(growth.says().iss, false, self.clock.elapsed_ms())?;
        let growth = growth.verify(hosts.as_ref())?;
        self.fresh(growth.iat, Whose::Host)?;
        // Said again by somebody else it is charged to nobody (T87).
        self.never_asked(growth.jti, growth.iat, self.clock.now())?;
        self.shares.charge(check)?;
        Ok(growth)
    }

    fn check_command(&self, bytes: &[u8], reply: Reply<'_>) -> Result<Passed<Command>, Refusal> {
        let command = Unverified::<Command>::parse(bytes)?;
        reply.goes_to(command.says())?;
        self.ours(&command.says().aud)?;
        let administrators = self.administrators.load();
        let command = command.verify(administrators.as_ref())?;
        // Whoever has no say any more leaves no row.
        administrators.standing(&command.iss, self.clock.now())?;
        hides_nothing(&command)?;
        let (key, until) = self.duplicate_of(&command);
        Ok(Passed { examined: examine::command(command), key, until })
    }

    fn check_query(&self, bytes: &[u8], reply: Reply<'_>) -> Result<Verified<Query>, Refusal> {
        let query = Unverified::<Query>::parse(bytes)?;
        reply.goes_to(query.says())?;
        self.ours(&query.says().aud)?;
        self.begun_as(query.says().inception_sha256)?;
        let administrators = self.administrators.load();
        let query = query.verify(administrators.as_ref())?;
        let now = self.clock.now();
        let record = administrators.standing(&query.iss, now)?;
        if !record.may(AdminRole::Viewer) {
            return Err(Refusal::new(Reason::RoleMissing, format!("`{}` has no role that may look", query.iss)));
        }
        self.fresh(query.iat, Whose::Administrator)?;
        hides_nothing(&query)?;
        self.never_asked(query.jti, query.iat, now)?;
        Ok(query)
    }

    // Remembered for as long as it would be fresh, so what is remembered is bounded by what a minute's lane lets in.
    fn never_asked(&self, jti: Nonce, iat: Timestamp, now: Timestamp) -> Result<(), Refusal> {
        let mut queries = self.queries.lock().unwrap_or_else(PoisonError::into_inner);
        queries.retain(|_, until| *until >= now);
        if queries.insert(jti, iat.plus(FRESHNESS_S)).is_some() {
            return Err(Refusal::new(Reason::QuerySeen, format!("query {jti} was already answered")));
        }
        Ok(())
    }

    fn check_join(&self, bytes: &[u8], reply: Reply<'_>) -> Result<Passed<Join>, Refusal> {
        let join = Unverified::<Join>::parse(bytes)?;
        reply.goes_to(join.says())?;
        self.ours(&join.says().aud)?;
        let join = join.verify(&Possession)?;
        self.fresh(join.iat, Whose::Host)?;
        hides_nothing(&join)?;
        let (key, until) = self.duplicate_of(&join);
        Ok(Passed { examined: examine::join(join)?, key, until })
    }

    fn duplicate_of<T>(&self, document: &Verified<T>) -> (Digest, Timestamp) {
        (document.sha256(), self.clock.now().plus(2 * FRESHNESS_S))
    }

    fn ours(&self, lattice: &Lattice) -> Result<(), Refusal> {
        if *lattice == self.lattice {
            return Ok(());
        }
        Err(Refusal::new(
            Reason::LatticeMismatch,
            format!("the message is for lattice `{lattice}`, this is `{}`", self.lattice),
        ))
    }

    // Of two lattices of one name, whoever signed meant one (T82).
    fn begun_as(&self, named: Option<Digest>) -> Result<(), Refusal> {
        let here = self.inception_sha256;
        let Some(other) = named.filter(|named| *named != here) else { return Ok(()) };
        let detail = format!("the message is for the lattice of {other}, this is the one of {here}");
        Err(Refusal::new(Reason::LatticeMismatch, detail))
    }

    fn fresh(&self, iat: Timestamp, signer: Whose) -> Result<(), Refusal> {
        let now = self.clock.now();
        if iat.distance(now) <= FRESHNESS_S {
            return Ok(());
        }
        // Where it is the broker's own clock that is wrong, that is what is said (T22).
        Times { now: self.present.log_time(), clock: now }.in_order()?;
        let skew = Skew { document: iat, clock: now, says: Says::Signed, signer, judge: Whose::Broker };
        Err(Refusal::new(Reason::RequestStale, format!("signed at {iat}, the clock here says {now}")).with_skew(skew))
    }
}

// What comes along would be stored whole, and repeated to whoever reads the log (T69).
fn hides_nothing<T>(document: &Verified<T>) -> Result<(), Refusal> {
    document.attachments().iter().try_for_each(|attachment| refuse_hidden_secrets(attachment))
}
