//! Why something was refused: a stable code for everyone, a sentence for the administrator.
//!
//! Codes are never reused or renamed. Each has a meaning and a remedy, from which the reference of reasons is generated.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::skew::{Clock, Skew};

macro_rules! reasons {
    ($( $name:ident = $code:literal, $meaning:literal, $remedy:literal; )*) => {
        /// A stable reason code: what the asker may know.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Reason {
            $( #[doc = $meaning] #[serde(rename = $code)] $name, )*
        }

        impl Reason {
            /// Every reason, in the order of the reference.
            pub const ALL: &'static [Self] = &[$( Self::$name, )*];

            /// The stable code.
            pub const fn code(self) -> &'static str {
                match self { $( Self::$name => $code, )* }
            }

            /// The reason of a code.
            pub fn from_code(code: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|reason| reason.code() == code)
            }

            /// What the code means.
            pub const fn meaning(self) -> &'static str {
                match self { $( Self::$name => $meaning, )* }
            }

            /// What to do about it.
            pub const fn remedy(self) -> &'static str {
                match self { $( Self::$name => $remedy, )* }
            }
        }
    };
}

reasons! {
    TokenMalformed = "token_malformed", "the token is not three canonical base64url segments joined by dots", "get the token again from its signer, unaltered";
    TokenOversize = "token_oversize", "the document is larger than its kind allows, or than the NATS server takes in one message", "split it, ask its maker for a smaller one, or look at less at once: `-n`, `--limit`";
    TokenHeader = "token_header", "the token's header is not the one exact header of its kind", "re-sign with `countersign claims sign`";
    JsonMalformed = "json_malformed", "the JSON is not strict: syntax, encoding, a number form, or a null", "write strict JSON";
    JsonDuplicate = "json_duplicate", "a JSON object names one member twice", "remove the second member";
    JsonLimit = "json_limit", "the JSON is too deep, too wide, or has too long a string", "shorten it";
    SchemaMismatch = "schema_mismatch", "a member is missing, unknown, or of the wrong type", "compare with the example in docs/wire.md";
    SignatureInvalid = "signature_invalid", "the signature does not verify under the key that is named", "have the real owner of the key sign it";
    SecretInInput = "secret_in_input", "something that looks like a private key or a bearer token was given where none belongs", "treat that secret as lost: rotate it, and pass the public key";

    KeyMalformed = "key_malformed", "the key is not a canonical nkey: 56 characters, known prefix, right checksum", "copy the public key again, whole";
    KeyRole = "key_role", "the key is of another role than the one needed here", "use a key of the role named in the message";
    KeyWeak = "key_weak", "the key is not a canonical point of prime order, so others could sign for it", "make a new key with `countersign keys gen`";
    KeyInUse = "key_in_use", "the same 32 key bytes already serve in another role", "make a key for each purpose";
    KeyPublished = "key_published", "the key is a published example, so anybody can sign for it", "make a key of your own with `countersign keys gen`";
    SelfSigned = "self_signed", "the claims are signed by their own subject", "have an issuer sign them";

    NameMalformed = "name_malformed", "an id, package, version, scope or lattice name breaks its grammar", "use lower-case ASCII as shown in the message";

    ClaimsMissing = "claims_missing", "the bytes carry no signed claims", "sign them with `countersign claims sign`";
    ClaimsDuplicate = "claims_duplicate", "more than one claims section or entry", "sign the unsigned original once";
    ClaimsMisplaced = "claims_misplaced", "the claims section is nested, legacy, or not the last thing in the file", "sign the unsigned original with `countersign claims sign`";
    ClaimsKind = "claims_kind", "claims of one kind stand where another kind is expected", "sign with claims of the right kind";
    ClaimsRevision = "claims_revision", "the claims are not of wascap revision 3", "re-sign with `countersign claims sign`";
    HashMalformed = "hash_malformed", "a hash is not spelled as 64 hex digits of the right case", "re-sign with `countersign claims sign`";
    HashMismatch = "hash_mismatch", "the signed hash is that of other bytes", "use the bytes that were signed, or sign these";
    TimeMalformed = "time_malformed", "a time is not a whole number of seconds in range, or its ends are crossed", "re-sign with whole seconds";
    Expired = "expired", "its time of validity is over", "have it signed again";
    NotYetValid = "not_yet_valid", "its time of validity has not begun", "wait, or check the clocks named in the message";
    IssuedInFuture = "issued_in_future", "it was signed at a time that has not come", "check the clocks named in the message";
    LifetimeExceeded = "lifetime_exceeded", "it is valid for longer than its issuer may promise", "sign with an earlier end";

    WasmMalformed = "wasm_malformed", "the bytes are not a well-formed WebAssembly file in its one canonical encoding", "rebuild the file with current tools";
    WasmLimit = "wasm_limit", "the WebAssembly file is nested too deep, has too many sections, or is too large", "split the component";
    WasmPrecompiled = "wasm_precompiled", "the bytes are precompiled machine code, not WebAssembly", "give the component itself";
    ImportUnsupported = "import_unsupported", "an import is neither an interface nor a type and cannot be bound", "import through an interface of a package";
    ArchiveMalformed = "archive_malformed", "the provider archive is not a plain tar, or not one whole gzip member of it", "write it with `countersign archive create`";
    ArchiveEntry = "archive_entry", "the archive holds an entry that is not a regular file of an expected name", "write it with `countersign archive create`";
    ArchiveUnsigned = "archive_unsigned", "an entry of the archive has no signed hash, or a signed hash has no entry", "write it with `countersign archive create`";
    ArchiveLimit = "archive_limit", "the archive has too many entries, or expands too far", "write it with `countersign archive create`";

    IssuerUnknown = "issuer_unknown", "nobody here trusts the issuer", "`countersign issuer add KEY --scope SCOPE`, if you know whose key it is";
    IssuerRevoked = "issuer_revoked", "the issuer's key was revoked as compromised: everything it signed is refused", "have a trusted issuer sign it";
    IssuerRetired = "issuer_retired", "the issuer had retired when this was signed", "have an active issuer sign it";
    IssuerPrepared = "issuer_prepared", "the issuer is prepared: its word does not count yet", "`countersign issuer activate KEY --proof FILE`, with a proof that its owner makes";
    IssuerKind = "issuer_kind", "the issuer may not sign this kind of thing", "have an issuer of that kind sign it";
    IssuerScope = "issuer_scope", "the issuer may not speak for that package", "have an issuer whose scope covers it sign it";
    ProofMissing = "proof_missing", "nobody proved to hold the key that would be trusted", "have its owner make one: `countersign issuer prove --issuer-key FILE`; then repeat with `--proof FILE`";
    DelegationDepth = "delegation_depth", "a delegate's say goes no further: it neither delegates nor is rotated", "have its delegator sign for the other key";

    HostUnknown = "host_unknown", "the host is not enrolled in this lattice", "`countersign host invite`, then `countersign-host join`";
    HostBanned = "host_banned", "the host was banned", "look at `countersign host show`";
    LatticeMismatch = "lattice_mismatch", "the message is for another lattice", "check `--lattice` on both sides";
    ReplyElsewhere = "reply_elsewhere", "the reply would go to a subject that is not the asker's own inbox", "ask with the inbox prefix `_INBOX_<own public key>`";
    RequestStale = "request_stale", "the request's time is too far from the broker's", "check the clocks named in the message";
    RateLimited = "rate_limited", "the host asks faster than its share", "slow down; running bindings stay";

    ComponentUnknown = "component_unknown", "no component was admitted under that id", "`countersign component admit FILE --id ID`";
    ComponentIdNotYours = "component_id_not_yours", "another subject owns that component id", "run it under its own id";
    SubjectOwned = "subject_owned", "the subject belongs to the issuer under whom it was admitted first, and another signed it", "have that issuer sign it, or hand the subject over: `admit FILE --take-over`";
    ComponentRetired = "component_retired", "the component id was retired", "`countersign component admit FILE --id ID` to bring it back";
    Downgrade = "downgrade", "a higher revision of that subject was admitted already", "sign a higher revision, or admit these very bytes: `admit FILE --allow-downgrade`";
    UndeclaredImport = "undeclared_import", "the bytes import what their signed claims do not list", "sign claims that list it";

    ContractUnknown = "contract_unknown", "no contract is published for the package", "`countersign contract publish FILE`";
    ContractWithdrawn = "contract_withdrawn", "the contract was withdrawn", "publish a newer revision";
    ContractTrack = "contract_track", "the contract does not cover that version", "import a version of a listed track, or publish a contract that lists it";
    ContractInterface = "contract_interface", "the contract does not name that interface", "publish a contract that names it";
    ContractDowngrade = "contract_downgrade", "a contract of that or a higher revision is already published", "sign a higher revision";

    LinkMissing = "link_missing", "no link answers the import, and the lattice's default is never", "`countersign link put`, or `countersign default put PACKAGE --bind builtin`";
    LinkRemoved = "link_removed", "its link was deleted, and nobody accepted the default in its place", "`countersign link put`, or `countersign link del --accept-default`";
    LinkSuspended = "link_suspended", "an end of the link changed outside its pin, and nobody accepted that yet", "look at `countersign link show`, then `countersign link accept`, or put the old end back";
    Ambiguous = "ambiguous", "two candidates could answer, and order never decides", "retire one, or link to one by digest";
    BuiltinAbsent = "builtin_absent", "no admitted builtin of this host serves the package", "`countersign provider admit`, or start the host with that builtin";
    AnswersItself = "answers_itself", "the provider is the very thing whose import it would answer", "link to another provider";
    ProviderUnknown = "provider_unknown", "the provider is not admitted", "`countersign provider admit FILE`";
    ProviderRetired = "provider_retired", "the provider was retired", "link to another, or admit it again";
    ProviderNotAllowed = "provider_not_allowed", "the contract does not allow that provider to answer", "publish a contract that lists its issuer or subject";
    ProviderVersion = "provider_version", "the provider serves an older version, or another track, than the import needs", "link to a newer provider";
    ProviderInterface = "provider_interface", "the provider does not serve every interface that is imported", "link to a provider that serves them all";
    ConfigRequired = "config_required", "the contract demands configuration and the binding has none", "`countersign link put … --config KEY=VALUE`";
    ConfigForbidden = "config_forbidden", "the contract takes no configuration and the binding has some", "put the link without `--config`";
    ConfigMismatch = "config_mismatch", "the configuration does not fit the schema of the contract or of the provider", "mend the member that the message names";

    RuleForbids = "rule_forbids", "a rule of the operator forbids what the law would permit", "`countersign explain FILE` names the rule; whoever wrote it may change it: `countersign rules put FILE`";
    RuleError = "rule_error", "a rule of the operator could not be decided, which is a no", "mend the rule that `countersign explain FILE` names: `countersign rules test CASES`, then `rules put`";
    RuleCase = "rule_case", "the rules answer a written case otherwise than its writer expected, or no case shows a rule", "mend the rule, or the case";
    RulesMalformed = "rules_malformed", "the text of rules is too long or too deep, does not parse, does not fit the schema, or permits", "`countersign rules check FILE` says where and why";

    AdministratorUnknown = "administrator_unknown", "the signer is no administrator of this lattice", "sign with an administrator's key: `--key FILE`";
    RoleMissing = "role_missing", "the administrator has not the role that this takes", "have one sign who has the role named in the message: `countersign admin list`";
    ThresholdUnmet = "threshold_unmet", "fewer administrators could sign than must", "put more operators first, or a lower threshold: `countersign admin put`, `countersign threshold put`";
    LastOperator = "last_operator", "nobody would be left who is operator without an end", "put another operator first: `countersign admin put KEY --role operator`";
    PendingApproval = "pending_approval", "it is recorded and changes nothing yet: more administrators must sign it", "have others sign it, `countersign approve ID`; `countersign approve --list` shows what waits";
    SignedAlready = "signed_already", "that person's signature is there already, under this key or another of the same name", "have somebody else sign it";
    WaitingLimit = "waiting_limit", "as many commands of that administrator wait for others as may", "have some of them approved, or take them back: `countersign reject ID`";
    QuerySeen = "query_seen", "a query of that id was already answered", "ask anew: each query has a nonce of its own";
    CommandExpired = "command_expired", "the command's last moment has passed, or lies too far ahead", "sign it again";
    CommandSeen = "command_seen", "a command of that id was already judged", "sign a new one";
    Superseded = "superseded", "something changed since the command's signer last looked", "look again, then repeat the command";
    AlreadyExists = "already_exists", "it is already so", "nothing, where it stands as you want it: `show` and `list` tell";
    NotFound = "not_found", "there is no such thing here", "look at the matching `list`";
    NotDefaultable = "not_defaultable", "the contract says that no default may answer it", "link to a provider";
    NotSupportedYet = "not_supported_yet", "this form is reserved until hosts report inventories", "use `--bind builtin` or a link";
    NotRelaxable = "not_relaxable", "that reason holds whatever stands in state", "mend what it is about; docs/operations.md lists what may be relaxed";
    RelaxationExcessive = "relaxation_excessive", "a weakening without a near end, without a reason, or wider than one may be", "name an end at most 30 days ahead, why, and less at once";
    EvidenceMissing = "evidence_missing", "an attachment that the document names is not there, or one is there that it does not name", "send the document with its attachments";
    InviteUnknown = "invite_unknown", "the invitation is unknown, used, or over", "`countersign host invite`";

    AuditUnavailable = "audit_unavailable", "the log could not be written, so nothing may be granted", "see `countersign status` and the broker's messages: disk, permissions";
    StateRollback = "state_rollback", "the state is older than one already seen", "stop: find out who put back an old copy";
    LogFork = "log_fork", "two signed pieces of the log contradict each other: the log was forked, and this host holds both", "look at `countersign-host fork show`, find the second log, then `countersign-host fork dismiss`; docs/operations.md has the steps";
    JournalMismatch = "journal_mismatch", "a host's journal and the log contradict each other", "keep both: they are evidence; docs/operations.md says how to tell which one was altered";
    ClockRollback = "clock_rollback", "the broker's clock is behind the time that its log has come to", "set the clock right; if it is right, `countersign clock acknowledge`";
    BrokerUnreachable = "broker_unreachable", "no valid answer came in time", "start the broker, or check --nats-url";
    StandbyOver = "standby_over", "no broker answers, and the standby permit held here is over, or a clock was set back", "start the broker, or check --nats-url; check this host's clock";
    StandbyVoid = "standby_void", "no broker answers, and the standby permit held here is another host's, was altered, or is older than what this host has seen change", "start the broker, or check --nats-url";
    WirePlain = "wire_plain", "a connection to another machine would not be encrypted", "write `tls://` before the server's name; `--tls-ca FILE` names an authority of your own";
    BrokerKeyUnknown = "broker_key_unknown", "the answer's key stands in no warrant of the pinned root", "find out who answered; check the warrant";
    AnswerMismatch = "answer_mismatch", "the answer is genuine but not to this question", "nothing to do: it was ignored";
    PermitExpired = "permit_expired", "the permit's few seconds were over before it was used", "ask again";
    Unpermitted = "unpermitted", "an import would be filled without a permit", "nothing to do: it was not filled";
    EpochBehind = "epoch_behind", "the answer knows less than this host does", "ask again";
    FileUnsafe = "file_unsafe", "a builtin, or its folder, is a link or no plain file, belongs to a stranger, or may be written to by others", "put the file itself there under your own user, and `chmod go-w` it and its folder";
    ArtifactUnavailable = "artifact_unavailable", "the provider's bytes of the permitted digest are not here", "put the file into the folder of `--artifacts`";
    LimitExceeded = "limit_exceeded", "the component used more memory, time, instances, handles or calls than it may", "raise the host's limit, or mend the component";
    LogBroken = "log_broken", "a row of the log does not follow from those before it", "keep the file: it is evidence";
    SegmentMissing = "segment_missing", "what old entries say lies in a segment that is not here", "name the folder where the segments are kept with `--segments DIR`, as `countersign why`, `audit prove`, `audit export`, `audit reconcile` and `audit verify` take it";
    ExportMismatch = "export_mismatch", "the file is no export of this log, or was changed", "keep the file: it may be evidence; export to another one";
    ProofInvalid = "proof_invalid", "a proof does not lead from the entry to the checkpoint, or a tile or a kept checkpoint is not of this log", "get the proof again from who keeps the log, and keep this one: it is evidence";
}

