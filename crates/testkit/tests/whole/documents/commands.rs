//! Commands that the documents show: the program, the command and each long option exist.

use std::{collections::BTreeMap, process::Command};

use postroom_testkit::target_bin;

use super::{Document, documents};
use crate::fixture::root;

const PROGRAMS: [&str; 4] = ["postroom", "postroom-worker", "postroom-beat", "postroom-monitor"];

#[test]
fn every_command_exists() {
    let mut help = Help::default();
    let mut checked = BTreeMap::new();
    for document in documents() {
        for command in commands(&document) {
            help.check(&document.name, &command);
            *checked.entry(document.name.clone()).or_insert(0) += 1;
        }
    }
    for (document, at_least) in [("README.md", 6), ("docs/command-line.md", 25), ("docs/speed.md", 7)] {
        assert!(checked.get(document).is_some_and(|number| *number >= at_least), "{document}: {checked:?}");
    }
}

/// Help texts by the words that print them.
#[derive(Default)]
struct Help(BTreeMap<String, Option<String>>);

impl Help {
    fn check(&mut self, document: &str, command: &str) {
        let mut words = command.split_whitespace();
        let program = words.next().unwrap_or_default().trim_start_matches("./");
        let names: Vec<&str> = words.clone().take_while(|word| is_name(word)).take(2).collect();
        let mut help = self.text(program, &[]).unwrap_or_else(|| panic!("{document}: {command:?}: no {program}"));
        match names.first() {
            Some(name) if program.starts_with("scripts/") => {
                assert!(help.contains(name), "{document}: {command:?}: {program} has no {name}");
            }
            Some(name) => {
                help = self.text(program, &[name]).unwrap_or_else(|| panic!("{document}: {command:?} is no command"));
            }
            None => {}
        }
        if let [name, sub] = names[..] {
            help += &self.text(program, &[name, sub]).unwrap_or_default();
        }
        for option in words.filter(|word| word.starts_with("--") && !["--", "--help"].contains(word)) {
            let option = option.split('=').next().unwrap_or_default();
            assert!(help.contains(option), "{document}: {command:?} has no {option}");
        }
    }

    /// Help text of a program or a command; `None` if there is no such thing.
    fn text(&mut self, program: &str, names: &[&str]) -> Option<String> {
        let key = format!("{program} {}", names.join(" "));
        self.0.entry(key).or_insert_with(|| print_help(program, names)).clone()
    }
}

fn print_help(program: &str, names: &[&str]) -> Option<String> {
    let mut command = if program.starts_with("scripts/") {
        let mut bash = Command::new("bash");
        bash.arg(root().join(program));
        bash
    } else {
        Command::new(target_bin(program))
    };
    let output = command.args(names).arg("--help").env_remove("CARGO").output().expect("the program starts");
    let text = [output.stdout, output.stderr].concat();
    output.status.success().then(|| String::from_utf8_lossy(&text).into_owned())
}

/// Commands of shell blocks, with continued lines joined, and commands between backticks.
fn commands(document: &Document) -> Vec<String> {
    let blocks = document.blocks("sh").replace("\\\n", " ");
    let shown = blocks.lines().map(str::to_owned).chain(document.inline_code());
    let mut commands = Vec::new();
    for line in shown {
        let line = line.split(" #").next().unwrap_or_default().to_owned();
        for part in line.split(['|', '&', ';']) {
            let words: Vec<&str> = part.split_whitespace().skip_while(|word| is_assignment(word)).collect();
            if words.first().is_some_and(|first| is_ours(first)) {
                commands.push(words.join(" "));
            }
        }
    }
    commands
}

fn is_ours(word: &str) -> bool {
    let script = word.trim_start_matches("./").strip_prefix("scripts/");
    PROGRAMS.contains(&word) || script.is_some_and(is_name)
}

/// Whether a word may name a command: no option, no id, no placeholder.
fn is_name(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_lowercase()) && word.chars().all(|c| c.is_ascii_lowercase() || c == '-')
}

fn is_assignment(word: &str) -> bool {
    word.split_once('=').is_some_and(|(name, _)| name.chars().all(|c| c.is_ascii_uppercase() || c == '_'))
}
