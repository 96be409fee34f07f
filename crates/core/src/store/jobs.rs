//! Reading jobs: the whole story of each.

use std::collections::HashMap;

use chrono::{DateTime, SecondsFormat, Utc};
use redis::Value;
use serde::Serialize;

use super::{
    connection::{Args, Store},
    reply::{Fields, Words},
};
use crate::{
    AttemptRecord, EmailAddress, JobId, JobState, Mail, Mailbox, Priority, QueueName, RecipientReport, RecipientResult,
    Result, payload, payload::Header,
};

/// How many jobs one script call reads.
const CHUNK: usize = 100;

/// A job, as it is told to people and programs: the JSON form of `postroom status`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct JobReport {
    /// Its name.
    pub id: JobId,
    /// Where it is in its life.
    pub state: JobState,
    /// Its queue.
    pub queue: QueueName,
    /// Its priority.
    pub priority: Option<Priority>,
    /// Its batch.
    pub batch: Option<String>,
    /// Who it is for, as it was handed over.
    pub to: Vec<Mailbox>,
    /// What became of each recipient.
    pub recipients: Vec<RecipientReport>,
    /// Its template.
    pub template: Option<String>,
    /// Counted attempts so far.
    pub attempt: u32,
    /// How many it gets.
    pub max_attempts: Option<u32>,
    /// When it is, or was, to be sent.
    pub due_at: Option<String>,
    /// When it becomes worthless.
    pub expires_at: Option<String>,
    /// When it was handed over.
    pub enqueued_at: Option<String>,
    /// When it ended.
    pub finished_at: Option<String>,
    /// Its Message-ID, from its first begin on.
    pub message_id: Option<String>,
    /// What the next server called it.
    pub receipt: Option<String>,
    /// Why it ended, where its state does not say it.
    pub reason: Option<String>,
    /// The last error.
    pub error: Option<JobError>,
    /// Every try.
    pub attempts: Vec<AttemptReport>,
    /// The content, for previews; not part of the JSON. Absent when nothing but a tombstone is kept.
    #[serde(skip)]
    pub mail: Option<Mail>,
    /// Whether the variables are never to be shown.
    #[serde(skip)]
    pub sensitive: bool,
}

/// An error: a short code, and words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct JobError {
    /// A verdict or a reply code.
    pub code: String,
    /// What was said.
    pub message: String,
}

/// One try, with its time as RFC 3339.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AttemptReport {
    /// Its number, from 1.
    pub n: u32,
    /// Whether it counts against the limit.
    pub counted: bool,
    /// When it began.
    pub at: String,
    /// The transport's name.
    pub transport: String,
    /// How far the conversation got.
    pub phase: Option<String>,
    /// The reply code.
    pub code: Option<u16>,
    /// The enhanced status code.
    pub enhanced: Option<String>,
    /// The server's words.
    pub reply: String,
    /// The verdict.
    pub verdict: String,
    /// How long it took.
    pub ms: u64,
}

impl From<AttemptRecord> for AttemptReport {
    fn from(record: AttemptRecord) -> Self {
        Self {
            n: record.n,
            counted: record.counted,
            at: rfc3339(record.at_ms),
            transport: record.transport,
            phase: record.phase,
            code: record.code,
            enhanced: record.enhanced,
            reply: record.reply,
            verdict: record.verdict,
            ms: record.ms,
        }
    }
}

/// Unix milliseconds as RFC 3339 in UTC.
pub(crate) fn rfc3339(ms: i64) -> String {
    DateTime::<Utc>::from_timestamp_millis(ms).unwrap_or_default().to_rfc3339_opts(SecondsFormat::Millis, true)
}

impl Store {
    /// Reads one job.
    pub async fn job(&self, id: &JobId) -> Result<Option<JobReport>> {
        Ok(self.jobs(std::slice::from_ref(id)).await?.pop().flatten())
    }

    /// Reads jobs of any queues, in the order asked; `None` where there is none of that name.
    pub async fn jobs(&self, ids: &[JobId]) -> Result<Vec<Option<JobReport>>> {
        let mut found: HashMap<&JobId, JobReport> = HashMap::new();
        let mut by_queue: HashMap<&QueueName, Vec<&JobId>> = HashMap::new();
        for id in ids {
            by_queue.entry(id.queue()).or_default().push(id);
        }
        for (queue, ids) in by_queue {
            for chunk in ids.chunks(CHUNK) {
                let mut rest = chunk.to_vec();
                // A call that met too many damaged records has read at least one of them.
                while !rest.is_empty() {
                    rest = self.read_jobs(queue, &rest, &mut found).await?;
                }
            }
        }
        self.add_shared_content(&mut found).await?;
        Ok(ids.iter().map(|id| found.get(id).cloned()).collect())
    }

