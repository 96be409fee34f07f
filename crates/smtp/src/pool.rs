//! Idle sessions of one endpoint, kept for the next mail.

use std::{
    ops::{Deref, DerefMut},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use tokio::{runtime::Handle, sync::Notify, time::timeout};

use crate::{
    delivery::Delivery,
    endpoint::Endpoint,
    envelope::Envelope,
    error::{Phase, SmtpError, Trouble},
    hook::Commit,
    lineup::{Ahead, Lineup, Soon, Waiting},
    places::{Place, Places},
    session::Session,
    transaction::MailSize,
};

/// How long sessions are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolLimits {
    /// Mails on one connection.
    pub messages: u64,
    /// Age of a connection.
    pub age: Duration,
    /// Time without a mail.
    pub idle: Duration,
    /// Connections at the same time, from their dialling to their goodbye; whoever wants more waits. `None`: as many as are
    /// asked for. See [`Pool::allow`].
    pub connections: Option<usize>,
}

/// A mail that was taken along waits no longer for the verdict on the one before it; it goes another way.
const TOO_LONG: Duration = Duration::from_secs(5);

/// Sessions of one endpoint; clones share them.
#[derive(Clone, Debug)]
pub struct Pool(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    endpoint: Endpoint,
    limits: PoolLimits,
    lineup: Lineup,
    places: Arc<Places>,
}

/// A session and its place among the connections.
#[derive(Debug)]
pub(crate) struct Kept {
    session: Session,
    place: Place,
}

/// A session on loan; dropped, it goes back to the pool if it can be used again.
#[derive(Debug)]
pub struct PooledSession {
    /// Gone only while it is dropped.
    session: Option<Kept>,
    /// The mail whose envelope was said with the last message: the session is its.
    along: Option<Waiting>,
    pool: Arc<Shared>,
}

impl Default for PoolLimits {
    fn default() -> Self {
        Self { messages: 100, age: Duration::from_secs(5 * 60), idle: Duration::from_secs(60), connections: None }
    }
}

impl Pool {
    /// An empty pool; nothing is connected before the first checkout.
    #[must_use]
    pub fn new(endpoint: Endpoint, limits: PoolLimits) -> Self {
        let places = Arc::new(Places::new(limits.connections));
        Self(Arc::new(Shared { endpoint, limits, lineup: Lineup::default(), places }))
    }

    /// So many connections at the same time from now on. Those beyond end when they come back. From the first call on, a
    /// connection that failed while others stood is not tried again before the next call.
    pub fn allow(&self, connections: usize) {
        self.0.places.allow(connections);
    }

    /// How many connections stand: greeted, encrypted, logged in, and not said goodbye to.
    #[must_use]
    pub fn standing(&self) -> usize {
        self.0.places.standing()
    }

    /// Rung whenever one more connection stands or has ended.
    #[must_use]
    pub fn changes(&self) -> Arc<Notify> {
        Arc::clone(&self.0.places.changes)
    }

    /// The endpoint that sessions are opened to.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        &self.0.endpoint
    }

    /// A session that is ready: an idle one that the server has not closed, or a new one.
    pub async fn checkout(&self) -> Result<PooledSession, SmtpError> {
        self.session_for(None).await
    }

    /// The same for a mail. Where all connections that are allowed are in use, those who wait are served in their order, urgent ones
    /// first, and its envelope may be said ahead, with the end of the message of a mail before it: nothing else is to be sent by this
    /// session then.
    pub async fn checkout_for(
        &self,
        envelope: &Arc<Envelope>,
        message: &[u8],
        urgent: bool,
    ) -> Result<PooledSession, SmtpError> {
        self.session_for(Some(Ahead { envelope: Arc::clone(envelope), size: MailSize::of(message), urgent })).await
    }

    async fn session_for(&self, ahead: Option<Ahead>) -> Result<PooledSession, SmtpError> {
        let shared = &self.0;
        loop {
            let mut freed = pin!(shared.places.freed.notified());
            freed.as_mut().enable();
            if let Some(kept) = shared.take_idle() {
                return Ok(shared.lend(kept));
            }
            if let Some(place) = shared.places.enter() {
                return match Box::pin(Session::connect(&shared.endpoint)).await {
                    Ok(session) => Ok(shared.lend(Kept { session, place: place.stands() })),
                    Err(problem) => {
                        place.failed();
                        Err(problem)
                    }
                };
            }
            let mut soon = match shared.lineup.session_or_wait(ahead.clone()) {
                Ok(kept) => {
                    shared.put_back(kept);
                    continue;
                }
                Err(soon) => soon,
            };
            tokio::select! {
                biased;
                handed = shared.handed(&mut soon) => if let Some(session) = handed { return Ok(session) },
                () = freed => {}
            }
            shared.lineup.leave(soon);
        }
    }

    /// How many sessions wait for a mail.
    #[must_use]
    pub fn idle(&self) -> usize {
        self.0.lineup.idle()
    }

    /// Says goodbye on sessions that have waited or lived too long; call it now and then when there is little to send.
    pub fn retire_old(&self) {
        let old = self.0.lineup.take_out(|kept| !self.0.may_wait(&kept.session));
        old.into_iter().for_each(retire);
    }

    /// Says goodbye on every idle session, and waits for it.
    pub async fn close(&self) {
        for kept in self.0.lineup.take_out(|_| true) {
            kept.session.quit().await;
        }
    }

    /// Says goodbye on idle sessions until no more connections are open than are allowed.
    pub fn shrink(&self) {
        while self.0.places.are_exceeded() {
            let Some(kept) = self.0.lineup.session() else { return };
            retire(kept);
        }
    }
}

