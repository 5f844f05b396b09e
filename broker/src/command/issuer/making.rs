//! What the owner of an issuer's key makes offline: a proof that the key is held, and a delegation to another.
//!
//! Neither needs a lattice's folder or a wire; what they are worth is for the lattice to judge.

use std::path::{Path, PathBuf};

use policy::delegation::{self, Delegation};
use policy::digest::Digest;
use policy::key::{self, Name};
use policy::name::Lattice;
use policy::possession::KeyProof;
use serde_json::json;

use super::{KindName, kinds, parse, scopes};
use crate::client::{Client, told};
use crate::command::acting::Doing;
use crate::command::verify::now;
use crate::command::when::When;
use crate::command::{Globals, files};
use crate::keys::{SigningKey, nonce};
use crate::output::{self, Report};

/// How it is known that somebody holds the key.
#[derive(Debug, clap::Args)]
pub(super) struct Proof {
    /// The proof that its owner made with `issuer prove`.
    #[arg(long, value_name = "FILE", conflicts_with = "issuer_key")]
    proof: Option<PathBuf>,
    /// The issuer's key file, where it is here: the proof is made on the spot.
    #[arg(long, value_name = "FILE")]
    issuer_key: Option<PathBuf>,
}

impl Proof {
    /// The proof, where there is one.
    pub(super) fn read(&self, globals: &Globals) -> anyhow::Result<Option<Proved>> {
        let proof = match (&self.proof, &self.issuer_key) {
            (Some(file), _) => Some((files::read(file)?.trim_ascii().to_vec(), false)),
            (None, Some(key)) => Some((make(globals, key)?.into_bytes(), true)),
            (None, None) => None,
        };
        Ok(proof.map(|(token, is_new)| Proved { sha256: Digest::of(&token), token, is_new }))
    }
}

/// A proof that somebody holds a key.
pub(super) struct Proved {
    pub(super) sha256: Digest,
    token: Vec<u8>,
    is_new: bool,
}

impl Proved {
    /// What is done with this proof of a key.
    pub(super) fn of(self, key: Name<key::Issuer>, doing: Doing) -> Doing {
        let doing = doing.with_statement(self.token);
        if self.is_new { doing.anew(self.sha256, format!("a proof of {key}")) } else { doing }
    }
}

#[derive(Debug, clap::Args)]
pub(super) struct Prove {
    /// The issuer's key file.
    #[arg(long, value_name = "FILE")]
    issuer_key: PathBuf,
}

impl Prove {
    pub(super) fn run(self, globals: &Globals) -> anyhow::Result<Report> {
        let token = make(globals, &self.issuer_key)?;
        let key = SigningKey::<key::Issuer>::load(&self.issuer_key).map_err(told)?.name();
        let members = json!({"key": key, "lattice": globals.lattice, "proof": token});
        Ok(Report::new(format!("{token}\n"), members))
    }
}

fn make(globals: &Globals, key: &Path) -> anyhow::Result<String> {
    let key = SigningKey::<key::Issuer>::load(key).map_err(told)?;
    let (aud, inception_sha256) = meant(globals)?;
    Ok(key.prove(&KeyProof { iss: key.name(), aud, inception_sha256, iat: now()?, jti: nonce().map_err(told)? }))
}

// The lattice that it is made for: the one whose folder is here, or as the command line names it. By its name alone, what is
// signed counts in each lattice of that name that trusts the key (T82).
fn meant(globals: &Globals) -> anyhow::Result<(Lattice, Option<Digest>)> {
    let here = Client::of(globals).ok().filter(|client| client.folder().is_some());
    if let Some(client) = here {
        return Ok((client.lattice().clone(), Some(client.root()?)));
    }
    if globals.root.is_none() {
        let name = &globals.lattice;
        output::hint(&format!(
            "made for every lattice `{name}` that trusts the key; `--root DIGEST` names one alone\n"
        ));
    }
    Ok((globals.lattice.clone(), globals.root))
}

#[derive(Debug, clap::Args)]
pub(super) struct Lend {
    /// The delegate's public key.
    #[arg(value_name = "KEY")]
    delegate: String,
    /// The key file of the issuer that lends.
    #[arg(long, value_name = "FILE")]
    issuer_key: PathBuf,
    /// What the delegate may speak for, within your own scope; may be given more than once.
    #[arg(long, required = true, value_name = "SCOPE")]
    scope: Vec<String>,
    /// What the delegate may sign, among what you may; may be given more than once.
    #[arg(long, required = true, value_enum)]
    kind: Vec<KindName>,
    /// The end: what the delegate signs from then on does not count.
    #[arg(long, value_name = "TIME")]
    until: When,
}

impl Lend {
    pub(super) fn run(self, globals: &Globals) -> anyhow::Result<Report> {
        let key = SigningKey::<key::Issuer>::load(&self.issuer_key).map_err(told)?;
        let (aud, inception_sha256) = meant(globals)?;
        let delegation = Delegation {
            iss: key.name(),
            sub: parse(&self.delegate)?,
            aud,
            inception_sha256,
            iat: now()?,
            exp: self.until.timestamp()?,
            scope: scopes(&self.scope)?,
            kinds: kinds(&self.kind),
        };
        let token = key.delegate(&delegation);
        Ok(Report::new(format!("{token}\n"), json!({"delegation": token, "says": delegation})))
    }
}

/// A delegation in a file, and the delegate that it names.
pub(super) fn delegation(file: &Path) -> anyhow::Result<(Name<key::Issuer>, Vec<u8>)> {
    let token = files::read(file)?.trim_ascii().to_vec();
    let read = delegation::read(&token).map_err(|refusal| refusal.within(format!("`{}`", file.display())))?;
    Ok((read.sub, token))
}
