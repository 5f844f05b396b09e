//! What a component is read to import and export.

use super::{assert_refused, component_of, spelled, text};
use crate::artifact::Import;
use crate::artifact::component::read_world;
use crate::artifact::surface::MAX_INTERFACES;
use crate::name::{InterfaceName, Package, Version};
use crate::reason::Reason;

fn imports(body: &str) -> Vec<String> {
    spelled(component_of(&text(&format!("(component {body})"))).imports())
}

fn exports(body: &str) -> Vec<String> {
    spelled(component_of(&text(&format!("(component {body})"))).exports())
}

#[track_caller]
fn refused(body: &str, reason: Reason) {
    assert_refused(&text(&format!("(component {body})")), reason, body.get(..200).unwrap_or(body));
}

fn with_func(name: &str) -> String {
    format!(r#"(import "{name}" (instance (export "f" (func))))"#)
}

#[test]
fn imports_are_grouped_by_package_and_version_and_sorted() {
    let names = ["z:z/b@1.0.0", "a:b/d@1.0.0", "a:b/c@1.0.0", "a:b/c@0.2.0-rc.1", "a:b/c", "z:z/a@1.0.0"];
    let body: String = names.map(with_func).concat();
    assert_eq!(imports(&body), ["a:b/c", "a:b@0.2.0-rc.1/c", "a:b@1.0.0/c,d", "z:z@1.0.0/a,b"]);
}

#[test]
fn types_alone_need_no_answer() {
    let record = r#"(type $r (record (field "x" u32))) (export "r" (type (eq $r)))"#;
    assert!(imports(&format!(r#"(import "a:b/types@1.0.0" (instance {record}))"#)).is_empty());
    assert!(imports(r#"(import "a:b/empty" (instance))"#).is_empty());
    assert!(imports(r#"(type $t u32) (import "t" (type (eq $t)))"#).is_empty());
    let resource = r#"(import "a:b/c" (instance (export "r" (type (sub resource)))))"#;
    assert_eq!(imports(resource), ["a:b/c"]);
    assert_eq!(imports(&format!(r#"(import "a:b/c" (instance {record} (export "f" (func))))"#)), ["a:b/c"]);
}

#[test]
fn a_world_may_name_a_resource_of_an_interface() {
    let body = r#"(import "a:b/c" (instance $i (export "r" (type (sub resource)))))
        (alias export $i "r" (type $r)) (import "r" (type (eq $r)))"#;
    assert_eq!(imports(body), ["a:b/c"]);
}

#[test]
fn imports_that_no_contract_can_name_are_refused() {
    for body in [
        r#"(import "f" (func))"#,
        r#"(import "m" (core module))"#,
        r#"(import "c" (component))"#,
        r#"(import "a:b/c" (component))"#,
        r#"(import "a:b/c" (core module))"#,
        r#"(import "a:b/c" (func))"#,
        r#"(import "plain" (instance (export "f" (func))))"#,
        r#"(import "r" (type (sub resource)))"#,
        r#"(import "unlocked-dep=<a:b>" (instance (export "f" (func))))"#,
        r#"(import "url=<https://example.org>" (instance))"#,
        r#"(import "a:b/c" (instance (export "i" (instance (export "f" (func))))))"#,
        r#"(import "a:b/c" (instance (export "m" (core module))))"#,
        r#"(import "a:b/c" (instance (export "c" (component))))"#,
    ] {
        refused(body, Reason::ImportUnsupported);
    }
}

#[test]
fn t40_names_outside_our_grammar_are_refused() {
    for name in ["a:b/C", "a:b/c-D2", "a:b/c@1.0.0+build", "a:b/c@1.0.0-x+y"] {
        refused(&with_func(name), Reason::NameMalformed);
        refused(&format!(r#"(instance $i) (export "{name}" (instance $i))"#), Reason::NameMalformed);
    }
    for name in ["A:b/c", "a:B/c", "a:b/c ", "a:b/c@1", "a:b/\u{441}", "a:b/c\u{200b}", "a:b/c/d", "a:b/c@1.0.0@1.0.0"]
    {
        refused(&with_func(name), Reason::WasmMalformed);
    }
    let long = format!("a:{}/c", "b".repeat(130));
    refused(&with_func(&long), Reason::NameMalformed);
}

#[test]
fn exports_are_the_interfaces_it_serves() {
    let body = r#"(core module $m (func (export "f"))) (core instance $i (instantiate $m))
        (func $f (canon lift (core func $i "f"))) (instance $e (export "f" (func $f)))
        (export "a:b/d@1.0.0" (instance $e)) (export "a:b/c@1.0.0" (instance $e))
        (export "plain" (instance $e)) (export "run" (func $f)) (export "code" (core module $m))
        (component $c) (export "inner" (component $c)) (type $t u32) (export "t" (type $t))"#;
    assert_eq!(exports(body), ["a:b@1.0.0/c,d"]);
}

#[test]
fn an_export_named_as_an_interface_must_be_one() {
    let func = r#"(core module $m (func (export "f"))) (core instance $i (instantiate $m))
        (func $f (canon lift (core func $i "f"))) (export "a:b/c" (func $f))"#;
    refused(func, Reason::ImportUnsupported);
    refused(r#"(core module $m) (export "a:b/c" (core module $m))"#, Reason::ImportUnsupported);
}

#[test]
fn what_a_nested_component_imports_is_its_own_affair() {
    let body = format!("(component {})", with_func("a:b/c"));
    assert!(imports(&body).is_empty());
}

#[test]
fn a_core_module_has_no_surface() {
    let module = component_of(&text(r#"(module (import "a:b/c" "f" (func)) (func (export "a:b/c")))"#));
    assert!(!module.is_component() && module.imports().is_empty() && module.exports().is_empty());
}

#[test]
fn t07_interfaces_have_a_limit() {
    let import = |index| format!(r#"(import "a:b{index}/c" (instance (type $t)))"#);
    let many = |count: usize| {
        format!(r#"(type $t (instance (export "f" (func)))) {}"#, (0..count).map(import).collect::<String>())
    };
    assert_eq!(imports(&many(MAX_INTERFACES)).len(), MAX_INTERFACES);
    refused(&many(MAX_INTERFACES + 1), Reason::WasmLimit);
}

fn world_type(name: &str, exports: &str) -> String {
    format!(
        r#"(type ${name} (component (type $w (component {exports}))
            (export "a:provider/{name}@1.0.0" (component (type $w)))))
        (export "{name}" (type ${name}))"#
    )
}

#[test]
fn a_wit_package_of_one_world_tells_what_it_serves() {
    let serves = r#"(type $i (instance (export "f" (func)))) (import "c:d/e@2.0.0" (instance (type $i)))
        (export "a:b/c@1.0.0" (instance (type $i))) (export "plain" (instance (type $i))) (export "f" (func))"#;
    let package = |body: &str| text(&format!("(component {body})"));
    let one = package(&world_type("provider", serves));
    assert_eq!(spelled(&read_world(&one).unwrap()), ["a:b@1.0.0/c"]);
    assert!(component_of(&one).exports().is_empty());
    // An interface of the package is spelled with an instance instead, and is served by nobody.
    let interface = r#"(type $t (component (type $i (instance)) (export "a:provider/iface@1.0.0" (instance (type $i)))))
        (export "iface" (type $t))"#;
    assert!(read_world(&package(interface)).unwrap().is_empty());
    let both = package(&format!("{interface} {}", world_type("provider", serves)));
    assert_eq!(spelled(&read_world(&both).unwrap()), ["a:b@1.0.0/c"]);
    let two = package(&format!("{} {}", world_type("provider", serves), world_type("other", serves)));
    assert!(read_world(&two).unwrap().is_empty());
}

#[test]
fn a_world_may_be_a_component_too() {
    let plain = text(r#"(component (instance $e) (export "a:b/c@1.0.0" (instance $e)))"#);
    assert_eq!(spelled(&read_world(&plain).unwrap()), ["a:b@1.0.0/c"]);
    assert_eq!(read_world(b"interface world { }").unwrap_err().reason, Reason::WasmMalformed);
}

#[test]
fn an_import_is_written_in_one_form() {
    let mut import = Import {
        package: Package::parse("a:b").unwrap(),
        version: Some(Version::parse("1.0.0").unwrap()),
        interfaces: vec![InterfaceName::parse("c").unwrap()],
    };
    let json = serde_json::to_string(&import).unwrap();
    assert_eq!(json, r#"{"package":"a:b","version":"1.0.0","interfaces":["c"]}"#);
    assert_eq!(serde_json::from_str::<Import>(&json).unwrap(), import);
    import.version = None;
    assert_eq!(serde_json::to_string(&import).unwrap(), r#"{"package":"a:b","interfaces":["c"]}"#);
    assert!(serde_json::from_str::<Import>(r#"{"package":"a:b","interfaces":["c"],"more":1}"#).is_err());
}
