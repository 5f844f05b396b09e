//! Guests that storm their host: with calls, with handles, with data, and where nobody expects them to run (T99).

use std::time::Duration;

use policy::reason::Reason;

use super::broker::{Bench, id};
use super::guests;
use crate::error::Error;

/// What the component imports, and how its core calls it.
struct Storm {
    imports: &'static str,
    lowered: &'static str,
    core: &'static str,
    call: &'static str,
}

const RANDOM: Storm = Storm {
    imports: "(import \"wasi:random/random@0.2.0\" (instance $i (export \"get-random-u64\" (func (result u64)))))",
    lowered: "(core func $l (canon lower (func $i \"get-random-u64\")))",
    core: "(func $f (result i64))",
    call: "(drop (call $f))",
};

const CLOCK: Storm = Storm {
    imports: "(import \"wasi:clocks/monotonic-clock@0.2.0\" (instance $i (export \"now\" (func (result u64)))))",
    lowered: "(core func $l (canon lower (func $i \"now\")))",
    core: "(func $f (result i64))",
    call: "(drop (call $f))",
};

const LOGGING: Storm = Storm {
    imports: "(import \"wasi:logging/logging@0.1.0-draft\" (instance $i
        (type $enum (enum \"trace\" \"debug\" \"info\" \"warn\" \"error\" \"critical\"))
        (export \"level\" (type $level (eq $enum)))
        (export \"log\" (func (param \"level\" $level) (param \"context\" string) (param \"message\" string)))))",
    lowered: "(core func $l (canon lower (func $i \"log\") (memory $memory)))",
    core: "(func $f (param i32 i32 i32 i32 i32))",
    call: "(call $f (i32.const 2) (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 1))",
};

impl Storm {
    // A million calls, and not one pause.
    fn component(&self) -> Vec<u8> {
        let Self { imports, lowered, core, call } = self;
        guests::text(&format!(
            "(component {imports}
               (core module $store (memory (export \"memory\") 1) (data (i32.const 0) \"x\"))
               (core instance $s (instantiate $store))
               (alias core export $s \"memory\" (core memory $memory))
               {lowered}
               (core module $m (import \"w\" \"f\" {core})
                 (func (export \"storm\") (local $n i32)
                   (loop $again {call}
                     (local.set $n (i32.add (local.get $n) (i32.const 1)))
                     (br_if $again (i32.lt_u (local.get $n) (i32.const 1000000)))))
                 (func (export \"once\") {call}))
               (core instance $c (instantiate $m (with \"w\" (instance (export \"f\" (func $l))))))
               (func (export \"storm\") (canon lift (core func $c \"storm\")))
               (func (export \"once\") (canon lift (core func $c \"once\"))))"
        ))
    }
}

#[tokio::test]
async fn t99_a_million_calls_into_the_host_are_cut_off() {
    for storm in [RANDOM, CLOCK, LOGGING] {
        let mut bench = Bench::new();
        // Time alone would not stop it: the share of calls does.
        bench.limits.call = Duration::from_secs(600);
        bench.limits.host_calls = 20_000;
        let bytes = storm.component();
        bench.broker.admit("storm", &bytes);
        let host = bench.host().await;
        let mut running = host.start(&bytes, &id("storm")).await.unwrap();
        let stopped = running.invoke("storm()").await.unwrap_err();
        assert!(matches!(stopped, Error::Exceeded(_)), "{stopped}");
        assert!(stopped.to_string().contains("called the host more than 20000 times"), "{stopped}");
        assert!(bench.lines().len() <= 20_000, "{}", bench.lines().len());
        // The share is one call's, and the host goes on.
        running.invoke("once()").await.unwrap();
        let mut next = host.start(&guests::signed("cart"), &id("cart")).await.unwrap();
        assert_eq!(next.invoke("add(\"milk\", 2)").await.unwrap(), "ok(2)");
    }
}

#[tokio::test]
async fn t99_handles_without_end_are_cut_off() {
    let own = "(component
        (type $r (resource (rep i32)))
        (core func $new (canon resource.new $r))
        (core module $m (import \"w\" \"f\" (func $f (param i32) (result i32)))
          (func (export \"storm\") (loop $again (drop (call $f (i32.const 1))) (br $again))))
        (core instance $c (instantiate $m (with \"w\" (instance (export \"f\" (func $new))))))
        (func (export \"storm\") (canon lift (core func $c \"storm\"))))";
    let pollables = "(component
        (import \"wasi:io/poll@0.2.0\" (instance $poll (export \"pollable\" (type (sub resource)))))
        (alias export $poll \"pollable\" (type $pollable))
        (import \"wasi:clocks/monotonic-clock@0.2.0\" (instance $clock
          (alias outer 1 $pollable (type $p)) (export \"pollable\" (type (eq $p)))
          (export \"subscribe-duration\" (func (param \"when\" u64) (result (own 1))))))
        (core func $subscribe (canon lower (func $clock \"subscribe-duration\")))
        (core module $m (import \"w\" \"f\" (func $f (param i64) (result i32)))
          (func (export \"storm\") (loop $again (drop (call $f (i64.const 1))) (br $again))))
        (core instance $c (instantiate $m (with \"w\" (instance (export \"f\" (func $subscribe))))))
        (func (export \"storm\") (canon lift (core func $c \"storm\"))))";
    for text in [own, pollables] {
        let mut bench = Bench::new();
        bench.limits.call = Duration::from_secs(600);
        let bytes = guests::text(text);
        bench.broker.admit("storm", &bytes);
        let host = bench.host().await;
        let mut running = host.start(&bytes, &id("storm")).await.unwrap();
        let stopped = running.invoke("storm()").await.unwrap_err();
        assert_eq!(stopped.reason(), Some(Reason::LimitExceeded), "{stopped}");
        assert!(host.start(&guests::signed("cart"), &id("cart")).await.is_ok());
    }
}

#[tokio::test]
async fn t99_a_result_that_unfolds_into_gigabytes_is_cut_off() {
    // A hundred thousand strings that are one and the same 64 KiB; and one list as long as the memory.
    let bytes = guests::text(
        "(component
           (core module $m
             (memory (export \"memory\") 900)
             (func (export \"strings\") (result i32) (local $at i32)
               (local.set $at (i32.const 131072))
               (loop $again
                 (i32.store (local.get $at) (i32.const 0))
                 (i32.store offset=4 (local.get $at) (i32.const 65536))
                 (local.set $at (i32.add (local.get $at) (i32.const 8)))
                 (br_if $again (i32.lt_u (local.get $at) (i32.const 931072))))
               (i32.store (i32.const 65536) (i32.const 131072))
               (i32.store (i32.const 65540) (i32.const 100000))
               (i32.const 65536))
             (func (export \"bytes\") (result i32)
               (i32.store (i32.const 0) (i32.const 8))
               (i32.store (i32.const 4) (i32.const 58000000))
               (i32.const 0))
             (func (export \"outside\") (result i32)
               (i32.store (i32.const 0) (i32.const 8))
               (i32.store (i32.const 4) (i32.const -1))
               (i32.const 0)))
           (core instance $c (instantiate $m))
           (alias core export $c \"memory\" (core memory $memory))
           (func (export \"strings\") (result (list string)) (canon lift (core func $c \"strings\") (memory $memory)))
           (func (export \"bytes\") (result (list u8)) (canon lift (core func $c \"bytes\") (memory $memory)))
           (func (export \"outside\") (result (list u8)) (canon lift (core func $c \"outside\") (memory $memory))))",
    );
    let bench = Bench::new();
    bench.broker.admit("flood", &bytes);
    let host = bench.host().await;
    let mut running = host.start(&bytes, &id("flood")).await.unwrap();
    for func in ["strings()", "bytes()"] {
        let stopped = running.invoke(func).await.unwrap_err();
        assert_eq!(stopped.reason(), Some(Reason::LimitExceeded), "{func}: {stopped}");
    }
    let failed = running.invoke("outside()").await.unwrap_err();
    assert!(matches!(failed, Error::Guest(_)), "{failed}");
}

#[tokio::test]
async fn t99_a_guest_that_spins_while_it_is_fed_or_cleaned_up_is_stopped_too() {
    let bytes = guests::text(
        "(component
           (core module $m
             (memory (export \"memory\") 1)
             (func (export \"take\") (param i32 i32))
             (func (export \"give\") (result i32) (i32.const 8))
             (func (export \"realloc\") (param i32 i32 i32 i32) (result i32) (loop $l (br $l)) (i32.const 0))
             (func (export \"clean\") (param i32) (loop $l (br $l))))
           (core instance $c (instantiate $m))
           (alias core export $c \"memory\" (core memory $memory))
           (func (export \"take\") (param \"text\" string)
             (canon lift (core func $c \"take\") (memory $memory) (realloc (core func $c \"realloc\"))))
           (func (export \"give\") (result string)
             (canon lift (core func $c \"give\") (memory $memory) (post-return (core func $c \"clean\")))))",
    );
    let mut bench = Bench::new();
    bench.limits.call = Duration::from_secs(1);
    bench.broker.admit("spinner", &bytes);
    let host = bench.host().await;
    let mut running = host.start(&bytes, &id("spinner")).await.unwrap();
    for func in ["take(\"milk\")", "give()"] {
        let stopped = running.invoke(func).await.unwrap_err();
        assert_eq!(stopped.reason(), Some(Reason::LimitExceeded), "{func}: {stopped}");
    }
    assert!(host.start(&guests::signed("cart"), &id("cart")).await.is_ok());
}
