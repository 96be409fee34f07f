//! The process from start to end.

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use postroom_core::{Error, Outage, Shutdown, Store, health::serve_health, settings::Settings};
use tracing::{info, warn};

use crate::{claimer::Claimer, duties, office::Office};

/// Runs a worker until it is told to stop.
pub async fn run(settings: Settings, shutdown: Shutdown) -> anyhow::Result<()> {
    // A second call finds the provider installed, which is as well.
    drop(rustls::crypto::ring::default_provider().install_default());
    check_transports(&settings)?;
    settings.warnings().iter().for_each(|warning| warn!("{warning}"));
    settings.redis.warn();
    let outage = Outage::default();
    serve_health(&settings, &outage).await?;
    let store = tokio::select! {
        () = shutdown.requested() => return Ok(()),
        store = Store::connect_with_retry(&settings.redis, &outage) => store.context("connecting to Redis")?,
    };
    let office = Arc::new(Office::open(store, settings, outage)?);
    let info = duties::introduction(&office);
    // A right that is missing in Redis is a wrong setting; an outage is waited out.
    if let Err(error @ Error::Invalid(_)) = office.store.any_run().report_alive(&info).await {
        return Err(error.into());
    }
    greet(&office).await;
    let telling = duties::start(&office, info.clone(), &shutdown);
    Claimer::new(&office).run(&shutdown).await;
    telling.abort();
    // Unsaid, it is forgotten after a while.
    drop(tokio::time::timeout(Duration::from_secs(1), office.store.report_gone(&info.id)).await);
    let goodbye = async {
        for outlet in office.outlets() {
            outlet.transport.close().await;
            // Unsaid, they are given to others after a while.
            let _ = outlet.leave_seats(&office).await;
        }
    };
    // Servers that do not answer are left without one.
    drop(tokio::time::timeout(Duration::from_secs(2), goodbye).await);
    info!("stopped");
    Ok(())
}

/// Wrong settings are told before Redis is asked for anything.
fn check_transports(settings: &Settings) -> anyhow::Result<()> {
    for (queue, _) in &settings.serve {
        settings.transports_of(queue)?;
    }
    Ok(())
}

/// Says what this worker serves and by what, and what about the server endangers mail.
async fn greet(office: &Office) {
    let queues: Vec<String> = office.queues().iter().map(ToString::to_string).collect();
    let transports: Vec<&str> = office.outlets().iter().map(|outlet| outlet.transport.name()).collect();
    info!(
        "worker {} serves {} by {}, {} mails at a time",
        office.id,
        queues.join(", "),
        transports.join(", "),
        office.settings.concurrency.max
    );
    if office.templates.names().is_empty() {
        info!(
            "there are no templates in {}: only mail without a template can be sent",
            office.templates.folder().display()
        );
    }
    let _ = office.outage.watch(office.store.register_queues(&office.queues()).await);
    office.store.warn_about_server().await;
}
