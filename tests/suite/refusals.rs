//! Every refusal: for each reason code, somebody does what it is for, end to end, and meets that very code.
//!
//! Through the built programs, or over NATS against a real server and a real broker. How a refusal must look wherever
//! it is met is `seen`; the lattice that the attacks share is `stage`, and one file per chapter carries them out.

mod administrators;
mod artifacts;
mod claims;
mod components;
mod contracts;
mod evidence;
mod hosts;
mod issuers;
mod keeping;
mod keys;
mod links;
mod middle;
mod rules;
mod seen;
mod signing;
mod stage;
mod standby;
mod tokens;

use policy::reason::Reason;

use seen::Seen;
use stage::Stage;

/// Does what a reason is for, and tells what it met.
type Attack = fn(&Stage) -> Seen;

/// The chapters of the reference of reasons, one test each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Chapter {
    Tokens,
    Keys,
    Claims,
    Artifacts,
    Issuers,
    Hosts,
    Components,
    Contracts,
    Links,
    Rules,
    Administrators,
    Evidence,
}

// No arm for the rest: a new reason does not compile until somebody attacks it.
fn attack(reason: Reason) -> (Chapter, Attack) {
    use Chapter::{
        Administrators, Artifacts, Claims, Components, Contracts, Evidence, Hosts, Issuers, Keys, Links, Rules, Tokens,
    };
    match reason {
        Reason::TokenMalformed => (Tokens, tokens::two_segments),
        Reason::TokenOversize => (Tokens, tokens::longer_than_any),
        Reason::TokenHeader => (Tokens, tokens::no_algorithm),
        Reason::JsonMalformed => (Tokens, tokens::lax_json),
        Reason::JsonDuplicate => (Tokens, tokens::two_issuers),
        Reason::JsonLimit => (Tokens, tokens::endless_nesting),
        Reason::SchemaMismatch => (Tokens, tokens::unknown_member),
        Reason::SignatureInvalid => (Tokens, tokens::forged),
        Reason::SecretInInput => (Tokens, tokens::seed_in_a_sentence),

        Reason::KeyMalformed => (Keys, keys::mistyped),
        Reason::KeyRole => (Keys, keys::host_as_issuer),
        Reason::KeyWeak => (Keys, keys::anybody_can_sign),
        Reason::KeyPublished => (Keys, keys::from_a_book),
        Reason::KeyInUse => (Keys, keys::administrator_as_issuer),
        Reason::SelfSigned => (Keys, keys::own_witness),
        Reason::NameMalformed => (Keys, keys::two_tokens_as_an_id),

        Reason::ClaimsMissing => (Claims, claims::unsigned),
        Reason::ClaimsDuplicate => (Claims, claims::two_sections),
        Reason::ClaimsMisplaced => (Claims, claims::bytes_behind),
        Reason::ClaimsKind => (Claims, claims::of_a_provider),
        Reason::ClaimsRevision => (Claims, claims::of_an_older_form),
        Reason::HashMalformed => (Claims, claims::lower_case_hash),
        Reason::HashMismatch => (Claims, claims::grafted),
        Reason::TimeMalformed => (Claims, claims::crossed_ends),
        Reason::Expired => (Claims, claims::ended),
        Reason::NotYetValid => (Claims, claims::not_begun),
        Reason::IssuedInFuture => (Claims, claims::from_tomorrow),
        Reason::LifetimeExceeded => (Claims, claims::without_end),

        Reason::WasmMalformed => (Artifacts, artifacts::cut_short),
        Reason::WasmLimit => (Artifacts, artifacts::too_many_sections),
        Reason::WasmPrecompiled => (Artifacts, artifacts::machine_code),
        Reason::ImportUnsupported => (Artifacts, artifacts::bare_function),
        Reason::ArchiveMalformed => (Artifacts, artifacts::archive_without_an_end),
        Reason::ArchiveEntry => (Artifacts, artifacts::entry_outside),
        Reason::ArchiveUnsigned => (Artifacts, artifacts::entry_slipped_in),
        Reason::ArchiveLimit => (Artifacts, artifacts::gzip_bomb),

        Reason::IssuerUnknown => (Issuers, issuers::stranger),
        Reason::IssuerRevoked => (Issuers, issuers::thief),
        Reason::IssuerRetired => (Issuers, issuers::pensioner),
        Reason::IssuerPrepared => (Issuers, issuers::too_early),
        Reason::IssuerKind => (Issuers, issuers::owner_of_contracts_alone),
        Reason::IssuerScope => (Issuers, issuers::neighbour),
        Reason::ProofMissing => (Issuers, issuers::key_of_somebody),
        Reason::DelegationDepth => (Issuers, issuers::lent_on),

        Reason::HostUnknown => (Hosts, hosts::never_enrolled),
        Reason::HostBanned => (Hosts, hosts::banned),
        Reason::LatticeMismatch => (Hosts, hosts::of_another_lattice),
        Reason::ReplyElsewhere => (Hosts, hosts::answer_for_somebody_else),
        Reason::RequestStale => (Hosts, hosts::kept_for_later),
        Reason::RateLimited => (Hosts, hosts::flood),

        Reason::ComponentUnknown => (Components, components::never_admitted),
        Reason::ComponentIdNotYours => (Components, components::under_anothers_id),
        Reason::SubjectOwned => (Components, components::anothers_subject),
        Reason::ComponentRetired => (Components, components::retired),
        Reason::Downgrade => (Components, components::older_than_admitted),
        Reason::UndeclaredImport => (Components, components::more_than_its_claims_list),

        Reason::ContractUnknown => (Contracts, contracts::nobodys_package),
        Reason::ContractWithdrawn => (Contracts, contracts::withdrawn),
        Reason::ContractTrack => (Contracts, contracts::another_track),
        Reason::ContractInterface => (Contracts, contracts::another_interface),
        Reason::ContractDowngrade => (Contracts, contracts::older_revision),

        Reason::LinkMissing => (Links, links::nothing_answers),
        Reason::LinkRemoved => (Links, links::deleted),
        Reason::LinkSuspended => (Links, links::to_one_that_changed),
        Reason::Ambiguous => (Links, links::twins),
        Reason::BuiltinAbsent => (Links, links::host_without_it),
        Reason::AnswersItself => (Links, links::to_itself),
        Reason::ProviderUnknown => (Links, links::to_nobody),
        Reason::ProviderRetired => (Links, links::to_a_retired_one),
        Reason::ProviderNotAllowed => (Links, links::to_one_the_owner_did_not_list),
        Reason::ProviderVersion => (Links, links::to_an_older_one),
        Reason::ProviderInterface => (Links, links::to_half_of_it),
        Reason::ConfigRequired => (Links, links::without_configuration),
        Reason::ConfigForbidden => (Links, links::with_configuration),
        Reason::ConfigMismatch => (Links, links::with_a_value_of_another_type),

        Reason::RuleForbids => (Rules, rules::forbidden),
        Reason::RuleError => (Rules, rules::undecided),
        Reason::RuleCase => (Rules, rules::otherwise_than_written),
        Reason::RulesMalformed => (Rules, rules::permitting),

        Reason::AdministratorUnknown => (Administrators, administrators::stranger),
        Reason::RoleMissing => (Administrators, signing::viewer),
        Reason::ThresholdUnmet => (Administrators, signing::more_than_there_are),
        Reason::LastOperator => (Administrators, signing::nobody_left),
        Reason::PendingApproval => (Administrators, signing::one_of_two),
        Reason::SignedAlready => (Administrators, signing::own_second),
        Reason::WaitingLimit => (Administrators, signing::queue_of_proposals),
        Reason::QuerySeen => (Administrators, signing::same_query_twice),
        Reason::CommandExpired => (Administrators, administrators::too_long),
        Reason::CommandSeen => (Administrators, administrators::same_id_twice),
        Reason::Superseded => (Administrators, administrators::on_an_old_look),
        Reason::AlreadyExists => (Administrators, administrators::twice),
        Reason::NotFound => (Administrators, administrators::what_never_was),
        Reason::NotDefaultable => (Administrators, administrators::default_for_links_only),
        Reason::NotSupportedYet => (Administrators, administrators::reserved_form),
        Reason::NotRelaxable => (Administrators, administrators::exception_for_the_banned),
        Reason::RelaxationExcessive => (Administrators, administrators::relaxed_for_ever),
        Reason::EvidenceMissing => (Administrators, administrators::torn_off),
        Reason::InviteUnknown => (Administrators, administrators::invitation_of_nobody),

        Reason::AuditUnavailable => (Evidence, evidence::log_held_by_somebody),
        Reason::StateRollback => (Evidence, evidence::older_log_put_back),
        Reason::LogFork => (Evidence, evidence::two_stories),
        Reason::JournalMismatch => (Evidence, evidence::line_of_nothing),
        Reason::ClockRollback => (Evidence, evidence::clock_put_back),
        Reason::BrokerUnreachable => (Evidence, evidence::nobody_listens),
        Reason::StandbyOver => (Evidence, standby::after_its_end),
        Reason::StandbyVoid => (Evidence, standby::of_another_host),
        Reason::WirePlain => (Evidence, evidence::plain_to_another_machine),
        Reason::BrokerKeyUnknown => (Evidence, evidence::forged_yes),
        Reason::AnswerMismatch => (Evidence, evidence::replayed_yes),
        Reason::PermitExpired => (Evidence, evidence::held_back_yes),
        Reason::Unpermitted => (Evidence, evidence::yes_to_other_bytes),
        Reason::EpochBehind => (Evidence, evidence::always_a_step_behind),
        Reason::FileUnsafe => (Evidence, evidence::folder_open_to_all),
        Reason::ArtifactUnavailable => (Evidence, evidence::bytes_not_here),
        Reason::LimitExceeded => (Evidence, evidence::greedy),
        Reason::LogBroken => (Evidence, evidence::changed_row),
        Reason::SegmentMissing => (Evidence, keeping::frozen_and_gone),
        Reason::ExportMismatch => (Evidence, keeping::export_of_another_log),
        Reason::ProofInvalid => (Evidence, evidence::another_way_to_the_root),
    }
}

