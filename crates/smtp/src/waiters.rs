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
    mail_parameters::{MailParameters, MailSize, NextEnvelope},
};

/// Time without pipelined envelopes after a server failed to handle one.
const PIPELINING_PAUSE: Duration = Duration::from_secs(600);

/// Waiting mails and idle connections. At most one of the two is non-empty, except for a moment.
///
/// `C` is an idle connection, `S` the session that a waiting mail receives.
#[derive(Debug)]
pub(crate) struct Waiters<C, S>(Mutex<WaitQueue<C, S>>);

#[derive(Debug)]
struct WaitQueue<C, S> {
    /// Idle connections, the last used at the end. It is taken first, so that the others expire
    /// when there is little mail.
    idle: Vec<C>,
    waiters: VecDeque<Waiter<S>>,
    /// Until then no envelope is pipelined with the previous message.
    paused_until: Option<Instant>,
    last_number: u64,
}

/// One mail that waits for a session.
#[derive(Debug)]
pub(crate) struct Waiter<S> {
    /// The mail to send, if the caller gave one.
    mail: Option<WaitingMail>,
    number: u64,
    session: oneshot::Sender<S>,
}

/// The part of a mail that can be pipelined with the previous message: its envelope (RFC 2920
/// §3.1).
#[derive(Clone, Debug)]
pub(crate) struct WaitingMail {
    pub(crate) envelope: Arc<Envelope>,
    pub(crate) size: MailSize,
    /// Whether the mail precedes mails that are not urgent.
    pub(crate) urgent: bool,
}

/// Number of a waiter, and the channel on which its session arrives.
pub(crate) struct WaitTicket<S> {
    pub(crate) session: oneshot::Receiver<S>,
    number: u64,
}

impl WaitingMail {
    pub(crate) fn new(envelope: &Arc<Envelope>, message: &[u8], urgent: bool) -> Self {
        Self { envelope: Arc::clone(envelope), size: MailSize::of(message), urgent }
    }
}

impl<C, S> Waiters<C, S> {
    /// Takes the idle connection that was used last.
    pub(crate) fn take_idle(&self) -> Option<C> {
        self.lock().idle.pop()
    }

    /// Takes an idle connection, or joins the queue if there is none.
    pub(crate) fn take_idle_or_join(&self, mail: Option<WaitingMail>) -> Result<C, WaitTicket<S>> {
        let mut queue = self.lock();
        if let Some(connection) = queue.idle.pop() {
            return Ok(connection);
        }
        let (sender, session) = oneshot::channel();
        queue.last_number += 1;
        let number = queue.last_number;
        queue.insert(Waiter { mail, number, session: sender });
        Err(WaitTicket { session, number })
    }

    /// Whether the mail is still queued: no session was assigned, and its envelope was not
    /// pipelined.
    pub(crate) fn is_queued(&self, ticket: &WaitTicket<S>) -> bool {
        self.lock().waiters.iter().any(|waiter| waiter.number == ticket.number)
    }

    /// Leaves the queue. Returns false if a session is assigned, or will be: then the envelope of
    /// the mail was pipelined, and the session can serve no other.
    pub(crate) fn leave(&self, ticket: &WaitTicket<S>) -> bool {
        let mut queue = self.lock();
        let before = queue.waiters.len();
        queue.waiters.retain(|waiter| waiter.number != ticket.number);
        queue.waiters.len() < before
    }

    /// Stops pipelining for a while: the server failed to handle a pipelined envelope.
    pub(crate) fn pause_pipelining(&self) {
        self.lock().paused_until = Some(Instant::now() + PIPELINING_PAUSE);
    }

    /// Returns the first waiter together with the connection; stores the connection as idle if no
    /// mail waits.
    pub(crate) fn next_or_store(&self, connection: C) -> Option<(Waiter<S>, C)> {
        let mut queue = self.lock();
        while let Some(waiter) = queue.waiters.pop_front() {
            if !waiter.has_left() {
                return Some((waiter, connection));
            }
        }
        queue.idle.push(connection);
        None
    }

    /// Takes the first waiter if its envelope can be pipelined to this server now.
    pub(crate) fn take_next(&self, offered: &Capabilities) -> Option<(Waiter<S>, NextEnvelope)> {
        let mut queue = self.lock();
        if queue.paused_until.is_some_and(|until| Instant::now() < until) {
            return None;
        }
        while queue.waiters.front().is_some_and(Waiter::has_left) {
            queue.waiters.pop_front();
        }
        let mail = queue.waiters.front()?.mail.as_ref()?;
        if !mail.envelope.fits_one_write() {
            return None;
        }
        // A mail that this server can't take gets its error when it has a session.
        let parameters = MailParameters::choose(offered, &mail.envelope, mail.size).ok()?;
        let next = NextEnvelope { envelope: Arc::clone(&mail.envelope), parameters };
        queue.waiters.pop_front().map(|waiter| (waiter, next))
    }

    /// Number of idle connections.
    pub(crate) fn idle_count(&self) -> usize {
        self.lock().idle.len()
    }

    /// Removes and returns the idle connections that match.
    pub(crate) fn extract_idle(&self, matches: impl FnMut(&mut C) -> bool) -> Vec<C> {
        self.lock().idle.extract_if(.., matches).collect()
    }

    fn lock(&self) -> MutexGuard<'_, WaitQueue<C, S>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<C, S> Default for Waiters<C, S> {
    fn default() -> Self {
        let queue = WaitQueue { idle: Vec::new(), waiters: VecDeque::new(), paused_until: None, last_number: 0 };
        Self(Mutex::new(queue))
    }
}

impl<C, S> WaitQueue<C, S> {
    /// Adds a waiter at the end; an urgent one before the first that is not urgent.
    fn insert(&mut self, waiter: Waiter<S>) {
        let end = self.waiters.len();
        let position = if waiter.is_urgent() {
            self.waiters.iter().position(|other| !other.is_urgent()).unwrap_or(end)
        } else {
            end
        };
        self.waiters.insert(position, waiter);
    }
}

impl<S> Waiter<S> {
    /// Assigns the session to this mail. If the caller has left the queue, the session is dropped.
    pub(crate) fn assign(self, session: S) {
        drop(self.session.send(session));
    }

    fn is_urgent(&self) -> bool {
        self.mail.as_ref().is_some_and(|mail| mail.urgent)
    }

    fn has_left(&self) -> bool {
        self.session.is_closed()
    }
}
