//! Files of each template, and their selection by language.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::{LoadError, source::TemplateSources};

/// Description of a template.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TemplateInfo {
    /// Name of the template and its folder.
    pub name: String,
    /// Languages besides the default one.
    pub locales: Vec<String>,
    /// Whether it has HTML; otherwise its mails are plain text.
    pub has_html: bool,
    /// Whether it has a text body; otherwise the text is generated from the HTML of each mail.
    pub has_text: bool,
    /// Short hash of its files and all shared files.
    pub hash: String,
}

/// Templates by name.
#[derive(Debug)]
pub(super) struct Catalog(BTreeMap<String, TemplateEntry>);

/// Files of a template by language; `""` is the default language.
#[derive(Debug)]
pub(super) struct TemplateEntry {
    info: TemplateInfo,
    variants: BTreeMap<String, Variant>,
}

/// Files of one language, by their path in the folder.
#[derive(Debug, Default)]
struct Variant {
    subject: Option<String>,
    html: Option<String>,
    text: Option<String>,
    headers: Option<String>,
}

/// Files selected for one mail.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Choice<'a> {
    pub(super) subject: &'a str,
    pub(super) html: Option<&'a str>,
    pub(super) text: Option<&'a str>,
    pub(super) headers: Option<&'a str>,
}

impl Catalog {
    /// Groups files into templates. A folder with a subject or a body is a template; all other
    /// files are shared.
    ///
    /// # Errors
    ///
    /// Returns an error if a template lacks a subject or a body.
    pub(super) fn of(sources: &TemplateSources) -> Result<Self, LoadError> {
        let mut templates: BTreeMap<&str, BTreeMap<String, Variant>> = BTreeMap::new();
        for file in sources.keys() {
            if let Some((name, role, locale)) = parse_path(file) {
                let variant = templates.entry(name).or_default().entry(locale).or_default();
                *variant.slot(role) = Some(file.clone());
            }
        }
        let shared = hash_of(sources, |file| parse_path(file).is_none());
        let entries = templates.into_iter().map(|(name, variants)| {
            let own = hash_of(sources, |file| parse_path(file).is_some_and(|(owner, ..)| owner == name));
            TemplateEntry::new(name, variants, &format!("{own}{shared}")).map(|entry| (name.to_owned(), entry))
        });
        entries.collect::<Result<_, _>>().map(Self)
    }

    pub(super) fn get(&self, name: &str) -> Option<&TemplateEntry> {
        self.0.get(name)
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }
}

impl TemplateEntry {
    fn new(name: &str, variants: BTreeMap<String, Variant>, content: &str) -> Result<Self, LoadError> {
        let incomplete = |problem: &str| LoadError::Incomplete { template: name.into(), problem: problem.into() };
        let default = variants.get("").ok_or_else(|| incomplete("it has no subject.txt"))?;
        if default.subject.is_none() {
            return Err(incomplete("it has no subject.txt"));
        }
        if !default.has_body() {
            return Err(incomplete("it has neither body.html nor body.txt"));
        }
        let info = TemplateInfo {
            name: name.to_owned(),
            locales: variants.keys().filter(|locale| !locale.is_empty()).cloned().collect(),
            has_html: default.html.is_some(),
            has_text: default.text.is_some(),
            hash: short_hash(content.as_bytes()),
        };
        Ok(Self { info, variants })
    }

    pub(super) fn info(&self) -> &TemplateInfo {
        &self.info
    }

    /// Selects the files for a language. HTML and text are of the same language, so that their
    /// contents match.
    pub(super) fn choose(&self, locale: Option<&str>) -> Option<Choice<'_>> {
        let levels = levels(locale);
        let mut variants = levels.iter().filter_map(|level| self.variants.get(level));
        let body = variants.clone().find(|variant| variant.has_body())?;
        let subject = variants.clone().find_map(|variant| variant.subject.as_deref())?;
        let headers = variants.find_map(|variant| variant.headers.as_deref());
        Some(Choice { subject, html: body.html.as_deref(), text: body.text.as_deref(), headers })
    }
}

impl Variant {
    fn has_body(&self) -> bool {
        self.html.is_some() || self.text.is_some()
    }

    fn slot(&mut self, role: FileRole) -> &mut Option<String> {
        match role {
            FileRole::Subject => &mut self.subject,
            FileRole::Html => &mut self.html,
            FileRole::Text => &mut self.text,
            FileRole::Headers => &mut self.headers,
        }
    }
}

