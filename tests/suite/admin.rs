//! Administration from the command line: each command's journey in text and JSON, and what it must refuse.
//!
//! Without a broker: the program judges in process. What happens over NATS is left to the tests of the wire.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use broker::clock::{Clock, SystemClock};
use broker::folder::Folder;
use broker::keys::{SigningKey, nonce};
use broker::service::Service;
use harness::program::{countersign_json, program};
use harness::vectors::guest;
use policy::answer::{Receipt, StartAnswer};
use policy::artifact::component;
use policy::command::Command;
use policy::digest::Digest;
use policy::envelope::Unverified;
use policy::govern::{Operation, WithdrawContract};
use policy::join::{InviteProof, Join};
use policy::json as strict;
use policy::key::{Administrator, Host, Invite};
use policy::name::{ComponentId, Lattice, Package};
use policy::native::NATIVES;
use policy::provider::Subject;
use policy::question::{Inventory, Offer, Runs, Seen, StartRequest, What};
use policy::reason::Reason;
use serde_json::{Value, json};

/// A lattice in a folder of its own, an issuer called acme, and signed guests.
struct Bench {
    room: tempfile::TempDir,
    acme: String,
}

impl Bench {
    fn bare() -> Self {
        let mut bench = Self { room: tempfile::tempdir().unwrap(), acme: String::new() };
        bench.done(&["init"]);
        let key = bench.path("acme.nk");
        bench.acme = bench.done(&["keys", "gen", "issuer", "--out", &key])["public"].as_str().unwrap().to_owned();
        bench
    }

    /// With acme trusted for everything, and `cart` admitted.
    fn with_cart() -> Self {
        let bench = Self::bare();
        bench.done(&["issuer", "add", &bench.acme, "--scope", "*"]);
        let cart = bench.signed("cart");
        bench.done(&["component", "admit", &cart]);
        bench
    }

    /// With contracts for what `cart` imports, answered by builtins.
    fn answered() -> Self {
        let bench = Self::with_cart();
        for (package, native) in [("wasi:logging", "native/logging@0.1.0"), ("wasi:keyvalue", "native/keyvalue@0.1.0")]
        {
            bench.publish(package, &[]);
            bench.done(&["provider", "admit", native]);
            bench.done(&["default", "put", package, "--bind", "builtin"]);
        }
        bench
    }

    fn path(&self, name: &str) -> String {
        self.room.path().join(name).to_str().unwrap().to_owned()
    }

    fn folder(&self) -> PathBuf {
        self.room.path().join("lattice")
    }

    fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        let mut command = program("countersign");
        command.args(["--dir", self.folder().to_str().unwrap()]).args(arguments).current_dir(self.room.path());
        // A port where nobody listens, whatever else runs on this machine.
        command.env("COUNTERSIGN_NATS_URL", "nats://127.0.0.1:1");
        let output = command.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap_or(-1), text(output.stdout), text(output.stderr))
    }

    fn json(&self, arguments: &[&str]) -> (i32, Value) {
        let (code, out, err) = self.run(&[&["-o", "json"], arguments].concat());
        let printed = if out.is_empty() { &err } else { &out };
        (code, serde_json::from_str(printed).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {printed}")))
    }

    fn done(&self, arguments: &[&str]) -> Value {
        let (code, value) = self.json(arguments);
        assert_eq!((code, &value["success"]), (0, &json!(true)), "{arguments:?}: {value}");
        value
    }

    fn text(&self, arguments: &[&str]) -> String {
        let (code, out, err) = self.run(arguments);
        assert_eq!(code, 0, "{arguments:?}: {err}");
        out
    }

    /// Refused with this reason, in JSON and in text, where a remedy is told too.
    fn refused(&self, arguments: &[&str], reason: &str) -> Value {
        let (code, value) = self.json(arguments);
        assert_eq!((code, &value["error"]), (3, &json!(reason)), "{arguments:?}: {value}");
        assert_eq!(value["success"], json!(false));
        let (code, _, err) = self.run(arguments);
        assert_eq!(code, 3, "{arguments:?}: {err}");
        value
    }

    /// A guest, signed by acme.
    fn signed(&self, name: &str) -> String {
        let to = self.path(&format!("{name}_s.wasm"));
        if !Path::new(&to).exists() {
            let from = self.path(&format!("{name}.wasm"));
            std::fs::write(&from, guest(name)).unwrap();
            self.done(&["claims", "sign", &from, "--issuer-key", &self.path("acme.nk")]);
        }
        to
    }

    fn publish(&self, package: &str, more: &[&str]) -> Value {
        let (draft, signed) = (self.path("draft.json"), self.path("draft.jwt"));
        let drafting = [&["contract", "draft", package, "--provider-issuer", &self.acme], more].concat();
        std::fs::write(&draft, self.text(&drafting)).unwrap();
        self.done(&["contract", "sign", &draft, "--issuer-key", &self.path("acme.nk")]);
        self.done(&["contract", "publish", &signed])
    }

    fn service<T>(&self, work: impl AsyncFnOnce(&Service) -> T) -> T {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            let folder = Folder::open(&self.folder()).unwrap();
            let service = Service::open(&folder, Arc::new(SystemClock::default())).await.unwrap();
            let done = work(&service).await;
            service.close().await.unwrap();
            done
        })
    }

    /// Joins a host and asks whether `cart` may start there; the answer, and the request's nonce.
    fn asked(&self, what: &str) -> (StartAnswer, String) {
        let invite = self.done(&["host", "invite"])["invite"].as_str().unwrap().to_owned();
        let seed = invite.rsplit(':').next().unwrap().to_owned();
        let wasm = std::fs::read(self.signed(what)).unwrap();
        self.service(async |service| {
            let host = SigningKey::<Host>::generate().unwrap();
            service.join(&join(service, &host, &SigningKey::from_seed(&seed).unwrap())).await.unwrap();
            let (request, jti) = request(service, &host, what, &wasm);
            let answer = service.answer_start(&request).await.unwrap();
            (Unverified::<StartAnswer>::parse(&answer).unwrap().says().clone(), jti)
        })
    }

    fn log_bytes(&self) -> Vec<u8> {
        let files = std::fs::read_dir(self.folder()).unwrap().map(|entry| entry.unwrap().path());
        let log = files.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("log.db"));
        log.flat_map(|path| std::fs::read(path).unwrap()).collect()
    }

    fn size(&self) -> u64 {
        self.done(&["status"])["size"].as_u64().unwrap()
    }
}

