//! Commands and invitations: who may give them, how often, how late, and with what attached.

use broker::keys::{SigningKey, nonce};
use harness::asker::lattice_name;
use harness::mint::nkey;
use policy::digest::Digest;
use policy::join::{InviteProof, Join};
use policy::key::{self, Administrator, Host, Invite};
use policy::wire::{Topic, inbox_prefix};
use serde_json::json;

use super::seen::Seen;
use super::stage::{Live, Stage, invitation};

pub(super) fn admin(live: &Live) -> SigningKey<Administrator> {
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

pub(super) fn exception_for_the_banned(stage: &Stage) -> Seen {
    let (sha256, end) = ("0".repeat(64), ["--until", "+1d", "--reason", "let them in"]);
    stage.live().told(&[&["relax", "exception", &sha256, "--allow", "host_banned"][..], &end].concat())
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
