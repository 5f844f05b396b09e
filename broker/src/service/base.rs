//! The base contracts: what any std-built component needs and what reaches nothing, as ordinary withdrawable documents.

use std::collections::BTreeSet;

use policy::contract::{Configuration, Contract, Providers};
use policy::digest::Digest;
use policy::govern::{AddIssuer, AdmitProvider, Bind, Operation, PublishContract, PutDefault};
use policy::issuer::Kind;
use policy::key::Issuer;
use policy::name::{ComponentId, Package, Scope};
use policy::native::{NATIVES, Native};
use policy::provider::Source;
use policy::reason::Refusal;
use policy::time::Timestamp;

use crate::keys::SigningKey;

/// What is left to command when no administrator's key is made here: the documents, and the commands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FollowUp {
    /// The commands, in order.
    pub commands: Vec<String>,
}

/// One base contract, signed.
pub(super) struct Base {
    native: &'static Native,
    package: Package,
    token: String,
}

/// Signs the base contracts as the lattice's own issuer.
pub(super) fn sign(issuer: &SigningKey<Issuer>, now: Timestamp) -> Result<Vec<Base>, Refusal> {
    NATIVES.iter().filter(|native| native.base).map(|native| sign_one(native, issuer, now)).collect()
}

/// The operations that put them in force: the issuer, then each contract, its builtin and its default.
pub(super) fn operations(bases: &[Base], issuer: &SigningKey<Issuer>) -> Result<Vec<Operation>, Refusal> {
    let scope: BTreeSet<Scope> = bases.iter().map(Base::scope).collect::<Result<_, _>>()?;
    let kinds = BTreeSet::from([Kind::Contract]);
    let mut operations = vec![Operation::AddIssuer(AddIssuer::vouched(issuer.name(), scope, kinds, None))];
    for base in bases {
        let package = base.package.clone();
        operations.push(Operation::PublishContract(PublishContract {
            package: package.clone(),
            sha256: base.sha256(),
            waivers: Default::default(),
        }));
        operations.push(Operation::AdmitProvider(base.admission()?));
        operations.push(Operation::PutDefault(PutDefault { package, bind: Bind::Builtin, uniform: false }));
    }
    Ok(operations)
}

impl Base {
    pub(super) const fn package(&self) -> &Package {
        &self.package
    }

    pub(super) fn token(&self) -> &str {
        &self.token
    }

    pub(super) fn sha256(&self) -> Digest {
        Digest::of(self.token.as_bytes())
    }

    /// The file that it is kept in.
    pub(super) fn file_name(&self) -> String {
        format!("{}.contract", self.package.as_str().replace(':', "-"))
    }

    /// The commands that put it in force, for an administrator elsewhere.
    pub(super) fn commands(&self, file: &str) -> [String; 3] {
        [
            format!("countersign contract publish {file}"),
            format!("countersign provider admit {}", self.native.name),
            format!("countersign default put {} --bind builtin", self.package),
        ]
    }

    fn scope(&self) -> Result<Scope, Refusal> {
        Scope::parse(self.package.as_str())
    }

    fn admission(&self) -> Result<AdmitProvider, Refusal> {
        let native = self.native;
        // `native/io@0.1.0` runs under the id `io`.
        let short = native.name.trim_start_matches("native/").split('@').next().unwrap_or_default();
        Ok(AdmitProvider {
            id: ComponentId::parse(short)?,
            subject: native.subject()?,
            sha256: native.sha256(),
            claims_sha256: None,
            serves: vec![native.serves()?],
            source: Source::Native,
            waivers: Default::default(),
        })
    }
}

fn sign_one(native: &'static Native, issuer: &SigningKey<Issuer>, now: Timestamp) -> Result<Base, Refusal> {
    let served = native.serves()?;
    let contract = Contract {
        iss: issuer.name(),
        sub: served.package.clone(),
        iat: now,
        exp: None,
        revision: 1,
        interfaces: served.interfaces.clone(),
        tracks: served.version.iter().map(policy::name::Version::track).collect(),
        providers: Providers { issuers: Vec::new(), subjects: vec![native.subject()?] },
        defaultable: true,
        config: Configuration::None,
        config_schema_sha256: None,
        legacy_ids: Vec::new(),
    };
    Ok(Base { native, package: served.package, token: issuer.sign_contract(&contract) })
}
