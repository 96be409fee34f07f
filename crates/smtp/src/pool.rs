//! Connection pool of one endpoint.

use std::{
    ops::{Deref, DerefMut},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use tokio::{runtime::Handle, sync::Notify, time::timeout};

use crate::{
    capabilities::Capabilities,
    endpoint::Endpoint,
    envelope::Envelope,
    error::{ErrorKind, Phase, SmtpError},
    hook::Commit,
    pool_permits::{PoolPermit, PoolPermits},
    send_report::SendReport,
    session::Session,
    session_limit::LearnedLimits,
    waiters::{WaitTicket, Waiter, Waiters, WaitingMail},
};

/// Limits of a connection pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolLimits {
    /// Maximum number of mails on one connection.
    pub messages: u64,
    /// Maximum age of a connection.
    pub age: Duration,
    /// Maximum time that a connection is idle.
    pub idle: Duration,
    /// Maximum number of connections at the same time, including those that are being opened or
    /// closed. `None` means no limit. See [`Pool::set_max_connections`].
    pub connections: Option<usize>,
}

/// Maximum time that a mail whose envelope was pipelined waits for its session. After it, the mail
/// takes another session.
const MAX_PIPELINED_WAIT: Duration = Duration::from_secs(5);

/// Number of refused mails in a row after which a connection is closed. Servers delay their replies
/// after some errors (Postfix: ten) and then close. A refused mail may cost two: RCPT and the DATA
/// that was pipelined with it.
const MAX_REFUSED_IN_A_ROW: u64 = 4;

/// Pool of sessions to one endpoint; clones share them.
#[derive(Clone, Debug)]
pub struct Pool(Arc<PoolState>);

#[derive(Debug)]
struct PoolState {
    endpoint: Endpoint,
    limits: PoolLimits,
    waiters: Waiters<PooledConnection, PooledSession>,
    permits: Arc<PoolPermits>,
    learned: LearnedLimits,
}

/// A session and its connection permit.
#[derive(Debug)]
struct PooledConnection {
    session: Session,
    permit: PoolPermit,
}

/// A session checked out of a pool. On drop it returns to the pool if it can be used again.
#[derive(Debug)]
pub struct PooledSession {
    /// `None` only during the drop.
    session: Option<PooledConnection>,
    /// Waiter whose envelope was pipelined with the last message. The session goes to this waiter.
    next: Option<Waiter<PooledSession>>,
    pool: Arc<PoolState>,
}

impl Default for PoolLimits {
    fn default() -> Self {
        Self { messages: 100, age: Duration::from_secs(5 * 60), idle: Duration::from_secs(60), connections: None }
    }
}

impl Pool {
    /// Creates an empty pool. The first checkout opens the first connection.
    #[must_use]
    pub fn new(endpoint: Endpoint, limits: PoolLimits) -> Self {
        let permits = Arc::new(PoolPermits::new(limits.connections));
        let learned = LearnedLimits::default();
        Self(Arc::new(PoolState { endpoint, limits, waiters: Waiters::default(), permits, learned }))
    }

    /// Sets the maximum number of connections. Excess connections are closed when they return to
    /// the pool.
    pub fn set_max_connections(&self, connections: usize) {
        self.0.permits.set_max(connections);
    }

    /// Number of open connections: ready for mail, or being closed.
    #[must_use]
    pub fn open_connections(&self) -> usize {
        self.0.permits.open()
    }

    /// Notified when the number of open connections changes.
    #[must_use]
    pub fn changes(&self) -> Arc<Notify> {
        Arc::clone(&self.0.permits.open_changes)
    }

    /// Returns once whether the server stated that there are too many connections while some are
    /// open. Check it after [`Pool::changes`].
    #[must_use]
    pub fn take_refusal(&self) -> bool {
        self.0.permits.take_refusal()
    }

