//! Files that change while the host reads them: what is bound is what was verified, or nothing is (T34, T46).

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use policy::digest::Digest;
use policy::reason::Reason;

use super::broker::{Bench, id};
use super::guests;
use crate::component::read_once;
use crate::error::Error;
use crate::folder::Folder;

/// How often the file is swapped; `COUNTERSIGN_SWAPS` says otherwise.
fn swaps() -> usize {
    std::env::var("COUNTERSIGN_SWAPS").ok().and_then(|told| told.parse().ok()).unwrap_or(10_000)
}

/// Says that it is enough when it goes, so that a test that fails does not wait for those who swap.
struct Enough<'a>(&'a AtomicBool);

impl Drop for Enough<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Swaps a file for as long as asked: renamed over, and now and then written anew in its place, so that readings tear.
fn swap(path: &Path, contents: &[Vec<u8>], enough: &AtomicBool, swapped: &AtomicUsize) {
    let folder = tempfile::tempdir_in(path.parent().unwrap()).unwrap();
    let kept = |number: usize| folder.path().join(number.to_string());
    for (number, bytes) in contents.iter().enumerate() {
        std::fs::write(kept(number), bytes).unwrap();
    }
    while !enough.load(Ordering::SeqCst) {
        let number = swapped.fetch_add(1, Ordering::SeqCst);
        if number.is_multiple_of(50) {
            std::fs::remove_file(path).unwrap();
            std::fs::write(path, &contents[number / 50 % contents.len()]).unwrap();
        } else {
            let next = folder.path().join("next");
            std::fs::hard_link(kept(number % contents.len()), &next).unwrap();
            std::fs::rename(next, path).unwrap();
            // A rename of one name of a file over another name of it does nothing.
            let _gone = std::fs::remove_file(folder.path().join("next"));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t34_a_file_that_is_swapped_ten_thousand_times_is_never_bound_unverified() {
    let (dir, artifacts) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (cart, logger) = (guests::signed("cart"), guests::signed("logger"));
    // The same interface from another hand, the same claims around other bytes, and one bit.
    let mut flipped = logger.clone();
    flipped[100] ^= 1;
    let rivals = [logger.clone(), guests::signed_as("rival", 77), logger.clone(), flipped, logger.clone()];
    let others = [cart.clone(), guests::signed_as("cart", 78), cart.clone(), guests::unsigned("cart"), cart.clone()];
    let (component, provider) = (dir.path().join("cart.wasm"), artifacts.path().join("provider.wasm"));
    std::fs::write(&component, &cart).unwrap();
    std::fs::write(&provider, &logger).unwrap();
    let mut bench = Bench::new();
    bench.artifacts = Some(Folder::of_artifacts(artifacts.path()));
    bench.broker.link("cart", "wasi:logging", &logger);
    let host = bench.host().await;

    let (enough, swapped) = (AtomicBool::new(false), [AtomicUsize::new(0), AtomicUsize::new(0)]);
    let (mut starts, mut bound) = (0, 0);
    std::thread::scope(|scope| {
        let _enough = Enough(&enough);
        scope.spawn(|| swap(&provider, &rivals, &enough, &swapped[0]));
        scope.spawn(|| swap(&component, &others, &enough, &swapped[1]));
        let raced = |starts| starts >= 30 && swapped.iter().all(|count| count.load(Ordering::SeqCst) >= swaps());
        // Both files must be the right ones at once, some time.
        while !raced(starts) || (bound == 0 && starts < 3000) {
            starts += 1;
            let started = tokio::task::block_in_place(|| {
                tokio::runtime::Handle::current()
                    .block_on(async { host.start(&read_once(&component)?, &id("cart")).await })
            });
            match started {
                Ok(running) => {
                    bound += 1;
                    assert_eq!(running.sha256(), Digest::of(&cart));
                    let logging = running.answers().remove(1);
                    assert_eq!((logging.id.as_str(), logging.sha256), ("logger", Digest::of(&logger)));
                }
                // Between two swaps the file is not there for a moment.
                Err(Error::Refused(_) | Error::File { .. }) => {}
                Err(other) => panic!("neither started nor refused: {other}"),
            }
        }
    });
    let swapped = swapped.map(AtomicUsize::into_inner);
    assert!(bound > 0, "nothing was ever bound, so nothing was raced");
    println!("{swapped:?} swaps, {starts} starts, {bound} bound, each to what was verified");
    // The race was one: and once it is over, what is right starts.
    std::fs::write(&component, &cart).unwrap();
    std::fs::write(&provider, &logger).unwrap();
    let mut running = host.start(&read_once(&component).unwrap(), &id("cart")).await.unwrap();
    running.invoke("add(\"milk\", 1)").await.unwrap();
    assert!(bench.lines().iter().all(|line| line.contains("lattice-log")), "{:?}", bench.lines());
}

#[test]
fn t34_a_read_that_tears_finds_the_named_bytes_or_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let logger = guests::signed("logger");
    let mut flipped = logger.clone();
    *flipped.last_mut().unwrap() ^= 1;
    let path = dir.path().join("provider.wasm");
    std::fs::write(&path, &logger).unwrap();
    let (folder, sha256) = (Folder::of_artifacts(dir.path()), Digest::of(&logger));
    let (enough, swapped) = (AtomicBool::new(false), AtomicUsize::new(0));
    let (mut found, mut nothing) = (0, 0);
    std::thread::scope(|scope| {
        let _enough = Enough(&enough);
        scope.spawn(|| swap(&path, &[logger.clone(), flipped, Vec::new()], &enough, &swapped));
        while swapped.load(Ordering::SeqCst) < swaps() {
            match folder.find(sha256).unwrap() {
                Some(bytes) => {
                    found += 1;
                    assert!(bytes == logger, "other bytes under the digest that was named");
                }
                None => nothing += 1,
            }
        }
    });
    println!("{} swaps: found {found} times, nothing {nothing} times", swapped.into_inner());
    assert!(nothing > 0, "nothing was swapped under a reader");
}

#[tokio::test]
async fn t46_a_file_that_is_dropped_at_run_time_is_not_offered_before_the_next_start() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let mut bench = Bench::new();
    let native = policy::native::Native::find("native/logging@0.1.0").unwrap();
    bench.broker.retire(native.sha256());
    bench.builtins = Some(Folder::of_builtins(dir.path()).unwrap());
    let host = bench.host().await;
    let before = host.offers().to_vec();
    let path = dir.path().join("logger.wasm");
    std::fs::write(&path, guests::signed("logger")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    // Admitted, signed and sound, and still nobody offered it when this host started.
    let refused = host.start(&guests::signed("cart"), &id("cart")).await.err().unwrap();
    assert_eq!(refused.reason(), Some(Reason::BuiltinAbsent));
    assert_eq!(host.offers(), before);
    let again = bench.host().await;
    assert_eq!(again.offers().len(), before.len() + 1);
    assert!(again.start(&guests::signed("cart"), &id("cart")).await.is_ok());
    // Changed after it was offered: the digest that was permitted is not here any more.
    std::fs::write(&path, guests::signed_as("rival", 77)).unwrap();
    let changed = again.start(&guests::signed("cart"), &id("cart")).await.err().unwrap();
    assert_eq!(changed.reason(), Some(Reason::ArtifactUnavailable));
    // A name that sorts first, and one that says it is the digest, win nothing against what is right.
    std::fs::write(dir.path().join("zz.wasm"), guests::signed("logger")).unwrap();
    std::fs::set_permissions(dir.path().join("zz.wasm"), std::fs::Permissions::from_mode(0o644)).unwrap();
    let squatter = format!("{}.wasm", Digest::of(&guests::signed("logger")));
    for name in ["00.wasm", &squatter] {
        std::fs::write(dir.path().join(name), guests::signed_as("rival", 77)).unwrap();
        std::fs::set_permissions(dir.path().join(name), std::fs::Permissions::from_mode(0o644)).unwrap();
    }
    let mut cart = bench.host().await.start(&guests::signed("cart"), &id("cart")).await.unwrap();
    cart.invoke("add(\"milk\", 1)").await.unwrap();
    assert!(bench.lines().iter().all(|line| line.contains("lattice-log")), "{:?}", bench.lines());
}
