//! Which of several answers, over real processes: link names, two candidates, deleted and refused links, and claims
//! that say one thing while the bytes do another.

use std::path::PathBuf;
use std::process::{Output, Stdio};

use ed25519_dalek::{Signer, SigningKey};
use harness::guests::{STORE, asker, store};
use harness::lattice::{Lattice, path, wait_for};
use harness::program::program;
use harness::vectors::{guest, text};
use policy::artifact::component;
use policy::claims::{Common, ComponentClaims, draft_component};
use policy::key::Name;
use policy::time::{Timestamp, Validity};
use serde_json::Value;

/// `asker`, two stores called `east` (1) and `west` (2), and their contract; nothing is linked.
pub(super) struct Shop(pub(super) Lattice);

impl Shop {
    pub(super) fn open() -> Self {
        let lattice = Lattice::with_cart();
        let signed = |name: &str, wat: &str| {
            let bytes = harness::sign::component(&wat_bytes(wat), name, &lattice.path("acme.nk"));
            let file = lattice.path(&format!("{name}.wasm"));
            std::fs::write(&file, bytes).unwrap();
            file
        };
        let asker = signed("asker", &asker(2000));
        std::fs::create_dir(lattice.path("artifacts")).unwrap();
        lattice.accepted(&["component", "admit", path(&asker), "--id", "asker"]);
        let acme = text(&lattice.accepted(&["keys", "show", path(&lattice.path("acme.nk"))]), "public").to_owned();
        let from = ["--file", path(&asker), "--issuer", &acme, "--provider-issuer", &acme];
        publish(&lattice, "demo:kv", &from);
        for (name, number) in [("east", 1), ("west", 2)] {
            let file = signed(name, &store(number));
            lattice.accepted(&["provider", "admit", path(&file), "--id", name]);
            std::fs::copy(&file, lattice.path("artifacts").join(format!("{name}.wasm"))).unwrap();
        }
        Self(lattice)
    }

    pub(super) fn link(&self, provider: &str, name: &str) {
        self.0.accepted(&["link", "put", "asker", provider, "--contract", "demo:kv", "--name", name]);
    }

    fn run(&self, more: &[&str]) -> (i32, Value) {
        let (file, artifacts) = (self.0.path("asker.wasm"), self.0.path("artifacts"));
        let fixed = ["-o", "json", "run", path(&file), "--artifacts", path(&artifacts), "--invoke", "ask()"];
        told(&self.0.host("host", &[&fixed, more].concat()))
    }

    // What answered, by number and by id.
    pub(super) fn answered(&self) -> (String, String) {
        let (code, ran) = self.run(&[]);
        assert_eq!(code, 0, "{ran}");
        let imports = ran["imports"].as_array().unwrap();
        let store = imports.iter().find(|import| import["import"] == STORE).unwrap();
        (text(&ran, "result").to_owned(), text(store, "id").to_owned())
    }

    pub(super) fn refused(&self, reason: &str, more: &[&str]) {
        let (code, told) = self.run(more);
        assert_eq!((code, told["error"].as_str()), (3, Some(reason)), "{told}");
    }

    // A folder of builtins with these files in it.
    fn builtins(&self, folder: &str, files: &[(&str, &str)]) -> PathBuf {
        use std::os::unix::fs::PermissionsExt;
        let folder = self.0.path(folder);
        std::fs::create_dir(&folder).unwrap();
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o755)).unwrap();
        for (from, to) in files {
            std::fs::copy(self.0.path(&format!("{from}.wasm")), folder.join(to)).unwrap();
            std::fs::set_permissions(folder.join(to), std::fs::Permissions::from_mode(0o644)).unwrap();
        }
        folder
    }
}

fn wat_bytes(wat: &str) -> Vec<u8> {
    wat::parse_str(wat).unwrap()
}

fn publish(lattice: &Lattice, package: &str, options: &[&str]) {
    let (draft, token) = (lattice.path("draft.json"), lattice.path("draft.jwt"));
    let drafted = program("countersign")
        .args(["--dir", path(&lattice.path("lattice")), "contract", "draft", package])
        .args(options)
        .output()
        .unwrap();
    assert!(drafted.status.success(), "{}", String::from_utf8_lossy(&drafted.stderr));
    std::fs::write(&draft, drafted.stdout).unwrap();
    let key = lattice.path("acme.nk");
    lattice.accepted(&["contract", "sign", path(&draft), "--issuer-key", path(&key), "--out", path(&token)]);
    lattice.accepted(&["contract", "publish", path(&token)]);
}

fn told(output: &Output) -> (i32, Value) {
    let printed = if output.stdout.is_empty() { &output.stderr } else { &output.stdout };
    // The last line: what the components said stands before it.
    let line = printed.split(|byte| *byte == b'\n').rfind(|line| line.starts_with(b"{"));
    let line = line.unwrap_or_else(|| panic!("no JSON: {}", String::from_utf8_lossy(printed)));
    (output.status.code().unwrap_or(-1), serde_json::from_slice(line).unwrap())
}

