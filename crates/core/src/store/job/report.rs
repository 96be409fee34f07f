//! Reads jobs with their whole history.

use std::collections::HashMap;

use redis::Value;
use serde::Serialize;

use crate::{
    AttemptRecord, EmailAddress, JobId, JobState, Mail, Mailbox, Priority, QueueName, RecipientReport, RecipientResult,
    Result, payload,
    payload::Header,
    store::{
        connection::Store,
        script::{Args, Fields, ReplyWords, Script},
    },
    time::rfc3339,
};

/// Maximum number of jobs read by one script call.
const CHUNK: usize = 100;

/// A job as shown to users and programs: the JSON form of `postroom status`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct JobReport {
    /// Id of the job.
    pub id: JobId,
    /// State of the job.
    pub state: JobState,
    /// Queue of the job.
    pub queue: QueueName,
    /// Priority of the job.
    pub priority: Option<Priority>,
    /// Batch of the job.
    pub batch: Option<String>,
    /// Recipients in the To header.
    pub to: Vec<Mailbox>,
    /// Result for each recipient.
    pub recipients: Vec<RecipientReport>,
    /// Template of the mail.
    pub template: Option<String>,
    /// Number of counted attempts so far.
    pub attempt: u32,
    /// Maximum number of counted attempts.
    pub max_attempts: Option<u32>,
    /// Time at which the job is or was due (RFC 3339).
    pub due_at: Option<String>,
    /// Time at which the job expires (RFC 3339).
    pub expires_at: Option<String>,
    /// Time at which the job was enqueued (RFC 3339).
    pub enqueued_at: Option<String>,
    /// Time at which the job ended (RFC 3339).
    pub finished_at: Option<String>,
    /// Message-ID header, set by the first begin.
    pub message_id: Option<String>,
    /// Queue id or similar text from the next server.
    pub receipt: Option<String>,
    /// Reason for the end, if the state alone does not say it.
    pub reason: Option<String>,
    /// Last error.
    pub error: Option<JobError>,
    /// All tries, the first one first.
    pub attempts: Vec<AttemptRecord>,
    /// Content for previews; not part of the JSON. `None` if only a tombstone is left.
    #[serde(skip)]
    pub mail: Option<Mail>,
    /// Whether the variables must never be shown.
    #[serde(skip)]
    pub sensitive: bool,
}

/// An error with a short code and a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct JobError {
    /// Verdict or reply code.
    pub code: String,
    /// Message of the error.
    pub message: String,
}

impl Store {
    /// Reads one job.
    pub async fn job(&self, id: &JobId) -> Result<Option<JobReport>> {
        Ok(self.jobs(std::slice::from_ref(id)).await?.pop().flatten())
    }

    /// Reads jobs of any queues and returns them in the same order; `None` for each id that does
    /// not exist.
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
        let replies: Vec<Vec<Value>> = self.call(Script::Jobs, queue, args).await?;
        let mut later = Vec::new();
        for (id, reply) in ids.iter().zip(replies) {
            match reply.first() {
                Some(Value::BulkString(word)) if word == b"later" => later.push(*id),
                _ => drop(report(id, ReplyWords::new(reply))?.and_then(|report| found.insert(id, report))),
            }
        }
        Ok(later)
    }

    /// Adds the shared content of batches, each read once. A batch's job stores only its own part.
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
            let merged = match shared.get(batch) {
                Some(Some(common)) => mail.over(common),
                _ => mail,
            };
            report.template.clone_from(&merged.template);
            if report.recipients.is_empty() {
                report.recipients = recipients(report.state, Some(&merged), None);
            }
            report.mail = Some(merged);
        }
        Ok(())
    }
}

fn report(id: &JobId, mut words: ReplyWords) -> Result<Option<JobReport>> {
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
        attempts: records,
        mail,
        sensitive: header.is_some_and(|header| header.sensitive),
    }
}

fn recipients(state: JobState, mail: Option<&Mail>, stored: Option<&str>) -> Vec<RecipientReport> {
    let stored: Vec<RecipientReport> = stored.and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default();
    if !stored.is_empty() {
        return stored;
    }
    // A job without results per recipient may have been marked as sent by a person.
    let result = if state == JobState::Sent { RecipientResult::Accepted } else { RecipientResult::Open };
    let alike = |address: &EmailAddress| RecipientReport { address: address.clone(), result, reply: None };
    mail.map(|mail| mail.recipients().into_iter().map(alike).collect()).unwrap_or_default()
}

fn records(lines: Option<&str>) -> Vec<AttemptRecord> {
    lines.map(|lines| lines.lines().filter_map(AttemptRecord::of_line).collect()).unwrap_or_default()
}

/// The receipt is stored only if it differs from the last reply.
fn receipt(state: JobState, stored: Option<String>, records: &[AttemptRecord]) -> Option<String> {
    let last_receipt = || records.last()?.receipt().map(str::to_owned);
    stored.or_else(|| (state == JobState::Sent).then(last_receipt)?)
}
