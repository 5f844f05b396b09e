//! Who waits for what becomes of one input, and is told once its batch is durable.

use policy::log::Ruling;
use tokio::sync::oneshot;

use crate::store::{Judgement, Recorded, Told};

/// Who is told what came of one input.
pub(super) enum Answer {
    Ruled(oneshot::Sender<Recorded<Ruling>>),
    Judged(oneshot::Sender<Recorded<Judgement>>),
    Counted(oneshot::Sender<()>),
    // Nobody asked for it.
    Nobody,
}

impl Answer {
    // Whoever asked may be gone; what is recorded stays recorded, so a lost reply is no loss.
    pub(super) fn tell(self, told: Told) {
        match (self, told) {
            (Self::Ruled(reply), Told::Ruled(ruling)) => drop(reply.send(*ruling)),
            (Self::Judged(reply), Told::Judged(judgement)) => drop(reply.send(judgement)),
            (Self::Counted(reply), Told::Counted) => drop(reply.send(())),
            (Self::Nobody, _) => {}
            // INVARIANT: `judge` makes step and reply of one kind; a reply that is dropped says no.
            (Self::Ruled(_) | Self::Judged(_) | Self::Counted(_), _) => {}
        }
    }
}
