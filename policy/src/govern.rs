//! Governance: Command → Event → State. `handle` judges and changes nothing; `apply` changes and cannot fail.
//!
//! One file per operation, each with its operation, its event, how it is judged and what it changes. A new operation
//! is its file and one line in the table below.

mod activate_issuer;
mod add_issuer;
mod admit_component;
mod admit_provider;
mod ban_host;
mod delegate_issuer;
mod delete_default;
mod delete_link;
mod end_relaxation;
mod host_joined;
mod invite_host;
mod label_host;
mod link;
mod owning;
mod proving;
mod publish_contract;
mod put_default;
mod put_link;
mod put_relaxation;
mod retire_component;
mod retire_issuer;
mod retire_provider;
mod revoke_issuer;
mod rotate_issuer;
mod scope_issuer;
mod state;
mod withdraw_contract;

use serde::{Deserialize, Serialize};

use crate::command::{Command, MAX_OPERATIONS};
use crate::digest::Digest;
use crate::envelope::{Keyring, sealed};
use crate::examine::{Evidence, Examined};
use crate::key::{Administrator, Host, Key, Name};
use crate::question::StartRequest;
use crate::reason::{Reason, Refusal};
use crate::skew::{Clock, Says, Skew};
use crate::time::Timestamp;
use crate::wire::COMMAND_LIFETIME_S;

pub use activate_issuer::ActivateIssuer;
pub use add_issuer::AddIssuer;
pub use admit_component::AdmitComponent;
pub use admit_provider::AdmitProvider;
pub use ban_host::BanHost;
pub use delegate_issuer::DelegateIssuer;
pub use delete_default::DeleteDefault;
pub use delete_link::DeleteLink;
pub use end_relaxation::{EndRelaxation, RelaxationEnded};
pub use host_joined::HostJoined;
pub use invite_host::InviteHost;
pub use label_host::{HostLabelled, LabelHost};
pub use link::{LinkKey, LinkRecord, LinkSlot};
pub use owning::{Owned, Waiver};
use proving::begins_before;
pub use publish_contract::{ContractPublished, PublishContract};
pub use put_default::{Bind, DefaultPut, PutDefault};
pub(crate) use put_link::configured;
pub use put_link::{LinkPut, MAX_NAMES, PutLink};
pub use put_relaxation::{PutRelaxation, RelaxationPut};
pub use retire_component::RetireComponent;
pub use retire_issuer::RetireIssuer;
pub use retire_provider::RetireProvider;
pub use revoke_issuer::RevokeIssuer;
pub use rotate_issuer::{OVERLAP_S, RotateIssuer};
pub use scope_issuer::{Reach, ScopeIssuer};
pub use state::{ComponentRecord, HostRecord, HostStanding, ProviderRecord, Published, State};
pub use withdraw_contract::WithdrawContract;

pub use {
    activate_issuer::IssuerActivated,
    add_issuer::IssuerAdded,
    admit_component::ComponentAdmitted,
    admit_provider::{ProviderAdmitted, SignedBy},
    ban_host::HostBanned,
    delegate_issuer::IssuerDelegated,
    delete_default::DefaultDeleted,
    delete_link::LinkDeleted,
    invite_host::HostInvited,
    retire_component::ComponentRetired,
    retire_issuer::IssuerRetired,
    retire_provider::ProviderRetired,
    revoke_issuer::IssuerRevoked,
    rotate_issuer::IssuerRotated,
    scope_issuer::IssuerScoped,
    withdraw_contract::ContractWithdrawn,
};

/// What an operation does for the dispatch: judged against the state it would change, or applied as its event.
pub(crate) trait Judge {
    type Event: Apply;
    /// The subject that `basis` guards: two commands about one subject cannot both come from one look at it.
    fn subject(&self) -> String;
    /// A second subject, where it changes two.
    fn also(&self) -> Option<String> {
        None
    }
    /// Whether it only takes away; such acts are never too late.
    fn narrows(&self) -> bool {
        false
    }
    fn judge(&self, state: &State, case: &Case<'_>) -> Result<Self::Event, Refusal>;
}

/// What an event does to the state.
pub(crate) trait Apply {
    fn apply(&self, state: &mut State, index: u64);
    /// In a few words, for a list.
    fn told(&self) -> String;
}

/// What an operation is judged with, besides the state.
pub(crate) struct Case<'a> {
    pub(crate) now: Timestamp,
    pub(crate) examined: &'a Examined<Command>,
}

