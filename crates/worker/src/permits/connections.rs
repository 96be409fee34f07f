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
    Result, Store,
    store::{ConnectionDemand, ConnectionShare, LimitName, WorkerId},
};
use postroom_mail::Transport;
use tokio::sync::{Mutex as AsyncMutex, Notify};

use crate::{lease_clock, redis_access::RedisAccess};

/// Pause between two requests for connections when Redis granted too few, unless the number of open
/// connections changes before.
const RETRY_AFTER: Duration = Duration::from_millis(300);

/// The connection permits of one transport.
#[derive(Debug)]
pub(crate) struct ConnectionPermits {
    store: Store,
    worker_id: WorkerId,
    limit: LimitName,
    /// Maximum number of connections over all workers, where one is set.
    cap: Option<u32>,
    /// Owner of the connection pool.
    transport: Arc<Transport>,
    /// Wakes the claimer.
    wake: Arc<Notify>,
    count: Mutex<ConnectionCount>,
    /// Allows one request at a time, so that replies are applied in order.
    requesting: AsyncMutex<()>,
}

#[derive(Debug, Default)]
struct ConnectionCount {
    /// Connections that Redis grants this worker.
    held: usize,
    /// Permits in use.
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
pub(crate) struct ConnectionPermit(Arc<ConnectionPermits>);

impl ConnectionCount {
    /// Returns the current number of permits.
    fn available(&self) -> usize {
        let has_next = self.capped && lease_clock::now() < self.retry_at;
        if has_next { self.held * 2 } else { self.held }
    }
}

impl ConnectionPermits {
    /// Creates the permits of one transport, whose pool may open no connection yet.
    pub(crate) fn new(
        redis: &RedisAccess,
        limit: LimitName,
        cap: Option<u32>,
        transport: Arc<Transport>,
        wake: Arc<Notify>,
    ) -> Self {
        transport.allow_connections(0);
        let (store, worker_id) = (redis.store.clone(), redis.worker_id.clone());
        let (count, requesting) = (Mutex::default(), AsyncMutex::default());
        Self { store, worker_id, limit, cap, transport, wake, count, requesting }
    }

    /// Acquires `want` permits, or as many as are free.
    pub(crate) fn acquire(self: &Arc<Self>, want: usize) -> Vec<ConnectionPermit> {
        let mut count = self.lock();
        let free = if self.transport.has_connections() { count.available().saturating_sub(count.taken) } else { want };
        let number = want.min(free);
        count.taken += number;
        (0..number).map(|_| ConnectionPermit(Arc::clone(self))).collect()
    }

    /// Records that mail waits: the claimer is woken when a permit is free.
    pub(crate) fn wake_when_free(&self) {
        self.lock().waited_for = true;
    }

    /// Whether a request for more permits is useful now.
    pub(crate) fn can_request(&self) -> bool {
        self.transport.has_connections() && self.lock().retry_at <= lease_clock::now()
    }

    /// Requests `more` further connections from Redis.
    pub(crate) async fn request_more(&self, more: usize) -> Result<()> {
        let _one = self.requesting.lock().await;
        let (want, open) = (self.lock().taken + more, self.transport.connections());
        let holdings = self.hold(want, false).await?;
        let mut count = self.lock();
        // If the number of open connections has changed meanwhile, the next reply may differ.
        if holdings.number < want && self.transport.connections() == open {
            count.retry_at = lease_clock::now() + RETRY_AFTER;
        }
        Ok(())
    }

    /// Returns the time until a request for more is useful.
    pub(crate) fn retry_in(&self) -> Duration {
        self.lock().retry_at.saturating_sub(lease_clock::now()).max(Duration::from_millis(1))
    }

    /// Renews the permits that are in use and releases the others.
    pub(crate) async fn renew(&self) -> Result<()> {
        let _one = self.requesting.lock().await;
        let want = {
            let mut count = self.lock();
            if count.held == 0 && count.taken == 0 && count.reported == 0 {
                return Ok(());
            }
            let needed = count.taken.max(self.transport.connections());
            count.held = count.held.min(needed);
            count.held.max(usize::from(count.taken > 0))
        };
        self.hold(want, false).await.map(drop)
    }

    /// Reports that the server refused a connection; the open ones are kept. Returns whether a
    /// limit on connections exists now.
    pub(crate) async fn report_refusal(&self) -> Result<bool> {
        let _one = self.requesting.lock().await;
        let want = self.transport.connections().max(self.lock().held.saturating_sub(1));
        Ok(self.hold(want, true).await?.cap.is_some())
    }

    /// Releases all permits before the process ends.
    pub(crate) async fn release_all(&self) -> Result<()> {
        if self.lock().reported == 0 { Ok(()) } else { self.hold(0, false).await.map(drop) }
    }

    async fn hold(&self, want: usize, refused: bool) -> Result<ConnectionShare> {
        let holding = ConnectionDemand { want, open: self.transport.connections(), cap: self.cap, refused };
        let holdings = self.store.hold_connections(&self.limit, &self.worker_id, holding).await?;
        {
            let mut count = self.lock();
            (count.held, count.reported) = (holdings.number, holding.open.max(holdings.number));
            count.capped = holdings.cap.is_some();
        }
        self.transport.allow_connections(holdings.number);
        Ok(holdings)
    }

    /// Handles a change of the number of open connections: there may be permits for mail that waits
    /// here or at another worker. A refused connection shows how many the server accepts.
    pub(crate) async fn handle_change(&self) -> Result<()> {
        if self.transport.take_refusal() {
            self.report_refusal().await?;
        }
        let (waited_for, has_surplus) = {
            let mut count = self.lock();
            count.retry_at = Duration::ZERO;
            (std::mem::take(&mut count.waited_for), count.reported > count.held.max(self.transport.connections()))
        };
        if waited_for {
            self.wake.notify_one();
        }
        if has_surplus { self.renew().await } else { Ok(()) }
    }

    fn lock(&self) -> MutexGuard<'_, ConnectionCount> {
        self.count.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ConnectionPermit {
    /// Whether this is one of these permits.
    pub(crate) fn is_of(&self, permits: &Arc<ConnectionPermits>) -> bool {
        Arc::ptr_eq(&self.0, permits)
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        let waited_for = {
            let mut count = self.0.lock();
            count.taken -= 1;
            count.taken < count.available() && std::mem::take(&mut count.waited_for)
        };
        if waited_for {
            self.0.wake.notify_one();
        }
    }
}
