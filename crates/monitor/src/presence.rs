//! Telling that this monitor is alive, which also notices when Redis goes and comes back.

use std::time::Duration;

use postroom_core::{
    Outage, Result, Shutdown,
    store::{ProcessInfo, ProcessKind, WorkerId},
};

use crate::app::App;

const SAY_EVERY: Duration = Duration::from_secs(5);
const RETRY_EVERY: Duration = Duration::from_secs(1);
const FAREWELL_LIMIT: Duration = Duration::from_millis(500);

/// This process in the list of those that are alive.
#[derive(Debug)]
pub(crate) struct Presence {
    app: App,
    info: ProcessInfo,
    outage: Outage,
}

impl Presence {
    pub(crate) fn new(app: App) -> Self {
        let id = WorkerId::generate().to_string();
        let mut info = ProcessInfo::of_this_process(ProcessKind::Monitor, id);
        env!("CARGO_PKG_VERSION").clone_into(&mut info.version);
        Self { app, info, outage: Outage::default() }
    }

    /// Connects, tells every few seconds, and takes its leave when it is asked to stop.
    pub(crate) async fn run(self, shutdown: Shutdown) {
        loop {
            let round = async {
                let told = self.outage.watch(self.say_alive().await);
                tokio::time::sleep(if told.is_ok() { SAY_EVERY } else { RETRY_EVERY }).await;
            };
            tokio::select! {
                () = shutdown.requested() => break,
                () = round => {}
            }
        }
        self.leave().await;
    }

    async fn say_alive(&self) -> Result<()> {
        self.app.link().connect(&self.app.settings().redis).await?.report_alive(&self.info).await
    }

    async fn leave(&self) {
        if let Ok(store) = self.app.store() {
            // Unsaid, it is forgotten after a while.
            let _ = tokio::time::timeout(FAREWELL_LIMIT, store.report_gone(&self.info.id)).await;
        }
    }
}
