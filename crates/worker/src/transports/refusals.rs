//! Finds refusals that are not about the mails: several recipients get the same one and no mail is
//! accepted between. Pure: time is a parameter.
//!
//! A refusal that may be about our set-up fails its mail only when the server accepts another mail,
//! begun after the refusal, and then refuses this one again.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    time::Duration,
};

use postroom_mail::Blame;

use super::likeness::{codes, normalised};

/// Numbers of different recipients and times since the first refusal: each row suffices.
const ALIKE: [(usize, Duration); 3] =
    [(20, Duration::ZERO), (5, Duration::from_millis(500)), (3, Duration::from_secs(30))];
/// Number of refusals that name our set-up, and their time span; one mail may be refused twice.
const ABOUT_SETUP: (u32, Duration) = (2, Duration::from_millis(400));
/// Recipients refused with the same codes in any words.
const SAME_CODES: usize = 20;
/// Maximum number of kinds of refusals that are compared.
const MOST_RUNS: usize = 16;
/// Maximum number of mails whose refusal is unconfirmed. Further ones displace the oldest.
const MOST_SUSPECTS: usize = 20_000;
/// Time after which an unclear refusal holds although the server has accepted nothing since.
const LONGEST_SUSPICION: Duration = Duration::from_secs(5 * 60);

/// Refusals since the last acceptance, and mails whose refusal is unconfirmed.
#[derive(Debug, Default)]
pub(super) struct RefusalHistory {
    runs: Vec<Run>,
    /// Time of admission of the accepted mail that was admitted last.
    proven_at: Option<Duration>,
    suspects: HashMap<u64, Duration>,
    /// Suspects from the oldest on.
    order: VecDeque<u64>,
}

/// Refusals that are alike, with no acceptance between.
#[derive(Debug)]
struct Run {
    words: String,
    since: Duration,
    recipients: HashSet<u64>,
    refusals: u32,
}

/// A refused mail.
#[derive(Debug, Clone, Copy)]
pub(super) struct RefusedMail<'a> {
    /// Hash of the job's id.
    pub(super) job: u64,
    /// Hash of the first recipient.
    pub(super) recipient: u64,
    pub(super) reply: &'a str,
    pub(super) blame: Blame,
    /// Whether the refusal would fail the mail.
    pub(super) is_permanent: bool,
}

/// Weight of a refusal against the transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Weight {
    /// The refusal is about the mail.
    Holds,
    /// The refusal may be about us: the mail is tried again, and nothing is counted.
    Suspected,
    /// All mails are refused alike: the transport is down.
    OfAll,
}

impl RefusalHistory {
    /// Records an acceptance of a mail admitted at this time.
    pub(super) fn accepted(&mut self, admitted_at: Duration) {
        self.runs.clear();
        self.proven_at = self.proven_at.max(Some(admitted_at));
    }

    /// Weighs a refusal.
    pub(super) fn weigh(&mut self, mail: RefusedMail<'_>, now: Duration) -> Weight {
        if mail.blame == Blame::Mail {
            return Weight::Holds;
        }
        let is_of_all = self.count(&mail, now);
        if !mail.is_permanent && mail.blame == Blame::Unclear {
            return if is_of_all { Weight::OfAll } else { Weight::Holds };
        }
        let first = *self.suspects.entry(mail.job).or_insert_with(|| {
            self.order.push_back(mail.job);
            now
        });
        self.limit_suspects();
        let is_proven = self.proven_at.is_some_and(|proven| proven > first);
        let is_old = mail.blame == Blame::Unclear && now.saturating_sub(first) >= LONGEST_SUSPICION;
        match (is_of_all, is_proven || is_old) {
            (true, _) => Weight::OfAll,
            (false, true) => {
                self.suspects.remove(&mail.job);
                Weight::Holds
            }
            (false, false) => Weight::Suspected,
        }
    }

    /// Counts a refusal. Returns whether all mails are refused alike.
    fn count(&mut self, mail: &RefusedMail<'_>, now: Duration) -> bool {
        let same_codes = self.run(codes(mail.reply), now).add(mail) >= SAME_CODES;
        let run = self.run(format!("{:?} {}", mail.blame, normalised(mail.reply)), now);
        let (recipients, age) = (run.add(mail), now.saturating_sub(run.since));
        let (refusals, least_age) = ABOUT_SETUP;
        same_codes
            || ALIKE.iter().any(|(number, least)| recipients >= *number && age >= *least)
            || (mail.blame == Blame::Setup && run.refusals >= refusals && age >= least_age)
    }

    fn run(&mut self, words: String, now: Duration) -> &mut Run {
        let place = self.runs.iter().position(|run| run.words == words).unwrap_or_else(|| {
            if self.runs.len() >= MOST_RUNS {
                let smallest = self.runs.iter().enumerate().min_by_key(|(_, run)| run.recipients.len());
                let smallest = smallest.map_or(0, |(place, _)| place);
                self.runs.remove(smallest);
            }
            self.runs.push(Run { words, since: now, recipients: HashSet::new(), refusals: 0 });
            self.runs.len() - 1
        });
        &mut self.runs[place]
    }

    fn limit_suspects(&mut self) {
        while self.order.len() > MOST_SUSPECTS {
            if let Some(oldest) = self.order.pop_front() {
                self.suspects.remove(&oldest);
            }
        }
    }
}

impl Run {
    /// Adds a refusal and returns the number of different recipients, at most [`SAME_CODES`].
    fn add(&mut self, mail: &RefusedMail<'_>) -> usize {
        self.refusals = self.refusals.saturating_add(1);
        if self.recipients.len() < SAME_CODES {
            self.recipients.insert(mail.recipient);
        }
        self.recipients.len()
    }
}

