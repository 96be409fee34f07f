//! Headers made from templates: `headers.toml` of a template, and headers that a bulk renders for
//! each of its mails.
//!
//! Each value is a template. A value that it inserts between `<` and `>` is part of a URL, so its
//! characters that would end the URL are percent-encoded there.

use std::{collections::BTreeMap, fmt};

use postroom_core::{Mail, bounds, check_header_name};
use serde_json::{Map, Value};
use toml::de::{DeTable, DeValue};

use super::{
    LoadError, RenderError, Variables, catalog::is_headers_file, engine::Engine, error::BULK_HEADERS, meter,
    source::TemplateSources,
};
use crate::rendered::one_line;

/// Header whose value is a template.
#[derive(Debug)]
struct HeaderTemplate {
    name: String,
    /// Name of the value among the compiled sources.
    source: String,
    /// Line of the value in its file, counted from 1.
    line: Option<usize>,
    /// Whether the value is written with an empty `<>`.
    has_empty_url: bool,
}

/// Headers of one file, in its order.
#[derive(Debug, Default)]
pub(super) struct HeaderFile(Vec<HeaderTemplate>);

/// All `headers.toml` files, by their path in the folder.
#[derive(Debug, Default)]
pub(super) struct HeaderFiles(BTreeMap<String, HeaderFile>);

/// Headers that a bulk renders for each of its mails.
#[derive(Debug)]
pub struct HeaderTemplates {
    file: HeaderFile,
    engine: Engine,
}

impl HeaderFiles {
    /// Replaces each `headers.toml` in the sources by one source for each of its values.
    pub(super) fn take_from(sources: &mut TemplateSources) -> Result<Self, LoadError> {
        let paths: Vec<String> = sources.keys().filter(|path| path.ends_with(".toml")).cloned().collect();
        let mut files = BTreeMap::new();
        for path in paths {
            let text = sources.remove(&path).unwrap_or_default();
            if !is_headers_file(&path) {
                return Err(LoadError::broken(&path, "a headers.toml belongs in the folder of a template"));
            }
            files.insert(path.clone(), HeaderFile::parse(&path, &text, sources)?);
        }
        Ok(Self(files))
    }

    /// Renders the headers of a file.
    pub(super) fn render(
        &self,
        template: &str,
        path: &str,
        engine: &Engine,
        variables: &Variables,
    ) -> Result<Map<String, Value>, RenderError> {
        self.0.get(path).map_or_else(|| Ok(Map::new()), |file| file.render(template, path, engine, variables))
    }

    /// Returns an error about one of the values with the file and line of that value.
    pub(super) fn located(&self, error: LoadError) -> LoadError {
        let LoadError::Broken { file, line, message } = error else { return error };
        let found = self.0.iter().find_map(|(path, headers)| Some((path, headers.of(&file)?)));
        let Some((path, header)) = found else { return LoadError::Broken { file, line, message } };
        LoadError::Broken { file: path.clone(), line: header.line_of(line), message: header.message(&message) }
    }
}

impl HeaderFile {
    fn parse(path: &str, text: &str, sources: &mut TemplateSources) -> Result<Self, LoadError> {
        let broken = |at: usize, message: String| LoadError::Broken {
            file: path.to_owned(),
            line: Some(1 + text[..at.min(text.len())].matches('\n').count()),
            message,
        };
        let table = DeTable::parse(text)
            .map_err(|error| broken(error.span().map_or(0, |span| span.start), error.message().to_owned()))?;
        let mut headers = Self::default();
        for (name, value) in table.into_inner() {
            let (at, name) = (name.span().start, name.into_inner().into_owned());
            let start = value.span().start;
            let DeValue::String(value) = value.into_inner() else {
                return Err(broken(at, format!("the value of {name} is not a string")));
            };
            // TOML drops a line break right after the quotes of a multi-line string.
            let is_dropped = ["\"\"\"", "'''"].iter().any(|quotes| text[start..].starts_with(&format!("{quotes}\n")));
            let line = 1 + text[..start].matches('\n').count() + usize::from(is_dropped);
            headers.push(path, name, &value, Some(line), sources).map_err(|problem| broken(at, problem))?;
        }
        Ok(headers)
    }

