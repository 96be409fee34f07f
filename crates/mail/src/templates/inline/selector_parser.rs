//! Parser of CSS selectors.

use cssparser::{ParseError, Parser, Token, parse_nth};

use super::selector::{AttributeOperator, AttributeTest, Combinator, Compound, Condition, Selector};

/// Maximum number of elements in a selector; a longer one is left to the mail program.
const LONGEST: usize = 16;
/// Specificity of a selector that may have any.
const ANY_SPECIFICITY: u32 = u32::MAX;

type Error = ParseError<()>;

/// Attributes of HTML whose values are compared without regard to case.
const CASELESS: [&str; 16] = [
    "align", "bgcolor", "charset", "clear", "color", "dir", "face", "frame", "lang", "link", "media", "method", "rel",
    "target", "type", "valign",
];
const DYNAMIC: [&str; 8] =
    ["active", "checked", "focus", "focus-visible", "focus-within", "hover", "target", "visited"];
const UNDECIDED: [&str; 24] = [
    "autofill",
    "default",
    "defined",
    "disabled",
    "enabled",
    "first-of-type",
    "fullscreen",
    "in-range",
    "indeterminate",
    "invalid",
    "last-of-type",
    "modal",
    "only-of-type",
    "optional",
    "out-of-range",
    "picture-in-picture",
    "placeholder-shown",
    "read-only",
    "read-write",
    "required",
    "scope",
    "user-invalid",
    "user-valid",
    "valid",
];
const UNDECIDED_FUNCTIONS: [&str; 6] = ["dir", "has", "lang", "nth-last-of-type", "nth-of-type", "state"];
/// Parts of elements that are also written with one colon.
const OLD_PARTS: [&str; 4] = ["after", "before", "first-letter", "first-line"];

/// Parses a list of selectors. One that is invalid makes the list invalid, as in a browser.
pub(super) fn parse_list(input: &mut Parser<'_>) -> Result<Vec<Selector>, Error> {
    input.parse_comma_separated(|input| SelectorReader::default().read(input))
}

#[derive(Debug, Default)]
struct SelectorReader {
    done: Vec<Compound>,
    combinators: Vec<Combinator>,
    current: Compound,
    is_in_compound: bool,
    pending: Option<Combinator>,
    weight: Specificity,
    is_dynamic: bool,
    is_of_part: bool,
}

/// Numbers of ids, of classes and the like, and of names.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Specificity {
    is_any: bool,
    ids: u32,
    classes: u32,
    names: u32,
}

impl Specificity {
    fn number(self) -> u32 {
        if self.is_any {
            return ANY_SPECIFICITY;
        }
        (self.ids.min(1023) << 20) | (self.classes.min(1023) << 10) | self.names.min(1023)
    }
}

impl SelectorReader {
    fn read(mut self, input: &mut Parser<'_>) -> Result<Selector, Error> {
        while let Ok(token) = input.next_including_whitespace() {
            let token = token.clone();
            self.token(&token, input)?;
        }
        self.end()
    }

    fn token(&mut self, token: &Token<'_>, input: &mut Parser<'_>) -> Result<(), Error> {
        match token {
            Token::WhiteSpace(_) => {
                if self.is_in_compound && self.pending.is_none() {
                    self.pending = Some(Combinator::Descendant);
                }
                Ok(())
            }
            Token::Delim('>') => self.combine(Combinator::Child),
            Token::Delim('+') => self.combine(Combinator::Next),
            Token::Delim('~') => self.combine(Combinator::Later),
            simple => {
                self.begin_compound();
                simple_selector(
                    &mut self.current,
                    simple,
                    input,
                    &mut self.weight,
                    &mut Pseudo { is_dynamic: &mut self.is_dynamic, is_of_part: &mut self.is_of_part },
                )
            }
        }
    }

    fn combine(&mut self, combinator: Combinator) -> Result<(), Error> {
        let is_first = matches!(self.pending, None | Some(Combinator::Descendant));
        if !self.is_in_compound || !is_first {
            return Err(ParseError::unexpected_token());
        }
        self.pending = Some(combinator);
        Ok(())
    }

    fn begin_compound(&mut self) {
        if let Some(combinator) = self.pending.take() {
            self.done.push(std::mem::take(&mut self.current));
            self.combinators.push(combinator);
        }
        self.is_in_compound = true;
    }

