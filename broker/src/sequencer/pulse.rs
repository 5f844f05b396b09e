//! Signs of life: the owner of the state is asked for one every few seconds, and a long silence is told.
//!
//! Nothing is ended because of it, for a disk may be slow and a long log takes its time to be read again.

use std::pin::pin;
use std::time::{Duration, Instant};

use super::input::Input;
use super::{Bench, Sequencer, Unavailable};

// What a watch has to tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sign {
    Silent,
    Back,
}

impl Sequencer {
    /// Watches over it until it is gone.
    pub(crate) async fn watched(self) {
        self.watched_by(EACH, PATIENCE, tell).await;
    }

    async fn watched_by(self, each: Duration, patience: Duration, mut tell: impl FnMut(Sign, Duration) + Send) {
        loop {
            tokio::time::sleep(each).await;
            let (asked, mut was_silent) = (Instant::now(), false);
            let mut sign = pin!(self.ask(Input::Pulse));
            let sign = loop {
                match tokio::time::timeout(patience, &mut sign).await {
                    Ok(sign) => break sign,
                    Err(_) => tell(Sign::Silent, asked.elapsed()),
                }
                was_silent = true;
            };
            if matches!(sign, Err(Unavailable)) {
                return;
            }
            if was_silent {
                tell(Sign::Back, asked.elapsed());
            }
        }
    }
}

impl Bench {
    /// The next input. A sign of life is given on the way: it is no part of a batch, and no batch is sat for it.
    pub(super) async fn receive(&mut self) -> Option<Input> {
        loop {
            match self.queue.recv().await {
                // Whoever asked may be gone.
                Some(Input::Pulse(reply)) => drop(reply.send(())),
                input => return input,
            }
        }
    }

    /// The next input, if there is one by now.
    pub(super) fn try_receive(&mut self) -> Option<Input> {
        loop {
            match self.queue.try_recv().ok()? {
                Input::Pulse(reply) => drop(reply.send(())),
                input => return Some(input),
            }
        }
    }
}

fn tell(sign: Sign, since: Duration) {
    let seconds = since.as_secs();
    match sign {
        Sign::Silent => tracing::error!(
            event = "sequencer_silent",
            seconds,
            "nothing is decided or recorded: a disk that hangs, or a long log that is read again"
        ),
        Sign::Back => tracing::warn!(event = "sequencer_back", seconds, "it is decided and recorded again"),
    }
}

// How often it is asked, and how long its silence is no matter.
const EACH: Duration = Duration::from_secs(5);
const PATIENCE: Duration = Duration::from_secs(30);

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[tokio::test]
    async fn t95_a_sequencer_that_hangs_is_told_again_and_again_and_so_is_its_return() {
        let (inputs, mut queue) = mpsc::channel(1);
        let (told, mut heard) = mpsc::unbounded_channel();
        let tell = move |sign, _| told.send(sign).unwrap();
        let watch = tokio::spawn(Sequencer { inputs }.watched_by(MS, 20 * MS, tell));
        // It takes what is asked, and answers nothing; what hangs there may be the disk.
        let Some(Input::Pulse(reply)) = queue.recv().await else { panic!("a sign is asked for") };
        for _ in 0..3 {
            assert_eq!(heard.recv().await, Some(Sign::Silent));
        }
        reply.send(()).unwrap();
        while let Some(sign) = heard.recv().await {
            if sign == Sign::Back {
                break;
            }
        }
        // One that answers is not spoken of, and nobody watches over one that is gone.
        let Some(Input::Pulse(reply)) = queue.recv().await else { panic!("a sign is asked for") };
        reply.send(()).unwrap();
        drop(queue);
        watch.await.unwrap();
        assert_eq!(heard.recv().await, None);
    }
}
