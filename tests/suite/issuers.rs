//! Issuers, from the command line and under load: rotation without a gap, proofs, delegation, and what is shown of each.

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use harness::lattice::{Lattice, path};
use harness::program::program;
use harness::sign;
use serde_json::{Value, json};

/// A lattice's folder without a broker, for what is judged in process.
struct Desk {
    room: tempfile::TempDir,
}

impl Desk {
    fn new() -> Self {
        let desk = Self { room: tempfile::tempdir().unwrap() };
        desk.done(&["init", "--bare"]);
        desk
    }

    fn path(&self, name: &str) -> String {
        self.room.path().join(name).to_str().unwrap().to_owned()
    }

    fn run(&self, arguments: &[&str]) -> (i32, String) {
        let mut command = program("countersign");
        command.args(["--dir", &self.path("lattice")]).args(arguments).current_dir(self.room.path());
        command.env("COUNTERSIGN_NATS_URL", "nats://127.0.0.1:1");
        let output = command.output().unwrap();
        let printed = if output.stdout.is_empty() { output.stderr } else { output.stdout };
        (output.status.code().unwrap_or(-1), String::from_utf8(printed).unwrap())
    }

    fn json(&self, arguments: &[&str]) -> (i32, Value) {
        let (code, printed) = self.run(&[&["-o", "json"], arguments].concat());
        (code, serde_json::from_str(&printed).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {printed}")))
    }

    fn done(&self, arguments: &[&str]) -> Value {
        let (code, value) = self.json(arguments);
        assert_eq!((code, &value["success"]), (0, &json!(true)), "{arguments:?}: {value}");
        value
    }

    fn refused(&self, arguments: &[&str], reason: &str) {
        let (code, value) = self.json(arguments);
        assert_eq!((code, &value["error"]), (3, &json!(reason)), "{arguments:?}: {value}");
    }

    /// Makes an issuer's key, and tells its public half.
    fn key(&self, name: &str) -> String {
        let made = self.done(&["keys", "gen", "issuer", "--out", &self.path(&format!("{name}.nk"))]);
        made["public"].as_str().unwrap().to_owned()
    }

    /// The proof of a key, in a file.
    fn proof(&self, name: &str) -> String {
        let (code, proof) = self.run(&["issuer", "prove", "--issuer-key", &self.path(&format!("{name}.nk"))]);
        assert_eq!(code, 0, "{proof}");
        let file = self.path(&format!("{name}.proof"));
        std::fs::write(&file, proof).unwrap();
        file
    }

    /// A component of a subject in a revision, signed by an issuer, in a file.
    fn signed(&self, subject: &str, revision: i32, issuer: &str) -> String {
        let bytes = wat::parse_str(format!("(component (component) ;; {revision}\n)")).unwrap();
        let key = self.path(&format!("{issuer}.nk"));
        let file = self.path(&format!("{subject}-{revision}-{issuer}.wasm"));
        std::fs::write(&file, sign::component_of_revision(&bytes, subject, revision, Path::new(&key))).unwrap();
        file
    }
}

#[test]
fn an_issuers_life_is_shown_as_it_is() {
    let desk = Desk::new();
    let key = desk.key("acme");
    let show = |key: &str| desk.done(&["issuer", "show", key]);
    let added = desk.done(&["issuer", "add", &key, "--scope", "acme:*", "--prepared", "--until", "+20d"]);
    assert_eq!(added["key"], json!(key));
    let shown = show(&key);
    assert_eq!((&shown["standing"], &shown["known"]), (&json!("prepared"), &json!("vouched")), "{shown}");
    desk.refused(&["component", "admit", &desk.signed("cart", 1, "acme"), "--id", "cart"], "issuer_prepared");
    desk.refused(&["issuer", "activate", &key], "proof_missing");
    // A proof for another lattice proves nothing here.
    let (code, foreign) = desk.run(&["-x", "other", "issuer", "prove", "--issuer-key", &desk.path("acme.nk")]);
    assert_eq!(code, 0, "{foreign}");
    std::fs::write(desk.path("foreign.proof"), foreign).unwrap();
    desk.refused(&["issuer", "activate", &key, "--proof", &desk.path("foreign.proof")], "lattice_mismatch");
    desk.done(&["issuer", "activate", &key, "--proof", &desk.proof("acme")]);
    desk.done(&["component", "admit", &desk.signed("cart", 1, "acme"), "--id", "cart"]);
    let shown = show(&key);
    assert_eq!((&shown["standing"], &shown["known"]), (&json!("active"), &json!("proved")), "{shown}");
    assert_eq!(shown["components"], json!(["cart"]));
    assert_eq!(shown["proof_sha256"].as_str().map(str::len), Some(64));

    let other = desk.key("other");
    desk.done(&["issuer", "add", &other, "--scope", "*", "--issuer-key", &desk.path("other.nk")]);
    assert_eq!(show(&other)["known"], json!("proved"), "proved on the spot");
    let expiring = |within: &str| {
        let rows = desk.done(&["issuer", "list", "--expiring", within]);
        rows["issuers"].as_array().unwrap().iter().map(|row| row["key"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(expiring("30d"), [json!(key)]);
    assert_eq!(expiring("10d"), [] as [Value; 0]);
    let (_, table) = desk.run(&["issuer", "list"]);
    assert!(table.contains("KNOWN") && table.contains("proved") && table.contains("END"), "{table}");
    let (_, paragraph) = desk.run(&["issuer", "show", &key]);
    assert!(paragraph.contains("known") && paragraph.contains("proved") && paragraph.contains("cart"), "{paragraph}");

    let scoped = desk.done(&["issuer", "scope", &key, "--scope", "acme:cart", "--plan"]);
    assert_eq!(scoped["plan"][0]["issuer_scoped"]["change"], json!("narrowed"), "{scoped}");
    desk.done(&["issuer", "retire", &key]);
    assert_eq!(show(&key)["standing"], json!("retired"));
    assert!(show(&key)["since"].is_u64() && show(&key).get("end").is_none());
    desk.refused(&["issuer", "activate", &key, "--proof", &desk.proof("acme")], "issuer_retired");
    desk.done(&["issuer", "revoke", &key]);
    assert_eq!(show(&key)["standing"], json!("revoked"));
    let (_, tail) = desk.run(&["audit", "tail"]);
    for told in ["prepared, vouched for", "activated, proved", "trusted, proved", "retired from", "revoked"] {
        assert!(tail.contains(told), "{told}: {tail}");
    }
    desk.done(&["audit", "verify"]);
}

#[test]
fn t18_t29_what_is_let_pass_is_said_and_shown_as_that() {
    let desk = Desk::new();
    let [first, second] = ["first", "second"].map(|name| desk.key(name));
    for key in [&first, &second] {
        desk.done(&["issuer", "add", key, "--scope", "*"]);
    }
    let admit = |file: &str, more: &[&str]| desk.json(&[&["component", "admit", file, "--id", "cart"], more].concat());
    assert_eq!(admit(&desk.signed("cart", 3, "first"), &[]).0, 0);
    let (code, older) = admit(&desk.signed("cart", 2, "first"), &[]);
    assert_eq!((code, &older["error"]), (3, &json!("downgrade")), "{older}");
    let (code, others) = admit(&desk.signed("cart", 4, "second"), &["--allow-downgrade"]);
    assert_eq!((code, &others["error"]), (3, &json!("subject_owned")), "{others}");
    assert_eq!(admit(&desk.signed("cart", 2, "first"), &["--allow-downgrade"]).0, 0);
    assert_eq!(admit(&desk.signed("cart", 4, "second"), &["--take-over"]).0, 0);
    let (_, tail) = desk.run(&["audit", "tail"]);
    assert!(tail.contains("admitted, below revision 3"), "{tail}");
    assert!(tail.contains(&format!("admitted, taken over from issuer {first}")), "{tail}");
    desk.done(&["audit", "verify"]);
}

#[test]
fn t12_a_delegates_say_is_a_part_of_its_delegators_and_ends_with_it() {
    let desk = Desk::new();
    let [above, below, further] = ["above", "below", "further"].map(|name| desk.key(name));
    desk.done(&["issuer", "add", &above, "--scope", "acme:*", "--kind", "component"]);
    let lend = |from: &str, to: &str, scope: &str, kind: &str| {
        let key = desk.path(&format!("{from}.nk"));
        let said = desk.done(&[
            "issuer",
            "lend",
            to,
            "--issuer-key",
            &key,
            "--scope",
            scope,
            "--kind",
            kind,
            "--until",
            "+1d",
        ]);
        let file = desk.path("lent");
        std::fs::write(&file, said["delegation"].as_str().unwrap()).unwrap();
        file
    };
    for (scope, kind, reason) in [
        ("*", "component", "issuer_scope"),
        ("acme:cart", "provider", "issuer_kind"),
        ("wasi:*", "component", "issuer_scope"),
    ] {
        desk.refused(&["issuer", "delegate", &lend("above", &below, scope, kind)], reason);
    }
    desk.refused(&["issuer", "delegate", &lend("further", &below, "acme:cart", "component")], "issuer_unknown");
    desk.done(&["issuer", "delegate", &lend("above", &below, "acme:cart", "component")]);
    desk.refused(&["issuer", "delegate", &lend("below", &further, "acme:cart", "component")], "delegation_depth");
    let shown = desk.done(&["issuer", "show", &below]);
    assert_eq!((&shown["known"], &shown["delegator"]), (&json!("delegated"), &json!(above)), "{shown}");
    assert_eq!(desk.done(&["issuer", "show", &above])["delegates"], json!([below]));
    desk.done(&["component", "admit", &desk.signed("cart", 1, "below"), "--id", "cart"]);
    desk.done(&["issuer", "revoke", &above]);
    desk.refused(&["component", "admit", &desk.signed("till", 1, "below"), "--id", "till"], "issuer_revoked");
}

#[test]
fn t16_the_rotation_of_the_manual_works_as_it_is_written() {
    let desk = Desk::new();
    let old = desk.key("acme");
    desk.done(&["issuer", "add", &old, "--scope", "acme:*", "--until", "+20d"]);
    desk.done(&["component", "admit", &desk.signed("cart", 1, "acme"), "--id", "cart"]);
    let manual = std::fs::read_to_string(harness::vectors::repository().join("docs/operations.md")).unwrap();
    let chapter = manual.split("## Rotating an issuer").nth(1).unwrap();
    let chapter = chapter.split("\n## ").next().unwrap();
    let blocks: Vec<&str> = chapter.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert_eq!(blocks.len(), 2);
    let mut new = String::new();
    for block in blocks {
        let mut shell = Command::new("bash");
        let programs = program("countersign");
        let programs = Path::new(programs.get_program()).parent().unwrap();
        let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
        shell.args(["-euc", block]).current_dir(desk.room.path()).env("PATH", path).env("OLD", &old).env("NEW", &new);
        shell.env("COUNTERSIGN_DIR", desk.path("lattice")).env("COUNTERSIGN_NATS_URL", "nats://127.0.0.1:1");
        let output = shell.output().unwrap();
        assert!(output.status.success(), "{block}: {}", String::from_utf8_lossy(&output.stderr));
        let shown = desk.done(&["keys", "show", &desk.path("acme-2.nk")]);
        new = shown["public"].as_str().unwrap().to_owned();
    }
    let shown = desk.done(&["issuer", "show", &new]);
    assert_eq!((&shown["standing"], &shown["known"]), (&json!("active"), &json!("proved")), "{shown}");
    assert_eq!((&shown["succeeds"], &shown["scope"]), (&json!(old), &json!(["acme:*"])), "{shown}");
    assert!(desk.done(&["issuer", "show", &old])["end"].is_u64());
    desk.done(&["component", "admit", &desk.signed("cart", 2, "acme-2"), "--id", "cart"]);
}

#[test]
fn t16_a_rotation_under_load_refuses_no_good_start_and_its_end_comes_by_itself() {
    let lattice = Lattice::with_cart();
    let old = lattice.json(&["keys", "show", path(&lattice.path("acme.nk"))]).1["public"].clone();
    let new = lattice.issuer("next");
    let cart = lattice.path("cart-acme.wasm");
    let (done, started) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let load = scope.spawn(|| {
            let mut refused = Vec::new();
            while !done.load(Ordering::Relaxed) {
                let ran = lattice.host("host", &["run", path(&cart), "--id", "cart", "--timeout", "60"]);
                if ran.status.code() != Some(0) {
                    refused.push(String::from_utf8_lossy(&ran.stderr).into_owned());
                }
                started.fetch_add(1, Ordering::Relaxed);
            }
            refused
        });
        let after = |count: usize| {
            let goal = started.load(Ordering::Relaxed) + count;
            harness::lattice::wait_for("starts", || (started.load(Ordering::Relaxed) >= goal).then_some(()));
        };
        after(2);
        let key = lattice.path("next.nk");
        lattice.accepted(&[
            "issuer",
            "rotate",
            old.as_str().unwrap(),
            &new,
            "--issuer-key",
            path(&key),
            "--overlap-until",
            "+5s",
        ]);
        after(2);
        // What the old key signs from its end on is refused, without another act.
        let late = lattice.path("late.wasm");
        let bytes = wat::parse_str("(component)").unwrap();
        harness::lattice::wait_for("the overlap's end", || {
            std::fs::write(&late, sign::component(&bytes, "late", &lattice.path("acme.nk"))).unwrap();
            let (code, said) = lattice.json(&["component", "admit", path(&late), "--id", "late", "--plan"]);
            (code == 3).then(|| assert_eq!(said["error"], json!("issuer_retired"), "{said}"))
        });
        after(2);
        done.store(true, Ordering::Relaxed);
        assert_eq!(load.join().unwrap(), [] as [String; 0]);
    });
    std::fs::write(lattice.path("fresh.wasm"), {
        let bytes = wat::parse_str("(component)").unwrap();
        sign::component(&bytes, "fresh", &lattice.path("next.nk"))
    })
    .unwrap();
    lattice.accepted(&["component", "admit", path(&lattice.path("fresh.wasm")), "--id", "fresh"]);
    let shown = lattice.accepted(&["issuer", "show", old.as_str().unwrap()]);
    assert_eq!(shown["standing"], json!("retired"), "told over NATS as in the folder: {shown}");
}
