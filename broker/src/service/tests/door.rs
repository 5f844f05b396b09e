//! Who does not get in, and who gets the same answer twice.

use std::collections::BTreeMap;
use std::sync::Arc;

use policy::answer::{StartAnswer, Verdict};
use policy::digest::Digest;
use policy::envelope::Unverified;
use policy::govern::{BanHost, Operation};
use policy::inventory::{Forked, HostInventory};
use policy::log::{Body, Contradiction, Entry};
use policy::name;
use policy::reason::Reason;
use policy::wire::FRESHNESS_S;

use super::super::memory::Memory;
use super::asker::Lattice;
use crate::error::Error;
use crate::keys::SigningKey;
use crate::settings::Settings;

fn reason(answer: Result<Vec<u8>, Error>) -> Reason {
    answer.unwrap_err().reason().unwrap()
}

#[tokio::test]
async fn t55_who_is_not_an_enrolled_host_of_this_lattice_leaves_no_row() {
    let lattice = Lattice::new().await;
    let host = lattice.enrolled_host().await;
    let size = lattice.size().await;
    let service = &lattice.service;
    let stranger = SigningKey::generate().unwrap();
    assert_eq!(reason(service.answer_start(&lattice.request(&stranger)).await), Reason::HostUnknown);
    // A stranger's signature under an enrolled host's name.
    let forged = lattice.request_with(&stranger, |request| request.iss = host.name());
    assert_eq!(reason(service.answer_start(&forged).await), Reason::SignatureInvalid);
    // No signature at all, and one flipped bit.
    let good = lattice.request(&host);
    let text = String::from_utf8(good.clone()).unwrap();
    let (token, attachments) = text.split_once('\n').unwrap();
    let unsigned = format!("{}.\n{attachments}", token.rsplit_once('.').unwrap().0);
    assert_eq!(reason(service.answer_start(unsigned.as_bytes()).await), Reason::TokenMalformed);
    let elsewhere = name::Lattice::parse("elsewhere").unwrap();
    let elsewhere = lattice.request_with(&host, |request| request.aud = elsewhere);
    assert_eq!(reason(service.answer_start(&elsewhere).await), Reason::LatticeMismatch);
    lattice.clock.advance((FRESHNESS_S + 1) * 1000);
    assert_eq!(reason(service.answer_start(&good).await), Reason::RequestStale);
    let early = lattice.request_with(&host, |request| request.iat = request.iat.plus(FRESHNESS_S + 1));
    assert_eq!(reason(service.answer_start(&early).await), Reason::RequestStale);
    assert_eq!(lattice.size().await, size);
}

#[tokio::test]
async fn t55_an_invitation_lets_one_host_in_once() {
    let lattice = Lattice::new().await;
    let invite = lattice.invite().await;
    let (first, second) = (SigningKey::generate().unwrap(), SigningKey::generate().unwrap());
    let join = lattice.join(&first, &invite);
    let receipt = lattice.service.join(&join).await.unwrap();
    assert_eq!(lattice.receipt(&receipt).reason, None);
    let size = lattice.size().await;
    // The same join again is the same receipt; another one by the same invitation is none.
    assert_eq!(lattice.service.join(&join).await.unwrap(), receipt);
    assert_eq!(reason(lattice.service.join(&lattice.join(&second, &invite)).await), Reason::InviteUnknown);
    let strange = SigningKey::generate().unwrap();
    assert_eq!(reason(lattice.service.join(&lattice.join(&second, &strange)).await), Reason::InviteUnknown);
    assert_eq!(lattice.size().await, size);
}

#[tokio::test]
async fn t55_a_banned_host_is_refused_on_record() {
    let lattice = Lattice::new().await;
    let host = lattice.enrolled_host().await;
    let ban = Operation::BanHost(BanHost { host: host.name(), running: None });
    assert_eq!(lattice.command(vec![ban]).await.reason, None);
    let size = lattice.size().await;
    let answer = lattice.service.answer_start(&lattice.request(&host)).await.unwrap();
    let answer = Unverified::<StartAnswer>::parse(&answer).unwrap().verify(&lattice.decision_keys()).unwrap();
    assert_eq!((answer.verdict, answer.reason), (Verdict::Refused, Some(Reason::HostBanned)));
    assert_eq!(lattice.size().await, size + 1);
}

