//! History of one request, sent once or several times, and the attempt that results from it.

use super::{addressing::Addressing, answer::ApiAnswer};
use crate::{Attempt, Verdict, http::ConnectFailure, verdict::NotAccepted};

/// Result of sending the request once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum RequestOutcome {
    /// The API answered.
    Answered(ApiAnswer),
    /// The request was sent, but no answer arrived.
    Unanswered(String),
    /// The request was not sent.
    NotSent(ConnectFailure),
}

/// History of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RequestHistory {
    /// Reason why an earlier request may have been accepted.
    uncertainty: Option<String>,
    last: RequestOutcome,
}

impl RequestHistory {
    pub(super) fn of(first: RequestOutcome) -> Self {
        Self { uncertainty: None, last: first }
    }

    /// Records the result of a repeated request.
    pub(super) fn record(&mut self, outcome: RequestOutcome) {
        self.uncertainty = self.uncertainty.take().or_else(|| self.last.uncertainty());
        self.last = outcome;
    }

    /// Whether repeating the request can't improve the result.
    pub(super) fn is_settled(&self) -> bool {
        match &self.last {
            RequestOutcome::Unanswered(_) | RequestOutcome::NotSent(_) => false,
            RequestOutcome::Answered(answer) => {
                !(answer.is_worth_repeating() || (self.uncertainty.is_some() && answer.is_inconclusive()))
            }
        }
    }

    /// Result for the mail and for each recipient.
    pub(super) fn attempt(&self, addressing: &Addressing<'_>) -> Attempt {
        let mut attempt = self.result(addressing);
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

    fn result(&self, addressing: &Addressing<'_>) -> Attempt {
        let to = addressing.requested;
        match (&self.last, &self.uncertainty) {
            (RequestOutcome::Answered(answer), Some(reason)) if answer.is_inconclusive() => {
                let problem = format!("{reason}; then {}; the mail may have been accepted", answer.description);
                Attempt {
                    code: Some(answer.status),
                    hint: answer.hint,
                    phase: Some("answer"),
                    ..Attempt::unknown(to, &problem)
                }
            }
            (RequestOutcome::Answered(answer), _) => answer.attempt(addressing),
            (RequestOutcome::Unanswered(problem), _) => {
                let problem = format!("{problem}; the mail may have been accepted");
                Attempt { phase: Some("answer"), ..Attempt::unknown(to, &problem) }
            }
            (RequestOutcome::NotSent(failure), Some(reason)) => {
                let problem = format!("{reason}; then {failure}; the mail may have been accepted");
                Attempt { phase: Some("answer"), ..Attempt::unknown(to, &problem) }
            }
            (RequestOutcome::NotSent(failure), None) => {
                let why = NotAccepted::NothingSent;
                Attempt { phase: Some(failure.phase), ..Attempt::not_accepted(to, why, &failure.to_string()) }
            }
        }
    }
}

impl RequestOutcome {
    /// Reason why the request may have been accepted in spite of this result.
    fn uncertainty(&self) -> Option<String> {
        match self {
            Self::Unanswered(problem) => Some(problem.clone()),
            Self::Answered(answer) if answer.result == Err(NotAccepted::Unknown) => Some(answer.description.clone()),
            Self::Answered(_) | Self::NotSent(_) => None,
        }
    }
}

impl ApiAnswer {
    /// Whether the request may have been accepted or is still in progress, so that repeating it
    /// under the same key tells which.
    fn is_worth_repeating(&self) -> bool {
        // An idempotency key that was used with another body is refused permanently.
        let is_open = self.result == Err(NotAccepted::Unknown) && self.status != 409;
        is_open || self.result == Err(NotAccepted::Greylisted)
    }

    /// Whether an earlier request under the same key may have had another result.
    fn is_inconclusive(&self) -> bool {
        matches!(
            self.result,
            Err(NotAccepted::Unknown
                | NotAccepted::Throttled
                | NotAccepted::Later
                | NotAccepted::NothingSent
                | NotAccepted::Greylisted)
        )
    }

    fn attempt(&self, addressing: &Addressing<'_>) -> Attempt {
        let attempt = match &self.result {
            Ok(id) => Attempt::accepted(addressing.requested, &self.description, Some(id)),
            Err(why) => Attempt::not_accepted(addressing.requested, *why, &self.description),
        };
        Attempt { phase: Some("answer"), code: Some(self.status), hint: self.hint, ..attempt }
    }
}
