//! What can fail in the court for reasons outside the law, each with what to do about it.
//!
//! Refusals of the law are values of `policy`; here they only travel.

use std::io;
use std::path::PathBuf;

use policy::reason::{Reason, Refusal};

/// An error of the broker.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The law, or the door, said no.
    #[error("{0}")]
    Refused(Refusal),
    /// Nothing could be recorded, so nothing is granted.
    #[error("audit_unavailable: {0}; see the broker's messages about disk and permissions")]
    Unavailable(String),
    /// There is no folder where one is needed.
    #[error("no countersign folder at `{}`; make one with `countersign init`, or name it with `--dir`", .0.display())]
    NoFolder(PathBuf),
    /// Something is where something new should be made.
    #[error("`{}` is there already, and nothing is overwritten; name another place", .0.display())]
    AlreadyThere(PathBuf),
    /// Another process works in the folder.
    #[error("a broker or another command works in `{}`; stop it first, or wait until it is done", .0.display())]
    Locked(PathBuf),
    /// A file is not what it must be.
    #[error("`{}` {what}", .path.display())]
    Unsafe {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        what: String,
    },
    /// A file could not be used.
    #[error("cannot {act} `{}`", .path.display())]
    Io {
        /// What was tried.
        act: &'static str,
        /// The file.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// A database could not be used.
    #[error("cannot {act} `{}`", .path.display())]
    Store {
        /// What was tried.
        act: &'static str,
        /// The database.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: sqlx::Error,
    },
    /// The wire could not be used.
    #[error("cannot {act} at `{url}`")]
    Wire {
        /// What was tried.
        act: &'static str,
        /// The server.
        url: String,
        /// Why it failed.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The NATS server denies the broker a subject without which it does not work.
    #[error("cannot serve: {0}")]
    Denied(String),
    /// A task without which the broker only looks alive came to an end.
    #[error("the broker's {0} fell, so the broker ends: start it again, and report what it said before")]
    Fallen(&'static str),
    /// The operating system gave no randomness.
    #[error("the operating system gave no random bytes")]
    Randomness,
}

impl Error {
    /// The stable code, where the law has one for it.
    pub const fn reason(&self) -> Option<Reason> {
        match self {
            Self::Refused(refusal) => Some(refusal.reason),
            Self::Unavailable(_) => Some(Reason::AuditUnavailable),
            Self::Wire { .. } => Some(Reason::BrokerUnreachable),
            Self::NoFolder(_)
            | Self::AlreadyThere(_)
            | Self::Locked(_)
            | Self::Unsafe { .. }
            | Self::Io { .. }
            | Self::Store { .. }
            | Self::Denied(_)
            | Self::Fallen(_)
            | Self::Randomness => None,
        }
    }

    pub(crate) fn refused(reason: Reason, detail: impl Into<String>) -> Self {
        Self::Refused(Refusal::new(reason, detail))
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}
