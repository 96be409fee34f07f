//! Rules of a style sheet.

use cssparser::{
    AtRuleParser, CowRcStr, DeclarationParser, ParseError, Parser, ParserState, QualifiedRuleParser,
    RuleBodyItemParser, RuleBodyParser, StyleSheetParser, Token,
};

use super::{selector::Selector, selector_parser::parse_list};

/// Rule for elements.
#[derive(Debug)]
pub(super) struct StyleRule {
    pub(super) selectors: Vec<Selector>,
    pub(super) declarations: Vec<StyleDeclaration>,
    /// The at-rule around it, such as `@media print`.
    pub(super) condition: Option<String>,
    /// Selectors as they were written, for messages.
    pub(super) shown: String,
    /// Whether a declaration would be template code outside of `{% raw %}`.
    pub(super) has_code: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StyleDeclaration {
    /// Name in lower case.
    pub(super) name: String,
    /// Value without `!important`.
    pub(super) value: String,
    pub(super) is_important: bool,
}

/// Maximum number of characters of a selector in a message.
const SHOWN: usize = 60;

type Error = ParseError<()>;

/// Parses a style sheet. What is not understood is left out, as in a browser.
pub(super) fn parse_sheet(css: &str) -> Vec<StyleRule> {
    rules(&mut Parser::new(css), None)
}

fn rules(input: &mut Parser<'_>, condition: Option<&str>) -> Vec<StyleRule> {
    let mut reader = SheetReader { condition };
    StyleSheetParser::new(input, &mut reader).flatten().flatten().collect()
}

struct SheetReader<'a> {
    condition: Option<&'a str>,
}

impl<'i> QualifiedRuleParser<'i> for SheetReader<'_> {
    type Prelude = (Vec<Selector>, String);
    type QualifiedRule = Vec<StyleRule>;
    type Error = ();

    fn parse_prelude(&mut self, input: &mut Parser<'i>) -> Result<Self::Prelude, Error> {
        let start = input.position();
        let selectors = parse_list(input)?;
        Ok((selectors, shown(input.slice_from(start))))
    }

    fn parse_block(
        &mut self,
        (selectors, shown): Self::Prelude,
        _start: &ParserState,
        input: &mut Parser<'i>,
    ) -> Result<Self::QualifiedRule, Error> {
        let declarations: Vec<StyleDeclaration> =
            RuleBodyParser::new(input, &mut BodyReader).flatten().flatten().collect();
        let is_code = |text: &str| ["{{", "{%", "{#"].iter().any(|start| text.contains(start));
        let has_code = declarations.iter().any(|one| is_code(&one.name) || is_code(&one.value));
        let condition = self.condition.map(str::to_owned);
        Ok(vec![StyleRule { selectors, declarations, condition, shown, has_code }])
    }
}

impl<'i> AtRuleParser<'i> for SheetReader<'_> {
    type Prelude = String;
    type AtRule = Vec<StyleRule>;
    type Error = ();

    fn parse_prelude(&mut self, name: CowRcStr<'i>, input: &mut Parser<'i>) -> Result<String, Error> {
        let start = input.position();
        while input.next().is_ok() {}
        Ok(format!("@{} {}", name.to_ascii_lowercase(), shown(input.slice_from(start))))
    }

    fn rule_without_block(&mut self, _prelude: String, _start: &ParserState) -> Result<Self::AtRule, ()> {
        Ok(Vec::new())
    }

    /// Rules with a condition. At-rules within an at-rule are not read.
    fn parse_block(
        &mut self,
        prelude: String,
        _start: &ParserState,
        input: &mut Parser<'i>,
    ) -> Result<Self::AtRule, Error> {
        let has_rules = ["@media ", "@supports ", "@layer "].iter().any(|name| prelude.starts_with(name));
        if has_rules && self.condition.is_none() {
            return Ok(rules(input, Some(prelude.trim())));
        }
        while input.next().is_ok() {}
        Ok(Vec::new())
    }
}

/// Reader of declarations. Rules within a rule are left out.
struct BodyReader;

impl<'i> DeclarationParser<'i> for BodyReader {
    type Declaration = Option<StyleDeclaration>;
    type Error = ();

    fn parse_value(
        &mut self,
        name: CowRcStr<'i>,
        input: &mut Parser<'i>,
        _start: &ParserState,
    ) -> Result<Self::Declaration, Error> {
        let start = input.position();
        let mut important_at = None;
        loop {
            let before = input.position();
            match input.next_including_whitespace().cloned() {
                Err(_) => break,
                Ok(Token::Delim('!')) => {
                    input.expect_ident_matching("important")?;
                    input.expect_exhausted()?;
                    important_at = Some(before);
                }
                Ok(
                    Token::Function(_) | Token::ParenthesisBlock | Token::SquareBracketBlock | Token::CurlyBracketBlock,
                ) => {
                    input.parse_nested_block(|input| input.expect_no_error_token().map_err(Error::from))?;
                }
                Ok(token) if token.is_parse_error() => return Err(ParseError::unexpected_token()),
                Ok(_) => {}
            }
        }
        let end = important_at.unwrap_or_else(|| input.position());
        let value = one_line(input.slice(start..end));
        let name = if name.starts_with("--") { name.to_string() } else { name.to_ascii_lowercase() };
        Ok((!value.is_empty()).then_some(StyleDeclaration { name, value, is_important: important_at.is_some() }))
    }
}

