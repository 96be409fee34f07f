//! Weighs an attempt: whether its refusals are about the mail, or about us.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    time::Duration,
};

use postroom_core::JobId;
use postroom_mail::{Attempt, Blame, RecipientOutcome, Verdict};

use super::{
    breaker::BreakerOutcome,
    refusals::{RefusalHistory, RefusedMail, Weight},
};

/// Weighs an attempt of a job. Where refusals may be about us, their verdicts are replaced, so that
/// they fail no mail and count nothing. Returns what the attempt says about the transport.
pub(super) fn weigh(
    refusals: &mut RefusalHistory,
    attempt: &mut Attempt,
    job: &JobId,
    admitted_at: Duration,
    now: Duration,
) -> BreakerOutcome {
    if attempt.recipients.iter().any(|recipient| recipient.verdict == Verdict::Accepted) {
        refusals.accepted(admitted_at);
        return outcome_of(attempt);
    }
    let mut weight = Weight::Holds;
    // The recipients of one mail count once.
    let (job, first) = (hash(job), attempt.recipients.first().map_or(0, |first| hash(&first.address)));
    for recipient in attempt.recipients.iter_mut().filter(|recipient| recipient.blame != Blame::Mail) {
        let own = refusals.weigh(refused_mail(job, first, recipient), now);
        if own != Weight::Holds {
            recipient.verdict = held(recipient.verdict);
            weight = own;
        }
    }
    let outcome = match weight {
        Weight::Holds => return outcome_of(attempt),
        Weight::Suspected => BreakerOutcome::Suspected,
        Weight::OfAll => BreakerOutcome::AllRefused,
    };
    attempt.verdict = Verdict::of_mail(attempt.recipients.iter().map(|recipient| recipient.verdict));
    outcome
}

fn refused_mail(job: u64, first: u64, recipient: &RecipientOutcome) -> RefusedMail<'_> {
    RefusedMail {
        job,
        recipient: first,
        reply: &recipient.reply,
        blame: recipient.blame,
        is_permanent: recipient.verdict.is_final(),
    }
}

/// Verdict of a refusal that may be about us.
fn held(verdict: Verdict) -> Verdict {
    if verdict.is_final() { Verdict::Account } else { Verdict::NothingSent }
}

fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// Returns what an attempt says about the transport by its verdict alone.
pub(super) fn outcome_of(attempt: &Attempt) -> BreakerOutcome {
    match attempt.verdict {
        Verdict::Accepted => BreakerOutcome::Works,
        Verdict::Later
        | Verdict::Greylisted
        | Verdict::TooManyRecipients
        | Verdict::RecipientRefused
        | Verdict::ContentRefused
        | Verdict::PolicyRefused
        | Verdict::TooBig => BreakerOutcome::MailRefused,
        Verdict::Throttled => BreakerOutcome::Throttled,
        Verdict::Account => BreakerOutcome::Account,
        Verdict::NothingSent if is_before_mail(attempt.phase) => BreakerOutcome::Unreachable,
        Verdict::NothingSent | Verdict::Unknown => BreakerOutcome::Broke,
        Verdict::Invalid | Verdict::Aborted => BreakerOutcome::Nothing,
    }
}

/// Whether the attempt ended before an SMTP session was established. A transport without phases has
/// no session that could break.
fn is_before_mail(phase: Option<&str>) -> bool {
    !matches!(phase, Some("mail" | "rcpt" | "data" | "body" | "dot" | "rset" | "quit" | "request" | "answer"))
}
