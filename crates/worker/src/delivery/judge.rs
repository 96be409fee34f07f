//! Decides what becomes of a job after an attempt. Pure: time and chance are parameters.

use std::{collections::HashMap, time::Duration};

use postroom_core::{
    AttemptRecord, EmailAddress, Header, RecipientReport, RecipientResult,
    store::{Outcome, Settled},
};
use postroom_mail::{Attempt, RecipientOutcome, Verdict};

/// Decision about a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Judgement {
    /// The job is finished; the reason is empty if the outcome alone is clear.
    Finish(Outcome, &'static str, Settled),
    /// The job is tried again after this time.
    Defer(Duration, Settled),
}

impl Judgement {
    /// Shortens the delay while the transport is closed. Its breaker decides about probes, so the
    /// delay need not grow with the attempts: after a moment the job is queued behind others.
    pub(crate) fn before_closed_outlet(self) -> Self {
        self.within(FIRST_UNCOUNTED)
    }

    /// Shortens the delay while the transport throttles: the learned rate decides about the send
    /// time.
    pub(crate) fn before_throttled_outlet(self) -> Self {
        self.within(LONGEST_THROTTLED)
    }

    fn within(self, limit: Duration) -> Self {
        match self {
            Self::Defer(delay, left) => Self::Defer(delay.min(limit), left),
            Self::Finish(..) => self,
        }
    }
}

/// State of the job before the attempt.
#[derive(Debug, Clone)]
pub(crate) struct JobProgress<'a> {
    /// Header of the job.
    pub(crate) header: &'a Header,
    /// Counted attempts before this try.
    pub(crate) attempt: u32,
    /// Tries before this one, counted or not.
    pub(crate) tries: u32,
    /// Results of the recipients before this attempt.
    pub(crate) recipients: Vec<RecipientReport>,
    /// Attempts of this delivery by other transports.
    pub(crate) records: Vec<AttemptRecord>,
}

impl JobProgress<'_> {
    /// Returns the recipients without a final result.
    pub(crate) fn open(&self) -> Vec<EmailAddress> {
        let open = self.recipients.iter().filter(|recipient| recipient.result == RecipientResult::Open);
        open.map(|recipient| recipient.address.clone()).collect()
    }

    /// Returns the number of the next attempt.
    fn number(&self) -> u32 {
        self.tries + u32::try_from(self.records.len()).unwrap_or(0) + 1
    }

    /// Returns the state after an attempt from which another transport takes over.
    pub(crate) fn after(mut self, attempt: &Attempt, at_ms: i64) -> Self {
        self.recipients = after(self.recipients, &attempt.recipients);
        let number = self.number();
        self.records.push(record(attempt, number, false, at_ms));
        self
    }
}

/// Returns the recipients before the first attempt, all open.
pub(crate) fn all_open(recipients: &[&EmailAddress]) -> Vec<RecipientReport> {
    let open = |address: &&EmailAddress| RecipientReport {
        address: (*address).clone(),
        result: RecipientResult::Open,
        reply: None,
    };
    recipients.iter().map(open).collect()
}

/// Judges an attempt that began at `at_ms`; `jitter` is 0.0 to 1.0.
pub(crate) fn judge(before: JobProgress<'_>, attempt: &Attempt, at_ms: i64, jitter: f64) -> Judgement {
    let counted = attempt.verdict.counts();
    let number = before.attempt + u32::from(counted);
    let try_number = before.number();
    let recipients = after(before.recipients, &attempt.recipients);
    let mut records = before.records;
    records.push(record(attempt, try_number, counted, at_ms));
    let mut left = Settled {
        attempt: number,
        error: (attempt.verdict != Verdict::Accepted)
            .then(|| (attempt.verdict.as_str().to_owned(), attempt.reply.clone())),
        receipt: attempt.receipt.clone(),
        recipients,
        records,
    };
    if attempt.verdict == Verdict::Unknown {
        return Judgement::Finish(Outcome::Unknown, "", left);
    }
    if left.recipients.iter().all(|recipient| recipient.result != RecipientResult::Open) {
        return settled(left, "refused");
    }
    if number >= before.header.policy.attempts {
        give_up(&mut left.recipients);
        return settled(left, "attempts_spent");
    }
    Judgement::Defer(delay(before.header, attempt.verdict, number, before.tries, jitter), left)
}

