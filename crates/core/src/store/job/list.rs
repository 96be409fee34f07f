//! Lists jobs by state, queue, batch, template or address, page by page.

use super::report::JobReport;
use crate::{
    BatchId, EmailAddress, InvalidInput, JobId, JobState, Priority, QueueName, Result,
    store::{connection::Store, script::LossyText},
};

/// Filter for jobs. An empty field matches everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JobFilter {
    /// Queues; all known queues if empty.
    pub queues: Vec<QueueName>,
    /// State; any state if `None`, unfinished jobs first.
    pub state: Option<JobState>,
    /// Batch.
    pub batch: Option<BatchId>,
    /// Template.
    pub template: Option<String>,
    /// Address of a recipient.
    pub address: Option<EmailAddress>,
}

/// One page of jobs.
#[derive(Debug, Clone, PartialEq)]
pub struct JobPage {
    /// Jobs of this page.
    pub jobs: Vec<JobReport>,
    /// Cursor of the next page, if there is one.
    pub next: Option<String>,
}

/// Maximum number of jobs examined for one page, so that a rare address does not read all of Redis
/// at once.
const MAX_EXAMINED: usize = 5_000;
const CHUNK: usize = 100;

/// An ordered list of jobs in Redis.
enum JobSource {
    Index(QueueName, JobState),
    /// Finished jobs or jobs in doubt of several queues, the latest first.
    Latest(Vec<QueueName>, JobState),
    Batch(BatchId),
}

impl Store {
    /// Returns up to `limit` jobs, starting at `cursor` (the [`JobPage::next`] of the page before).
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::Error::Invalid) if the cursor is malformed.
    pub async fn find_jobs(&self, filter: &JobFilter, cursor: Option<&str>, limit: usize) -> Result<JobPage> {
        let sources = self.sources(filter).await?;
        let (mut at, mut offset) = parse_cursor(cursor)?;
        let mut jobs = Vec::new();
        let mut examined = 0;
        while let Some(source) = sources.get(at) {
            if examined >= MAX_EXAMINED {
                return Ok(JobPage { jobs, next: Some(format!("{at}-{offset}")) });
            }
            let ids = self.ids(source, offset, CHUNK).await?;
            let ended = ids.is_empty();
            examined += CHUNK.min(ids.len().max(1));
            let known: Vec<JobId> = ids.iter().flatten().cloned().collect();
            let mut reports = self.jobs(&known).await?.into_iter();
            for id in &ids {
                offset += 1;
                let report = id.as_ref().and_then(|_| reports.next().flatten());
                jobs.extend(report.filter(|report| source.includes(report) && filter.allows(report)));
                if jobs.len() == limit {
                    return Ok(JobPage { jobs, next: Some(format!("{at}-{offset}")) });
                }
            }
            if ended {
                (at, offset) = (at + 1, 0);
            }
        }
        Ok(JobPage { jobs, next: None })
    }

    async fn sources(&self, filter: &JobFilter) -> Result<Vec<JobSource>> {
        if let Some(batch) = &filter.batch {
            return Ok(vec![JobSource::Batch(batch.clone())]);
        }
        let queues = if filter.queues.is_empty() { self.known_queues().await? } else { filter.queues.clone() };
        let states = filter.state.map_or_else(|| STATE_ORDER.to_vec(), |state| vec![state]);
        let of_state = |state: JobState| match state {
            JobState::Sent | JobState::Failed | JobState::Cancelled | JobState::Unknown => {
                vec![JobSource::Latest(queues.clone(), state)]
            }
            JobState::Scheduled | JobState::Queued | JobState::Sending | JobState::Deferred => {
                queues.iter().map(|queue| JobSource::Index(queue.clone(), state)).collect()
            }
        };
        Ok(states.into_iter().flat_map(of_state).collect())
    }

    async fn ids(&self, source: &JobSource, offset: usize, limit: usize) -> Result<Vec<Option<JobId>>> {
        match source {
            JobSource::Batch(batch) => {
                let total = self.batch(batch).await?.map_or(0, |report| report.total);
                let last = total.min((offset + limit) as u64);
                Ok((offset as u64..last).map(|index| Some(batch.job(index))).collect())
            }
            JobSource::Index(queue, JobState::Queued) => self.queued_ids(queue, offset, limit).await,
            JobSource::Index(queue, state @ (JobState::Scheduled | JobState::Deferred)) => {
                self.waiting_ids(queue, *state, offset, limit).await
            }
            JobSource::Index(queue, _) => self.leased_ids(queue, offset, limit).await,
            JobSource::Latest(queues, JobState::Sent) => self.sent_ids(queues, offset, limit).await,
            JobSource::Latest(queues, state) => self.latest_ids(queues, *state, offset, limit).await,
        }
    }

    async fn leased_ids(&self, queue: &QueueName, offset: usize, limit: usize) -> Result<Vec<Option<JobId>>> {
        let key = self.keys.of_queue(queue, "leases");
        Ok(parse_ids(self.run(redis::cmd("ZRANGE").arg(key).arg(offset).arg(offset + limit - 1)).await?))
    }

    /// Merges the beginnings of all indexes. Each is long enough to contain the requested range.
    async fn latest_ids(
        &self,
        queues: &[QueueName],
        state: JobState,
        offset: usize,
        limit: usize,
    ) -> Result<Vec<Option<JobId>>> {
        let mut heads = redis::pipe();
        for queue in queues {
            let key = self.keys.of_queue(queue, state.as_str());
            heads.cmd("ZREVRANGE").arg(key).arg(0).arg(offset + limit - 1).arg("WITHSCORES");
        }
        let heads: Vec<Vec<(LossyText, f64)>> = self.run_all(&heads).await?;
        let mut all: Vec<(LossyText, f64)> = heads.into_iter().flatten().collect();
        all.sort_by(|(one, earlier), (other, later)| later.total_cmp(earlier).then_with(|| other.cmp(one)));
        Ok(parse_ids(all.into_iter().skip(offset).take(limit).map(|(id, _)| id).collect()))
    }

    /// Reads the ready lists in order of priority.
    async fn queued_ids(&self, queue: &QueueName, offset: usize, limit: usize) -> Result<Vec<Option<JobId>>> {
        let keys = self.lists_of_queued(queue).await?;
        let mut lengths = redis::pipe();
        for key in &keys {
            lengths.cmd("LLEN").arg(key);
        }
        let lengths: Vec<usize> = self.run_all(&lengths).await?;
        let mut skip = offset;
        let mut found = Vec::new();
        for (key, length) in keys.iter().zip(lengths) {
            if skip >= length {
                skip -= length;
                continue;
            }
            let missing = limit - found.len();
            let ids: Vec<LossyText> = self.run(redis::cmd("LRANGE").arg(key).arg(skip).arg(skip + missing - 1)).await?;
            found.extend(parse_ids(ids));
            skip = 0;
            if found.len() >= limit {
                break;
            }
        }
        Ok(found)
    }

    /// Returns the keys of the ready lists, then of the lines of batches that are paced or paused.
    async fn lists_of_queued(&self, queue: &QueueName) -> Result<Vec<String>> {
        let lines = self.keys.of_queue(queue, "lines");
        let batches: Vec<LossyText> = self.run(redis::cmd("ZRANGE").arg(lines).arg(0).arg(99)).await?;
        let lists =
            std::iter::once("ready".to_owned()).chain(batches.into_iter().map(|batch| format!("line:{}", batch.0)));
        Ok(lists
            .flat_map(|list| Priority::all().map(move |p| format!("{list}:{p}")))
            .map(|list| self.keys.of_queue(queue, &list))
            .collect())
    }

    /// Reads the three priority classes in order, each by time.
    async fn waiting_ids(
        &self,
        queue: &QueueName,
        state: JobState,
        offset: usize,
        limit: usize,
    ) -> Result<Vec<Option<JobId>>> {
        let mut skip = offset;
        let mut found = Vec::new();
        for class in ["urgent", "normal", "low"] {
            let key = self.keys.of_queue(queue, &format!("{state}:{class}"));
            let length: usize = self.run(redis::cmd("ZCARD").arg(&key)).await?;
            if skip >= length || found.len() >= limit {
                skip = skip.saturating_sub(length);
                continue;
            }
            let last = skip + limit - found.len() - 1;
            let ids: Vec<LossyText> = self.run(redis::cmd("ZRANGE").arg(&key).arg(skip).arg(last)).await?;
            found.extend(parse_ids(ids));
            skip = 0;
        }
        Ok(found)
    }
}

