//! What a claim needs before it: seats on the way out, and leave under the limits on that way, on the queue, and on the domains and
//! templates of its mail.

use std::{sync::Arc, time::Duration};

use postroom_core::{
    Priority, QueueName, Result, Store,
    store::{Claimed, LimitName, LimitedLine, LineGrant, Measure, Peek},
};

use crate::{
    limits::{Permit, Taken, Turn},
    office::Office,
    outlet::Outlet,
    seats::Seat,
    slots::SlotRoom,
};

/// What was given to one claim.
#[derive(Debug)]
pub(crate) struct Leave {
    /// How many jobs may be claimed.
    pub(crate) want: usize,
    outlet: Arc<Outlet>,
    seats: Vec<Seat>,
    /// Whether seats were asked for: those that turn out to be too many go back at once, since others may wait for them.
    asked: bool,
    way: Option<Used>,
    lines: Vec<(String, Given)>,
}

/// The answer to a request for leave.
#[derive(Debug)]
pub(crate) enum Answer {
    Given(Leave),
    /// Nothing waits, or not for that long.
    Nothing(Option<Duration>),
    /// The way out has none to give.
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

/// A quota of a queue is looked at again at least so often.
const LONGEST: Duration = Duration::from_secs(30);

/// How urgent a queue's mail is among all that share a limit: as its most urgent one, but bulk mail comes last.
fn class_of(queue: &QueueName, priority: u8) -> u8 {
    const BULK: u8 = 7;
    if *queue == QueueName::bulk() { priority.max(BULK) } else { priority }
}

impl Leave {
    /// Asks for leave to send mails of a queue by that way, as many as there is room for. Only when there is something to send:
    /// what nobody uses is lost to others.
    pub(crate) async fn ask(
        office: &Office,
        queue: &QueueName,
        outlet: &Arc<Outlet>,
        room: SlotRoom,
    ) -> Result<Answer> {
        let mut leave = Self::seated(outlet, room.any);
        // With one seat that is free it is seen first whether there is more to send.
        leave.asked = leave.want == 0 && outlet.may_have_more();
        if leave.want == 0 && !leave.asked {
            outlet.miss_seats();
            return Ok(Answer::Wait(outlet.ask_again_in()));
        }
        let limits = office.limits_on(queue, outlet);
        if limits.is_empty() && office.limits.on_mail().is_empty() && !leave.asked {
            return Ok(Answer::Given(leave));
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
        let most = if leave.asked { want } else { want.min(leave.want) };
        for line in lines {
            leave.add_line(office, queue, line, most).await?;
        }
        leave.want = if free.is_some() { most } else { leave.of_lines().min(most) };
        if leave.want == 0 {
            // So that it is told to leave these lines alone.
            return Ok(Answer::Given(leave));
        }
        leave.under(office, queue, &limits, class_of(queue, most_urgent)).await
    }

    /// For a claim that takes nothing new.
    pub(crate) fn none(outlet: &Arc<Outlet>) -> Self {
        Self::seated(outlet, 0)
    }

    fn seated(outlet: &Arc<Outlet>, want: usize) -> Self {
        let seats = outlet.seats(want);
        Self { want: seats.len(), outlet: Arc::clone(outlet), seats, asked: false, way: None, lines: Vec::new() }
    }

    async fn add_line(&mut self, office: &Office, queue: &QueueName, line: LimitedLine, want: usize) -> Result<()> {
        let limits = office.limits.among(&line.limits);
        let given = match office.limits.take(&office.store, &limits, class_of(queue, line.priority), want).await? {
            Taken::Leave(permit) => Given::Leave(Used { permit, mails: 0 }),
            Taken::Wait(wait) | Taken::Shut(_, wait, _) => Given::Wait(wait),
        };
        self.lines.push((line.name, given));
        Ok(())
    }

    /// Leave under what all of the queue and of the way are under, and the seats.
    async fn under(
        mut self,
        office: &Office,
        queue: &QueueName,
        limits: &[(LimitName, Measure)],
        class: u8,
    ) -> Result<Answer> {
        match office.limits.take(&office.store, limits, class, self.want).await? {
            Taken::Leave(permit) => {
                self.want = permit.number;
                self.way = Some(Used { permit, mails: 0 });
            }
            Taken::Wait(wait) => return self.without(office, wait).await,
            Taken::Shut(limit, wait, why) => {
                office.shut(&limit, wait, &why);
                // Where another way is open, it is looked at again at once.
                let again = if limit == LimitName::Queue(queue.clone()) { wait.min(LONGEST) } else { Duration::ZERO };
                return self.without(office, again).await;
            }
        }
        if self.asked {
            let answer = self.outlet.ask_for_seats(office, self.want).await;
            self.seats = self.outlet.seats(self.want);
            if self.seats.is_empty() {
                self.outlet.miss_seats();
                let again = self.outlet.ask_again_in();
                answer?;
                return self.without(office, again).await;
            }
        }
        self.outlet.let_go();
        self.want = self.want.min(self.seats.len());
        Ok(Answer::Given(self))
    }

    async fn without(self, office: &Office, wait: Duration) -> Result<Answer> {
        self.give_back(&office.store).await?;
        Ok(Answer::Wait(wait))
    }

    fn of_lines(&self) -> usize {
        self.lines.iter().map(|(_, given)| given.mails()).sum()
    }

    /// What the claim is to be told.
    pub(crate) fn turns(&self) -> Vec<LineGrant> {
        let turn = |(line, given): &(String, Given)| {
            let again_in = if let Given::Wait(wait) = given { *wait } else { Duration::ZERO };
            LineGrant { line: line.clone(), mails: given.mails(), retry_in: again_in }
        };
        self.lines.iter().map(turn).collect()
    }

    /// The seat of a job that was claimed with it, and when it may go.
    pub(crate) fn take_up(&mut self, job: &Claimed) -> (Option<Seat>, Option<Turn>) {
        let line = self.lines.iter_mut().find(|(name, _)| Some(name) == job.line.as_ref());
        let own = line.and_then(|(_, given)| if let Given::Leave(used) = given { Some(used.take_up()) } else { None });
        let of_way = self.way.as_mut().map(Used::take_up);
        let turn = match (own, of_way) {
            (Some(own), Some(of_way)) => Some(own.and(of_way)),
            (own, of_way) => own.or(of_way),
        };
        (self.seats.pop(), turn)
    }

    /// What was not taken up goes back; `left` tells whether there is more mail than it was given for.
    pub(crate) async fn settle(mut self, office: &Office, left: bool) -> Result<()> {
        if left && self.seats.is_empty() {
            self.outlet.miss_seats();
        }
        let is_spare = self.asked && !self.seats.is_empty();
        self.seats.clear();
        if is_spare {
            self.outlet.keep_seats(office).await?;
        }
        self.give_back(&office.store).await
    }

    async fn give_back(self, store: &Store) -> Result<()> {
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
    fn take_up(&mut self) -> Turn {
        self.mails += 1;
        self.permit.turn(self.mails - 1)
    }
}
