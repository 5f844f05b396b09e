//! `countersign-host join INVITE`: makes the host's key, joins, and pins the root.
//!
//! The invitation may come from a file or standard input, so that its one-time seed need not stand in a process list.

use std::fs;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

use clap::Args;
use host::clock::SystemClock;
use host::error::Error;
use host::identity::HostKey;
use host::invite::Invite;
use host::transport::nats::Nats;
use serde_json::json;

use crate::command::wire::Wire;
use crate::output::{Output, Place, print};

/// Enters a lattice.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  countersign host invite | countersign-host join -\n  \
    countersign-host join invite.txt --host-dir /var/lib/countersign-host")]
pub(crate) struct Join {
    /// The invitation: the line itself, a file that holds it, or `-` for standard input.
    invite: String,
    /// How long to wait for the broker, in seconds.
    #[arg(long, default_value_t = 10, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=600))]
    timeout: u64,
}

impl Join {
    pub(crate) async fn run(self, output: Output, place: &Place, wire: &Wire) -> Result<(), Error> {
        let invite = Invite::parse(&line(&self.invite)?)?;
        let url = place.nats_url.clone().unwrap_or_else(|| invite.nats_url.clone());
        place.learn(invite.lattice.as_str(), &url);
        make_folder(&place.host_dir)?;
        let key = HostKey::load_or_make(&place.host_dir)?;
        let timeout = Duration::from_secs(self.timeout);
        let nats = Nats::connect(&wire.options(&url)?, key.name(), timeout).await?;
        let memory = host::join::join(&place.host_dir, &key, &invite, &nats, &SystemClock, timeout).await?;
        let record = memory.record();
        let text = format!(
            "joined lattice `{}` as host {}\nroot pinned: {}\nhost folder: {}",
            record.lattice,
            record.host,
            record.root,
            place.host_dir.display()
        );
        let document = json!({
            "success": true,
            "lattice": record.lattice,
            "host": record.host,
            "root": record.root,
            "warrant_serial": record.warrant_serial,
            "epoch": record.epoch,
            "host_dir": place.host_dir,
        });
        print(output, &text, &document)
    }
}

fn line(told: &str) -> Result<String, Error> {
    let failed = |source| Error::File { doing: format!("cannot read the invitation from `{told}`"), source };
    if told == "-" {
        let mut line = String::new();
        std::io::stdin().take(MAX_INVITE).read_to_string(&mut line).map_err(failed)?;
        return Ok(line);
    }
    if told.starts_with("countersign-invite:") {
        return Ok(told.to_owned());
    }
    fs::read_to_string(told).map_err(failed)
}

fn make_folder(dir: &Path) -> Result<(), Error> {
    use std::os::unix::fs::DirBuilderExt;
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.map_err(|source| Error::File { doing: format!("cannot make the host's folder `{}`", dir.display()), source })
}

const MAX_INVITE: u64 = 16 * 1024;
