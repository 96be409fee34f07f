//! Paths between backticks, and the route of one mail in ARCHITECTURE.md.

use super::documents;
use crate::fixture::{read, root};

const FOLDERS: [&str; 7] = ["crates", "deploy", "docs", "examples", "scripts", "templates", ".ci"];
const ENDINGS: [&str; 9] = [".rs", ".lua", ".md", ".html", ".sh", ".py", ".css", ".js", ".service"];

/// A path between backticks exists. `NAME` stands for a name, so the folder around it has to exist.
#[test]
fn every_path_exists() {
    let mut checked = 0;
    for document in documents().into_iter().filter(|document| document.name != "templates/README.md") {
        for path in document.inline_code().iter().filter(|code| looks_like_path(code)) {
            let known = path.split("NAME").next().unwrap_or_default();
            assert!(root().join(known).exists(), "{}: {path} does not exist", document.name);
            checked += 1;
        }
    }
    assert!(checked > 10, "only {checked} paths were found");
}

/// Each row of the route names a file and a function that is in it.
#[test]
fn the_route_of_a_mail_is_in_the_code() {
    let text = read("ARCHITECTURE.md");
    let section = text.split("\n## Route of one mail").nth(1).expect("the section");
    let section = section.split("\n## ").next().expect("its text");
    let rows: Vec<Vec<&str>> = section
        .lines()
        .filter(|line| line.starts_with("| ") && line[2..].starts_with(|c: char| c.is_ascii_digit()))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    assert!(rows.len() >= 18, "only {} rows were found", rows.len());
    for row in rows {
        let [_, file, function, _] = row[..] else { panic!("{row:?} has {} cells instead of 4", row.len()) };
        check_row(file, function);
    }
}

fn check_row(file: &str, function: &str) {
    let path = file.split("](").nth(1).and_then(|rest| rest.strip_suffix(')')).expect("a link to a file");
    let code = read(path);
    for name in function.split('`').skip(1).step_by(2) {
        let name = name.rsplit("::").next().unwrap_or(name);
        let is_there = [format!("fn {name}("), format!("fn {name}<"), format!("function {name}(")];
        assert!(is_there.iter().any(|definition| code.contains(definition)), "{path} has no function {name}");
    }
}

/// Whether the code is a path of the repository. Words with spaces are commands or text.
fn looks_like_path(code: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-./@".contains(c);
    let first = code.split('/').next().unwrap_or_default();
    code.contains('/')
        && code.chars().all(is_plain)
        && (FOLDERS.contains(&first) || (ENDINGS.iter().any(|ending| code.ends_with(ending)) && !code.starts_with('/')))
}
