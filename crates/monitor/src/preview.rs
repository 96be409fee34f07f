//! Previews of mails: their own content, or the rendered template.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use postroom_core::{Mail, QueueName, Store};
use postroom_mail::{Rendered, Templates, Variables, run_blocking};
use tokio::sync::Semaphore;

/// Time limit of a preview, within that of a page.
const RENDER_LIMIT: Duration = Duration::from_secs(3);

/// Templates, loaded with the first preview: the monitor may run where there are none.
#[derive(Debug)]
pub(crate) struct Previews {
    cache: Arc<TemplateCache>,
    /// Permit of slow renderings, one at a time, because each may need much memory.
    permit: Arc<Semaphore>,
}

#[derive(Debug)]
struct TemplateCache {
    folder: PathBuf,
    templates: Mutex<Option<Arc<Templates>>>,
}

impl Previews {
    pub(crate) fn new(folder: PathBuf) -> Self {
        let cache = Arc::new(TemplateCache { folder, templates: Mutex::new(None) });
        Self { cache, permit: Arc::new(Semaphore::new(1)) }
    }

    /// Renders a mail as a worker with these templates would. Dropping the future cancels the
    /// preview.
    ///
    /// # Errors
    /// Returns the reason if the mail can't be rendered here.
    pub(crate) async fn render(&self, store: &Store, queue: &QueueName, mut mail: Mail) -> Result<Rendered, String> {
        // A preview does not need attachments.
        mail.attachments.clear();
        let filled = mail.fill(|hash| store.content(queue, hash)).await;
        if let Some(what) = filled.map_err(|error| error.to_string())? {
            return Err(format!("its {what} was stored separately and has been deleted"));
        }
        let late = |_| Err(format!("rendering takes more than {} s", RENDER_LIMIT.as_secs()));
        tokio::time::timeout(RENDER_LIMIT, self.render_limited(mail)).await.unwrap_or_else(late)
    }

    /// Renders at once if that takes only some milliseconds, otherwise with the permit.
    async fn render_limited(&self, mail: Mail) -> Result<Rendered, String> {
        let (cache, mail) = (Arc::clone(&self.cache), Arc::new(mail));
        let (quick_cache, quick_mail) = (Arc::clone(&cache), Arc::clone(&mail));
        let quick = run_blocking(move || caught(|| quick_cache.render_quickly(&quick_mail)));
        if let Some(rendered) = quick.await? {
            return rendered;
        }
        // The semaphore is never closed. The thread owns the permit, because it continues for a
        // moment after the viewer left.
        let permit = Arc::clone(&self.permit).acquire_owned().await;
        run_blocking(move || {
            let _permit = permit;
            caught(|| cache.render(&mail))?
        })
        .await
    }
}

fn caught<T>(render: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(render)).map_err(|_| "the mail can't be rendered: rendering panicked".to_owned())
}

impl TemplateCache {
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
        let mut loaded = self.templates.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(templates) = &*loaded {
            if let Err(error) = templates.reload_if_changed() {
                tracing::warn!("templates can't be reloaded, the loaded ones stay in use: {error}");
            }
            return Ok(Arc::clone(templates));
        }
        let templates = Arc::new(Templates::load(&self.folder).map_err(|error| error.to_string())?);
        *loaded = Some(Arc::clone(&templates));
        Ok(templates)
    }
}

fn literal(mail: &Mail) -> Rendered {
    Rendered::literal(mail.subject.as_deref().unwrap_or_default(), mail.text.as_deref(), mail.html.as_deref())
}
