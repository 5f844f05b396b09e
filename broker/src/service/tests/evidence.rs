//! What the court leaves behind: rows that can be judged again, checkpoints, answers that anybody can check.

use data_encoding::BASE64URL_NOPAD;
use jwt_simple::prelude::{Ed25519PublicKey, EdDSAPublicKeyLike, VerificationOptions};
use policy::answer::StartAnswer;
use policy::envelope::Unverified;
use policy::log::NoteKey;
use policy::reason::Reason;

use super::asker::Lattice;
use crate::export::Bulk;
use crate::store::{Chain, LogReader, Reading};

#[tokio::test]
async fn every_row_comes_out_again_as_it_was_recorded() {
    let lattice = Lattice::new().await;
    let host = lattice.enrolled_host().await;
    for _ in 0..3 {
        lattice.service.answer_start(&lattice.request(&host)).await.unwrap();
    }
    lattice.service.turn_away(Reason::ReplyElsewhere);
    let lattice = lattice.reopened().await;
    let reader = lattice.service.log().await.unwrap();
    let mut rows = 0;
    let ledger = reader.replay(Some(0), |_, _| {
        rows += 1;
        Ok(())
    });
    let ledger = ledger.await.unwrap();
    assert_eq!(ledger.head(), lattice.service.snapshot().await.unwrap().head);
    assert_eq!(ledger.head().size, rows);
    assert_eq!(reader.tail(2).await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_checkpoint_follows_each_event() {
    let lattice = Lattice::new().await;
    let key = NoteKey::parse(&lattice.report.log_key).unwrap();
    let mut notes = lattice.service.epochs();
    assert_eq!(key.open(&notes.borrow_and_update()).unwrap().size, lattice.size().await);
    lattice.enrolled_host().await;
    let head = lattice.service.snapshot().await.unwrap().head;
    // Two events came; the note of the second may have overtaken that of the first.
    while key.open(&notes.borrow_and_update()).unwrap().last != head.last {
        notes.changed().await.unwrap();
    }
    let checkpoint = key.open(&notes.borrow()).unwrap();
    assert_eq!((checkpoint.size, checkpoint.epoch), (head.size, head.epoch));
}

#[tokio::test]
async fn a_ruling_alone_is_in_a_checkpoint_within_its_second() {
    let lattice = Lattice::new().await;
    let host = lattice.enrolled_host().await;
    let key = NoteKey::parse(&lattice.report.log_key).unwrap();
    let mut notes = lattice.service.epochs();
    lattice.service.answer_start(&lattice.request(&host)).await.unwrap();
    let size = lattice.size().await;
    while key.open(&notes.borrow_and_update()).unwrap().size != size {
        notes.changed().await.unwrap();
    }
}

#[tokio::test]
async fn another_jwt_library_accepts_our_answers() {
    let lattice = Lattice::new().await;
    let host = lattice.enrolled_host().await;
    let answer = lattice.service.answer_start(&lattice.request(&host)).await.unwrap();
    let token = String::from_utf8(answer).unwrap().lines().next().unwrap().to_owned();
    let key = Ed25519PublicKey::from_bytes(lattice.report.decision.raw()).unwrap();
    let verify = |token: &str| {
        let required_signature_type = Some("countersign.answer.v1".to_owned());
        let options = VerificationOptions { required_signature_type, ..VerificationOptions::default() };
        key.verify_token::<serde_json::Value>(token, Some(options))
    };
    let claims = verify(&token).unwrap();
    let ours = Unverified::<StartAnswer>::parse(format!("{token}\n{}", lattice.warrant()).as_bytes()).unwrap();
    assert_eq!(claims.issuer, Some(ours.says().iss.to_string()));
    assert_eq!(claims.custom["verdict"], "refused");
    let last = token.len() - 2;
    let flipped = if &token[last..=last] == "A" { "B" } else { "A" };
    assert!(verify(&format!("{}{flipped}{}", &token[..last], &token[last + 1..])).is_err());
}

#[tokio::test]
async fn t73_what_looks_like_sql_is_text() {
    let lattice = Lattice::new().await;
    let hostile = "'; DROP TABLE entries; -- \" UNION SELECT 1 % _ \\";
    let command = lattice.command_because(hostile).await;
    let receipt = lattice.receipt(&lattice.service.command(&command).await.unwrap());
    assert_eq!(receipt.reason, None);
    let row = lattice.service.log().await.unwrap().row(receipt.index).await.unwrap().unwrap();
    let policy::log::Body::Governance(judged) = policy::log::Entry::read(&row.bytes).unwrap().body else {
        panic!("no event")
    };
    assert_eq!(judged.because.as_deref(), Some(hostile));
    lattice.reopened().await;
}

#[tokio::test]
async fn t69_a_pasted_seed_is_refused_and_nowhere_kept() {
    let lattice = Lattice::new().await;
    let seed = nkeys::KeyPair::new_account().seed().unwrap();
    let refused = lattice.service.command(&lattice.command_because(&seed).await).await.unwrap_err();
    assert_eq!(refused.reason(), Some(Reason::SecretInInput));
    assert!(!format!("{refused} {refused:?}").contains(&seed));
    let lattice = lattice.closed().await;
    for name in ["log.db", "lock.db"] {
        let bytes = std::fs::read(lattice.folder.path().join(name)).unwrap();
        assert!(!bytes.windows(seed.len()).any(|window| window == seed.as_bytes()), "{name}");
    }
}

#[tokio::test]
async fn t69_a_seed_behind_escapes_or_in_a_statement_is_refused_at_the_door_and_kept_nowhere() {
    let lattice = Lattice::new().await;
    let host = lattice.enrolled_host().await;
    let seed = nkeys::KeyPair::new_account().seed().unwrap();
    let escaped: String = seed.chars().map(|letter| format!("\\u{:04X}", u32::from(letter))).collect();
    let jws = |payload: String| {
        let part = |text: &str| BASE64URL_NOPAD.encode(text.as_bytes());
        format!("{}.{}.{}", part(r#"{"typ":"jwt","alg":"Ed25519"}"#), part(&payload), part("signed"))
    };
    let size = lattice.size().await;
    let sentence = |secret: &str| format!(r#"{{"name":"my key is {secret}, keep it"}}"#);
    let hidden = [sentence(&escaped), jws(sentence(&seed)), jws(sentence(&escaped))];
    for piece in &hidden {
        // As the claims of a start, and as a statement of a command.
        let asked = lattice.request_bringing(&host, piece.as_bytes());
        let commanded = lattice.command_bringing(piece.as_bytes()).await;
        for refused in [lattice.service.answer_start(&asked).await, lattice.service.command(&commanded).await] {
            let refused = refused.unwrap_err();
            assert_eq!(refused.reason(), Some(Reason::SecretInInput), "{piece}");
            assert!(!format!("{refused} {refused:?}").contains(&seed));
        }
    }
    assert_eq!(lattice.size().await, size, "none of it is an entry");
    let lattice = lattice.closed().await;
    for name in ["log.db", "lock.db"] {
        let bytes = std::fs::read(lattice.folder.path().join(name)).unwrap();
        for canary in
            hidden.iter().flat_map(|piece| piece.split('.')).filter(|part| part.len() > 60).chain([seed.as_str()])
        {
            assert!(!bytes.windows(canary.len()).any(|window| window == canary.as_bytes()), "{name}: {canary}");
        }
    }
}

#[tokio::test]
async fn t63_a_log_that_grows_while_it_is_decided_anew_is_read_to_its_new_end() {
    let lattice = Lattice::new().await;
    let host = lattice.enrolled_host().await;
    let log = LogReader::open(&lattice.folder.log()).await.unwrap();
    let mut chain = Chain::of(&log);
    for _ in 0..3 {
        lattice.service.answer_start(&lattice.request(&host)).await.unwrap();
        let all = Reading::Judged { from: 0 };
        while chain.page(256, &mut Bulk::default(), all, &mut |_, _| Ok(())).await.unwrap() {}
        assert_eq!(chain.held(), lattice.size().await);
    }
}
