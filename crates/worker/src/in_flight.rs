//! The jobs that this worker holds, for lease renewal, resync and reports.

use std::{
    collections::{BTreeMap, HashMap, btree_map::Entry},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use postroom_core::{
    JobId, QueueName,
    store::{BusyJob, Claimed},
};

use tokio::sync::Notify;

/// A job under way.
#[derive(Debug, Clone)]
pub(crate) struct HeldJob {
    pub(crate) fence: u64,
    /// Stored form of the job.
    pub(crate) payload: Arc<str>,
    /// Message-ID and `Date`, once the mark is written.
    pub(crate) begun: Option<(String, i64)>,
    /// Whether its settlement was requested. Its lease may have ended with that.
    is_settling: bool,
    since_ms: i64,
    lease: Duration,
}

/// All jobs under way.
#[derive(Debug, Default)]
pub(crate) struct InFlight {
    held: Mutex<HeldJobs>,
    /// Notified when a job with a shorter lease than all others is entered.
    shorter: Notify,
}

#[derive(Debug, Default)]
struct HeldJobs {
    jobs: HashMap<JobId, HeldJob>,
    /// Number of jobs for each lease.
    leases: BTreeMap<Duration, usize>,
}

impl InFlight {
    /// Enters a job until the guard is dropped.
    pub(crate) fn enter(&self, job: &Claimed, lease: Duration, now_ms: i64) -> InFlightGuard<'_> {
        let held = HeldJob {
            fence: job.fence,
            payload: Arc::clone(&job.payload),
            begun: None,
            is_settling: false,
            since_ms: now_ms,
            lease,
        };
        let shortest = {
            let mut all = self.lock();
            let shortest = all.shortest_lease();
            all.insert(job.id.clone(), held);
            shortest
        };
        if shortest.is_none_or(|shortest| lease < shortest) {
            self.shorter.notify_one();
        }
        InFlightGuard { all: self, id: job.id.clone(), fence: job.fence }
    }

    /// Returns the jobs of a queue with their fences.
    pub(crate) fn of_queue(&self, queue: &QueueName) -> Vec<(JobId, u64)> {
        let all = self.lock();
        all.jobs.iter().filter(|(id, _)| id.queue() == queue).map(|(id, held)| (id.clone(), held.fence)).collect()
    }

    /// Returns the jobs of a queue with their data.
    pub(crate) fn data_of_queue(&self, queue: &QueueName) -> Vec<(JobId, HeldJob)> {
        let all = self.lock();
        all.jobs.iter().filter(|(id, _)| id.queue() == queue).map(|(id, held)| (id.clone(), held.clone())).collect()
    }

    /// Records that the settlement of a job is requested. Returns the stored form of the job.
    pub(crate) fn settling(&self, id: &JobId, fence: u64) -> Option<Arc<str>> {
        let mut all = self.lock();
        let held = all.jobs.get_mut(id).filter(|held| held.fence == fence)?;
        held.is_settling = true;
        Some(Arc::clone(&held.payload))
    }

    /// Whether a job is under way under this fence, and nothing has settled it yet.
    pub(crate) fn is_unsettled(&self, id: &JobId, fence: u64) -> bool {
        self.lock().jobs.get(id).is_some_and(|held| held.fence == fence && !held.is_settling)
    }

    /// Records that the mark of a job was written.
    pub(crate) fn begun(&self, id: &JobId, fence: u64, message_id: String, date_ms: i64) {
        if let Some(held) = self.lock().jobs.get_mut(id).filter(|held| held.fence == fence) {
            held.begun = Some((message_id, date_ms));
        }
    }

    /// Returns the shortest lease.
    pub(crate) fn shortest_lease(&self) -> Option<Duration> {
        self.lock().shortest_lease()
    }

    /// Waits until a job with a shorter lease than all others is entered, the first job included.
    pub(crate) async fn shorter_lease(&self) {
        self.shorter.notified().await;
    }

    /// Returns the number of jobs.
    pub(crate) fn len(&self) -> usize {
        self.lock().jobs.len()
    }

    /// Returns the jobs for the report of this worker: at most a hundred.
    pub(crate) fn busy_jobs(&self) -> Vec<BusyJob> {
        self.lock()
            .jobs
            .iter()
            .take(100)
            .map(|(id, held)| BusyJob { id: id.clone(), since_ms: held.since_ms })
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, HeldJobs> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HeldJobs {
    fn shortest_lease(&self) -> Option<Duration> {
        self.leases.first_key_value().map(|(lease, _)| *lease)
    }

    fn insert(&mut self, id: JobId, held: HeldJob) {
        *self.leases.entry(held.lease).or_default() += 1;
        if let Some(before) = self.jobs.insert(id, held) {
            self.count_off(before.lease);
        }
    }

    fn remove(&mut self, id: &JobId) {
        if let Some(held) = self.jobs.remove(id) {
            self.count_off(held.lease);
        }
    }

    fn count_off(&mut self, lease: Duration) {
        if let Entry::Occupied(mut number) = self.leases.entry(lease) {
            *number.get_mut() -= 1;
            if *number.get() == 0 {
                number.remove();
            }
        }
    }
}

/// Keeps a job entered until it is dropped.
#[derive(Debug)]
pub(crate) struct InFlightGuard<'a> {
    all: &'a InFlight,
    id: JobId,
    fence: u64,
}

impl Drop for InFlightGuard<'_> {
    fn drop(&mut self) {
        let mut all = self.all.lock();
        // The same job may have been claimed again meanwhile.
        if all.jobs.get(&self.id).is_some_and(|held| held.fence == self.fence) {
            all.remove(&self.id);
        }
    }
}
