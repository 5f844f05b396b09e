//! Makes a lattice: its keys, its log with inception and warrant, its base contracts. Once, and never over anything.
//!
//! Everything is made in a folder beside and then renamed, so that there is a whole lattice or none.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use policy::command::Command;
use policy::digest::Digest;
use policy::envelope::Unverified;
use policy::key::{self, Administrator, Key, Name};
use policy::lineage::Lineage;
use policy::log::{Frontier, Ledger};
use policy::name::Lattice;
use policy::reason::{Reason, Refusal};
use policy::time::{Timestamp, Validity};
use policy::warrant::{Inception, Quorum, Warrant};
use policy::wire::WARRANT_LIFETIME_S;

use super::Service;
use super::base::{self, Base, FollowUp};
use crate::clock::FixedClock;
use crate::error::Error;
use crate::folder::{Folder, make_private_folder, write_private};
use crate::keys::{LogKey, SigningKey, nonce, refuse_equal};
use crate::store::{Act, Judgement, LOG, Lock, Pages, Writer, create};

/// What kind of lattice to make.
#[derive(Debug, Clone)]
pub struct InitOptions {
    /// Its name.
    pub lattice: Lattice,
    /// The administrators, whose keys are elsewhere; without any, one is made here.
    pub admins: Vec<Name<Administrator>>,
    /// How many of them must sign a weighty act.
    pub admin_threshold: u64,
    /// Where its lock lies, if not beside the log.
    pub lock: Option<PathBuf>,
    /// Whether to leave out the base contracts.
    pub bare: bool,
    /// How many root keys to make.
    pub roots: u64,
    /// How many of them sign a warrant.
    pub root_threshold: u64,
    /// The time, in milliseconds since 1970.
    pub now_ms: u64,
}

/// What was made.
#[derive(Debug, Clone)]
pub struct InitReport {
    /// The folder.
    pub folder: PathBuf,
    /// The lattice.
    pub lattice: Lattice,
    /// The hash of the inception entry, which hosts pin.
    pub root_sha256: Digest,
    /// The root keys.
    pub roots: Vec<Name<key::Root>>,
    /// The administrators.
    pub administrators: Vec<Name<Administrator>>,
    /// The decision key.
    pub decision: Name<key::Decision>,
    /// The log's verifier key.
    pub log_key: String,
    /// The issuer of the base contracts, unless the lattice is bare.
    pub issuer: Option<Name<key::Issuer>>,
    /// When the warrant ends.
    pub warrant_until: Timestamp,
    /// Every file that holds a secret.
    pub secrets: Vec<PathBuf>,
    /// Those that daily work does not need, and that belong offline.
    pub offline: Vec<PathBuf>,
    /// The packages whose base contracts are in force.
    pub base: Vec<String>,
    /// What an administrator elsewhere has yet to command.
    pub follow_up: Option<FollowUp>,
}

/// Makes a lattice in a new folder.
///
/// # Errors
/// [`Error::AlreadyThere`] when anything is there (T83), [`Error::Refused`] when the administrator's key is unusable.
pub async fn init(path: &Path, options: InitOptions) -> Result<InitReport, Error> {
    let absolute = std::path::absolute(path);
    let path = absolute.map_err(|source| Error::Io { act: "find", path: path.to_owned(), source })?;
    refuse_anything(&path)?;
    options.lock.as_deref().map_or(Ok(()), refuse_anything)?;
    let beside = beside(&path)?;
    let made = Founding::begin(&beside, &options)?.found(&path).await;
    if made.is_err() {
        // What was begun holds fresh keys that nobody knows of; leaving it helps nobody. The first error matters more.
        let _ = fs::remove_dir_all(&beside);
    }
    made
}

struct Founding<'a> {
    options: &'a InitOptions,
    folder: Folder,
    roots: Vec<SigningKey<key::Root>>,
    admin: Option<SigningKey<Administrator>>,
    administrators: Vec<Key<Administrator>>,
    decision: SigningKey<key::Decision>,
    log: LogKey,
    issuer: Option<SigningKey<key::Issuer>>,
}

impl<'a> Founding<'a> {
    fn begin(beside: &Path, options: &'a InitOptions) -> Result<Self, Error> {
        let admin = if options.admins.is_empty() { Some(SigningKey::<Administrator>::generate()?) } else { None };
        let mut administrators = options.admins.iter().map(Name::usable).collect::<Result<Vec<_>, _>>()?;
        administrators.extend(admin.as_ref().map(SigningKey::public).transpose()?);
        let founding = Self {
            options,
            folder: Folder::at(beside.to_owned()).with_lock(options.lock.as_deref())?,
            roots: (0..options.roots).map(|_| SigningKey::generate()).collect::<Result<_, _>>()?,
            admin,
            administrators,
            decision: SigningKey::generate()?,
            log: LogKey::generate(&options.lattice)?,
            issuer: if options.bare { None } else { Some(SigningKey::generate()?) },
        };
        let keys = [("decision", *founding.decision.name().raw()), ("log", founding.log.raw())];
        let administrators = founding.administrators.iter().map(|key| ("administrator", *key.name().raw()));
        let roots = founding.roots.iter().map(|root| ("root", *root.name().raw()));
        refuse_equal(roots.chain(keys).chain(administrators))?;
        Ok(founding)
    }

