//! Governance: Command → Event → State. `handle` judges and changes nothing; `apply` changes and cannot fail.
//!
//! One file per operation, each with its operation, its event, how it is judged and what it changes. A new operation
//! is its file and one line in the table below, which names the role that may do it.

mod accept_link;
mod acknowledge_clock;
mod activate_issuer;
mod add_issuer;
mod administrators;
mod admit_component;
mod admit_provider;
mod approve_command;
mod ban_host;
mod change_roots;
mod checked;
mod delegate_issuer;
mod delete_default;
mod delete_link;
mod delete_rules;
mod disorder;
mod end_relaxation;
mod handle;
mod host_joined;
mod invite_host;
mod label_host;
mod link;
mod owning;
mod pin;
mod planned;
mod proving;
mod publish_contract;
mod put_administrator;
mod put_default;
mod put_link;
mod put_relaxation;
mod put_rules;
mod put_threshold;
mod records;
mod reject_command;
mod remove_administrator;
mod restore;
mod retire_component;
mod retire_issuer;
mod retire_provider;
mod revoke_issuer;
mod rotate_issuer;
mod scope_issuer;
mod state;
mod switch_link;
mod warrant_installed;
mod weight;
mod withdraw_contract;
mod withdrawing;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::envelope::{Keyring, sealed};
use crate::examine::{self, Evidence, Verdict};
use crate::key::{Administrator, Host, Key, Name};
use crate::question::StartRequest;
use crate::reason::{Reason, Refusal};
use crate::skew::{Clock, Says, Skew};
use crate::time::Timestamp;

pub use accept_link::AcceptLink;
pub use acknowledge_clock::{AcknowledgeClock, ClockAcknowledged};
pub use activate_issuer::ActivateIssuer;
pub use add_issuer::AddIssuer;
pub use administrators::{AdminRecord, AdminRole, AdministratorKeys, Signer};
pub use admit_component::AdmitComponent;
pub use admit_provider::AdmitProvider;
pub use approve_command::ApproveCommand;
pub use ban_host::BanHost;
pub use change_roots::RootsChanged;
pub use checked::{Checked, Configured};
pub use delegate_issuer::DelegateIssuer;
pub use delete_default::DeleteDefault;
pub use delete_link::DeleteLink;
pub use delete_rules::DeleteRules;
pub use disorder::{Ahead, Disorder, Filled, Jump, Times};
pub use end_relaxation::{EndRelaxation, RelaxationEnded};
pub use handle::Handled;
pub use host_joined::HostJoined;
pub use invite_host::InviteHost;
pub use label_host::{HostLabelled, LabelHost};
pub use link::{Beside, End, LinkKey, LinkRecord, LinkSlot};
pub use owning::{Owned, Waiver};
pub use pin::{Departed, Now, Pin, PinnedIssuer, Schemas};
pub use planned::Planned;
use proving::begins_before;
pub use publish_contract::{ContractPublished, PublishContract};
pub use put_administrator::PutAdministrator;
pub use put_default::{Bind, DefaultPut, PutDefault};
pub(crate) use put_link::configured;
pub use put_link::{LinkPut, MAX_NAMES, PutLink};
pub use put_relaxation::{PutRelaxation, RelaxationPut};
pub use put_rules::{PutRules, RulesPut};
pub use put_threshold::PutThreshold;
pub use records::{ComponentRecord, HostRecord, HostStanding, ProviderRecord, Published};
pub use reject_command::RejectCommand;
pub use remove_administrator::RemoveAdministrator;
pub use restore::{Disowned, LogRestored, Restore};
pub use retire_component::RetireComponent;
pub use retire_issuer::RetireIssuer;
pub use retire_provider::RetireProvider;
pub use revoke_issuer::RevokeIssuer;
pub use rotate_issuer::{OVERLAP_S, RotateIssuer};
pub use scope_issuer::{Reach, ScopeIssuer};
pub use state::State;
pub use switch_link::{Stage, SwitchLink, Target};
pub use warrant_installed::WarrantInstalled;
pub use weight::{CommandProposed, Lack, MAX_WAITING, Waiting, Weighty};
pub use withdraw_contract::WithdrawContract;