    fn end(mut self) -> Result<Selector, Error> {
        if !self.is_in_compound || !matches!(self.pending, None | Some(Combinator::Descendant)) {
            return Err(ParseError::unexpected_token());
        }
        self.done.push(self.current);
        self.done.reverse();
        self.combinators.reverse();
        if self.done.len() > LONGEST {
            self.done.truncate(1);
            self.combinators.clear();
            self.done[0].conditions.push(Condition::Undecided);
        }
        Ok(Selector {
            compounds: self.done,
            combinators: self.combinators,
            specificity: self.weight.number(),
            is_dynamic: self.is_dynamic,
            is_of_part: self.is_of_part,
        })
    }
}

/// Properties of the whole selector that its pseudo-classes decide.
struct Pseudo<'a> {
    is_dynamic: &'a mut bool,
    is_of_part: &'a mut bool,
}

fn simple_selector(
    compound: &mut Compound,
    token: &Token<'_>,
    input: &mut Parser<'_>,
    weight: &mut Specificity,
    pseudo: &mut Pseudo<'_>,
) -> Result<(), Error> {
    let is_first = compound.name.is_none() && compound.conditions.is_empty() && !compound.is_universal;
    let condition = match token {
        Token::Ident(name) if is_first => {
            weight.names += 1;
            compound.name = Some(name.to_ascii_lowercase());
            return Ok(());
        }
        Token::Delim('*') if is_first => {
            compound.is_universal = true;
            return Ok(());
        }
        Token::IDHash(id) => {
            weight.ids += 1;
            Condition::Id(id.to_string())
        }
        Token::Delim('.') => match input.next_including_whitespace()? {
            Token::Ident(class) => {
                weight.classes += 1;
                Condition::Class(class.to_string())
            }
            _ => return Err(ParseError::unexpected_token()),
        },
        Token::SquareBracketBlock => {
            weight.classes += 1;
            Condition::Attribute(input.parse_nested_block(attribute_test)?)
        }
        Token::Colon => return pseudo_selector(compound, input, weight, pseudo),
        _ => return Err(ParseError::unexpected_token()),
    };
    compound.conditions.push(condition);
    Ok(())
}

fn pseudo_selector(
    compound: &mut Compound,
    input: &mut Parser<'_>,
    weight: &mut Specificity,
    pseudo: &mut Pseudo<'_>,
) -> Result<(), Error> {
    let token = input.next_including_whitespace()?.clone();
    let condition = match token {
        Token::Colon => {
            *pseudo.is_of_part = true;
            weight.names += 1;
            return part(input);
        }
        Token::Ident(name) => {
            let name = name.to_ascii_lowercase();
            if OLD_PARTS.contains(&name.as_str()) {
                *pseudo.is_of_part = true;
                weight.names += 1;
                return Ok(());
            }
            weight.classes += 1;
            if DYNAMIC.contains(&name.as_str()) {
                *pseudo.is_dynamic = true;
                return Ok(());
            }
            pseudo_class(compound, &name)?
        }
        Token::Function(name) => {
            let name = name.to_ascii_lowercase();
            input.parse_nested_block(|input| pseudo_function(&name, input, weight))?
        }
        _ => return Err(ParseError::unexpected_token()),
    };
    compound.conditions.push(condition);
    Ok(())
}

/// Name of a part of an element: any, since each mail program has its own.
fn part(input: &mut Parser<'_>) -> Result<(), Error> {
    match input.next_including_whitespace()?.clone() {
        Token::Ident(_) => Ok(()),
        Token::Function(_) => input.parse_nested_block(skipped),
        _ => Err(ParseError::unexpected_token()),
    }
}

fn skipped(input: &mut Parser<'_>) -> Result<(), Error> {
    while input.next().is_ok() {}
    Ok(())
}

fn pseudo_class(compound: &mut Compound, name: &str) -> Result<Condition, Error> {
    let nth = |from_last| Condition::Nth { a: 0, b: 1, from_last };
    Ok(match name {
        "first-child" => nth(false),
        "last-child" => nth(true),
        "only-child" => {
            compound.conditions.push(nth(false));
            nth(true)
        }
        "empty" => Condition::Empty,
        "root" => Condition::Root,
        "link" | "any-link" => Condition::Attribute(AttributeTest {
            name: "href".to_owned(),
            operator: AttributeOperator::Exists,
            value: String::new(),
            ignores_case: false,
        }),
        _ if UNDECIDED.contains(&name) => Condition::Undecided,
        _ => return Err(ParseError::unexpected_token()),
    })
}