fn settled(mut left: Settled, reason: &'static str) -> Judgement {
    if left.recipients.iter().any(|recipient| recipient.result == RecipientResult::Accepted) {
        left.error = None;
        return Judgement::Finish(Outcome::Sent, "", left);
    }
    Judgement::Finish(Outcome::Failed, reason, left)
}

/// Marks open recipients as refused: all attempts are used up.
fn give_up(recipients: &mut [RecipientReport]) {
    for recipient in recipients.iter_mut().filter(|recipient| recipient.result == RecipientResult::Open) {
        recipient.result = RecipientResult::Refused;
    }
}

/// First delay after an attempt that did not count.
const FIRST_UNCOUNTED: Duration = Duration::from_secs(1);
/// Longest delay for a throttled transport: short, because the rate limiter delays the mail anyway;
/// not zero, so that other mail comes next.
const LONGEST_THROTTLED: Duration = Duration::from_millis(200);

/// Longest delay after an attempt that did not count: the failure is not the mail's.
const LONGEST_UNCOUNTED: Duration = Duration::from_secs(30);

/// First delay for greylisting, which ends after minutes, rarely an hour. Some servers restart the
/// wait when a mail comes too early.
const FIRST_GREYLISTED: Duration = Duration::from_secs(60);
const LONGEST_GREYLISTED: Duration = Duration::from_secs(15 * 60);

/// Returns the delay. After a counted attempt it follows the backoff of the job. Otherwise it grows
/// with the attempts, so that a server that is down is not tried in a loop.
fn delay(header: &Header, verdict: Verdict, attempt: u32, tries: u32, jitter: f64) -> Duration {
    if matches!(verdict, Verdict::Aborted | Verdict::TooManyRecipients) {
        return Duration::ZERO;
    }
    if verdict.counts() {
        // The store treats a delay of zero as "at once".
        return header.policy.backoff.delay(attempt, jitter).max(Duration::from_millis(1));
    }
    let (first, longest) = match verdict {
        Verdict::Greylisted => (FIRST_GREYLISTED, LONGEST_GREYLISTED),
        _ => (FIRST_UNCOUNTED, LONGEST_UNCOUNTED),
    };
    let grown = first.saturating_mul(1 << tries.min(5)).min(longest);
    grown.mul_f64(0.5 + jitter / 2.0)
}

/// Returns the recipients after an attempt. Accepted and refused ones keep their result.
fn after(mut recipients: Vec<RecipientReport>, tried: &[RecipientOutcome]) -> Vec<RecipientReport> {
    let outcomes: HashMap<_, _> = tried.iter().map(|outcome| (&outcome.address, outcome)).collect();
    for recipient in recipients.iter_mut().filter(|recipient| recipient.result == RecipientResult::Open) {
        let Some(outcome) = outcomes.get(&recipient.address) else { continue };
        recipient.result = match outcome.verdict {
            Verdict::Accepted => RecipientResult::Accepted,
            verdict if verdict.is_final() => RecipientResult::Refused,
            _ => RecipientResult::Open,
        };
        recipient.reply = (outcome.verdict != Verdict::Accepted).then(|| outcome.reply.clone());
    }
    recipients
}

fn record(attempt: &Attempt, n: u32, counted: bool, at_ms: i64) -> AttemptRecord {
    AttemptRecord {
        n,
        counted,
        at_ms,
        transport: attempt.transport.clone(),
        phase: attempt.phase.map(str::to_owned),
        code: attempt.code,
        enhanced: attempt.enhanced.clone(),
        reply: attempt.reply.clone(),
        verdict: attempt.verdict.as_str().to_owned(),
        ms: attempt.ms,
    }
}

