//! Exact import strings, what cannot be forwarded, and slots that close under a running component.

use policy::name::{InterfaceName, Package, Version};
use policy::question::What;
use policy::reason::Reason;
use wasmtime::component::Linker;

use super::broker::{Bench, id};
use super::guests;
use crate::ask::Start;
use crate::component::Component;
use crate::folder::Folder;
use crate::link::link;
use crate::slot::{Binding, Slots};
use crate::start::Host;

// A component that imports `wasi:random/random` under each of these versions.
pub(super) fn random(versions: &[&str]) -> Vec<u8> {
    let (mut imports, mut with) = (String::new(), String::new());
    for (number, version) in versions.iter().enumerate() {
        imports += &format!(
            "(import \"wasi:random/random@{version}\" (instance $i{number} (export \"get-random-u64\" (func (result u64)))))
             (core func $f{number} (canon lower (func $i{number} \"get-random-u64\")))"
        );
        with += &format!("(with \"r{number}\" (instance (export \"f\" (func $f{number}))))");
    }
    let core: String = (0..versions.len())
        .map(|number| format!("(import \"r{number}\" \"f\" (func $f{number} (result i64)))"))
        .collect();
    guests::text(&format!(
        "(component {imports}
           (core module $m {core}
             (func (export \"roll\") (result i64) (call $f0))
             (func (export \"spin\") (loop $l (drop (call $f0)) (br $l))))
           (core instance $c (instantiate $m {with}))
           (func (export \"roll\") (result u64) (canon lift (core func $c \"roll\")))
           (func (export \"spin\") (canon lift (core func $c \"spin\"))))"
    ))
}

async fn bound_slots(bench: &Bench, host: &Host, component: &Component) -> Slots {
    let runs = component.runs(&id("roller"));
    let (claims, imports) = (component.token(), component.imports());
    let start = Start { what: What::StartComponent, runs: &runs, claims, imports, offers: host.offers() };
    let mut permits = host.asker().ask(&start).await.unwrap();
    let slots = component.slots(&id("roller"));
    for slot in slots.iter() {
        let native = policy::native::Native::find("native/random@0.1.0").unwrap();
        slot.bind(permits.take(slot.import()).unwrap(), Binding::Native(native), &*bench.clock).unwrap();
    }
    slots
}

#[tokio::test]
async fn a_near_version_is_not_satisfied_by_anothers_permit() {
    let bench = Bench::new();
    let one = random(&["0.2.0"]);
    bench.broker.admit("roller", &one);
    let host = bench.host().await;
    let one = Component::load(host.engine(), &one).unwrap();
    let slots = bound_slots(&bench, &host, &one).await;
    assert!(link(&one, &slots).is_ok());
    for versions in [&["0.2.1"][..], &["0.2.0", "0.2.1"], &["0.2.12"]] {
        let near = Component::load(host.engine(), &random(versions)).unwrap();
        assert_eq!(link(&near, &slots).err().unwrap().reason(), Some(Reason::Unpermitted), "{versions:?}");
    }
    // The danger is real: wasmtime's own linker would have taken the near version.
    let near = Component::load(host.engine(), &random(&["0.2.1"])).unwrap();
    let mut linker = Linker::<()>::new(host.engine());
    linker.instance("wasi:random/random@0.2.0").unwrap().func_wrap("get-random-u64", |_, (): ()| Ok((7_u64,))).unwrap();
    assert!(linker.instantiate_pre(&near.compiled).is_ok());
}

#[tokio::test]
async fn two_versions_with_a_permit_each_run_side_by_side() {
    let bench = Bench::new();
    let both = random(&["0.2.0", "0.2.1"]);
    bench.broker.admit("roller", &both);
    let mut roller = bench.host().await.start(&both, &id("roller")).await.unwrap();
    assert_eq!(roller.answers().len(), 2);
    roller.invoke("roll()").await.unwrap();
}

#[tokio::test]
async fn t99_a_guest_without_a_permit_is_refused_before_it_is_instantiated() {
    let bench = Bench::new();
    let roller = random(&["0.2.0"]);
    bench.broker.admit("roller", &roller);
    bench.broker.forget_default("wasi:random");
    let host = bench.host().await;
    let refused = host.start(&roller, &id("roller")).await.err().unwrap();
    assert_eq!(refused.reason(), Some(Reason::LinkMissing));
    let component = Component::load(host.engine(), &roller).unwrap();
    let empty = component.slots(&id("roller"));
    assert_eq!(link(&component, &empty).err().unwrap().reason(), Some(Reason::Unpermitted));
}

#[tokio::test]
async fn a_drained_slot_takes_no_new_call() {
    let bench = Bench::new();
    let mut cart = bench.host().await.start(&guests::signed("cart"), &id("cart")).await.unwrap();
    cart.invoke("add(\"milk\", 2)").await.unwrap();
    cart.slots().exact("wasi:logging/logging@0.1.0-draft").unwrap().close(policy::withdrawal::Close::Drain);
    let refused = cart.invoke("add(\"milk\", 2)").await.unwrap_err();
    assert_eq!(refused.reason(), Some(Reason::Unpermitted));
    assert!(refused.to_string().contains("wasi:logging/logging"), "{refused}");
    assert_eq!(cart.answers().len(), 1);
    assert_eq!(bench.lines().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn t26_a_stopped_slot_stops_what_runs_over_it() {
    let bench = Bench::new();
    let roller = random(&["0.2.0"]);
    bench.broker.admit("roller", &roller);
    let host = bench.host().await;
    let mut running = host.start(&roller, &id("roller")).await.unwrap();
    let slots = running.slots().clone();
    let spinning = tokio::spawn(async move { running.invoke("spin()").await });
    slots.close(policy::withdrawal::Close::Stop);
    let ended = tokio::time::timeout(std::time::Duration::from_secs(5), spinning).await.unwrap().unwrap();
    assert_eq!(ended.unwrap_err().reason(), Some(Reason::Unpermitted));
}

fn serving(interface: &str, exports: &str) -> Vec<u8> {
    guests::text(&format!(
        "(component
           (core module $m (func (export \"f\") (result i32) (i32.const 0)) (func (export \"trap\") unreachable) (func (export \"spin\") (loop $l (br $l))))
           (core instance $c (instantiate $m))
           (func $f (result u32) (canon lift (core func $c \"f\")))
           (func $trap (canon lift (core func $c \"trap\")))
           (func $spin (canon lift (core func $c \"spin\")))
           (instance $x {exports})
           (export \"{interface}\" (instance $x)))"
    ))
}

async fn linked_to(consumer: (&str, &[u8]), package: &str, provider: &[u8]) -> (Bench, tempfile::TempDir) {
    let mut bench = Bench::new();
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("provider.wasm"), provider).unwrap();
    bench.artifacts = Some(Folder::of_artifacts(dir.path()));
    bench.limits.call = std::time::Duration::from_secs(1);
    if bench.broker.lacks(package) {
        let version = Some(Version::parse("0.1.0").unwrap());
        let interfaces = vec![InterfaceName::parse("f").unwrap()];
        bench.broker.publish(&policy::artifact::Import {
            package: Package::parse(package).unwrap(),
            version,
            interfaces,
        });
        bench.broker.admit(consumer.0, consumer.1);
    }
    bench.broker.admit_provider("provider", provider);
    bench.broker.link(consumer.0, package, provider);
    (bench, dir)
}

#[tokio::test]
async fn what_cannot_cross_stores_or_has_other_types_is_refused_when_it_is_linked() {
    for (package, interface, exports) in [
        ("wasi:keyvalue", "wasi:keyvalue/store@0.2.0-draft", "(export \"open\" (func $f))"),
        ("wasi:logging", "wasi:logging/logging@0.1.0-draft", "(export \"log\" (func $f))"),
        ("wasi:logging", "wasi:logging/logging@0.1.0-draft", "(export \"other\" (func $f))"),
    ] {
        let cart = guests::signed("cart");
        let (bench, _dir) = linked_to(("cart", &cart), package, &serving(interface, exports)).await;
        let refused = bench.host().await.start(&cart, &id("cart")).await.err().unwrap();
        assert_eq!(refused.reason(), Some(Reason::ProviderInterface), "{refused}");
    }
}

fn calling(func: &str) -> Vec<u8> {
    let wat = format!(
        "(component
           (import \"demo:f/f@0.1.0\" (instance $i (export \"{func}\" (func))))
           (core func $l (canon lower (func $i \"{func}\")))
           (core module $m (import \"i\" \"f\" (func $f)) (func (export \"go\") (call $f)))
           (core instance $c (instantiate $m (with \"i\" (instance (export \"f\" (func $l))))))
           (func (export \"go\") (canon lift (core func $c \"go\"))))"
    );
    guests::sign(&wat::parse_str(wat).unwrap(), 61)
}

#[tokio::test]
async fn a_provider_that_fails_or_never_ends_fails_its_caller_and_nothing_else() {
    let provider = serving("demo:f/f@0.1.0", "(export \"trap\" (func $trap)) (export \"spin\" (func $spin))");
    for (func, reason) in [("trap", None), ("spin", Some(Reason::LimitExceeded))] {
        let consumer = calling(func);
        let (bench, _dir) = linked_to(("caller", &consumer), "demo:f", &provider).await;
        let mut caller = bench.host().await.start(&consumer, &id("caller")).await.unwrap();
        for _ in 0..2 {
            let failed = caller.invoke("go()").await.unwrap_err();
            assert_eq!(failed.reason(), reason, "{failed}");
        }
    }
}

// Serves one package and calls another.
fn passing_on(served: &str, called: &str, subject: u8) -> Vec<u8> {
    let wat = format!(
        "(component
           (import \"{called}/f@0.1.0\" (instance $i (export \"trap\" (func))))
           (core func $l (canon lower (func $i \"trap\")))
           (core module $m (import \"i\" \"f\" (func $f)) (func (export \"go\") (call $f)))
           (core instance $c (instantiate $m (with \"i\" (instance (export \"f\" (func $l))))))
           (func $go (canon lift (core func $c \"go\")))
           (instance $x (export \"trap\" (func $go)))
           (export \"{served}/f@0.1.0\" (instance $x)))"
    );
    guests::sign(&wat::parse_str(wat).unwrap(), subject)
}

#[tokio::test]
async fn a_provider_of_itself_is_refused() {
    let (round, consumer) = (passing_on("demo:f", "demo:f", 62), calling("trap"));
    let (bench, _dir) = linked_to(("caller", &consumer), "demo:f", &round).await;
    bench.broker.link("provider", "demo:f", &round);
    let refused = bench.host().await.start(&consumer, &id("caller")).await.err().unwrap();
    assert_eq!(refused.reason(), Some(Reason::AnswersItself), "{refused}");
}

#[tokio::test]
async fn providers_in_a_circle_end_at_a_depth() {
    let (one, other) = (passing_on("demo:f", "demo:g", 62), passing_on("demo:g", "demo:f", 63));
    let consumer = calling("trap");
    let (bench, dir) = linked_to(("caller", &consumer), "demo:f", &one).await;
    std::fs::write(dir.path().join("other.wasm"), &other).unwrap();
    bench.broker.publish(&policy::artifact::Import {
        package: Package::parse("demo:g").unwrap(),
        version: Some(Version::parse("0.1.0").unwrap()),
        interfaces: vec![InterfaceName::parse("f").unwrap()],
    });
    bench.broker.admit_provider("other", &other);
    bench.broker.link("provider", "demo:g", &other);
    bench.broker.link("other", "demo:f", &one);
    let refused = bench.host().await.start(&consumer, &id("caller")).await.err().unwrap();
    assert_eq!(refused.reason(), Some(Reason::LimitExceeded), "{refused}");
}
