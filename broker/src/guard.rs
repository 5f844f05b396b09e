//! Tasks without which a broker only looks alive: whoever serves learns of the first that fell, and ends the process.
//!
//! What a request does wrong ends with that request and is no business of this; what is done about a fall is left to
//! `transport`.

use std::panic::AssertUnwindSafe;

use futures::FutureExt;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// The tasks of one service.
#[derive(Clone)]
pub(crate) struct Guard {
    fallen: watch::Sender<Option<&'static str>>,
}

impl Guard {
    /// Over no task yet.
    pub(crate) fn new() -> Self {
        Self { fallen: watch::Sender::new(None) }
    }

    /// Starts a task that must not fall. To end, or to be ended, is no fall.
    pub(crate) fn spawn(&self, what: &'static str, task: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
        let guard = self.clone();
        tokio::spawn(async move {
            if AssertUnwindSafe(task).catch_unwind().await.is_err() {
                guard.fell(what);
            }
        })
    }

    /// The first task that falls, whenever that is.
    pub(crate) async fn fallen(&self) -> &'static str {
        let mut fallen = self.fallen.subscribe();
        // INVARIANT: this guard is itself one that could tell, so the wait does not end without a fall.
        fallen.wait_for(Option::is_some).await.ok().and_then(|fallen| *fallen).unwrap_or("a task")
    }

    fn fell(&self, what: &'static str) {
        tracing::error!(what, "a task of the broker fell; what it panicked with stands above");
        self.fallen.send_if_modified(|first| first.replace(first.unwrap_or(what)).is_none());
    }
}

#[cfg(test)]
#[allow(clippy::panic)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_that_falls_is_named_and_an_end_in_order_is_no_fall() {
        let guard = Guard::new();
        assert!(guard.spawn("one that ends", async {}).await.is_ok());
        let stays = guard.spawn("one that is ended", std::future::pending());
        stays.abort();
        assert!(stays.await.is_err());
        assert!(guard.fallen().now_or_never().is_none());
        assert!(guard.spawn("the first", async { panic!("planted") }).await.is_ok());
        assert!(guard.spawn("the second", async { panic!("planted") }).await.is_ok());
        assert_eq!(guard.fallen().await, "the first");
    }
}
