//! How the command line reaches its lattice: the folder's log, the service in this process, or a broker over NATS.
//!
//! A look reads the folder's own log where there is one, while a broker runs too. A command is signed here and judged by
//! whoever holds the folder's lock. What each command means is left to `command`, what is believed to `proof`.

mod asking;
mod installing;
mod local;
mod plan;
mod proof;
mod restoring;
mod wire;

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;
use policy::answer::Receipt;
use policy::command::Command;
use policy::digest::Digest;
use policy::envelope::{Unverified, Verified};
use policy::govern::Operation;
use policy::issuer::Issuers;
use policy::key::{Administrator, refuse_hidden_secrets, refuse_secrets};
use policy::name::Lattice;
use policy::reason::{Reason, Refusal};
use policy::time::Timestamp;
use policy::wire::{COMMAND_LIFETIME_S, Topic};
use serde_json::Value;

use crate::clock::{Clock, SystemClock};
use crate::command::Globals;
use crate::error::Error;
use crate::folder::Folder;
use crate::keys::{SigningKey, nonce};
use crate::output::Usage;
use crate::transport::nats::{Advised, NatsOptions};
use crate::view::Look;

use local::{in_process, lattice_of, read};

pub(crate) use local::Local;
pub use plan::{Anew, Plan};
pub use proof::Pin;

/// A lattice, as this command line reaches it.
pub struct Client {
    globals: Globals,
    folder: Option<Folder>,
    lattice: Lattice,
    runtime: tokio::runtime::Runtime,
}

/// What was seen, and when.
#[derive(Debug)]
pub struct Seen {
    /// The view.
    pub view: Value,
    /// The epoch at which it was taken: the basis of commands that rest on it.
    pub epoch: u64,
    /// When the warrant ends under which it was shown.
    pub warrant_until: Option<Timestamp>,
}

/// What to command.
#[derive(Debug, Clone, Default)]
pub struct Act {
    /// What to do, in order.
    pub operations: Vec<Operation>,
    /// The signed statements that the operations speak of.
    pub statements: Vec<Vec<u8>>,
    /// Configurations that the operations name by digest: they travel beside the command, never in it.
    pub beside: Vec<Vec<u8>>,
    /// Why.
    pub because: Option<String>,
    /// How long it may wait for its judge, and for others to sign; in seconds.
    pub open_for: Option<u64>,
    /// The epoch of the plan that it carries out.
    pub planned: Option<u64>,
    /// What of it would be another if it were made again.
    pub anew: Anew,
}

/// What became of a command.
#[derive(Debug)]
pub struct Done {
    /// The signed receipt.
    pub receipt: Verified<Receipt>,
    /// The command's id.
    pub id: policy::wire::Nonce,
    /// Whether a broker judged it, or this process did.
    pub over: Over,
}

/// Who judged a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Over {
    /// The service in this process.
    Folder,
    /// A broker, over NATS.
    Nats,
}

// A command on its way, with the digest that its receipt must name.
struct Signed {
    command: Command,
    bytes: Vec<u8>,
    beside: Vec<Vec<u8>>,
    token_sha256: Digest,
}

impl Signed {
    fn message(&self) -> Vec<u8> {
        let lines = std::iter::once(&self.bytes).chain(&self.beside).map(Vec::as_slice);
        lines.collect::<Vec<_>>().join(&b'\n')
    }
}

