//! Connection permits: how many mails of this worker may be under way by a transport whose server
//! counts connections.
//!
//! Each permitted connection gives one permit. While Redis grants no more connections, each gives a
//! second permit: the envelope of that mail is pipelined behind the message before it. All workers
//! together never have more connections than the cap allows, or than the server accepts.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use postroom_core::{
    Result,
    store::{Holding, Holdings},
};
use tokio::sync::Mutex as AsyncMutex;

use crate::{lease_clock, outlet::Outlet, worker::Worker};

/// Pause before Redis is asked for more connections after it granted too few, unless something
/// changes before.
const RETRY_AFTER: Duration = Duration::from_millis(300);

/// The connection permits of an outlet.
#[derive(Debug, Default)]
pub(crate) struct ConnectionPermits {
    count: Mutex<ConnectionCount>,
    /// Allows one request at a time, so that replies are applied in order.
    requesting: AsyncMutex<()>,
}

#[derive(Debug, Default)]
struct ConnectionCount {
    held: usize,
    taken: usize,
    /// Number of connections in the last report to Redis.
    reported: usize,
    /// Time from which a request for more is useful.
    retry_at: Duration,
    /// Whether a cap limits the number, not only the time that opening connections takes.
    capped: bool,
    /// Whether mail waits for a permit.
    waited_for: bool,
}

/// Permission to use a connection; returned when it is dropped.
#[derive(Debug)]
pub(crate) struct ConnectionPermit(Arc<Outlet>);

impl ConnectionCount {
    /// Returns the current number of permits.
    fn available(&self) -> usize {
        let has_next = self.capped && lease_clock::now() < self.retry_at;
        if has_next { self.held * 2 } else { self.held }
    }
}

impl Outlet {
    /// Acquires `want` permits, or as many as are free.
    pub(crate) fn acquire(self: &Arc<Self>, want: usize) -> Vec<ConnectionPermit> {
        let mut count = self.count();
        let free = if self.transport.has_connections() { count.available().saturating_sub(count.taken) } else { want };
        let number = want.min(free);
        count.taken += number;
        (0..number).map(|_| ConnectionPermit(Arc::clone(self))).collect()
    }

    /// Records that mail waits: the claimer is woken when a permit is free.
    pub(crate) fn wake_when_free(&self) {
        self.count().waited_for = true;
    }

    /// Whether a request for more permits is useful now.
    pub(crate) fn can_request(&self) -> bool {
        self.transport.has_connections() && self.count().retry_at <= lease_clock::now()
    }

    /// Requests `more` further connections from Redis.
    pub(crate) async fn request_more(&self, worker: &Worker, more: usize) -> Result<()> {
        let _one = self.permits.requesting.lock().await;
        let (want, open) = (self.count().taken + more, self.transport.connections());
        let holdings = self.hold(worker, want, false).await?;
        let mut count = self.count();
        // If the number of open connections has changed meanwhile, the next reply may differ.
        if holdings.number < want && self.transport.connections() == open {
            count.retry_at = lease_clock::now() + RETRY_AFTER;
        }
        Ok(())
    }

    /// Returns the time until a request for more is useful.
    pub(crate) fn retry_in(&self) -> Duration {
        self.count().retry_at.saturating_sub(lease_clock::now()).max(Duration::from_millis(1))
    }

    /// Renews the permits that are in use and releases the others.
    pub(crate) async fn renew(&self, worker: &Worker) -> Result<()> {
        let _one = self.permits.requesting.lock().await;
        let want = {
            let mut count = self.count();
            if count.held == 0 && count.taken == 0 && count.reported == 0 {
                return Ok(());
            }
            let needed = count.taken.max(self.transport.connections());
            count.held = count.held.min(needed);
            count.held.max(usize::from(count.taken > 0))
        };
        self.hold(worker, want, false).await.map(drop)
    }

    /// Reports that the server refused a connection. Returns whether a limit on connections exists
    /// now.
    pub(crate) async fn connection_refused(&self, worker: &Worker) -> Result<bool> {
        let _one = self.permits.requesting.lock().await;
        let want = self.count().held.saturating_sub(1);
        Ok(self.hold(worker, want, true).await?.cap.is_some())
    }

    /// Releases all permits before the process ends.
    pub(crate) async fn release_all(&self, worker: &Worker) -> Result<()> {
        if self.count().reported == 0 { Ok(()) } else { self.hold(worker, 0, false).await.map(drop) }
    }

    async fn hold(&self, worker: &Worker, want: usize, refused: bool) -> Result<Holdings> {
        let holding = Holding { want, open: self.transport.connections(), cap: self.cap, refused };
        let holdings = worker.store.hold_connections(&self.limit, &worker.id, holding).await?;
        {
            let mut count = self.count();
            (count.held, count.reported) = (holdings.number, holding.open.max(holdings.number));
            count.capped = holdings.cap.is_some();
        }
        self.transport.allow_connections(holdings.number);
        Ok(holdings)
    }

    /// Handles a change of the number of open connections: there may be permits for mail that waits
    /// here or at another worker.
    pub(crate) async fn connections_changed(&self, worker: &Worker) -> Result<()> {
        let (waited_for, has_surplus) = {
            let mut count = self.count();
            count.retry_at = Duration::ZERO;
            (std::mem::take(&mut count.waited_for), count.reported > count.held.max(self.transport.connections()))
        };
        if waited_for {
            self.signals.claim.notify_one();
        }
        if has_surplus { self.renew(worker).await } else { Ok(()) }
    }

    fn count(&self) -> MutexGuard<'_, ConnectionCount> {
        self.permits.count.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ConnectionPermit {
    /// Whether this permit belongs to the outlet.
    pub(crate) fn is_of(&self, outlet: &Arc<Outlet>) -> bool {
        Arc::ptr_eq(&self.0, outlet)
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        let waited_for = {
            let mut count = self.0.count();
            count.taken -= 1;
            count.taken < count.available() && std::mem::take(&mut count.waited_for)
        };
        if waited_for {
            self.0.signals.claim.notify_one();
        }
    }
}