#[tokio::test]
async fn t70_a_banned_host_cannot_fill_the_log() {
    let lattice = Lattice::new().await;
    let host = lattice.enrolled_host().await;
    let ban = Operation::BanHost(BanHost { host: host.name(), running: None });
    assert_eq!(lattice.command(vec![ban]).await.reason, None);
    let size = lattice.size().await;
    lattice.service.answer_start(&lattice.request(&host)).await.unwrap();
    for _ in 0..50 {
        let turned_away = lattice.service.answer_start(&lattice.request(&host)).await.unwrap_err();
        assert_eq!(turned_away.reason(), Some(Reason::HostBanned));
    }
    assert_eq!(lattice.size().await, size + 1);
}

#[tokio::test]
async fn t61_the_same_request_is_one_row_and_one_answer() {
    let lattice = Lattice::new().await;
    let host = lattice.enrolled_host().await;
    let size = lattice.size().await;
    let request = lattice.request(&host);
    let again = || lattice.service.answer_start(&request);
    let (a, b, c) = tokio::join!(again(), again(), again());
    let answer = a.unwrap();
    assert_eq!(answer, b.unwrap());
    assert_eq!(answer, c.unwrap());
    assert_eq!(answer, again().await.unwrap());
    // Another process has it from the log.
    let lattice = lattice.reopened().await;
    let again = || lattice.service.answer_start(&request);
    assert_eq!(answer, again().await.unwrap());
    assert_eq!(lattice.size().await, size + 1);
    // Once its permit is over it is no use to anybody, and still makes no second row.
    lattice.clock.advance(20_000);
    assert_eq!(reason(again().await), Reason::RequestStale);
    assert_eq!(lattice.size().await, size + 1);
}

#[tokio::test]
async fn t61_the_same_command_is_judged_once() {
    let lattice = Lattice::new().await;
    let host = lattice.enrolled_host().await;
    let command = lattice.signed_command(vec![Operation::BanHost(BanHost { host: host.name(), running: None })]).await;
    let receipt = lattice.service.command(&command).await.unwrap();
    assert_eq!(lattice.service.command(&command).await.unwrap(), receipt);
    // Another process has forgotten the receipt, not the command.
    let lattice = lattice.reopened().await;
    let again = lattice.service.command(&command).await.unwrap();
    assert_eq!(lattice.receipt(&again).reason, Some(Reason::CommandSeen));
}

#[tokio::test]
async fn a_stranger_commands_nothing() {
    let lattice = Lattice::new().await;
    let host = lattice.enrolled_host().await;
    let size = lattice.size().await;
    let command = lattice
        .command_by(
            &SigningKey::generate().unwrap(),
            vec![Operation::BanHost(BanHost { host: host.name(), running: None })],
        )
        .await;
    assert_eq!(reason(lattice.service.command(&command).await), Reason::AdministratorUnknown);
    assert_eq!(lattice.size().await, size);
}

#[tokio::test]
async fn t87_a_host_has_its_share_and_no_more() {
    let settings = Settings { host_rate: 1, host_burst: 2, ..Settings::default() };
    let lattice = Lattice::with(settings).await;
    let (greedy, modest) = (lattice.enrolled_host().await, lattice.enrolled_host().await);
    for _ in 0..2 {
        lattice.service.answer_start(&lattice.request(&greedy)).await.unwrap();
    }
    assert_eq!(reason(lattice.service.answer_start(&lattice.request(&greedy)).await), Reason::RateLimited);
    lattice.service.answer_start(&lattice.request(&modest)).await.unwrap();
    lattice.clock.advance(1000);
    lattice.service.answer_start(&lattice.request(&greedy)).await.unwrap();
}

