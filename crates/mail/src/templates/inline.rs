//! Inlining of CSS from `<style>` into elements, for mail programs that ignore `<style>`.
//!
//! The source of a template is inlined once, when it is loaded. Text is inserted into the source
//! and nothing of it is changed: `style` attributes are added, or extended at their ends. `<style>`
//! stays in the source, for dark mode and narrow screens.
//!
//! A declaration is inlined only if that changes nothing where `<style>` is understood. A rule that
//! may apply, depending on variables or on another file, keeps weaker declarations of the same
//! property out of the element.

mod applied;
mod cascade;
mod certainty;
mod code;
mod file;
mod insertion;
mod markup;
mod matching;
mod selector;
mod selector_parser;
mod sheet;
mod start_tag;
mod tree;
mod words;

use self::{
    applied::{FileGraph, SourceFiles},
    cascade::RuleIndex,
    code::{CodeKind, codes},
    file::{SheetComment, SourceFile, is_ignored},
    insertion::{Insertion, inserted, insertions},
    markup::scan,
    matching::{Matcher, Steps, TooManySteps},
    start_tag::StartTag,
    tree::{DEEPEST, TooDeep, tree},
};
use super::{LoadError, source::TemplateSources};
use crate::html::differs_only_in_styles;

/// Maximum number of steps for one file and for all files. A step takes some nanoseconds.
const MOST_STEPS: usize = 10_000_000;
const MOST_STEPS_IN_ALL: usize = 100_000_000;

/// Elements that are not displayed.
const NOT_STYLED: [&str; 10] =
    ["base", "head", "link", "meta", "noscript", "param", "script", "style", "template", "title"];

/// Sources with inlined CSS, and what their authors should know.
#[derive(Debug)]
pub(super) struct Inlined {
    pub(super) sources: TemplateSources,
    pub(super) warnings: Vec<String>,
}

/// Inlines the CSS of each HTML file, and of the files that it extends and includes, into its
/// elements.
///
/// # Errors
///
/// Returns an error if a template comment swallows the end of a style sheet, or if elements are
/// nested too deep.
pub(super) fn with_inlined_css(sources: &TemplateSources) -> Result<Inlined, LoadError> {
    let (changed, warnings) = inlined_files(sources)?;
    let mut sources = sources.clone();
    sources.extend(changed);
    Ok(Inlined { sources, warnings })
}

/// Files that change, with their new content, and all warnings.
type Changes = (Vec<(String, String)>, Vec<String>);

fn inlined_files(sources: &TemplateSources) -> Result<Changes, LoadError> {
    let html_files = sources.iter().filter(|(name, _)| name.ends_with(".html"));
    let files: SourceFiles<'_> = html_files.map(|(name, source)| (name.as_str(), SourceFile::of(source))).collect();
    let (mut changed, mut warnings) = (Vec::new(), Vec::new());
    for (name, file) in &files {
        check_comments(name, file, &mut warnings)?;
    }
    let (graph, mut left) = (FileGraph::of(&files), MOST_STEPS_IN_ALL);
    for (name, file) in &files {
        let mut inliner =
            FileInliner { name, file, graph: &graph, steps: Steps(left.min(MOST_STEPS)), warnings: vec![] };
        let before = inliner.steps.0;
        if let Some(html) = inliner.inline()? {
            changed.push(((*name).to_owned(), html));
        }
        left -= before - inliner.steps.0;
        warnings.append(&mut inliner.warnings);
    }
    Ok((changed, warnings))
}

fn check_comments(name: &str, file: &SourceFile<'_>, warnings: &mut Vec<String>) -> Result<(), LoadError> {
    let cure = "write `{ #`, or put the CSS between {% raw %} and {% endraw %}";
    for comment in file.sheet_comments() {
        match comment {
            SheetComment::BeyondEnd(at) => {
                let problem = "`{#` in <style> starts a template comment, which swallows the end of the style sheet";
                return Err(LoadError::broken_at(name, file.line(at), format!("{problem}; {cure}")));
            }
            SheetComment::WithRules(at) => {
                let line = file.line(at);
                warnings.push(format!(
                    "{name}, line {line}: `{{#` in <style> starts a template comment, which hides CSS; {cure}"
                ));
            }
        }
    }
    Ok(())
}

