//! Firings: decided times of schedules, and the mail enqueued for them.

use std::collections::HashMap;

use super::{definition, field::field, firing_id::FiringId};
use crate::{
    BatchId, Error, Mail, Mailbox, Result, Settings,
    settings::ScheduleSettings,
    store::{
        batch::NewBatch,
        connection::Store,
        job::{Due, Expiry, JobTerms, NewJob},
    },
    time::millis,
};

/// Maximum number of jobs of a batch enqueued by one call.
const CHUNK: usize = 100;

/// A firing that is decided but not enqueued yet.
#[derive(Debug, Clone, PartialEq)]
pub struct Firing {
    /// Id of its outbox entry.
    entry: String,
    /// Id of the job or batch to enqueue.
    pub id: FiringId,
    /// Scheduled time (Unix milliseconds).
    pub fire_ms: i64,
    /// Time of the decision (Unix milliseconds, Redis's clock).
    pub at_ms: i64,
    /// Schedule at the time of the decision.
    pub schedule: ScheduleSettings,
}

impl Firing {
    pub(in crate::store) fn read(entry: &str, hash: &HashMap<String, String>) -> Result<Self> {
        let wrong = |error: Error| Error::Protocol(format!("firing {entry}: {error}"));
        let name: String = field(hash, "name").map_err(wrong)?;
        Ok(Self {
            entry: entry.to_owned(),
            id: field(hash, "id").map_err(wrong)?,
            fire_ms: field(hash, "fire_ms").map_err(wrong)?,
            at_ms: field(hash, "at_ms").map_err(wrong)?,
            schedule: definition::read(hash, &name).map_err(wrong)?,
        })
    }
}

impl Store {
    /// Enqueues the mail of a firing. Its ids are derived, so any process may repeat the call.
    pub async fn enqueue_firing(&self, firing: &Firing, settings: &Settings) -> Result<()> {
        // Times count from the decision, so that every process enqueues the same terms.
        let expires = firing.schedule.expires_in.map(|span| Expiry::At(firing.at_ms + millis(span)));
        let terms = JobTerms { due: Due::At(firing.at_ms), expires, ..terms(&firing.schedule, settings) };
        self.enqueue_schedule(&firing.schedule, &firing.id, &terms).await
    }

    /// Removes a firing from the outbox.
    pub async fn drop_firing(&self, firing: &Firing) -> Result<()> {
        self.run(redis::cmd("XDEL").arg(self.keys.system("outbox")).arg(&firing.entry)).await
    }

    /// Enqueues a schedule's mail now, even if the schedule is disabled. Its times are unchanged.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is no such schedule.
    pub async fn run_schedule_now(&self, name: &str, settings: &Settings) -> Result<FiringId> {
        let schedule = self.schedule(name).await?.ok_or_else(|| Error::NotFound(format!("the schedule {name}")))?;
        let schedule = schedule.settings;
        let id = FiringId::fresh(&schedule);
        let terms = JobTerms { expires: schedule.expires_in.map(Expiry::In), ..terms(&schedule, settings) };
        self.enqueue_schedule(&schedule, &id, &terms).await?;
        Ok(id)
    }

    async fn enqueue_schedule(&self, schedule: &ScheduleSettings, id: &FiringId, terms: &JobTerms) -> Result<()> {
        match id {
            FiringId::Job(id) => {
                let job = NewJob { id: id.clone(), mail: schedule.mail.clone() };
                self.enqueue(id.queue(), None, terms, &[job]).await.map(|_| ())
            }
            FiringId::Batch(id) => self.enqueue_each(schedule, id, terms).await,
        }
    }

    async fn enqueue_each(&self, schedule: &ScheduleSettings, id: &BatchId, terms: &JobTerms) -> Result<()> {
        let (shared, own) = split(&schedule.mail, terms.sensitive);
        let retention = terms.policy.retention;
        self.create_batch(&NewBatch { id: id.clone(), name: schedule.name.clone(), retention, shared, pace: None })
            .await?;
        let recipients = once_each(&schedule.mail.to);
        let to_job = |(index, mailbox): (u64, &Mailbox)| NewJob {
            id: id.job(index),
            mail: Mail { to: vec![mailbox.clone()], ..own.clone() },
        };
        let jobs: Vec<NewJob> = (0..).zip(recipients.iter().copied()).map(to_job).collect();
        for chunk in jobs.chunks(CHUNK) {
            self.enqueue(id.queue(), Some(id), terms, chunk).await?;
        }
        let duplicates = schedule.mail.to.len() - recipients.len();
        self.seal_batch(id, 0, u64::try_from(duplicates).unwrap_or(0)).await
    }
}

/// Terms by the settings of the enqueueing process, as for any other mail.
fn terms(schedule: &ScheduleSettings, settings: &Settings) -> JobTerms {
    let template = schedule.mail.template.as_deref();
    JobTerms {
        priority: schedule.priority,
        due: Due::Now,
        expires: None,
        policy: settings.policy_for(&schedule.queue, template),
        sensitive: template.and_then(|name| settings.templates.get(name)).is_some_and(|template| template.sensitive),
    }
}

/// Splits a mail into the shared content of a batch and each job's own part. Sensitive variables
/// belong to each job, because they are removed with it.
fn split(mail: &Mail, sensitive: bool) -> (Mail, Mail) {
    let mut shared = Mail { to: Vec::new(), ..mail.clone() };
    let vars = if sensitive { std::mem::take(&mut shared.vars) } else { serde_json::Map::new() };
    (shared, Mail { vars, ..Mail::default() })
}

fn once_each(to: &[Mailbox]) -> Vec<&Mailbox> {
    let mut seen = std::collections::HashSet::new();
    to.iter().filter(|mailbox| seen.insert(mailbox.address.without_case())).collect()
}
