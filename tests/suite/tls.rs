//! The way to NATS: TLS under an authority of one's own, client certificates, logins, and nothing plain to elsewhere.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use data_encoding::{BASE64, BASE64URL_NOPAD};
use harness::lattice::{Lattice, path, wait_for};
use nkeys::{KeyPair, KeyPairType};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyUsagePurpose};
use serde_json::json;

fn said(output: &std::process::Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn run(lattice: &Lattice, options: &[&str]) -> std::process::Output {
    let cart = lattice.path("cart-acme.wasm");
    let call = ["run", path(&cart), "--id", "cart", "--timeout", "5", "--invoke", "add(\"milk\", 1)"];
    lattice.host("host", &[&call, options].concat())
}

// A certificate authority, and the files it makes.
struct Authority(CertifiedIssuer<'static, rcgen::KeyPair>);

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages.push(KeyUsagePurpose::KeyCertSign);
        Self(CertifiedIssuer::self_signed(params, rcgen::KeyPair::generate().unwrap()).unwrap())
    }

    fn file(&self, lattice: &Lattice, name: &str) -> PathBuf {
        written(lattice, name, &pem("CERTIFICATE", self.0.der()))
    }

    // A certificate for that host, and its key.
    fn certify(&self, lattice: &Lattice, name: &str, host: &str) -> (PathBuf, PathBuf) {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![host.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        let certificate = params.signed_by(&key, &self.0).unwrap();
        (
            written(lattice, &format!("{name}.pem"), &pem("CERTIFICATE", certificate.der())),
            written(lattice, &format!("{name}-key.pem"), &pem("PRIVATE KEY", &key.serialize_der())),
        )
    }
}

fn pem(label: &str, der: &[u8]) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", BASE64.encode(der))
}

fn written(lattice: &Lattice, name: &str, text: &str) -> PathBuf {
    let file = lattice.path(name);
    std::fs::write(&file, text).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    file
}

fn config(certificate: &(PathBuf, PathBuf), more: &str) -> String {
    format!("tls {{\n cert_file: {:?}\n key_file: {:?}\n {more}\n}}\n", certificate.0, certificate.1)
}

fn user(lattice: &Lattice, name: &str) -> (PathBuf, String) {
    let pair = KeyPair::new_user();
    (written(lattice, name, &pair.seed().unwrap()), pair.public_key())
}

#[test]
fn t57_a_whole_start_over_tls_under_an_authority_of_its_own() {
    let mut lattice = Lattice::quiet();
    let authority = Authority::new("one");
    let own = authority.file(&lattice, "ca.pem");
    lattice.nats.configure(&config(&authority.certify(&lattice, "server", "127.0.0.1"), ""));
    lattice.nats.present("COUNTERSIGN_TLS_CA", &own);
    lattice.furnish();
    lattice.serve();
    // The command line reaches the broker over it too: it holds the folder, and the invitation is a command.
    lattice.join("host");
    let started = run(&lattice, &[]);
    assert!(started.status.success() && said(&started).contains("ok(1)"), "{}", said(&started));

    let other = Authority::new("two");
    let stranger = other.file(&lattice, "stranger.pem");
    for options in [&["--tls-ca", path(&stranger)][..], &["--tls-ca", path(&lattice.path("server.pem"))]] {
        let refused = run(&lattice, options);
        assert_eq!(refused.status.code(), Some(1), "{}", said(&refused));
        assert!(said(&refused).contains("invalid peer certificate"), "{}", said(&refused));
        let (code, refused) = lattice.json(&[options, &["host", "invite"]].concat());
        assert_eq!((code, refused["error"].as_str()), (1, Some("broker_unreachable")), "{refused}");
    }
    lattice.nats.withhold("COUNTERSIGN_TLS_CA");
    let machine = run(&lattice, &[]);
    assert_eq!(machine.status.code(), Some(1), "{}", said(&machine));
    assert!(said(&machine).contains("name its authority with `--tls-ca`"), "{}", said(&machine));

    // Both certificates are replaced in place: a broker that runs reads them when it connects again.
    other.certify(&lattice, "server", "127.0.0.1");
    other.file(&lattice, "ca.pem");
    lattice.nats.present("COUNTERSIGN_TLS_CA", &own);
    lattice.nats.restart();
    wait_for("the broker, back under the new authority", || run(&lattice, &[]).status.success().then_some(()));

    lattice.stop_broker();
    let (code, refused) = lattice.json(&["serve", "--tls-ca", path(&lattice.path("missing.pem"))]);
    assert_eq!(code, 1, "{refused}");
    assert!(refused["message"].as_str().unwrap().contains("missing.pem"), "{refused}");
    other.certify(&lattice, "server", "198.51.100.7");
    lattice.nats.restart();
    let (code, refused) = lattice.json(&["serve"]);
    assert_eq!((code, refused["error"].as_str()), (1, Some("broker_unreachable")), "{refused}");
    assert!(refused.to_string().contains("certificate is for another name"), "{refused}");
}

