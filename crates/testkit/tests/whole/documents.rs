//! What the documents say is there.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::Command,
};

use postroom_testkit::target_bin;

use crate::site::{read, root};

const DOCUMENTS: [&str; 9] = [
    "README.md",
    "SECURITY.md",
    "docs/redis.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "crates/core/README.md",
    "deploy/README.md",
    "templates/README.md",
];

#[test]
fn links_lead_somewhere() {
    for document in DOCUMENTS {
        let text = read(document);
        let folder = Path::new(document).parent().expect("a folder");
        for target in links(&text) {
            let path: PathBuf = root().join(folder).join(target.split('#').next().unwrap_or_default());
            assert!(path.exists(), "{document} links to {target}");
            if let Some(heading) = target.strip_prefix('#') {
                assert!(headings(&text).contains(heading), "{document} has no heading {heading}");
            }
        }
    }
}

/// The configuration table of README names every variable, and none that is not there.
#[test]
fn readme_names_every_variable() {
    let names = |text: &str, mark: &str| -> BTreeSet<String> {
        let lines = text.lines().filter_map(|line| line.strip_prefix(mark));
        let word = |line: &str| line.chars().take_while(|c| c.is_ascii_uppercase() || *c == '_').collect::<String>();
        lines.map(word).filter(|name| name.len() > 2).collect()
    };
    let (readme, example) = (read("README.md"), read(".env.example"));
    let section =
        readme.split("## Configuration").nth(1).expect("the section").split("\n## ").next().expect("its text");
    assert_eq!(names(section, "| `"), names(&example, "#"));
}

/// Each `postroom …` that a document shows is a command, and each of its long options is one of that command.
#[test]
fn commands_are_there() {
    for document in ["README.md", "CONTRIBUTING.md", "deploy/README.md", "templates/README.md"] {
        let shown = commands(&read(document));
        assert!(document != "README.md" || shown.len() > 10, "{shown:?}");
        for command in shown {
            check_command(document, &command);
        }
    }
}

fn check_command(document: &str, command: &str) {
    let mut words = command.split_whitespace().skip(1);
    let name = words.next().unwrap_or_default();
    let help = Command::new(target_bin("postroom")).args([name, "--help"]).output().expect("postroom runs");
    assert!(help.status.success(), "{document}: {command:?} is no command");
    let help = String::from_utf8_lossy(&help.stdout).into_owned();
    let mut next = words.next().filter(|word| word.chars().all(|c| c.is_ascii_lowercase()));
    let sub = next.take().and_then(|sub| {
        let output = Command::new(target_bin("postroom")).args([name, sub, "--help"]).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    });
    let help = help + &sub.unwrap_or_default();
    for option in command.split_whitespace().filter(|word| word.starts_with("--") && word.len() > 2) {
        let option = option.split('=').next().unwrap_or_default();
        assert!(help.contains(option), "{document}: {command:?} has no {option}");
    }
}

/// The commands in fenced blocks, continued lines joined.
fn commands(text: &str) -> Vec<String> {
    let blocks = text.split("```").skip(1).step_by(2).filter(|block| block.starts_with("sh\n")).collect::<String>();
    let joined = blocks.replace("\\\n", " ");
    let lines = joined.lines().map(|line| line.split(['|', '#']).next().unwrap_or_default().trim().to_owned());
    lines.filter(|line| line.starts_with("postroom ")).collect()
}

/// Targets of links that are not on the web, code left out.
fn links(text: &str) -> Vec<&str> {
    let outside: Vec<&str> = text.split("```").step_by(2).collect();
    let parts = outside.into_iter().flat_map(|part| part.split("](").skip(1));
    parts.filter_map(|part| part.split(')').next()).filter(|target| !target.contains("://")).collect()
}

/// Headings as links name them.
fn headings(text: &str) -> BTreeSet<String> {
    let slug = |line: &str| -> String {
        let words = line.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
        words.chars().filter(|c| c.is_alphanumeric() || *c == '-').collect()
    };
    text.lines().filter(|line| line.starts_with('#')).map(slug).collect()
}