    async fn found(self, path: &Path) -> Result<InitReport, Error> {
        make_private_folder(self.folder.path())?;
        make_private_folder(&self.folder.path().join("keys"))?;
        make_private_folder(&self.folder.artifacts())?;
        let (root_sha256, warrant) = self.write_log().await?;
        let made = self.furnish(path, root_sha256, &warrant).await;
        if made.is_err() {
            // That it is ours is known, for it was made anew; the first error matters more.
            self.options.lock.as_deref().map(fs::remove_file);
        }
        made
    }

    async fn furnish(&self, path: &Path, root_sha256: Digest, warrant: &[u8]) -> Result<InitReport, Error> {
        let secrets = self.save_keys()?;
        write_private(&self.folder.warrant(), &[warrant, b"\n"].concat())?;
        let now = Timestamp::from_millis(self.options.now_ms);
        let bases = self.issuer.as_ref().map_or(Ok(Vec::new()), |issuer| base::sign(issuer, now))?;
        for base in &bases {
            write_private(&self.folder.artifacts().join(base.file_name()), base.token().as_bytes())?;
        }
        let commanded = self.command_bases(&bases, root_sha256).await?;
        let report = self.report(path, root_sha256, secrets, &bases, commanded);
        settle(self.folder.path(), path)?;
        Ok(report)
    }

    // Entry 0 is the inception, entry 1 the warrant; the lock stands behind both.
    async fn write_log(&self) -> Result<(Digest, Vec<u8>), Error> {
        let inception = Inception {
            lattice: self.options.lattice.clone(),
            roots: Quorum {
                threshold: self.options.root_threshold,
                keys: self.roots.iter().map(SigningKey::public).collect::<Result<_, _>>()?,
            },
            administrators: Quorum { threshold: self.options.admin_threshold, keys: self.administrators.clone() },
            log_key: self.log.note().to_string(),
        };
        let (mut ledger, first) = Ledger::incept(inception.clone(), self.options.now_ms)?;
        let (sha256, begun) = (first.hash, first.map(|()| Act::Counted));
        let now = Timestamp::from_millis(self.options.now_ms);
        let first = self.roots.first().ok_or(Error::Randomness)?;
        let mut warrant = Warrant {
            iss: first.name(),
            lattice: self.options.lattice.clone(),
            inception_sha256: sha256,
            reset: 0,
            serial: 1,
            decision_keys: vec![self.decision.public()?],
            ends: BTreeMap::new(),
            log_key: self.log.note().to_string(),
            validity: Validity { iat: now, nbf: None, exp: Some(now.plus(WARRANT_LIFETIME_S)) },
            cosigned: BTreeMap::new(),
        };
        for root in self.roots.iter().skip(1) {
            let alone = root.sign(&warrant.alone_by(root.name()), []);
            let signature = alone.rsplit(|byte| *byte == b'.').next().unwrap_or_default();
            warrant.cosigned.insert(root.name(), String::from_utf8_lossy(signature).into_owned());
        }
        let token = first.sign(&warrant, []);
        let warrant = Lineage::of(&inception, sha256).read(&token, None)?;
        let second = ledger.install(&warrant, self.options.now_ms);
        second.outcome.clone()?;
        let request_sha256 = warrant.sha256();
        let second = second.map(|verdict| Act::Judged(Judgement { request_sha256, verdict, lack: None }));
        let (mut tree, both) = (Frontier::default(), vec![begun, second]);
        both.iter().for_each(|step| tree.append(step.hash));
        create(&self.folder.log(), &LOG).await?;
        let (writer, _) = Writer::open(&self.folder.log(), Pages::AtOnce).await?.commit(both).await?;
        writer.close().await?;
        Lock::create(&self.folder.lock_file(), ledger.head(), tree.root()).await?;
        Ok((sha256, token))
    }

    fn save_keys(&self) -> Result<Vec<PathBuf>, Error> {
        let roots: Vec<String> = (1..=self.roots.len()).map(root_file).collect();
        for (root, file) in self.roots.iter().zip(&roots) {
            root.save(&self.folder.key(file))?;
        }
        self.decision.save(&self.folder.key("decision"))?;
        self.log.save(&self.folder.key("log"))?;
        let mut saved: Vec<&str> = roots.iter().map(String::as_str).chain(["decision", "log"]).collect();
        if let Some(admin) = &self.admin {
            admin.save(&self.folder.key("admin"))?;
            saved.push("admin");
        }
        if let Some(issuer) = &self.issuer {
            issuer.save(&self.folder.key("lattice-issuer"))?;
            saved.push("lattice-issuer");
        }
        Ok(saved.into_iter().map(|name| self.folder.key(name)).collect())
    }