#[test]
fn t57_where_tls_is_demanded_a_plain_server_is_not_talked_to() {
    let lattice = Lattice::quiet();
    let own = Authority::new("one").file(&lattice, "ca.pem");
    let (code, refused) = lattice.json(&["serve", "--tls-ca", path(&own)]);
    assert_eq!((code, refused["error"].as_str()), (1, Some("broker_unreachable")), "{refused}");
    let empty = written(&lattice, "empty.pem", "no certificate\n");
    let (code, refused) = lattice.json(&["serve", "--tls-ca", path(&empty)]);
    assert_eq!(code, 1, "{refused}");
    assert!(refused["message"].as_str().unwrap().contains("holds no certificates"), "{refused}");
}

#[test]
fn a_server_that_demands_client_certificates_lets_in_who_has_one() {
    let mut lattice = Lattice::quiet();
    let authority = Authority::new("one");
    let own = authority.file(&lattice, "ca.pem");
    let server = authority.certify(&lattice, "server", "127.0.0.1");
    lattice.nats.configure(&config(&server, &format!("ca_file: {own:?}\n verify: true")));
    let (certificate, key) = authority.certify(&lattice, "client", "client.example");
    lattice.nats.present("COUNTERSIGN_TLS_CA", &own);
    lattice.nats.present("COUNTERSIGN_TLS_CERT", &certificate);
    lattice.nats.present("COUNTERSIGN_TLS_KEY", &key);
    lattice.furnish();
    lattice.serve();
    lattice.join("host");
    let started = run(&lattice, &[]);
    assert!(started.status.success() && said(&started).contains("ok(1)"), "{}", said(&started));

    let (foreign, foreign_key) = Authority::new("two").certify(&lattice, "foreign", "client.example");
    let foreign = ["--tls-cert", path(&foreign), "--tls-key", path(&foreign_key)];
    let refused = run(&lattice, &foreign);
    assert_eq!(refused.status.code(), Some(1), "{}", said(&refused));
    assert!(said(&refused).contains("does not take this client certificate"), "{}", said(&refused));
    let (code, refused) = lattice.json(&[&foreign[..], &["host", "invite"]].concat());
    assert_eq!(code, 1, "{refused}");

    let mixed = run(&lattice, &["--tls-key", path(&foreign_key)]);
    assert!(said(&mixed).contains("is not the private key of the certificate"), "{}", said(&mixed));
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    let open = run(&lattice, &[]);
    assert!(said(&open).contains("may be read by others"), "{}", said(&open));
    assert!(lattice.json(&["host", "invite"]).1.to_string().contains("is open to others"));

    lattice.nats.withhold("COUNTERSIGN_TLS_KEY");
    assert_eq!(run(&lattice, &[]).status.code(), Some(2));
    assert_eq!(lattice.json(&["host", "invite"]).0, 2);
    lattice.nats.withhold("COUNTERSIGN_TLS_CERT");
    let bare = run(&lattice, &[]);
    assert_eq!(bare.status.code(), Some(1), "{}", said(&bare));
    assert!(said(&bare).contains("name yours with `--tls-cert` and `--tls-key`"), "{}", said(&bare));
    let (code, bare) = lattice.json(&["host", "invite"]);
    assert_eq!((code, bare["error"].as_str()), (1, Some("broker_unreachable")), "{bare}");
}

// The permissions that docs/operations.md recommends, for one host and one administrator.
fn permissions(broker: &str, host: (&str, &str), administrator: (&str, &str)) -> String {
    let page = std::fs::read_to_string(harness::vectors::repository().join("docs/operations.md")).unwrap();
    let example = page.split("```\n").nth(1).expect("the page has a configuration");
    example
        .replace("U_BROKER", broker)
        .replace("U_HOST", host.0)
        .replace("N_HOST", host.1)
        .replace("U_ADMINISTRATOR", administrator.0)
        .replace("O_ADMINISTRATOR", administrator.1)
}