impl<'i> QualifiedRuleParser<'i> for BodyReader {
    type Prelude = ();
    type QualifiedRule = Option<StyleDeclaration>;
    type Error = ();

    fn parse_prelude(&mut self, input: &mut Parser<'i>) -> Result<(), Error> {
        while input.next().is_ok() {}
        Ok(())
    }

    fn parse_block(
        &mut self,
        _prelude: (),
        _start: &ParserState,
        input: &mut Parser<'i>,
    ) -> Result<Self::QualifiedRule, Error> {
        while input.next().is_ok() {}
        Ok(None)
    }
}

impl AtRuleParser<'_> for BodyReader {
    type Prelude = ();
    type AtRule = Option<StyleDeclaration>;
    type Error = ();
}

impl RuleBodyItemParser<'_, Option<StyleDeclaration>, ()> for BodyReader {
    fn parse_declarations(&self) -> bool {
        true
    }

    fn parse_qualified(&self) -> bool {
        true
    }
}

/// A value without comments and line breaks.
fn one_line(value: &str) -> String {
    let mut line = String::with_capacity(value.len());
    let (mut rest, mut quote) = (value.trim(), None);
    while let Some(c) = rest.chars().next() {
        let mut len = c.len_utf8();
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (_, '\\') => len += rest[1..].chars().next().map_or(0, char::len_utf8),
            (None, '"' | '\'') => quote = Some(c),
            (None, '/') if rest.starts_with("/*") => {
                rest = rest[2..].split_once("*/").map_or("", |(_, after)| after);
                push_space(&mut line);
                continue;
            }
            (None, c) if c.is_ascii_whitespace() => {
                push_space(&mut line);
                rest = &rest[1..];
                continue;
            }
            _ => {}
        }
        line.push_str(&rest[..len]);
        rest = &rest[len..];
    }
    line.truncate(line.trim_end().len());
    line
}

fn push_space(line: &mut String) {
    if !line.is_empty() && !line.ends_with(' ') {
        line.push(' ');
    }
}

fn shown(text: &str) -> String {
    let line = one_line(text);
    match line.char_indices().nth(SHOWN) {
        Some((at, _)) => format!("{}…", &line[..at]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rules as `condition selectors { declarations }`.
    fn read(css: &str) -> String {
        let rules = parse_sheet(css).into_iter().map(|rule| {
            let declarations = rule.declarations.iter().map(|declaration| {
                let important = if declaration.is_important { " !" } else { "" };
                format!("{}={}{important}", declaration.name, declaration.value)
            });
            let condition = rule.condition.map(|condition| format!("({condition}) ")).unwrap_or_default();
            format!("{condition}{}[{}]", rule.shown, declarations.collect::<Vec<_>>().join("; "))
        });
        rules.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn rules_are_read_as_in_a_browser() {
        for (css, rules) in [
            ("a{color:red}", "a[color=red]"),
            ("A , .b > c{ COLOR : Red ; ; margin:0 auto!important }", "A , .b > c[color=Red; margin=0 auto !]"),
            ("<!-- a{b:c} -->", "a[b=c]"),
            ("a{*display:inline;_height:1px;color:}b{c:d}", "a[_height=1px] b[c=d]"),
            ("a{font:1px/2 \"A /* b\", /* c */ 'd'\n  e}", "a[font=1px/2 \"A /* b\", 'd' e]"),
            ("a{b:url(x;y) c;d:e}", "a[b=url(x;y) c; d=e]"),
            ("a{b:c;&:hover{d:e}f:g}", "a[b=c; f=g]"),
            ("a{b:c\\}d;e:f}", "a[b=c\\}d; e=f]"),
            ("a::b:c-d, e{f:g} h{i:j}", "h[i=j]"),
            ("a:hover{b:c}", "a:hover[b=c]"),
            ("@import url(x.css);@charset 'x';@font-face{font-family:x;src:url(y)}a{b:c}", "a[b=c]"),
            ("@media print{a{b:c}@media x{d{e:f}}}g{h:i}@page{margin:1cm}", "(@media print) a[b=c] g[h=i]"),
            ("a{b:c !ie;d:e}", "a[d=e]"),
            ("a{b:c", "a[b=c]"),
            ("{a:b} c{d:e}", "c[d=e]"),
            ("a{b:'x\n;c:d}e{f:g}", "a[c=d] e[f=g]"),
            ("a{--X: {b} ;c:d}", "a[--X={b}; c=d]"),
        ] {
            assert_eq!(read(css), rules, "{css}");
        }
    }
}
