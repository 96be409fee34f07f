//! What batches share, read once and kept for a while.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use postroom_core::{BatchId, Mail, Result, Store};
use postroom_mail::{Variables, run_blocking};

/// Contents at hand at a time; a worker seldom sends more batches at once.
const KEPT: usize = 32;
/// And so many bytes of their variables, but always those of the last one.
const MOST_BYTES: usize = 32 << 20;

/// The shared contents of the batches that are being sent.
#[derive(Debug, Default)]
pub(crate) struct SharedContent(Mutex<HashMap<BatchId, Arc<Shared>>>);

/// What the mails of a batch share.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    /// All but the variables.
    pub(crate) mail: Mail,
    /// The variables, which are the same for each of them and need be made ready only once.
    pub(crate) vars: Variables,
}

impl From<Mail> for Shared {
    fn from(mut mail: Mail) -> Self {
        let vars = Variables::of(&std::mem::take(&mut mail.vars));
        Self { mail, vars }
    }
}

impl SharedContent {
    /// What the batch's mails share; `None` when the batch is gone.
    pub(crate) async fn of(&self, store: &Store, batch: &BatchId) -> Result<Option<Arc<Shared>>> {
        if let Some(known) = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(batch) {
            return Ok(Some(Arc::clone(known)));
        }
        let Some(mail) = store.batch_content(batch).await? else { return Ok(None) };
        let shared = match Variables::default().are_few_with(&mail.vars) {
            true => Shared::from(mail),
            false => run_blocking(move || Shared::from(mail)).await,
        };
        let shared = Arc::new(shared);
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes: usize = kept.values().chain([&shared]).map(|shared| shared.vars.bytes()).sum();
        if kept.len() >= KEPT || bytes > MOST_BYTES {
            kept.clear();
        }
        kept.insert(batch.clone(), Arc::clone(&shared));
        Ok(Some(shared))
    }
}
