//! The templates folder: `<name>/subject.txt`, `body.html`, `body.txt`, each with its languages beside it.

mod catalog;
mod error;
mod functions;
mod inline;
mod library;
mod meter;
mod metered;
mod nesting;
mod shield;
mod source;
mod tag;
mod variables;

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::{Duration, Instant},
};

use postroom_core::Mail;
use serde_json::{Map, Value};

pub use self::{
    catalog::TemplateInfo,
    error::{LoadError, RenderError},
    variables::Variables,
};
use self::{library::Library, meter::Limits, source::Stamp};
use crate::Rendered;

/// How often the folder is looked at, however often [`Templates::reload_if_changed`] is called.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// All templates of a folder, compiled once and shared by all senders.
#[derive(Debug)]
pub struct Templates {
    folder: PathBuf,
    current: RwLock<Arc<Library>>,
    seen: Mutex<Seen>,
}

/// What the folder looked like, and when.
#[derive(Debug)]
struct Seen {
    at: Instant,
    stamp: Stamp,
}

impl Templates {
    /// Reads and compiles a folder; one that does not exist holds no templates. One file that can't be read or parsed is an
    /// error that names it.
    pub fn load(folder: impl Into<PathBuf>) -> Result<Self, LoadError> {
        let folder = folder.into();
        let stamp = Stamp::of(&folder)?;
        let library = Library::load(&folder)?;
        let seen = Seen { at: Instant::now(), stamp };
        Ok(Self { folder, current: RwLock::new(Arc::new(library)), seen: Mutex::new(seen) })
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The templates' names, sorted.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.library().names()
    }

    /// A template's languages and files, if there is one of that name.
    #[must_use]
    pub fn describe(&self, name: &str) -> Option<TemplateInfo> {
        self.library().describe(name)
    }

    /// A short hash of what a template is made from, shared layouts too; it changes when its output may.
    #[must_use]
    pub fn hash(&self, name: &str) -> Option<String> {
        self.describe(name).map(|info| info.hash)
    }

    /// Renders a template in a language, or the nearest there is: `pl-PL`, then `pl`, then the one without a language.
    pub fn render(&self, name: &str, vars: &Map<String, Value>, locale: Option<&str>) -> Result<Rendered, RenderError> {
        self.library().render(meter::MOST, name, &Variables::of(vars), locale, None)
    }

    /// The words of a mail: of its template, or its own, which are taken as they are. What a worker sends and what a
    /// preview shows both come from here.
    pub fn render_mail(&self, mail: &Mail) -> Result<Rendered, RenderError> {
        self.render_mail_over(&Variables::default(), mail)
    }

    /// The same where the mail's variables lie over others.
    pub fn render_mail_over(&self, shared: &Variables, mail: &Mail) -> Result<Rendered, RenderError> {
        self.render_within(meter::MOST, &shared.clone().and(&mail.vars), mail)
    }

    /// The same in some milliseconds and with little memory; `None` where it takes more, or probably does.
    pub fn render_quickly(&self, shared: &Variables, mail: &Mail) -> Option<Result<Rendered, RenderError>> {
        if mail.template.is_none() {
            let is_quick = Rendered::is_literal_quick(mail.text.as_deref(), mail.html.as_deref());
            return is_quick.then(|| self.render_mail(mail));
        }
        if !shared.are_few_with(&mail.vars) {
            return None;
        }
        let rendered = self.render_within(meter::QUICK, &shared.clone().and(&mail.vars), mail);
        Some(rendered).filter(|rendered| !rendered.as_ref().is_err_and(RenderError::is_limit))
    }

    fn render_within(&self, limits: Limits, variables: &Variables, mail: &Mail) -> Result<Rendered, RenderError> {
        let subject = mail.subject.as_deref();
        let Some(template) = &mail.template else {
            return Ok(Rendered::literal(subject.unwrap_or_default(), mail.text.as_deref(), mail.html.as_deref()));
        };
        self.library().render(limits, template, variables, mail.locale.as_deref(), subject)
    }

    /// How many bytes the bodies of a mail would have once rendered, in less time than rendering takes, since nothing is kept; an error where
    /// rendering would be one. `None` where only rendering tells: the text is made from the HTML, or there is no template.
    pub fn measure_mail(&self, mail: &Mail) -> Result<Option<usize>, RenderError> {
        self.measure_mail_over(&Variables::default(), mail)
    }

    /// The same where the mail's variables lie over others.
    pub fn measure_mail_over(&self, shared: &Variables, mail: &Mail) -> Result<Option<usize>, RenderError> {
        self.measure_within(meter::MOST, &shared.clone().and(&mail.vars), mail)
    }

    /// The same in some milliseconds; `None` where it takes more, or probably does.
    pub fn measure_quickly(&self, shared: &Variables, mail: &Mail) -> Option<Result<Option<usize>, RenderError>> {
        if !shared.are_few_with(&mail.vars) {
            return None;
        }
        let measured = self.measure_within(meter::QUICK, &shared.clone().and(&mail.vars), mail);
        Some(measured).filter(|measured| !measured.as_ref().is_err_and(RenderError::is_limit))
    }

    fn measure_within(&self, limits: Limits, variables: &Variables, mail: &Mail) -> Result<Option<usize>, RenderError> {
        let Some(template) = &mail.template else { return Ok(None) };
        self.library().measure(limits, template, variables, mail.locale.as_deref(), mail.subject.is_some())
    }

    /// Loads the folder again if a file in it changed; looks every two seconds at most. When the new state can't be
    /// loaded, the old one stays in use and the error is returned, once for each change.
    pub fn reload_if_changed(&self) -> Result<bool, LoadError> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.at.elapsed() < LOOK_EVERY {
            return Ok(false);
        }
        seen.at = Instant::now();
        let stamp = Stamp::of(&self.folder)?;
        if stamp == seen.stamp {
            return Ok(false);
        }
        seen.stamp = stamp;
        self.reload()?;
        Ok(true)
    }

    /// Loads the folder again, changed or not; the old state stays in use when that fails.
    pub fn reload(&self) -> Result<(), LoadError> {
        let library = Arc::new(Library::load(&self.folder)?);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = library;
        Ok(())
    }

    fn library(&self) -> Arc<Library> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }
}
