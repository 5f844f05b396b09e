//! Commands and invitations: who may give them, how often, how late, and with what attached.

use broker::keys::{SigningKey, nonce};
use harness::asker::lattice_name;
use harness::mint::nkey;
use policy::digest::Digest;
use policy::envelope::Unverified;
use policy::join::{InviteProof, Join};
use policy::key::{self, Administrator, Host, Invite};
use policy::log::{Body, Entry, Ledger, Step};
use policy::warrant::{Inception, Roots, Warrant};
use policy::wire::{Topic, inbox_prefix};
use serde_json::json;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection, SqliteConnection};

use super::seen::Seen;
use super::stage::{Live, Stage, invitation};

fn admin(live: &Live) -> SigningKey<Administrator> {
    SigningKey::load(&live.lattice.path("lattice/keys/admin.nk")).unwrap()
}

pub(super) fn stranger(stage: &Stage) -> Seen {
    let eve = SigningKey::<Administrator>::generate().unwrap();
    stage.live().command(invitation(&eve, |_| ()), &eve)
}

pub(super) fn too_long(stage: &Stage) -> Seen {
    stage.live().told(&["host", "invite", "--expires-in", "9999999"])
}

pub(super) fn same_id_twice(stage: &Stage) -> Seen {
    let live = stage.live();
    let (admin, id) = (admin(live), nonce().unwrap());
    let command = || invitation(&admin, |command| command.jti = id);
    let Seen::Answered(first) = live.command(command(), &admin) else { panic!("the first is judged") };
    assert_eq!(first.get("reason"), None, "{first}");
    live.command(command(), &admin)
}

pub(super) fn on_an_old_look(stage: &Stage) -> Seen {
    let live = stage.live();
    live.published("demo:superseded", |_| ());
    let put = ["default", "put", "demo:superseded", "--bind"];
    live.done(&[&put[..], &["never"]].concat());
    live.told(&[&put[..], &["builtin", "--basis", "2"]].concat())
}

pub(super) fn twice(stage: &Stage) -> Seen {
    let live = stage.live();
    let public = live.trusted("twice", &["--scope", "demo:*"]);
    live.told(&["issuer", "add", &public, "--scope", "demo:*"])
}

pub(super) fn what_never_was(stage: &Stage) -> Seen {
    stage.live().told(&["issuer", "revoke", &nkey::<key::Issuer>(88)])
}

pub(super) fn exception_for_the_revoked(stage: &Stage) -> Seen {
    let (sha256, end) = ("0".repeat(64), ["--until", "+1d", "--reason", "let them in"]);
    stage.live().told(&[&["relax", "exception", &sha256, "--allow", "issuer_revoked"][..], &end].concat())
}

pub(super) fn relaxed_for_ever(stage: &Stage) -> Seen {
    stage.live().told(&["relax", "observe", "--until", "+9999d", "--reason", "for good"])
}

pub(super) fn default_for_links_only(stage: &Stage) -> Seen {
    let live = stage.live();
    live.published("demo:links-only", |contract| contract["defaultable"] = json!(false));
    live.told(&["default", "put", "demo:links-only", "--bind", "builtin"])
}

pub(super) fn reserved_form(stage: &Stage) -> Seen {
    let live = stage.live();
    live.published("demo:reserved", |_| ());
    live.told(&["default", "put", "demo:reserved", "--bind", "sole-provider"])
}

// The question is genuine and whole but for the claims and the inventory that it names.
pub(super) fn torn_off(stage: &Stage) -> Seen {
    let live = stage.live();
    let asker = live.asker();
    let question = asker.question();
    let token = question.split(|byte| *byte == b'\n').next().unwrap().to_vec();
    live.send(Topic::StartComponent, &inbox_prefix(&asker.key.name()), token)
}

