//! Limit on the nesting of files, since each level takes stack while it is rendered.

use std::collections::BTreeMap;

use super::{
    LoadError,
    source::TemplateSources,
    tag::{SegmentKind, segments, words},
};

/// Maximum length of a chain of files that include or extend each other.
const DEEPEST: usize = 16;
/// Maximum number of `elif` branches in a file; each is parsed inside the previous one.
const BRANCHES: usize = 1_000;

/// Rejects sources that are nested too deep, before tera parses them. Cycles are left to tera.
pub(super) fn check(sources: &TemplateSources) -> Result<(), LoadError> {
    for (name, source) in sources {
        let branches = source.matches("elif").count();
        if branches > BRANCHES {
            return Err(LoadError::broken(name, format!("it has {branches} elif branches; the limit is {BRANCHES}")));
        }
    }
    let inner: BTreeMap<&str, Vec<&str>> =
        sources.iter().map(|(name, source)| (name.as_str(), files_within(source, &["include", "extends"]))).collect();
    let mut depths = BTreeMap::new();
    for name in sources.keys() {
        let depth = depth(name, &inner, &mut depths);
        if depth > DEEPEST {
            return Err(LoadError::broken(
                name,
                format!("{depth} files include or extend each other, starting here; the limit is {DEEPEST}"),
            ));
        }
    }
    Ok(())
}

/// Files that tags of these kinds name.
pub(super) fn files_within<'a>(source: &'a str, kinds: &[&str]) -> Vec<&'a str> {
    let tags = segments(source).filter(|segment| segment.kind == SegmentKind::Tag);
    let names = tags.filter_map(|tag| match words(tag.inner)[..] {
        [first, name, ..] if kinds.contains(&first.text) => Some(name.text.trim_matches(['"', '\'', '`'])),
        _ => None,
    });
    names.collect()
}

fn depth<'a>(name: &'a str, inner: &BTreeMap<&'a str, Vec<&'a str>>, known: &mut BTreeMap<&'a str, usize>) -> usize {
    if let Some(depth) = known.get(name) {
        return *depth;
    }
    // Depth 0 is preset, so that a cycle ends.
    known.insert(name, 0);
    let files = inner.get(name).into_iter().flatten();
    let depth = files.map(|file| 1 + depth(file, inner, known)).max().unwrap_or(0);
    known.insert(name, depth);
    depth
}
