//! Mails that wait for a session, and sessions that wait for a mail.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::oneshot, time::Instant};

use crate::{
    capabilities::Capabilities,
    envelope::Envelope,
    pool::{Kept, PooledSession},
    transaction::{MailParameters, MailSize, RECIPIENTS_A_FLIGHT},
};

/// For so long nothing is said ahead to a server that has lost step.
const ALONE: Duration = Duration::from_secs(600);

/// One side of it is always empty, but for a moment.
#[derive(Debug, Default)]
pub(crate) struct Lineup(Mutex<Sides>);

#[derive(Debug, Default)]
struct Sides {
    /// The last used at the end: it is taken first, so that a quiet time lets the others go.
    sessions: Vec<Kept>,
    mails: VecDeque<Waiting>,
    /// Before that, each mail says its envelope when it is its turn.
    alone_until: Option<Instant>,
    last_ticket: u64,
}

/// Who waits for a session.
#[derive(Debug)]
pub(crate) struct Waiting {
    /// What there is to send, if that is known.
    ahead: Option<Ahead>,
    ticket: u64,
    session: oneshot::Sender<PooledSession>,
}

/// What a mail can say before its turn: its envelope leaves with the message before it (RFC 2920, 3.1).
#[derive(Clone, Debug)]
pub(crate) struct Ahead {
    pub(crate) envelope: Arc<Envelope>,
    pub(crate) size: MailSize,
    /// Whether it goes before others that wait.
    pub(crate) urgent: bool,
}

/// A place among the mails that wait.
pub(crate) struct Soon {
    pub(crate) session: oneshot::Receiver<PooledSession>,
    ticket: u64,
}

impl Lineup {
    /// The idle session that was used last.
    pub(crate) fn session(&self) -> Option<Kept> {
        self.lock().sessions.pop()
    }

    /// The same; where there is none, a place among the mails that wait.
    pub(crate) fn session_or_wait(&self, ahead: Option<Ahead>) -> Result<Kept, Soon> {
        let mut sides = self.lock();
        if let Some(kept) = sides.sessions.pop() {
            return Ok(kept);
        }
        let (session, soon) = oneshot::channel();
        sides.last_ticket += 1;
        let ticket = sides.last_ticket;
        let goes_first = |waiting: &Waiting| waiting.ahead.as_ref().is_some_and(|ahead| ahead.urgent);
        let place = match &ahead {
            Some(ahead) if ahead.urgent => sides.mails.iter().position(|other| !goes_first(other)),
            _ => None,
        };
        let place = place.unwrap_or(sides.mails.len());
        sides.mails.insert(place, Waiting { ahead, ticket, session });
        Err(Soon { session: soon, ticket })
    }

    /// Whether it still stands there: it was neither given a session nor taken along.
    pub(crate) fn waits(&self, soon: &Soon) -> bool {
        self.lock().mails.iter().any(|waiting| waiting.ticket == soon.ticket)
    }

    /// Nobody waits at this place any more.
    pub(crate) fn leave(&self, soon: Soon) {
        let mut sides = self.lock();
        sides.mails.retain(|waiting| waiting.ticket != soon.ticket);
        drop(sides);
        // A session may have come to it this moment; it goes on to the next.
        drop(soon);
    }

    /// The server has lost step with an envelope that was said ahead.
    pub(crate) fn leave_alone(&self) {
        self.lock().alone_until = Some(Instant::now() + ALONE);
    }

    /// A session for the mail that has waited longest; where nobody waits, it waits itself.
    pub(crate) fn mail_or_wait(&self, kept: Kept) -> Option<(Waiting, Kept)> {
        let mut sides = self.lock();
        while let Some(waiting) = sides.mails.pop_front() {
            if !waiting.session.is_closed() {
                return Some((waiting, kept));
            }
        }
        sides.sessions.push(kept);
        None
    }

    /// The mail that has waited longest, if its envelope may be said to this server now.
    pub(crate) fn take_along(&self, offered: &Capabilities) -> Option<(Waiting, MailParameters)> {
        let mut sides = self.lock();
        if sides.alone_until.is_some_and(|until| Instant::now() < until) {
            return None;
        }
        while sides.mails.front().is_some_and(|waiting| waiting.session.is_closed()) {
            sides.mails.pop_front();
        }
        let ahead = sides.mails.front()?.ahead.as_ref()?;
        if ahead.envelope.rcpt_to().len() > RECIPIENTS_A_FLIGHT {
            return None;
        }
        // What this server can't take is told to the mail when it is its turn.
        let parameters = MailParameters::choose(offered, &ahead.envelope, ahead.size).ok()?;
        sides.mails.pop_front().map(|waiting| (waiting, parameters))
    }

    /// How many sessions wait.
    pub(crate) fn idle(&self) -> usize {
        self.lock().sessions.len()
    }

    /// Takes out the sessions for which that holds.
    pub(crate) fn take_out(&self, which: impl FnMut(&mut Kept) -> bool) -> Vec<Kept> {
        self.lock().sessions.extract_if(.., which).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Sides> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    /// What was said ahead, when it was taken along.
    pub(crate) fn envelope(&self) -> Option<&Arc<Envelope>> {
        self.ahead.as_ref().map(|ahead| &ahead.envelope)
    }

    /// Who does not wait any more leaves the session to its drop.
    pub(crate) fn hand(self, session: PooledSession) {
        drop(self.session.send(session));
    }
}