#[tokio::test]
async fn t87_who_knows_a_hosts_key_cannot_use_up_its_share() {
    let settings = Settings { host_rate: 1, host_burst: 2, ..Settings::default() };
    let lattice = Lattice::with(settings).await;
    let (host, stranger) = (lattice.enrolled_host().await, SigningKey::generate().unwrap());
    let forged = || lattice.request_with(&stranger, |request| request.iss = host.name());
    for _ in 0..50 {
        assert_eq!(reason(lattice.service.answer_start(&forged()).await), Reason::SignatureInvalid);
    }
    let first = lattice.request(&host);
    lattice.service.answer_start(&first).await.unwrap();
    // Nor by saying again what the host said.
    for _ in 0..50 {
        lattice.service.answer_start(&first).await.unwrap();
    }
    lattice.service.answer_start(&lattice.request(&host)).await.unwrap();
    // Now the host has used it up, and a forgery is not even looked at.
    assert_eq!(reason(lattice.service.answer_start(&lattice.request(&host)).await), Reason::RateLimited);
    assert_eq!(reason(lattice.service.answer_start(&forged()).await), Reason::RateLimited);
}

#[tokio::test]
async fn t87_who_repeats_what_a_host_reported_uses_up_nothing_of_its_share() {
    let settings = Settings { host_rate: 1, host_burst: 2, ..Settings::default() };
    let lattice = Lattice::with(settings).await;
    let host = lattice.enrolled_host().await;
    let first = lattice.inventory_with(&host, 1, |_| ());
    lattice.service.inventory(&first).await.unwrap();
    for _ in 0..50 {
        assert_eq!(reason(lattice.service.inventory(&first).await), Reason::RequestStale);
    }
    lattice.service.answer_start(&lattice.request(&host)).await.unwrap();
    assert_eq!(reason(lattice.service.answer_start(&lattice.request(&host)).await), Reason::RateLimited);
}

#[tokio::test]
async fn t65_an_older_report_that_is_repeated_silences_no_alarm() {
    let lattice = Lattice::new().await;
    let host = lattice.enrolled_host().await;
    // It has seen another log, and is turned away: what it says of that is heard all the same.
    let elsewhere = |inventory: &mut HostInventory| inventory.seen.entry_sha256 = Digest::of(b"another log");
    let quiet = lattice.inventory_with(&host, 1, elsewhere);
    lattice.clock.advance(2000);
    let alarm = lattice.inventory_with(&host, 2, |inventory| {
        elsewhere(inventory);
        let (contradiction, evidence_sha256) = (Contradiction::Entry, Digest::of(b"evidence"));
        inventory.forked = Some(Forked { at: inventory.iat, contradiction, held: 1, met: 1, evidence_sha256 });
    });
    assert_eq!(reason(lattice.service.inventory(&alarm).await), Reason::StateRollback);
    assert_eq!(lattice.service.present().forks().len(), 1);
    assert_eq!(reason(lattice.service.inventory(&quiet).await), Reason::StateRollback);
    assert_eq!(lattice.service.present().forks().len(), 1, "whoever repeats an older word silenced the alarm");
    lattice.clock.advance(2000);
    let looked_at = lattice.inventory_with(&host, 3, elsewhere);
    assert_eq!(reason(lattice.service.inventory(&looked_at).await), Reason::StateRollback);
    assert_eq!(lattice.service.present().forks().len(), 0);
    assert_eq!(reason(lattice.service.inventory(&alarm).await), Reason::StateRollback);
    assert_eq!(lattice.service.present().forks().len(), 0, "whoever repeats an older alarm raised it again");
}

