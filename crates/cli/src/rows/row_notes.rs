//! Notes about the variables of a bulk's rows: one that looks like a field of the mail, and one
//! whose texts are used as true or false.

use std::collections::BTreeMap;

use postroom_core::Mail;
use postroom_enqueue::{NamesInUse, short_name};

use crate::console::Console;

/// Names that look like a field of a mail, without `_`, and what to use instead.
const LIKE_FIELDS: [(&[&str], &str); 11] = [
    (&["subject", "subjectline", "mailsubject", "emailsubject"], "a column named subject sets the subject"),
    (&["replyto"], "a column named reply_to sets the addresses for replies"),
    (&["cc"], "a column named cc sets the recipients of a copy"),
    (&["bcc"], "a column named bcc sets the recipients of a blind copy"),
    (&["from", "sender", "fromaddress", "fromemail"], "a column named from sets the sender"),
    (&["locale", "language", "lang"], "a column named locale sets the language of the template"),
    (&["header", "headers"], "use --header, or the key headers of JSON lines"),
    (&["attachment", "attachments", "attach", "file"], "files can be attached with the key attachments of JSON lines"),
    (&["text", "html", "body", "template"], "the bodies come from --template"),
    (&["priority", "queue", "key"], "use the flag of this name, which holds for all rows"),
    (&["sendat", "at", "sendtime", "expiresin"], "use --at, --in or --expires-in, which hold for all rows"),
];

/// Texts that mean true, and those that mean false.
const TRUE: [&str; 6] = ["true", "t", "yes", "y", "1", "on"];
const FALSE: [&str; 6] = ["false", "f", "no", "n", "0", "off"];

/// Doubtful columns and values of the rows read so far.
pub(super) struct RowNotes {
    /// Names that the template uses, if it is on this machine.
    names: Option<NamesInUse>,
    /// Variables whose truth the template tests and whose texts were all true or false so far; set
    /// with the first row.
    flags: Option<BTreeMap<String, FlagTexts>>,
    console: Console,
}

/// The first text that means true, and the first one that means false.
#[derive(Default)]
struct FlagTexts {
    yes: Option<String>,
    no: Option<String>,
}

impl RowNotes {
    pub(super) fn new(names: Option<NamesInUse>, console: Console) -> Self {
        Self { names, flags: None, console }
    }

    /// Looks at the variables of a row. Notes about names are printed with the first one.
    pub(super) fn look_at(&mut self, row: &Mail) {
        if self.flags.is_none() {
            row.vars.keys().filter_map(|name| self.like_field(name)).for_each(|note| self.console.note(note));
            let flags = row.vars.keys().filter(|name| self.is_tested(name));
            self.flags = Some(flags.map(|name| (name.clone(), FlagTexts::default())).collect());
        }
        if let Some(flags) = &mut self.flags {
            flags.retain(|name, texts| row.vars.get(name).is_none_or(|value| texts.add(value.as_str())));
        }
    }

    /// Prints the notes about all rows.
    pub(super) fn finish(&self) {
        for (name, texts) in self.flags.iter().flatten() {
            if let Some(no) = &texts.no {
                let yes = texts.yes.as_deref().unwrap_or("True");
                self.console.note(format_args!(
                    "note: the template tests {name} as true or false, but its values are texts, and every text but \
                     the empty one is true, {no:?} too; write {{% if {} == {yes:?} %}}",
                    short_name(name)
                ));
            }
        }
    }

    /// Returns a note about a variable that looks like a field of the mail, unless the template
    /// uses it.
    fn like_field(&self, name: &str) -> Option<String> {
        let short = short_name(name);
        let is_used = |name: &str| self.names.as_ref().is_some_and(|used| used.names.contains(name));
        if is_used(name) || is_used(&short) {
            return None;
        }
        let plain = short.replace('_', "");
        let (_, advice) = LIKE_FIELDS.iter().find(|(names, _)| names.contains(&plain.as_str()))?;
        Some(format!("note: {name:?} is a variable, which the template does not use; {advice}"))
    }

    fn is_tested(&self, name: &str) -> bool {
        let tested = self.names.as_ref().map(|names| &names.conditions);
        tested.is_some_and(|tested| tested.contains(name) || tested.contains(&*short_name(name)))
    }
}

impl FlagTexts {
    /// Adds a value; returns false if it is no text that means true or false.
    fn add(&mut self, text: Option<&str>) -> bool {
        let Some(text) = text else { return false };
        let is_one_of = |words: &[&str]| words.iter().any(|word| text.eq_ignore_ascii_case(word));
        let first = if is_one_of(&TRUE) {
            &mut self.yes
        } else if is_one_of(&FALSE) {
            &mut self.no
        } else {
            return text.is_empty();
        };
        first.get_or_insert_with(|| text.to_owned());
        true
    }
}
