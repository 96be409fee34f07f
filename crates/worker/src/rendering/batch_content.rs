//! Cache of the content that the mails of a batch share.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use postroom_core::{BatchId, Mail, Result, Store};
use postroom_mail::{Variables, run_blocking};

/// Maximum number of cached contents; a worker seldom sends more batches at once.
const MAX_CONTENTS: usize = 32;
/// Maximum size of their variables in bytes; those of the last content are always cached.
const MAX_BYTES: usize = 32 << 20;

/// Shared contents of the batches that are being sent.
#[derive(Debug, Default)]
pub(crate) struct BatchContents(Mutex<HashMap<BatchId, Arc<BatchContent>>>);

/// Content that the mails of a batch share.
#[derive(Debug, Default)]
pub(crate) struct BatchContent {
    /// Everything except the variables.
    pub(crate) mail: Mail,
    /// The shared variables, prepared for rendering once.
    pub(crate) vars: Variables,
}

impl From<Mail> for BatchContent {
    fn from(mut mail: Mail) -> Self {
        let vars = Variables::of(&std::mem::take(&mut mail.vars));
        Self { mail, vars }
    }
}

impl BatchContents {
    /// Returns the shared content of a batch; `None` if the batch is gone.
    pub(crate) async fn of(&self, store: &Store, batch: &BatchId) -> Result<Option<Arc<BatchContent>>> {
        if let Some(cached) = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(batch) {
            return Ok(Some(Arc::clone(cached)));
        }
        let Some(mail) = store.batch_content(batch).await? else { return Ok(None) };
        let shared = match Variables::default().are_few_with(&mail.vars) {
            true => BatchContent::from(mail),
            false => run_blocking(move || BatchContent::from(mail)).await,
        };
        let shared = Arc::new(shared);
        let mut cached = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes: usize = cached.values().chain([&shared]).map(|shared| shared.vars.bytes()).sum();
        if cached.len() >= MAX_CONTENTS || bytes > MAX_BYTES {
            cached.clear();
        }
        cached.insert(batch.clone(), Arc::clone(&shared));
        Ok(Some(shared))
    }
}
