//! Compiled state of the templates folder.

use std::path::Path;

use postroom_core::{bounds, check_locale};
use serde_json::{Map, Value};
use tera::Context;

use super::{
    LoadError, RenderError, TemplateInfo,
    catalog::{Catalog, Choice, is_visible_to},
    engine::Engine,
    headers::HeaderFiles,
    meter::{self, RenderLimits},
    source,
    usage::{NamesInUse, Usage},
    variables::Variables,
};
use crate::{Rendered, html::text_of_html, rendered::one_line};

/// Compiled templates.
#[derive(Debug)]
pub(super) struct Library {
    catalog: Catalog,
    headers: HeaderFiles,
    usage: Usage,
    engine: Engine,
}

/// Stack for compiling, in bytes: tera parses files recursively.
const STACK: usize = 64 << 20;

impl Library {
    pub(super) fn load(folder: &Path) -> Result<Self, LoadError> {
        let folder = folder.to_owned();
        let loading = std::thread::Builder::new().stack_size(STACK).spawn(move || Self::read(&folder));
        let loading = loading.map_err(|error| LoadError::unreadable("templates", error))?;
        loading.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    fn read(folder: &Path) -> Result<Self, LoadError> {
        let mut sources = source::read(folder)?;
        let catalog = Catalog::of(&sources)?;
        let usage = Usage::of(&sources);
        let headers = HeaderFiles::take_from(&mut sources)?;
        let engine = Engine::of(sources).map_err(|error| headers.located(error))?;
        Ok(Self { catalog, headers, usage, engine })
    }

    /// Returns the names in the files of a template, in all languages, and in the shared files.
    pub(super) fn names_in_use(&self, name: &str) -> Option<NamesInUse> {
        self.catalog.get(name).map(|_| self.usage.within(|file| is_visible_to(file, name)))
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.catalog.names()
    }

    pub(super) fn warnings(&self) -> &[String] {
        self.engine.warnings()
    }

    pub(super) fn describe(&self, name: &str) -> Option<TemplateInfo> {
        self.catalog.get(name).map(|entry| entry.info().clone())
    }

    /// Renders a template; `subject` replaces the template's subject.
    pub(super) fn render(
        &self,
        limits: RenderLimits,
        name: &str,
        variables: &Variables,
        locale: Option<&str>,
        subject: Option<&str>,
    ) -> Result<Rendered, RenderError> {
        let Choice { subject: subject_file, html, text, headers } = self.choose(name, locale)?;
        self.fits(name, variables)?;
        meter::within(limits, self.engine.parts(), || {
            let render = |file: &str| self.engine.render(name, file, variables.context());
            let subject = match subject {
                Some(subject) => one_line(subject),
                None => self.subject(name, subject_file, variables.context())?,
            };
            let html = html.map(render).transpose()?;
            let text = match text {
                Some(text) => render(text)?,
                None => html.as_deref().map(text_of_html).unwrap_or_default(),
            };
            let headers = self.headers(name, headers, variables)?;
            Ok(Rendered { subject, html, text, headers })
        })
    }

    /// Size of the rendered bodies and headers, in bytes. Returns `None` if the text is generated
    /// from the HTML.
    pub(super) fn measure(
        &self,
        limits: RenderLimits,
        name: &str,
        variables: &Variables,
        locale: Option<&str>,
        has_subject: bool,
    ) -> Result<Option<usize>, RenderError> {
        let Choice { subject, html, text, headers } = self.choose(name, locale)?;
        let Some(text) = text else { return Ok(None) };
        self.fits(name, variables)?;
        meter::within(limits, self.engine.parts(), || {
            let measure = |file: &str| self.engine.measure(name, file, variables.context());
            if !has_subject {
                self.subject(name, subject, variables.context())?;
            }
            let html = html.map(measure).transpose()?.unwrap_or(0);
            let headers = self.headers(name, headers, variables)?;
            Ok(Some(html + measure(text)? + room_of(&headers)))
        })
    }

    fn fits(&self, name: &str, variables: &Variables) -> Result<(), RenderError> {
        variables.fit(self.engine.parts()).map_err(|problem| RenderError::of_variables(name, problem))
    }

    fn headers(
        &self,
        name: &str,
        file: Option<&str>,
        variables: &Variables,
    ) -> Result<Map<String, Value>, RenderError> {
        file.map_or_else(|| Ok(Map::new()), |file| self.headers.render(name, file, &self.engine, variables))
    }

    /// Renders the subject as one line, within its length limit.
    fn subject(&self, name: &str, file: &str, context: &Context) -> Result<String, RenderError> {
        let subject = one_line(&self.engine.render(name, file, context)?);
        if subject.len() > bounds::SUBJECT {
            return Err(RenderError::long_subject(name, file, subject.len()));
        }
        Ok(subject)
    }

    fn choose(&self, name: &str, locale: Option<&str>) -> Result<Choice<'_>, RenderError> {
        if let Some(problem) = locale.and_then(|locale| check_locale(locale).err()) {
            return Err(RenderError::of_variables(name, problem.to_string()));
        }
        let entry = self.catalog.get(name);
        entry.and_then(|entry| entry.choose(locale)).ok_or_else(|| RenderError::missing(name, &self.names()))
    }
}

/// Size of headers, counted as bytes of a body: those grow less when they are encoded.
fn room_of(headers: &Map<String, Value>) -> usize {
    headers.iter().map(|(name, value)| 2 * (16 + name.len() + value.as_str().map_or(0, str::len))).sum()
}
