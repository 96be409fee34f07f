//! From what was heard of a request, said once or several times, to the outcome of a try.

use super::{addressing::Addressing, said::Said};
use crate::{Attempt, Verdict, http::NoLine, verdict::NotAccepted};

/// What was heard at one time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Heard {
    /// An answer.
    Said(Said),
    /// The request left, and no answer came.
    Nothing(String),
    /// The request did not leave.
    NoLine(NoLine),
}

/// What was heard of one request so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Story {
    /// Why the request may have been taken at an earlier time.
    doubt: Option<String>,
    last: Heard,
}

impl Story {
    pub(super) fn of(first: Heard) -> Self {
        Self { doubt: None, last: first }
    }

    /// The same request was said again.
    pub(super) fn goes_on(&mut self, heard: Heard) {
        self.doubt = self.doubt.take().or_else(|| self.last.doubt());
        self.last = heard;
    }

    /// Whether saying it again would bring nothing more.
    pub(super) fn is_at_its_end(&self) -> bool {
        match &self.last {
            Heard::Nothing(_) | Heard::NoLine(_) => false,
            Heard::Said(said) => !(said.is_worth_repeating() || (self.doubt.is_some() && said.tells_only_of_now())),
        }
    }

    /// What came of it for each recipient.
    pub(super) fn attempt(&self, addressing: &Addressing<'_>) -> Attempt {
        let mut attempt = self.of_those_named(addressing);
        for own in &mut attempt.recipients {
            if addressing.names(&own.address) {
                own.code = attempt.code;
            } else if own.verdict == Verdict::Accepted || own.verdict.is_final() {
                own.verdict = Verdict::TooManyRecipients;
                "goes in the next request".clone_into(&mut own.reply);
            }
        }
        let verdict = Verdict::of_mail(attempt.recipients.iter().map(|own| own.verdict));
        Attempt { verdict, ..attempt }
    }

    fn of_those_named(&self, addressing: &Addressing<'_>) -> Attempt {
        let to = addressing.asked;
        match (&self.last, &self.doubt) {
            (Heard::Said(said), Some(doubt)) if said.tells_only_of_now() => {
                let words = format!("{doubt}; then {}; it can't be known whether the mail was taken", said.words);
                Attempt {
                    code: Some(said.status),
                    hint: said.hint,
                    phase: Some("answer"),
                    ..Attempt::in_doubt(to, &words)
                }
            }
            (Heard::Said(said), _) => said.attempt(addressing),
            (Heard::Nothing(words), _) => {
                let words = format!("{words}; it can't be known whether the mail was taken");
                Attempt { phase: Some("answer"), ..Attempt::in_doubt(to, &words) }
            }
            (Heard::NoLine(none), Some(doubt)) => {
                let words = format!("{doubt}; then {none}; it can't be known whether the mail was taken");
                Attempt { phase: Some("answer"), ..Attempt::in_doubt(to, &words) }
            }
            (Heard::NoLine(none), None) => {
                let why = NotAccepted::NothingSent;
                Attempt { phase: Some(none.phase), ..Attempt::not_accepted(to, why, &none.to_string()) }
            }
        }
    }
}

impl Heard {
    /// Why the request may have been taken though this was heard.
    fn doubt(&self) -> Option<String> {
        match self {
            Self::Nothing(words) => Some(words.clone()),
            Self::Said(said) if said.taken == Err(NotAccepted::Unknown) => Some(said.words.clone()),
            Self::Said(_) | Self::NoLine(_) => None,
        }
    }
}

impl Said {
    /// An answer under which the request may have been taken, or still is being worked on: the same key brings the truth.
    fn is_worth_repeating(&self) -> bool {
        // A key that stands for another body will always do so.
        let is_open = self.taken == Err(NotAccepted::Unknown) && self.status != 409;
        is_open || self.taken == Err(NotAccepted::Greylisted)
    }

    /// Whether an earlier time of the same request may have fared otherwise.
    fn tells_only_of_now(&self) -> bool {
        matches!(
            self.taken,
            Err(NotAccepted::Unknown
                | NotAccepted::Throttled
                | NotAccepted::Later
                | NotAccepted::NothingSent
                | NotAccepted::Greylisted)
        )
    }

    fn attempt(&self, addressing: &Addressing<'_>) -> Attempt {
        let attempt = match &self.taken {
            Ok(id) => Attempt::accepted(addressing.asked, &self.words, Some(id)),
            Err(why) => Attempt::not_accepted(addressing.asked, *why, &self.words),
        };
        Attempt { phase: Some("answer"), code: Some(self.status), hint: self.hint, ..attempt }
    }
}
