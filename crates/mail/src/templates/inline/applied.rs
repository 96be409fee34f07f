//! The rules that apply to a file: its own, and those of the files that it extends and includes.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    cascade::AppliedRule,
    certainty::Certainty,
    file::{SheetContent, SheetPart, SourceFile},
};

/// Maximum number of files in a chain; tera rejects cycles.
const DEEPEST: usize = 16;

/// Files by name.
pub(super) type SourceFiles<'a> = BTreeMap<&'a str, SourceFile<'a>>;

/// Files and what uses them.
pub(super) struct FileGraph<'f, 'a> {
    files: &'f SourceFiles<'a>,
    users: BTreeMap<&'a str, BTreeSet<&'a str>>,
}

impl<'f, 'a> FileGraph<'f, 'a> {
    pub(super) fn of(files: &'f SourceFiles<'a>) -> Self {
        let mut users: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for (name, file) in files {
            for used in file.references() {
                users.entry(used).or_default().insert(*name);
            }
        }
        Self { files, users }
    }

    /// Whether other files may be around the content of a file.
    pub(super) fn is_part(&self, name: &str) -> bool {
        self.users.contains_key(name) && !self.files.get(name).is_some_and(has_html_tag)
            || self.files.get(name).is_some_and(|file| file.extends.is_some())
    }

    /// Rules for a file, the weakest origin first.
    pub(super) fn rules_of(&self, name: &'a str) -> Vec<AppliedRule<'f>> {
        let chain = self.chain(name);
        let mut rules = RuleCollector { graph: self, rules: Vec::new(), seen: BTreeSet::new() };
        for (number, link) in chain.iter().enumerate() {
            let Some(file) = self.files.get(link) else { continue };
            rules.file(link, file, Certainty::Yes, 0, &|block| self.kept(block, &chain[number + 1..], name));
        }
        let relatives = self.relatives(name);
        for relative in relatives.difference(&rules.seen.clone()) {
            if let Some(file) = self.files.get(relative) {
                rules.file(relative, file, Certainty::Maybe, DEEPEST, &|_| Certainty::Maybe);
            }
        }
        rules.rules
    }

    /// Whether the content of a block remains where files replace it: the later ones of a chain,
    /// and those that extend its last one.
    fn kept(&self, block: &str, later: &[&str], name: &str) -> Certainty {
        let replaces = |file: &SourceFile<'_>| file.blocks.contains(block);
        let later = later.iter().filter_map(|link| self.files.get(link)).filter(|file| replaces(file));
        let by_chain = later.map(|file| Certainty::of(file.uses_super).unsure_if(file.uses_super)).min();
        let is_replaced = self.users_of(name).iter().filter_map(|user| self.files.get(user)).any(replaces);
        by_chain.unwrap_or(Certainty::Yes).unsure_if(is_replaced)
    }

    /// The files that a file extends, the outermost first, and the file.
    fn chain(&self, name: &'a str) -> Vec<&'a str> {
        let parents = std::iter::successors(Some(name), |name| self.files.get(name)?.extends);
        let mut chain: Vec<&str> = parents.take(DEEPEST).collect();
        chain.reverse();
        chain
    }

    /// Files that use a file, directly or through others.
    fn users_of(&self, name: &str) -> BTreeSet<&'a str> {
        reached(name, |name| self.users.get(name).into_iter().flatten().copied().collect())
    }

    /// Files that may be rendered together with a file.
    fn relatives(&self, name: &str) -> BTreeSet<&'a str> {
        let references = |name: &str| self.files.get(name).into_iter().flat_map(SourceFile::references).collect();
        let mut relatives = self.users_of(name);
        for user in self.users_of(name) {
            relatives.extend(reached(user, references));
        }
        relatives.extend(reached(name, references));
        relatives.remove(name);
        relatives
    }
}

fn has_html_tag(file: &SourceFile<'_>) -> bool {
    file.source.to_ascii_lowercase().contains("<html")
}

/// Everything that is reached from a name, without the name itself.
fn reached<'a>(name: &str, next: impl Fn(&str) -> Vec<&'a str>) -> BTreeSet<&'a str> {
    let (mut found, mut open) = (BTreeSet::new(), next(name));
    while let Some(one) = open.pop() {
        if one != name && found.insert(one) {
            open.extend(next(one));
        }
    }
    found
}

/// Rules being collected.
struct RuleCollector<'g, 'f, 'a> {
    graph: &'g FileGraph<'f, 'a>,
    rules: Vec<AppliedRule<'f>>,
    seen: BTreeSet<&'a str>,
}

impl<'f, 'a> RuleCollector<'_, 'f, 'a> {
    fn file(
        &mut self,
        name: &'a str,
        file: &'f SourceFile<'a>,
        certainty: Certainty,
        depth: usize,
        kept: &dyn Fn(&str) -> Certainty,
    ) {
        self.seen.insert(name);
        for part in &file.parts {
            let in_block = part.block.map_or(Certainty::Yes, kept);
            self.part(part, part.certainty.min(certainty).min(in_block), depth, kept);
        }
    }

    fn part(&mut self, part: &'f SheetPart<'a>, certainty: Certainty, depth: usize, kept: &dyn Fn(&str) -> Certainty) {
        match &part.content {
            _ if certainty == Certainty::No => {}
            SheetContent::Rules { rules, media } => self.rules.extend(rules.iter().map(|rule| AppliedRule {
                rule,
                certainty,
                condition: rule.condition.as_deref().or(media.as_deref()),
            })),
            SheetContent::Include(name) => {
                if let Some(file) = self.graph.files.get(name).filter(|_| depth < DEEPEST) {
                    self.file(name, file, certainty, depth + 1, kept);
                }
            }
        }
    }
}