pub use {
    accept_link::LinkAccepted,
    activate_issuer::IssuerActivated,
    add_issuer::IssuerAdded,
    admit_component::ComponentAdmitted,
    admit_provider::{ProviderAdmitted, SignedBy},
    approve_command::CommandApproved,
    ban_host::HostBanned,
    delegate_issuer::IssuerDelegated,
    delete_default::DefaultDeleted,
    delete_link::LinkDeleted,
    delete_rules::RulesDeleted,
    invite_host::HostInvited,
    put_administrator::AdministratorPut,
    put_threshold::ThresholdPut,
    reject_command::CommandRejected,
    remove_administrator::AdministratorRemoved,
    retire_component::ComponentRetired,
    retire_issuer::IssuerRetired,
    retire_provider::ProviderRetired,
    revoke_issuer::IssuerRevoked,
    rotate_issuer::IssuerRotated,
    scope_issuer::IssuerScoped,
    switch_link::{LinkSwitched, Staged},
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
    /// The class that says how many must sign it, in this state; without one, its author is enough.
    fn weighs(&self, _: &State) -> Option<Weighty> {
        None
    }
    /// Whether it lets come back what was taken away: that weighs as a weakening.
    fn reopens(&self, _: &State, _: &Case<'_>) -> bool {
        false
    }
    /// How many must sign it, where that is more than its class says.
    fn persons(&self, _: &State) -> u64 {
        1
    }
    /// Whether it puts the log's own order right: judged while the clock is behind, like what narrows.
    fn mends(&self) -> bool {
        false
    }
    fn judge(&self, state: &State, case: &Case<'_>) -> Result<Self::Event, Refusal>;
}

/// What an event does to the state.
pub(crate) trait Apply {
    fn apply(&self, state: &mut State, index: u64);
    /// Whether it only takes away, as its operation says; such acts are recorded as long as there is any space (T90).
    fn narrows(&self) -> bool {
        false
    }
    /// In a few words, for a list.
    fn told(&self) -> String;
}

/// What an operation is judged with, besides the state.
pub(crate) struct Case<'a> {
    pub(crate) now: Timestamp,
    // What the broker's own clock says; the log's time, which is `now`, never runs backwards.
    pub(crate) clock: Timestamp,
    /// Whose act it is.
    pub(crate) by: &'a Name<Administrator>,
    pub(crate) evidence: &'a BTreeMap<Digest, Verdict>,
    pub(crate) attachments: &'a [Vec<u8>],
    /// What the broker found of the configurations of all operations.
    pub(crate) found: &'a [Checked],
    /// And of this one's.
    pub(crate) checked: Option<&'a Checked>,
}

macro_rules! operations {
    ($( $operation:ident => $event:ident by $role:ident; )*) => {
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
            /// See [`CommandProposed`].
            CommandProposed(CommandProposed),
            /// See [`RootsChanged`].
            RootsChanged(RootsChanged),
        }

        impl Operation {
            /// How many kinds there are.
            pub const KINDS: usize = [$( stringify!($operation), )*].len();

            /// The name of its kind, as in the table.
            pub const fn kind(&self) -> &'static str {
                match self { $( Self::$operation(_) => stringify!($operation), )* }
            }

            /// The role that may do it.
            pub const fn role(&self) -> AdminRole {
                match self { $( Self::$operation(_) => AdminRole::$role, )* }
            }

            fn weight(&self, state: &State) -> Option<Weighty> {
                match self { $( Self::$operation(operation) => operation.weighs(state), )* }
            }

            fn reopens(&self, state: &State, case: &Case<'_>) -> bool {
                match self { $( Self::$operation(operation) => operation.reopens(state, case), )* }
            }

            fn persons(&self, state: &State) -> u64 {
                match self { $( Self::$operation(operation) => operation.persons(state), )* }
            }

            /// The subjects it is about.
            pub fn subjects(&self) -> Vec<String> {
                let (subject, also) = match self {
                    $( Self::$operation(operation) => (operation.subject(), operation.also()), )*
                };
                std::iter::once(subject).chain(also).collect()
            }

            /// Whether it only takes away: it has two moments, recorded and effective.
            pub fn narrows(&self) -> bool {
                match self { $( Self::$operation(operation) => operation.narrows(), )* }
            }

            fn mends(&self) -> bool {
                match self { $( Self::$operation(operation) => operation.mends(), )* }
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
                    Self::CommandProposed(event) => event.told(),
                    Self::RootsChanged(event) => event.told(),
                }
            }

            /// Whether it only takes away.
            pub fn narrows(&self) -> bool {
                match self {
                    $( Self::$event(event) => event.narrows(), )*
                    Self::HostJoined(event) => event.narrows(),
                    Self::WarrantInstalled(event) => event.narrows(),
                    Self::CommandProposed(event) => event.narrows(),
                    Self::RootsChanged(event) => event.narrows(),
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
                    Event::CommandProposed(event) => event.apply(self, index),
                    Event::RootsChanged(event) => event.apply(self, index),
                }
            }
        }
    };
}

