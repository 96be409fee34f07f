//! Compiled template files.

use std::{borrow::Cow, io};

use tera::{Context, Error, ErrorKind, Tera};

use super::{
    LoadError, RenderError, filters, functions,
    header_urls::{is_header_source, with_safe_urls},
    inline::{Inlined, with_inlined_css},
    meter::{self, LimitedWriter},
    metered::with_meters,
    names::with_tera_names,
    nesting,
    source::TemplateSources,
};

/// Compiled files. Mails are rendered from `sent`, which has inlined CSS and limit checks.
/// `written` is the original source, so that an error names the author's line.
pub(super) struct Engine {
    sent: Tera,
    written: Tera,
    /// Sources of `written`.
    sources: TemplateSources,
    /// Number of values in the longest expression.
    parts: usize,
    /// Style sheets that are not inlined, and why.
    warnings: Vec<String>,
}

impl Engine {
    pub(super) fn of(mut sources: TemplateSources) -> Result<Self, LoadError> {
        for source in sources.values_mut() {
            if let Cow::Owned(rewritten) = with_tera_names(source) {
                *source = rewritten;
            }
        }
        nesting::check(&sources)?;
        // Inlining explains some faults better than tera.
        let Inlined { sources: mut inlined, warnings } = with_inlined_css(&sources)?;
        let written = compile(&sources)?;
        for (_, value) in inlined.iter_mut().filter(|(name, _)| is_header_source(name)) {
            *value = with_safe_urls(value);
        }
        let (metered, parts) = with_meters(&inlined);
        Ok(Self { sent: compile(&metered)?, written, sources, parts, warnings })
    }

    /// Number of values in the longest expression.
    pub(super) fn parts(&self) -> usize {
        self.parts
    }

    pub(super) fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Written source of a file.
    pub(super) fn source(&self, file: &str) -> Option<&str> {
        self.sources.get(file).map(String::as_str)
    }

    pub(super) fn render(&self, template: &str, file: &str, context: &Context) -> Result<String, RenderError> {
        let mut output = LimitedWriter::to(Vec::with_capacity(4096));
        self.render_to(template, file, context, &mut output)?;
        // tera writes UTF-8.
        Ok(String::from_utf8(output.into_inner()).unwrap_or_default())
    }

    pub(super) fn measure(&self, template: &str, file: &str, context: &Context) -> Result<usize, RenderError> {
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
        let mut explained = RenderError::of_tera(template, file, &error);
        if let Some(message) = self.undefined(&error, context) {
            explained.message = message;
        }
        explained
    }

    /// Returns the message about an undefined variable, if a filter or a test got one: tera names
    /// it only where it is shown.
    fn undefined(&self, error: &Error, context: &Context) -> Option<String> {
        let ErrorKind::RenderingError(report) = error.kind() else { return None };
        if !report.message().contains("undefined") {
            return None;
        }
        let (source, range) = (self.sources.get(report.filename())?, report.span().range.clone());
        let is_path = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.');
        // The error is about a value, or about the filter behind it.
        let name = match source.get(..range.start)?.trim_end().strip_suffix('|') {
            Some(before) => before.trim_end().rsplit(|c| !is_path(c)).next()?,
            None => source.get(range.start..)?.split(|c| !is_path(c)).next()?,
        };
        let shown = self.written.render_str(&format!("{{{{ {name} }}}}"), context, false).err()?;
        let message = RenderError::of_tera("", "", &shown).message;
        message.contains("is not defined").then_some(message)
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
    filters::register(&mut tera);
    tera.add_raw_templates(sources.iter()).map_err(|error| LoadError::of_tera(&error))?;
    Ok(tera)
}
