//! Keys made to collide in a hash table of a fixed seed cost no more than any others (T91).

use std::time::{Duration, Instant};

use policy::json::{MAX_MEMBERS, Profile, check};

const KEYS: usize = 100_000;

// FNV-1a, the hash of a fixed seed that is easiest to collide; a table looks at its low bits.
fn fnv(state: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(state, |state, byte| (state ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

/// Keys of one hash in the low 20 bits: seventeen times, two blocks that lead on to the same state.
fn colliding() -> Vec<String> {
    let low = |state: u64| state & 0x000f_ffff;
    let mut keys = vec![String::new()];
    let mut state = 0xcbf2_9ce4_8422_2325;
    while keys.len() < KEYS {
        let mut seen = std::collections::BTreeMap::new();
        let (one, other) = (0_u32..)
            .find_map(|number| {
                let block = format!("{number:03x}");
                let other = seen.insert(low(fnv(state, block.as_bytes())), block.clone())?;
                Some((block, other))
            })
            .unwrap();
        state = fnv(state, one.as_bytes());
        keys = keys.iter().flat_map(|key| [format!("{key}{one}"), format!("{key}{other}")]).collect();
    }
    keys.truncate(KEYS);
    let hash = low(fnv(0xcbf2_9ce4_8422_2325, keys[0].as_bytes()));
    assert!(keys.iter().all(|key| low(fnv(0xcbf2_9ce4_8422_2325, key.as_bytes())) == hash));
    keys
}

// As many as there are, in objects as large as the reader lets them be.
fn texts(keys: &[String]) -> Vec<String> {
    let member = |key: &String| format!("\"{key}\":1");
    let object = |keys: &[String]| format!("{{{}}}", keys.iter().map(member).collect::<Vec<_>>().join(","));
    keys.chunks(MAX_MEMBERS).map(object).collect()
}

fn read(texts: &[String]) -> Duration {
    let once = || {
        let began = Instant::now();
        texts.iter().for_each(|text| check(text.as_bytes(), Profile::Any).unwrap());
        began.elapsed()
    };
    // The better of two: what disturbs a machine only ever adds.
    (0..2).map(|_| once()).min().unwrap()
}

#[test]
fn t91_a_hundred_thousand_keys_that_collide_are_read_in_linear_time() {
    let hostile = colliding();
    let plain: Vec<String> =
        (0..KEYS).map(|number| policy::digest::Digest::of(&number.to_le_bytes()).to_string()).collect();
    let plain: Vec<String> =
        plain.iter().zip(&hostile).map(|(key, like)| key.repeat(2)[..like.len()].to_owned()).collect();
    let (hostile, plain) = (texts(&hostile), texts(&plain));
    let (slow, usual) = (read(&hostile), read(&plain));
    let few = read(&hostile[..hostile.len() / 10]);
    println!("{KEYS} colliding keys: {slow:?}, as many others: {usual:?}, a tenth of the colliding: {few:?}");
    assert!(slow < usual * 4, "{slow:?} and {usual:?}");
    assert!(slow < few * 40, "{slow:?} and {few:?}");
}

#[test]
fn t91_one_object_of_a_hundred_thousand_keys_is_refused_at_the_limit() {
    let keys = colliding();
    let one = format!("{{{}}}", keys.iter().map(|key| format!("\"{key}\":1")).collect::<Vec<_>>().join(","));
    let refused = check(one.as_bytes(), Profile::Any).unwrap_err();
    assert_eq!(refused.reason, policy::reason::Reason::JsonLimit);
}