fn join(service: &Service, host: &SigningKey<Host>, invite: &SigningKey<Invite>) -> Vec<u8> {
    let (aud, jti) = (service.lattice().clone(), nonce().unwrap());
    let proof = InviteProof { iss: invite.name(), aud: aud.clone(), host: host.name(), jti };
    let proof = invite.sign(&proof, []);
    let iat = SystemClock::default().now();
    let join = Join { iss: host.name(), aud, iat, jti, proof_sha256: Digest::of(&proof) };
    host.sign(&join, [proof.as_slice()])
}

fn request(service: &Service, host: &SigningKey<Host>, id: &str, wasm: &[u8]) -> (Vec<u8>, String) {
    let file = component::read(wasm).unwrap();
    let claims = file.token().unwrap().to_vec();
    let subject = policy::claims::read_component(&claims).unwrap().subject;
    let builtins = NATIVES.iter().map(|native| Offer { subject: native.subject().unwrap(), sha256: native.sha256() });
    let inventory = strict::write(&Inventory { builtins: builtins.collect() });
    let jti = nonce().unwrap();
    let request = StartRequest {
        iss: host.name(),
        aud: service.lattice().clone(),
        iat: SystemClock::default().now(),
        jti,
        what: What::StartComponent,
        runs: Runs {
            id: ComponentId::parse(id).unwrap(),
            subject: Subject::Component(subject),
            sha256: file.sha256(),
            claims_sha256: Some(Digest::of(&claims)),
        },
        imports: file.imports().to_vec(),
        inventory_sha256: Digest::of(&inventory),
        stood_in: Vec::new(),
        seen: Seen { epoch: 0, index: 0, entry_sha256: Digest::of(&service.papers().1) },
    };
    (host.sign(&request, [claims.as_slice(), &inventory]), jti.to_string())
}

fn contains(bytes: &[u8], needle: &str) -> bool {
    bytes.windows(needle.len()).any(|window| window == needle.as_bytes())
}

