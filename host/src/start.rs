//! The story of a start: read, verify, compile, ask, bind, instantiate. In this order, whole or not at all.
//!
//! A linked provider is started the same way, under its own question, before it fills a slot.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::BoxFuture;
use policy::digest::Digest;
use policy::journal::Filled;
use policy::name::ComponentId;
use policy::native::{NATIVES, Native};
use policy::provider::Subject;
use policy::question::{Offer, What};
use policy::reason::{Reason, Refusal};
use wasmtime::Engine;

use crate::ask::{Asker, Start};
use crate::builtin::{Shelf, Sink, carried};
use crate::clock::Clock;
use crate::component::Component;
use crate::engine;
use crate::error::Error;
use crate::folder::Folder;
use crate::guest::Prepared;
use crate::identity::HostKey;
use crate::inventory::{Register, Started};
use crate::journal::{self, Act};
use crate::limits::Limits;
use crate::link::link;
use crate::memory::Memory;
use crate::notice::{self, Listening};
use crate::permit::{Decided, Leave, Permit, Permits};
use crate::provider::Linked;
use crate::report::{self, Reporting};
use crate::running::Running;
use crate::slot::{Binding, Slots};
use crate::standby::Standbys;
use crate::stock::Stock;
use crate::transport::Transport;
use crate::witness::{self, Watching};

/// What a host is made of.
pub struct Parts {
    /// Its key.
    pub key: HostKey,
    /// Its memory.
    pub memory: Arc<Memory>,
    /// Its wire to the broker.
    pub transport: Arc<dyn Transport>,
    /// Its clocks.
    pub clock: Arc<dyn Clock>,
    /// The component builtins that it offers.
    pub builtins: Option<Folder>,
    /// Where providers are found by digest.
    pub artifacts: Option<Folder>,
    /// How long it waits for an answer to one question.
    pub timeout: Duration,
    /// What one instance may take.
    pub limits: Limits,
    /// Where the lines of components go.
    pub sink: Sink,
}

/// A host that has joined a lattice.
pub struct Host {
    engine: Engine,
    asker: Arc<Asker>,
    register: Arc<Register>,
    shelf: Arc<Shelf>,
    offers: Vec<Offer>,
    folders: Vec<Folder>,
    limits: Limits,
    _listening: Listening,
    _watching: Watching,
    reporting: Reporting,
}

/// What was compiled and started on the way to one start.
struct Journey {
    compiled: HashMap<Digest, Arc<Component>>,
    linked: HashMap<Digest, Arc<Linked>>,
    depth: usize,
}

// What is bound and linked, by which decision and which weakenings, as it is entered in the register.
struct Begun {
    prepared: Prepared,
    decided: Decided,
    started: Arc<Started>,
    leave: Leave,
}

impl Host {
    /// Makes a host of its parts, listening for its broker's notices from now on.
    ///
    /// # Errors
    /// When the engine cannot start, a folder cannot be read, or the wire cannot be listened to.
    pub async fn new(parts: Parts) -> Result<Self, Error> {
        let Parts { key, memory, transport, clock, builtins, artifacts, timeout, limits, sink } = parts;
        let mut offers = Vec::new();
        for native in NATIVES.iter().filter(|native| carried(native)) {
            offers.push(native.offer()?);
        }
        if let Some(folder) = &builtins {
            offers.extend(folder.offers()?);
        }
        let listening = notice::listen(Arc::clone(&memory), transport.as_ref()).await?;
        let standbys = Standbys::of(memory.dir());
        let (ignored, unkept) = (AtomicUsize::new(0), Mutex::default());
        let asker = Arc::new(Asker { key, memory, transport, clock, standbys, timeout, ignored, unkept });
        let register = Arc::new(Register::new()?);
        let folders: Vec<_> = artifacts.into_iter().chain(builtins).collect();
        let stock = Stock::new(folders.clone(), &offers);
        let reporting = report::report(Arc::clone(&asker), Arc::clone(&register), stock, &offers);
        let watching = witness::watch(Arc::clone(&asker));
        Ok(Self {
            engine: engine::ticking()?,
            asker,
            register,
            shelf: Arc::new(Shelf::new(sink)),
            offers,
            folders,
            limits,
            _listening: listening,
            _watching: watching,
            reporting,
        })
    }

