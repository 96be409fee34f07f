//! History of one request, sent once or several times, and the attempt that results from it.

use super::{addressing::Addressing, said::Said};
use crate::{Attempt, Verdict, http::NoLine, verdict::NotAccepted};

/// Result of sending the request once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Heard {
    /// The API answered.
    Said(Said),
    /// The request was sent, but no answer arrived.
    Nothing(String),
    /// The request was not sent.
    NoLine(NoLine),
}

/// History of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Story {
    /// Reason why an earlier request may have been accepted.
    doubt: Option<String>,
    last: Heard,
}

impl Story {
    pub(super) fn of(first: Heard) -> Self {
        Self { doubt: None, last: first }
    }

    /// Records the result of a repeated request.
    pub(super) fn goes_on(&mut self, heard: Heard) {
        self.doubt = self.doubt.take().or_else(|| self.last.doubt());
        self.last = heard;
    }

    /// Whether repeating the request can't improve the result.
    pub(super) fn is_at_its_end(&self) -> bool {
        match &self.last {
            Heard::Nothing(_) | Heard::NoLine(_) => false,
            Heard::Said(said) => !(said.is_worth_repeating() || (self.doubt.is_some() && said.tells_only_of_now())),
        }
    }

    /// Result for the mail and for each recipient.
    pub(super) fn attempt(&self, addressing: &Addressing<'_>) -> Attempt {
        let mut attempt = self.of_those_named(addressing);
        for own in &mut attempt.recipients {
            if addressing.names(&own.address) {
                own.code = attempt.code;
            } else if own.verdict == Verdict::Accepted || own.verdict.is_final() {
                own.verdict = Verdict::TooManyRecipients;
                "sent in the next request".clone_into(&mut own.reply);
            }
        }
        let verdict = Verdict::of_mail(attempt.recipients.iter().map(|own| own.verdict));
        Attempt { verdict, ..attempt }
    }

    fn of_those_named(&self, addressing: &Addressing<'_>) -> Attempt {
        let to = addressing.asked;
        match (&self.last, &self.doubt) {
            (Heard::Said(said), Some(doubt)) if said.tells_only_of_now() => {
                let words = format!("{doubt}; then {}; the mail may have been accepted", said.words);
                Attempt {
                    code: Some(said.status),
                    hint: said.hint,
                    phase: Some("answer"),
                    ..Attempt::in_doubt(to, &words)
                }
            }
            (Heard::Said(said), _) => said.attempt(addressing),
            (Heard::Nothing(words), _) => {
                let words = format!("{words}; the mail may have been accepted");
                Attempt { phase: Some("answer"), ..Attempt::in_doubt(to, &words) }
            }
            (Heard::NoLine(none), Some(doubt)) => {
                let words = format!("{doubt}; then {none}; the mail may have been accepted");
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
    /// Reason why the request may have been accepted in spite of this result.
    fn doubt(&self) -> Option<String> {
        match self {
            Self::Nothing(words) => Some(words.clone()),
            Self::Said(said) if said.taken == Err(NotAccepted::Unknown) => Some(said.words.clone()),
            Self::Said(_) | Self::NoLine(_) => None,
        }
    }
}

impl Said {
    /// Whether the request may have been accepted or is still in progress, so that repeating it
    /// under the same key tells which.
    fn is_worth_repeating(&self) -> bool {
        // An idempotency key that was used with another body is refused permanently.
        let is_open = self.taken == Err(NotAccepted::Unknown) && self.status != 409;
        is_open || self.taken == Err(NotAccepted::Greylisted)
    }

    /// Whether an earlier request under the same key may have had another result.
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
