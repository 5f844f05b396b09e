//! What the tests of this crate share, and the attacks on the door.

pub(crate) mod broker;
pub(crate) mod guests;
pub(crate) mod leaves;

mod answers;
mod forks;
mod growths;
mod limits;
mod links;
mod notices;
mod races;
mod replays;
mod running;
mod simulation;
mod standby;
mod starts;
mod storms;
