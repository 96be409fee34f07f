//! Links of the documents.

use std::{collections::BTreeSet, path::Path};

use super::{Document, documents};
use crate::fixture::root;

#[test]
fn every_link_has_a_target() {
    for document in documents() {
        for link in local_links(&document.prose()) {
            check_link(&document, &link);
        }
    }
}

/// Every page of `docs/` can be reached from README.
#[test]
fn readme_links_to_every_page() {
    let documents = documents();
    let readme = documents.iter().find(|document| document.name == "README.md").expect("README.md");
    let links = local_links(&readme.prose());
    for page in documents.iter().filter(|document| document.name.starts_with("docs/")) {
        assert!(links.iter().any(|link| link.split('#').next() == Some(&page.name)), "README.md: no {}", page.name);
    }
}

fn check_link(document: &Document, link: &str) {
    let (file, heading) = link.split_once('#').map_or((link, None), |(file, heading)| (file, Some(heading)));
    let folder = Path::new(&document.name).parent().expect("a folder");
    let path = if file.is_empty() { root().join(&document.name) } else { root().join(folder).join(file) };
    assert!(path.exists(), "{}: the link {link} has no target", document.name);
    if let Some(heading) = heading {
        let name = path.display().to_string();
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(headings(&Document { name, text }).contains(heading), "{}: {link} has no such heading", document.name);
    }
}

/// Targets of links to files of the repository, images included.
fn local_links(prose: &str) -> Vec<String> {
    let targets = prose.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    targets.filter(|target| !target.contains("://")).map(str::to_owned).collect()
}

/// Headings in the form in which links name them.
fn headings(document: &Document) -> BTreeSet<String> {
    let slug = |line: &str| -> String {
        let words = line.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
        words.chars().filter(|c| c.is_alphanumeric() || *c == '-' || *c == '_').collect()
    };
    document.prose().lines().filter(|line| line.starts_with('#')).map(slug).collect()
}