macro_rules! operations {
    ($( $operation:ident => $event:ident; )*) => {
        /// One act of an administrator.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Operation { $( #[doc = concat!("See [`", stringify!($operation), "`].")] $operation($operation), )* }

        /// What an act changed.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Event {
            $( #[doc = concat!("See [`", stringify!($event), "`].")] $event($event), )*
            /// See [`HostJoined`].
            HostJoined(HostJoined),
            /// See [`WarrantInstalled`].
            WarrantInstalled(WarrantInstalled),
        }

        impl Operation {
            /// The subjects it is about.
            pub fn subjects(&self) -> Vec<String> {
                let (subject, also) = match self {
                    $( Self::$operation(operation) => (operation.subject(), operation.also()), )*
                };
                std::iter::once(subject).chain(also).collect()
            }

            fn narrows(&self) -> bool {
                match self { $( Self::$operation(operation) => operation.narrows(), )* }
            }

            fn judge(&self, state: &State, case: &Case<'_>) -> Result<Event, Refusal> {
                match self { $( Self::$operation(operation) => operation.judge(state, case).map(Event::$event), )* }
            }
        }

        impl Event {
            /// What happened, in a few words.
            pub fn told(&self) -> String {
                match self {
                    $( Self::$event(event) => event.told(), )*
                    Self::HostJoined(event) => event.told(),
                    Self::WarrantInstalled(event) => event.told(),
                }
            }
        }

        impl State {
            /// Changes the state by what happened; an event that was recorded cannot fail.
            pub fn apply(&mut self, event: &Event, index: u64) {
                match event {
                    $( Event::$event(event) => event.apply(self, index), )*
                    Event::HostJoined(event) => event.apply(self, index),
                    Event::WarrantInstalled(event) => event.apply(self, index),
                }
            }
        }
    };
}

operations! {
    AddIssuer => IssuerAdded;
    ActivateIssuer => IssuerActivated;
    ScopeIssuer => IssuerScoped;
    RotateIssuer => IssuerRotated;
    DelegateIssuer => IssuerDelegated;
    RetireIssuer => IssuerRetired;
    RevokeIssuer => IssuerRevoked;
    PublishContract => ContractPublished;
    WithdrawContract => ContractWithdrawn;
    PutDefault => DefaultPut;
    DeleteDefault => DefaultDeleted;
    AdmitComponent => ComponentAdmitted;
    RetireComponent => ComponentRetired;
    AdmitProvider => ProviderAdmitted;
    RetireProvider => ProviderRetired;
    InviteHost => HostInvited;
    BanHost => HostBanned;
    LabelHost => HostLabelled;
    PutLink => LinkPut;
    DeleteLink => LinkDeleted;
    PutRelaxation => RelaxationPut;
    EndRelaxation => RelaxationEnded;
}

impl State {
    /// Judges a command whole: every event it would cause, or the first reason why not.
    ///
    /// # Errors
    /// The reason of the command itself, or of the operation that is refused, with its number.
    pub fn handle(&self, examined: &Examined<Command>, now: Timestamp) -> Result<Vec<Event>, Refusal> {
        let command = &examined.document;
        self.in_context(command, now)?;
        let case = Case { now, examined };
        // A lone operation is judged on the state itself; later ones must see what earlier ones changed.
        if let [only] = command.operations.as_slice() {
            self.on_basis(only, command.basis)?;
            return Ok(vec![only.judge(self, &case)?]);
        }
        let mut after = self.clone();
        let mut events = Vec::with_capacity(command.operations.len());
        for (index, operation) in command.operations.iter().enumerate() {
            let numbered = |refusal: Refusal| refusal.within(format!("operation {}", index + 1));
            self.on_basis(operation, command.basis).map_err(numbered)?;
            let event = operation.judge(&after, &case).map_err(numbered)?;
            after.apply(&event, self.next_index());
            events.push(event);
        }
        Ok(events)
    }

    fn in_context(&self, command: &Command, now: Timestamp) -> Result<(), Refusal> {
        if command.aud != *self.lattice() {
            let detail = format!("the command is for lattice `{}`, this is `{}`", command.aud, self.lattice());
            return Err(Refusal::new(Reason::LatticeMismatch, detail));
        }
        if self.administrators().find(&command.iss).is_none() {
            return Err(Refusal::new(
                Reason::AdministratorUnknown,
                format!("`{}` is no administrator here", command.iss),
            ));
        }
        if self.administrators().threshold > 1 {
            let detail = format!("one administrator signed, {} must", self.administrators().threshold);
            return Err(Refusal::new(Reason::ThresholdUnmet, detail));
        }
        if command.not_after < now || command.not_after > now.plus(COMMAND_LIFETIME_S) {
            let detail = format!(
                "the command may be judged until {}, at most {COMMAND_LIFETIME_S} s ahead; the clock here says {now}",
                command.not_after
            );
            return Err(Refusal::new(Reason::CommandExpired, detail).with_skew(end(command.not_after, now)));
        }
        if self.has_seen(command.jti) {
            return Err(Refusal::new(Reason::CommandSeen, format!("command {} was already judged", command.jti)));
        }
        let count = command.operations.len();
        if count == 0 || count > MAX_OPERATIONS {
            let detail = format!("{count} operations, a command has 1 to {MAX_OPERATIONS}");
            return Err(Refusal::new(Reason::SchemaMismatch, detail));
        }
        Ok(())
    }

