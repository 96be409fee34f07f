//! Templates folder: `<name>/subject.txt`, `body.html`, `body.txt` and `headers.toml`, with a file
//! beside them for each further language.

mod catalog;
mod decimal;
mod engine;
mod error;
mod filters;
mod functions;
mod header_urls;
mod headers;
mod inline;
mod library;
mod meter;
mod metered;
mod names;
mod nesting;
mod source;
mod tag;
mod usage;
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
    headers::HeaderTemplates,
    names::short_name,
    usage::NamesInUse,
    variables::Variables,
};
use self::{library::Library, meter::RenderLimits, source::Stamp};
use crate::Rendered;

/// Minimum time between two checks of the folder by [`Templates::reload_if_changed`].
const CHECK_INTERVAL: Duration = Duration::from_secs(2);

/// All templates of a folder, compiled once and shared by all senders.
#[derive(Debug)]
pub struct Templates {
    folder: PathBuf,
    current: RwLock<Arc<Library>>,
    last_check: Mutex<LastCheck>,
}

/// State of the folder at the last check.
#[derive(Debug)]
struct LastCheck {
    at: Instant,
    stamp: Stamp,
}

impl Templates {
    /// Reads and compiles a folder. A folder that does not exist holds no templates.
    ///
    /// # Errors
    ///
    /// Returns an error that names the first file that can't be read or parsed.
    pub fn load(folder: impl Into<PathBuf>) -> Result<Self, LoadError> {
        let folder = folder.into();
        let stamp = Stamp::of(&folder)?;
        let library = Library::load(&folder)?;
        let last_check = LastCheck { at: Instant::now(), stamp };
        Ok(Self { folder, current: RwLock::new(Arc::new(library)), last_check: Mutex::new(last_check) })
    }

