//! Where a command worked: its folder, lattice and broker. Every error names them, also one of the command line itself.
//!
//! Errors of the command line come before it is parsed, so the few options that say where are looked for by hand.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use clap::{Args, FromArgMatches};

use crate::client::{Client, USUAL_URL};
use crate::command::Globals;
use crate::output::bare_url;

/// Where a command worked.
#[derive(Debug, Default, Clone)]
pub struct Place {
    /// The lattice's folder.
    pub folder: PathBuf,
    /// The lattice.
    pub lattice: String,
    /// The NATS server behind which its broker is, without what logs in there.
    pub broker: String,
}

impl Place {
    /// As the global options say; the folder's own lattice where it has one.
    pub fn of(globals: &Globals) -> Self {
        let client = Client::of(globals);
        let lattice = client.map_or_else(|_| globals.lattice.clone(), |client| client.lattice().clone());
        let broker = bare_url(&globals.nats_url().unwrap_or_else(|| USUAL_URL.to_owned()));
        Self { folder: globals.folder(), lattice: lattice.to_string(), broker }
    }

    /// As far as it can be told from arguments that make no sense.
    pub fn among(arguments: &[OsString]) -> Self {
        let said = [("--dir", "--dir"), ("--lattice", "-x"), ("--nats-url", "--nats-url")];
        let options = said.into_iter().filter_map(|(long, short)| {
            let value = value_of(arguments, long, short)?;
            Some([OsString::from(long), value])
        });
        let named = std::iter::once(OsString::from("countersign")).chain(options.flatten());
        let parse = |arguments: Vec<OsString>| {
            let parser = Globals::augment_args(clap::Command::new("countersign").no_binary_name(false));
            let matches = parser.try_get_matches_from(arguments).ok()?;
            Globals::from_arg_matches(&matches).ok()
        };
        // What makes no sense among these, too, is left out.
        let globals = parse(named.collect()).or_else(|| parse(vec!["countersign".into()]));
        globals.as_ref().map(Self::of).unwrap_or_default()
    }
}

// The value of an option wherever it stands: `--name value`, `--name=value`, `-nvalue`.
fn value_of(arguments: &[OsString], long: &str, short: &str) -> Option<OsString> {
    let apart = arguments.iter().zip(arguments.iter().skip(1)).find(|(name, _)| *name == long || *name == short);
    let glued = |argument: &OsString| {
        let text = argument.to_str()?;
        let after_short = (short != long).then(|| text.strip_prefix(short)).flatten();
        let value = text.strip_prefix(long).and_then(|rest| rest.strip_prefix('=')).or(after_short)?;
        (!value.is_empty()).then(|| OsStr::new(value.trim_start_matches('=')).to_owned())
    };
    apart.map(|(_, value)| value.clone()).or_else(|| arguments.iter().find_map(glued))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn among(arguments: &[&str]) -> Place {
        Place::among(&arguments.iter().map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn arguments_that_make_no_sense_still_say_where() {
        for arguments in [
            &["countersign", "nonsense", "--dir", "/nowhere/a", "-x", "prod", "--nats-url", "nats://me:pw@one:1"][..],
            &["countersign", "--dir=/nowhere/a", "-xprod", "--nats-url=nats://me:pw@one:1", "status", "--frobnicate"],
        ] {
            let place = among(arguments);
            assert_eq!(place.folder, PathBuf::from("/nowhere/a"), "{arguments:?}");
            assert_eq!((place.lattice.as_str(), place.broker.as_str()), ("prod", "nats://one:1"));
        }
        // A name that is none is left out with the rest.
        assert_eq!(among(&["countersign", "-x", "NO NAME", "nonsense"]).lattice, "default");
    }
}
