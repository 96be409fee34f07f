//! Idle sessions of one endpoint, kept for the next mail.

use std::{
    ops::{Deref, DerefMut},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    runtime::Handle,
    sync::{OwnedSemaphorePermit, Semaphore},
};

use crate::{endpoint::Endpoint, error::SmtpError, session::Session};

/// How long sessions are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolLimits {
    /// Mails on one connection.
    pub messages: u64,
    /// Age of a connection.
    pub age: Duration,
    /// Time without a mail.
    pub idle: Duration,
    /// Connections at the same time; whoever wants more waits. `None`: as many as are asked for.
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
    idle: Mutex<Vec<Session>>,
    permits: Option<Arc<Semaphore>>,
}

/// A session on loan; dropped, it goes back to the pool if it can be used again.
#[derive(Debug)]
pub struct PooledSession {
    /// Gone only while it is dropped.
    session: Option<Session>,
    pool: Arc<Shared>,
    /// Given back after the session is, since fields are dropped after `drop`.
    _permit: Option<OwnedSemaphorePermit>,
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
        let permits = limits.connections.map(|count| Arc::new(Semaphore::new(count.max(1))));
        Self(Arc::new(Shared { endpoint, limits, idle: Mutex::default(), permits }))
    }

    /// The endpoint that sessions are opened to.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        &self.0.endpoint
    }

    /// A session that is ready: an idle one that the server has not closed, or a new one.
    pub async fn checkout(&self) -> Result<PooledSession, SmtpError> {
        let permit = match &self.0.permits {
            // The semaphore is never closed, so there is always a permit to come.
            Some(permits) => Arc::clone(permits).acquire_owned().await.ok(),
            None => None,
        };
        let session = match self.0.take_idle() {
            Some(session) => session,
            None => Session::connect(&self.0.endpoint).await?,
        };
        Ok(PooledSession { session: Some(session), pool: Arc::clone(&self.0), _permit: permit })
    }

    /// How many sessions wait for a mail.
    #[must_use]
    pub fn idle(&self) -> usize {
        self.0.with_idle(|idle| idle.len())
    }

    /// Says goodbye on sessions that have waited or lived too long; call it now and then when there is little to send.
    pub fn retire_old(&self) {
        let old: Vec<_> = self.0.with_idle(|idle| {
            let old = |session: &mut Session| !self.0.may_wait(session);
            idle.extract_if(.., old).collect()
        });
        old.into_iter().for_each(retire);
    }

    /// Says goodbye on every idle session, and waits for it.
    pub async fn close(&self) {
        for session in self.0.with_idle(std::mem::take) {
            session.quit().await;
        }
    }
}

impl Shared {
    fn take_idle(&self) -> Option<Session> {
        while let Some(session) = self.with_idle(Vec::pop) {
            if self.may_wait(&session) && !session.is_stale() {
                return Some(session);
            }
            retire(session);
        }
        None
    }

    fn put_back(&self, session: Session) {
        if self.may_wait(&session) {
            self.with_idle(|idle| idle.push(session));
        } else {
            retire(session);
        }
    }

    fn may_wait(&self, session: &Session) -> bool {
        session.is_reusable()
            && session.messages() < self.limits.messages
            && session.age() < self.limits.age
            && session.idle() < self.limits.idle
    }

    fn with_idle<T>(&self, work: impl FnOnce(&mut Vec<Session>) -> T) -> T {
        work(&mut self.idle.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl PooledSession {
    /// Puts a new connection in the place of this one, which the server had closed while it was idle.
    pub async fn renew(&mut self) -> Result<(), SmtpError> {
        let fresh = Session::connect(&self.pool.endpoint).await?;
        self.session.replace(fresh).into_iter().for_each(retire);
        Ok(())
    }
}

/// QUIT in the background; outside a runtime the connection is just closed.
fn retire(session: Session) {
    if session.is_reusable()
        && let Ok(runtime) = Handle::try_current()
    {
        runtime.spawn(session.quit());
    }
}

impl Drop for PooledSession {
    fn drop(&mut self) {
        if let Some(session) = self.session.take() {
            self.pool.put_back(session);
        }
    }
}

impl Deref for PooledSession {
    type Target = Session;

    fn deref(&self) -> &Session {
        let session = self.session.as_ref();
        session.expect("the session is taken out only while it is dropped")
    }
}

impl DerefMut for PooledSession {
    fn deref_mut(&mut self) -> &mut Session {
        let session = self.session.as_mut();
        session.expect("the session is taken out only while it is dropped")
    }
}
