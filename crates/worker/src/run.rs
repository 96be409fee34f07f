//! The process from start to end.

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use postroom_core::{Error, Outage, Shutdown, Store, health::serve_health, settings::Settings};
use tracing::{info, warn};

use crate::{claimer::Claimer, duties, worker::Worker};

/// Runs a worker until shutdown is requested.
///
/// # Errors
///
/// Returns an error if the settings are wrong, or if Redis refuses a command that the worker needs.
pub async fn run(settings: Settings, shutdown: Shutdown) -> anyhow::Result<()> {
    // Fails only if a provider is installed already.
    drop(rustls::crypto::ring::default_provider().install_default());
    check_transports(&settings)?;
    settings.warnings().iter().for_each(|warning| warn!("{warning}"));
    if settings.sender.is_none() {
        warn!("SMTP_MAIL_FROM is not set: mail that names no sender waits for a worker that has one");
    }
    settings.redis.warn();
    let outage = Outage::default();
    serve_health(&settings, &outage).await?;
    let store = tokio::select! {
        () = shutdown.requested() => return Ok(()),
        store = Store::connect_with_retry(&settings.redis, &outage) => store.context("connecting to Redis")?,
    };
    let worker = Arc::new(Worker::new(store, settings, outage)?);
    let info = duties::registration(&worker);
    // A missing right in Redis is a wrong setting and stops the start. An outage is waited out.
    if let Err(error @ Error::Invalid(_)) = worker.redis.store.any_run().report_alive(&info).await {
        return Err(error.into());
    }
    log_start(&worker).await;
    let reporting = duties::start(&worker, info.clone(), &shutdown);
    Claimer::new(&worker).run(&shutdown).await;
    reporting.abort();
    // Without this the entry expires by itself.
    drop(tokio::time::timeout(Duration::from_secs(1), worker.redis.store.report_gone(&info.id)).await);
    let close = async {
        for outlet in worker.transports.outlets() {
            outlet.transport.close().await;
            // Without this Redis releases the permits after a timeout.
            let _ = outlet.connections.release_all().await;
        }
    };
    // Does not wait for servers that do not answer.
    drop(tokio::time::timeout(Duration::from_secs(2), close).await);
    info!("stopped");
    Ok(())
}

/// Checks the transports of all served queues before the first call to Redis.
fn check_transports(settings: &Settings) -> anyhow::Result<()> {
    for (queue, _) in &settings.serve {
        settings.transports_of(queue)?;
    }
    Ok(())
}

/// Logs the served queues, the transports and settings of the Redis server that endanger mail.
async fn log_start(worker: &Worker) {
    let queues: Vec<String> = worker.queues().iter().map(ToString::to_string).collect();
    let transports: Vec<&str> = worker.transports.outlets().iter().map(|outlet| outlet.transport.name()).collect();
    info!(
        "worker {} serves {}; transports: {}; {} mails at a time",
        worker.redis.worker_id,
        queues.join(", "),
        transports.join(", "),
        worker.settings.concurrency.max
    );
    if worker.rendering.templates.names().is_empty() {
        info!(
            "no templates in {}: only mail without a template can be sent",
            worker.rendering.templates.folder().display()
        );
    }
    let _ = worker.redis.watch(worker.redis.store.register_queues(&worker.queues()).await);
    worker.redis.store.warn_about_server().await;
}