fn names(value: &Value, list: &str, member: &str) -> BTreeSet<String> {
    value[list].as_array().unwrap().iter().map(|row| row[member].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_lattice_is_made_once_and_its_secrets_are_private() {
    let room = tempfile::tempdir().unwrap();
    let bench = Bench { room, acme: String::new() };
    let made = bench.done(&["-x", "prod", "init"]);
    assert_eq!((&made["lattice"], made["base"].as_array().unwrap().len()), (&json!("prod"), 5));
    for secret in made["secrets"].as_array().unwrap() {
        let path = Path::new(secret.as_str().unwrap());
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{path:?}");
        let seed = std::fs::read_to_string(path).unwrap();
        assert!(!made.to_string().contains(seed.trim()), "a seed was printed");
    }
    assert!(!made["offline"].as_array().unwrap().is_empty());
    let log = || std::fs::read(bench.folder().join("log.db")).unwrap();
    let before = log();
    let (code, again) = bench.json(&["init"]);
    assert_eq!((code, &again["success"]), (1, &json!(false)));
    assert!(log() == before, "a lattice was overwritten");
    // The folder's own lattice is meant where none is named.
    let status = bench.done(&["status"]);
    assert_eq!((&status["lattice"], &status["root"], &status["epoch"]), (&json!("prod"), &made["root"], &json!(2)));
    assert_eq!((&status["broker"], &status["counts"]["contracts"]), (&json!("not running"), &json!(5)));
    assert_eq!(status["warrant_until"], made["warrant_until"]);
    assert!(bench.text(&["status"]).contains("root digest"));
}

#[test]
fn a_bare_lattice_has_no_contracts_and_an_administrator_may_be_elsewhere() {
    let bench = Bench { room: tempfile::tempdir().unwrap(), acme: String::new() };
    let key = bench.path("ada.nk");
    let ada = bench.done(&["keys", "gen", "administrator", "--out", &key])["public"].as_str().unwrap().to_owned();
    let made = bench.done(&["init", "--bare", "--admin", &ada]);
    assert_eq!((&made["base"], &made["administrator"]), (&json!([]), &json!(ada)));
    assert_eq!(bench.done(&["contract", "list"])["contracts"], json!([]));
    let (code, nobody) = bench.json(&["host", "invite"]);
    assert_eq!((code, &nobody["error"]), (2, &json!("usage")), "{nobody}");
    bench.done(&["--key", &key, "host", "invite"]);
    let eve = bench.path("eve.nk");
    bench.done(&["keys", "gen", "administrator", "--out", &eve]);
    bench.refused(&["--key", &eve, "host", "invite"], "administrator_unknown");
}

#[test]
fn a_proof_takes_the_place_of_a_proof_and_of_nothing_else() {
    let bench = Bench::bare();
    bench.done(&["host", "invite"]);
    let file = bench.path("entry.proof");
    for _ in 0..2 {
        bench.done(&["audit", "prove", "0", "--out", &file]);
    }
    let own = bench.path("thesis.txt");
    std::fs::write(&own, "years of work").unwrap();
    let (code, told) = bench.json(&["audit", "prove", "0", "--out", &own]);
    assert_eq!((code, &told["success"]), (1, &json!(false)), "{told}");
    assert_eq!(std::fs::read_to_string(&own).unwrap(), "years of work");
}

#[test]
fn an_issuer_is_added_shown_and_revoked() {
    let bench = Bench::bare();
    let add = ["issuer", "add", &bench.acme, "--scope", "acme:*", "--kind", "component", "--because", "we make it"];
    for nothing in ["0", "0d"] {
        assert_eq!(bench.json(&[&add[..], &["--max-lifetime", nothing]].concat()).0, 2);
    }
    let added = bench.done(&[&add[..], &["--max-lifetime", "86400"]].concat());
    assert_eq!((&added["index"], &added["epoch"]), (&json!(3), &json!(3)));
    assert_eq!(added["entry_sha256"].as_str().unwrap().len(), 64);
    let shown = bench.done(&["issuer", "show", &bench.acme]);
    assert_eq!((&shown["scope"], &shown["kinds"]), (&json!(["acme:*"]), &json!(["component"])));
    assert_eq!((&shown["standing"], &shown["max_lifetime_s"]), (&json!("active"), &json!(86400)));
    assert!(names(&bench.done(&["issuer", "ls"]), "issuers", "key").contains(&bench.acme));
    assert!(bench.text(&["issuer", "list"]).contains("acme:*"));
    // A refusal of a command is an entry too.
    assert_eq!(bench.refused(&add, "already_exists")["index"], json!(4));
    let (_, _, told) = bench.run(&add);
    assert!(told.contains("already_exists: ") && told.contains("fix: ") && told.contains("lattice: default"), "{told}");
    assert!(told.contains(bench.folder().to_str().unwrap()) && told.contains("nats://127.0.0.1:1"), "{told}");
    bench.done(&["issuer", "rm", &bench.acme]);
    assert_eq!(bench.done(&["issuer", "show", &bench.acme])["standing"], json!("revoked"));
    let host = SigningKey::<Host>::generate().unwrap().name().to_string();
    bench.refused(&["issuer", "add", &host, "--scope", "*"], "key_role");
    bench.refused(
        &["issuer", "show", &SigningKey::<policy::key::Issuer>::generate().unwrap().name().to_string()],
        "not_found",
    );
}

#[test]
fn a_contract_is_drafted_signed_published_and_withdrawn() {
    let bench = Bench::bare();
    bench.done(&["issuer", "add", &bench.acme, "--scope", "wasi:logging", "--scope", "demo:*"]);
    let draft = bench.done(&["contract", "draft", "wasi:logging"])["contract"].clone();
    assert_eq!((&draft["interfaces"], &draft["tracks"]), (&json!(["logging"]), &json!(["0.1.0-draft"])));
    assert_eq!(draft["providers"]["subjects"], json!(["native/logging@0.1.0"]));
    assert!(draft["legacy_ids"].as_array().unwrap().contains(&json!("wasmcloud:builtin:logging")));
    assert_eq!(draft["iss"], json!(bench.acme), "the one issuer whose scope covers it");
    assert_eq!(bench.publish("wasi:logging", &[])["revision"], json!(1));
    let shown = bench.done(&["contract", "show", "wasi:logging"]);
    assert_eq!(shown["contract"]["providers"]["issuers"], json!([bench.acme]));
    // The next draft is the next revision; the same again is refused, as is one from another package's owner.
    bench.refused(&["contract", "publish", &bench.path("draft.jwt")], "contract_downgrade");
    assert_eq!(bench.publish("wasi:logging", &["--links-only"])["revision"], json!(2));
    bench.refused(&["default", "put", "wasi:logging", "--bind", "builtin"], "not_defaultable");
    let cart = bench.signed("cart");
    bench.publish("demo:shop@0.1.0", &["--file", &cart]);
    std::fs::write(bench.path("o.json"), bench.text(&["contract", "draft", "wasi:keyvalue", "--issuer", &bench.acme]))
        .unwrap();
    bench.done(&["contract", "sign", &bench.path("o.json"), "--issuer-key", &bench.path("acme.nk")]);
    bench.refused(&["contract", "publish", &bench.path("o.jwt")], "issuer_scope");
    bench.done(&["contract", "withdraw", "wasi:logging"]);
    assert_eq!(bench.done(&["contract", "show", "wasi:logging"])["withdrawn"], json!(true));
    bench.refused(&["contract", "show", "wasi:nothing"], "not_found");
    // Changed after signing, or no contract at all.
    let token = std::fs::read_to_string(bench.path("o.jwt")).unwrap();
    std::fs::write(bench.path("bad.jwt"), token.replacen("ey", "eY", 1)).unwrap();
    bench.refused(&["contract", "publish", &bench.path("bad.jwt")], "token_header");
    bench.refused(&["contract", "publish", &cart], "token_malformed");
}

#[test]
fn a_default_is_put_listed_and_deleted() {
    let bench = Bench::with_cart();
    bench.refused(&["default", "put", "wasi:logging", "--bind", "builtin"], "contract_unknown");
    bench.publish("wasi:logging", &[]);
    bench.refused(&["default", "put", "wasi:logging", "--bind", "sole-provider"], "not_supported_yet");
    bench.refused(&["default", "put", "wasi:logging", "--bind", "builtin", "--uniform"], "not_supported_yet");
    bench.done(&["default", "put", "wasi:logging", "--bind", "never"]);
    bench.done(&["default", "put", "wasi:logging", "--bind", "builtin"]);
    assert!(names(&bench.done(&["default", "list"]), "defaults", "package").contains("wasi:logging"));
    bench.done(&["default", "del", "wasi:logging"]);
    assert!(!bench.text(&["default", "ls"]).contains("wasi:logging"));
    bench.refused(&["default", "rm", "wasi:logging"], "not_found");
}

#[test]
fn components_are_admitted_under_an_id_and_retired() {
    let bench = Bench::bare();
    let cart = bench.signed("cart");
    bench.refused(&["component", "admit", &cart], "issuer_unknown");
    bench.done(&["issuer", "add", &bench.acme, "--scope", "*"]);
    let admitted = bench.done(&["component", "admit", &cart]);
    assert_eq!(admitted["component"], json!("cart"), "the name in its claims");
    let kept = bench.folder().join("artifacts").join(format!("{}.wasm", admitted["sha256"].as_str().unwrap()));
    assert_eq!(std::fs::read(kept).unwrap(), std::fs::read(&cart).unwrap());
    bench.done(&["actor", "admit", &cart, "--id", "cart-eu"]);
    assert_eq!(
        names(&bench.done(&["component", "list"]), "components", "id"),
        ["cart", "cart-eu"].map(String::from).into()
    );
    assert!(bench.text(&["component", "show", "cart"]).contains("wasi:logging/logging@0.1.0-draft"));
    let greeter = bench.signed("greeter");
    bench.refused(&["component", "admit", &greeter, "--id", "cart"], "component_id_not_yours");
    bench.refused(&["component", "admit", &bench.path("cart.wasm")], "claims_missing");
    // Genuine claims around other bytes.
    let token = component::read(&std::fs::read(&cart).unwrap()).unwrap().token().unwrap().to_vec();
    let grafted = component::attach(&guest("greeter"), std::str::from_utf8(&token).unwrap()).unwrap();
    std::fs::write(bench.path("grafted.wasm"), grafted).unwrap();
    let size = bench.size();
    bench.refused(&["component", "admit", &bench.path("grafted.wasm")], "hash_mismatch");
    assert_eq!(bench.size(), size, "what is wrong by itself needs no broker");
    bench.done(&["component", "retire", "cart-eu"]);
    assert_eq!(bench.done(&["component", "show", "cart-eu"])["retired"], json!(true));
    bench.refused(&["component", "retire", "nobody"], "component_unknown");
    let (code, missing) = bench.json(&["component", "admit", "no-such-file.wasm"]);
    assert_eq!((code, &missing["error"]), (1, &json!("failed")));
}

#[test]
fn providers_are_admitted_and_one_name_means_one_digest() {
    let bench = Bench::with_cart();
    let (logger, rival) = (bench.signed("logger"), bench.signed("rival"));
    let admitted = bench.done(&["provider", "admit", &logger]);
    let sha256 = admitted["sha256"].as_str().unwrap().to_owned();
    assert!(bench.folder().join("artifacts").join(format!("{sha256}.wasm")).exists());
    let shown = bench.done(&["provider", "show", "logger"]);
    assert_eq!((&shown["source"], &shown["sha256"]), (&json!("exports"), &json!(sha256)));
    bench.done(&["provider", "admit", "native/logging@0.1.0"]);
    bench.refused(&["provider", "admit", "native/nothing@0.1.0"], "provider_unknown");
    bench.refused(&["provider", "admit", &rival, "--id", "logger"], "component_id_not_yours");
    bench.refused(&["provider", "admit", &rival, "--serves", "wasi:logging@0.1.0-draft/logging"], "schema_mismatch");
    // A second build under the same id and subject: the id alone means two digests.
    let second = bench.path("second.wasm");
    let (seed, issuer) = (bench.path("logger.nk"), bench.path("acme.nk"));
    std::fs::write(bench.path("again.wasm"), guest("rival")).unwrap();
    let sign = ["claims", "sign", &bench.path("again.wasm"), "--issuer-key", &issuer, "--subject-key", &seed];
    let signed = bench.done(&[&sign[..], &["--out", &second]].concat());
    bench.done(&["provider", "admit", &second, "--id", "logger"]);
    bench.publish("wasi:logging", &[]);
    let put = ["link", "put", "cart", "logger", "--contract", "wasi:logging"];
    let ambiguous = bench.refused(&put, "ambiguous");
    let message = ambiguous["message"].as_str().unwrap();
    assert!(message.contains(&sha256) && message.contains(signed["sha256"].as_str().unwrap()), "{message}");
    bench.done(&["link", "put", "cart", &sha256[..12], "--contract", "wasi:logging"]);
    bench.done(&["provider", "retire", &sha256]);
    assert_eq!(
        bench.done(&[&put[..], &["--pin", signed["sha256"].as_str().unwrap()]].concat())["provider"],
        json!("logger")
    );
    bench.refused(&["link", "put", "cart", &sha256, "--contract", "wasi:logging"], "provider_retired");
    bench.refused(&["provider", "retire", "nobody"], "provider_unknown");
}

#[test]
fn a_link_is_put_and_deleted_and_its_tombstone_stands() {
    let bench = Bench::answered();
    let (logger, cart) = (bench.signed("logger"), bench.signed("cart"));
    bench.done(&["provider", "admit", &logger]);
    let put = ["link", "put", "cart", "logger", "--contract", "wasi:logging", "--because", "one log"];
    bench.done(&put);
    bench.refused(&put, "already_exists");
    bench.refused(&["link", "put", "nobody", "logger", "--contract", "wasi:logging"], "component_unknown");
    let links = bench.done(&["linkdef", "query"]);
    assert_eq!((&links["links"][0]["standing"], &links["links"][0]["id"]), (&json!("live"), &json!("logger")));
    let by = |package: &str| {
        let told = bench.done(&["explain", &cart]);
        let outcomes = told["outcomes"].as_array().unwrap().clone();
        outcomes.into_iter().find(|outcome| outcome["package"] == package).unwrap()["by"].clone()
    };
    assert_eq!((by("wasi:logging"), by("wasi:keyvalue")), (json!("link"), json!("builtin")));
    bench.done(&["link", "rm", "cart", "--contract", "wasi:logging"]);
    let told = bench.refused(&["explain", &cart], "link_removed");
    assert!(told["fix"]["acts"][0]["command"].as_str().unwrap().contains("--accept-default"));
    assert_eq!(bench.done(&["link", "list"])["links"][0]["standing"], json!("removed"));
    bench.done(&["link", "del", "cart", "--contract", "wasi:logging", "--accept-default"]);
    assert_eq!(by("wasi:logging"), json!("builtin"));
    assert!(bench.text(&["link", "list"]).contains("no links"));
    let history = bench.done(&["link", "history", "cart"]);
    let changes = history["changes"].as_array().unwrap();
    assert_eq!((changes.len(), &changes[0]["because"]), (3, &json!("one log")));
    assert!(changes[2]["summary"].as_str().unwrap().contains("its default accepted"));
    assert!(bench.text(&["link", "history", "cart"]).contains("one log"));
}

#[test]
fn t69_configuration_travels_and_is_recorded_by_its_digest() {
    let bench = Bench::with_cart();
    let logger = bench.signed("logger");
    bench.done(&["provider", "admit", &logger]);
    bench.publish("wasi:logging", &["--config", "required"]);
    let put = ["link", "put", "cart", "logger", "--contract", "wasi:logging"];
    bench.refused(&put, "config_required");
    let linked = bench.done(&[&put[..], &["--config", "bucket=canary-4711", "--config", "a=b"]].concat());
    let sha256 = linked["config_sha256"].as_str().unwrap();
    // A salt inside keeps small values from being guessed.
    assert_ne!(sha256, Digest::of(br#"{"a":"b","bucket":"canary-4711"}"#).to_string());
    for kept in [bench.folder().join("config").join(format!("{sha256}.sealed")), bench.folder().join("keys/config.key")]
    {
        assert_eq!(kept.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert!(!contains(&std::fs::read(kept).unwrap(), "canary-4711"));
    }
    assert!(!contains(&bench.log_bytes(), "canary-4711") && !linked.to_string().contains("canary-4711"));
    let (code, twice) = bench.json(&[&put[..], &["--config", "a=1", "--config", "a=2"]].concat());
    assert_eq!((code, &twice["error"]), (2, &json!("usage")));
}

#[test]
fn an_invitation_is_one_line_and_its_seed_is_kept_nowhere() {
    let bench = Bench::bare();
    let (code, line, hint) = bench.run(&["host", "invite", "--label", "zone=eu", "--expires-in", "60"]);
    assert_eq!((code, line.lines().count()), (0, 1), "{line}{hint}");
    let root = bench.done(&["status"])["root"].as_str().unwrap().to_owned();
    let parts: Vec<&str> = line.trim().split(':').collect();
    assert_eq!((parts[0], parts[1], parts[2], parts[4]), ("countersign-invite", "v1", "default", root.as_str()));
    let seed = parts[5];
    let key = SigningKey::<Invite>::from_seed(seed).unwrap();
    assert!(!contains(&bench.log_bytes(), seed) && !hint.contains(seed));
    let open = bench.done(&["host", "list"]);
    assert_eq!((&open["invitations"][0]["key"], &open["hosts"]), (&json!(key.name().to_string()), &json!([])));
    assert_eq!(open["invitations"][0]["labels"], json!({"zone": "eu"}));
    assert!(bench.text(&["host", "list"]).contains("zone=eu"));
    bench.refused(&["host", "invite", "--expires-in", "9999999"], "command_expired");
    assert_eq!(bench.json(&["host", "invite", "--expires-in", "0"]).0, 2);
    let nobody = SigningKey::<Host>::generate().unwrap().name().to_string();
    bench.refused(&["host", "ban", &nobody], "host_unknown");
    bench.refused(&["host", "show", &nobody], "not_found");
    // What logs in there stays out of the line and out of every message.
    let (_, line, hint) = bench.run(&["--nats-url", "nats://me:hunter2@127.0.0.1:1", "host", "invite"]);
    let url = data_encoding::BASE64URL_NOPAD.decode(line.split(':').nth(3).unwrap().as_bytes()).unwrap();
    assert_eq!(url, b"nats://127.0.0.1:1");
    assert!(!hint.contains("hunter2"));
}

#[test]
fn a_fix_that_is_told_is_a_fix_that_works() {
    let bench = Bench::bare();
    let cart = bench.signed("cart");
    let told = bench.refused(&["explain", &cart], "issuer_unknown");
    assert_eq!(told["fix"].get("still"), None, "{}", told["fix"]);
    assert_eq!(told["fix"]["acts"][0]["lifts"], json!("issuer_unknown"));
    bench.done(&["issuer", "add", &bench.acme, "--scope", "*"]);
    bench.done(&["component", "admit", &cart]);
    bench.publish("wasi:logging", &[]);
    bench.publish("wasi:keyvalue", &[]);
    let told = bench.refused(&["explain", &cart], "link_missing");
    for act in told["fix"]["acts"].as_array().unwrap() {
        let words: Vec<&str> = act["command"].as_str().unwrap().split(' ').skip(1).collect();
        bench.done(&words);
    }
    let told = bench.done(&["explain", &cart]);
    assert_eq!((&told["verdict"], &told["outcomes"][0]["by"]), (&json!("permitted"), &json!("builtin")));
    let text = bench.text(&["explain", &cart, "-v"]);
    assert!(
        text.contains("would be permitted")
            && text.contains("  the claims are trusted         passed       the claims are about"),
        "{text}"
    );
    let stranger = SigningKey::<Host>::generate().unwrap().name().to_string();
    bench.refused(&["explain", &cart, "--host", &stranger], "host_unknown");
    bench.refused(&["explain", &cart, "--id", "other"], "component_unknown");
    bench.refused(&["explain", &bench.path("cart.wasm")], "claims_missing");
}

#[test]
fn why_tells_a_ruling_from_the_log_alone() {
    let bench = Bench::answered();
    let (answer, jti) = bench.asked("cart");
    assert_eq!(answer.reason, None);
    let index = answer.index.to_string();
    for about in [&index, "cart", &answer.entry_sha256.to_string()[..12], &jti] {
        let told = bench.done(&["why", about]);
        assert_eq!((&told["index"], &told["follows"]), (&json!(answer.index), &json!(true)), "{about}");
        assert_eq!((&told["verdict"], told["outcomes"].as_array().unwrap().len()), (&json!("permitted"), 2));
    }
    let text = bench.text(&["why", "cart", "--contract", "wasi:logging"]);
    let first = text.lines().next().unwrap();
    assert!(first.contains("answers `wasi:logging` for `cart`") && first.contains("native/logging@0.1.0"), "{text}");
    assert!(!text.contains("wasi:keyvalue") && text.contains("the same"), "{text}");
    // The past stays as it was; asked now it would be otherwise.
    bench.done(&["default", "del", "wasi:logging"]);
    let told = bench.done(&["why", "cart"]);
    assert_eq!((&told["verdict"], &told["again"]["verdict"]), (&json!("permitted"), &json!("refused")));
    let offered = bench.done(&["builtins"]);
    assert_eq!(offered["hosts"][0]["asked"], json!(answer.index));
    assert_eq!(offered["hosts"][0]["offers"].as_array().unwrap().len(), NATIVES.len());
    assert!(bench.text(&["builtins"]).contains("native/keyvalue@0.1.0"));
    let governed = bench.done(&["why", "3"]);
    assert_eq!(
        (&governed["kind"], &governed["events"][0]["issuer_added"]["key"]),
        (&json!("governance"), &json!(bench.acme))
    );
    bench.refused(&["why", "nobody"], "not_found");
    bench.refused(&["why", "99999"], "not_found");
    bench.refused(&["why", "deadbeefdeadbeef"], "not_found");
    // A banned host is told as such, and its past can still be told.
    let host = offered["hosts"][0]["key"].as_str().unwrap();
    bench.done(&["host", "ban", host]);
    assert_eq!(bench.done(&["host", "show", host])["standing"], json!("banned"));
    assert_eq!(bench.done(&["why", "cart"])["follows"], json!(true));
    assert_eq!(bench.done(&["audit", "verify"])["rulings"], json!(1));
}

#[test]
fn a_refused_start_is_told_with_its_reason() {
    let bench = Bench::with_cart();
    let (answer, _) = bench.asked("cart");
    assert_eq!(answer.reason, Some(Reason::ContractUnknown));
    let told = bench.done(&["why", "cart", "--contract", "wasi:logging"]);
    assert_eq!((&told["verdict"], &told["reason"]), (&json!("refused"), &json!("contract_unknown")));
    assert!(bench.text(&["why", "cart"]).contains("nobody answers `wasi:logging` for `cart`: contract_unknown"));
}

#[test]
fn the_log_is_verified_and_the_first_changed_row_is_named() {
    let bench = Bench::answered();
    bench.asked("cart");
    bench.done(&["host", "invite", "--because", "row to change"]);
    let row = bench.size() - 1;
    bench.done(&["host", "invite"]);
    let holds = bench.done(&["audit", "verify"]);
    assert_eq!(holds["entries"], json!(row + 2));
    assert!(bench.text(&["audit", "verify"]).contains("each follows from those before it"));
    let root = bench.done(&["status"])["root"].as_str().unwrap().to_owned();
    bench.done(&["--root", &root, "audit", "verify"]);
    bench.refused(&["--root", &"0".repeat(64), "audit", "verify"], "log_broken");
    let tail = bench.done(&["audit", "tail", "-n", "2"]);
    assert_eq!(
        (tail["entries"].as_array().unwrap().len(), &tail["entries"][0]["because"]),
        (2, &json!("row to change"))
    );
    assert!(bench.text(&["audit", "tail"]).contains("# row to change"));
    let log = bench.folder().join("log.db");
    let mut bytes = std::fs::read(&log).unwrap();
    let at = bytes.windows(13).position(|window| window == b"row to change").unwrap();
    bytes[at] = b'R';
    std::fs::write(&log, &bytes).unwrap();
    let broken = bench.refused(&["audit", "verify"], "log_broken");
    assert_eq!(broken["row"], json!(row), "{broken}");
    assert!(broken["message"].as_str().unwrap().contains(&format!("row {row}")), "{broken}");
    // Nothing is done on a log that does not hold.
    bench.refused(&["host", "invite"], "log_broken");
    bench.refused(&["issuer", "list"], "log_broken");
}

#[test]
fn changed_evidence_is_named() {
    let bench = Bench::bare();
    bench.done(&["issuer", "add", &bench.acme, "--scope", "*"]);
    let row = bench.size() - 1;
    let log = bench.folder().join("log.db");
    let mut bytes = std::fs::read(&log).unwrap();
    // What a command was based on is in the evidence only, packed, which leaves as it is what its row does not say.
    let based = br#"basis":"#;
    let places = bytes.windows(based.len()).enumerate().filter(|(_, window)| window == based);
    let places: Vec<usize> = places.map(|(at, _)| at).collect();
    assert!(!places.is_empty());
    for at in places {
        bytes[at] = b'X';
    }
    std::fs::write(&log, &bytes).unwrap();
    let broken = bench.refused(&["audit", "verify"], "log_broken");
    assert!(broken["row"].as_u64().unwrap() <= row, "{broken}");
    assert!(broken["message"].as_str().unwrap().contains("was changed"), "{broken}");
}

#[test]
fn a_command_that_rests_on_an_old_look_is_superseded() {
    let bench = Bench::answered();
    let basis = bench.done(&["status"])["epoch"].to_string();
    bench.done(&["default", "del", "wasi:logging"]);
    let put = ["default", "put", "wasi:logging", "--bind", "never", "--basis", &basis];
    bench.refused(&put, "superseded");
    bench.done(&["default", "put", "wasi:keyvalue", "--bind", "never", "--basis", &basis]);
    bench.done(&["default", "put", "wasi:logging", "--bind", "builtin"]);
    // What only takes away is never too late.
    bench.done(&["default", "del", "wasi:logging", "--basis", &basis]);
}

#[test]
fn a_plan_changes_nothing_and_a_list_is_applied_whole_or_not_at_all() {
    let bench = Bench::answered();
    let ops = bench.path("ops.json");
    let delete = json!({"delete_default": {"package": "wasi:logging"}});
    let put = json!({"put_default": {"package": "wasi:logging", "bind": "never"}});
    let impossible = json!({"put_default": {"package": "wasi:nothing", "bind": "never"}});
    std::fs::write(&ops, json!([delete, put]).to_string()).unwrap();
    let size = bench.size();
    let plan = bench.done(&["apply", "-f", &ops, "--plan"]);
    assert_eq!(plan["plan"].as_array().unwrap().len(), 2);
    bench.done(&["issuer", "revoke", &bench.acme, "--dry-run"]);
    bench.done(&["host", "invite", "--plan"]);
    assert_eq!(bench.size(), size, "a plan was recorded");
    let applied = bench.done(&["apply", "-f", &ops, "--because", "both"]);
    assert_eq!(bench.done(&["why", &applied["index"].to_string()])["events"].as_array().unwrap().len(), 2);
    std::fs::write(&ops, json!([delete, impossible]).to_string()).unwrap();
    let refused = bench.refused(&["apply", "-f", &ops], "contract_unknown");
    assert!(refused["message"].as_str().unwrap().starts_with("operation 2"), "{refused}");
    let defaults = bench.done(&["default", "list"]);
    let logging = defaults["defaults"].as_array().unwrap().iter().find(|row| row["package"] == "wasi:logging");
    assert_eq!(logging.unwrap()["bind"], json!("never"), "half a command was applied");
    std::fs::write(&ops, r#"[{"grant_everything":{}}]"#).unwrap();
    bench.refused(&["apply", "-f", &ops], "schema_mismatch");
    std::fs::write(&ops, "[]").unwrap();
    assert_eq!(bench.json(&["apply", "-f", &ops]).0, 2);
    // A statement can be attached, so that a new operation needs no new command.
    let publish =
        |sha256: &Value| json!([{"publish_contract": {"package": "wasi:logging", "sha256": sha256}}]).to_string();
    let draft = bench.path("draft.json");
    std::fs::write(&draft, bench.text(&["contract", "draft", "wasi:logging"])).unwrap();
    let signed = bench.done(&["contract", "sign", &draft, "--issuer-key", &bench.path("acme.nk")]);
    std::fs::write(&ops, publish(&signed["sha256"])).unwrap();
    bench.refused(&["apply", "-f", &ops], "evidence_missing");
    bench.done(&["apply", "-f", &ops, "--statement", &bench.path("draft.jwt")]);
}

fn withdrawal(bench: &Bench, aud: &str) -> Vec<u8> {
    let key = SigningKey::<Administrator>::load(&bench.folder().join("keys/admin.nk")).unwrap();
    let now = SystemClock::default().now();
    let package = Package::parse("wasi:random").unwrap();
    let command = Command {
        iss: key.name(),
        aud: Lattice::parse(aud).unwrap(),
        inception_sha256: None,
        iat: now,
        not_after: now.plus(600),
        jti: nonce().unwrap(),
        basis: 0,
        planned: None,
        because: None,
        operations: vec![Operation::WithdrawContract(WithdrawContract { package, running: None })],
        statements: Vec::new(),
    };
    key.sign(&command, [])
}

#[test]
fn a_command_is_judged_once_and_in_its_own_lattice_only() {
    let bench = Bench::bare();
    let judged = |bytes: &[u8]| {
        let receipt = bench.service(async |service| service.command(bytes).await);
        receipt.map(|receipt| Unverified::<Receipt>::parse(&receipt).unwrap().says().clone())
    };
    let bytes = withdrawal(&bench, "default");
    assert_eq!(judged(&bytes).unwrap().reason, None);
    // Another process has no memory of it, and the log has.
    assert_eq!(judged(&bytes).unwrap().reason, Some(Reason::CommandSeen));
    let foreign = judged(&withdrawal(&bench, "other"));
    let reason = foreign.map_or_else(|error| error.reason(), |receipt| receipt.reason);
    assert_eq!(reason, Some(Reason::LatticeMismatch));
    let other = bench.refused(&["-x", "other", "issuer", "list"], "lattice_mismatch");
    assert!(other["message"].as_str().unwrap().contains("`default`"), "{other}");
    bench.refused(&["-x", "other", "host", "invite"], "lattice_mismatch");
    bench.refused(&["--root", &"0".repeat(64), "host", "invite"], "lattice_mismatch");
}

#[test]
fn t41_names_are_one_token_at_every_entry() {
    let bench = Bench::with_cart();
    let size = bench.size();
    for bad in ["a.b", "*", ">", "a b", "a\r\n", "$SYS", "_INBOX", "A", "", &"a".repeat(65)] {
        for arguments in [
            &["component", "admit", &bench.signed("cart"), "--id", bad][..],
            &["component", "show", bad],
            &["component", "retire", "--", bad],
            &["link", "put", bad, "x", "--contract", "wasi:logging"],
            &["link", "put", "cart", "x", "--contract", "wasi:logging", "--name", bad],
            &["link", "put", "cart", "x", "--contract", bad],
            &["link", "history", bad],
            &["default", "put", bad, "--bind", "never"],
            &["contract", "withdraw", bad],
            &["explain", &bench.signed("cart"), "--id", bad],
        ] {
            let (code, value) = bench.json(arguments);
            assert_eq!((code, &value["error"]), (3, &json!("name_malformed")), "{arguments:?}: {value}");
        }
        let (code, _, err) = bench.run(&["-x", bad, "issuer", "list"]);
        // `A` alone is a lattice; it is only not this one.
        assert_eq!(code, if bad == "A" { 3 } else { 2 }, "{bad:?}: {err}");
        assert!(err.bytes().all(|byte| byte == b'\n' || (b' '..=b'~').contains(&byte)), "{err:?}");
    }
    assert_eq!(bench.size(), size, "a malformed name was recorded");
}

#[test]
fn t69_a_seed_among_the_arguments_is_refused_and_appears_nowhere() {
    let bench = Bench::with_cart();
    let seed = nkeys::KeyPair::new_account().seed().unwrap();
    let cart = bench.signed("cart");
    let ops = bench.path("ops.json");
    std::fs::write(&ops, json!([{"revoke_issuer": {"key": seed}}]).to_string()).unwrap();
    let because = format!("see {seed}");
    for arguments in [
        &["issuer", "add", &seed, "--scope", "*"][..],
        &["issuer", "add", &bench.acme, "--scope", &seed],
        &["issuer", "revoke", &seed],
        &["issuer", "show", &seed],
        &["host", "invite", "--because", &because],
        &["host", "invite", "--label", &format!("token={seed}")],
        &["host", "ban", &seed],
        &["host", "show", &seed],
        &["component", "admit", &cart, "--id", &seed],
        &["provider", "admit", &seed],
        &["provider", "retire", &seed],
        &["link", "put", "cart", &seed, "--contract", "wasi:logging"],
        &["link", "put", "cart", "x", "--contract", "wasi:logging", "--config", &format!("key={seed}")],
        &["contract", "draft", "wasi:logging", "--issuer", &seed],
        &["contract", "draft", "wasi:logging", "--provider", &seed],
        &["contract", "sign", &ops, "--issuer-key", &seed],
        &["why", &seed],
        &["init", "--admin", &seed],
        &["--key", &seed, "host", "invite"],
        &["--nkey", &seed, "host", "invite"],
        &["apply", "-f", &ops],
    ] {
        let (code, out, err) = bench.run(arguments);
        assert_eq!(code, 3, "{arguments:?}: {out}{err}");
        assert!(err.contains("secret_in_input"), "{arguments:?}: {err}");
        assert!(!out.contains(&seed[..20]) && !err.contains(&seed[..20]), "{arguments:?}: the seed came back");
    }
    assert!(!contains(&bench.log_bytes(), &seed[..20]), "the seed is in the log");
}

#[test]
fn t68_control_characters_stay_in_one_printable_line() {
    let bench = Bench::bare();
    let hostile = "x\u{1b}[31m\r\n\u{202e}y\u{7}=cmd";
    let invited = bench.done(&["host", "invite", "--label", &format!("zone={hostile}"), "--because", hostile]);
    let index = invited["index"].to_string();
    bench.done(&["issuer", "add", &bench.acme, "--scope", "*", "--because", hostile]);
    for arguments in [&["host", "list"][..], &["audit", "tail"], &["why", &index], &["-o", "json", "audit", "tail"]] {
        let (code, out, err) = bench.run(arguments);
        assert_eq!(code, 0, "{err}");
        assert!(out.bytes().all(|byte| byte == b'\n' || (b' '..=b'~').contains(&byte)), "{arguments:?}: {out:?}");
    }
    let tail = bench.text(&["audit", "tail", "-n", "1"]);
    assert_eq!(tail.lines().count(), 1, "{tail}");
    assert!(!contains(&bench.log_bytes(), "\u{1b}[31m"), "the log holds a raw control character");
    bench.refused(&["component", "show", hostile], "name_malformed");
}

#[test]
fn without_a_folder_nobody_is_believed_and_nobody_is_asked() {
    let room = tempfile::tempdir().unwrap();
    let bench = Bench { room, acme: String::new() };
    for arguments in [&["issuer", "list"][..], &["status"], &["host", "invite"]] {
        let (code, value) = bench.json(arguments);
        assert_eq!((code, &value["error"]), (2, &json!("usage")), "{arguments:?}: {value}");
    }
    let root = "0".repeat(64);
    let (code, value) = bench.json(&["--root", &root, "issuer", "list"]);
    assert_eq!((code, &value["error"]), (2, &json!("usage")), "nobody is there to sign the query: {value}");
    let key = bench.path("admin.nk");
    assert_eq!(countersign_json(&["keys", "gen", "administrator", "--out", &key]).0, 0);
    let (code, value) = bench.json(&["--root", &root, "--key", &key, "issuer", "list"]);
    assert_eq!((code, &value["error"]), (1, &json!("broker_unreachable")), "{value}");
    assert_eq!((&value["nats_url"], &value["lattice"]), (&json!("nats://127.0.0.1:1"), &json!("default")));
    assert_eq!(bench.json(&["audit", "verify"]).0, 1);
}

#[test]
fn commands_given_at_once_wait_for_each_other() {
    let bench = Bench::bare();
    let size = bench.size();
    std::thread::scope(|scope| {
        let tries: Vec<_> = (0..6).map(|_| scope.spawn(|| bench.json(&["host", "invite"]))).collect();
        for tried in tries {
            let (code, value) = tried.join().unwrap();
            assert_eq!(code, 0, "{value}");
        }
    });
    assert_eq!(bench.size(), size + 6);
    bench.done(&["audit", "verify"]);
}

#[test]
fn verify_without_a_list_trusts_whom_the_folder_trusts() {
    let bench = Bench::bare();
    let cart = bench.signed("cart");
    bench.refused(&["verify", &cart], "issuer_unknown");
    bench.done(&["issuer", "add", &bench.acme, "--scope", "demo:*"]);
    bench.done(&["verify", &cart]);
    bench.done(&["issuer", "revoke", &bench.acme]);
    bench.refused(&["verify", &cart], "issuer_revoked");
}
