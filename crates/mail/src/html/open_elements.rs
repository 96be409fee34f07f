//! Stack of open elements. Elements whose end tag may be omitted end by the rules of a parser.

use std::collections::HashMap;

use html5ever::LocalName;

use super::elements::{Ended, ended_by, is_block, is_formatting, is_of_table, is_scope};

/// Maximum number of elements searched for one that ends, so that any document takes linear time.
const FARTHEST: usize = 256;

/// Open elements, the innermost last, each with a value.
#[derive(Debug)]
pub(crate) struct OpenElements<T> {
    stack: Vec<(LocalName, T)>,
    /// Number of open elements of each name.
    numbers: HashMap<Box<str>, usize>,
}

impl<T> Default for OpenElements<T> {
    fn default() -> Self {
        Self { stack: Vec::new(), numbers: HashMap::new() }
    }
}

impl<T> OpenElements<T> {
    /// Number of open elements.
    pub(crate) fn len(&self) -> usize {
        self.stack.len()
    }

    /// The innermost element.
    pub(crate) fn last(&self) -> Option<&(LocalName, T)> {
        self.stack.last()
    }

    /// Elements from a depth on.
    pub(crate) fn from(&self, depth: usize) -> impl Iterator<Item = &(LocalName, T)> {
        self.stack.iter().skip(depth)
    }

    /// Opens an element.
    pub(crate) fn push(&mut self, name: LocalName, value: T) {
        match self.numbers.get_mut(&*name) {
            Some(number) => *number += 1,
            None => drop(self.numbers.insert((*name).into(), 1)),
        }
        self.stack.push((name, value));
    }

    /// Closes the elements that end where an element starts. Returns them, the innermost first.
    pub(crate) fn before(&mut self, name: &str) -> Vec<(LocalName, T)> {
        let mut closed = Vec::new();
        for ended in ended_by(name) {
            while let Some(depth) = self.find_ended(&ended) {
                self.close_to(depth, &mut closed);
            }
        }
        closed
    }

    /// Closes an element and those within it. Returns them, the innermost first; none if no such
    /// element is open. What follows the end of `body` is still part of it.
    pub(crate) fn end(&mut self, name: &str) -> Vec<(LocalName, T)> {
        let mut closed = Vec::new();
        if !matches!(name, "body" | "html")
            && let Some(depth) = self.find(name)
        {
            self.close_to(depth, &mut closed);
        }
        closed
    }

    fn close_to(&mut self, depth: usize, closed: &mut Vec<(LocalName, T)>) {
        while self.stack.len() > depth
            && let Some((name, value)) = self.stack.pop()
        {
            if let Some(number) = self.numbers.get_mut(&*name) {
                *number -= 1;
            }
            closed.push((name, value));
        }
    }

    fn find_ended(&self, ended: &Ended) -> Option<usize> {
        if ended.ends.iter().all(|name| !self.has(name)) {
            return None;
        }
        self.search(|name| ended.ends.contains(&name), ended.is_limit)
    }

    fn find(&self, name: &str) -> Option<usize> {
        if !self.has(name) {
            return None;
        }
        let is_limit: fn(&str) -> bool = match name {
            "table" => |_| false,
            _ if is_of_table(name) => |open| open == "table",
            _ if is_block(name) || is_formatting(name) => is_scope,
            _ => |open| is_scope(open) || is_block(open),
        };
        self.search(|open| open == name, is_limit)
    }

    fn has(&self, name: &str) -> bool {
        self.numbers.get(name).is_some_and(|number| *number > 0)
    }

    /// Depth of the innermost element that is wanted, unless a container is nearer.
    fn search(&self, is_wanted: impl Fn(&str) -> bool, is_container: impl Fn(&str) -> bool) -> Option<usize> {
        for (depth, (name, _)) in self.stack.iter().enumerate().rev().take(FARTHEST) {
            if is_wanted(name) {
                return Some(depth);
            }
            if is_container(name) {
                return None;
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names that are open after these tags; `/x` is an end tag.
    fn open_after(tags: &str) -> String {
        let mut open = OpenElements::default();
        for tag in tags.split_whitespace() {
            match tag.strip_prefix('/') {
                Some(name) => drop(open.end(name)),
                None => {
                    open.before(tag);
                    open.push(tag.into(), ());
                }
            }
        }
        open.stack.iter().map(|(name, ())| &**name).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn elements_end_as_in_a_parser() {
        for (tags, open) in [
            ("p p", "p"),
            ("p div", "div"),
            ("p span div", "div"),
            ("p button div", "p button div"),
            ("ul li ul li", "ul li ul li"),
            ("ul li b li", "ul li"),
            ("dl dt dd", "dl dd"),
            ("table tr td p tr td", "table tr td"),
            ("table tbody tr td tfoot", "table tfoot"),
            ("table tr td table tr td td", "table tr td table tr td"),
            ("div table tr td /div", "div table tr td"),
            ("div b i /div", ""),
            ("table tr td div /table", ""),
            ("a b a", "a"),
            ("a div a", "a div a"),
            ("span div /span", "span div"),
            ("b div /b", ""),
            ("svg g p", "p"),
            ("svg foreignobject p", "svg foreignobject p"),
            ("body svg text /svg", "body"),
            ("head body /body p /html", "body p"),
            ("x /y", "x"),
        ] {
            assert_eq!(open_after(tags), open, "{tags}");
        }
    }
}