    /// Endpoint of the sessions.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        &self.0.endpoint
    }

    /// Checks out a session: an idle one that the server has not closed, or a new one. Waits if all
    /// connections are in use, and if the server refuses another one while some are open.
    ///
    /// # Errors
    /// Returns an error if a new connection cannot be opened and no other is open.
    pub async fn checkout(&self) -> Result<PooledSession, SmtpError> {
        self.0.session_for(None).await
    }

    /// Checks out a session for this mail.
    ///
    /// If all connections are in use, the mail waits: first in first out, urgent mails first. Its
    /// envelope may be pipelined with the end of the message before it. The session must then send
    /// this mail and no other.
    ///
    /// # Errors
    /// Returns an error if a new connection cannot be opened and no other is open.
    pub async fn checkout_for(
        &self,
        envelope: &Arc<Envelope>,
        message: &[u8],
        urgent: bool,
    ) -> Result<PooledSession, SmtpError> {
        self.0.session_for(Some(WaitingMail::new(envelope, message, urgent))).await
    }

    /// Number of idle sessions.
    #[must_use]
    pub fn idle(&self) -> usize {
        self.0.waiters.idle_count()
    }

    /// Closes idle sessions that exceed a limit. Call this periodically while there is little to
    /// send.
    pub fn close_expired(&self) {
        let expired = self.0.waiters.extract_idle(|connection| !self.0.is_usable(&connection.session));
        expired.into_iter().for_each(close_in_background);
    }

    /// Closes every idle session with QUIT and waits until they are closed.
    pub async fn close(&self) {
        for connection in self.0.waiters.extract_idle(|_| true) {
            connection.session.quit().await;
        }
    }

    /// Closes idle sessions while there are more connections than the maximum.
    pub fn shrink(&self) {
        while self.0.permits.is_exceeded() {
            let Some(connection) = self.0.waiters.take_idle() else { return };
            close_in_background(connection);
        }
    }
}

impl PoolState {
    async fn session_for(self: &Arc<Self>, mail: Option<WaitingMail>) -> Result<PooledSession, SmtpError> {
        loop {
            let mut released = pin!(self.permits.released.notified());
            released.as_mut().enable();
            if let Some(connection) = self.take_idle() {
                return Ok(self.check_out(connection));
            }
            if let Some(permit) = self.permits.try_acquire() {
                match Box::pin(Session::connect(&self.endpoint)).await {
                    Ok(session) => {
                        return Ok(self.check_out(PooledConnection { session, permit: permit.into_open() }));
                    }
                    Err(error) => self.stand_in(permit, error)?,
                }
                continue;
            }
            let mut ticket = match self.waiters.take_idle_or_join(mail.clone()) {
                Ok(connection) => {
                    self.return_connection(connection);
                    continue;
                }
                Err(ticket) => ticket,
            };
            let is_released = tokio::select! {
                biased;
                session = self.wait_for_session(&mut ticket) => match session {
                    Some(session) => return Ok(session),
                    None => false,
                },
                () = released => true,
            };
            if !self.waiters.leave(&ticket)
                && is_released
                && let Some(session) = self.wait_for_session(&mut ticket).await
            {
                return Ok(session);
            }
        }
    }

    /// Handles a connection that cannot be opened.
    ///
    /// # Errors
    /// Returns the error unless the server may have no room while other connections, which can be
    /// used instead, are open.
    fn stand_in(&self, permit: PoolPermit, error: SmtpError) -> Result<(), SmtpError> {
        drop(permit);
        if error.may_lack_room() && self.permits.refused(error.lacks_room()) { Ok(()) } else { Err(error) }
    }

    fn take_idle(&self) -> Option<PooledConnection> {
        while let Some(connection) = self.waiters.take_idle() {
            if self.is_usable(&connection.session) && !connection.session.is_stale() {
                return Some(connection);
            }
            close_in_background(connection);
        }
        None
    }

    fn return_connection(self: &Arc<Self>, connection: PooledConnection) {
        if !self.is_usable(&connection.session) || self.permits.is_exceeded() {
            return close_in_background(connection);
        }
        if let Some((waiter, connection)) = self.waiters.next_or_store(connection) {
            waiter.assign(self.check_out(connection));
        }
    }

    /// Waits for the session of a queued mail; `None` if the caller must retry.
    async fn wait_for_session(&self, ticket: &mut WaitTicket<PooledSession>) -> Option<PooledSession> {
        loop {
            match timeout(MAX_PIPELINED_WAIT, &mut ticket.session).await {
                Ok(assigned) => return assigned.ok(),
                Err(_) if self.waiters.is_queued(ticket) => {}
                Err(_) => return None,
            }
        }
    }

    fn check_out(self: &Arc<Self>, connection: PooledConnection) -> PooledSession {
        PooledSession { session: Some(connection), next: None, pool: Arc::clone(self) }
    }

    /// Whether the next envelope may be pipelined on this session.
    fn can_pipeline(&self, session: &Session) -> bool {
        session.is_quick() && self.has_room(session, 1) && !self.permits.is_exceeded()
    }

    fn is_usable(&self, session: &Session) -> bool {
        session.is_reusable() && !session.is_retired() && self.has_room(session, 0) && session.idle() < self.limits.idle
    }