/// One file being inlined.
struct FileInliner<'g, 'f, 'a> {
    name: &'a str,
    file: &'f SourceFile<'a>,
    graph: &'g FileGraph<'f, 'a>,
    steps: Steps,
    warnings: Vec<String>,
}

impl<'f> FileInliner<'_, 'f, '_> {
    /// Returns `None` if there is nothing to inline, or if it is not possible.
    fn inline(&mut self) -> Result<Option<String>, LoadError> {
        let rules = self.graph.rules_of(self.name);
        let index = RuleIndex::of(&rules);
        if index.is_empty() {
            return Ok(None);
        }
        let source = self.file.source;
        let insertions = match self.steps.take(rules.len()) {
            Ok(()) => self.insertions(&index)?,
            Err(error) => Err(error),
        };
        let Ok(insertions) = insertions else {
            self.warn("CSS is not inlined: there are too many elements and rules for it");
            return Ok(None);
        };
        let html = inserted(source, &insertions);
        if !differs_only_in_styles(&without_code(source), &without_code(&html)) {
            self.warn("CSS is not inlined: it would change the HTML");
            return Ok(None);
        }
        Ok(Some(html).filter(|_| !insertions.is_empty()))
    }

    fn insertions(&mut self, index: &RuleIndex<'f>) -> Result<Result<Vec<Insertion>, TooManySteps>, LoadError> {
        let file = self.file;
        let markup = scan(file.source, &file.codes);
        let tree = tree(file.source, &file.codes, markup, self.graph.is_part(self.name)).map_err(|TooDeep(at)| {
            let problem = format!("elements are nested more than {DEEPEST} levels deep here");
            LoadError::broken_at(self.name, file.line(at), format!("{problem}; close elements where they end"))
        })?;
        let matcher = Matcher { source: file.source, codes: &file.codes, tree: &tree };
        Ok(self.insertions_of(&matcher, index))
    }

    fn insertions_of(&mut self, matcher: &Matcher<'_>, index: &RuleIndex<'f>) -> Result<Vec<Insertion>, TooManySteps> {
        let (mut all, mut is_warned) = (Vec::new(), false);
        for (number, element) in matcher.tree.elements.iter().enumerate() {
            let Some(tag) = element.tag.as_ref().filter(|tag| self.may_be_styled(tag)) else { continue };
            let style = index.style_of(matcher, number, &mut self.steps)?;
            if style.normal.is_empty() && style.important.is_empty() {
                continue;
            }
            if let Some((rule, property)) = style.overridden.as_ref().filter(|_| !is_warned) {
                is_warned = true;
                let line = self.file.line(tag.at);
                let name = if tag.name.is_empty() { "the element" } else { &tag.name };
                self.warnings.push(format!(
                    "{}, line {line}: `{rule}` has no effect on `{property}` of <{name}>, whose CSS is inlined; \
                     add !important to it",
                    self.name
                ));
            }
            all.extend(insertions(matcher.source, tag, &style).into_iter().flatten());
        }
        // The tree is in the order of the source.
        Ok(all)
    }

    /// Whether an element may get a style: it is displayed, and has no further attributes that only
    /// a rendering knows.
    fn may_be_styled(&self, tag: &StartTag) -> bool {
        !NOT_STYLED.contains(&tag.name.as_str())
            && !tag.is_open_ended
            && !tag.attribute("style").is_some_and(|attribute| attribute.is_conditional)
            && !is_ignored(self.file.source, tag)
    }

    fn warn(&mut self, problem: &str) {
        self.warnings.push(format!("{}: {problem}", self.name));
    }
}

/// HTML with a letter for each value that template code writes, and a space for other code.
fn without_code(source: &str) -> String {
    let (mut html, mut at) = (String::with_capacity(source.len()), 0);
    for code in codes(source) {
        html.push_str(&source[at..code.range.start]);
        html.push(if matches!(code.kind, CodeKind::Prints { .. }) { 'x' } else { ' ' });
        at = code.range.end;
    }
    html + &source[at..]
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