#[cfg(test)]
mod tests {
    use postroom_core::RecipientResult::{Accepted, Open, Refused};
    use postroom_core::{Policy, Priority};

    use super::*;

    fn header() -> Header {
        Header {
            priority: Priority::NORMAL,
            enqueued_ms: 0,
            due_ms: 0,
            expires_ms: None,
            policy: Policy { attempts: 6, ..Policy::of_queue("emails") },
            batch: None,
            sensitive: false,
        }
    }

    fn address(name: &str) -> EmailAddress {
        format!("{name}@example.org").parse().expect("an address")
    }

    /// Returns an attempt in which the recipients a, b, … have these verdicts.
    fn attempt(verdicts: &[Verdict]) -> Attempt {
        let outcome = |(index, verdict): (usize, &Verdict)| RecipientOutcome {
            address: address(["a", "b", "c"][index]),
            verdict: *verdict,
            code: None,
            enhanced: None,
            reply: verdict.to_string(),
            suppress: false,
            blame: postroom_mail::Blame::Mail,
        };
        let recipients: Vec<_> = verdicts.iter().enumerate().map(outcome).collect();
        let verdict = Verdict::of_mail(verdicts.iter().copied());
        Attempt { verdict, reply: verdict.to_string(), recipients, ..Attempt::invalid(&[], "") }
    }

    fn judged(before: &[RecipientResult], attempts: u32, verdicts: &[Verdict]) -> Judgement {
        let recipients = before
            .iter()
            .enumerate()
            .map(|(index, result)| RecipientReport {
                address: address(["a", "b", "c"][index]),
                result: *result,
                reply: None,
            })
            .collect();
        let header = header();
        let before =
            JobProgress { header: &header, attempt: attempts, tries: attempts, recipients, records: Vec::new() };
        judge(before, &attempt(verdicts), 0, 1.0)
    }

