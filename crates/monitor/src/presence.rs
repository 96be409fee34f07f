//! Telling that this monitor is alive, which also notices when Redis goes and comes back.

use std::time::{Duration, Instant};

use postroom_core::{
    Result, Shutdown, format_span,
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
    away_since: Option<Instant>,
}

impl Presence {
    pub(crate) fn new(app: App) -> Self {
        let id = WorkerId::generate().to_string();
        let mut info = ProcessInfo::of_this_process(ProcessKind::Monitor, id);
        env!("CARGO_PKG_VERSION").clone_into(&mut info.version);
        Self { app, info, away_since: None }
    }

    /// Connects, tells every few seconds, and takes its leave when it is asked to stop.
    pub(crate) async fn run(mut self, shutdown: Shutdown) {
        loop {
            let round = async {
                self.tick().await;
                tokio::time::sleep(if self.away_since.is_some() { RETRY_EVERY } else { SAY_EVERY }).await;
            };
            tokio::select! {
                () = shutdown.requested() => break,
                () = round => {}
            }
        }
        self.leave().await;
    }

    async fn tick(&mut self) {
        match self.say_alive().await {
            Ok(()) => self.note_back(),
            Err(error) => self.note_away(&error),
        }
    }

    async fn say_alive(&self) -> Result<()> {
        self.app.link().connect(&self.app.settings().redis).await?.say_alive(&self.info).await
    }

    async fn leave(&self) {
        if let Ok(store) = self.app.store() {
            // Unsaid, it is forgotten after a while.
            let _ = tokio::time::timeout(FAREWELL_LIMIT, store.say_gone(&self.info.id)).await;
        }
    }

    fn note_away(&mut self, error: &postroom_core::Error) {
        if self.away_since.is_none() {
            self.away_since = Some(Instant::now());
            let place = self.app.settings().redis.place();
            tracing::warn!(redis = place, "{error}; trying again every second");
        }
    }

    fn note_back(&mut self) {
        if let Some(since) = self.away_since.take() {
            let gone = Duration::from_secs(since.elapsed().as_secs());
            tracing::info!("Redis is back after {}", format_span(gone));
        }
    }
}
