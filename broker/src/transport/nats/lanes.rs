//! Lanes of one subject: whoever is enrolled queues apart, so that a flood fills its own lane and no other (T86).
//!
//! A lane goes by the inbox that a message wants its answer in, which costs next to nothing to read and proves nothing:
//! whoever writes another's inbox there queues in that lane, and in it alone. Everybody unknown shares one. What finds
//! no room in its lane is dropped, so what waits is bounded (T89).

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The lanes of one subject.
pub(super) struct Lanes {
    known: BTreeMap<String, Lane>,
    strangers: Lane,
    places: usize,
    // What may wait in all lanes together.
    room: Arc<Semaphore>,
}

#[derive(Clone)]
struct Lane {
    room: Arc<Semaphore>,
    places: Arc<Semaphore>,
}

/// Room for one message, and the lane in which it waits for its turn.
pub(super) struct Ticket {
    places: Arc<Semaphore>,
    _room: [OwnedSemaphorePermit; 2],
}

impl Lanes {
    /// Lanes in each of which so many messages are handled at once.
    pub(super) fn new(places: usize) -> Self {
        let room = Arc::new(Semaphore::new(ROOM));
        Self { known: BTreeMap::new(), strangers: Lane::new(places), places, room }
    }

    /// Room for a message of so many bytes, if its lane has any.
    ///
    /// There are no more lanes than keys that were ever known.
    pub(super) fn enter(
        &mut self,
        asker: Option<&str>,
        is_known: impl Fn(&str) -> bool,
        bytes: usize,
    ) -> Option<Ticket> {
        let weight = u32::try_from(bytes.saturating_add(OVERHEAD)).ok()?;
        let lane = match asker {
            Some(asker) if self.known.contains_key(asker) => self.known.get(asker).cloned(),
            Some(asker) if is_known(asker) => {
                let lane = Lane::new(self.places);
                self.known.insert(asker.to_owned(), lane.clone());
                Some(lane)
            }
            Some(_) | None => None,
        };
        let Lane { room, places } = lane.unwrap_or_else(|| self.strangers.clone());
        let own = room.try_acquire_many_owned(weight).ok()?;
        let all = Arc::clone(&self.room).try_acquire_many_owned(weight).ok()?;
        Some(Ticket { places, _room: [own, all] })
    }
}

impl Ticket {
    /// Waits for a place; the message is handled while it is held.
    pub(super) async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.places).acquire_owned().await.ok()
    }
}

impl Lane {
    fn new(places: usize) -> Self {
        Self { room: Arc::new(Semaphore::new(LANE)), places: Arc::new(Semaphore::new(places)) }
    }
}

// What may wait in one lane and in all of a subject: more than the largest document.
const LANE: usize = 2 * 1024 * 1024;
const ROOM: usize = 16 * 1024 * 1024;
// What a message that waits weighs besides its own bytes.
const OVERHEAD: usize = 4 * 1024;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn t86_a_full_lane_leaves_room_in_the_others() {
        let mut lanes = Lanes::new(2);
        let is_known = |asker: &str| asker.starts_with("host");
        let mut held = Vec::new();
        while let Some(ticket) = lanes.enter(Some("stranger"), is_known, 100_000) {
            held.push(ticket);
        }
        assert!(lanes.enter(Some("another stranger"), is_known, 100_000).is_none());
        assert!(lanes.known.is_empty(), "strangers make no lanes");
        while let Some(ticket) = lanes.enter(Some("host one"), is_known, 100_000) {
            held.push(ticket);
        }
        let other = lanes.enter(Some("host two"), is_known, 100_000).unwrap();
        assert!(other.turn().await.is_some());
        // However many lanes there are, what waits is bounded.
        for host in 0..100 {
            held.extend(lanes.enter(Some(&format!("host {host}")), is_known, 1_000_000));
        }
        assert!(held.len() * 100_000 < 2 * ROOM);
        assert!(lanes.enter(Some("host 101"), is_known, 1_000_000).is_none());
        held.clear();
        assert!(lanes.enter(Some("stranger"), is_known, 100_000).is_some());
    }
}
