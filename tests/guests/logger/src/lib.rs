//! A provider of `wasi:logging` whose lines begin with `lattice-log`.

mod provider;

const PREFIX: &str = "lattice-log";
