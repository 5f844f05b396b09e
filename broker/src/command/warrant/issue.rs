//! `warrant issue`: what the roots sign, offline. Each signs the same statement in its own name; the last gathers them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use policy::digest::Digest;
use policy::envelope::{Draft, Unverified, check_detached};
use policy::key::{Decision, Key, Name, Root};
use policy::reason::{Reason, Refusal};
use policy::root::RootLine;
use policy::time::{Timestamp, Validity};
use policy::warrant::Warrant;
use policy::wire::KEY_OVERLAP_S;
use serde_json::json;

use super::request::Request;
use crate::client::told;
use crate::command::verify::now;
use crate::command::{Globals, files};
use crate::keys::SigningKey;
use crate::output::{self, Report, Usage};

#[derive(Debug, clap::Args)]
pub(super) struct Issue {
    /// The request, as `warrant request` or `warrant rotate` wrote it.
    #[arg(long, value_name = "FILE", default_value = super::REQUEST)]
    request: PathBuf,
    /// A root's key; may be given more than once.
    #[arg(long, value_name = "FILE", required = true)]
    root_key: Vec<PathBuf>,
    /// What another root signed already; may be given more than once. It says all that is signed.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["drop_key", "days", "overlap_hours", "serial", "reset"])]
    partial: Vec<PathBuf>,
    /// A decision key that speaks no more from the moment that the warrant is in force, as after a theft.
    #[arg(long, value_name = "KEY")]
    drop_key: Vec<String>,
    /// How many days it holds, at most 90.
    #[arg(long, value_name = "N", default_value_t = 90, value_parser = clap::value_parser!(u64).range(1..=90))]
    days: u64,
    /// How many hours the key that is replaced may still sign, at most 24.
    #[arg(long, value_name = "N", default_value_t = 24, value_parser = clap::value_parser!(u64).range(1..=KEY_OVERLAP_S / 3600))]
    overlap_hours: u64,
    /// The serial [default: the next one].
    #[arg(long, value_name = "N")]
    serial: Option<u64>,
    /// Begin the count of serials anew, so that hosts take lower ones again: after one that was far too high.
    #[arg(long)]
    reset: bool,
    /// The file to write.
    #[arg(long, value_name = "FILE", default_value = "warrant.jws")]
    out: PathBuf,
}

impl Issue {
    pub(super) fn run(self, globals: &Globals) -> anyhow::Result<Report> {
        let request = Request::read(&files::read(&self.request)?)?;
        let line = request.line()?;
        let sha256 = line.inception_sha256;
        if let Some(pinned) = globals.root.filter(|pinned| *pinned != sha256) {
            let detail = format!("the request is of the lattice {sha256}, `--root` says {pinned}");
            return Err(Refusal::new(Reason::LatticeMismatch, detail).into());
        }
        let keys = self.root_key.iter().map(|path| SigningKey::<Root>::load(path).map_err(told));
        let keys = keys.collect::<anyhow::Result<Vec<_>>>()?;
        let Some(first) = keys.first() else {
            return Err(Usage("a warrant takes at least one `--root-key`".to_owned()).into());
        };
        let mut signed = BTreeMap::new();
        let statement = match self.partial.as_slice() {
            [] => self.statement(&request, sha256, first.name(), now()?)?,
            partial => gathered(partial, &line, &mut signed)?,
        };
        for key in &keys {
            root(&line, key.name())?;
            signed.insert(key.name(), signature(&key.sign(&statement.alone_by(key.name()), [])));
        }
        let missing = line.roots.threshold.saturating_sub(signed.len() as u64);
        let token = match (missing, keys.as_slice()) {
            (0, _) => {
                let cosigned = signed.iter().filter(|(root, _)| **root != first.name());
                let cosigned = cosigned.map(|(root, signature)| (*root, signature.clone())).collect();
                let token = first.sign(&Warrant { cosigned, ..statement.alone_by(first.name()) }, []);
                // What leaves here is what every host will read.
                Unverified::<Warrant>::parse(&token)?.verify(&line)?;
                token
            }
            (_, [only]) => only.sign(&statement.alone_by(only.name()), []),
            _ => {
                let how = format!("{missing} more must sign; give one root key at a time until there are enough");
                return Err(Usage(how).into());
            }
        };
        files::write(&self.out, &[token.as_slice(), b"\n"].concat())?;
        Ok(report(&statement, &request, &signed.into_keys().collect::<Vec<_>>(), missing, &self.out))
    }