impl Client {
    /// The lattice that the global options mean.
    ///
    /// # Errors
    /// [`Error::Unsafe`] for a folder that others may write to, `lattice_mismatch` for one of another lattice.
    pub fn of(globals: &Globals) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let folder = match globals.opened() {
            Ok(folder) => Some(folder),
            Err(Error::NoFolder(_)) => None,
            Err(error) => return Err(error.into()),
        };
        let mut client = Self { globals: globals.clone(), folder, lattice: globals.lattice.clone(), runtime };
        if let Some(folder) = &client.folder {
            let found = client.runtime.block_on(lattice_of(folder))?;
            // The option's default stands for whatever lattice the folder is of.
            if client.lattice != found && client.lattice.as_str() != DEFAULT {
                let detail = format!("the folder is of lattice `{found}`, the command line says `{}`", client.lattice);
                return Err(Refusal::new(Reason::LatticeMismatch, detail).into());
            }
            client.lattice = found;
        }
        Ok(client)
    }

    /// The lattice.
    pub const fn lattice(&self) -> &Lattice {
        &self.lattice
    }

    /// Its folder, where there is one.
    pub const fn folder(&self) -> Option<&Folder> {
        self.folder.as_ref()
    }

    /// Its folder.
    ///
    /// # Errors
    /// [`Error::NoFolder`].
    pub fn need_folder(&self) -> anyhow::Result<&Folder> {
        Ok(self.folder.as_ref().ok_or_else(|| Error::NoFolder(self.globals.folder()))?)
    }

    /// The NATS server, named or usual.
    pub fn nats_url(&self) -> String {
        self.globals.nats_url().unwrap_or_else(|| USUAL_URL.to_owned())
    }

    /// How to reach it.
    ///
    /// # Errors
    /// [`Usage`] for options that cannot be meant together.
    pub fn nats(&self) -> Result<NatsOptions, Usage> {
        self.globals.wire.clone().options(self.nats_url())
    }

    /// The digest that names the lattice: the folder's own, or the one that the user pins.
    ///
    /// # Errors
    /// When there is neither.
    pub fn root(&self) -> anyhow::Result<Digest> {
        self.pin().map(|pin| pin.root())
    }

    /// Runs something that waits.
    pub fn block_on<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    /// Looks.
    ///
    /// # Errors
    /// The reason of [`view::answer`], or why nobody could be asked.
    pub fn look(&self, look: &Look) -> anyhow::Result<Seen> {
        let Some(folder) = &self.folder else {
            return self.runtime.block_on(self.ask(look));
        };
        let until = Instant::now() + DEADLINE;
        while folder.is_locked() && (look.is_live() || look.is_better_live() || look.is_judged()) {
            match self.runtime.block_on(self.ask(look)) {
                // The folder tells less, and no less true.
                Err(error) if look.is_better_live() && is_unreachable(&error) => break,
                // Another command holds the lock only for a moment, a broker for as long as it runs.
                Err(error) if look.is_judged() && is_unreachable(&error) && Instant::now() < until => {
                    std::thread::sleep(PAUSE);
                }
                seen => return seen,
            }
        }
        self.runtime.block_on(read(folder, look, None, &mut |_| ())).map_err(told)
    }

    /// As [`Client::look`], from the folder's log with the segments that lie there at hand, where they are named.
    ///
    /// # Errors
    /// As [`Client::look`], or [`Error::NoFolder`].
    pub fn look_into(&self, segments: Option<&Path>, look: &Look) -> anyhow::Result<Seen> {
        let Some(segments) = segments else { return self.look(look) };
        self.runtime.block_on(read(self.need_folder()?, look, Some(segments), &mut |_| ())).map_err(told)
    }

    /// As [`Client::look`] at what the log says, for a list that may be long: each page is told as it comes.
    ///
    /// # Errors
    /// As [`Client::look`].
    pub fn look_telling(&self, look: &Look, mut heard: impl FnMut(&Value)) -> anyhow::Result<Seen> {
        match &self.folder {
            Some(folder) => self.runtime.block_on(read(folder, look, None, &mut heard)).map_err(told),
            None => self.runtime.block_on(self.ask_telling(look, &mut heard)),
        }
    }

    /// The same by a broker that runs on the folder and hears hosts, if it answers within a moment.
    pub fn look_live(&self, look: &Look) -> Option<Seen> {
        self.folder.as_ref().filter(|folder| folder.is_locked())?;
        let asked = async { tokio::time::timeout(A_MOMENT, self.ask(look)).await };
        self.runtime.block_on(asked).ok()?.ok()
    }

    /// The trusted issuers of the folder, where there is one.
    ///
    /// # Errors
    /// Why the folder's log cannot be read.
    pub fn issuers(&self) -> anyhow::Result<Option<Issuers>> {
        let Some(folder) = &self.folder else {
            return Ok(None);
        };
        let local = self.runtime.block_on(Local::read(folder)).map_err(told)?;
        Ok(Some(local.ledger.state().issuers().clone()))
    }

    /// Signs a command that rests on what was seen at `basis`, has it judged, and proves the receipt.
    ///
    /// # Errors
    /// Why nobody judged it. A command that is judged and refused is no error: its receipt says so.
    pub fn command(&self, basis: u64, act: Act) -> anyhow::Result<Done> {
        let pin = self.pin()?;
        let signed = self.signed(&pin, basis, act)?;
        self.runtime.block_on(self.submit(&signed, &pin))
    }

    fn signed(&self, pin: &Pin, basis: u64, act: Act) -> anyhow::Result<Signed> {
        let key = self.administrator()?;
        let Act { operations, statements, beside, because, open_for, planned, .. } = act;
        if because.as_ref().is_some_and(|because| because.len() > policy::json::MAX_STRING) {
            return Err(Usage(format!("`--because` takes at most {} bytes", policy::json::MAX_STRING)).into());
        }
        let now = SystemClock::default().now();
        let open_for = open_for.unwrap_or(LIFETIME_S);
        if open_for > COMMAND_LIFETIME_S {
            let detail = format!("a command may wait {COMMAND_LIFETIME_S} s at most, `--open-for` says {open_for} s");
            return Err(Refusal::new(Reason::CommandExpired, detail).into());
        }
        let command = Command {
            iss: key.name(),
            aud: self.lattice.clone(),
            inception_sha256: Some(pin.root()),
            iat: now,
            not_after: now.plus(open_for),
            jti: nonce()?,
            basis,
            planned,
            because,
            operations,
            statements: statements.iter().map(|statement| Digest::of(statement)).collect(),
        };
        crate::service::refuse_unreadable(&command)?;
        let bytes = key.sign(&command, statements.iter().map(Vec::as_slice));
        // Whatever the broker's reader would turn away is told here, before anything leaves.
        Unverified::<Command>::parse(&bytes)?;
        statements.iter().try_for_each(|statement| refuse_hidden_secrets(statement))?;
        let token = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
        Ok(Signed { token_sha256: Digest::of(token), command, bytes, beside })
    }

    fn administrator(&self) -> anyhow::Result<SigningKey<Administrator>> {
        let own = self.folder.as_ref().map(|folder| folder.key("admin")).filter(|path| path.exists());
        let Some(path) = self.globals.key.clone().or(own) else {
            let what = "no administrator's key is here: name its file with `--key FILE` or COUNTERSIGN_KEY";
            return Err(Usage(what.to_owned()).into());
        };
        // The seed itself in place of its file's name would come back in the message about that file (T69).
        refuse_secrets(path.as_os_str().as_encoded_bytes())?;
        SigningKey::load(&path).map_err(told).with_context(|| format!("the administrator's key `{}`", path.display()))
    }

    // What proves a broker's word: the folder's own first entry, or the digest of it that the user names.
    fn pin(&self) -> anyhow::Result<Pin> {
        self.runtime.block_on(self.pin_of())
    }

    async fn pin_of(&self) -> anyhow::Result<Pin> {
        let named = self.globals.root;
        let Some(folder) = &self.folder else {
            let how = "without a folder nothing proves who answers: pin the lattice with `--root DIGEST`; \
                       `countersign status` on the broker's machine and every invitation name it";
            return named.map(Pin::at).ok_or_else(|| Usage(how.to_owned()).into());
        };
        let local = Local::read(folder).await.map_err(told)?;
        let pin = Pin::of(&local);
        match named.filter(|named| *named != pin.root()) {
            None => Ok(pin),
            Some(named) => {
                let detail = format!("the folder's lattice is {}, `--root` says {named}", pin.root());
                Err(Refusal::new(Reason::LatticeMismatch, detail).into())
            }
        }
    }

    // Whoever holds the lock judges: this process if it can, else the broker; another command holds it only for a moment.
    async fn submit(&self, signed: &Signed, pin: &Pin) -> anyhow::Result<Done> {
        let until = Instant::now() + DEADLINE;
        loop {
            if let Some(folder) = &self.folder
                && let Some(bytes) = in_process(folder, &signed.message()).await.map_err(told)?
            {
                let receipt = pin.receipt(&bytes, signed.token_sha256, &self.lattice, SystemClock::default().now())?;
                return Ok(Done { receipt, id: signed.command.jti, over: Over::Folder });
            }
            match self.over_nats(signed, pin).await {
                Err(error) if self.folder.is_some() && Instant::now() < until && is_unreachable(&error) => {
                    tokio::time::sleep(PAUSE).await;
                }
                judged => return judged,
            }
        }
    }

    async fn over_nats(&self, signed: &Signed, pin: &Pin) -> anyhow::Result<Done> {
        let Signed { command, token_sha256, .. } = signed;
        let wire = wire::Wire::connect(self.nats()?, &command.iss).await?;
        let subject = Topic::Command.subject(&self.lattice);
        let check = |answer: &[u8]| pin.receipt(answer, *token_sha256, &self.lattice, SystemClock::default().now());
        let receipt = wire.ask(&subject, &signed.message(), DEADLINE, check).await;
        let receipt = receipt.map_err(|error| unheard(error, command))?;
        Ok(Done { receipt, id: command.jti, over: Over::Nats })
    }
}

