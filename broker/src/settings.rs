//! What an operator may turn: where the lock lies, how fast one host may ask, under which warrant it starts.

use std::path::PathBuf;

/// The settings of a service.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where the lock lies, if not beside the log; elsewhere it survives a folder that is put back whole.
    pub lock: Option<PathBuf>,
    /// How many questions one host may ask a second, in the long run.
    pub host_rate: u32,
    /// How many questions one host may ask at once.
    pub host_burst: u32,
    /// How many signatures a second may be checked in vain under hosts' keys, beyond the few that each key has.
    pub spare_checks: u32,
    /// A warrant that comes into force with the start, in place of one that may lie in the folder.
    pub warrant: Option<Vec<u8>>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { lock: None, host_rate: 500, host_burst: 1000, spare_checks: 2000, warrant: None }
    }
}
