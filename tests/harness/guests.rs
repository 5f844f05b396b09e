//! Small components written by hand: one that asks a store, and stores that say which they are.

/// What a store exports, and who asks it imports.
pub const STORE: &str = "demo:kv/store@0.1.0";

/// A provider of a store that says which it is.
pub fn store(number: u32) -> String {
    format!(
        "(component
           (core module $m (func (export \"which\") (result i32) (i32.const {number})))
           (core instance $c (instantiate $m))
           (func $which (result u32) (canon lift (core func $c \"which\")))
           (instance $store (export \"which\" (func $which)))
           (export \"{STORE}\" (instance $store)))"
    )
}

/// A component that asks its store, at once (`ask`) or after so long (`linger`).
pub fn asker(linger_ms: u64) -> String {
    let linger_ns = linger_ms * 1_000_000;
    format!(
        "(component
           (import \"wasi:io/poll@0.2.0\" (instance $poll (export \"pollable\" (type (sub resource)))
             (export \"[method]pollable.block\" (func (param \"self\" (borrow 0))))))
           (alias export $poll \"pollable\" (type $pollable))
           (import \"wasi:clocks/monotonic-clock@0.2.0\" (instance $clock
             (alias outer 1 $pollable (type $p)) (export \"pollable\" (type (eq $p)))
             (export \"subscribe-duration\" (func (param \"when\" u64) (result (own 1))))))
           (import \"{STORE}\" (instance $store (export \"which\" (func (result u32)))))
           (core func $subscribe (canon lower (func $clock \"subscribe-duration\")))
           (core func $block (canon lower (func $poll \"[method]pollable.block\")))
           (core func $which (canon lower (func $store \"which\")))
           (core module $m
             (import \"w\" \"subscribe\" (func $subscribe (param i64) (result i32)))
             (import \"w\" \"block\" (func $block (param i32)))
             (import \"w\" \"which\" (func $which (result i32)))
             (func (export \"ask\") (result i32) (call $which))
             (func (export \"linger\") (result i32)
               (call $block (call $subscribe (i64.const {linger_ns}))) (call $which)))
           (core instance $c (instantiate $m (with \"w\" (instance (export \"subscribe\" (func $subscribe))
             (export \"block\" (func $block)) (export \"which\" (func $which))))))
           (func (export \"ask\") (result u32) (canon lift (core func $c \"ask\")))
           (func (export \"linger\") (result u32) (canon lift (core func $c \"linger\"))))"
    )
}
