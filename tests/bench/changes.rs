//! Starts while a hundred links change each second, next to starts while nothing changes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_nats::Client;
use harness::asker::lattice_name;
use policy::answer::Receipt;
use policy::artifact;
use policy::digest::Digest;
use policy::envelope::Unverified;
use policy::govern::{Operation, PutLink};
use policy::key::Administrator;
use policy::provider::Subject;
use policy::wire::{Topic, inbox_prefix};
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use broker::keys::SigningKey;

use crate::field::{Field, LINKED, PROVIDERS, command, linked, provider_file};
use crate::figure::{Board, Goal, median};
use crate::starts::{SHOTS, TURNS, turn};

pub(crate) async fn measure(board: &mut Board, field: &Field) {
    let admin = SigningKey::<Administrator>::load(&field.lattice.path("lattice/keys/admin.nk")).expect("its key");
    let options = async_nats::ConnectOptions::new().custom_inbox_prefix(inbox_prefix(&admin.name()));
    let client = options.connect(field.lattice.nats.url()).await.expect("the server answers");
    let providers = PROVIDERS.map(|provider| provider_of(field, provider));
    let changer = Changer { client, admin: Arc::new(admin), providers, epoch: Arc::default(), done: Arc::default() };
    let (mut ratios, mut changed, mut seconds, mut next) = (Vec::new(), 0, 0.0, 0);
    for _ in 0..TURNS {
        let shots = field.questions(SHOTS);
        let quiet = turn(field, &shots).await;
        let stop = Arc::new(AtomicBool::new(false));
        let changing = tokio::spawn(changer.clone().change(next, Arc::clone(&stop)));
        changer.wait_for_one().await;
        let shots = field.questions(SHOTS);
        // Only what is accepted while the starts run is counted.
        let before = changer.done.load(Ordering::Relaxed);
        let busy = turn(field, &shots).await;
        changed += changer.done.load(Ordering::Relaxed) - before;
        seconds += busy.elapsed.as_secs_f64();
        stop.store(true, Ordering::Relaxed);
        // What is under way ends before the next turn, which goes on where this one stopped.
        next = changing.await.expect("every change is answered");
        ratios.push(busy.rate() / quiet.rate());
    }
    board.put("starts while links change / while none does", median(ratios), "ratio", Goal::AtLeast(0.9));
    board.put("  links changed meanwhile", changed as f64 / seconds, "per s", Goal::Told);
}

/// An administrator who puts one link every ten milliseconds.
#[derive(Clone)]
struct Changer {
    client: Client,
    admin: Arc<SigningKey<Administrator>>,
    providers: [(Subject, Digest); 2],
    epoch: Arc<AtomicU64>,
    done: Arc<AtomicU64>,
}

impl Changer {
    // One change each ten milliseconds at most, and never two of one link: each waits for the one before it on its link.
    async fn change(self, first: u64, stop: Arc<AtomicBool>) -> u64 {
        let mut beat = tokio::time::interval(Duration::from_millis(10));
        beat.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut under_way: Vec<Option<JoinHandle<()>>> = (0..LINKED).map(|_| None).collect();
        let mut number = first;
        while !stop.load(Ordering::Relaxed) {
            beat.tick().await;
            let (link, round) = (number as usize % LINKED, number as usize / LINKED);
            if let Some(earlier) = under_way[link].take() {
                earlier.await.expect("it is answered");
            }
            under_way[link] = Some(tokio::spawn(self.clone().put(link, round % 2)));
            number += 1;
        }
        for change in under_way.into_iter().flatten() {
            change.await.expect("it is answered");
        }
        number
    }

    async fn put(self, number: usize, provider: usize) {
        let (provider, sha256) = self.providers[provider].clone();
        let put = PutLink {
            component: linked(number).parse().expect("an id"),
            package: "wasi:logging".parse().expect("a package"),
            name: "default".parse().expect("a name"),
            provider,
            sha256,
            config_sha256: None,
            pin: None,
            component_pin: None,
        };
        let basis = self.epoch.load(Ordering::Relaxed);
        let bytes = command(&self.admin, basis, vec![Operation::PutLink(put)]);
        let told = self.client.request(Topic::Command.subject(&lattice_name()), bytes.into()).await.expect("an answer");
        let receipt = Unverified::<Receipt>::parse(&told.payload).expect("a receipt");
        self.epoch.fetch_max(receipt.says().epoch, Ordering::Relaxed);
        let refused = receipt.says().reason;
        // The first one shows which epoch it is; a link that already stands so after a pause is no change.
        assert!(
            refused.is_none() || basis == 0 || refused == Some(policy::reason::Reason::AlreadyExists),
            "{refused:?}"
        );
        self.done.fetch_add(u64::from(refused.is_none()), Ordering::Relaxed);
    }

    async fn wait_for_one(&self) {
        let before = self.done.load(Ordering::Relaxed);
        while self.done.load(Ordering::Relaxed) == before {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

fn provider_of(field: &Field, provider: &str) -> (Subject, Digest) {
    let file = artifact::component::read(&provider_file(&field.lattice, provider)).expect("a component");
    let claims = policy::claims::read_component(file.token().expect("claims")).expect("sound claims");
    (Subject::Component(claims.subject), file.sha256())
}
