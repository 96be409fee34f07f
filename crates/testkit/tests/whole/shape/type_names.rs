//! One name for one type.

use std::collections::BTreeMap;

use super::{
    files,
    source::{Code, SourceModule},
};

/// Names that many modules have: command-line arguments, a module's error and result, a test's
/// surroundings.
const SHARED: [&str; 4] = ["Args", "Error", "Result", "Fixture"];

/// Structs, enums, traits and type aliases, those of tests included.
#[test]
fn a_type_name_occurs_once_in_the_workspace() {
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (file, text) in files(&["rs"]) {
        for (name, line) in types(&SourceModule::parse(&text, Code::All)) {
            places.entry(name.clone()).or_default().push(format!("{file}:{line}"));
        }
    }
    assert!(places.len() > 100, "only {} types were found", places.len());
    let repeated: Vec<String> = places
        .iter()
        .filter(|(name, places)| places.len() > 1 && !SHARED.contains(&name.as_str()))
        .map(|(name, places)| format!("{name}: {}", places.join(" ")))
        .collect();
    assert!(repeated.is_empty(), "{} names of several types:\n{}", repeated.len(), repeated.join("\n"));
}

/// The types of a module and of the modules written inside it.
fn types(module: &SourceModule) -> Vec<&(String, usize)> {
    let inner = module.children.iter().filter_map(|child| child.inline.as_ref());
    module.types.iter().chain(inner.flat_map(types)).collect()
}
