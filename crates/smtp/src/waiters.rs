//! Queue of mails that wait for a session, and idle sessions that wait for a mail.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::oneshot, time::Instant};

use crate::{
    capabilities::Capabilities,
    envelope::Envelope,
    pool::{PooledConnection, PooledSession},
    transaction::{MailParameters, MailSize, RECIPIENTS_A_FLIGHT},
};

/// Time without pipelined envelopes after a server failed to handle one.
const ALONE: Duration = Duration::from_secs(600);

/// Idle sessions and waiting mails. At most one of the two is non-empty, except for a moment.
#[derive(Debug, Default)]
pub(crate) struct Waiters(Mutex<Sides>);

#[derive(Debug, Default)]
struct Sides {
    /// Idle sessions, the last used at the end. It is taken first, so that the others expire when
    /// there is little mail.
    sessions: Vec<PooledConnection>,
    mails: VecDeque<Waiting>,
    /// Until then no envelope is pipelined with the previous message.
    alone_until: Option<Instant>,
    last_ticket: u64,
}

/// One mail that waits for a session.
#[derive(Debug)]
pub(crate) struct Waiting {
    /// The mail to send, if the caller gave one.
    ahead: Option<Ahead>,
    ticket: u64,
    session: oneshot::Sender<PooledSession>,
}

/// The part of a mail that can be pipelined with the previous message: its envelope (RFC 2920
/// §3.1).
#[derive(Clone, Debug)]
pub(crate) struct Ahead {
    pub(crate) envelope: Arc<Envelope>,
    pub(crate) size: MailSize,
    /// Whether the mail precedes those that are not urgent.
    pub(crate) urgent: bool,
}

/// Position of the caller in the queue, and the channel on which its session arrives.
pub(crate) struct Soon {
    pub(crate) session: oneshot::Receiver<PooledSession>,
    ticket: u64,
}

impl Waiters {
    /// Takes the idle session that was used last.
    pub(crate) fn session(&self) -> Option<PooledConnection> {
        self.lock().sessions.pop()
    }

    /// Takes an idle session, or joins the queue if there is none.
    pub(crate) fn session_or_wait(&self, ahead: Option<Ahead>) -> Result<PooledConnection, Soon> {
        let mut sides = self.lock();
        if let Some(connection) = sides.sessions.pop() {
            return Ok(connection);
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

    /// Whether the mail is still queued: no session was assigned, and its envelope was not
    /// pipelined.
    pub(crate) fn waits(&self, soon: &Soon) -> bool {
        self.lock().mails.iter().any(|waiting| waiting.ticket == soon.ticket)
    }

    /// Leaves the queue.
    pub(crate) fn leave(&self, soon: Soon) {
        let mut sides = self.lock();
        sides.mails.retain(|waiting| waiting.ticket != soon.ticket);
        drop(sides);
        // A session may have been assigned just now: dropping the channel passes it to the next
        // mail.
        drop(soon);
    }

    /// Stops pipelining for a while: the server failed to handle a pipelined envelope.
    pub(crate) fn leave_alone(&self) {
        self.lock().alone_until = Some(Instant::now() + ALONE);
    }

    /// Returns the first waiting mail together with the session; stores the session as idle if no
    /// mail waits.
    pub(crate) fn mail_or_wait(&self, connection: PooledConnection) -> Option<(Waiting, PooledConnection)> {
        let mut sides = self.lock();
        while let Some(waiting) = sides.mails.pop_front() {
            if !waiting.session.is_closed() {
                return Some((waiting, connection));
            }
        }
        sides.sessions.push(connection);
        None
    }

    /// Takes the first waiting mail if its envelope can be pipelined to this server now.
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
        // A mail that this server can't take gets its error when it has a session.
        let parameters = MailParameters::choose(offered, &ahead.envelope, ahead.size).ok()?;
        sides.mails.pop_front().map(|waiting| (waiting, parameters))
    }

    /// Number of idle sessions.
    pub(crate) fn idle(&self) -> usize {
        self.lock().sessions.len()
    }

    /// Removes and returns the idle sessions that match.
    pub(crate) fn take_out(&self, which: impl FnMut(&mut PooledConnection) -> bool) -> Vec<PooledConnection> {
        self.lock().sessions.extract_if(.., which).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Sides> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    /// Envelope of the mail, if the caller gave one.
    pub(crate) fn envelope(&self) -> Option<&Arc<Envelope>> {
        self.ahead.as_ref().map(|ahead| &ahead.envelope)
    }

    /// Assigns the session to this mail. If the caller has left the queue, the session is dropped.
    pub(crate) fn hand(self, session: PooledSession) {
        drop(self.session.send(session));
    }
}
