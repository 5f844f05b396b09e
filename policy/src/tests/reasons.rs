//! The reference of reasons, `docs/reasons.md`: made from [`Reason::ALL`], and held to it.
//!
//! Written anew like the documents of `examples.rs`.

use std::fmt::Write as _;

use super::examples::{root, same_or_bless};
use crate::reason::Reason;

const HEAD: &str = "\
# Reasons

Every refusal carries one of these codes, in answers, receipts, the log and the output of both programs. A code is
never renamed and never reused; a newer release may add some. Whoever asks over the wire learns the code alone;
administrators also get a sentence with both sides of the mismatch.

This page is made from `policy/src/reason.rs`, and a test holds it to it.
";

/// Where each chapter begins.
const CHAPTERS: [(Reason, &str); 12] = [
    (Reason::TokenMalformed, "Tokens and JSON"),
    (Reason::KeyMalformed, "Keys and names"),
    (Reason::ClaimsMissing, "Claims: their place, their hashes, their times"),
    (Reason::WasmMalformed, "Files: components and provider archives"),
    (Reason::IssuerUnknown, "Issuers"),
    (Reason::HostUnknown, "Hosts, and the broker's door"),
    (Reason::ComponentUnknown, "Components"),
    (Reason::ContractUnknown, "Contracts"),
    (Reason::LinkMissing, "Links, builtins and providers"),
    (Reason::RuleForbids, "The operator's rules"),
    (Reason::AdministratorUnknown, "Commands and invitations"),
    (Reason::AuditUnavailable, "The log, the answer, and the host"),
];

fn page() -> String {
    let mut page = HEAD.to_owned();
    for reason in Reason::ALL {
        if let Some((_, chapter)) = CHAPTERS.iter().find(|(first, _)| first == reason) {
            write!(page, "\n## {chapter}\n\n| code | meaning | what to do |\n|---|---|---|\n").unwrap();
        }
        let cell = |text: &str| text.replace('|', "\\|");
        writeln!(page, "| `{reason}` | {} | {} |", cell(reason.meaning()), cell(reason.remedy())).unwrap();
    }
    page
}

#[test]
fn the_reference_of_reasons_is_made_from_them() {
    same_or_bless(&root().join("docs/reasons.md"), page().as_bytes());
}

#[test]
fn each_reason_says_what_it_means_and_what_to_do() {
    for reason in Reason::ALL {
        for text in [reason.meaning(), reason.remedy()] {
            assert!(text.len() > 8 && !text.ends_with('.') && !text.contains('\n'), "{reason}: `{text}`");
        }
    }
    assert_eq!(CHAPTERS.iter().filter(|(first, _)| Reason::ALL.contains(first)).count(), CHAPTERS.len());
    assert_eq!(Some(&CHAPTERS[0].0), Reason::ALL.first(), "the first reason opens the first chapter");
}