// A join that is sound in itself, by the key of an invitation that was never given.
pub(super) fn invitation_of_nobody(stage: &Stage) -> Seen {
    let (host, invite) = (SigningKey::<Host>::generate().unwrap(), SigningKey::<Invite>::generate().unwrap());
    let (aud, jti) = (lattice_name(), nonce().unwrap());
    let proof = InviteProof { iss: invite.name(), aud: aud.clone(), host: host.name(), jti };
    let proof = invite.sign(&proof, []);
    let join = Join { iss: host.name(), aud, iat: harness::asker::now(), jti, proof_sha256: Digest::of(&proof) };
    stage.live().send(Topic::Join, &inbox_prefix(&host.name()), host.sign(&join, [proof.as_slice()]))
}

// `init` makes lattices of one administrator; this one was founded by two, of whom one is here.
pub(super) fn one_of_two(stage: &Stage) -> Seen {
    let folder = stage.found("of-two");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(founded_by_two(&broker::folder::Folder::open(&folder).unwrap()));
    let sound = stage.alone("of-two", &["audit", "verify"]);
    assert!(sound.is_done(), "{sound:?}");
    stage.alone("of-two", &["host", "invite"])
}

// Founds a lattice anew over its first two rows, as `init` writes them: inception, then the root's warrant for it.
async fn founded_by_two(folder: &broker::folder::Folder) {
    let options = SqliteConnectOptions::new().filename(folder.log());
    let mut log = SqliteConnection::connect_with(&options).await.unwrap();
    let first: Vec<u8> =
        sqlx::query_scalar("SELECT bytes FROM entries WHERE idx = 0").fetch_one(&mut log).await.unwrap();
    let first = Entry::read(&first).unwrap();
    let Body::Inception(mut inception) = first.body else { panic!("the first row is the inception") };
    inception.administrators.threshold = 2;
    inception.administrators.keys.push(SigningKey::<Administrator>::generate().unwrap().public().unwrap());
    let (mut ledger, begun) = Ledger::incept(inception.clone(), first.at_ms).unwrap();
    let root = SigningKey::<key::Root>::load(&folder.key("root")).unwrap();
    let (warrant, token) = warrant(folder, &root, &inception, &begun);
    let installed = ledger.install(&warrant, first.at_ms).map(drop);

    let guards = "SELECT 'DROP TRIGGER ' || name, sql FROM sqlite_schema WHERE type = 'trigger'";
    let guards: Vec<(String, String)> = sqlx::query_as(guards).fetch_all(&mut log).await.unwrap();
    for (drop, _) in &guards {
        sqlx::raw_sql(sqlx::AssertSqlSafe(drop.clone())).execute(&mut log).await.unwrap();
    }
    sqlx::query("DELETE FROM evidence").execute(&mut log).await.unwrap();
    for (index, step) in [&begun, &installed].into_iter().enumerate() {
        let update = sqlx::query("UPDATE entries SET hash = ?, bytes = ?, document = ? WHERE idx = ?");
        let document = step.evidence.first().map(|(_, document)| document.clone());
        let update = update.bind(step.hash.as_bytes().to_vec()).bind(step.bytes.clone()).bind(document);
        update.bind(index as i64).execute(&mut log).await.unwrap();
    }
    for (_, sql) in guards {
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut log).await.unwrap();
    }
    log.close().await.unwrap();
    let options = SqliteConnectOptions::new().filename(folder.lock_file());
    let mut lock = SqliteConnection::connect_with(&options).await.unwrap();
    let last = installed.hash.as_bytes().to_vec();
    sqlx::query("UPDATE lock SET last = ?").bind(last).execute(&mut lock).await.unwrap();
    lock.close().await.unwrap();
    std::fs::write(folder.warrant(), [token.as_slice(), b"\n"].concat()).unwrap();
}

fn warrant(
    folder: &broker::folder::Folder,
    root: &SigningKey<key::Root>,
    inception: &Inception,
    begun: &Step<()>,
) -> (policy::envelope::Verified<Warrant>, Vec<u8>) {
    let before = std::fs::read(folder.warrant()).unwrap();
    let before = Unverified::<Warrant>::parse(before.trim_ascii_end()).unwrap().says().clone();
    let token = root.sign(&Warrant { inception_sha256: begun.hash, ..before }, []);
    let roots = Roots { inception, sha256: begun.hash };
    (Unverified::<Warrant>::parse(&token).unwrap().verify(&roots).unwrap(), token)
}
