//! What a mail says: its own words, or its template's.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use postroom_core::{Mail, QueueName, Store};
use postroom_mail::{Rendered, Templates, apart};
use tokio::sync::Semaphore;

/// The templates, read when a preview is first asked for: the monitor may run where there are none.
#[derive(Debug)]
pub(crate) struct Previews {
    shelf: Arc<Shelf>,
    /// One at a time, since each may take much memory.
    turn: Arc<Semaphore>,
}

#[derive(Debug)]
struct Shelf {
    folder: PathBuf,
    templates: Mutex<Option<Arc<Templates>>>,
}

impl Previews {
    pub(crate) fn new(folder: PathBuf) -> Self {
        let shelf = Arc::new(Shelf { folder, templates: Mutex::new(None) });
        Self { shelf, turn: Arc::new(Semaphore::new(1)) }
    }

    /// Renders a mail as a worker with these templates would; `Err` tells why that can't be done here. It ends when its viewer
    /// leaves: when the future is dropped.
    pub(crate) async fn render(&self, store: &Store, queue: &QueueName, mut mail: Mail) -> Result<Rendered, String> {
        // Nobody looks into files here.
        mail.attachments.clear();
        let filled = mail.fill(|hash| store.content(queue, hash)).await;
        if let Some(what) = filled.map_err(|error| error.to_string())? {
            return Err(format!("its {what} was large and is not kept any more"));
        }
        let shelf = Arc::clone(&self.shelf);
        // Never closed. The turn is the work's: what was left by its viewer is still at it for a moment.
        let turn = Arc::clone(&self.turn).acquire_owned().await;
        apart(move || {
            let _turn = turn;
            let rendered = catch_unwind(AssertUnwindSafe(|| shelf.render(&mail)));
            rendered.unwrap_or_else(|_| Err("it can't be rendered: the rendering panicked".to_owned()))
        })
        .await
    }
}

impl Shelf {
    fn render(&self, mail: &Mail) -> Result<Rendered, String> {
        if mail.template.is_none() {
            let subject = mail.subject.as_deref().unwrap_or_default();
            return Ok(Rendered::literal(subject, mail.text.as_deref(), mail.html.as_deref()));
        }
        self.templates()?.render_mail(mail).map_err(|error| error.to_string())
    }

    fn templates(&self) -> Result<Arc<Templates>, String> {
        let mut kept = self.templates.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(templates) = &*kept {
            if let Err(error) = templates.reload_if_changed() {
                tracing::warn!("templates are not loaded again: {error}");
            }
            return Ok(Arc::clone(templates));
        }
        let templates = Arc::new(Templates::load(&self.folder).map_err(|error| error.to_string())?);
        *kept = Some(Arc::clone(&templates));
        Ok(templates)
    }
}
