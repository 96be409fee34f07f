//! Rust source as tokens: the modules, imports, paths and types in one file.

use std::str::FromStr;

use proc_macro2::{Delimiter, Spacing, TokenStream, TokenTree};

/// Declarations and references of one module.
#[derive(Default)]
pub(super) struct SourceModule {
    pub(super) children: Vec<ChildModule>,
    pub(super) imports: Vec<Import>,
    /// Paths of two segments or more outside of `use`.
    pub(super) paths: Vec<SourcePath>,
    /// Structs, enums, traits and type aliases; associated types excluded.
    pub(super) types: Vec<(String, usize)>,
    /// Types that an `impl` block of this module is for.
    pub(super) implemented: Vec<String>,
}

pub(super) struct ChildModule {
    pub(super) name: String,
    /// `None` if the module has a file of its own.
    pub(super) inline: Option<SourceModule>,
}

/// One name that a `use` item binds.
pub(super) struct Import {
    /// Name in this module, `*` for a glob.
    pub(super) name: String,
    pub(super) path: SourcePath,
    /// Whether the item has a visibility, such as `pub` or `pub(crate)`.
    pub(super) is_reexport: bool,
}

pub(super) struct SourcePath {
    pub(super) segments: Vec<String>,
    pub(super) line: usize,
}

/// Which code to read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Code {
    All,
    WithoutTests,
}

impl SourceModule {
    pub(super) fn parse(text: &str, code: Code) -> Self {
        let tokens = TokenStream::from_str(text).expect("Rust source");
        let mut module = Self::default();
        module.read(tokens, code, false);
        module
    }

    /// Reads one group of tokens. `associated` is true directly inside an `impl` or `trait` block.
    fn read(&mut self, tokens: TokenStream, code: Code, associated: bool) {
        let mut tokens = Tokens { tokens: tokens.into_iter().collect(), at: 0 };
        let mut visible = false;
        let mut block_is_associated = false;
        while let Some(token) = tokens.next() {
            let was_visible = std::mem::take(&mut visible);
            match &token {
                TokenTree::Punct(mark) if mark.as_char() == '#' => {
                    if tokens.skip_attribute() == Attribute::Test && code == Code::WithoutTests {
                        tokens.skip_item();
                    }
                    visible = was_visible;
                }
                TokenTree::Punct(mark) if mark.as_char() == ';' => block_is_associated = false,
                TokenTree::Group(group) => {
                    let is_block = group.delimiter() == Delimiter::Brace;
                    self.read(group.stream(), code, is_block && std::mem::take(&mut block_is_associated));
                }
                TokenTree::Ident(word) => match word.to_string().as_str() {
                    "pub" => {
                        tokens.skip_group(Delimiter::Parenthesis);
                        visible = true;
                    }
                    "use" if !tokens.is_punct(0, '<') => {
                        let line = word.span().start().line;
                        self.read_use(&mut tokens, &[], line, was_visible);
                    }
                    "mod" => self.read_child(&mut tokens, code),
                    "impl" if tokens.is_item_start() => {
                        self.implemented.extend(tokens.self_type());
                        block_is_associated = true;
                    }
                    keyword @ ("struct" | "enum" | "trait" | "type") => {
                        block_is_associated |= keyword == "trait";
                        if !(associated && keyword == "type")
                            && let Some(TokenTree::Ident(name)) = tokens.peek(0)
                        {
                            self.types.push((name.to_string(), name.span().start().line));
                        }
                    }
                    first => {
                        if let Some(path) = tokens.path(first, word.span().start().line) {
                            self.paths.push(path);
                        }
                    }
                },
                TokenTree::Punct(_) | TokenTree::Literal(_) => {}
            }
        }
    }

    fn read_child(&mut self, tokens: &mut Tokens, code: Code) {
        let Some(TokenTree::Ident(name)) = tokens.peek(0) else { return };
        let name = name.to_string();
        match tokens.peek(1) {
            Some(TokenTree::Punct(end)) if end.as_char() == ';' => {
                self.children.push(ChildModule { name, inline: None });
            }
            Some(TokenTree::Group(body)) if body.delimiter() == Delimiter::Brace => {
                let mut inline = Self::default();
                inline.read(body.stream(), code, false);
                self.children.push(ChildModule { name, inline: Some(inline) });
                tokens.at += 2;
            }
            _ => {}
        }
    }

    /// Reads one tree of a `use` item: a path, with `as`, `*` or a group of trees at its end.
    fn read_use(&mut self, tokens: &mut Tokens, prefix: &[String], line: usize, is_reexport: bool) {
        let mut segments = prefix.to_vec();
        let mut name = None;
        while let Some(token) = tokens.next() {
            match token {
                TokenTree::Ident(word) if word == "as" => name = tokens.next().map(|name| name.to_string()),
                TokenTree::Ident(word) => segments.push(word.to_string()),
                TokenTree::Punct(mark) if mark.as_char() == '*' => name = Some("*".to_owned()),
                TokenTree::Punct(mark) if mark.as_char() == ':' => {}
                TokenTree::Group(group) => {
                    let mut trees = Tokens { tokens: group.stream().into_iter().collect(), at: 0 };
                    while let Some(first) = trees.peek(0) {
                        let line = first.span().start().line;
                        self.read_use(&mut trees, &segments, line, is_reexport);
                    }
                    tokens.skip_mark(',');
                    return;
                }
                // `,` and `;` end the tree.
                _ => break,
            }
        }
        if segments.len() > 1 && segments.last().is_some_and(|last| last == "self") {
            segments.pop();
        }
        if let Some(name) = name.or_else(|| segments.last().cloned()) {
            self.imports.push(Import { name, path: SourcePath { segments, line }, is_reexport });
        }
    }
}

