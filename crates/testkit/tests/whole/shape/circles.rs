//! Import circles between the modules of a crate.
//!
//! The rule:
//! - A unit is a top-level module: one file, or a folder with all files below it. A folder with
//!   more than a dozen files is also checked inside, with its sub-modules as units.
//! - One unit uses another if its `use` items or its paths lead there. Re-exports are followed to
//!   the module that defines the item. Test code is left out.
//! - A root (`lib.rs`, `main.rs`, the `mod.rs` of a large folder) is a unit too, for the items that
//!   it defines itself. Its `mod` items and re-exports (`pub use`, `pub(crate) use`) use nothing: a
//!   root may list and re-export its children.
//! - A child may use a type of its root that it implements methods or traits for. Such a type is
//!   one thing, written in several files. Any other use of a root's item by a child counts. An item
//!   that children share belongs in a file of its own.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt::Write as _,
    path::{Path, PathBuf},
};

use super::crate_tree::{CrateTree, PathTarget, is_within};
use crate::fixture::root;

/// Folders with more files than this are checked inside.
const DOZEN: usize = 12;

/// Places that the failure names for each step of a circle.
const MAX_PLACES: usize = 3;

/// Name of the unit that is the root's own file.
const ROOT: &str = "root";

/// Units, the units that each uses, and the lines where it does.
type UseGraph = BTreeMap<String, BTreeMap<String, BTreeSet<String>>>;

#[test]
fn modules_do_not_import_each_other_in_circles() {
    let mut circles = Vec::new();
    for file in crate_roots() {
        let read = |path: &Path| std::fs::read_to_string(root().join(path)).ok();
        circles.extend(circles_of(&CrateTree::load(&file, &read)));
    }
    assert!(circles.is_empty(), "{} import circles:\n{}", circles.len(), circles.join("\n"));
}

/// `lib.rs` and `main.rs` of all crates.
fn crate_roots() -> Vec<PathBuf> {
    let folders = std::fs::read_dir(root().join("crates")).expect("the crates");
    let mut roots: Vec<PathBuf> = folders
        .flat_map(|folder| {
            ["lib.rs", "main.rs"].map(|file| folder.as_ref().expect("an entry").path().join("src").join(file))
        })
        .filter(|file| file.exists())
        .map(|file| file.strip_prefix(root()).expect("a file of the repository").to_owned())
        .collect();
    roots.sort();
    roots
}

fn circles_of(tree: &CrateTree) -> Vec<String> {
    let levels = tree.modules.keys().filter(|name| name.is_empty() || tree.file_count(name) > DOZEN);
    levels.flat_map(|level| circles_in(use_graph(tree, level), &tree.modules[level].file)).collect()
}

/// The uses between the children of a module, and between them and the module's own file.
fn use_graph(tree: &CrateTree, level: &str) -> UseGraph {
    let mut graph = UseGraph::new();
    for (name, module) in tree.modules.iter().filter(|(name, _)| is_within(name, level)) {
        let from = unit(level, name);
        let imports = module.source.imports.iter().filter(|import| !(import.is_reexport && name == level));
        for path in imports.map(|import| &import.path).chain(&module.source.paths) {
            let Some(target) = tree.resolve(name, &path.segments) else { continue };
            if !is_within(&target.module, level) {
                continue;
            }
            let to = unit(level, &target.module);
            if from != to && !(target.module == level && implements(tree, level, &from, &target)) {
                let place = format!("{}:{} {}", module.file.display(), path.line, path.segments.join("::"));
                graph.entry(from.clone()).or_default().entry(to).or_default().insert(place);
            }
        }
    }
    graph
}

/// The child of `level` that a module belongs to; [`ROOT`] for the level's own file.
fn unit(level: &str, module: &str) -> String {
    let below = module.strip_prefix(level).expect("a module of the level").trim_start_matches("::");
    match below.split("::").next() {
        Some(child) if !child.is_empty() => child.to_owned(),
        _ => ROOT.to_owned(),
    }
}

/// Whether a unit implements something for a type of its root.
fn implements(tree: &CrateTree, level: &str, unit_name: &str, target: &PathTarget) -> bool {
    let Some(item) = &target.item else { return false };
    let is_type = tree.modules[level].source.types.iter().any(|(name, _)| name == item);
    let of_unit = tree.modules.iter().filter(|(name, _)| is_within(name, level) && unit(level, name) == unit_name);
    is_type && of_unit.into_iter().any(|(_, module)| module.source.implemented.contains(item))
}

