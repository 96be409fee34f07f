//! One state of the folder, compiled.

use std::{
    io::{self, Write},
    path::Path,
};

use serde_json::{Map, Value};
use tera::{Context, Error, Tera};

use super::{
    LoadError, RenderError, TemplateInfo,
    catalog::{Catalog, Choice},
    inline::with_inlined_css,
    source::{self, Sources},
};
use crate::{Rendered, html::text_of_html, rendered::one_line};

/// Templates that can be rendered.
#[derive(Debug)]
pub(super) struct Library {
    catalog: Catalog,
    engine: Engine,
}

/// The files as they are sent, their CSS inlined; and as they were written, so that an error names the author's line.
struct Engine {
    sent: Tera,
    written: Tera,
}

/// Variables made ready for rendering, so that mails that share them need not each do it again; clones share what they hold.
#[derive(Debug, Clone, Default)]
pub struct Variables(Context);

impl Library {
    pub(super) fn load(folder: &Path) -> Result<Self, LoadError> {
        let sources = source::read(folder)?;
        let catalog = Catalog::of(&sources)?;
        let engine = Engine::of(sources)?;
        Ok(Self { catalog, engine })
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.catalog.names()
    }

    pub(super) fn describe(&self, name: &str) -> Option<TemplateInfo> {
        self.catalog.get(name).map(|entry| entry.info().clone())
    }

    pub(super) fn render(
        &self,
        name: &str,
        vars: &Map<String, Value>,
        locale: Option<&str>,
    ) -> Result<Rendered, RenderError> {
        self.render_with_subject(name, Variables::of(vars), locale, None)
    }

    /// Renders with a subject in place of the template's.
    pub(super) fn render_with_subject(
        &self,
        name: &str,
        Variables(context): Variables,
        locale: Option<&str>,
        subject: Option<&str>,
    ) -> Result<Rendered, RenderError> {
        let Choice { subject: subject_file, html, text } = self.choose(name, locale)?;
        let render = |file: &str| self.engine.render(name, file, &context);
        let subject = subject.map_or_else(|| render(subject_file), |subject| Ok(subject.to_owned()))?;
        let html = html.map(render).transpose()?;
        let text = match text {
            Some(text) => render(text)?,
            None => html.as_deref().map(text_of_html).unwrap_or_default(),
        };
        Ok(Rendered { subject: one_line(&subject), html, text })
    }

    /// How many bytes the bodies would have, for less than rendering costs; an error where that would be one. `None` where the text is
    /// made from the HTML, since nothing else tells how long it gets.
    pub(super) fn measure(
        &self,
        name: &str,
        Variables(context): Variables,
        locale: Option<&str>,
        has_subject: bool,
    ) -> Result<Option<usize>, RenderError> {
        let Choice { subject, html, text } = self.choose(name, locale)?;
        let Some(text) = text else { return Ok(None) };
        let measure = |file: &str| self.engine.measure(name, file, &context);
        if !has_subject {
            measure(subject)?;
        }
        let html = html.map(measure).transpose()?.unwrap_or(0);
        Ok(Some(html + measure(text)?))
    }

    fn choose(&self, name: &str, locale: Option<&str>) -> Result<Choice<'_>, RenderError> {
        let entry = self.catalog.get(name);
        entry.and_then(|entry| entry.choose(locale)).ok_or_else(|| RenderError::missing(name, &self.names()))
    }
}

impl Engine {
    fn of(sources: Sources) -> Result<Self, LoadError> {
        let written = compile(&sources)?;
        let sent = compile(&with_inlined_css(sources))?;
        Ok(Self { sent, written })
    }

    fn render(&self, template: &str, file: &str, context: &Context) -> Result<String, RenderError> {
        self.sent.render(file, context).map_err(|error| self.explain(template, file, context, error))
    }

    fn measure(&self, template: &str, file: &str, context: &Context) -> Result<usize, RenderError> {
        let mut meter = Meter(0);
        self.sent.render_to(file, context, &mut meter).map_err(|error| self.explain(template, file, context, error))?;
        Ok(meter.0)
    }

    /// What is wrong, where the author finds it.
    fn explain(&self, template: &str, file: &str, context: &Context, error: Error) -> RenderError {
        let error = self.written.render_to(file, context, io::sink()).err().unwrap_or(error);
        RenderError::of_tera(template, file, &error)
    }
}

/// Counts what is written.
struct Meter(usize);

impl Write for Meter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.written.get_template_names()).finish()
    }
}

/// Names end in `.html` or `.txt`, so tera escapes the right ones.
fn compile(sources: &Sources) -> Result<Tera, LoadError> {
    let mut tera = Tera::default();
    tera.add_raw_templates(sources.iter()).map_err(|error| LoadError::of_tera(&error))?;
    Ok(tera)
}

impl Variables {
    /// These alone.
    #[must_use]
    pub fn of(vars: &Map<String, Value>) -> Self {
        Self::default().and(vars)
    }

    /// With these too, which win.
    pub(super) fn and(mut self, vars: &Map<String, Value>) -> Self {
        for (name, value) in vars {
            self.0.insert(name.clone(), value);
        }
        self
    }
}
