//! The folder at hand: its log folded, its papers, and the service in this process that judges where no broker does.

use std::path::Path;
use std::sync::Arc;

use policy::envelope::Unverified;
use policy::log::{Entry, Frontier, Ledger};
use policy::name::Lattice;
use policy::reason::{Reason, Refusal};
use policy::time::Timestamp;
use policy::warrant::Warrant;
use serde_json::{Value, json};

use crate::client::{Seen, told};
use crate::clock::{Clock, SystemClock};
use crate::error::Error;
use crate::folder::Folder;
use crate::service::Service;
use crate::settings::{Settings, WHOLE};
use crate::store::{Folded, Lock, LogReader, Opening, Reserve, Room};
use crate::view::{self, Look, Scene};

/// A folder's log, folded.
pub(crate) struct Local {
    pub(crate) reader: LogReader,
    pub(crate) ledger: Ledger,
    pub(crate) inception: Vec<u8>,
    room: Room,
    tree: Frontier,
    // Why this is not the log that its lock has seen, if it is not.
    rollback: Option<String>,
}

impl Local {
    /// Reads and folds the log of a folder: a long one by what its fold rests on, where a lock vouches for that. The
    /// chain is checked on the way.
    pub(crate) async fn read(folder: &Folder) -> Result<Self, Error> {
        Self::read_whole(folder, WHOLE).await
    }

    /// The same, with every row of a log of up to so many entries.
    pub(crate) async fn read_whole(folder: &Folder, whole: u64) -> Result<Self, Error> {
        // Before the log: what it has seen is there.
        let vouched = Lock::peek(&folder.lock_file()).await;
        let reader = LogReader::open(&folder.log()).await?;
        let Folded { ledger, tree, gleaned, .. } =
            reader.fold(Opening { vouched, whole, watch: None, seen: vouched.map(|it| it.size) }, |_, _| ()).await?;
        let room = Reserve::shows(&folder.reserve());
        let rollback = match vouched {
            Some(vouched) => match reader.refuse_older(ledger.head().size, vouched).await {
                Err(Error::Refused(refusal)) => Some(refusal.detail),
                held => held.map(|()| None)?,
            },
            None if folder.lock_file().exists() => None,
            None => Some(format!("its lock `{}` is not there", folder.lock_file().display())),
        };
        Ok(Self { reader, ledger, inception: gleaned.inception, room, tree, rollback })
    }

    /// The scene that it shows.
    pub(crate) fn scene(&self, now: Timestamp) -> Scene<'_> {
        let (state, head, root) = (self.ledger.state(), self.ledger.head(), self.tree.root());
        Scene { state, head, root, log: &self.reader, now, present: None, room: self.room }
    }
}

/// Looks at a folder's own log, at a list whole; each page is told as it is read.
pub(super) async fn read(
    folder: &Folder,
    look: &Look,
    segments: Option<&Path>,
    heard: &mut dyn FnMut(&Value),
) -> Result<Seen, Error> {
    let mut local = Local::read(folder).await?;
    local.reader = local.reader.with_segments(segments);
    let scene = local.scene(SystemClock::default().now());
    let mut view = view::answer(scene, look).await?;
    if let (Look::Status, Some(says)) = (look, &local.rollback)
        && let Some(alarms) = view.get_mut("alarms").and_then(Value::as_array_mut)
    {
        alarms.push(json!({"alarm": "state_rollback", "says": format!("no broker starts here: {says}")}));
    }
    heard(&view);
    let mut next = look.following(&view);
    while let Some(look) = next {
        let page = view::answer(scene, &look).await?;
        next = look.following(&page);
        heard(&page);
        view::join(&mut view, page);
    }
    Ok(Seen { view, epoch: local.ledger.head().epoch, warrant_until: warrant_until(folder) })
}

/// The receipt of a command, or nothing when a broker holds the folder.
pub(super) async fn in_process(folder: &Folder, bytes: &[u8]) -> Result<Option<Vec<u8>>, Error> {
    let service = match Service::open(folder, Arc::new(SystemClock::default())).await {
        Ok(service) => service,
        Err(Error::Locked(_)) => return Ok(None),
        Err(error) => return Err(error),
    };
    let receipt = service.command(bytes).await;
    let closed = service.close().await;
    let receipt = receipt?;
    // The receipt is signed and its entry durable; only the lock beside the log may lag, which the next start mends.
    if let Err(error) = closed {
        tracing::warn!(%error, "the folder was not closed in order");
    }
    Ok(Some(receipt))
}

/// Puts a warrant in force, unless a broker holds the folder; whether it is.
pub(super) async fn install_in_process(folder: &Folder, token: &[u8]) -> Result<bool, Error> {
    let settings = Settings { warrant: Some(token.to_vec()), ..Settings::default() };
    match Service::open_with(folder, Arc::new(SystemClock::default()), settings).await {
        Ok(service) => service.close().await.map(|()| true),
        Err(Error::Locked(_)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// The lattice that a folder is of.
pub(super) async fn lattice_of(folder: &Folder) -> anyhow::Result<Lattice> {
    let reader = LogReader::open(&folder.log()).await.map_err(told)?;
    let first = reader.row(0).await.map_err(told)?;
    let first = first.ok_or_else(|| Refusal::new(Reason::LogBroken, "the log is empty"))?;
    Ok(Entry::read(&first.bytes)?.lattice)
}

/// The end of the warrant in the folder, for people; what counts was judged when a broker started.
fn warrant_until(folder: &Folder) -> Option<Timestamp> {
    let bytes = std::fs::read(folder.warrant()).ok()?;
    Unverified::<Warrant>::parse(bytes.trim_ascii_end()).ok()?.says().validity.exp
}