/// Role of a file in its template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FileRole {
    Subject,
    Html,
    Text,
    Headers,
}

/// Parses a path: `newsletter/body.pl.html` is the HTML of `newsletter` in `pl`.
fn parse_path(file: &str) -> Option<(&str, FileRole, String)> {
    let (name, file) = file.split_once('/')?;
    let (stem, ext) = file.rsplit_once('.')?;
    let (stem, locale) = stem.split_once('.').unwrap_or((stem, ""));
    let role = match (stem, ext) {
        ("subject", "txt") => FileRole::Subject,
        ("body", "html") => FileRole::Html,
        ("body", "txt") => FileRole::Text,
        ("headers", "toml") => FileRole::Headers,
        _ => return None,
    };
    Some((name, role, normal(locale)))
}

/// Whether a path is that of the headers of a template.
pub(super) fn is_headers_file(file: &str) -> bool {
    matches!(parse_path(file), Some((_, FileRole::Headers, _)))
}

/// Whether a file is of this template, or shared.
pub(super) fn is_visible_to(file: &str, template: &str) -> bool {
    parse_path(file).is_none_or(|(owner, ..)| owner == template)
}

/// Normalizes a language: `pl_PL` and `pl-pl` are equal.
fn normal(locale: &str) -> String {
    locale.trim().to_lowercase().replace('_', "-")
}

/// Languages from the most specific to the default one: `pl-pl`, `pl`, `""`.
fn levels(locale: Option<&str>) -> Vec<String> {
    let mut level = normal(locale.unwrap_or_default());
    let mut levels = Vec::new();
    while let Some((shorter, _)) = level.rsplit_once('-') {
        let shorter = shorter.to_owned();
        levels.push(std::mem::replace(&mut level, shorter));
    }
    levels.push(level);
    levels.push(String::new());
    let mut seen = BTreeSet::new();
    levels.retain(|level| seen.insert(level.clone()));
    levels
}

fn hash_of(sources: &TemplateSources, wanted: impl Fn(&str) -> bool) -> String {
    let mut all = Sha256::new();
    for (name, text) in sources.iter().filter(|(name, _)| wanted(name)) {
        for part in [name, text] {
            all.update(part.len().to_le_bytes());
            all.update(part);
        }
    }
    hex(&all.finalize())
}

fn short_hash(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes)[..8])
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn catalog(files: &[&str]) -> Result<Catalog, LoadError> {
        Catalog::of(&files.iter().map(|file| ((*file).to_owned(), String::new())).collect())
    }

    #[test]
    fn a_language_falls_back_to_the_nearest_files() {
        let files = [
            "t/subject.txt",
            "t/body.html",
            "t/body.txt",
            "t/headers.toml",
            "t/subject.pl.txt",
            "t/body.pl.html",
            "t/body.pl-PL.txt",
        ];
        let catalog = catalog(&files).expect("a catalog");
        let entry = catalog.get("t").expect("a template");
        for (locale, subject, html, text) in [
            (None, "t/subject.txt", Some("t/body.html"), Some("t/body.txt")),
            (Some("de"), "t/subject.txt", Some("t/body.html"), Some("t/body.txt")),
            (Some("pl"), "t/subject.pl.txt", Some("t/body.pl.html"), None),
            (Some("pl-AT"), "t/subject.pl.txt", Some("t/body.pl.html"), None),
            (Some("PL_pl"), "t/subject.pl.txt", None, Some("t/body.pl-PL.txt")),
            (Some(""), "t/subject.txt", Some("t/body.html"), Some("t/body.txt")),
        ] {
            let headers = Some("t/headers.toml");
            assert_eq!(entry.choose(locale), Some(Choice { subject, html, text, headers }), "{locale:?}");
        }
        assert_eq!(entry.info().locales, ["pl", "pl-pl"]);
    }

    #[test]
    fn an_incomplete_template_is_reported() {
        for (files, problem) in [
            (&["t/body.html"][..], "template t: it has no subject.txt"),
            (&["t/subject.pl.txt", "t/body.pl.html"], "template t: it has no subject.txt"),
            (&["t/subject.txt", "t/boddy.html"], "template t: it has neither body.html nor body.txt"),
        ] {
            assert_eq!(catalog(files).expect_err("incomplete").to_string(), problem);
        }
        assert_eq!(
            catalog(&["layouts/base.html", "parts/footer.txt", "x.txt"]).expect("shared files only").names(),
            [""; 0]
        );
    }
}