#[cfg(test)]
mod tests {
    use super::{Blame::*, Weight::*, *};

    /// Time in milliseconds, job and recipient, blame, permanent or not, reply; `None` accepts a
    /// mail admitted at that time.
    type RefusalStep = (u64, Option<(u64, Blame, bool, &'static str)>, Weight);

    const fn no(ms: u64, job: u64, blame: Blame, weight: Weight) -> RefusalStep {
        (ms, Some((job, blame, true, "550 no")), weight)
    }

    const fn later(ms: u64, job: u64, weight: Weight) -> RefusalStep {
        (ms, Some((job, Unclear, false, "451 Temporary local problem")), weight)
    }

    const fn accepted(ms: u64) -> RefusalStep {
        (ms, None, Holds)
    }

    #[test]
    fn refusals_in_sequence_have_their_weight() {
        let rows: &[(&str, &[RefusalStep])] = &[
            ("about the mail", &[no(0, 1, Mail, Holds), no(900, 2, Mail, Holds), no(999_000, 3, Mail, Holds)]),
            (
                "one odd mail, others accepted",
                &[no(0, 1, Unclear, Suspected), accepted(5), no(1_000, 1, Unclear, Holds)],
            ),
            ("accepted before only", &[accepted(5), no(10, 1, Unclear, Suspected), no(900, 1, Unclear, Suspected)]),
            (
                "accepted later, but begun before the refusal",
                &[no(10, 1, Unclear, Suspected), accepted(5), no(900, 1, Unclear, Suspected)],
            ),
            (
                "one odd mail, nothing accepted",
                &[no(0, 1, Unclear, Suspected), no(299_999, 1, Unclear, Suspected), no(300_000, 1, Unclear, Holds)],
            ),
            (
                "five recipients",
                &[
                    no(0, 1, Unclear, Suspected),
                    no(1, 2, Unclear, Suspected),
                    no(2, 3, Unclear, Suspected),
                    no(3, 4, Unclear, Suspected),
                    no(4, 5, Unclear, Suspected),
                    no(500, 5, Unclear, OfAll),
                    no(600, 1, Unclear, OfAll),
                    accepted(700),
                    no(800, 1, Unclear, Holds),
                    no(801, 6, Unclear, Suspected),
                ],
            ),
            (
                "three recipients, slowly",
                &[no(0, 1, Unclear, Suspected), no(20_000, 2, Unclear, Suspected), no(40_000, 3, Unclear, OfAll)],
            ),
            (
                "five recipients, with acceptances between",
                &[
                    no(0, 1, Unclear, Suspected),
                    no(1, 2, Unclear, Suspected),
                    accepted(2),
                    no(3, 3, Unclear, Suspected),
                    accepted(4),
                    no(5, 4, Unclear, Suspected),
                    no(6, 5, Unclear, Suspected),
                    no(505, 1, Unclear, Holds),
                ],
            ),
            (
                "our set-up, one mail twice",
                &[no(0, 1, Setup, Suspected), no(300, 1, Setup, Suspected), no(400, 1, Setup, OfAll)],
            ),
            ("our set-up, for ever", &[no(0, 1, Setup, Suspected), no(999_000, 1, Setup, OfAll)]),
            ("a sender of one mail", &[no(0, 1, Setup, Suspected), accepted(1), no(900, 1, Setup, Holds)]),
            (
                "trouble of the server",
                &[later(0, 1, Holds), later(1, 2, Holds), later(2, 3, Holds), later(3, 4, Holds), later(600, 5, OfAll)],
            ),
            (
                "a retried mail",
                &[later(0, 1, Holds), later(3_000, 1, Holds), later(9_000, 1, Holds), later(99_000, 1, Holds)],
            ),
        ];
        for (name, steps) in rows {
            let mut refusals = RefusalHistory::default();
            for (number, (ms, refused, expected)) in steps.iter().enumerate() {
                let now = Duration::from_millis(*ms);
                let Some((job, blame, is_permanent, reply)) = *refused else {
                    refusals.accepted(now);
                    continue;
                };
                let mail = RefusedMail { job, recipient: job, reply, blame, is_permanent };
                assert_eq!(refusals.weigh(mail, now), *expected, "{name}, step {number}");
            }
        }
    }

    #[test]
    fn replies_with_the_same_codes_in_other_words_take_longer() {
        let mut refusals = RefusalHistory::default();
        for number in 0..40_u64 {
            let reply = format!("550 5.7.1 {}", "no ".repeat(usize::try_from(number).expect("small") + 1));
            let mail =
                RefusedMail { job: number, recipient: number, reply: &reply, blame: Unclear, is_permanent: true };
            let expected = if number < 19 { Suspected } else { OfAll };
            assert_eq!(refusals.weigh(mail, Duration::from_millis(number)), expected, "{number}");
        }
    }

    #[test]
    fn memory_is_bounded() {
        let mut refusals = RefusalHistory::default();
        for number in 0..50_000_u64 {
            let reply = format!("550 {}", "no ".repeat(usize::try_from(number % 30).expect("small")));
            let mail = RefusedMail { job: number, recipient: number, reply: &reply, blame: Setup, is_permanent: true };
            refusals.weigh(mail, Duration::from_millis(number));
        }
        assert_eq!((refusals.runs.len(), refusals.suspects.len()), (MOST_RUNS, MOST_SUSPECTS));
        assert_eq!(refusals.order.len(), MOST_SUSPECTS);
    }
}