// Makes a host's folder with a key of our own making.
fn host_key(lattice: &Lattice) -> KeyPair {
    let pair = KeyPair::new_server();
    std::fs::create_dir(lattice.path("host")).unwrap();
    written(lattice, "host/host.nk", &pair.seed().unwrap());
    pair
}

#[test]
fn t09_each_logs_in_with_a_key_of_its_own_and_needs_no_more_than_the_recommended_rights() {
    let mut lattice = Lattice::quiet();
    let administrator = std::fs::read_dir(lattice.path("lattice/keys")).unwrap().flatten();
    let administrator = administrator.map(|file| file.path()).find(|file| path(file).contains("admin")).unwrap();
    let administrator = KeyPair::from_seed(std::fs::read_to_string(&administrator).unwrap().trim()).unwrap();
    let host = host_key(&lattice);
    let (broker_file, broker_user) = user(&lattice, "broker-login.nk");
    let (host_file, host_user) = user(&lattice, "host-login.nk");
    let (admin_file, admin_user) = user(&lattice, "admin-login.nk");
    let (unknown, unknown_user) = user(&lattice, "unknown.nk");
    lattice.nats.configure(&permissions(
        &broker_user,
        (&host_user, &host.public_key()),
        (&admin_user, &administrator.public_key()),
    ));
    lattice.furnish();
    lattice.nats.present("COUNTERSIGN_NKEY", &broker_file);
    lattice.serve();
    lattice.nats.present("COUNTERSIGN_NKEY", &admin_file);
    let invite = harness::vectors::text(&lattice.accepted(&["host", "invite"]), "invite").to_owned();
    let invite = written(&lattice, "host.invite", &invite);
    lattice.nats.present("COUNTERSIGN_NKEY", &host_file);
    let joined = lattice.host("host", &["join", path(&invite)]);
    assert!(joined.status.success(), "{}", said(&joined));
    let started = run(&lattice, &[]);
    assert!(started.status.success() && said(&started).contains("ok(1)"), "{}", said(&started));

    // A login that the server does not know, and none.
    let refused = run(&lattice, &["--nkey", path(&unknown)]);
    assert_eq!(refused.status.code(), Some(1), "{}", said(&refused));
    assert!(said(&refused).contains(&format!("does not let `{unknown_user}` in")), "{}", said(&refused));
    let (code, refused) = lattice.json(&["--nkey", path(&unknown), "host", "invite"]);
    assert_eq!(code, 1, "{refused}");
    assert!(refused.to_string().contains(&format!("does not let `{unknown_user}` in")), "{refused}");
    lattice.nats.withhold("COUNTERSIGN_NKEY");
    assert!(said(&run(&lattice, &[])).contains("the server asks for a login"), "{}", said(&run(&lattice, &[])));

    // No key that signs anything logs in: neither as what it is, nor dressed up as a user's.
    let same = KeyPair::new_from_raw(KeyPairType::User, nkeys::decode_seed(&host.seed().unwrap()).unwrap().1).unwrap();
    let same = written(&lattice, "same.nk", &same.seed().unwrap());
    let own = lattice.path("host/host.nk");
    for (file, reason) in [(&own, "key_role"), (&same, "key_in_use")] {
        let refused = run(&lattice, &["--nkey", path(file)]);
        assert_eq!(refused.status.code(), Some(3), "{}", said(&refused));
        assert!(said(&refused).contains(reason), "{}", said(&refused));
    }
    let both = run(&lattice, &["--nkey", path(&host_file), "--creds", path(&host_file)]);
    assert_eq!(both.status.code(), Some(2), "{}", said(&both));
    // A host's login may not command, whoever signs.
    let (code, refused) = lattice.json(&["--nkey", path(&host_file), "host", "invite"]);
    assert_eq!((code, refused["error"].as_str()), (1, Some("broker_unreachable")), "{refused}");
}

// A token in the form of NATS, signed by that key.
fn token(signer: &KeyPair, subject: &str, name: &str, nats: serde_json::Value) -> String {
    let claims = json!({"jti": name, "iat": 1, "iss": signer.public_key(), "name": name, "sub": subject, "nats": nats});
    let part = |value: serde_json::Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
    let input = format!("{}.{}", part(json!({"typ": "JWT", "alg": "ed25519-nkey"})), part(claims));
    let signature = BASE64URL_NOPAD.encode(&signer.sign(input.as_bytes()).unwrap());
    format!("{input}.{signature}")
}

