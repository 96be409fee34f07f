//! Whether content is displayed, by its element and its `style` attribute.

use html5ever::{Attribute, tokenizer::Tag};

use super::elements::is_void;

/// Elements that are never displayed as text.
const UNSEEN: [&str; 10] =
    ["style", "script", "title", "template", "svg", "math", "iframe", "object", "datalist", "noembed"];

/// Reasons why an element's content is not displayed.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Visibility {
    /// Nothing is displayed, regardless of the styles of elements within it.
    pub(super) is_removed: bool,
    /// By `visibility`, which elements within it may change.
    is_invisible: bool,
    /// The font size is zero, which elements within it may change.
    is_tiny: bool,
}

impl Visibility {
    /// Visibility of an element within one with this visibility.
    pub(super) fn of(self, tag: &Tag) -> Self {
        let mut own = Self { is_removed: self.is_removed || UNSEEN.contains(&&*tag.name), ..self };
        for attribute in &tag.attrs {
            match &*attribute.name.local {
                "hidden" => own.is_removed = true,
                "style" => own.apply(&attribute.value, tag),
                _ => {}
            }
        }
        own
    }

    /// Whether text is displayed.
    pub(super) fn shows_text(self) -> bool {
        self.shows_images() && !self.is_tiny
    }

    /// Whether images are displayed.
    pub(super) fn shows_images(self) -> bool {
        !self.is_removed && !self.is_invisible
    }

    fn apply(&mut self, style: &str, tag: &Tag) {
        let style = InlineStyle(style);
        let is = |property: &str, word: &str| style.get(property).is_some_and(|value| value.eq_ignore_ascii_case(word));
        let is_zero = |property: &str| style.get(property).is_some_and(|value| number(value) == Some(0.0));
        self.is_removed |= is("display", "none") || is_zero("opacity") || (is("mso-hide", "all") && !is_link(tag));
        self.is_removed |= !is_void(&tag.name) && is_zero("max-height");
        let clips = is("overflow", "hidden") && !is_void(&tag.name);
        // A cell with `max-width: 0` grows with its table.
        let is_narrow = !matches!(&*tag.name, "td" | "th") && (is_zero("width") || is_zero("max-width"));
        self.is_removed |= clips && (is_zero("height") || is_narrow);
        match style.get("visibility") {
            Some(value) if value.eq_ignore_ascii_case("visible") => self.is_invisible = false,
            Some(value) if ["hidden", "collapse"].iter().any(|word| value.eq_ignore_ascii_case(word)) => {
                self.is_invisible = true;
            }
            _ => {}
        }
        if let Some(size) = style.get("font-size").or_else(|| font_size(style.get("font")?)) {
            self.is_tiny = is_no_size(size, self.is_tiny);
        }
    }
}

/// Whether text of a size has no height, within text that has none or has one.
fn is_no_size(size: &str, within: bool) -> bool {
    let is_relative = size.ends_with(['%', 'm']) && !["rem", "mm", "cm"].iter().any(|unit| size.ends_with(unit));
    match number(size) {
        Some(0.0) => true,
        Some(_) => within && is_relative,
        None => {
            let absolute = ["small", "medium", "large", "x-", "xx-", "initial"];
            within && !absolute.iter().any(|word| size.to_ascii_lowercase().starts_with(word))
        }
    }
}

/// Whether it is a link. Buttons hide the link from Outlook, which shows a drawn one instead.
fn is_link(tag: &Tag) -> bool {
    &*tag.name == "a" && attribute(&tag.attrs, "href").is_some()
}

/// Value of an attribute.
pub(super) fn attribute<'a>(attributes: &'a [Attribute], name: &str) -> Option<&'a str> {
    attributes.iter().find(|attribute| &*attribute.name.local == name).map(|attribute| &*attribute.value)
}

/// Declarations of a `style` attribute.
struct InlineStyle<'a>(&'a str);

impl<'a> InlineStyle<'a> {
    /// Value of a property, without `!important`: the last one, an important one before others.
    fn get(&self, property: &str) -> Option<&'a str> {
        let (mut found, mut is_found_important) = (None, false);
        for declaration in self.0.split(';') {
            let Some((name, value)) = declaration.split_once(':') else { continue };
            if !name.trim().eq_ignore_ascii_case(property) {
                continue;
            }
            let (value, important) = value.split_once('!').unwrap_or((value, ""));
            let is_important = important.trim().eq_ignore_ascii_case("important");
            if is_important || !is_found_important {
                (found, is_found_important) = (Some(value.trim()), is_important);
            }
        }
        found
    }
}

/// Number of a length or a bare number, without its unit.
fn number(value: &str) -> Option<f64> {
    let unit = value.trim_end_matches(|c: char| c.is_ascii_alphabetic() || c == '%');
    unit.parse().ok()
}

/// Size in the value of `font`.
fn font_size(font: &str) -> Option<&str> {
    let sizes = font.split_ascii_whitespace().map(|word| word.split('/').next().unwrap_or_default());
    // A bare number is a weight, unless it is zero.
    sizes.into_iter().find(|word| match number(word) {
        Some(size) => size == 0.0 || word.ends_with(|c: char| !c.is_ascii_digit()),
        None => false,
    })
}
