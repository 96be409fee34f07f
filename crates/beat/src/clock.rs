//! The loop: looks whenever something is due, survives Redis being away, takes new settings on the way.

use std::time::Duration;

use postroom_core::{InvalidInput, Outage, Result, Settings, Shutdown, store::RunId};
use tokio::{signal::unix::Signal, time::Instant};

use crate::{Beat, Turn};

const RETRY_EVERY: Duration = Duration::from_secs(1);

/// A beat that goes by itself.
pub(crate) struct Clock<L> {
    beat: Beat,
    outage: Outage,
    load: L,
    /// The run of Redis that knows what the file says: another one may have forgotten.
    adopted: Option<RunId>,
}

impl<L: Fn() -> Result<Settings, InvalidInput>> Clock<L> {
    pub(crate) fn new(beat: Beat, outage: Outage, load: L) -> Self {
        Self { beat, outage, load, adopted: None }
    }

    /// Goes until it is asked to stop, and then stops at once: whatever it leaves undone, another one does.
    pub(crate) async fn run(mut self, mut hang_up: Signal, shutdown: Shutdown) {
        let mut next = Instant::now();
        loop {
            let round = async {
                tokio::time::sleep_until(next).await;
                self.round().await
            };
            tokio::select! {
                () = shutdown.requested() => return,
                Some(()) = hang_up.recv() => {
                    self.reload();
                    next = Instant::now();
                }
                soon = round => next = soon,
            }
        }
    }

    /// Returns when to look again.
    async fn round(&mut self) -> Instant {
        match self.look().await {
            Ok(turn) => {
                self.outage.end();
                turn.next
            }
            Err(error) => {
                self.outage.note(&error);
                Instant::now() + RETRY_EVERY
            }
        }
    }

    async fn look(&mut self) -> Result<Turn> {
        let run = self.beat.run().await?;
        if self.adopted.as_ref() != Some(&run) {
            self.beat.adopt().await?;
            self.adopted = Some(run);
        }
        self.beat.turn().await
    }

    fn reload(&mut self) {
        match (self.load)() {
            Ok(settings) => {
                tracing::info!(schedules = settings.schedules.len(), "the settings were read again");
                self.beat.change(settings);
                self.adopted = None;
            }
            Err(problem) => tracing::error!("the new settings are refused and the old ones stay: {problem}"),
        }
    }
}