// Who was turned away need not knock again.
fn is_unreachable(error: &anyhow::Error) -> bool {
    error.downcast_ref::<Error>().is_some_and(|error| match error {
        Error::Wire { source, .. } => !source.downcast_ref::<Advised>().is_some_and(Advised::is_answered),
        _ => false,
    })
}

// What was sent and not answered may be judged late: whoever thinks of giving it again should know.
fn unheard(error: anyhow::Error, command: &Command) -> anyhow::Error {
    let heard = |error: &Error| !matches!(error, Error::Wire { source, .. } if !source.is::<wire::NobodyListens>());
    if error.downcast_ref::<Error>().is_none_or(heard) {
        return error;
    }
    let Command { jti, not_after, .. } = command;
    error.context(format!(
        "command {jti} was sent and not answered; until {not_after} it may still be done: `countersign why {jti}`"
    ))
}

/// A refusal as itself, so that it ends the program as one.
pub(crate) fn told(error: Error) -> anyhow::Error {
    match error {
        Error::Refused(refusal) => refusal.into(),
        other => other.into(),
    }
}

const A_MOMENT: Duration = Duration::from_secs(2);
// Where a NATS server usually listens.
pub(crate) const USUAL_URL: &str = "nats://127.0.0.1:4222";
// What `-x` says when nobody says anything.
const DEFAULT: &str = "default";
// How long a command may wait for its judge.
pub(crate) const LIFETIME_S: u64 = 600;
const DEADLINE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(50);
