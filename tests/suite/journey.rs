//! The main job, over real processes: a component starts, a link beats a builtin, a deleted link never falls back.

use harness::lattice::{Lattice, path};

fn said(output: &std::process::Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn a_component_starts_on_builtins_then_on_a_link_and_never_falls_back() {
    let lattice = Lattice::with_cart();
    let cart = lattice.path("cart-acme.wasm");
    let run = |arguments: &[&str]| {
        let fixed = ["run", path(&cart), "--id", "cart"];
        lattice.host("host", &[&fixed, arguments].concat())
    };
    let first = run(&["--invoke", "add(\"milk\", 2)"]);
    assert_eq!(first.status.code(), Some(0), "{}", said(&first));
    assert!(said(&first).contains("ok(2)") && said(&first).contains("native/logging@0.1.0"), "{}", said(&first));

    let logger = lattice.signed("logger", "logger", "acme");
    lattice.accepted(&["provider", "admit", path(&logger), "--id", "logger"]);
    lattice.accepted(&["link", "put", "cart", "logger", "--contract", "wasi:logging"]);
    let artifacts = lattice.path("artifacts");
    std::fs::create_dir(&artifacts).unwrap();
    let without_bytes = run(&["--artifacts", path(&artifacts), "--invoke", "add(\"milk\", 2)"]);
    assert_eq!(without_bytes.status.code(), Some(3), "{}", said(&without_bytes));
    assert!(said(&without_bytes).contains("artifact_unavailable"), "{}", said(&without_bytes));
    std::fs::copy(&logger, artifacts.join("logger.wasm")).unwrap();
    let linked = run(&["--artifacts", path(&artifacts), "--invoke", "add(\"milk\", 3)"]);
    assert_eq!(linked.status.code(), Some(0), "{}", said(&linked));
    assert!(said(&linked).contains("lattice-log #1 info cart: cart: milk x3"), "{}", said(&linked));

    lattice.accepted(&["link", "del", "cart", "--contract", "wasi:logging"]);
    let removed = run(&["--artifacts", path(&artifacts)]);
    assert_eq!(removed.status.code(), Some(3), "{}", said(&removed));
    assert!(said(&removed).contains("link_removed"), "{}", said(&removed));
    lattice.accepted(&["link", "del", "cart", "--contract", "wasi:logging", "--accept-default"]);
    assert_eq!(run(&[]).status.code(), Some(0));

    let (code, verified) = lattice.json(&["audit", "verify"]);
    assert_eq!(code, 0, "{verified}");
    let (code, why) = lattice.json(&["why", "cart", "--contract", "wasi:logging"]);
    assert_eq!(code, 0, "{why}");
    assert!(why.to_string().contains("native/logging@0.1.0"), "{why}");
}

#[test]
fn a_refused_start_names_a_fix_that_works() {
    let lattice = Lattice::with_cart();
    let cart = lattice.path("cart-acme.wasm");
    lattice.accepted(&["default", "del", "wasi:logging"]);
    let (code, told) = lattice.json(&["explain", path(&cart), "--id", "cart"]);
    assert_eq!(code, 3, "{told}");
    assert!(told.to_string().contains("countersign default put wasi:logging --bind builtin"), "{told}");
    lattice.accepted(&["default", "put", "wasi:logging", "--bind", "builtin"]);
    let (code, told) = lattice.json(&["explain", path(&cart), "--id", "cart"]);
    assert_eq!(code, 0, "{told}");
}

#[test]
fn wasi_of_a_std_component_comes_from_base_builtins() {
    let lattice = Lattice::with_cart();
    let dice = lattice.signed("dice", "dice", "acme");
    lattice.accepted(&["component", "admit", path(&dice), "--id", "dice"]);
    let rolled = lattice.host("host", &["run", path(&dice), "--id", "dice", "--invoke", "roll(6)"]);
    assert_eq!(rolled.status.code(), Some(0), "{}", said(&rolled));
    let environment = lattice.host("host", &["run", path(&dice), "--id", "dice", "--invoke", "environment()"]);
    assert!(said(&environment).contains("[]"), "{}", said(&environment));
    let greeter = lattice.signed("greeter", "greeter", "acme");
    lattice.accepted(&["component", "admit", path(&greeter), "--id", "greeter"]);
    let greeted = lattice.host("host", &["run", path(&greeter), "--id", "greeter", "--invoke", "greet(\"Ada\")"]);
    assert!(said(&greeted).contains("Hello, Ada!"), "{}", said(&greeted));
}
