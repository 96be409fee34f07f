//! Invariants that hold after every operation.

use postroom_core::{JobId, JobState};

use super::run::ModelRun;

impl ModelRun {
    /// Checks that every job is in its state, in exactly one place, and that every counter adds up.
    pub(super) async fn check(&self) {
        self.check_states().await;
        self.check_places();
        self.check_counters().await;
    }

    async fn check_states(&self) {
        let ids: Vec<JobId> = self.model.jobs.keys().cloned().collect();
        let reports = self.fixture.store.jobs(&ids).await.expect("jobs");
        for (report, (id, job)) in reports.into_iter().zip(&self.model.jobs) {
            assert_eq!(report.expect("a report").state, job.state, "{id}");
        }
    }

    fn check_places(&self) {
        for (id, job) in &self.model.jobs {
            let places = self.places(id);
            let swept = job.state == JobState::Cancelled && job.in_batch && self.model.batch_cancelled;
            let fits = match job.state {
                JobState::Queued => places.is_empty(),
                // A job that was cancelled with its batch stays in place until prune or claim frees
                // it.
                JobState::Cancelled if swept => places.len() <= 1,
                state => places == [place_of(state)],
            };
            assert!(fits, "{id} is {} and in {places:?}", job.state);
            if job.state == JobState::Queued {
                let stands_in = |list: String| {
                    let place = self.fixture.raw("LPOS", &format!("{list}:{}", job.priority), &[&id.to_string()]);
                    place.parse::<u64>().is_ok()
                };
                let stands = stands_in("ready".to_owned()) || stands_in(format!("line:{}", self.batch));
                assert!(stands, "{id} is queued but in no list");
            }
        }
    }

    /// Returns the indexes that name the job, without the ready lists.
    fn places(&self, id: &JobId) -> Vec<&'static str> {
        let named = |key: &str| self.fixture.raw("ZSCORE", key, &[&id.to_string()]).parse::<f64>().is_ok();
        let mut places: Vec<&'static str> =
            ["leases", "failed", "cancelled", "unknown"].into_iter().filter(|key| named(key)).collect();
        places.extend(vec!["sent"; self.fixture.times_sent(id)]);
        for state in ["scheduled", "deferred"] {
            for class in ["urgent", "normal", "low"] {
                if named(&format!("{state}:{class}")) {
                    places.push(state);
                }
            }
        }
        places
    }

    async fn check_counters(&self) {
        let queue = self.fixture.store.queue(&self.fixture.queue).await.expect("a queue");
        let batch = self.fixture.store.batch(&self.batch).await.expect("a reply").expect("a batch");
        let expected = |in_batch| JobState::ALL.map(|state| self.model.count(state, in_batch));
        let [scheduled, queued, sending, deferred, _, _, _, unknown] = expected(false);
        assert_eq!(
            [queue.scheduled, queue.queued, queue.sending, queue.deferred, queue.unknown],
            [scheduled, queued, sending, deferred, unknown]
        );
        let counters = [
            batch.scheduled,
            batch.queued,
            batch.sending,
            batch.deferred,
            batch.sent,
            batch.failed,
            batch.cancelled,
            batch.unknown,
        ];
        assert_eq!(counters, expected(true), "the batch's counters");
        assert_eq!(counters.iter().sum::<u64>(), batch.total);
        let sealed = self.model.batch_sealed || self.model.batch_cancelled;
        assert_eq!(batch.done, sealed && batch.unfinished() == 0);
    }
}

fn place_of(state: JobState) -> &'static str {
    match state {
        JobState::Sending => "leases",
        state => state.as_str(),
    }
}