#[derive(PartialEq, Eq)]
enum Attribute {
    /// `cfg(test)`, or `cfg(all(test, …))`.
    Test,
    Other,
}

/// The tokens of one group and a position in them.
struct Tokens {
    tokens: Vec<TokenTree>,
    at: usize,
}

impl Tokens {
    fn next(&mut self) -> Option<TokenTree> {
        self.at += 1;
        self.tokens.get(self.at - 1).cloned()
    }

    fn peek(&self, ahead: usize) -> Option<&TokenTree> {
        self.tokens.get(self.at + ahead)
    }

    fn is_punct(&self, ahead: usize, mark: char) -> bool {
        matches!(self.peek(ahead), Some(TokenTree::Punct(punct)) if punct.as_char() == mark)
    }

    fn skip_mark(&mut self, mark: char) {
        if self.is_punct(0, mark) {
            self.at += 1;
        }
    }

    fn is_path_separator(&self) -> bool {
        self.is_punct(0, ':') && self.is_punct(1, ':')
    }

    fn skip_group(&mut self, delimiter: Delimiter) -> Option<TokenStream> {
        match self.peek(0) {
            Some(TokenTree::Group(group)) if group.delimiter() == delimiter => {
                let stream = group.stream();
                self.at += 1;
                Some(stream)
            }
            _ => None,
        }
    }

    /// Skips the rest of an attribute, whose `#` was read.
    fn skip_attribute(&mut self) -> Attribute {
        self.skip_mark('!');
        let text = self.skip_group(Delimiter::Bracket).unwrap_or_default().to_string().replace(' ', "");
        let is_test = text.starts_with("cfg(test") || text.starts_with("cfg(all(test");
        if is_test { Attribute::Test } else { Attribute::Other }
    }

    /// Skips an item, up to and including its `;` or its block.
    fn skip_item(&mut self) {
        while let Some(token) = self.next() {
            match token {
                TokenTree::Punct(end) if end.as_char() == ';' => return,
                TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => return,
                _ => {}
            }
        }
    }

    /// Whether the word just read is the first of an item, `unsafe` aside.
    fn is_item_start(&self) -> bool {
        let Some(before) = self.at.checked_sub(2) else { return true };
        match &self.tokens[before] {
            TokenTree::Group(group) => group.delimiter() != Delimiter::Parenthesis,
            TokenTree::Punct(mark) => mark.as_char() == ';',
            TokenTree::Ident(word) => word == "unsafe",
            TokenTree::Literal(_) => false,
        }
    }

    /// Returns the name of the type that an `impl` block is for; reads nothing.
    fn self_type(&self) -> Option<String> {
        let header: Vec<&TokenTree> = self.tokens[self.at..]
            .iter()
            .take_while(|token| !matches!(token, TokenTree::Group(group) if group.delimiter() == Delimiter::Brace))
            .collect();
        let (mut depth, mut name, mut arrow) = (0_i32, None, false);
        for token in header {
            match token {
                TokenTree::Punct(mark) if mark.as_char() == '<' => depth += 1,
                TokenTree::Punct(mark) if mark.as_char() == '>' && !arrow => depth -= 1,
                TokenTree::Ident(word) if depth == 0 && word == "where" => break,
                TokenTree::Ident(word) if depth == 0 && word != "for" && word != "dyn" => name = Some(word.to_string()),
                _ => {}
            }
            arrow =
                matches!(token, TokenTree::Punct(mark) if mark.as_char() == '-' && mark.spacing() == Spacing::Joint);
        }
        name
    }

    /// Reads the rest of a path that begins with this word; `None` if it has one segment.
    fn path(&mut self, first: &str, line: usize) -> Option<SourcePath> {
        let mut segments = vec![first.to_owned()];
        while self.is_path_separator() {
            let Some(TokenTree::Ident(word)) = self.peek(2) else { break };
            segments.push(word.to_string());
            self.at += 3;
        }
        (segments.len() > 1).then_some(SourcePath { segments, line })
    }
}

#[test]
fn declarations_and_references_are_read() {
    let text = r#"
        pub use a::{c::{self, D as E}, B,};
        mod inner { use super::F; }
        mod outer;
        struct G<T>(T);
        impl<T: Fn() -> u8> crate::H<T> for super::G<T> { type I = u8; fn j() { crate::k::l(&[m::N]) } }
        #[cfg(test)] mod tests { use x::Y; }
        type O = Vec<u8>;
    "#;
    let module = SourceModule::parse(text, Code::WithoutTests);
    let imports: Vec<String> =
        module.imports.iter().map(|import| format!("{} {}", import.name, import.path.segments.join("::"))).collect();
    assert_eq!(imports, ["c a::c", "E a::c::D", "B a::B"]);
    assert!(module.imports.iter().all(|import| import.is_reexport && import.path.line == 2));
    let paths: Vec<String> = module.paths.iter().map(|path| path.segments.join("::")).collect();
    assert_eq!(paths, ["crate::H", "super::G", "crate::k::l", "m::N"]);
    let types: Vec<&str> = module.types.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(types, ["G", "O"]);
    assert_eq!(module.implemented, ["G"]);
    let children: Vec<&str> = module.children.iter().map(|child| child.name.as_str()).collect();
    assert_eq!(children, ["inner", "outer"]);
    assert!(module.children[0].inline.as_ref().is_some_and(|inner| inner.imports.len() == 1));
}