#[test]
fn t43_swapped_link_names_and_swapped_files_bind_what_the_link_says() {
    let shop = Shop::open();
    shop.link("east", "default");
    shop.link("west", "sessions");
    assert_eq!(shop.answered(), ("1".to_owned(), "east".to_owned()));
    // The files change their names, and nothing else changes: the digest that was permitted is what is bound.
    let at = |name: &str| shop.0.path("artifacts").join(name);
    std::fs::rename(at("east.wasm"), at("other.wasm")).unwrap();
    std::fs::rename(at("west.wasm"), at("east.wasm")).unwrap();
    std::fs::rename(at("other.wasm"), at("west.wasm")).unwrap();
    assert_eq!(shop.answered(), ("1".to_owned(), "east".to_owned()));
    // An administrator swaps the names of the two links: each is another answerer from the next start on.
    shop.link("west", "default");
    shop.link("east", "sessions");
    assert_eq!(shop.answered(), ("2".to_owned(), "west".to_owned()));
    // A link of another name answers nothing that asks under this one, and it is no reason to fall back.
    shop.0.accepted(&["link", "del", "asker", "--contract", "demo:kv"]);
    shop.refused("link_removed", &[]);
    // The same name on another contract is another link.
    let (code, told) = shop.0.json(&["link", "del", "asker", "--contract", "wasi:clocks"]);
    assert_eq!((code, told["error"].as_str()), (3, Some("not_found")), "{told}");
    shop.link("east", "default");
    assert_eq!(shop.answered(), ("1".to_owned(), "east".to_owned()));
}

#[test]
fn t44_two_candidates_are_refused_and_both_are_named() {
    let shop = Shop::open();
    shop.0.accepted(&["default", "put", "demo:kv", "--bind", "builtin"]);
    for (folder, first, second) in [("one", "a.wasm", "b.wasm"), ("other", "b.wasm", "a.wasm")] {
        let folder = shop.builtins(folder, &[("east", first), ("west", second)]);
        shop.refused("ambiguous", &["--builtins", path(&folder)]);
        let why = shop.0.accepted(&["why", "asker", "--contract", "demo:kv"]);
        let (why, both) = (why.to_string(), ["`east`, `west`", "`west`, `east`"]);
        assert!(why.contains("ambiguous") && both.iter().any(|both| why.contains(both)), "{why}");
    }
    // Each alone answers, a link to one of them decides, and so does taking one away.
    let both = shop.0.path("one");
    let alone = shop.builtins("alone", &[("west", "west.wasm")]);
    assert_eq!(shop.run(&["--builtins", path(&alone)]).1["result"], "2");
    shop.link("east", "default");
    assert_eq!(shop.run(&["--builtins", path(&both)]).1["result"], "1");
    shop.0.accepted(&["link", "del", "asker", "--contract", "demo:kv", "--accept-default"]);
    shop.refused("ambiguous", &["--builtins", path(&both)]);
    shop.0.accepted(&["provider", "retire", "east"]);
    assert_eq!(shop.run(&["--builtins", path(&both)]).1["result"], "2");
}