    /// Starts a component under an id: verified here, decided by the broker, filled by its permits alone.
    ///
    /// # Errors
    /// The reason why it may not, or cannot.
    pub async fn start(&self, bytes: &[u8], id: &ComponentId) -> Result<Running, Error> {
        let component = Arc::new(Component::load(&self.engine, bytes)?);
        let mut journey = Journey { compiled: HashMap::new(), linked: HashMap::new(), depth: 0 };
        let begun = self.begin(What::StartComponent, component, id.clone(), &mut journey).await?;
        let Begun { prepared, decided, started, leave } = begun;
        *started.live.lock().await = Some(prepared.instantiate().await?);
        Ok(Running::new(prepared, started, decided, leave))
    }

    /// What this host offers by itself.
    pub fn offers(&self) -> &[Offer] {
        &self.offers
    }

    /// Says that nothing runs here any more, for whoever ends in order.
    pub async fn leave(&self) {
        // Of two words at once the broker may hear the newer first, and the older is not answered.
        self.reporting.end();
        report::leave(&self.asker, &self.register, &self.offers).await;
    }

    /// How many answers were not the broker's, and were ignored.
    pub fn ignored(&self) -> usize {
        self.asker.ignored.load(Ordering::Relaxed)
    }

    #[cfg(test)]
    pub(crate) fn asker(&self) -> &Asker {
        &self.asker
    }

    #[cfg(test)]
    pub(crate) const fn engine(&self) -> &Engine {
        &self.engine
    }