fn pseudo_function(name: &str, input: &mut Parser<'_>, weight: &mut Specificity) -> Result<Condition, Error> {
    match name {
        "nth-child" | "nth-last-child" => {
            weight.classes += 1;
            let (a, b) = parse_nth(input)?;
            if input.is_exhausted() {
                return Ok(Condition::Nth { a, b, from_last: name == "nth-last-child" });
            }
            // `of S`
            weight.is_any = true;
            skipped(input)?;
            Ok(Condition::Undecided)
        }
        "is" | "not" | "where" => list_condition(name, input, weight),
        _ if UNDECIDED_FUNCTIONS.contains(&name) => {
            weight.is_any = true;
            skipped(input)?;
            Ok(Condition::Undecided)
        }
        _ => Err(ParseError::unexpected_token()),
    }
}

/// `:is(…)`, `:not(…)` or `:where(…)` of simple selectors. Anything more is not decided here.
fn list_condition(name: &str, input: &mut Parser<'_>, weight: &mut Specificity) -> Result<Condition, Error> {
    let start = input.state();
    let (mut is_dynamic, mut is_of_part) = (false, false);
    let mut pseudo = Pseudo { is_dynamic: &mut is_dynamic, is_of_part: &mut is_of_part };
    let list = input.parse_comma_separated(|input| simple_compound(input, &mut pseudo));
    match list {
        Ok(list) if !is_dynamic && !is_of_part => {
            let heaviest = list.iter().map(|(_, weight)| *weight).max().filter(|_| name != "where").unwrap_or_default();
            weight.is_any |= heaviest.is_any;
            weight.ids += heaviest.ids;
            weight.classes += heaviest.classes;
            weight.names += heaviest.names;
            let list = list.into_iter().map(|(compound, _)| compound).collect();
            Ok(if name == "not" { Condition::Not(list) } else { Condition::Is(list) })
        }
        Ok(_) | Err(_) => {
            input.reset(&start);
            weight.is_any = true;
            skipped(input)?;
            Ok(Condition::Undecided)
        }
    }
}

/// Compound without functions, so that it is parsed without recursion.
fn simple_compound(input: &mut Parser<'_>, pseudo: &mut Pseudo<'_>) -> Result<(Compound, Specificity), Error> {
    let (mut compound, mut weight) = (Compound::default(), Specificity::default());
    input.skip_whitespace();
    while let Ok(token) = input.next_including_whitespace() {
        match token.clone() {
            Token::WhiteSpace(_) => input.expect_exhausted()?,
            Token::Colon if next_is_function(input) => return Err(ParseError::unexpected_token()),
            token => simple_selector(&mut compound, &token, input, &mut weight, pseudo)?,
        }
    }
    Ok((compound, weight))
}

fn next_is_function(input: &mut Parser<'_>) -> bool {
    let start = input.state();
    let is_function = matches!(input.next_including_whitespace(), Ok(Token::Function(_)));
    input.reset(&start);
    is_function
}

fn attribute_test(input: &mut Parser<'_>) -> Result<AttributeTest, Error> {
    let name = input.expect_ident_cloned()?.to_ascii_lowercase();
    let ignores_case = CASELESS.contains(&name.as_str());
    let exists = AttributeOperator::Exists;
    let mut test = AttributeTest { name, operator: exists, value: String::new(), ignores_case };
    let Ok(operator) = input.next().cloned() else { return Ok(test) };
    test.operator = match operator {
        Token::Delim('=') => AttributeOperator::Equals,
        Token::IncludeMatch => AttributeOperator::HasWord,
        Token::DashMatch => AttributeOperator::HasPrefixWord,
        Token::PrefixMatch => AttributeOperator::StartsWith,
        Token::SuffixMatch => AttributeOperator::EndsWith,
        Token::SubstringMatch => AttributeOperator::Contains,
        _ => return Err(ParseError::unexpected_token()),
    };
    test.value = input.expect_ident_or_string()?.to_string();
    match input.next().cloned() {
        Err(_) => {}
        Ok(Token::Ident(flag)) if flag.eq_ignore_ascii_case("i") => test.ignores_case = true,
        Ok(Token::Ident(flag)) if flag.eq_ignore_ascii_case("s") => test.ignores_case = false,
        Ok(_) => return Err(ParseError::unexpected_token()),
    }
    Ok(test)
}
