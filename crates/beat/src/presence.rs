//! Telling that this beat is alive.

use std::time::Duration;

use postroom_core::{
    Error, Result, Shutdown, Store,
    store::{ProcessInfo, ProcessKind, WorkerId},
};

const SAY_EVERY: Duration = Duration::from_secs(5);
const FAREWELL_LIMIT: Duration = Duration::from_millis(500);

/// This process in the list of those that are alive.
#[derive(Debug)]
pub(crate) struct Presence {
    store: Store,
    info: ProcessInfo,
}

impl Presence {
    pub(crate) fn new(store: Store) -> Self {
        let mut info = ProcessInfo::of_this_process(ProcessKind::Beat, WorkerId::generate().to_string());
        env!("CARGO_PKG_VERSION").clone_into(&mut info.version);
        Self { store, info }
    }

    /// Tells it once.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] where the user of Redis lacks a right. An outage is waited out.
    pub(crate) async fn check_rights(&self) -> Result<()> {
        match self.store.report_alive(&self.info).await {
            Err(error @ Error::Invalid(_)) => Err(error),
            _ => Ok(()),
        }
    }

    /// Tells every few seconds, and takes its leave when it is asked to stop.
    pub(crate) async fn run(self, shutdown: Shutdown) {
        loop {
            tokio::select! {
                () = shutdown.requested() => break,
                () = self.round() => {}
            }
        }
        // Unsaid, it is forgotten after a while.
        let _ = tokio::time::timeout(FAREWELL_LIMIT, self.store.report_gone(&self.info.id)).await;
    }

    async fn round(&self) {
        if let Err(error) = self.store.report_alive(&self.info).await {
            // The clock says so where people look.
            tracing::debug!("can't tell that this beat is alive: {error}");
        }
        tokio::time::sleep(SAY_EVERY).await;
    }
}
