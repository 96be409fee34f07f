//! Everything that rendering needs: templates, cached content, and permits for CPU and memory.

mod batch_content;
mod contents;

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::Context;
use postroom_core::{Mailbox, settings::Settings};
use postroom_mail::Templates;
use tracing::{info, warn};

pub(crate) use self::{
    batch_content::{BatchContent, BatchContents},
    contents::{Contents, LARGE_FROM, release_copies},
};
use crate::{
    alerts::{AlertSubject, Alerts},
    permits::CpuLimiter,
};

/// Templates, caches and permits for rendering.
#[derive(Debug)]
pub(crate) struct Rendering {
    pub(crate) templates: Templates,
    pub(crate) batches: BatchContents,
    pub(crate) contents: Contents,
    pub(crate) cpu: CpuLimiter,
    /// Sender of mail that has none.
    pub(crate) sender: Option<Mailbox>,
    /// Maximum size of a message in bytes.
    pub(crate) max_message_size: u64,
    /// Templates that this worker lacks, with the time of the first mail that needed them.
    missing: Mutex<HashMap<String, Instant>>,
}

impl Rendering {
    /// Loads the templates.
    ///
    /// # Errors
    ///
    /// Returns an error if the templates cannot be read.
    pub(crate) fn new(settings: &Settings) -> anyhow::Result<Self> {
        let templates = Templates::load(&settings.templates_dir).context("reading the templates")?;
        log_warnings(&templates);
        Ok(Self {
            templates,
            batches: BatchContents::default(),
            contents: Contents::default(),
            cpu: CpuLimiter::new(),
            sender: settings.sender.clone(),
            max_message_size: settings.max_message_size,
            missing: Mutex::default(),
        })
    }

    /// Returns how long this worker has lacked a template, counted from the first mail that needed
    /// it.
    pub(crate) fn lacks_template(&self, name: &str) -> Duration {
        let mut missing = self.missing.lock().unwrap_or_else(PoisonError::into_inner);
        missing.entry(name.to_owned()).or_insert_with(Instant::now).elapsed()
    }

    /// Reloads the templates if they have changed on disk.
    pub(crate) fn reload_templates(&self, alerts: &Alerts) {
        match self.templates.reload_if_changed() {
            Ok(true) => {
                self.missing.lock().unwrap_or_else(PoisonError::into_inner).clear();
                alerts.clear(&AlertSubject::Templates, "the changed templates are valid");
                info!("reloaded the changed templates");
                log_warnings(&self.templates);
            }
            Ok(false) => {}
            Err(error) => alerts.raise(
                AlertSubject::Templates,
                format!("cannot load the changed templates, the old ones stay in use: {error}"),
            ),
        }
    }
}

fn log_warnings(templates: &Templates) {
    for warning in templates.warnings() {
        warn!("{warning}");
    }
}
