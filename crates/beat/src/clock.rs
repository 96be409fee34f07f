//! The loop: looks whenever something is due, survives Redis being away, takes new settings on the way.

use std::time::Duration;

use postroom_core::{InvalidInput, Outage, Result, Settings, Shutdown};
use tokio::{signal::unix::Signal, time::Instant};

use crate::{Beat, Turn};

const RETRY_EVERY: Duration = Duration::from_secs(1);

/// A beat that goes by itself.
pub(crate) struct Clock<L> {
    beat: Beat,
    outage: Outage,
    load: L,
    /// Whether Redis knows what the file says.
    adopted: bool,
}

impl<L: Fn() -> Result<Settings, InvalidInput>> Clock<L> {
    pub(crate) fn new(beat: Beat, outage: Outage, load: L) -> Self {
        Self { beat, outage, load, adopted: false }
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
            Ok(turn) if !self.outage.end() => turn.next,
            Ok(_) => {
                // It may have come back without what it knew.
                self.adopted = false;
                Instant::now()
            }
            Err(error) => {
                self.outage.note(&error);
                Instant::now() + RETRY_EVERY
            }
        }
    }

    async fn look(&mut self) -> Result<Turn> {
        if !self.adopted {
            self.beat.adopt().await?;
            self.adopted = true;
        }
        self.beat.turn().await
    }

    fn reload(&mut self) {
        match (self.load)() {
            Ok(settings) => {
                tracing::info!(schedules = settings.schedules.len(), "the settings were read again");
                self.beat.change(settings);
                self.adopted = false;
            }
            Err(problem) => tracing::error!("the new settings are refused and the old ones stay: {problem}"),
        }
    }
}
