//! What is handed to the one owner of the state, with whom to tell what became of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use policy::command::Command;
use policy::envelope::Verified;
use policy::examine::Examined;
use policy::govern::Checked;
use policy::inventory::HostInventory;
use policy::join::Join;
use policy::log::{Observed, Ruling};
use policy::question::StartRequest;
use policy::reason::Reason;
use policy::root::Agreed;
use policy::warrant::Warrant;
use tokio::sync::oneshot;

use super::Snapshot;
use crate::error::Error;
use crate::store::{Judgement, Recorded};

pub(super) enum Input {
    Rule(Box<Examined<StartRequest>>, oneshot::Sender<Recorded<Ruling>>),
    Govern(Box<Examined<Command>>, Vec<Checked>, Reply),
    Enrol(Box<Examined<Join>>, Reply),
    Install(Box<Verified<Warrant>>, Reply),
    Reroot(Box<Agreed>, Reply),
    Count(BTreeMap<Reason, u64>, oneshot::Sender<()>),
    Report(Box<Verified<HostInventory>>, Observed, oneshot::Sender<()>),
    Look(oneshot::Sender<Arc<Snapshot>>),
    // Whether anybody is at work at all.
    Pulse(oneshot::Sender<()>),
    Close(oneshot::Sender<Result<(), Error>>),
}

type Reply = oneshot::Sender<Recorded<Judgement>>;

impl Input {
    /// What it weighs in a batch.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Rule(examined, _) => weight(examined.document()),
            Self::Govern(examined, ..) => weight(examined.document()),
            Self::Enrol(examined, _) => weight(examined.document()),
            Self::Install(warrant, _) => weight(warrant),
            Self::Reroot(agreed, _) => weight(agreed.change()),
            Self::Report(inventory, ..) => weight(inventory),
            Self::Count(..) | Self::Look(_) | Self::Pulse(_) | Self::Close(_) => 0,
        }
    }
}

fn weight<T>(document: &Verified<T>) -> usize {
    document.token().len() + document.attachments().iter().map(Vec::len).sum::<usize>()
}
