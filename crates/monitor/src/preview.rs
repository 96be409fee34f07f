//! What a mail says: its own words, or its template's.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use postroom_core::{Mail, QueueName, Store};
use postroom_mail::{Rendered, Templates, Variables, run_blocking};
use tokio::sync::Semaphore;

/// For how long a preview is waited for, within the time that a page has.
const PATIENCE: Duration = Duration::from_secs(3);

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
        let late = |_| Err(format!("it takes more than {} s to render", PATIENCE.as_secs()));
        tokio::time::timeout(PATIENCE, self.render_in_turn(mail)).await.unwrap_or_else(late)
    }

    /// What takes some milliseconds waits for nobody.
    async fn render_in_turn(&self, mail: Mail) -> Result<Rendered, String> {
        let (shelf, mail) = (Arc::clone(&self.shelf), Arc::new(mail));
        let (shelf_of_it, mail_of_it) = (Arc::clone(&shelf), Arc::clone(&mail));
        let quick = run_blocking(move || caught(|| shelf_of_it.render_quickly(&mail_of_it)));
        if let Some(rendered) = quick.await? {
            return rendered;
        }
        // Never closed. The turn is the work's: what was left by its viewer is still at it for a moment.
        let turn = Arc::clone(&self.turn).acquire_owned().await;
        run_blocking(move || {
            let _turn = turn;
            caught(|| shelf.render(&mail))?
        })
        .await
    }
}

fn caught<T>(render: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(render)).map_err(|_| "it can't be rendered: the rendering panicked".to_owned())
}

impl Shelf {
    fn render(&self, mail: &Mail) -> Result<Rendered, String> {
        match mail.template {
            Some(_) => self.templates()?.render_mail(mail).map_err(|error| error.to_string()),
            None => Ok(literal(mail)),
        }
    }

    fn render_quickly(&self, mail: &Mail) -> Option<Result<Rendered, String>> {
        if mail.template.is_none() {
            let is_quick = Rendered::is_literal_quick(mail.text.as_deref(), mail.html.as_deref());
            return is_quick.then(|| Ok(literal(mail)));
        }
        match self.templates() {
            Ok(templates) => {
                let rendered = templates.render_quickly(&Variables::default(), mail)?;
                Some(rendered.map_err(|error| error.to_string()))
            }
            Err(problem) => Some(Err(problem)),
        }
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

fn literal(mail: &Mail) -> Rendered {
    Rendered::literal(mail.subject.as_deref().unwrap_or_default(), mail.text.as_deref(), mail.html.as_deref())
}