/// Describes circles until none is left: the shortest first, then those that remain without its
/// weakest step.
fn circles_in(mut graph: UseGraph, level: &Path) -> Vec<String> {
    let mut circles = Vec::new();
    while let Some(circle) = shortest_circle(&graph) {
        let steps: Vec<(&String, &String)> = circle.iter().zip(circle.iter().cycle().skip(1)).collect();
        let mut text = format!("{}: {} -> {}\n", level.display(), circle.join(" -> "), circle[0]);
        for (from, to) in &steps {
            let places = &graph[*from][*to];
            writeln!(text, "  {from} uses {to} in {} places", places.len()).expect("written");
            places.iter().take(MAX_PLACES).for_each(|place| writeln!(text, "    {place}").expect("written"));
        }
        circles.push(text);
        let weakest = steps.into_iter().min_by_key(|(from, to)| graph[*from][*to].len()).expect("a step");
        let (from, to) = (weakest.0.clone(), weakest.1.clone());
        graph.get_mut(&from).expect("a unit").remove(&to);
    }
    circles
}

fn shortest_circle(graph: &UseGraph) -> Option<Vec<String>> {
    graph.keys().filter_map(|start| way_back(graph, start)).min_by_key(Vec::len)
}

/// The shortest way from a unit back to it, by breadth-first search.
fn way_back(graph: &UseGraph, start: &String) -> Option<Vec<String>> {
    let mut ways = VecDeque::from([vec![start]]);
    let mut seen = BTreeSet::new();
    while let Some(way) = ways.pop_front() {
        for next in graph.get(*way.last()?).into_iter().flat_map(BTreeMap::keys) {
            if next == start {
                return Some(way.into_iter().cloned().collect());
            }
            if seen.insert(next) {
                ways.push_back(way.iter().copied().chain([next]).collect());
            }
        }
    }
    None
}

/// Checks the circles of a crate made of these files.
#[track_caller]
fn check(files: &[(&str, &str)], expected: &[&str]) {
    let files: BTreeMap<&Path, &str> = files.iter().map(|(name, text)| (Path::new(*name), *text)).collect();
    let tree = CrateTree::load(Path::new("lib.rs"), &|path| files.get(path).map(|text| (*text).to_owned()));
    let circles: Vec<String> =
        circles_of(&tree).iter().map(|text| text.lines().next().unwrap_or_default().to_owned()).collect();
    assert_eq!(circles, expected);
}

#[test]
fn circles_are_found_by_the_rule() {
    let lib = ("lib.rs", "mod a; mod b; mod c; pub use b::B;");
    check(&[lib, ("a.rs", "use crate::B;"), ("b.rs", "pub struct B;"), ("c.rs", "use crate::a::f;")], &[]);
    check(
        &[lib, ("a.rs", "use crate::B;"), ("b.rs", "pub struct B; fn f() { vec![super::a::f()]; }"), ("c.rs", "")],
        &["lib.rs: a -> b -> a"],
    );
    check(
        &[
            lib,
            ("a.rs", "use crate::{b::{self, B}};"),
            ("b/mod.rs", "mod d;"),
            ("b/d.rs", "use crate::c;"),
            ("c.rs", "use crate::a;"),
        ],
        &["lib.rs: a -> b -> c -> a"],
    );
    let in_tests = "pub struct B; #[cfg(test)] mod tests { use crate::a; }";
    check(&[lib, ("a.rs", "use crate::B;"), ("b.rs", in_tests), ("c.rs", "")], &[]);
}

#[test]
fn a_child_may_use_only_a_type_of_its_root_that_it_implements() {
    let lib = ("lib.rs", "mod a; use a::f; pub struct Root; const N: u8 = 1;");
    check(&[lib, ("a.rs", "use super::Root; impl Root { fn g(&self) {} }")], &[]);
    check(&[lib, ("a.rs", "use super::Root; fn g(root: &Root) {}")], &["lib.rs: a -> root -> a"]);
    check(&[lib, ("a.rs", "fn g() -> u8 { crate::N }")], &["lib.rs: a -> root -> a"]);
}

#[test]
fn a_large_folder_is_checked_inside() {
    let small =
        [("lib.rs", "mod x;"), ("x.rs", "mod a; mod b;"), ("x/a.rs", "use super::b;"), ("x/b.rs", "use crate::x::a;")];
    check(&small, &[]);
    let names: Vec<String> = (0..DOZEN).map(|number| format!("m{number}")).collect();
    let list: String = names.iter().map(|name| format!("mod {name}; ")).collect();
    let folder = format!("mod a; mod b; {list}");
    let paths: Vec<String> = names.iter().map(|name| format!("x/{name}.rs")).collect();
    let mut files = small.to_vec();
    files[1] = ("x.rs", &folder);
    files.extend(paths.iter().map(|path| (path.as_str(), "")));
    check(&files, &["x.rs: a -> b -> a"]);
}