#[test]
fn t45_a_link_deleted_under_a_running_component_leaves_nothing_for_the_next_start() {
    let shop = Shop::open();
    let builtins = shop.builtins("builtins", &[("west", "west.wasm")]);
    shop.0.accepted(&["default", "put", "demo:kv", "--bind", "builtin"]);
    shop.link("east", "default");
    let (host, file, artifacts) = (shop.0.path("host"), shop.0.path("asker.wasm"), shop.0.path("artifacts"));
    let before = shop.0.accepted(&["status"])["size"].as_u64().unwrap();
    let running = program("countersign-host")
        .args(["--host-dir", path(&host), "-o", "json", "--nats-url", &shop.0.nats.url(), "run", path(&file)])
        .args(["--artifacts", path(&artifacts), "--builtins", path(&builtins), "--invoke", "linger()"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Its own start and that of its provider are on record: it runs.
    wait_for("the start", || {
        let size = shop.0.accepted(&["status"])["size"].as_u64().unwrap();
        (size >= before + 2).then_some(())
    });
    shop.0.accepted(&["link", "del", "asker", "--contract", "demo:kv"]);
    let (code, ran) = told(&running.wait_with_output().unwrap());
    assert_eq!((code, ran["result"].as_str()), (0, Some("1")), "what runs keeps what it was bound to: {ran}");
    // The good builtin that stands ready does not take over; nor does it after another restart.
    for _ in 0..2 {
        shop.refused("link_removed", &["--builtins", path(&builtins)]);
    }
    let history = shop.0.accepted(&["link", "history", "asker"]).to_string();
    assert!(history.contains("link_deleted") || history.contains("deleted"), "{history}");
    shop.0.accepted(&["link", "del", "asker", "--contract", "demo:kv", "--accept-default"]);
    assert_eq!(shop.run(&["--builtins", path(&builtins)]).1["result"], "2");
}

#[test]
fn t45_a_refused_link_beside_a_good_builtin_starts_nothing() {
    let shop = Shop::open();
    let builtins = shop.builtins("builtins", &[("west", "west.wasm")]);
    shop.0.accepted(&["default", "put", "demo:kv", "--bind", "builtin"]);
    assert_eq!(shop.run(&["--builtins", path(&builtins)]).1["result"], "2");
    shop.link("east", "default");
    shop.0.accepted(&["provider", "retire", "east"]);
    shop.refused("provider_retired", &["--builtins", path(&builtins)]);
    // Linked to what serves another contract: refused as well, whatever stands beside it.
    let logger = shop.0.signed("logger", "logger", "acme");
    shop.0.accepted(&["provider", "admit", path(&logger), "--id", "logger"]);
    shop.0.accepted(&["link", "put", "asker", "logger", "--contract", "demo:kv"]);
    shop.refused("provider_version", &["--builtins", path(&builtins)]);
}

/// `cart` with claims of the older form, which list what may be imported.
fn cart_with_caps(lattice: &Lattice, caps: &[&str]) -> PathBuf {
    let seed = std::fs::read_to_string(lattice.path("acme.nk")).unwrap();
    let issuer = SigningKey::from_bytes(&nkeys::decode_seed(seed.trim()).unwrap().1);
    let bytes = guest("cart");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let validity = Validity { iat: Timestamp::from_seconds(now - 60).unwrap(), nbf: None, exp: None };
    let claims = ComponentClaims {
        common: Common { jti: "caps".into(), validity, name: None, rev: Some(1), ver: None },
        subject: Name::parse(&harness::sign::subject("cart").public_key()).unwrap(),
        hash: component::read(&bytes).unwrap().claims_hash(),
        tags: Vec::new(),
        call_alias: None,
        caps: Some(caps.iter().map(|cap| cap.parse().unwrap()).collect()),
    };
    let draft = draft_component(&Name::from_raw(issuer.verifying_key().to_bytes()), &claims);
    let signature = issuer.sign(draft.signing_input()).to_bytes();
    let file = lattice.path("caps.wasm");
    std::fs::write(&file, component::attach(&bytes, &draft.seal(&signature)).unwrap()).unwrap();
    file
}

#[test]
fn t49_bytes_that_import_more_than_their_claims_list_do_not_start() {
    let lattice = Lattice::with_cart();
    let run = |file: &PathBuf| told(&lattice.host("host", &["-o", "json", "run", path(file), "--id", "cart"]));
    for caps in [&["wasi:keyvalue"][..], &["wasi:logging"], &["wasi:sockets", "wasi:http"], &[]] {
        let file = cart_with_caps(&lattice, caps);
        let (code, refused) = run(&file);
        assert_eq!((code, refused["error"].as_str()), (3, Some("undeclared_import")), "{caps:?}: {refused}");
        let (code, explained) = lattice.json(&["explain", path(&file), "--id", "cart"]);
        assert_eq!(code, 3, "{explained}");
        assert!(explained.to_string().contains("undeclared_import"), "{explained}");
    }
    let (code, ran) = run(&cart_with_caps(&lattice, &["wasi:keyvalue", "wasi:logging"]));
    assert_eq!(code, 0, "{ran}");
}

#[test]
fn t49_what_a_provider_serves_is_read_from_its_bytes_and_never_from_what_it_says() {
    let lattice = Lattice::with_cart();
    // Its claims, its name and its id say key-value store; its bytes export logging.
    let seed = lattice.path("acme.nk");
    let bytes = harness::sign::component(&guest("logger"), "keyvalue", &seed);
    let file = lattice.path("keyvalue.wasm");
    std::fs::write(&file, bytes).unwrap();
    let (code, stated) =
        lattice.json(&["provider", "admit", path(&file), "--id", "kv", "--serves", "wasi:keyvalue@0.2.0-draft/store"]);
    assert_ne!(code, 0, "what can be read was stated: {stated}");
    lattice.accepted(&["provider", "admit", path(&file), "--id", "kv"]);
    lattice.accepted(&["link", "put", "cart", "kv", "--contract", "wasi:keyvalue"]);
    let cart = lattice.path("cart-acme.wasm");
    let (code, refused) = told(&lattice.host("host", &["-o", "json", "run", path(&cart), "--id", "cart"]));
    assert_eq!((code, refused["error"].as_str()), (3, Some("provider_version")), "{refused}");
}
