//! Regular reports of a process that has no state to show besides being alive.

use std::time::Duration;

use super::processes::{ProcessInfo, ProcessKind};
use crate::{Error, Result, Shutdown, WorkerId, store::connection::LazyStore};

/// Maximum time to remove the process from the list at its end. Otherwise it expires there.
const REMOVE_LIMIT: Duration = Duration::from_millis(500);

/// Reports regularly that this process is alive.
#[derive(Debug)]
pub struct Heartbeat {
    store: LazyStore,
    info: ProcessInfo,
}

impl Heartbeat {
    /// Time between two reports.
    pub const INTERVAL: Duration = Duration::from_secs(5);

    /// Creates the heartbeat of this process, whose version is `version`.
    #[must_use]
    pub fn new(store: LazyStore, kind: ProcessKind, version: &str) -> Self {
        let mut info = ProcessInfo::of_this_process(kind, WorkerId::generate().to_string());
        version.clone_into(&mut info.version);
        Self { store, info }
    }

    /// Sends one report to check the rights in Redis. Other errors are ignored.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the Redis user lacks a right.
    pub async fn check_rights(&self) -> Result<()> {
        match self.report().await {
            Err(error @ Error::Invalid(_)) => Err(error),
            _ => Ok(()),
        }
    }

    /// Sends reports until the shutdown and then removes the process from the list.
    ///
    /// `pause_after` receives the result of each report and returns the time until the next one.
    pub async fn run(self, shutdown: Shutdown, mut pause_after: impl FnMut(Result<()>) -> Duration) {
        loop {
            let round = async {
                let result = self.report().await;
                tokio::time::sleep(pause_after(result)).await;
            };
            tokio::select! {
                () = shutdown.requested() => break,
                () = round => {}
            }
        }
        if let Ok(store) = self.store.get() {
            let _ = tokio::time::timeout(REMOVE_LIMIT, store.report_gone(&self.info.id)).await;
        }
    }

    async fn report(&self) -> Result<()> {
        self.store.connect().await?.report_alive(&self.info).await
    }
}
