//! Connections of a port, and the choice of the one to evict.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Notify, futures::Notified, watch},
    time::Instant,
};

use super::limits::ListenerLimits;

/// Assumed minimum rate at which a client reads a response, in bytes per second. It extends the
/// usual time limit.
const BYTES_A_SECOND: u64 = 100_000;
/// Minimum time for which the log reports the port as full, however often it fills and empties.
const LEAST_CONGESTION: Duration = Duration::from_secs(10);

/// Connections of a port. Clones share them.
#[derive(Debug, Clone)]
pub(super) struct ConnectionTable(Arc<SharedConnections>);

#[derive(Debug)]
struct SharedConnections {
    limits: ListenerLimits,
    connections: Mutex<Connections>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Connections {
    all: HashMap<u64, Connection>,
    /// Evicted connections that are still open for a moment.
    closing: usize,
    next_id: u64,
    unread_bytes: u64,
    congestion: Option<Congestion>,
}

#[derive(Debug)]
struct Connection {
    /// Start of the current wait for the client; `None` while the server is working.
    waits_since: Option<Instant>,
    /// Whether the connection had a complete request.
    is_established: bool,
    unread_bytes: u64,
    deadline: watch::Sender<Option<Instant>>,
}

/// Period since the port became full.
#[derive(Debug)]
struct Congestion {
    since: Instant,
    closed: u64,
}

impl ConnectionTable {
    pub(super) fn new(limits: ListenerLimits) -> Self {
        Self(Arc::new(SharedConnections { limits, connections: Mutex::default(), changed: Notify::new() }))
    }

    pub(super) fn name(&self) -> &'static str {
        self.0.limits.name
    }

    pub(super) fn is_full(&self) -> bool {
        self.lock().open() >= self.0.limits.connections
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lock().open() == 0
    }

    /// Completes when a connection is closed or starts to wait for its client.
    pub(super) fn changed(&self) -> Notified<'_> {
        self.0.changed.notified()
    }

    /// Adds a connection. Returns its id and the deadline of its current wait.
    pub(super) fn add(&self) -> (u64, watch::Receiver<Option<Instant>>) {
        let mut connections = self.lock();
        let (id, now) = (connections.next_id, Instant::now());
        let (deadline, receiver) = watch::channel(Some(now + self.0.limits.wait));
        let new = Connection { waits_since: Some(now), is_established: false, unread_bytes: 0, deadline };
        connections.next_id += 1;
        connections.all.insert(id, new);
        (id, receiver)
    }

    pub(super) fn begin_response(&self, id: u64) {
        self.update(id, |connection| {
            connection.is_established = true;
            connection.waits_since = None;
            connection.deadline.send_replace(None);
            std::mem::take(&mut connection.unread_bytes)
        });
    }

    pub(super) fn begin_wait(&self, id: u64) {
        let wait = self.0.limits.wait;
        self.update(id, |connection| {
            connection.wait(wait);
            std::mem::take(&mut connection.unread_bytes)
        });
        self.0.changed.notify_waiters();
    }

    /// Counts the response. Closes connections with unread responses while there are too many
    /// unread bytes.
    pub(super) fn end_response(&self, id: u64, bytes: u64) {
        let wait = self.0.limits.wait + Duration::from_secs(bytes / BYTES_A_SECOND);
        self.update(id, |connection| {
            connection.wait(wait);
            std::mem::replace(&mut connection.unread_bytes, bytes)
        });
        let mut connections = self.lock();
        connections.unread_bytes += bytes;
        while connections.unread_bytes > self.0.limits.unread_bytes && connections.drop_unread_except(id) {}
        drop(connections);
        self.0.changed.notify_waiters();
    }

    /// Evicts the connection that has waited longest for its client, if it has waited since
    /// `latest` or longer. Does nothing while another eviction is in progress.
    pub(super) fn evict(&self, latest: Instant) {
        let mut connections = self.lock();
        if connections.closing > 0 {
            return;
        }
        if let Some(id) = connections.longest_waiting(self.0.limits.connections, latest) {
            connections.evict(id);
            connections.note_eviction(&self.0.limits);
        }
    }

    pub(super) fn remove(&self, id: u64) {
        let mut connections = self.lock();
        if !connections.forget(id) {
            connections.closing = connections.closing.saturating_sub(1);
        }
        connections.note_departure(&self.0.limits);
        drop(connections);
        self.0.changed.notify_waiters();
    }

    /// Changes a connection. `change` returns the number of bytes that the client has read since.
    /// Does nothing if the connection was evicted.
    fn update(&self, id: u64, change: impl FnOnce(&mut Connection) -> u64) {
        let mut connections = self.lock();
        let read = connections.all.get_mut(&id).map_or(0, change);
        connections.unread_bytes = connections.unread_bytes.saturating_sub(read);
    }

    fn lock(&self) -> MutexGuard<'_, Connections> {
        self.0.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connection {
    fn wait(&mut self, limit: Duration) {
        let now = Instant::now();
        self.waits_since = Some(now);
        self.deadline.send_replace(Some(now + limit));
    }
}

impl Connections {
    fn open(&self) -> usize {
        self.all.len() + self.closing
    }

    /// Dropping the sender of the deadline makes the connection's task end.
    fn evict(&mut self, id: u64) {
        self.closing += usize::from(self.forget(id));
    }

    fn forget(&mut self, id: u64) -> bool {
        let Some(connection) = self.all.remove(&id) else { return false };
        self.unread_bytes = self.unread_bytes.saturating_sub(connection.unread_bytes);
        true
    }