impl Shared {
    fn take_idle(&self) -> Option<Kept> {
        while let Some(kept) = self.lineup.session() {
            if self.may_wait(&kept.session) && !kept.session.is_stale() {
                return Some(kept);
            }
            retire(kept);
        }
        None
    }

    fn put_back(self: &Arc<Self>, kept: Kept) {
        if !self.may_wait(&kept.session) || self.places.are_exceeded() {
            return retire(kept);
        }
        if let Some((waiting, kept)) = self.lineup.mail_or_wait(kept) {
            waiting.hand(self.lend(kept));
        }
    }

    /// The session that comes to this place; `None` where it has to be looked for anew.
    async fn handed(&self, soon: &mut Soon) -> Option<PooledSession> {
        loop {
            match timeout(TOO_LONG, &mut soon.session).await {
                Ok(handed) => return handed.ok(),
                Err(_) if self.lineup.waits(soon) => {}
                Err(_) => return None,
            }
        }
    }

    fn lend(self: &Arc<Self>, kept: Kept) -> PooledSession {
        PooledSession { session: Some(kept), along: None, pool: Arc::clone(self) }
    }

    /// Whether a session that sends a mail may get another after it.
    fn may_go_on(&self, session: &Session) -> bool {
        session.is_quick()
            && session.messages() + 1 < self.limits.messages
            && session.age() < self.limits.age
            && !self.places.are_exceeded()
    }

    fn may_wait(&self, session: &Session) -> bool {
        session.is_reusable()
            && session.messages() < self.limits.messages
            && session.age() < self.limits.age
            && session.idle() < self.limits.idle
    }
}

impl PooledSession {
    /// Sends one mail: see [`Session::send`]. It is the one that the session was checked out for, if it was for one.
    pub async fn send<F>(
        &mut self,
        envelope: &Envelope,
        message: &[u8],
        before_commit: F,
    ) -> Result<Delivery, SmtpError>
    where
        F: Future<Output = Commit>,
    {
        let kept = self.session.as_mut().expect("the session is taken out only while it is dropped");
        let lineup = self.pool.may_go_on(&kept.session).then_some(&self.pool.lineup);
        let was_opened = kept.session.is_opened();
        let (result, along) = kept.session.send_before(envelope, message, before_commit, lineup).await;
        if was_opened && result.as_ref().is_err_and(is_out_of_step) {
            self.pool.lineup.leave_alone();
        }
        self.along = along;
        result
    }

    /// Puts a new connection in the place of this one, which the server had closed while it was idle.
    pub async fn renew(&mut self) -> Result<(), SmtpError> {
        let fresh = Box::pin(Session::connect(&self.pool.endpoint)).await?;
        if let Some(kept) = &mut self.session {
            kept.session = fresh;
        }
        Ok(())
    }
}

/// Whether a server may not understand an envelope that is said ahead.
fn is_out_of_step(error: &SmtpError) -> bool {
    matches!(error.phase(), Phase::Mail | Phase::Rcpt | Phase::Data)
        && !matches!(error.trouble(), Trouble::Refused(_) | Trouble::Aborted)
}

/// QUIT in the background; outside a runtime the connection is just closed. Its place is free once the server has closed too:
/// it counts connections.
fn retire(Kept { session, place }: Kept) {
    if session.is_reusable()
        && let Ok(runtime) = Handle::try_current()
    {
        runtime.spawn(async move {
            session.quit().await;
            drop(place);
        });
    }
}

impl Drop for PooledSession {
    fn drop(&mut self) {
        let Some(kept) = self.session.take() else { return };
        match self.along.take() {
            Some(waiting) => waiting.hand(self.pool.lend(kept)),
            None => self.pool.put_back(kept),
        }
    }
}

impl Deref for PooledSession {
    type Target = Session;

    fn deref(&self) -> &Session {
        let kept = self.session.as_ref();
        &kept.expect("the session is taken out only while it is dropped").session
    }
}

impl DerefMut for PooledSession {
    fn deref_mut(&mut self) -> &mut Session {
        let kept = self.session.as_mut();
        &mut kept.expect("the session is taken out only while it is dropped").session
    }
}
