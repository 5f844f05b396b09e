//! The wires that the court is reached by; only the files below name theirs.

pub mod nats;