    // An ordinary command of the administrator, through the ordinary service; without its key there is nothing to do.
    async fn command_bases(&self, bases: &[Base], root_sha256: Digest) -> Result<bool, Error> {
        let (Some(admin), Some(issuer)) = (&self.admin, &self.issuer) else {
            return Ok(false);
        };
        let service = Service::open(&self.folder, Arc::new(FixedClock::at(self.options.now_ms))).await?;
        let now = Timestamp::from_millis(self.options.now_ms);
        let command = Command {
            iss: admin.name(),
            aud: self.options.lattice.clone(),
            inception_sha256: Some(root_sha256),
            iat: now,
            not_after: now.plus(60),
            jti: nonce()?,
            basis: service.snapshot().await?.head.epoch,
            planned: None,
            because: Some("the base contracts of a new lattice".to_owned()),
            operations: base::operations(bases, issuer)?,
            statements: bases.iter().map(Base::sha256).collect(),
        };
        let bytes = admin.sign(&command, bases.iter().map(|base| base.token().as_bytes()));
        let receipt = service.command(&bytes).await?;
        service.close().await?;
        let receipt = Unverified::<policy::answer::Receipt>::parse(&receipt)?;
        match receipt.says().reason {
            None => Ok(true),
            Some(reason) => Err(Error::Refused(refused(reason, receipt.says().detail.as_deref()))),
        }
    }

    fn report(
        &self,
        path: &Path,
        root_sha256: Digest,
        secrets: Vec<PathBuf>,
        bases: &[Base],
        commanded: bool,
    ) -> InitReport {
        let settled =
            |file: PathBuf| file.strip_prefix(self.folder.path()).map_or(file.clone(), |rest| path.join(rest));
        let final_folder = Folder::at(path.to_owned());
        let daily = [self.folder.key("decision"), self.folder.key("log")];
        let offline = secrets.iter().filter(|file| !daily.contains(file)).cloned().map(settled).collect();
        InitReport {
            folder: path.to_owned(),
            lattice: self.options.lattice.clone(),
            root_sha256,
            roots: self.roots.iter().map(SigningKey::name).collect(),
            administrators: self.administrators.iter().map(|key| *key.name()).collect(),
            decision: self.decision.name(),
            log_key: self.log.note().to_string(),
            issuer: self.issuer.as_ref().map(SigningKey::name),
            warrant_until: Timestamp::from_millis(self.options.now_ms).plus(WARRANT_LIFETIME_S),
            secrets: secrets.into_iter().map(settled).collect(),
            offline,
            base: if commanded { bases.iter().map(|base| base.package().to_string()).collect() } else { Vec::new() },
            follow_up: self
                .issuer
                .as_ref()
                .filter(|_| !commanded)
                .map(|issuer| follow_up(issuer, bases, &final_folder)),
        }
    }
}

fn root_file(number: usize) -> String {
    if number == 1 { "root".to_owned() } else { format!("root-{number}") }
}

fn follow_up(issuer: &SigningKey<key::Issuer>, bases: &[Base], folder: &Folder) -> FollowUp {
    let scopes: String = bases.iter().map(|base| format!(" --scope {}", base.package())).collect();
    let add = format!("countersign issuer add {} --kind contract{scopes}", issuer.name());
    let each =
        bases.iter().flat_map(|base| base.commands(&folder.artifacts().join(base.file_name()).display().to_string()));
    FollowUp { commands: std::iter::once(add).chain(each).collect() }
}

fn refused(reason: Reason, detail: Option<&str>) -> Refusal {
    Refusal::new(reason, detail.unwrap_or_default()).within("the base contracts")
}

// Inception happens once: whatever is there, even an empty log, stops it (T83).
fn refuse_anything(path: &Path) -> Result<(), Error> {
    let empty = match fs::read_dir(path) {
        Ok(mut found) => found.next().is_none(),
        Err(error) => error.kind() == std::io::ErrorKind::NotFound,
    };
    if empty { Ok(()) } else { Err(Error::AlreadyThere(path.to_owned())) }
}

fn beside(path: &Path) -> Result<PathBuf, Error> {
    let parent = path.parent().unwrap_or(path);
    fs::create_dir_all(parent).map_err(|source| Error::Io { act: "make", path: parent.to_owned(), source })?;
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok(parent.join(format!(".{name}.{}", nonce()?)))
}

// Renaming a folder onto another succeeds only while that one is empty: of two that race, one wins.
fn settle(beside: &Path, path: &Path) -> Result<(), Error> {
    fs::rename(beside, path).map_err(|source| match source.kind() {
        std::io::ErrorKind::DirectoryNotEmpty
        | std::io::ErrorKind::NotADirectory
        | std::io::ErrorKind::AlreadyExists => Error::AlreadyThere(path.to_owned()),
        _ => Error::Io { act: "make", path: path.to_owned(), source },
    })?;
    let parent = path.parent().unwrap_or(path);
    let synced = fs::File::open(parent).and_then(|folder| folder.sync_all());
    synced.map_err(|source| Error::Io { act: "make durable", path: parent.to_owned(), source })
}
