//! `Recorded<T>`: what is durable in the log. Only a committed batch makes one, or a row that is read back, so only what
//! is on record can be signed.

use policy::digest::Digest;
use policy::govern::Lack;
use policy::log::{Ruling, Step};
use policy::reason::Refusal;

/// Something that is durable in the log.
///
/// Whoever holds one can have it signed:
///
/// ```
/// # use broker::{signer::Signer, store::Recorded};
/// fn answer(signer: &Signer, ruling: &Recorded<policy::log::Ruling>) -> Vec<u8> {
///     signer.answer(ruling)
/// }
/// ```
/// A ruling that was not recorded cannot be:
///
/// ```compile_fail
/// # // T100: a ruling signed before it is on record
/// # use broker::{signer::Signer, store::Recorded};
/// fn answer(signer: &Signer, ruling: &policy::log::Ruling) -> Vec<u8> {
///     signer.answer(ruling)
/// }
/// ```
/// And nobody else can make one:
///
/// ```
/// # use broker::store::Recorded;
/// # use policy::digest::Digest;
/// fn told(ruling: Recorded<policy::log::Ruling>) -> (u64, Digest, u64) {
///     (ruling.index(), ruling.hash(), ruling.epoch())
/// }
/// ```
/// ```compile_fail
/// # // T100: a forged Recorded
/// # use broker::store::Recorded;
/// # use policy::digest::Digest;
/// fn forge(ruling: policy::log::Ruling) -> Recorded<policy::log::Ruling> {
///     Recorded { index: 1, hash: Digest::of(b""), epoch: 1, outcome: ruling }
/// }
/// ```
#[derive(Debug, Clone)]
pub struct Recorded<T> {
    index: u64,
    hash: Digest,
    epoch: u64,
    outcome: T,
}

/// What an entry can be the outcome of.
#[derive(Debug)]
pub enum Act {
    /// A question was decided.
    Ruled(Box<Ruling>),
    /// A command, a join or a warrant was judged.
    Judged(Judgement),
    /// Something was noted that nobody is answered by: what was turned away, what a host reported, a clock's jump.
    Counted,
}

/// A document that was judged, and what became of it.
#[derive(Debug, Clone)]
pub struct Judgement {
    /// SHA-256 of its token.
    pub request_sha256: Digest,
    /// Whether it was accepted.
    pub verdict: Result<(), Refusal>,
    /// What it still lacks, where it waits for more administrators.
    pub lack: Option<Lack>,
}

/// A recorded act, by its kind.
#[derive(Debug)]
pub enum Told {
    /// A question was decided.
    Ruled(Box<Recorded<Ruling>>),
    /// A command, a join or a warrant was judged.
    Judged(Recorded<Judgement>),
    /// Messages that were turned away were counted.
    Counted,
}

impl<T> Recorded<T> {
    // The writer alone calls this, once the step's batch is committed.
    pub(super) fn committed(step: Step<T>) -> Self {
        Self { index: step.index, hash: step.hash, epoch: step.epoch, outcome: step.outcome }
    }

    // The reader alone calls this, with a row of the log and what it says.
    pub(super) const fn read_back(index: u64, hash: Digest, epoch: u64, outcome: T) -> Self {
        Self { index, hash, epoch, outcome }
    }

    /// The index of its entry.
    pub const fn index(&self) -> u64 {
        self.index
    }

    /// The hash of its entry.
    pub const fn hash(&self) -> Digest {
        self.hash
    }

    /// The epoch, its entry included.
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// What was recorded.
    pub const fn outcome(&self) -> &T {
        &self.outcome
    }
}

impl Recorded<Act> {
    /// The same record, with its kind known.
    pub fn told(self) -> Told {
        let Self { index, hash, epoch, outcome } = self;
        match outcome {
            Act::Ruled(outcome) => Told::Ruled(Box::new(Recorded { index, hash, epoch, outcome: *outcome })),
            Act::Judged(outcome) => Told::Judged(Recorded { index, hash, epoch, outcome }),
            Act::Counted => Told::Counted,
        }
    }
}