/// Order of states in a list of jobs of any state.
const STATE_ORDER: [JobState; 8] = [
    JobState::Sending,
    JobState::Queued,
    JobState::Deferred,
    JobState::Scheduled,
    JobState::Unknown,
    JobState::Failed,
    JobState::Sent,
    JobState::Cancelled,
];

impl JobSource {
    /// A list may contain jobs that are in another state by now.
    fn includes(&self, report: &JobReport) -> bool {
        match self {
            Self::Index(_, state) | Self::Latest(_, state) => report.state == *state,
            Self::Batch(_) => true,
        }
    }
}

impl JobFilter {
    fn allows(&self, report: &JobReport) -> bool {
        self.state.is_none_or(|state| report.state == state)
            && self.template.as_ref().is_none_or(|template| report.template.as_ref() == Some(template))
            && self.address.as_ref().is_none_or(|address| has_recipient(report, address))
    }
}

fn has_recipient(report: &JobReport, address: &EmailAddress) -> bool {
    let enqueued = report.mail.iter().flat_map(crate::Mail::recipients).any(|known| known == address);
    enqueued || report.recipients.iter().any(|recipient| recipient.address == *address)
}

/// Keeps a `None` for each entry that is no id, so that page offsets stay correct.
fn parse_ids(ids: Vec<LossyText>) -> Vec<Option<JobId>> {
    ids.into_iter().map(|id| id.0.parse().ok()).collect()
}

fn parse_cursor(cursor: Option<&str>) -> Result<(usize, usize)> {
    let Some(cursor) = cursor else { return Ok((0, 0)) };
    let parts = cursor.split_once('-').and_then(|(at, offset)| Some((at.parse().ok()?, offset.parse().ok()?)));
    let problem = || format!("{cursor:?} is not a cursor; it may be the `next` of the page before");
    parts.ok_or_else(|| InvalidInput::new("cursor", problem()).into())
}
