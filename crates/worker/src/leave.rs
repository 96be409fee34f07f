//! Leave for a claim: what the limits on a queue's way out, and on the domains and templates of its mail, allow now.

use std::time::Duration;

use postroom_core::{
    Priority, QueueName, Result, Store,
    store::{Claimed, LimitedLine, Peek, Turn},
};

use crate::{limits::Permit, office::Office, slots::SlotRoom};

/// What was given to one claim.
#[derive(Debug, Default)]
pub(crate) struct Leave {
    /// How many jobs may be claimed.
    pub(crate) want: usize,
    way: Option<Used>,
    lines: Vec<(String, Given)>,
}

/// The answer to a request for leave.
#[derive(Debug)]
pub(crate) enum Answer {
    Given(Leave),
    /// Nothing waits, or not for that long.
    Nothing(Option<Duration>),
    /// The limits on the way out have none to give.
    Wait(Duration),
}

#[derive(Debug)]
struct Used {
    permit: Permit,
    mails: usize,
}

/// What a line was given.
#[derive(Debug)]
enum Given {
    Leave(Used),
    Wait(Duration),
}

/// How urgent a queue's mail is among all that share a limit: as its most urgent one, but bulk mail comes last.
fn class_of(queue: &QueueName, priority: u8) -> u8 {
    const BULK: u8 = 7;
    if *queue == QueueName::bulk() { priority.max(BULK) } else { priority }
}

impl Leave {
    /// Where there are no limits.
    pub(crate) fn unlimited(want: usize) -> Self {
        Self { want, ..Self::default() }
    }

    /// Asks for leave to send up to `want` mails of a queue by that way. Only when there is something to send: leave that nobody
    /// uses is lost to others.
    pub(crate) async fn ask(office: &Office, queue: &QueueName, way: &str, room: SlotRoom) -> Result<Answer> {
        let limits = office.limits_on(queue, way);
        if limits.is_empty() && office.limits.on_mail().is_empty() {
            return Ok(Answer::Given(Self::unlimited(room.any)));
        }
        let (free, lines) = match office.jobs.peek(queue).await? {
            Peek::Nothing(next_due) => return Ok(Answer::Nothing(next_due)),
            Peek::Waiting { free, lines } => (free, lines),
        };
        let most_urgent = lines.iter().map(|line| line.priority).chain(free).min().unwrap_or(u8::MAX);
        let want = if most_urgent <= Priority::LAST_URGENT.get() { room.any } else { room.ordinary };
        if want == 0 {
            return Ok(Answer::Nothing(None));
        }
        let mut leave = Self::unlimited(0);
        for line in lines {
            leave.add_line(office, queue, line, want).await?;
        }
        leave.want = if free.is_some() {
            want
        } else {
            leave.lines.iter().map(|(_, given)| given.mails()).sum::<usize>().min(want)
        };
        if leave.want == 0 || limits.is_empty() {
            return Ok(Answer::Given(leave));
        }
        match Permit::take(&office.store, &limits, class_of(queue, most_urgent), leave.want).await? {
            Ok(permit) => {
                leave.want = permit.number;
                leave.way = Some(Used { permit, mails: 0 });
                Ok(Answer::Given(leave))
            }
            Err(wait) => {
                leave.give_back(&office.store).await?;
                Ok(Answer::Wait(wait))
            }
        }
    }

    async fn add_line(&mut self, office: &Office, queue: &QueueName, line: LimitedLine, want: usize) -> Result<()> {
        let limits = office.limits.among(&line.limits);
        let given = match Permit::take(&office.store, &limits, class_of(queue, line.priority), want).await? {
            Ok(permit) => Given::Leave(Used { permit, mails: 0 }),
            Err(wait) => Given::Wait(wait),
        };
        self.lines.push((line.name, given));
        Ok(())
    }

    /// What the claim is to be told.
    pub(crate) fn turns(&self) -> Vec<Turn> {
        let turn = |(line, given): &(String, Given)| {
            let again_in = if let Given::Wait(wait) = given { *wait } else { Duration::ZERO };
            Turn { line: line.clone(), mails: given.mails(), again_in }
        };
        self.lines.iter().map(turn).collect()
    }

    /// When a job that was claimed with it may go.
    pub(crate) fn take_up(&mut self, job: &Claimed) -> Option<Duration> {
        let line = self.lines.iter_mut().find(|(name, _)| Some(name) == job.line.as_ref());
        let own = line.and_then(|(_, given)| if let Given::Leave(used) = given { Some(used.take_up()) } else { None });
        let of_way = self.way.as_mut().map(Used::take_up);
        own.max(of_way)
    }

    /// What was not taken up goes back.
    pub(crate) async fn give_back(self, store: &Store) -> Result<()> {
        let of_lines = self.lines.into_iter().filter_map(|(_, given)| match given {
            Given::Leave(used) => Some(used),
            Given::Wait(_) => None,
        });
        for used in self.way.into_iter().chain(of_lines) {
            used.permit.give_back(store, used.mails).await?;
        }
        Ok(())
    }
}

impl Given {
    fn mails(&self) -> usize {
        match self {
            Self::Leave(used) => used.permit.number,
            Self::Wait(_) => 0,
        }
    }
}

impl Used {
    fn take_up(&mut self) -> Duration {
        self.mails += 1;
        self.permit.at(self.mails - 1)
    }
}