    fn on_basis(&self, operation: &Operation, basis: u64) -> Result<(), Refusal> {
        if operation.narrows() {
            return Ok(());
        }
        if basis > self.epoch() {
            let detail = format!("the command's signer had seen epoch {basis}, this log has come to {}", self.epoch());
            return Err(Refusal::new(Reason::StateRollback, detail));
        }
        let newer = operation.subjects().into_iter().find_map(|subject| {
            let last = self.last_touched(&subject).filter(|last| *last > basis)?;
            Some(format!("`{subject}` changed at {last}, the command's signer had seen {basis}"))
        });
        newer.map_or(Ok(()), |detail| Err(Refusal::new(Reason::Superseded, detail)))
    }
}

impl Case<'_> {
    /// The statement of that digest, as evidence.
    pub(crate) fn evidence(&self, sha256: Digest) -> Result<Evidence, Refusal> {
        self.examined.evidence(sha256)
    }
}

/// The end that an administrator gave, against the broker's clock.
pub(crate) const fn end(document: Timestamp, clock: Timestamp) -> Skew {
    Skew { document, clock, says: Says::Ends, signer: Clock::Administrator, judge: Clock::Broker }
}

/// A warrant of the root is in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WarrantInstalled {
    /// SHA-256 of its token.
    pub sha256: Digest,
    /// Its serial.
    pub serial: u64,
    /// The keys that may sign answers.
    pub decision_keys: Vec<Name<crate::key::Decision>>,
}

impl Apply for WarrantInstalled {
    fn apply(&self, state: &mut State, _index: u64) {
        state.install_warrant(self.serial, &self.decision_keys);
    }

    fn told(&self) -> String {
        format!("warrant {} installed", self.serial)
    }
}

/// The enrolled hosts, as the verifier of requests.
#[derive(Debug, Clone, Default)]
pub struct HostKeys {
    pub(crate) keys: std::collections::BTreeMap<Name<Host>, Key<Host>>,
    pub(crate) banned: std::collections::BTreeSet<Name<Host>>,
}

impl HostKeys {
    /// Whether a host was banned: its key still verifies what it asked before, but it gets no permit.
    pub fn is_banned(&self, host: &Name<Host>) -> bool {
        self.banned.contains(host)
    }

    /// Whether a host was ever enrolled.
    pub fn contains(&self, host: &Name<Host>) -> bool {
        self.keys.contains_key(host)
    }
}

impl sealed::Sealed for HostKeys {}

impl Keyring<StartRequest> for HostKeys {
    fn key(&self, request: &StartRequest) -> Result<Key<Host>, Refusal> {
        let found = self.keys.get(&request.iss).cloned();
        found.ok_or_else(|| Refusal::new(Reason::HostUnknown, format!("host `{}` is not enrolled", request.iss)))
    }
}

/// The administrators, as the verifier of commands; a keyring can be used, and nobody else can make one.
///
/// ```
/// # use policy::{command::Command, envelope::Keyring, key::{Administrator, Key}, reason::Refusal};
/// struct Mine<K>(K);
/// impl<K: Keyring<Command>> Mine<K> {
///     fn key(&self, command: &Command) -> Result<Key<Administrator>, Refusal> { self.0.key(command) }
/// }
/// ```
/// ```compile_fail
/// # // T100: a keyring of one's own
/// # use policy::{command::Command, envelope::Keyring, key::{Administrator, Key}, reason::Refusal};
/// struct Mine<K>(K);
/// impl<K: Keyring<Command>> Keyring<Command> for Mine<K> {
///     fn key(&self, command: &Command) -> Result<Key<Administrator>, Refusal> { self.0.key(command) }
/// }
/// ```
#[derive(Debug, Clone)]
pub struct AdministratorKeys(pub(crate) Vec<Key<Administrator>>);

impl AdministratorKeys {
    /// Whether this is an administrator.
    pub fn contains(&self, administrator: &Name<Administrator>) -> bool {
        self.0.iter().any(|key| key.name() == administrator)
    }
}

impl sealed::Sealed for AdministratorKeys {}

impl Keyring<Command> for AdministratorKeys {
    fn key(&self, command: &Command) -> Result<Key<Administrator>, Refusal> {
        let found = self.0.iter().find(|key| *key.name() == command.iss).cloned();
        found.ok_or_else(|| {
            Refusal::new(Reason::AdministratorUnknown, format!("`{}` is no administrator here", command.iss))
        })
    }
}