operations! {
    AddIssuer => IssuerAdded by IssuerAdmin;
    ActivateIssuer => IssuerActivated by IssuerAdmin;
    ScopeIssuer => IssuerScoped by IssuerAdmin;
    RotateIssuer => IssuerRotated by IssuerAdmin;
    DelegateIssuer => IssuerDelegated by IssuerAdmin;
    RetireIssuer => IssuerRetired by IssuerAdmin;
    RevokeIssuer => IssuerRevoked by IssuerAdmin;
    PublishContract => ContractPublished by IssuerAdmin;
    WithdrawContract => ContractWithdrawn by IssuerAdmin;
    PutDefault => DefaultPut by LinkAdmin;
    DeleteDefault => DefaultDeleted by LinkAdmin;
    AdmitComponent => ComponentAdmitted by IssuerAdmin;
    RetireComponent => ComponentRetired by IssuerAdmin;
    AdmitProvider => ProviderAdmitted by IssuerAdmin;
    RetireProvider => ProviderRetired by IssuerAdmin;
    InviteHost => HostInvited by Operator;
    BanHost => HostBanned by Operator;
    LabelHost => HostLabelled by Operator;
    PutLink => LinkPut by LinkAdmin;
    DeleteLink => LinkDeleted by LinkAdmin;
    SwitchLink => LinkSwitched by LinkAdmin;
    AcceptLink => LinkAccepted by LinkAdmin;
    PutRules => RulesPut by Operator;
    DeleteRules => RulesDeleted by Operator;
    PutAdministrator => AdministratorPut by Operator;
    RemoveAdministrator => AdministratorRemoved by Operator;
    PutThreshold => ThresholdPut by Operator;
    AcknowledgeClock => ClockAcknowledged by Operator;
    Restore => LogRestored by Operator;
    PutRelaxation => RelaxationPut by Operator;
    EndRelaxation => RelaxationEnded by Operator;
    // Who may sign or turn down what waits is what that asks for.
    ApproveCommand => CommandApproved by Viewer;
    RejectCommand => CommandRejected by Viewer;
}

impl Case<'_> {
    /// The statement of that digest, as evidence.
    pub(crate) fn evidence(&self, sha256: Digest) -> Result<Evidence, Refusal> {
        examine::evidence(self.evidence, sha256)
    }
}

/// The end that an administrator gave, against the broker's clock.
pub(crate) const fn end(document: Timestamp, clock: Timestamp) -> Skew {
    Skew { document, clock, says: Says::Ends, signer: Clock::Administrator, judge: Clock::Broker }
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

    pub(crate) fn enrolled(&self, host: &Name<Host>) -> Result<Key<Host>, Refusal> {
        let found = self.keys.get(host).cloned();
        found.ok_or_else(|| Refusal::new(Reason::HostUnknown, format!("host `{host}` is not enrolled")))
    }
}

impl sealed::Sealed for HostKeys {}

impl Keyring<StartRequest> for HostKeys {
    fn key(&self, request: &StartRequest) -> Result<Key<Host>, Refusal> {
        self.enrolled(&request.iss)
    }
}
