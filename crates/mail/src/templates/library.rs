//! Compiled state of the templates folder.

use std::{io, path::Path};

use postroom_core::{bounds, check_locale};
use tera::{Context, Error, Tera};

use super::{
    LoadError, RenderError, TemplateInfo,
    catalog::{Catalog, Choice},
    functions,
    inline::{Inlined, with_inlined_css},
    meter::{self, LimitedWriter, RenderLimits},
    metered::with_meters,
    nesting,
    source::{self, TemplateSources},
    variables::Variables,
};
use crate::{Rendered, html::text_of_html, rendered::one_line};

/// Compiled templates.
#[derive(Debug)]
pub(super) struct Library {
    catalog: Catalog,
    engine: Engine,
}

/// Compiled files. Mails are rendered from `sent`, which has inlined CSS and limit checks.
/// `written` is the original source, so that an error names the author's line.
struct Engine {
    sent: Tera,
    written: Tera,
    /// Number of values in the longest expression.
    parts: usize,
    warnings: Vec<String>,
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
        let sources = source::read(folder)?;
        let catalog = Catalog::of(&sources)?;
        let engine = Engine::of(&sources)?;
        Ok(Self { catalog, engine })
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.catalog.names()
    }

    pub(super) fn warnings(&self) -> &[String] {
        &self.engine.warnings
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
        let Choice { subject: subject_file, html, text } = self.choose(name, locale)?;
        self.fits(name, variables)?;
        meter::within(limits, self.engine.parts, || {
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
            Ok(Rendered { subject, html, text })
        })
    }

    /// Size of the rendered bodies, in bytes. Returns `None` if the text is generated from the
    /// HTML.
    pub(super) fn measure(
        &self,
        limits: RenderLimits,
        name: &str,
        variables: &Variables,
        locale: Option<&str>,
        has_subject: bool,
    ) -> Result<Option<usize>, RenderError> {
        let Choice { subject, html, text } = self.choose(name, locale)?;
        let Some(text) = text else { return Ok(None) };
        self.fits(name, variables)?;
        meter::within(limits, self.engine.parts, || {
            let measure = |file: &str| self.engine.measure(name, file, variables.context());
            if !has_subject {
                self.subject(name, subject, variables.context())?;
            }
            let html = html.map(measure).transpose()?.unwrap_or(0);
            Ok(Some(html + measure(text)?))
        })
    }

    fn fits(&self, name: &str, variables: &Variables) -> Result<(), RenderError> {
        variables.fit(self.engine.parts).map_err(|problem| RenderError::of_variables(name, problem))
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

impl Engine {
    fn of(sources: &TemplateSources) -> Result<Self, LoadError> {
        nesting::check(sources)?;
        // Inlining explains some faults better than tera.
        let Inlined { sources: inlined, warnings } = with_inlined_css(sources)?;
        let written = compile(sources)?;
        let (metered, parts) = with_meters(&inlined);
        Ok(Self { sent: compile(&metered)?, written, parts, warnings })
    }

    fn render(&self, template: &str, file: &str, context: &Context) -> Result<String, RenderError> {
        let mut output = LimitedWriter::to(Vec::with_capacity(4096));
        self.render_to(template, file, context, &mut output)?;
        // tera writes UTF-8.
        Ok(String::from_utf8(output.into_inner()).unwrap_or_default())
    }

    fn measure(&self, template: &str, file: &str, context: &Context) -> Result<usize, RenderError> {
        let mut output = LimitedWriter::to(io::sink());
        self.render_to(template, file, context, &mut output)?;
        Ok(output.len())
    }

    fn render_to(
        &self,
        template: &str,
        file: &str,
        context: &Context,
        output: &mut LimitedWriter<impl io::Write>,
    ) -> Result<(), RenderError> {
        self.sent.render_to(file, context, output).map_err(|error| match meter::exceeded() {
            Some(exceeded) => RenderError::exceeds(template, file, exceeded),
            None => self.explain(template, file, context, error),
        })
    }

    /// Renders the original source to get an error with the author's line.
    fn explain(&self, template: &str, file: &str, context: &Context, error: Error) -> RenderError {
        let error = self.written.render_to(file, context, io::sink()).err().unwrap_or(error);
        RenderError::of_tera(template, file, &error)
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.written.get_template_names()).finish()
    }
}

/// Compiles the sources. File names end in `.html` or `.txt`, by which tera decides on escaping.
fn compile(sources: &TemplateSources) -> Result<Tera, LoadError> {
    let mut tera = Tera::default();
    functions::register(&mut tera);
    tera.add_raw_templates(sources.iter()).map_err(|error| LoadError::of_tera(&error))?;
    Ok(tera)
}
