//! A rotation of an issuer's key while hosts start things without pause: what was refused that was good, and what was
//! permitted that the old key signed after its end.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use broker::keys::SigningKey;
use policy::claims::{ComponentClaims, draft_component, read_component};
use policy::key::Issuer;
use policy::time::Timestamp;
use policy::wire::Topic;

use crate::asker::{Asker, now, reason, send};
use crate::lattice::{Lattice, path, wait_for};

/// What came of it.
#[derive(Debug, Default)]
pub struct Rotated {
    /// How many good starts were asked for, before the rotation, in the overlap and after it.
    pub good: usize,
    /// Why some of them were refused.
    pub good_refused: BTreeMap<String, usize>,
    /// How many starts were asked for with claims that the old key signed from its end on.
    pub late: usize,
    /// What became of those: nothing for a permit, else the reason.
    pub late_told: BTreeMap<String, usize>,
}

/// Puts another key in the place of the lattice's `acme` while every host starts `cart` again and again.
pub async fn rotate(lattice: &Lattice, hosts: &[Asker], overlap_s: u64) -> Rotated {
    let key = |name: &str| SigningKey::<Issuer>::load(&lattice.path(&format!("{name}.nk"))).expect("an issuer's key");
    let url = lattice.nats.url();
    let claims = (*read_component(&hosts[0].attachments[0]).expect("sound claims")).clone();
    lattice.issuer("next");
    let (old, new) = (key("acme"), key("next"));
    let load = Arc::new(Load::default());
    let mut loads = Vec::new();
    for host in hosts {
        loads.push(tokio::spawn(Arc::clone(&load).starts(host.clone(), url.clone())));
    }
    load.more(hosts.len()).await;
    let rotated = tokio::task::block_in_place(|| {
        let (old, new, file) = (old.name().to_string(), new.name().to_string(), lattice.path("next.nk"));
        // Where the command itself takes longer than the overlap, its end no longer lies ahead.
        let mut tries = (0..5).map(|doubled| {
            let until = format!("+{}s", overlap_s << doubled);
            let key = ["--issuer-key", path(&file), "--overlap-until", &until];
            lattice.json(&[&["issuer", "rotate", &old, &new], &key[..]].concat())
        });
        let (code, said) = tries.find(|(_, said)| said["error"] != "time_malformed").expect("an end ahead");
        assert_eq!(code, 0, "{said}");
        said
    });
    let end = rotated["overlap_until"].as_u64().expect("the overlap's end");
    let end = Timestamp::from_seconds(end).expect("a time");
    // From now on every second start shows what the new key signed.
    let fresh = signed(&new, &claims, now());
    *load.fresh.lock().expect("the claims") = Some(fresh);
    load.more(2 * hosts.len()).await;
    tokio::task::block_in_place(|| wait_for("the overlap's end", || (now() > end).then_some(())));
    let mut told = Rotated::default();
    for (number, host) in hosts.iter().enumerate() {
        let mut late = claims.clone();
        late.common.jti = format!("late-{number}");
        let late = host.clone().showing(signed(&old, &late, end));
        let said = send(&host.connect(&url).await, Topic::StartComponent, late.question()).await.expect("an answer");
        told.late += 1;
        *told.late_told.entry(reason(&said)).or_default() += 1;
    }
    load.more(2 * hosts.len()).await;
    load.done.store(true, Ordering::SeqCst);
    for host in loads {
        host.await.expect("it ends");
    }
    told.good = load.good.load(Ordering::SeqCst);
    told.good_refused = load.refused.lock().expect("the refusals").clone();
    told
}

#[derive(Default)]
struct Load {
    done: AtomicBool,
    good: AtomicUsize,
    refused: Mutex<BTreeMap<String, usize>>,
    // What the new key signed, once it counts.
    fresh: Mutex<Option<Vec<u8>>>,
}

impl Load {
    async fn starts(self: Arc<Self>, host: Asker, url: String) {
        let client = host.connect(&url).await;
        let mut number = 0_usize;
        while !self.done.load(Ordering::SeqCst) {
            number += 1;
            let fresh = self.fresh.lock().expect("the claims").clone().filter(|_| number.is_multiple_of(2));
            let asker = fresh.map_or_else(|| host.clone(), |fresh| host.clone().showing(fresh));
            let said = send(&client, Topic::StartComponent, asker.question()).await;
            let why = said.as_ref().map_or_else(|| "nobody answered".to_owned(), reason);
            if !why.is_empty() {
                *self.refused.lock().expect("the refusals").entry(why).or_default() += 1;
            }
            self.good.fetch_add(1, Ordering::SeqCst);
        }
    }

    // Waits until so many more starts were asked for.
    async fn more(&self, count: usize) {
        let goal = self.good.load(Ordering::SeqCst) + count;
        while self.good.load(Ordering::SeqCst) < goal {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

fn signed(key: &SigningKey<Issuer>, claims: &ComponentClaims, iat: Timestamp) -> Vec<u8> {
    let mut claims = claims.clone();
    claims.common.validity.iat = iat;
    key.sign_draft(draft_component(&key.name(), &claims)).into_bytes()
}