/// A reason with the sentence that an administrator may read.
///
/// The sentence never holds a secret, and the asker over the wire sees the code alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The stable code.
    pub reason: Reason,
    /// Lower case, no full stop, both sides of a mismatch.
    pub detail: String,
    /// The two times, where it is for a time's sake; no part of what is recorded.
    pub skew: Option<Box<Skew>>,
}

impl Refusal {
    /// A refusal with its sentence.
    pub fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into(), skew: None }
    }

    /// The same refusal, with the two times that it is about.
    #[must_use]
    pub fn with_skew(self, skew: Skew) -> Self {
        Self { skew: Some(Box::new(skew)), ..self }
    }

    /// The same refusal, where the two times were read from these clocks.
    #[must_use]
    pub fn between(mut self, signer: Clock, judge: Clock) -> Self {
        if let Some(skew) = &mut self.skew {
            (skew.signer, skew.judge) = (signer, judge);
        }
        self
    }

    /// The sentence for people: the recorded one, and what is to be said of clocks.
    pub fn sentence(&self) -> String {
        match &self.skew {
            None => self.detail.clone(),
            Some(skew) => format!("{}: {skew}", self.detail),
        }
    }

    /// The sentence as documents carry it: cut, so that the strict reader takes back whatever was written.
    ///
    /// It is counted in bytes, as that reader counts: a stranger may have chosen its letters.
    pub fn brief(&self) -> String {
        self.detail.get(..self.detail.floor_char_boundary(MAX_BRIEF)).unwrap_or_default().to_owned()
    }

    /// As [`Refusal::brief`], with what is to be said of clocks: for receipts, which are recorded nowhere.
    pub fn briefly(&self) -> String {
        match &self.skew {
            None => self.brief(),
            Some(skew) => format!("{}: {skew}", self.brief()),
        }
    }

    /// The same refusal, told from further away: `context: detail`.
    #[must_use]
    pub fn within(self, context: impl fmt::Display) -> Self {
        Self { detail: format!("{context}: {}", self.detail), ..self }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason, self.detail)?;
        self.skew.as_ref().map_or(Ok(()), |skew| write!(f, ": {skew}"))
    }
}

impl std::error::Error for Refusal {}

const MAX_BRIEF: usize = 400;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn codes_are_unique_and_snake_case() {
        let codes: BTreeSet<_> = Reason::ALL.iter().map(|reason| reason.code()).collect();
        assert_eq!(codes.len(), Reason::ALL.len());
        assert!(codes.iter().all(|code| code.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')));
    }
}
