//! Variables, prepared for rendering.

use std::borrow::Cow;

use postroom_core::{Mail, Mailbox};
use serde_json::{Map, Value};
use tera::Context;

use super::{
    meter::{fits, weight_of_json},
    names::{short_name, tera_name},
};

/// Variable that holds the address of the recipient.
pub(super) const ADDRESS: &str = "email";

/// Maximum size of the variables of a mail, in bytes, including overhead.
const MOST: usize = 32 << 20;
/// Maximum size, in bytes, of variables that are copied and shown in negligible time.
const FEW: usize = 64 << 10;

/// Variables, prepared for rendering and shared by the mails of a batch. Clones are cheap.
#[derive(Debug, Clone, Default)]
pub struct Variables {
    context: Context,
    bytes: usize,
    largest: usize,
}

impl Variables {
    /// Prepares the variables of one mail.
    #[must_use]
    pub fn of(vars: &Map<String, Value>) -> Self {
        Self::default().and(vars)
    }

    /// Adds variables, which override the present ones. Variables beyond the size limit are
    /// dropped; rendering fails then anyway.
    pub(super) fn and(mut self, vars: &Map<String, Value>) -> Self {
        for (name, value) in vars {
            self.insert(name, value, |short| vars.contains_key(short));
        }
        self
    }

    /// Inserts a variable under its name and its short name, unless `is_taken` says that another
    /// variable of the same mail has that name.
    fn insert(&mut self, name: &str, value: &Value, is_taken: impl FnOnce(&str) -> bool) {
        let bytes = name.len() + weight_of_json(value);
        self.bytes = self.bytes.saturating_add(bytes);
        self.largest = self.largest.max(bytes);
        if self.bytes > MOST {
            return;
        }
        let (key, value) = (tera_name(name).into_owned(), tera::Value::from_serializable(value));
        let short = short_name(name);
        if !matches!(short, Cow::Borrowed(_)) && !short.is_empty() && *short != *name && !is_taken(&short) {
            self.context.insert_value(tera_name(&short).into_owned(), value.clone());
        }
        self.context.insert_value(key, value);
    }

    /// Adds the fields of a mail that are variables too, unless there is a variable of that name.
    /// `email` is the address in `to`, if there is only one.
    pub(super) fn with_fields(mut self, mail: &Mail) -> Self {
        if let [only] = &mail.to[..] {
            self.insert_field(ADDRESS, || only.address.to_string());
        }
        if let Some(subject) = &mail.subject {
            self.insert_field("subject", || subject.clone());
        }
        if let Some(locale) = &mail.locale {
            self.insert_field("locale", || locale.clone());
        }
        let lists = [("from", mail.from.as_slice()), ("cc", &mail.cc), ("reply_to", &mail.reply_to)];
        for (name, mailboxes) in lists.into_iter().filter(|(_, mailboxes)| !mailboxes.is_empty()) {
            let text = || mailboxes.iter().map(Mailbox::to_string).collect::<Vec<_>>().join(", ");
            self.insert_field(name, text);
        }
        self
    }

    fn insert_field(&mut self, name: &str, text: impl FnOnce() -> String) {
        if !self.context.contains_key(name) {
            self.insert(name, &Value::String(text()), |_| true);
        }
    }

    /// Size of the variables, in bytes, including overhead.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether these variables plus the present ones are small enough to prepare and show in
    /// negligible time.
    #[must_use]
    pub fn are_few_with(&self, vars: &Map<String, Value>) -> bool {
        let own: usize = vars.iter().map(|(name, value)| name.len() + weight_of_json(value)).sum();
        self.bytes.saturating_add(own) <= FEW
    }

    /// Checks the size of variables, independent of any template.
    ///
    /// # Errors
    ///
    /// Returns a description of the limit if they are too large.
    pub fn check(vars: &Map<String, Value>) -> Result<(), String> {
        check_bytes(vars.iter().map(|(name, value)| name.len() + weight_of_json(value)).sum())
    }

    pub(super) fn context(&self) -> &Context {
        &self.context
    }

    /// Checks the size of the variables for templates whose longest expression has `parts` values.
    pub(super) fn fit(&self, parts: usize) -> Result<(), String> {
        check_bytes(self.bytes)?;
        fits(self.largest, parts).map_err(|exceeded| format!("the variables are too large: {exceeded}"))
    }
}

fn check_bytes(bytes: usize) -> Result<(), String> {
    if bytes <= MOST {
        return Ok(());
    }
    Err(format!("the variables have {} MB; the limit is {} MB", bytes.div_ceil(1 << 20), MOST >> 20))
}