    /// Reads jobs in one call and returns those for which another call is needed.
    async fn read_jobs<'a>(
        &self,
        queue: &QueueName,
        ids: &[&'a JobId],
        found: &mut HashMap<&'a JobId, JobReport>,
    ) -> Result<Vec<&'a JobId>> {
        let mut args = Args::default();
        for id in ids {
            args.push(id);
        }
        let replies: Vec<Vec<Value>> = self.call("jobs", queue, args).await?;
        let mut later = Vec::new();
        for (id, reply) in ids.iter().zip(replies) {
            match reply.first() {
                Some(Value::BulkString(word)) if word == b"later" => later.push(*id),
                _ => drop(report(id, Words::new(reply))?.and_then(|report| found.insert(id, report))),
            }
        }
        Ok(later)
    }

    /// A batch's jobs name only what is their own; the rest comes from the batch, read once for all of them.
    async fn add_shared_content(&self, found: &mut HashMap<&JobId, JobReport>) -> Result<()> {
        let mut shared: HashMap<String, Option<Mail>> = HashMap::new();
        for report in found.values_mut() {
            let Some(batch) = &report.batch else { continue };
            let Some(mail) = report.mail.take() else { continue };
            if !shared.contains_key(batch) {
                let content = match batch.parse() {
                    Ok(id) => self.batch_content(&id).await?,
                    Err(_) => None,
                };
                shared.insert(batch.clone(), content);
            }
            let whole = match shared.get(batch) {
                Some(Some(common)) => mail.over(common),
                _ => mail,
            };
            report.template.clone_from(&whole.template);
            if report.recipients.is_empty() {
                report.recipients = recipients(report.state, Some(&whole), None);
            }
            report.mail = Some(whole);
        }
        Ok(())
    }
}

fn report(id: &JobId, mut words: Words) -> Result<Option<JobReport>> {
    let state: String = words.next()?;
    if state.is_empty() {
        return Ok(None);
    }
    let payload: Vec<u8> = words.next()?;
    let hash: Fields = words.next()?;
    let payload = String::from_utf8_lossy(&payload);
    let content = payload::decode(&payload).ok();
    let (header, mail) = content.map_or((None, None), |(header, mail)| (Some(header), Some(mail)));
    Ok(Some(from_parts(id, state.parse()?, header.as_ref(), mail, &hash)))
}

fn from_parts(
    id: &JobId,
    state: JobState,
    header: Option<&Header>,
    mail: Option<Mail>,
    hash: &HashMap<String, String>,
) -> JobReport {
    let text = |field: &str| hash.get(field).filter(|value| !value.is_empty()).cloned();
    let time = |field: &str| hash.get(field).and_then(|value| value.parse().ok()).map(rfc3339);
    let error = text("error_code").or_else(|| text("error_message")).map(|_| JobError {
        code: text("error_code").unwrap_or_default(),
        message: text("error_message").unwrap_or_default(),
    });
    let records = records(text("attempts").as_deref());
    JobReport {
        id: id.clone(),
        state,
        queue: id.queue().clone(),
        priority: header.map(|header| header.priority),
        batch: header.and_then(|header| header.batch.clone()),
        to: mail.as_ref().map(|mail| mail.to.clone()).unwrap_or_default(),
        recipients: recipients(state, mail.as_ref(), text("recipients").as_deref()),
        template: mail.as_ref().and_then(|mail| mail.template.clone()),
        attempt: hash.get("attempt").and_then(|value| value.parse().ok()).unwrap_or(0),
        max_attempts: header.map(|header| header.policy.attempts),
        due_at: time("due_ms").or_else(|| header.map(|header| rfc3339(header.due_ms))),
        expires_at: header.and_then(|header| header.expires_ms).map(rfc3339),
        enqueued_at: header.map(|header| rfc3339(header.enqueued_ms)),
        finished_at: time("finished_ms"),
        message_id: text("message_id"),
        receipt: receipt(state, text("receipt"), &records),
        reason: text("reason"),
        error,
        attempts: records.into_iter().map(AttemptReport::from).collect(),
        mail,
        sensitive: header.is_some_and(|header| header.sensitive),
    }
}

fn recipients(state: JobState, mail: Option<&Mail>, stored: Option<&str>) -> Vec<RecipientReport> {
    let stored: Vec<RecipientReport> = stored.and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default();
    if !stored.is_empty() {
        return stored;
    }
    // Without a word of a server's: a person may have said that it was sent.
    let result = if state == JobState::Sent { RecipientResult::Accepted } else { RecipientResult::Open };
    let alike = |address: &EmailAddress| RecipientReport { address: address.clone(), result, reply: None };
    mail.map(|mail| mail.recipients().into_iter().map(alike).collect()).unwrap_or_default()
}

fn records(lines: Option<&str>) -> Vec<AttemptRecord> {
    lines.map(|lines| lines.lines().filter_map(AttemptRecord::of_line).collect()).unwrap_or_default()
}

/// Where it is not what the server said last, it is kept.
fn receipt(state: JobState, stored: Option<String>, records: &[AttemptRecord]) -> Option<String> {
    let said = || records.last()?.receipt().map(str::to_owned);
    stored.or_else(|| (state == JobState::Sent).then(said)?)
}
