//! Main loop: runs a pass whenever something is due, retries during outages, and reloads settings.

use std::time::Duration;

use postroom_core::{InvalidInput, Outage, Result, Settings, Shutdown, store::RunId};
use tokio::{signal::unix::Signal, time::Instant};

use crate::{Beat, BeatReport, mail_check::warn_about_mails};

const RETRY_EVERY: Duration = Duration::from_secs(1);

/// A beat with its loop.
pub(crate) struct BeatLoop<L> {
    beat: Beat,
    outage: Outage,
    load: L,
    /// Redis run that has the file's schedules; another run may have lost them.
    adopted: Option<RunId>,
}

impl<L: Fn() -> Result<Settings, InvalidInput>> BeatLoop<L> {
    pub(crate) fn new(beat: Beat, outage: Outage, load: L) -> Self {
        Self { beat, outage, load, adopted: None }
    }

    /// Runs until shutdown is requested, then stops at once. Other beats complete unfinished work.
    pub(crate) async fn run(mut self, mut hang_up: Signal, shutdown: Shutdown) {
        let mut next = Instant::now();
        loop {
            let pass = async {
                tokio::time::sleep_until(next).await;
                self.pass().await
            };
            tokio::select! {
                () = shutdown.requested() => return,
                Some(()) = hang_up.recv() => {
                    self.reload();
                    next = Instant::now();
                }
                at = pass => next = at,
            }
        }
    }

    /// Runs a pass and returns the time of the next one.
    async fn pass(&mut self) -> Instant {
        match self.try_pass().await {
            Ok(report) => {
                self.outage.end();
                report.next
            }
            Err(error) => {
                self.outage.note(&error);
                Instant::now() + RETRY_EVERY
            }
        }
    }

    async fn try_pass(&mut self) -> Result<BeatReport> {
        let run = self.beat.redis_run().await?;
        if self.adopted.as_ref() != Some(&run) {
            self.beat.adopt().await?;
            self.adopted = Some(run);
        }
        self.beat.run_once().await
    }

    fn reload(&mut self) {
        match (self.load)() {
            Ok(settings) => {
                tracing::info!(schedules = settings.schedules.len(), "settings reloaded");
                warn_about_mails(&settings);
                self.beat.change(settings);
                self.adopted = None;
            }
            Err(problem) => tracing::error!("the new settings are refused, the old ones stay in effect: {problem}"),
        }
    }
}
