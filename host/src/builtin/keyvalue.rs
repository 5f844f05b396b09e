//! `wasi:keyvalue/store` in memory: shared by the instances of one component id within one host process.
//!
//! Bounded in buckets, keys and bytes; gone with the process, as a builtin of a development host may be.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use policy::name::ComponentId;
use wasmtime::component::{Resource, ResourceAny, ResourceType, Val};
use wasmtime::{AsContextMut, StoreContextMut};

use crate::guest::Guest;

pub(super) const PACKAGE: &str = "wasi:keyvalue";
pub(super) const INTERFACES: &[&str] = &["store"];
pub(super) const FUNCTIONS: &[&str] = &[
    "open",
    "[method]bucket.get",
    "[method]bucket.set",
    "[method]bucket.delete",
    "[method]bucket.exists",
    "[method]bucket.list-keys",
];
pub(crate) const BUCKET: &str = "bucket";

/// Every bucket of every component of this process.
#[derive(Debug, Default)]
pub(crate) struct Stores(Mutex<BTreeMap<ComponentId, Store>>);

#[derive(Debug, Default)]
struct Store {
    buckets: BTreeMap<String, BTreeMap<String, Vec<u8>>>,
    bytes: usize,
}

/// A bucket that a component has opened, by its name.
pub(crate) struct Bucket(String);

/// The type of the bucket resource.
pub(crate) fn bucket_type() -> ResourceType {
    ResourceType::host::<Bucket>()
}

/// Drops a bucket's handle; what lies in the bucket stays.
pub(crate) fn drop_bucket(mut guest: StoreContextMut<'_, Guest>, rep: u32) -> wasmtime::Result<()> {
    guest.data_mut().table.delete(Resource::<Bucket>::new_own(rep)).map_err(wasmtime::Error::new)?;
    Ok(())
}

pub(super) fn call(mut guest: StoreContextMut<'_, Guest>, func: &str, params: &[Val]) -> wasmtime::Result<Val> {
    if let ("open", [Val::String(name)]) = (func, params) {
        return open(guest, name);
    }
    let Some((Val::Resource(handle), rest)) = params.split_first() else {
        return Err(misused(func));
    };
    let bucket: Resource<Bucket> = handle.try_into_resource(&mut guest)?;
    let name = guest.data().table.get(&bucket).map_err(wasmtime::Error::new)?.0.clone();
    let answer = with(&guest, |store| match (func, rest) {
        ("[method]bucket.get", [Val::String(key)]) => {
            Ok(Ok(Some(option(store.bucket(&name).get(key).map(|value| bytes(value))))))
        }
        ("[method]bucket.set", [Val::String(key), Val::List(value)]) => Ok(store.set(&name, key, value).map(|()| None)),
        ("[method]bucket.delete", [Val::String(key)]) => {
            store.delete(&name, key);
            Ok(Ok(None))
        }
        ("[method]bucket.exists", [Val::String(key)]) => Ok(Ok(Some(Val::Bool(store.bucket(&name).contains_key(key))))),
        ("[method]bucket.list-keys", [Val::Option(cursor)]) => Ok(store.list(&name, cursor.as_deref()).map(Some)),
        _ => Err(misused(func)),
    });
    answer.map(result)
}

fn open(mut guest: StoreContextMut<'_, Guest>, name: &str) -> wasmtime::Result<Val> {
    if let Err(why) = with(&guest, |store| store.open(name)) {
        return Ok(result(Err(why)));
    }
    let bucket = guest.data_mut().table.push(Bucket(name.to_owned())).map_err(wasmtime::Error::new)?;
    let bucket = ResourceAny::try_from_resource(bucket, guest.as_context_mut())?;
    Ok(result(Ok(Some(Val::Resource(bucket)))))
}

fn with<T>(guest: &StoreContextMut<'_, Guest>, act: impl FnOnce(&mut Store) -> T) -> T {
    let guest = guest.data();
    let mut stores = guest.shelf.stores.0.lock().unwrap_or_else(PoisonError::into_inner);
    act(stores.entry(guest.id.clone()).or_default())
}

impl Store {
    fn open(&mut self, name: &str) -> Result<(), String> {
        if !self.buckets.contains_key(name) && (self.buckets.len() >= MAX_BUCKETS || name.len() > MAX_NAME) {
            return Err(format!(
                "a component has at most {MAX_BUCKETS} buckets, with names of at most {MAX_NAME} bytes"
            ));
        }
        self.bucket(name);
        Ok(())
    }