    /// Recipients before, counted attempts, verdicts; expected judgement and counted attempts.
    type JudgeCase = (&'static [RecipientResult], u32, &'static [Verdict], &'static str, u32);

    #[test]
    fn each_attempt_leads_to_the_expected_judgement() {
        let rows: &[JudgeCase] = &[
            (&[Open], 0, &[Verdict::Accepted], "sent", 0),
            (&[Open], 2, &[Verdict::Accepted], "sent", 2),
            (&[Open], 0, &[Verdict::RecipientRefused], "failed refused", 1),
            (&[Open], 0, &[Verdict::Invalid], "failed refused", 1),
            (&[Open], 0, &[Verdict::Later], "deferred 3000", 1),
            (&[Open], 1, &[Verdict::Later], "deferred 6000", 2),
            (&[Open], 5, &[Verdict::Later], "failed attempts_spent", 6),
            (&[Open], 5, &[Verdict::NothingSent], "deferred 30000", 5),
            (&[Open], 0, &[Verdict::NothingSent], "deferred 1000", 0),
            (&[Open], 0, &[Verdict::Throttled], "deferred 1000", 0),
            (&[Open], 0, &[Verdict::Greylisted], "deferred 60000", 0),
            (&[Open], 2, &[Verdict::Greylisted], "deferred 240000", 2),
            // Uncounted attempts have no maximum: only the age of the job ends them.
            (&[Open], 5, &[Verdict::Greylisted], "deferred 900000", 5),
            (&[Open, Open], 5, &[Verdict::Accepted, Verdict::TooManyRecipients], "deferred 0", 5),
            (&[Open, Open, Open], 0, &[Verdict::Accepted, Verdict::Later, Verdict::TooManyRecipients], "deferred 0", 0),
            (&[Open], 0, &[Verdict::Account], "deferred 1000", 0),
            (&[Open], 0, &[Verdict::Aborted], "deferred 0", 0),
            (&[Open], 0, &[Verdict::Unknown], "unknown", 0),
            (&[Open, Open], 0, &[Verdict::Accepted, Verdict::RecipientRefused], "sent", 0),
            (&[Open, Open], 0, &[Verdict::Accepted, Verdict::Later], "deferred 3000", 1),
            (&[Open, Open], 5, &[Verdict::Accepted, Verdict::Later], "sent", 6),
            (&[Accepted, Open], 1, &[Verdict::Accepted, Verdict::RecipientRefused], "sent", 1),
            (&[Refused, Refused], 1, &[], "failed refused", 2),
        ];
        for (before, attempts, verdicts, expected, number) in rows {
            let (result, left) = match judged(before, *attempts, verdicts) {
                Judgement::Finish(Outcome::Sent, _, left) => ("sent".to_owned(), left),
                Judgement::Finish(Outcome::Failed, reason, left) => (format!("failed {reason}"), left),
                Judgement::Finish(Outcome::Unknown, _, left) => ("unknown".to_owned(), left),
                Judgement::Defer(delay, left) => (format!("deferred {}", delay.as_millis()), left),
            };
            assert_eq!((result.as_str(), left.attempt), (*expected, *number), "{before:?} {attempts} {verdicts:?}");
            assert_eq!(result == "sent", left.error.is_none(), "{result}: {:?}", left.error);
        }
    }

    #[test]
    fn accepted_recipients_are_not_tried_again() {
        let Judgement::Defer(_, left) =
            judged(&[Open, Open, Open], 0, &[Verdict::Accepted, Verdict::RecipientRefused, Verdict::Later])
        else {
            panic!("one recipient is open");
        };
        assert_eq!(left.recipients.iter().map(|r| r.result).collect::<Vec<_>>(), [Accepted, Refused, Open]);
    }

    #[test]
    fn another_transport_takes_over_only_where_nothing_was_sent() {
        for (verdicts, expected) in [
            (&[Verdict::NothingSent][..], true),
            (&[Verdict::Account], true),
            (&[Verdict::Throttled], true),
            (&[Verdict::RecipientRefused, Verdict::Throttled], true),
            (&[Verdict::Accepted, Verdict::Throttled], false),
            (&[Verdict::Unknown], false),
            (&[Verdict::Aborted], false),
            (&[Verdict::Later], false),
            (&[Verdict::ContentRefused], false),
            (&[Verdict::Accepted], false),
        ] {
            assert_eq!(attempt(verdicts).nothing_was_sent(), expected, "{verdicts:?}");
        }
    }

    #[test]
    fn a_fallback_sends_to_open_recipients_and_records_both_attempts() {
        let header = header();
        let to: Vec<EmailAddress> = ["a", "b"].map(address).to_vec();
        let recipients = all_open(&to.iter().collect::<Vec<_>>());
        let before = JobProgress { header: &header, attempt: 1, tries: 4, recipients, records: Vec::new() };
        let first =
            Attempt { transport: "main".to_owned(), ..attempt(&[Verdict::RecipientRefused, Verdict::Throttled]) };
        let before = before.after(&first, 7);
        assert_eq!(before.open(), [address("b")]);
        let second = Attempt { transport: "spare".to_owned(), ..attempt(&[Verdict::Accepted]) };
        let second = Attempt {
            recipients: vec![RecipientOutcome { address: address("b"), ..second.recipients[0].clone() }],
            ..second
        };
        let Judgement::Finish(Outcome::Sent, _, left) = judge(before, &second, 8, 0.0) else { panic!("expected sent") };
        assert_eq!(left.recipients.iter().map(|r| r.result).collect::<Vec<_>>(), [Refused, Accepted]);
        let records: Vec<_> =
            left.records.iter().map(|r| (r.n, r.counted, r.at_ms, r.transport.as_str(), r.verdict.as_str())).collect();
        assert_eq!(records, [(5, false, 7, "main", "throttled"), (6, false, 8, "spare", "accepted")]);
        assert_eq!(left.attempt, 1);
    }
}