#[tokio::test]
async fn t87_forgeries_under_one_key_cost_a_bounded_number_of_checks_and_no_other_host_anything() {
    let lattice = Lattice::with(Settings { spare_checks: 20, ..Settings::default() }).await;
    let (host, other, stranger) =
        (lattice.enrolled_host().await, lattice.enrolled_host().await, SigningKey::generate().unwrap());
    let forged = lattice.request_with(&stranger, |request| request.iss = host.name());
    let mut checked = 0;
    while reason(lattice.service.answer_start(&forged).await) == Reason::SignatureInvalid {
        checked += 1;
    }
    assert_eq!(checked, 100 + 2 * 20);
    for _ in 0..200 {
        lattice.service.answer_start(&lattice.request(&other)).await.unwrap();
    }
    // What the key has left grows again, and the host is heard.
    assert_eq!(reason(lattice.service.answer_start(&lattice.request(&host)).await), Reason::RateLimited);
    lattice.clock.advance(1000);
    lattice.service.answer_start(&lattice.request(&host)).await.unwrap();
}

#[tokio::test]
async fn t86_a_crowd_of_questions_keeps_no_administrator_out() {
    let mut lattice = Lattice::new().await;
    let host = lattice.enrolled_host().await;
    // As full as other hosts could make it.
    lattice.service.memory = Memory::holding(0);
    assert_eq!(reason(lattice.service.answer_start(&lattice.request(&host)).await), Reason::RateLimited);
    let ban = Operation::BanHost(BanHost { host: host.name(), running: None });
    assert_eq!(lattice.command(vec![ban]).await.reason, None);
}

#[tokio::test]
async fn t86_answers_that_are_of_no_use_any_more_keep_nobody_out() {
    let mut lattice = Lattice::new().await;
    let host = lattice.enrolled_host().await;
    lattice.service.memory = Memory::holding(1);
    let (first, second) = (lattice.request(&host), lattice.request(&host));
    assert_eq!(lattice.service.answer_start(&first).await.err().and_then(|error| error.reason()), None);
    assert_eq!(
        lattice.service.answer_start(&second).await.err().and_then(|error| error.reason()),
        Some(Reason::RateLimited)
    );
    // Its permit is over, and it is still known as one that was asked.
    lattice.clock.advance(11_000);
    assert_eq!(lattice.service.answer_start(&second).await.err().and_then(|error| error.reason()), None);
    assert_eq!(
        lattice.service.answer_start(&first).await.err().and_then(|error| error.reason()),
        Some(Reason::RequestStale)
    );
}

#[tokio::test]
async fn t70_what_was_turned_away_is_one_row_with_its_count() {
    let lattice = Lattice::new().await;
    let size = lattice.size().await;
    for _ in 0..50 {
        lattice.service.answer_start(b"nonsense").await.unwrap_err();
    }
    lattice.service.turn_away(Reason::ReplyElsewhere);
    let lattice = lattice.reopened().await;
    let rows = lattice.service.log().await.unwrap().rows(size, 10).await.unwrap();
    assert_eq!(rows.len(), 1);
    let expected = BTreeMap::from([(Reason::TokenMalformed, 50), (Reason::ReplyElsewhere, 1)]);
    assert_eq!(Entry::read(&rows[0].bytes).unwrap().body, Body::Door(expected));
}

#[tokio::test]
async fn t95_questions_that_come_together_share_a_commit_and_keep_their_order() {
    let lattice = Arc::new(Lattice::new().await);
    let host = lattice.enrolled_host().await;
    let size = lattice.size().await;
    let asking = (0..100).map(|_| {
        let (lattice, request) = (Arc::clone(&lattice), lattice.request(&host));
        tokio::spawn(async move { lattice.service.answer_start(&request).await.unwrap() })
    });
    let answers = futures::future::join_all(asking.collect::<Vec<_>>()).await;
    let mut indexes: Vec<_> = answers
        .into_iter()
        .map(|answer| Unverified::<StartAnswer>::parse(&answer.unwrap()).unwrap().says().index)
        .collect();
    indexes.sort_unstable();
    assert_eq!(indexes, (size..size + 100).collect::<Vec<_>>());
}