#[test]
fn a_credentials_file_logs_in_everywhere() {
    let mut lattice = Lattice::quiet();
    let (operator, account, login) = (KeyPair::new_operator(), KeyPair::new_account(), KeyPair::new_user());
    let about = |key: &KeyPair, kind: &str, signer: &KeyPair| {
        let limits = json!({"subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true, "conn": -1, "leaf": -1});
        let nats = match kind {
            "account" => json!({"type": kind, "version": 2, "limits": limits}),
            "user" => json!({"type": kind, "version": 2, "subs": -1, "data": -1, "payload": -1}),
            _ => json!({"type": kind, "version": 2}),
        };
        token(signer, &key.public_key(), kind, nats)
    };
    lattice.nats.configure(&format!(
        "operator: {}\nresolver: MEMORY\nresolver_preload: {{ {}: {} }}\n",
        about(&operator, "operator", &operator),
        account.public_key(),
        about(&account, "account", &operator),
    ));
    let creds = |seed: &str| {
        let token = about(&login, "user", &account);
        format!(
            "-----BEGIN NATS USER JWT-----\n{token}\n------END NATS USER JWT------\n\n\
             -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
        )
    };
    let file = written(&lattice, "login.creds", &creds(&login.seed().unwrap()));
    lattice.furnish();
    lattice.nats.present("COUNTERSIGN_CREDS", &file);
    lattice.serve();
    lattice.join("host");
    let started = run(&lattice, &[]);
    assert!(started.status.success() && said(&started).contains("ok(1)"), "{}", said(&started));

    let wrong = KeyPair::new_account().seed().unwrap();
    let wrong_file = written(&lattice, "wrong.creds", &creds(&wrong));
    let refused = run(&lattice, &["--creds", path(&wrong_file)]);
    assert_eq!(refused.status.code(), Some(3), "{}", said(&refused));
    assert!(said(&refused).contains("key_role") && !said(&refused).contains(&wrong), "{}", said(&refused));
    let (code, refused) = lattice.json(&["--creds", path(&wrong_file), "host", "invite"]);
    assert_eq!((code, refused["error"].as_str()), (3, Some("key_role")), "{refused}");
    let impostor = written(&lattice, "impostor.creds", &creds(&KeyPair::new_user().seed().unwrap()));
    let refused = run(&lattice, &["--creds", path(&impostor)]);
    assert_eq!(refused.status.code(), Some(1), "{}", said(&refused));
    assert!(said(&refused).contains("does not let"), "{}", said(&refused));
}

#[test]
fn t57_a_plain_connection_to_another_machine_is_refused_before_it_is_tried() {
    let lattice = Lattice::quiet();
    let invite = harness::vectors::text(&lattice.accepted(&["host", "invite"]), "invite").to_owned();
    let invite = written(&lattice, "host.invite", &invite);
    // The second is this machine in truth, under an address that is not the loopback's; nobody must knock there.
    let door = TcpListener::bind("127.0.0.1:0").unwrap();
    door.set_nonblocking(true).unwrap();
    let here = format!("nats://me:hidden@0.0.0.0:{}", door.local_addr().unwrap().port());
    let root = "00".repeat(32);
    let nowhere = lattice.path("nowhere");
    for url in ["nats://me:hidden@192.0.2.1:4222", &here] {
        let joined = lattice.host("host", &["--nats-url", url, "join", path(&invite)]);
        assert_eq!(joined.status.code(), Some(3), "{}", said(&joined));
        assert!(said(&joined).contains("wire_plain") && said(&joined).contains("write `tls://"), "{}", said(&joined));
        assert!(!said(&joined).contains("hidden"), "{}", said(&joined));
        let asks = ["--dir", path(&nowhere), "--root", &root, "status"];
        for arguments in [&["serve"][..], &asks] {
            let (code, refused) = lattice.json(&[&["--nats-url", url], arguments].concat());
            assert_eq!((code, refused["error"].as_str()), (3, Some("wire_plain")), "{refused}");
            assert!(!refused.to_string().contains("hidden"), "{refused}");
        }
    }
    assert!(door.accept().is_err(), "somebody knocked");
}