    /// Returns the connection to evict. Connections without a complete request come first while
    /// they are half of all or more, otherwise the others. So neither new nor returning clients are
    /// locked out.
    fn longest_waiting(&self, limit: usize, latest: Instant) -> Option<u64> {
        let new = self.all.values().filter(|connection| !connection.is_established).count();
        let first = new * 2 < limit;
        let oldest = [first, !first].into_iter().find_map(|established| {
            let of_kind = self.all.iter().filter(|(_, connection)| connection.is_established == established);
            of_kind.filter_map(|(id, connection)| Some((connection.waits_since?, *id))).min()
        });
        oldest.filter(|(since, _)| *since <= latest).map(|(_, id)| id)
    }

    fn drop_unread_except(&mut self, id: u64) -> bool {
        let unread = self.all.iter().filter(|(known, connection)| **known != id && connection.unread_bytes > 0);
        let oldest = unread.filter_map(|(id, connection)| Some((connection.waits_since?, *id))).min();
        oldest.inspect(|(_, id)| self.evict(*id)).is_some()
    }

    fn note_eviction(&mut self, limits: &ListenerLimits) {
        let (name, number) = (limits.name, limits.connections);
        let congestion = self.congestion.get_or_insert_with(|| {
            tracing::warn!("{name}: all {number} connections are in use; each new one closes the longest waiting one");
            Congestion { since: Instant::now(), closed: 0 }
        });
        congestion.closed += 1;
    }

    fn note_departure(&mut self, limits: &ListenerLimits) {
        let is_over = self.open() <= limits.connections / 2;
        if let Some(Congestion { since, closed }) =
            self.congestion.take_if(|congestion| is_over && congestion.since.elapsed() >= LEAST_CONGESTION)
        {
            let (name, seconds) = (limits.name, since.elapsed().as_secs());
            tracing::info!(seconds, closed, "{name}: connections are available again");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::listener::connection::{ClientConnection, Lifetime, admit};

    const LIMITS: ListenerLimits =
        ListenerLimits { name: "test", connections: 4, wait: Duration::from_secs(60), unread_bytes: 100 };

    fn table(number: usize) -> (ConnectionTable, Vec<(ClientConnection, Lifetime)>) {
        let table = ConnectionTable::new(LIMITS);
        let all = (0..number).map(|_| admit(&table, ([127, 0, 0, 1], 1).into())).collect();
        (table, all)
    }

    fn remaining(table: &ConnectionTable) -> Vec<u64> {
        let mut ids: Vec<u64> = table.lock().all.keys().copied().collect();
        ids.sort_unstable();
        ids
    }

    /// Returns the connections that remain after `number` evictions, each completed by its task.
    fn evicted(table: &ConnectionTable, number: usize) -> Vec<u64> {
        for _ in 0..number {
            table.evict(Instant::now());
            table.lock().closing = 0;
        }
        remaining(table)
    }

    #[test]
    fn the_longest_waiting_connection_is_evicted_and_an_answering_one_is_kept() {
        let (table, all) = table(4);
        table.evict(Instant::now() - Duration::from_secs(1));
        assert!(table.is_full() && remaining(&table).len() == 4, "all are new");
        all[0].0.begin_response();
        all[1].0.begin_wait();
        assert_eq!(evicted(&table, 1), [0, 1, 3]);
        all[0].0.end_response(0);
        assert_eq!(evicted(&table, 1), [0, 1], "an established connection stays while half are new");
        all[0].0.begin_response();
        assert_eq!(evicted(&table, 2), [0]);
    }

    #[test]
    fn an_evicted_connection_counts_until_it_is_closed() {
        let (table, mut all) = table(4);
        table.evict(Instant::now());
        table.evict(Instant::now());
        assert!(remaining(&table) == [1, 2, 3] && table.is_full());
        all.remove(0);
        assert!(!table.is_full());
        all.clear();
        assert!(table.is_empty());
    }

    #[test]
    fn established_connections_do_not_lock_out_new_ones() {
        let (table, all) = table(4);
        for (connection, _) in &all[..3] {
            connection.begin_response();
            connection.end_response(0);
        }
        assert_eq!(evicted(&table, 1), [1, 2, 3]);
    }

    #[test]
    fn unread_responses_are_bounded() {
        let (table, all) = table(3);
        for (connection, _) in &all {
            connection.begin_response();
            connection.end_response(40);
        }
        assert_eq!(remaining(&table), [1, 2]);
        all[1].0.begin_response();
        all[1].0.end_response(60);
        assert_eq!(remaining(&table), [1, 2], "read bytes do not count");
        all[1].0.begin_response();
        all[1].0.end_response(1_000);
        assert_eq!(remaining(&table), [1], "a connection's own response is always sent");
    }

    #[tokio::test]
    async fn a_wait_times_out_and_work_does_not() {
        let table = ConnectionTable::new(ListenerLimits { wait: Duration::ZERO, ..LIMITS });
        let (_, lifetime) = admit(&table, ([127, 0, 0, 1], 1).into());
        lifetime.ended().await;
        assert!(remaining(&table).is_empty());
        let (connection, lifetime) = admit(&table, ([127, 0, 0, 1], 1).into());
        connection.begin_response();
        let ended = tokio::spawn(lifetime.ended());
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(!ended.is_finished());
        connection.begin_wait();
        ended.await.expect("the end");
    }
}
