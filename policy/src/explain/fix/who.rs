//! Who can do something about a refusal: the parties of a lattice, and whose matter each reason is.
//!
//! Which role of administrator an act takes is said by its operation.

use serde::Serialize;

use crate::reason::Reason;

/// A party that can do something about a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Who {
    /// An administrator of the lattice.
    Administrator,
    /// Whoever holds the key of the issuer that signs claims.
    IssuerOwner,
    /// The issuer that speaks for the package, as the signer of its contract.
    ContractOwner,
    /// Whoever holds the lattice's root.
    RootHolder,
    /// Whoever runs the host.
    HostOperator,
    /// Whoever runs the broker.
    BrokerOperator,
    /// Whoever builds the component.
    ComponentDeveloper,
    /// Whoever builds the provider.
    ProviderDeveloper,
}

impl Who {
    /// In words.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Administrator => "an administrator",
            Self::IssuerOwner => "the issuer's owner",
            Self::ContractOwner => "the package's owner",
            Self::RootHolder => "the root's holder",
            Self::HostOperator => "the host's operator",
            Self::BrokerOperator => "the broker's operator",
            Self::ComponentDeveloper => "the component's developer",
            Self::ProviderDeveloper => "the provider's developer",
        }
    }

    /// Whose matter a reason is, where no act on the state lifts it.
    pub const fn of(reason: Reason) -> Self {
        use Reason as R;
        match reason {
            R::TokenMalformed
            | R::TokenOversize
            | R::TokenHeader
            | R::JsonMalformed
            | R::JsonDuplicate
            | R::JsonLimit
            | R::SchemaMismatch
            | R::SignatureInvalid
            | R::SecretInInput
            | R::KeyMalformed
            | R::KeyRole
            | R::KeyWeak
            | R::KeyPublished
            | R::SelfSigned
            | R::NameMalformed
            | R::ClaimsMissing
            | R::ClaimsDuplicate
            | R::ClaimsMisplaced
            | R::ClaimsKind
            | R::ClaimsRevision
            | R::HashMalformed
            | R::HashMismatch
            | R::TimeMalformed
            | R::Expired
            | R::NotYetValid
            | R::IssuedInFuture
            | R::LifetimeExceeded
            | R::IssuerRevoked
            | R::IssuerRetired
            | R::ProofMissing
            | R::DelegationDepth
            | R::IssuerKind
            | R::IssuerScope
            | R::UndeclaredImport
            | R::EvidenceMissing => Self::IssuerOwner,
            R::ContractDowngrade | R::ContractInterface | R::ContractUnknown | R::ContractWithdrawn => {
                Self::ContractOwner
            }
            R::WasmMalformed
            | R::WasmLimit
            | R::WasmPrecompiled
            | R::ImportUnsupported
            | R::ContractTrack
            | R::AnswersItself => Self::ComponentDeveloper,
            R::ArchiveMalformed
            | R::ArchiveEntry
            | R::ArchiveUnsigned
            | R::ArchiveLimit
            | R::ProviderVersion
            | R::ProviderInterface => Self::ProviderDeveloper,
            R::HostUnknown
            | R::HostBanned
            | R::LatticeMismatch
            | R::ReplyElsewhere
            | R::RequestStale
            | R::RateLimited
            | R::ComponentIdNotYours
            | R::BuiltinAbsent
            | R::BrokerUnreachable
            | R::StandbyOver
            | R::StandbyVoid
            | R::WirePlain
            | R::AnswerMismatch
            | R::PermitExpired
            | R::Unpermitted
            | R::EpochBehind
            | R::FileUnsafe
            | R::ArtifactUnavailable
            | R::LogFork
            | R::LimitExceeded => Self::HostOperator,
            R::AuditUnavailable
            | R::StateRollback
            | R::JournalMismatch
            | R::ClockRollback
            | R::LogBroken
            | R::SegmentMissing
            | R::ExportMismatch
            | R::ProofInvalid => Self::BrokerOperator,
            R::BrokerKeyUnknown => Self::RootHolder,
            R::KeyInUse
            | R::IssuerUnknown
            | R::ComponentUnknown
            | R::IssuerPrepared
            | R::SubjectOwned
            | R::Downgrade
            | R::ComponentRetired
            | R::LinkMissing
            | R::LinkRemoved
            | R::LinkSuspended
            | R::Ambiguous
            | R::ProviderUnknown
            | R::ProviderRetired
            | R::ProviderNotAllowed
            | R::ConfigRequired
            | R::ConfigForbidden
            | R::ConfigMismatch
            | R::AdministratorUnknown
            | R::RoleMissing
            | R::ThresholdUnmet
            | R::LastOperator
            | R::PendingApproval
            | R::SignedAlready
            | R::WaitingLimit
            | R::QuerySeen
            | R::CommandExpired
            | R::CommandSeen
            | R::Superseded
            | R::AlreadyExists
            | R::NotFound
            | R::NotDefaultable
            | R::NotSupportedYet
            | R::InviteUnknown
            | R::RuleForbids
            | R::RuleError
            | R::RuleCase
            | R::RulesMalformed
            | R::NotRelaxable
            | R::RelaxationExcessive => Self::Administrator,
        }
    }
}

/// Several parties, each in its turn.
pub(super) fn sentence(roles: &[Who]) -> String {
    roles.iter().map(|role| role.words()).collect::<Vec<_>>().join(", then ")
}
