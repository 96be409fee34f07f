//! CSS selectors. A library would match them to elements, but not to elements that depend on
//! template code, of which some things are not known.

/// Selector that is understood.
#[derive(Debug, Clone)]
pub(super) struct Selector {
    /// From the element itself outwards.
    pub(super) compounds: Vec<Compound>,
    /// Combinator between each compound and the next one.
    pub(super) combinators: Vec<Combinator>,
    pub(super) specificity: u32,
    /// Whether it applies only while a reader does something: `:hover`.
    pub(super) is_dynamic: bool,
    /// Whether it selects a part of an element: `::before`.
    pub(super) is_of_part: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Combinator {
    Descendant,
    Child,
    Next,
    Later,
}

/// Conditions on one element.
#[derive(Debug, Clone, Default)]
pub(super) struct Compound {
    /// Name of the element in lower case.
    pub(super) name: Option<String>,
    pub(super) conditions: Vec<Condition>,
    pub(super) is_universal: bool,
}

#[derive(Debug, Clone)]
pub(super) enum Condition {
    Class(String),
    Id(String),
    Attribute(AttributeTest),
    /// `an + b`, from the first child or from the last one.
    Nth {
        a: i32,
        b: i32,
        from_last: bool,
    },
    Empty,
    Root,
    /// `:is(…)`
    Is(Vec<Compound>),
    /// `:not(…)`
    Not(Vec<Compound>),
    /// Not decided here, such as `:first-of-type`.
    Undecided,
}

/// `[name operator value]`
#[derive(Debug, Clone)]
pub(super) struct AttributeTest {
    /// Name in lower case.
    pub(super) name: String,
    pub(super) operator: AttributeOperator,
    pub(super) value: String,
    pub(super) ignores_case: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AttributeOperator {
    Exists,
    Equals,
    HasWord,
    HasPrefixWord,
    StartsWith,
    EndsWith,
    Contains,
}
