//! The documents agree with the code: links, commands, variables, paths and the route of a mail.

mod commands;
mod links;
mod paths;
mod settings;

use crate::fixture::{read, root};

/// Documents outside `docs/`, relative to the root.
const ELSEWHERE: [&str; 8] = [
    "README.md",
    "SECURITY.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "crates/core/README.md",
    "deploy/README.md",
    "templates/README.md",
];

/// Pages of `docs/` that must exist, so that no fact is lost with a page.
const PAGES: [&str; 10] = [
    "configuration",
    "command-line",
    "templates",
    "sending",
    "schedules",
    "guarantees",
    "speed",
    "operations",
    "coming-from-celery",
    "redis",
];

/// A Markdown file of the repository.
struct Document {
    /// Path relative to the root.
    name: String,
    text: String,
}

impl Document {
    fn new(name: String) -> Self {
        let text = read(&name);
        Self { name, text }
    }

    /// Text outside fenced blocks.
    fn prose(&self) -> String {
        self.text.split("```").step_by(2).collect()
    }

    /// Contents of fenced blocks of a language, such as `sh`.
    fn blocks(&self, language: &str) -> String {
        let blocks = self.text.split("```").skip(1).step_by(2);
        blocks.filter_map(|block| block.strip_prefix(language)?.strip_prefix('\n')).collect()
    }

    /// Text between backticks outside fenced blocks, line breaks replaced by spaces.
    fn inline_code(&self) -> Vec<String> {
        let words = |code: &str| code.split_whitespace().collect::<Vec<_>>().join(" ");
        self.prose().split('`').skip(1).step_by(2).map(words).collect()
    }
}

/// All documents.
fn documents() -> Vec<Document> {
    let entries = std::fs::read_dir(root().join("docs")).expect("the folder docs");
    let names = entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
    let mut pages: Vec<String> =
        names.filter(|name| name.ends_with(".md")).map(|name| format!("docs/{name}")).collect();
    pages.sort();
    for page in PAGES {
        let name = format!("docs/{page}.md");
        assert!(pages.contains(&name), "{name} is missing");
    }
    ELSEWHERE.map(str::to_owned).into_iter().chain(pages).map(Document::new).collect()
}

/// README stays one page.
#[test]
fn readme_has_one_page() {
    let lines = read("README.md").lines().count();
    assert!(lines <= 160, "README.md has {lines} lines");
}
