//! `countersign-host journal`: prints what this host acted on, for whoever holds it against the log.

use clap::Args;
use host::error::Error;
use host::journal;
use serde_json::json;

use crate::output::{Output, Place, print};

/// Prints the journal.
#[derive(Debug, Args)]
#[command(after_help = "As text it is the very lines, a file for `countersign audit reconcile --journal FILE`.\n\n\
    Examples:\n  countersign-host journal > host.journal\n  countersign-host -o json journal")]
pub(crate) struct Journal {}

impl Journal {
    pub(crate) fn run(self, output: Output, place: &Place) -> Result<(), Error> {
        let bytes = journal::read(&place.host_dir)?;
        let lines = policy::journal::read(&bytes)?;
        print(output, &String::from_utf8_lossy(&bytes), &json!({"success": true, "lines": lines}))
    }
}