    fn push(
        &mut self,
        path: &str,
        name: String,
        value: &str,
        line: Option<usize>,
        sources: &mut TemplateSources,
    ) -> Result<(), String> {
        check_header_name(&name).map_err(|problem| problem.problem)?;
        if self.0.iter().any(|other| other.name.eq_ignore_ascii_case(&name)) {
            return Err(format!("{name} is set twice"));
        }
        if self.0.len() >= bounds::HEADERS {
            return Err(format!("it has more than {} headers", bounds::HEADERS));
        }
        // Not the name of an HTML file, whatever the header's name.
        let source = format!("{path}: {name} (header)");
        sources.insert(source.clone(), value.to_owned());
        self.0.push(HeaderTemplate { name, source, line, has_empty_url: value.contains("<>") });
        Ok(())
    }

    fn of(&self, source: &str) -> Option<&HeaderTemplate> {
        self.0.iter().find(|header| header.source == source)
    }

    /// Renders all headers within the current limits; leaves out those whose value is empty.
    fn render(
        &self,
        template: &str,
        path: &str,
        engine: &Engine,
        variables: &Variables,
    ) -> Result<Map<String, Value>, RenderError> {
        let mut rendered = Map::new();
        for header in &self.0 {
            let value = engine.render(template, &header.source, variables.context());
            let value = value.map_err(|error| header.located(path, error))?;
            let value = one_line(&value);
            if let Some(problem) = header.problem(&value) {
                let message = header.message(&problem);
                return Err(RenderError::header_value(template, path, header.line, message));
            }
            if !value.is_empty() {
                rendered.insert(header.name.clone(), Value::String(value));
            }
        }
        Ok(rendered)
    }
}

impl HeaderTemplate {
    fn problem(&self, value: &str) -> Option<String> {
        if value.len() > bounds::HEADER_VALUE {
            return Some(format!("the value has {} octets; it may have {}", value.len(), bounds::HEADER_VALUE));
        }
        (value.contains("<>") && !self.has_empty_url)
            .then(|| "nothing is between < and >; {% if … %} around the whole value leaves the header out".to_owned())
    }

    fn message(&self, problem: &str) -> String {
        format!("{}: {problem}", self.name)
    }

    /// Line in the file of a line in the value.
    fn line_of(&self, line: Option<usize>) -> Option<usize> {
        self.line.map(|first| first + line.unwrap_or(1).saturating_sub(1))
    }

    fn located(&self, path: &str, mut error: RenderError) -> RenderError {
        if error.file.as_deref() == Some(&self.source) {
            error.file = Some(path.to_owned());
            error.line = self.line_of(error.line);
            error.message = self.message(&error.message);
        }
        error
    }
}

impl HeaderTemplates {
    /// Compiles headers, given as names and values.
    ///
    /// # Errors
    ///
    /// Returns an error that names the header if a name is invalid, occurs twice, or a value is no
    /// valid template.
    pub fn parse(headers: &[(String, String)]) -> Result<Self, LoadError> {
        let (mut file, mut sources) = (HeaderFile::default(), TemplateSources::new());
        for (name, value) in headers {
            file.push(BULK_HEADERS, name.clone(), value, None, &mut sources)
                .map_err(|problem| LoadError::broken(BULK_HEADERS, problem))?;
        }
        let files = HeaderFiles(BTreeMap::from([(BULK_HEADERS.to_owned(), file)]));
        let engine = Engine::of(sources).map_err(|error| files.located(error))?;
        let file = files.0.into_values().next().unwrap_or_default();
        Ok(Self { file, engine })
    }

    /// Renders the headers of a mail, except those that the mail sets itself. The variables of the
    /// mail override the shared ones.
    ///
    /// # Errors
    ///
    /// Returns an error that names the header if a value does not render, or is too long.
    pub fn render(&self, shared: &Variables, mail: &Mail) -> Result<Map<String, Value>, RenderError> {
        let variables = shared.clone().and(&mail.vars).with_fields(mail);
        let parts = self.engine.parts();
        variables.fit(parts).map_err(|problem| RenderError::of_variables(BULK_HEADERS, problem))?;
        let rendered = meter::within(meter::MOST, parts, || {
            self.file.render(BULK_HEADERS, BULK_HEADERS, &self.engine, &variables)
        });
        let mut rendered = rendered?;
        rendered.retain(|name, _| !mail.headers.keys().any(|own| own.eq_ignore_ascii_case(name)));
        Ok(rendered)
    }
}

/// Writes names and values as templates, one a line.
impl fmt::Display for HeaderTemplates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut values = self.file.0.iter().filter_map(|header| Some((header, self.engine.source(&header.source)?)));
        values.try_for_each(|(header, value)| writeln!(f, "{}: {value}", header.name))
    }
}