    /// Path of the folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Names of all templates, sorted.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.library().names()
    }

    /// Returns warnings for authors of templates, with file and line: CSS that is not inlined, or
    /// that no longer has an effect.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        self.library().warnings().to_vec()
    }

    /// Languages and files of a template, if it exists.
    #[must_use]
    pub fn describe(&self, name: &str) -> Option<TemplateInfo> {
        self.library().describe(name)
    }

    /// Names in the files of a template, in all languages, and in the shared files.
    #[must_use]
    pub fn names_in_use(&self, name: &str) -> Option<NamesInUse> {
        self.library().names_in_use(name)
    }

    /// Short hash of the files of a template and all shared files; changes whenever its output may
    /// change.
    #[must_use]
    pub fn hash(&self, name: &str) -> Option<String> {
        self.describe(name).map(|info| info.hash)
    }

    /// Renders a template in the best matching language: `pl-PL`, then `pl`, then the default
    /// language.
    ///
    /// # Errors
    ///
    /// Returns an error if the template does not exist, fails to render or exceeds a limit.
    pub fn render(&self, name: &str, vars: &Map<String, Value>, locale: Option<&str>) -> Result<Rendered, RenderError> {
        self.library().render(meter::MOST, name, &Variables::of(vars), locale, None)
    }

    /// Renders the template of a mail, or returns its literal content if it has no template.
    /// Workers and previews both use this function.
    ///
    /// # Errors
    ///
    /// See [`Templates::render`].
    pub fn render_mail(&self, mail: &Mail) -> Result<Rendered, RenderError> {
        self.render_mail_over(&Variables::default(), mail)
    }

    /// Renders like [`Templates::render_mail`]; the variables of the mail override the shared ones.
    pub fn render_mail_over(&self, shared: &Variables, mail: &Mail) -> Result<Rendered, RenderError> {
        self.render_within(meter::MOST, shared.clone().and(&mail.vars), mail)
    }

    /// Renders within 10 ms and little memory. Returns `None` if rendering exceeds that, or
    /// probably would.
    pub fn render_quickly(&self, shared: &Variables, mail: &Mail) -> Option<Result<Rendered, RenderError>> {
        if mail.template.is_none() {
            let is_quick = Rendered::is_literal_quick(mail.text.as_deref(), mail.html.as_deref());
            return is_quick.then(|| self.render_mail(mail));
        }
        if !shared.are_few_with(&mail.vars) {
            return None;
        }
        let rendered = self.render_within(meter::QUICK, shared.clone().and(&mail.vars), mail);
        Some(rendered).filter(|rendered| !rendered.as_ref().is_err_and(RenderError::is_limit))
    }

    fn render_within(&self, limits: RenderLimits, variables: Variables, mail: &Mail) -> Result<Rendered, RenderError> {
        let subject = mail.subject.as_deref();
        let Some(template) = &mail.template else {
            return Ok(Rendered::literal(subject.unwrap_or_default(), mail.text.as_deref(), mail.html.as_deref()));
        };
        let variables = variables.with_fields(mail);
        let rendered = self.library().render(limits, template, &variables, mail.locale.as_deref(), subject);
        rendered.map_err(|error| error.about_address(mail.to.len()))
    }

    /// Size of the rendered bodies and headers of a mail, in bytes. This is faster than rendering,
    /// since no output is stored. Returns `None` if the text is generated from the HTML or the mail
    /// has no template.
    ///
    /// # Errors
    ///
    /// Returns an error in the cases in which rendering returns one.
    pub fn measure_mail(&self, mail: &Mail) -> Result<Option<usize>, RenderError> {
        self.measure_mail_over(&Variables::default(), mail)
    }

    /// Measures like [`Templates::measure_mail`]; the variables of the mail override the shared
    /// ones.
    pub fn measure_mail_over(&self, shared: &Variables, mail: &Mail) -> Result<Option<usize>, RenderError> {
        self.measure_within(meter::MOST, shared.clone().and(&mail.vars), mail)
    }

    /// Measures within 10 ms. Returns `None` if measuring exceeds that, or probably would.
    pub fn measure_quickly(&self, shared: &Variables, mail: &Mail) -> Option<Result<Option<usize>, RenderError>> {
        if !shared.are_few_with(&mail.vars) {
            return None;
        }
        let measured = self.measure_within(meter::QUICK, shared.clone().and(&mail.vars), mail);
        Some(measured).filter(|measured| !measured.as_ref().is_err_and(RenderError::is_limit))
    }

    fn measure_within(
        &self,
        limits: RenderLimits,
        variables: Variables,
        mail: &Mail,
    ) -> Result<Option<usize>, RenderError> {
        let Some(template) = &mail.template else { return Ok(None) };
        let variables = variables.with_fields(mail);
        let measured =
            self.library().measure(limits, template, &variables, mail.locale.as_deref(), mail.subject.is_some());
        measured.map_err(|error| error.about_address(mail.to.len()))
    }

    /// Reloads the folder if a file in it changed; checks at most once every two seconds. Returns
    /// true if the templates were reloaded.
    ///
    /// # Errors
    ///
    /// Returns an error, once for each change, if the new state can't be loaded. The previous state
    /// stays in use.
    pub fn reload_if_changed(&self) -> Result<bool, LoadError> {
        let mut last_check = self.last_check.lock().unwrap_or_else(PoisonError::into_inner);
        if last_check.at.elapsed() < CHECK_INTERVAL {
            return Ok(false);
        }
        last_check.at = Instant::now();
        let stamp = Stamp::of(&self.folder)?;
        if stamp == last_check.stamp {
            return Ok(false);
        }
        last_check.stamp = stamp;
        self.reload()?;
        Ok(true)
    }

    /// Reloads the folder unconditionally.
    ///
    /// # Errors
    ///
    /// Returns an error if the new state can't be loaded. The previous state stays in use.
    pub fn reload(&self) -> Result<(), LoadError> {
        let library = Arc::new(Library::load(&self.folder)?);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = library;
        Ok(())
    }

    fn library(&self) -> Arc<Library> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }
}
