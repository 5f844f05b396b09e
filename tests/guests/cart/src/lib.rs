//! A component that counts items in a key-value store and logs each addition.

wit_bindgen::generate!({ path: "../wit", world: "cart", generate_all });

use exports::demo::shop::cart::Guest;
use wasi::keyvalue::store::{self, Bucket, Error};
use wasi::logging::logging::{Level, log};

const CONTEXT: &str = "cart";

struct Cart;

impl Guest for Cart {
    fn add(item: String, count: u32) -> Result<u32, String> {
        let bucket = open()?;
        let total = read(&bucket, &item)?.checked_add(count).ok_or("the count does not fit")?;
        let decimal = total.to_string();
        bucket.set(&item, decimal.as_bytes()).map_err(reason)?;
        let message = ["cart: ", &item, " x", &decimal].concat();
        log(Level::Info, CONTEXT, &message);
        Ok(total)
    }

    fn total(item: String) -> Result<u32, String> {
        read(&open()?, &item)
    }
}

fn open() -> Result<Bucket, String> {
    store::open("default").map_err(reason)
}

/// The stored count; an absent key counts as zero.
fn read(bucket: &Bucket, item: &str) -> Result<u32, String> {
    let Some(bytes) = bucket.get(item).map_err(reason)? else {
        return Ok(0);
    };
    std::str::from_utf8(&bytes)
        .ok()
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| "the stored count is not a number".into())
}

fn reason(error: Error) -> String {
    match error {
        Error::NoSuchStore => "no such store".into(),
        Error::AccessDenied => "access denied".into(),
        Error::Other(text) => text,
    }
}

export!(Cart);
