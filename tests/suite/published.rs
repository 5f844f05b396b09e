//! Keys that stand beside their seeds in published texts get no role here, whichever way they come.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use broker::clock::{Clock, SystemClock};
use broker::keys::SigningKey as Ours;
use data_encoding::BASE64URL_NOPAD;
use ed25519_dalek::SigningKey;
use harness::lattice::{Lattice, path};
use harness::program::countersign_json;
use harness::vectors::{self, text};
use nkeys::{KeyPair, KeyPairType};
use policy::envelope::Unverified;
use policy::key::{self, Administrator, Decision, Host, Invite, Issuer, Role, Root};
use policy::warrant::Warrant;
use serde_json::{Value, json};

/// The secret halves of every published pair, from the vectors themselves.
fn published() -> Vec<[u8; 32]> {
    let nkeys = vectors::json(&vectors::folder("nkeys").join("nkeys.json"));
    let seeds = nkeys["valid"].as_array().unwrap().iter().map(|case| nkeys::decode_seed(text(case, "seed")).unwrap().1);
    let example = vectors::json(&vectors::folder("rfc8037").join("example.json"));
    let of_rfc = BASE64URL_NOPAD.decode(text(&example["jwk"], "d").as_bytes()).unwrap();
    seeds.chain([of_rfc.try_into().unwrap()]).collect()
}

fn public<R: Role>(secret: &[u8; 32]) -> String {
    key::encode(R::PREFIX, &SigningKey::from_bytes(secret).verifying_key().to_bytes())
}

fn seed_file(lattice: &Lattice, name: &str, kind: KeyPairType, secret: [u8; 32]) -> PathBuf {
    let file = lattice.path(name);
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(&file, KeyPair::new_from_raw(kind, secret).unwrap().seed().unwrap()).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    file
}

fn refused((code, told): (i32, Value)) {
    assert_eq!((code, told["error"].as_str()), (3, Some("key_published")), "{told}");
}

#[test]
fn t84_a_published_key_is_no_issuer_administrator_or_invitation() {
    let lattice = Lattice::quiet();
    let not_after = SystemClock::default().now().plus(600).seconds();
    for secret in published() {
        let issuer = public::<Issuer>(&secret);
        refused(lattice.json(&["issuer", "add", &issuer, "--scope", "demo:*"]));
        let trust = lattice.path("trust.json");
        std::fs::write(&trust, json!({"issuers": [{"key": issuer, "scope": ["*"]}]}).to_string()).unwrap();
        refused(lattice.json(&["verify", path(&trust), "--trust", path(&trust)]));
        let elsewhere = lattice.path("elsewhere");
        let init = ["--dir", path(&elsewhere), "init", "--admin", &public::<Administrator>(&secret)];
        refused(countersign_json(&init));
        assert!(!elsewhere.exists(), "a lattice of a published administrator was made");
        let ops = lattice.path("ops.json");
        let labels: BTreeMap<String, String> = BTreeMap::new();
        let invite = json!({"invite": public::<Invite>(&secret), "labels": labels, "not_after": not_after});
        std::fs::write(&ops, json!([{"invite_host": invite}]).to_string()).unwrap();
        refused(lattice.json(&["apply", "-f", path(&ops)]));
    }
    // Fixtures of this repository's own samples are no examples of others: they stay usable.
    let cases = vectors::json(&vectors::folder("claims-sample").join("jwt/cases.json"));
    let sample = cases["trust"]["issuers"][0]["key"].as_str().expect("the sample's issuer");
    lattice.accepted(&["issuer", "add", sample, "--scope", "demo:*"]);
}

#[test]
fn t84_a_published_key_neither_joins_nor_logs_in() {
    let (lattice, stopped) = (Lattice::start(), Lattice::quiet());
    let invite = text(&lattice.accepted(&["host", "invite"]), "invite").to_owned();
    for (number, secret) in published().into_iter().enumerate() {
        let host = format!("host{number}");
        seed_file(&lattice, &format!("{host}/host.nk"), KeyPairType::Server, secret);
        let joined = lattice.host(&host, &["-o", "json", "join", &invite]);
        let told: Value = serde_json::from_slice(&joined.stderr).unwrap();
        refused((joined.status.code().unwrap(), told));
        let login = seed_file(&lattice, "login.nk", KeyPairType::User, secret);
        refused(stopped.json(&["--nkey", path(&login), "serve"]));
        let asked = lattice.host(&host, &["-o", "json", "--nkey", path(&login), "join", &invite]);
        refused((asked.status.code().unwrap(), serde_json::from_slice(&asked.stderr).unwrap()));
    }
    assert!(public::<Host>(&published()[0]).starts_with('N'));
    // Each refusal left the invitation standing for a host with a key of its own.
    let honest = lattice.host("honest", &["join", &invite]);
    assert!(honest.status.success(), "{}", String::from_utf8_lossy(&honest.stderr));
}

#[test]
fn t84_no_warrant_makes_a_published_key_the_brokers() {
    let lattice = Lattice::quiet();
    let folder = lattice.path("lattice");
    let root = Ours::<Root>::load(&folder.join("keys/root.nk")).unwrap();
    let warrant = std::fs::read(folder.join("warrant.jws")).unwrap();
    let warrant = Unverified::<Warrant>::parse(warrant.trim_ascii_end()).unwrap().says().clone();
    for (number, secret) in published().into_iter().enumerate() {
        let name = public::<Decision>(&secret);
        let keys = vec![policy::key::Key::parse(&name).unwrap()];
        let serial = warrant.serial + 1 + u64::try_from(number).unwrap();
        let next = root.sign(&Warrant { serial, decision_keys: keys, ..warrant.clone() }, []);
        std::fs::write(folder.join("warrant.jws"), next).unwrap();
        seed_file(&lattice, "lattice/keys/decision.nk", KeyPairType::Cluster, secret);
        refused(lattice.json(&["serve"]));
    }
}