/// Carries out each attack of a chapter and holds what it met to the reason.
fn every_reason_is_met(chapter: Chapter) {
    let stage = Stage::shared();
    let reasons: Vec<_> = Reason::ALL.iter().filter(|reason| attack(**reason).0 == chapter).collect();
    assert!(!reasons.is_empty(), "{chapter:?} has no reasons");
    for reason in reasons {
        let began = std::time::Instant::now();
        attack(*reason).1(&stage).must_be(*reason);
        println!("{reason}: met after {} ms", began.elapsed().as_millis());
    }
}

#[test]
fn every_reason_about_tokens_is_met_end_to_end() {
    every_reason_is_met(Chapter::Tokens);
}

#[test]
fn every_reason_about_keys_and_names_is_met_end_to_end() {
    every_reason_is_met(Chapter::Keys);
}

#[test]
fn every_reason_about_claims_is_met_end_to_end() {
    every_reason_is_met(Chapter::Claims);
}

#[test]
fn every_reason_about_artifacts_is_met_end_to_end() {
    every_reason_is_met(Chapter::Artifacts);
}

#[test]
fn every_reason_about_issuers_is_met_end_to_end() {
    every_reason_is_met(Chapter::Issuers);
}

#[test]
fn every_reason_about_hosts_is_met_end_to_end() {
    every_reason_is_met(Chapter::Hosts);
}