    // Asks and fills, again when the permits were over before everything stood ready.
    fn begin<'a>(
        &'a self,
        what: What,
        component: Arc<Component>,
        id: ComponentId,
        journey: &'a mut Journey,
    ) -> BoxFuture<'a, Result<Begun, Error>> {
        Box::pin(async move {
            let slots = component.slots(&id);
            let mut tries = TRIES;
            let (decided, leave) = loop {
                let runs = component.runs(&id);
                let start = Start {
                    what,
                    runs: &runs,
                    claims: component.token(),
                    imports: component.imports(),
                    offers: &self.offers,
                };
                let permits = self.asker.ask(&start).await?;
                let decided = (permits.decision(), permits.leave().clone());
                tries -= 1;
                match self.fill(&start, &slots, permits, journey).await {
                    Ok(()) => break decided,
                    Err(error) if tries > 0 && passes(&error) => tracing::info!("asking again: {error}"),
                    Err(error) => return Err(error),
                }
            };
            let pre = link(&component, &slots)?;
            let shelf = Arc::clone(&self.shelf);
            let prepared = Prepared { component, id, slots, pre, shelf, limits: self.limits };
            let started = self.register.enter(&prepared, decided);
            Ok(Begun { prepared, decided, started, leave })
        })
    }

    async fn fill(
        &self,
        start: &Start<'_>,
        slots: &Slots,
        mut permits: Permits,
        journey: &mut Journey,
    ) -> Result<(), Error> {
        let mut ready = Vec::new();
        for slot in slots.iter() {
            let missing = || Refusal::new(Reason::Unpermitted, format!("no permit for `{}`", slot.import()));
            let permit = permits.take(slot.import()).ok_or_else(missing)?;
            let binding = self.binding(&permit, journey).await?;
            ready.push((slot, permit, binding));
        }
        let filled = |(_, permit, _): &(_, Permit, _)| {
            let (import, grant) = (permit.import().to_owned(), permit.grant());
            Filled { import, provider: grant.provider.clone(), sha256: grant.sha256 }
        };
        let Start { what, runs, .. } = *start;
        let (decided, standby) = (permits.decision(), permits.leave().standby.as_ref());
        let bound = ready.iter().map(filled).collect();
        let act = Act { what, runs, decided, reason: None, standby, bound };
        // A notice may have come in between; nothing is bound under an epoch that is known to be over (T23).
        let (clock, memory, host) = (self.asker.clock.as_ref(), &self.asker.memory, self.asker.key.name());
        memory.bind_under(decided.epoch, || {
            permits.fresh(clock)?;
            // No line, no bind.
            journal::write(memory.dir(), host, clock.wall_ms(), act)?;
            let mut bound = ready.into_iter().map(|(slot, permit, binding)| slot.bind(permit, binding, clock));
            Ok(bound.try_for_each(|bound| bound)?)
        })
    }

    async fn binding(&self, permit: &Permit, journey: &mut Journey) -> Result<Binding, Error> {
        let grant = permit.grant();
        let absent = |what: String| Error::from(Refusal::new(Reason::ArtifactUnavailable, what));
        match &grant.provider {
            Subject::Native(name) => {
                let native = Native::find(name.as_str()).filter(|native| carried(native));
                native.map(Binding::Native).ok_or_else(|| absent(format!("this host carries no `{name}`")))
            }
            Subject::Component(_) => self.linked(permit, journey).await.map(Binding::Linked),
            Subject::Provider(key) => {
                Err(absent(format!("`{key}` is a provider archive, which this host does not run")))
            }
        }
    }

    async fn linked(&self, permit: &Permit, journey: &mut Journey) -> Result<Arc<Linked>, Error> {
        let grant = permit.grant();
        if let Some(linked) = journey.linked.get(&grant.sha256) {
            return Ok(Arc::clone(linked));
        }
        if journey.depth >= MAX_DEPTH {
            let detail = format!("`{}` would be the provider of a provider {MAX_DEPTH} deep", grant.id);
            return Err(Refusal::new(Reason::LimitExceeded, detail).into());
        }
        let component = self.found(grant.sha256, journey)?;
        // A provider has its own providers: nothing that another one was permitted.
        let mut own = Journey {
            compiled: std::mem::take(&mut journey.compiled),
            linked: HashMap::new(),
            depth: journey.depth + 1,
        };
        let begun = self.begin(What::StartProvider, component, grant.id.clone(), &mut own).await;
        journey.compiled = own.compiled;
        let Begun { prepared, started, .. } =
            begun.map_err(|error| within(error, &format!("provider `{}` of `{}`", grant.id, permit.import())))?;
        *started.live.lock().await = Some(prepared.instantiate().await?);
        let linked = Arc::new(Linked::new(prepared, started));
        journey.linked.insert(grant.sha256, Arc::clone(&linked));
        Ok(linked)
    }

    // The provider's bytes, by the digest that was permitted: read once, verified, compiled once.
    fn found(&self, sha256: Digest, journey: &mut Journey) -> Result<Arc<Component>, Error> {
        if let Some(component) = journey.compiled.get(&sha256) {
            return Ok(Arc::clone(component));
        }
        for folder in &self.folders {
            if let Some(bytes) = folder.find(sha256)? {
                let component = Arc::new(Component::load(&self.engine, &bytes)?);
                journey.compiled.insert(sha256, Arc::clone(&component));
                return Ok(component);
            }
        }
        let looked: Vec<_> = self.folders.iter().map(|folder| format!("`{}`", folder.path().display())).collect();
        let looked = if looked.is_empty() {
            "no folder was named".to_owned()
        } else {
            format!("looked in {}", looked.join(", "))
        };
        Err(Refusal::new(Reason::ArtifactUnavailable, format!("no file has the digest {sha256}: {looked}")).into())
    }
}

// What a fresh answer can mend.
fn passes(error: &Error) -> bool {
    matches!(error.reason(), Some(Reason::PermitExpired | Reason::EpochBehind))
}

fn within(error: Error, context: &str) -> Error {
    match error {
        Error::Refused(mut refused) => {
            refused.refusal = refused.refusal.within(context);
            Error::Refused(refused)
        }
        other => other,
    }
}

const TRIES: u32 = 3;
const MAX_DEPTH: usize = 4;
