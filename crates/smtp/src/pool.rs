//! Idle sessions of one endpoint, kept for the next mail.

use std::{
    ops::{Deref, DerefMut},
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{runtime::Handle, sync::Notify};

use crate::{
    endpoint::Endpoint,
    error::SmtpError,
    places::{Place, Places},
    session::Session,
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

/// Sessions of one endpoint; clones share them.
#[derive(Clone, Debug)]
pub struct Pool(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    endpoint: Endpoint,
    limits: PoolLimits,
    /// The last used at the end: it is taken first, so that a quiet time lets the others go.
    idle: Mutex<Vec<Kept>>,
    places: Arc<Places>,
}

/// A session and its place among the connections.
#[derive(Debug)]
struct Kept {
    session: Session,
    place: Place,
}

/// A session on loan; dropped, it goes back to the pool if it can be used again.
#[derive(Debug)]
pub struct PooledSession {
    /// Gone only while it is dropped.
    session: Option<Kept>,
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
        Self(Arc::new(Shared { endpoint, limits, idle: Mutex::default(), places }))
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
        let shared = &self.0;
        loop {
            let mut freed = pin!(shared.places.freed.notified());
            freed.as_mut().enable();
            if let Some(kept) = shared.take_idle() {
                return Ok(self.lend(kept));
            }
            if let Some(place) = shared.places.enter() {
                return match Session::connect(&shared.endpoint).await {
                    Ok(session) => Ok(self.lend(Kept { session, place: place.stands() })),
                    Err(problem) => {
                        place.failed();
                        Err(problem)
                    }
                };
            }
            freed.await;
        }
    }

    fn lend(&self, kept: Kept) -> PooledSession {
        PooledSession { session: Some(kept), pool: Arc::clone(&self.0) }
    }

    /// How many sessions wait for a mail.
    #[must_use]
    pub fn idle(&self) -> usize {
        self.0.with_idle(|idle| idle.len())
    }

    /// Says goodbye on sessions that have waited or lived too long; call it now and then when there is little to send.
    pub fn retire_old(&self) {
        let old: Vec<_> = self.0.with_idle(|idle| {
            let old = |kept: &mut Kept| !self.0.may_wait(&kept.session);
            idle.extract_if(.., old).collect()
        });
        old.into_iter().for_each(retire);
    }

    /// Says goodbye on every idle session, and waits for it.
    pub async fn close(&self) {
        for kept in self.0.with_idle(std::mem::take) {
            kept.session.quit().await;
        }
    }

    /// Says goodbye on idle sessions until no more connections are open than are allowed.
    pub fn shrink(&self) {
        while self.0.places.are_exceeded() {
            let Some(kept) = self.0.with_idle(Vec::pop) else { return };
            retire(kept);
        }
    }
}

impl Shared {
    fn take_idle(&self) -> Option<Kept> {
        while let Some(kept) = self.with_idle(Vec::pop) {
            if self.may_wait(&kept.session) && !kept.session.is_stale() {
                return Some(kept);
            }
            retire(kept);
        }
        None
    }

    fn put_back(&self, kept: Kept) {
        if self.may_wait(&kept.session) && !self.places.are_exceeded() {
            self.with_idle(|idle| idle.push(kept));
            self.places.freed.notify_waiters();
        } else {
            retire(kept);
        }
    }

    fn may_wait(&self, session: &Session) -> bool {
        session.is_reusable()
            && session.messages() < self.limits.messages
            && session.age() < self.limits.age
            && session.idle() < self.limits.idle
    }

    fn with_idle<T>(&self, work: impl FnOnce(&mut Vec<Kept>) -> T) -> T {
        work(&mut self.idle.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl PooledSession {
    /// Puts a new connection in the place of this one, which the server had closed while it was idle.
    pub async fn renew(&mut self) -> Result<(), SmtpError> {
        let fresh = Session::connect(&self.pool.endpoint).await?;
        if let Some(kept) = &mut self.session {
            kept.session = fresh;
        }
        Ok(())
    }
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
        if let Some(kept) = self.session.take() {
            self.pool.put_back(kept);
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
