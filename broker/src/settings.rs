//! What an operator may turn: how fast one host may ask, under which warrant a broker starts, and how long a log is read
//! whole before it does.

/// The settings of a service.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How many questions one host may ask a second, in the long run.
    pub host_rate: u32,
    /// How many questions one host may ask at once.
    pub host_burst: u32,
    /// How many signatures a second may be checked in vain under hosts' keys, beyond the few that each key has.
    pub spare_checks: u32,
    /// A warrant that comes into force with the start, in place of one that may lie in the folder.
    pub warrant: Option<Vec<u8>>,
    /// Up to how many entries every row of the log is read before the first decision. Of a longer one those that the fold
    /// rests on and the newest are, and the others while it decides.
    pub whole: u64,
}

/// What is read in about a second.
pub(crate) const WHOLE: u64 = 65_536;

impl Default for Settings {
    fn default() -> Self {
        Self { host_rate: 500, host_burst: 1000, spare_checks: 2000, warrant: None, whole: WHOLE }
    }
}