    /// Whether the session may send another mail after `more` further ones. Where the server
    /// refuses connections, only its own limits end one.
    fn has_room(&self, session: &Session, more: u64) -> bool {
        let mut usage = session.usage();
        usage.mails += more;
        let is_within_own = || {
            usage.mails < self.limits.messages
                && session.age() < self.limits.age
                && usage.refused_in_a_row < MAX_REFUSED_IN_A_ROW
        };
        self.learned.has_room(&usage) && (is_within_own() || self.permits.is_scarce())
    }
}

impl PooledSession {
    /// Sends one mail, as [`Session::send`] does. After [`Pool::checkout_for`] it must be the mail
    /// of the checkout.
    ///
    /// # Errors
    /// Returns an error if nothing was sent.
    pub async fn send<F>(
        &mut self,
        envelope: &Envelope,
        message: &[u8],
        before_commit: F,
    ) -> Result<SendReport, SmtpError>
    where
        F: Future<Output = Commit>,
    {
        let connection = self.session.as_mut().expect("the session is present until the drop");
        let can_pipeline = self.pool.can_pipeline(&connection.session);
        let was_pipelined = connection.session.is_envelope_sent();
        let mut next_waiter = None;
        let next = |offered: &Capabilities| {
            let (waiter, envelope) = can_pipeline.then(|| self.pool.waiters.take_next(offered)).flatten()?;
            next_waiter = Some(waiter);
            Some(envelope)
        };
        let result = connection.session.send_with_next(envelope, message, before_commit, next).await;
        if was_pipelined && result.as_ref().is_err_and(rejects_pipelining) {
            self.pool.waiters.pause_pipelining();
        }
        self.next = next_waiter.filter(|_| connection.session.is_envelope_sent());
        self.learn(result)
    }

    /// Learns from the result of a mail, and retires the connection if it has reached a limit.
    fn learn(&mut self, result: Result<SendReport, SmtpError>) -> Result<SendReport, SmtpError> {
        let Some(PooledConnection { session, .. }) = &mut self.session else { return result };
        let result = self.pool.learned.judge(result, session.closing_reply(), &session.usage());
        if result.as_ref().is_ok_and(SendReport::is_spent) {
            session.retire();
        }
        result
    }

    /// Replaces this connection, which the server closed or which has reached a limit, by a new
    /// one. If the server refuses that while others are open, returns one of those.
    ///
    /// # Errors
    /// Returns an error if a new connection cannot be opened and no other is open.
    pub async fn renew(mut self, envelope: &Arc<Envelope>, message: &[u8], urgent: bool) -> Result<Self, SmtpError> {
        let pool = Arc::clone(&self.pool);
        let Some(PooledConnection { session, permit }) = self.session.take() else {
            return pool.session_for(Some(WaitingMail::new(envelope, message, urgent))).await;
        };
        // The server counts the old connection until it is closed.
        session.quit().await;
        match Box::pin(Session::connect(&pool.endpoint)).await {
            Ok(session) => self.session = Some(PooledConnection { session, permit }),
            Err(error) => {
                pool.stand_in(permit, error)?;
                return pool.session_for(Some(WaitingMail::new(envelope, message, urgent))).await;
            }
        }
        Ok(self)
    }
}

/// Whether the error may mean that the server does not handle a pipelined envelope.
fn rejects_pipelining(error: &SmtpError) -> bool {
    matches!(error.phase(), Phase::Mail | Phase::Rcpt | Phase::Data)
        && !matches!(error.kind(), ErrorKind::Refused(_) | ErrorKind::Aborted)
}

/// Sends QUIT in the background, or only closes the connection if there is no runtime. The permit
/// is released after the server has closed too, because the server counts connections.
fn close_in_background(PooledConnection { session, permit }: PooledConnection) {
    if session.is_reusable()
        && let Ok(runtime) = Handle::try_current()
    {
        runtime.spawn(async move {
            session.quit().await;
            drop(permit);
        });
    }
}

impl Drop for PooledSession {
    fn drop(&mut self) {
        let Some(connection) = self.session.take() else { return };
        match self.next.take() {
            Some(waiter) => waiter.assign(self.pool.check_out(connection)),
            None => self.pool.return_connection(connection),
        }
    }
}

impl Deref for PooledSession {
    type Target = Session;

    fn deref(&self) -> &Session {
        let connection = self.session.as_ref();
        &connection.expect("the session is present until the drop").session
    }
}

impl DerefMut for PooledSession {
    fn deref_mut(&mut self) -> &mut Session {
        let connection = self.session.as_mut();
        &mut connection.expect("the session is present until the drop").session
    }
}
