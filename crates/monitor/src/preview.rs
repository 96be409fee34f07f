//! What a mail says: its own words, or its template's.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use postroom_core::{Mail, QueueName, Store};
use postroom_mail::{Rendered, Templates};

/// The templates, read when a preview is first asked for: the monitor may run where there are none.
#[derive(Debug)]
pub(crate) struct Previews(Arc<Shelf>);

#[derive(Debug)]
struct Shelf {
    folder: PathBuf,
    templates: Mutex<Option<Arc<Templates>>>,
}

impl Previews {
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self(Arc::new(Shelf { folder, templates: Mutex::new(None) }))
    }

    /// Renders a mail as a worker with these templates would; `Err` tells why that can't be done here.
    pub(crate) async fn render(&self, store: &Store, queue: &QueueName, mut mail: Mail) -> Result<Rendered, String> {
        // Nobody looks into files here.
        mail.attachments.clear();
        let filled = mail.fill(|hash| store.content(queue, hash)).await;
        if let Some(what) = filled.map_err(|error| error.to_string())? {
            return Err(format!("its {what} was large and is not kept any more"));
        }
        let shelf = Arc::clone(&self.0);
        let work = tokio::task::spawn_blocking(move || shelf.render(&mail));
        work.await.unwrap_or_else(|error| Err(format!("it can't be rendered: {error}")))
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
