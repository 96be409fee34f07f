//! The modules of one crate, and which module a path leads to.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use super::source::{Code, Import, SourceModule};

/// Imports that lead to imports are followed this far.
const MAX_IMPORT_CHAIN: usize = 16;

/// A library or a program, tests left out.
pub(super) struct CrateTree {
    /// Modules by their path, such as `store::job`. The root is `""`.
    pub(super) modules: BTreeMap<String, Module>,
}

pub(super) struct Module {
    /// Path of the file in the repository.
    pub(super) file: PathBuf,
    pub(super) is_inline: bool,
    pub(super) source: SourceModule,
}

/// Target of a path: an item of a module, or the module itself.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PathTarget {
    pub(super) module: String,
    pub(super) item: Option<String>,
}

impl CrateTree {
    /// Reads a crate from its root file. `read` returns the text of a file, `None` if there is no
    /// such file.
    pub(super) fn load(root: &Path, read: &dyn Fn(&Path) -> Option<String>) -> Self {
        let mut tree = Self { modules: BTreeMap::new() };
        let text = read(root).unwrap_or_else(|| panic!("{} is missing", root.display()));
        let folder = root.parent().expect("a folder").to_owned();
        tree.add("", root.to_owned(), &folder, SourceModule::parse(&text, Code::WithoutTests), false, read);
        tree
    }

    fn add(
        &mut self,
        name: &str,
        file: PathBuf,
        folder: &Path,
        mut source: SourceModule,
        is_inline: bool,
        read: &dyn Fn(&Path) -> Option<String>,
    ) {
        for child in &mut source.children {
            let path = join(name, &child.name);
            let below = folder.join(&child.name);
            if let Some(inline) = child.inline.take() {
                self.add(&path, file.clone(), &below, inline, true, read);
                continue;
            }
            let files = [folder.join(format!("{}.rs", child.name)), below.join("mod.rs")];
            let found = files.into_iter().find_map(|file| Some((read(&file)?, file)));
            let (text, file) = found.unwrap_or_else(|| panic!("{path} of {} has no file", file.display()));
            self.add(&path, file, &below, SourceModule::parse(&text, Code::WithoutTests), false, read);
        }
        self.modules.insert(name.to_owned(), Module { file, is_inline, source });
    }

    /// Number of files of a module and the modules below it.
    pub(super) fn file_count(&self, name: &str) -> usize {
        self.modules.iter().filter(|(path, module)| is_within(path, name) && !module.is_inline).count()
    }

    /// Returns what a path written in this module leads to; `None` if it leads out of the crate.
    pub(super) fn resolve(&self, from: &str, segments: &[String]) -> Option<PathTarget> {
        self.follow(from, segments, 0)
    }

    fn follow(&self, from: &str, segments: &[String], depth: usize) -> Option<PathTarget> {
        if depth > MAX_IMPORT_CHAIN {
            return None;
        }
        let (first, rest) = segments.split_first()?;
        match first.as_str() {
            "crate" => self.walk("", rest, depth),
            "self" => self.walk(from, rest, depth),
            "super" => self.walk(parent(from), rest, depth),
            name if self.modules.contains_key(&join(from, name)) => self.walk(&join(from, name), rest, depth),
            name => self.follow_import(from, name, rest, depth),
        }
    }

    /// Goes down from a module by the rest of a path.
    fn walk(&self, at: &str, segments: &[String], depth: usize) -> Option<PathTarget> {
        let Some((first, rest)) = segments.split_first() else {
            return Some(PathTarget { module: at.to_owned(), item: None });
        };
        if first == "super" {
            return self.walk(parent(at), rest, depth);
        }
        let child = join(at, first);
        if self.modules.contains_key(&child) {
            return self.walk(&child, rest, depth);
        }
        if self.import(at, first).is_some() {
            return self.follow_import(at, first, rest, depth);
        }
        Some(PathTarget { module: at.to_owned(), item: Some(first.clone()) })
    }

    fn follow_import(&self, at: &str, name: &str, rest: &[String], depth: usize) -> Option<PathTarget> {
        let segments = &self.import(at, name)?.path.segments;
        let target = self.follow(at, segments, depth + 1)?;
        if target.item.is_some() { Some(target) } else { self.walk(&target.module, rest, depth + 1) }
    }

    /// The import that binds a name. One that repeats a name of its own, such as a macro's, leads
    /// nowhere.
    fn import(&self, at: &str, name: &str) -> Option<&Import> {
        let imports = &self.modules[at].source.imports;
        imports.iter().find(|import| import.name == name && import.path.segments != [name])
    }
}

/// Whether a module is this one or below it.
pub(super) fn is_within(path: &str, name: &str) -> bool {
    name.is_empty() || path == name || path.strip_prefix(name).is_some_and(|rest| rest.starts_with("::"))
}

fn join(parent: &str, child: &str) -> String {
    if parent.is_empty() { child.to_owned() } else { format!("{parent}::{child}") }
}

fn parent(path: &str) -> &str {
    path.rsplit_once("::").map_or("", |(parent, _)| parent)
}
