//! Loads a component: read once into memory, verified, compiled from that very buffer, its imports listed as slots.
//!
//! Compiling grants nothing: whether it may run is left to `ask`, what answers its imports to `link`.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use policy::artifact::component::ComponentFile;
use policy::artifact::{self, Artifact, Import, MAX_FILE};
use policy::claims;
use policy::digest::Digest;
use policy::name::ComponentId;
use policy::provider::Subject;
use policy::question::Runs;
use policy::reason::{Reason, Refusal};
use wasmtime::Engine;

use crate::engine::compile;
use crate::error::Error;
use crate::permit::strings;
use crate::slot::Slots;

/// A component whose claims are about its bytes; who signed them is for the broker to judge.
pub struct Component {
    pub(crate) compiled: wasmtime::component::Component,
    file: ComponentFile,
    subject: Subject,
    token: Vec<u8>,
}

impl Component {
    /// Verifies and compiles these bytes.
    ///
    /// # Errors
    /// The reason why they are no component, or their claims are missing, forged or about other bytes.
    pub(crate) fn load(engine: &Engine, bytes: &[u8]) -> Result<Self, Error> {
        let (file, subject, token) = verified(bytes)?;
        let compiled = compile(engine, bytes)?;
        Ok(Self { compiled, file, subject, token })
    }

    /// The digest of the whole file.
    pub fn sha256(&self) -> Digest {
        self.file.sha256()
    }

    /// What its claims say it is.
    pub const fn subject(&self) -> &Subject {
        &self.subject
    }

    /// What must be answered before it may run.
    pub fn imports(&self) -> &[Import] {
        self.file.imports()
    }

    /// What it serves.
    pub fn exports(&self) -> &[Import] {
        self.file.exports()
    }

    /// Its claims, as they lie in the file.
    pub fn token(&self) -> &[u8] {
        &self.token
    }

    /// What a question says would run.
    pub(crate) fn runs(&self, id: &ComponentId) -> Runs {
        let claims_sha256 = Some(Digest::of(&self.token));
        Runs { id: id.clone(), subject: self.subject.clone(), sha256: self.sha256(), claims_sha256 }
    }

    /// An empty slot for each import that something must answer.
    pub(crate) fn slots(&self, id: &ComponentId) -> Slots {
        Slots::new(self.imports().iter().flat_map(strings), &self.runs(id))
    }
}

/// Whether these bytes are a component whose claims are about it: what a host knows before it asks anybody.
///
/// # Errors
/// As [`Host::start`](crate::start::Host::start), for the same bytes.
pub fn check(bytes: &[u8]) -> Result<(), Refusal> {
    verified(bytes).map(drop)
}

/// Reads a component and holds its claims against its bytes, before anybody is asked and anything is compiled.
pub(crate) fn verified(bytes: &[u8]) -> Result<(ComponentFile, Subject, Vec<u8>), Refusal> {
    let Artifact::Component(file) = artifact::read(bytes)? else {
        return Err(Refusal::new(Reason::ClaimsKind, "the file is a provider archive, not a component"));
    };
    let missing = || Refusal::new(Reason::ClaimsMissing, "the component carries no signed claims");
    let token = file.token().ok_or_else(missing)?.to_vec();
    let claims = claims::read_component(&token)?;
    claims.about(&file)?;
    if !file.is_component() {
        return Err(Refusal::new(Reason::WasmMalformed, "the file is a core module, not a component"));
    }
    Ok((file, Subject::Component(claims.subject), token))
}

/// Reads a file once, whole, and no further than a component may be long.
///
/// # Errors
/// When it cannot be read, or is longer.
pub fn read_once(path: &Path) -> Result<Vec<u8>, Error> {
    let file = File::open(path).map_err(|source| Error::file("read", path, source))?;
    read_whole(file, path)
}

/// As [`read_once`], of a file that is open.
///
/// # Errors
/// When it cannot be read, or is longer.
pub(crate) fn read_whole(file: File, path: &Path) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    let most = u64::try_from(MAX_FILE).unwrap_or(u64::MAX);
    let read = file.take(most.saturating_add(1)).read_to_end(&mut bytes);
    read.map_err(|source| Error::file("read", path, source))?;
    if bytes.len() > MAX_FILE {
        let detail = format!("`{}` is longer than {MAX_FILE} bytes", path.display());
        return Err(Refusal::new(Reason::WasmLimit, detail).into());
    }
    Ok(bytes)
}

impl std::fmt::Debug for Component {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Component({} {})", self.subject, self.sha256())
    }
}