    fn bucket(&mut self, name: &str) -> &mut BTreeMap<String, Vec<u8>> {
        self.buckets.entry(name.to_owned()).or_default()
    }

    fn set(&mut self, bucket: &str, key: &str, value: &[Val]) -> Result<(), String> {
        let value: Vec<u8> = value.iter().map(|byte| if let Val::U8(byte) = byte { *byte } else { 0 }).collect();
        let old = self.bucket(bucket).get(key).map_or(0, |old| old.len() + key.len());
        let bytes = self.bytes.saturating_sub(old).saturating_add(key.len() + value.len());
        if key.len() > MAX_NAME || bytes > MAX_BYTES {
            return Err(format!("a store holds at most {MAX_BYTES} bytes, under keys of at most {MAX_NAME}"));
        }
        self.bytes = bytes;
        self.bucket(bucket).insert(key.to_owned(), value);
        Ok(())
    }

    fn delete(&mut self, bucket: &str, key: &str) {
        if let Some(old) = self.bucket(bucket).remove(key) {
            self.bytes = self.bytes.saturating_sub(old.len() + key.len());
        }
    }

    // A page of keys in their order; the cursor counts the keys before it.
    fn list(&mut self, bucket: &str, cursor: Option<&Val>) -> Result<Val, String> {
        let skip = match cursor {
            None => 0,
            Some(Val::U64(cursor)) => usize::try_from(*cursor).map_err(|_| "no such page".to_owned())?,
            Some(_) => return Err("a cursor is a number".to_owned()),
        };
        let keys = self.bucket(bucket);
        let page: Vec<_> = keys.keys().skip(skip).take(PAGE).map(|key| Val::String(key.clone())).collect();
        let next = skip.saturating_add(page.len());
        let cursor = (next < keys.len()).then(|| Val::U64(u64::try_from(next).unwrap_or(u64::MAX)));
        Ok(Val::Record(vec![("keys".to_owned(), Val::List(page)), ("cursor".to_owned(), option(cursor))]))
    }
}

fn result(answer: Result<Option<Val>, String>) -> Val {
    Val::Result(match answer {
        Ok(value) => Ok(value.map(Box::new)),
        Err(why) => Err(Some(Box::new(Val::Variant("other".to_owned(), Some(Box::new(Val::String(why))))))),
    })
}

fn option(value: Option<Val>) -> Val {
    Val::Option(value.map(Box::new))
}

fn bytes(value: &[u8]) -> Val {
    Val::List(value.iter().map(|byte| Val::U8(*byte)).collect())
}

fn misused(func: &str) -> wasmtime::Error {
    wasmtime::Error::msg(format!("`{func}` was called with other parameters than it takes"))
}

const MAX_BUCKETS: usize = 64;
const MAX_NAME: usize = 1024;
const MAX_BYTES: usize = 16 << 20;
const PAGE: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_bounded_and_counts_what_it_frees() {
        let mut store = Store::default();
        let value = vec![Val::U8(7); 1 << 16];
        for key in 0..255 {
            store.set("default", &format!("{key:03}"), &value).unwrap();
        }
        assert!(store.set("default", "255", &[value.as_slice(), value.as_slice()].concat()).is_err());
        store.set("default", "000", &value).unwrap();
        for key in 0..255 {
            store.delete("default", &format!("{key:03}"));
        }
        assert_eq!(store.bytes, 0);
        assert!(store.set("default", &"k".repeat(MAX_NAME + 1), &[]).is_err());
        for name in 0..MAX_BUCKETS {
            store.bucket(&name.to_string());
        }
        assert!(store.open("one more").is_err());
    }

    #[test]
    fn keys_come_in_pages() {
        let mut store = Store::default();
        for key in 0..=PAGE {
            store.set("b", &format!("{key:05}"), &[]).unwrap();
        }
        let page = |value: Val| match value {
            Val::Record(fields) => match (&fields[0].1, &fields[1].1) {
                (Val::List(keys), Val::Option(cursor)) => (keys.len(), cursor.as_deref().cloned()),
                _ => panic!("not a page"),
            },
            _ => panic!("not a page"),
        };
        let (first, cursor) = page(store.list("b", None).unwrap());
        assert_eq!((first, &cursor), (PAGE, &Some(Val::U64(1000))));
        assert_eq!(page(store.list("b", cursor.as_ref()).unwrap()), (1, None));
    }
}
