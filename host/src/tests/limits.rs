//! Guests that take more than they may (T99).

use std::time::Duration;

use policy::reason::Reason;

use super::broker::{Bench, id};
use super::guests;
use crate::error::Error;

fn greedy() -> Vec<u8> {
    guests::text(
        "(component
           (core module $m
             (memory (export \"memory\") 1)
             (table $t 1 funcref)
             (func (export \"spin\") (loop $l (br $l)))
             (func (export \"grow\") (loop $l (drop (memory.grow (i32.const 16))) (br $l)))
             (func (export \"fill\") (loop $l (drop (table.grow $t (ref.null func) (i32.const 4096))) (br $l)))
             (func $r (export \"recurse\") (call $r))
             (func (export \"trap\") unreachable)
             (func (export \"fine\") (result i32) (i32.const 7)))
           (core instance $c (instantiate $m))
           (func (export \"spin\") (canon lift (core func $c \"spin\")))
           (func (export \"grow\") (canon lift (core func $c \"grow\")))
           (func (export \"fill\") (canon lift (core func $c \"fill\")))
           (func (export \"recurse\") (canon lift (core func $c \"recurse\")))
           (func (export \"trap\") (canon lift (core func $c \"trap\")))
           (func (export \"fine\") (result u32) (canon lift (core func $c \"fine\"))))",
    )
}

#[tokio::test]
async fn t99_loops_growth_and_recursion_are_stopped() {
    let mut bench = Bench::new();
    bench.limits.call = Duration::from_secs(1);
    bench.broker.admit("greedy", &greedy());
    let host = bench.host().await;
    let mut running = host.start(&greedy(), &id("greedy")).await.unwrap();
    for func in ["spin()", "grow()", "fill()", "recurse()"] {
        let began = std::time::Instant::now();
        let stopped = running.invoke(func).await.unwrap_err();
        assert!(matches!(stopped, Error::Exceeded(_)), "{func}: {stopped}");
        assert_eq!(stopped.reason(), Some(Reason::LimitExceeded), "{func}");
        assert!(began.elapsed() < Duration::from_secs(5), "{func}");
        // The next call finds a new instance, over the same bindings.
        assert_eq!(running.invoke("fine()").await.unwrap(), "7");
    }
    let failed = running.invoke("trap()").await.unwrap_err();
    assert!(matches!(failed, Error::Guest(_)), "{failed}");
}

#[tokio::test]
async fn t99_too_much_at_once_is_refused_at_the_start() {
    let instances: String = (0..70).map(|_| "(core instance (instantiate $m))").collect();
    let many = guests::text(&format!("(component (core module $m) {instances})"));
    let large = guests::text("(component (core module $m (memory 2000)) (core instance (instantiate $m)))");
    let begins = guests::text(
        "(component (core module $m (func $s (loop $l (br $l))) (start $s)) (core instance (instantiate $m)))",
    );
    let mut bench = Bench::new();
    bench.limits.call = Duration::from_secs(1);
    for bytes in [many, large, begins] {
        bench.broker.admit("greedy", &bytes);
        let refused = bench.host().await.start(&bytes, &id("greedy")).await.err().unwrap();
        assert_eq!(refused.reason(), Some(Reason::LimitExceeded), "{refused}");
    }
}

#[tokio::test]
async fn t99_what_waits_for_ever_is_stopped_too() {
    let sleeper = guests::text(
        "(component
           (import \"wasi:io/poll@0.2.0\" (instance $poll (export \"pollable\" (type (sub resource)))
             (export \"[method]pollable.block\" (func (param \"self\" (borrow 0))))))
           (alias export $poll \"pollable\" (type $pollable))
           (import \"wasi:clocks/monotonic-clock@0.2.0\" (instance $clock
             (alias outer 1 $pollable (type $p)) (export \"pollable\" (type (eq $p)))
             (export \"subscribe-duration\" (func (param \"when\" u64) (result (own 1))))))
           (core func $subscribe (canon lower (func $clock \"subscribe-duration\")))
           (core func $block (canon lower (func $poll \"[method]pollable.block\")))
           (core module $m
             (import \"w\" \"subscribe\" (func $subscribe (param i64) (result i32)))
             (import \"w\" \"block\" (func $block (param i32)))
             (func (export \"sleep\") (call $block (call $subscribe (i64.const 3600000000000)))))
           (core instance $c (instantiate $m (with \"w\" (instance
             (export \"subscribe\" (func $subscribe)) (export \"block\" (func $block))))))
           (func (export \"sleep\") (canon lift (core func $c \"sleep\"))))",
    );
    let mut bench = Bench::new();
    bench.limits.call = Duration::from_secs(1);
    bench.broker.admit("sleeper", &sleeper);
    let mut running = bench.host().await.start(&sleeper, &id("sleeper")).await.unwrap();
    assert_eq!(running.invoke("sleep()").await.unwrap_err().reason(), Some(Reason::LimitExceeded));
}

#[tokio::test]
async fn a_call_that_makes_no_sense_is_a_usage_error() {
    let bench = Bench::new();
    let mut cart = bench.host().await.start(&guests::signed("cart"), &id("cart")).await.unwrap();
    for call in
        ["add(\"milk\")", "add(1, 2)", "drop()", "add", "other:shop/cart@0.1.0#add(\"milk\", 2)", "add(\"milk\", 2", ""]
    {
        let wrong = cart.invoke(call).await.unwrap_err();
        assert!(matches!(wrong, Error::Usage(_)), "{call}: {wrong}");
    }
    assert_eq!(cart.invoke("total(\"milk\")").await.unwrap(), "ok(0)");
}