    fn statement(
        &self,
        request: &Request,
        inception_sha256: Digest,
        root: Name<Root>,
        now: Timestamp,
    ) -> anyhow::Result<Warrant> {
        let dropped = self.drop_key.iter().map(|key| Name::<Decision>::parse(key)).collect::<Result<Vec<_>, _>>()?;
        let asked: Vec<&Key<Decision>> = [Some(&request.decision_key), request.next_decision_key.as_ref()]
            .into_iter()
            .flatten()
            .filter(|key| !dropped.contains(key.name()))
            .collect();
        let Some(lasting) = asked.last() else {
            let how = "no key is left to speak; make the next one with `countersign warrant rotate`";
            return Err(Usage(how.to_owned()).into());
        };
        let end = now.plus(self.overlap_hours * 3600);
        let ends = asked.iter().filter(|key| key.name() != lasting.name()).map(|key| (*key.name(), end)).collect();
        let serial = self.serial.unwrap_or(if self.reset { 1 } else { request.serial + 1 });
        Ok(Warrant {
            iss: root,
            lattice: request.lattice.clone(),
            inception_sha256,
            reset: request.reset + u64::from(self.reset),
            serial,
            decision_keys: asked.into_iter().cloned().collect(),
            ends,
            log_key: request.next_log_key.clone().unwrap_or_else(|| request.log_key.clone()),
            validity: Validity { iat: now, nbf: None, exp: Some(now.plus(self.days * 86_400)) },
            cosigned: BTreeMap::new(),
        })
    }
}

fn root(line: &RootLine, name: Name<Root>) -> Result<&Key<Root>, Refusal> {
    let found = line.roots.find(&name);
    found.ok_or_else(|| Refusal::new(Reason::BrokerKeyUnknown, format!("`{name}` is no root of this lattice")))
}

// One statement, and who signed it already.
fn gathered(
    partial: &[PathBuf],
    line: &RootLine,
    signed: &mut BTreeMap<Name<Root>, String>,
) -> anyhow::Result<Warrant> {
    let mut statement: Option<Warrant> = None;
    for path in partial {
        let within = |refusal: Refusal| refusal.within(format!("`{}`", path.display()));
        let token = files::read(path)?;
        let token = token.trim_ascii_end();
        let warrant = Unverified::<Warrant>::parse(token).map_err(within)?.says().clone();
        let alone = warrant.alone_by(warrant.iss);
        let key = root(line, warrant.iss).map_err(within)?;
        let signature = signature(token);
        let raw = data_encoding::BASE64URL_NOPAD.decode(signature.as_bytes())?;
        check_detached(key, Draft::of(&alone).signing_input(), &raw).map_err(within)?;
        if alone != warrant || statement.as_ref().is_some_and(|held| held.alone_by(alone.iss) != alone) {
            return Err(within(Refusal::new(Reason::AnswerMismatch, "the roots signed different warrants")).into());
        }
        signed.insert(alone.iss, signature);
        statement = Some(alone);
    }
    statement.ok_or_else(|| Usage("nothing was signed yet".to_owned()).into())
}

// The last segment of a token that was just made or read.
fn signature(token: &[u8]) -> String {
    let last = token.rsplit(|byte| *byte == b'.').next().unwrap_or_default();
    String::from_utf8_lossy(last).into_owned()
}

fn report(warrant: &Warrant, request: &Request, signed: &[Name<Root>], missing: u64, out: &Path) -> Report {
    let keys = warrant.decision_keys.iter().map(|key| match warrant.ends.get(key.name()) {
        None => key.to_string(),
        Some(end) => format!("{key} until {end}"),
    });
    let file = out.display().to_string();
    let signers: Vec<String> = signed.iter().map(ToString::to_string).collect();
    let mut pairs = vec![
        ("lattice", format!("{} {}", warrant.lattice, warrant.inception_sha256)),
        ("serial", format!("{}, in force is {}", warrant.rank(), request.rank())),
        ("decision keys", keys.collect::<Vec<_>>().join(", ")),
        ("log key", warrant.log_key.clone()),
        ("until", warrant.validity.exp.map(|end| end.to_string()).unwrap_or_default()),
        ("signed by", signers.join(", ")),
        ("written to", file.clone()),
    ];
    let next = if missing == 0 {
        format!("next\n  at the broker: countersign warrant install {}\n", output::shown(&file))
    } else {
        pairs.push(("still to sign", missing.to_string()));
        format!(
            "next\n  at another root: countersign warrant issue --partial {} --root-key FILE\n",
            output::shown(&file)
        )
    };
    let members = json!({
        "lattice": warrant.lattice, "root": warrant.inception_sha256, "serial": warrant.serial, "reset": warrant.reset,
        "decision_keys": warrant.decision_keys, "ends": warrant.ends, "log_key": warrant.log_key,
        "warrant_until": warrant.validity.exp, "signed_by": signers, "missing": missing, "file": file,
    });
    Report::new(output::fields(pairs) + &next, members)
}