#[test]
fn every_reason_about_components_is_met_end_to_end() {
    every_reason_is_met(Chapter::Components);
}

#[test]
fn every_reason_about_contracts_is_met_end_to_end() {
    every_reason_is_met(Chapter::Contracts);
}

#[test]
fn every_reason_about_links_is_met_end_to_end() {
    every_reason_is_met(Chapter::Links);
}

#[test]
fn every_reason_about_rules_is_met_end_to_end() {
    every_reason_is_met(Chapter::Rules);
}

#[test]
fn every_reason_about_commands_is_met_end_to_end() {
    every_reason_is_met(Chapter::Administrators);
}

#[test]
fn every_reason_about_evidence_is_met_end_to_end() {
    every_reason_is_met(Chapter::Evidence);
}

#[test]
fn t54_an_answer_is_not_sent_to_somebody_else_and_is_counted() {
    hosts::answer_for_somebody_else(&Stage::shared()).must_be(Reason::ReplyElsewhere);
}

#[test]
fn every_reason_has_one_attack_and_stands_in_one_chapter() {
    let attacks: std::collections::BTreeSet<_> = Reason::ALL.iter().map(|reason| attack(*reason).1 as usize).collect();
    assert_eq!(attacks.len(), Reason::ALL.len(), "one attack stands for two reasons");
    // The chapters are those of the reference, in its order.
    assert!(Reason::ALL.is_sorted_by_key(|reason| attack(*reason).0));
}
