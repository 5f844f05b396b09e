//! A row that a start passed is changed: real hosts are still answered, until it is found; then nothing starts any more,
//! and a ban is recorded.

use std::sync::Arc;
use std::time::Duration;

use broker::check::Check;
use broker::clock::FixedClock;
use broker::folder::Folder;
use broker::keys::{SigningKey, nonce};
use broker::service::Service;
use broker::settings::Settings;
use harness::asker::{lattice_name, now};
use policy::answer::{Receipt, StartAnswer, Verdict};
use policy::command::Command;
use policy::envelope::Unverified;
use policy::govern::{BanHost, Operation};
use policy::log::Entry;
use policy::reason::Reason;
use policy::time::Timestamp;

use super::{Rows, Scene, with_rails, without_rails};

#[tokio::test]
async fn t63_a_row_that_a_start_passed_is_found_while_it_serves_and_no_start_is_permitted_any_more() {
    let scene = Scene::of(300).await;
    let folder = Folder::open(&scene.lattice.path("lattice")).unwrap();
    let rows = Rows::of(&scene.lattice.log()).await;
    let plain = rows.rows.iter().skip(50).find(|row| Entry::read(&row.bytes).unwrap().changes_nothing()).unwrap();
    // So long after the rows were written that nobody asks again what they answered.
    let later = now().plus(600);
    let question = || scene.asker.question_with(|request| request.iat = later);
    let service = open(&folder, later).await;
    service.answer_start(&question()).await.unwrap();
    service.close().await.unwrap();
    let (mut connection, rails) = without_rails(&scene.lattice.log()).await;
    let change = "UPDATE entries SET bytes = CAST(replace(CAST(bytes AS TEXT), 'cart', 'cort') AS BLOB) WHERE idx = ?";
    sqlx::query(change).bind(plain.index.cast_signed()).execute(&mut connection).await.unwrap();
    with_rails(connection, rails).await;

    let service = open(&folder, later).await;
    let broken = tokio::time::timeout(Duration::from_secs(60), async {
        while !matches!(*service.present().check(), Check::Broken { .. }) {
            tokio::task::yield_now().await;
        }
    });
    broken.await.expect("it is found");
    let refused = service.answer_start(&question()).await.unwrap_err();
    assert_eq!(refused.reason(), Some(Reason::AuditUnavailable));
    let says = format!("row {} of the log does not hold", plain.index);
    assert!(refused.to_string().contains(&says), "{refused}");
    // Who is refused is told so, and a ban holds from now on.
    let stranger = scene.asker.question_with(|request| {
        (request.iat, request.runs.id) = (later, "stranger".parse().unwrap());
    });
    let answer = service.answer_start(&stranger).await.unwrap();
    assert_eq!(Unverified::<StartAnswer>::parse(&answer).unwrap().says().verdict, Verdict::Refused);
    let receipt = service.command(&ban(&scene, later)).await.unwrap();
    assert_eq!(Unverified::<Receipt>::parse(&receipt).unwrap().says().reason, None);
    let banned = service.answer_start(&question()).await.unwrap();
    assert_eq!(Unverified::<StartAnswer>::parse(&banned).unwrap().says().reason, Some(Reason::HostBanned));
    service.close().await.unwrap();
    let (code, said) = scene.lattice.json(&["audit", "verify"]);
    assert_eq!((code, said["error"].as_str(), said["row"].as_u64()), (3, Some("log_broken"), Some(plain.index)));
}

async fn open(folder: &Folder, now: Timestamp) -> Service {
    let clock = Arc::new(FixedClock::at(now.seconds() * 1000));
    Service::open_with(folder, clock, Settings { whole: 100, ..Settings::default() }).await.unwrap()
}

fn ban(scene: &Scene, iat: Timestamp) -> Vec<u8> {
    let admin = SigningKey::load(&scene.lattice.path("lattice/keys/admin.nk")).unwrap();
    let command = Command {
        iss: admin.name(),
        aud: lattice_name(),
        inception_sha256: None,
        iat,
        not_after: iat.plus(60),
        jti: nonce().unwrap(),
        basis: 0,
        planned: None,
        because: None,
        operations: vec![Operation::BanHost(BanHost { host: scene.asker.key.name(), running: None })],
        statements: Vec::new(),
    };
    admin.sign(&command, [])
}
