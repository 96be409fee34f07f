//! One claimed job from its content to its end: render, compose, begin, send, judge, settle.

mod draft;
mod judge;
mod panics;
mod sending;
mod unreadable;

use std::{
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use postroom_core::{
    AttemptRecord, BatchId, EmailAddress, Header, InvalidInput, Mail, Priority, Result,
    store::{Claimed, Defer, FinishReply, Outcome, Settled},
};
use postroom_mail::{Attempt, ComposeError, Identity, Message};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use self::{
    draft::Draft,
    judge::{JobProgress, Judgement, all_open, judge},
    panics::PanicRecovery,
};
pub(crate) use self::{panics::watched, unreadable::fail_unreadable};
use crate::{
    alerts::AlertSubject,
    lease_clock,
    permits::{ConnectionPermit, SendReservation, Slot},
    rendering::{self, BatchContent},
    send_stats::SendStats,
    settler::Settler,
    transports::{Admission, Route},
    worker::Worker,
};

/// The delivery of one claimed job.
pub(crate) struct Delivery {
    pub(crate) worker: Arc<Worker>,
    /// Outlets and settler of the job's queue.
    pub(crate) route: Arc<Route>,
    /// The job without its content.
    pub(crate) job: Claimed,
    pub(crate) header: Header,
    pub(crate) mail: Box<Mail>,
    /// Time of the claim by Redis's clock.
    pub(crate) now_ms: i64,
    /// Time of the claim by the lease clock.
    pub(crate) claimed_at: Duration,
    /// Ends the delivery when the worker stops.
    pub(crate) give_up: CancellationToken,
    /// Whether the mark was written and the committing bytes may have left.
    pub(crate) begun: Arc<AtomicBool>,
    pub(crate) slot: Arc<Slot>,
    /// Permits acquired before the claim.
    pub(crate) permits: ClaimPermits,
}

/// Permits acquired for one mail before its claim.
#[derive(Debug, Default)]
pub(crate) struct ClaimPermits {
    /// Admission to a transport that was down, if the mail was claimed to probe it.
    pub(crate) admission: Option<Admission>,
    /// Connection permit for the outlet that was first at the time of the claim.
    pub(crate) connection: Option<ConnectionPermit>,
    /// Send time under limits, where there are any.
    pub(crate) reservation: Option<SendReservation>,
}

impl ClaimPermits {
    /// Releases the admission and the connection permit while a message takes long to make. They
    /// are acquired again when it is made.
    fn release(&mut self) {
        (self.admission, self.connection) = (None, None);
    }
}

/// A message that is ready to be sent.
struct Prepared {
    message: Message,
    date_ms: i64,
    /// Share of the memory for large contents, held until this is dropped.
    _room: Option<OwnedSemaphorePermit>,
}

/// Why a mail cannot be prepared.
enum Unprepared {
    /// Never possible.
    Invalid(String),
    /// Not now: its template has not reached this machine yet.
    TemplateMissing(String),
    /// Not by this worker: the mail has no sender, and neither have the settings.
    NoSender,
    /// Redis is away, or the worker stops.
    Away,
}

/// Time for which mail with a missing template is deferred before it fails: deploys are not atomic.
const TEMPLATE_WAIT: Duration = Duration::from_secs(600);
const TEMPLATE_RETRY: Duration = Duration::from_secs(20);
/// Time for which mail without a sender is deferred: until a worker with a default sender claims
/// it.
const SENDER_RETRY: Duration = Duration::from_secs(60);

impl Delivery {
    /// Returns what is needed to settle the job if the delivery panics.
    pub(crate) fn recovery(&self) -> PanicRecovery {
        PanicRecovery {
            route: Arc::clone(&self.route),
            stats: Arc::clone(&self.worker.stats),
            id: self.job.id.clone(),
            fence: self.job.fence,
            attempt: self.job.attempt,
            begun: Arc::clone(&self.begun),
        }
    }

    /// Runs the delivery to its end.
    pub(crate) async fn run(mut self: Box<Self>) {
        let (mail, mut permits) = (std::mem::take(&mut self.mail), std::mem::take(&mut self.permits));
        self.deliver(mail, &mut permits).await;
        // Still there, so the mail was never sent.
        if let Some(reservation) = permits.reservation {
            reservation.release(&self.worker.redis.store).await;
        }
    }

    async fn deliver(&self, mail: Box<Mail>, permits: &mut ClaimPermits) {
        let worker = Arc::clone(&self.worker);
        let _in_flight = worker.in_flight.enter(&self.job, self.header.policy.lease, self.now_ms);
        if let Some((before, prepared)) = self.prepare_message(mail, permits).await {
            self.send(before, &prepared, permits).await;
        }
    }

    /// Prepares the message. Returns `None` if the job was settled instead.
    async fn prepare_message(
        &self,
        mail: Box<Mail>,
        permits: &mut ClaimPermits,
    ) -> Option<(JobProgress<'_>, Prepared)> {
        let (mail, shared) = match self.merge_shared(mail).await {
            Ok(merged) => merged,
            Err(unprepared) => {
                self.settle_unprepared(&Mail::default(), unprepared).await;
                return None;
            }
        };
        // Rendering may take long, and a stopping worker does not wait for it.
        let (mail, made) = tokio::select! {
            made = self.make(mail, &shared, permits) => made,
            () = self.give_up.cancelled() => (Arc::default(), Err(Unprepared::Away)),
        };
        match made {
            Ok(prepared) => Some((self.before(&mail), prepared)),
            Err(unprepared) => {
                self.settle_unprepared(&mail, unprepared).await;
                None
            }
        }
    }

    /// Reads the contents that are stored apart and makes the message.
    async fn make(
        &self,
        mut mail: Box<Mail>,
        shared: &Arc<BatchContent>,
        permits: &mut ClaimPermits,
    ) -> (Arc<Mail>, Result<Prepared, Unprepared>) {
        if mail.content_bytes() >= rendering::LARGE_FROM {
            permits.release();
        }
        let room = self.worker.rendering.contents.room_for(&mail).await;
        let filled = self.fill(&mut mail).await;
        let mail = Arc::new(*mail);
        let made = match filled {
            Ok(()) => self.prepare(&mail, shared, room, permits).await,
            Err(unprepared) => Err(unprepared),
        };
        (mail, made)
    }

    async fn prepare(
        &self,
        mail: &Arc<Mail>,
        shared: &Arc<BatchContent>,
        mut room: Option<OwnedSemaphorePermit>,
        permits: &mut ClaimPermits,
    ) -> Result<Prepared, Unprepared> {
        let urgent = self.header.priority <= Priority::LAST_URGENT;
        let (cpu, draft) = (&self.worker.rendering.cpu, self.draft(mail, shared));
        let quick = match mail.content_bytes() < rendering::LARGE_FROM {
            true => cpu.make(urgent, || draft.make_quickly()).await,
            false => None,
        };
        let mut message = match quick {
            Some(made) => made?,
            None => {
                permits.release();
                let (made, permit) = cpu.make_long(move || draft.make()).await;
                let message = made?;
                match room {
                    Some(_) => rendering::release_copies(&mut room),
                    None => room = self.worker.rendering.contents.room_of(&message).await,
                }
                drop(permit);
                message
            }
        };
        message.urgent = urgent;
        Ok(Prepared { message, date_ms: self.date_ms(), _room: room })
    }

    /// Merges the mail with its batch's shared content. The shared variables stay separate.
    async fn merge_shared(&self, mail: Box<Mail>) -> Result<(Box<Mail>, Arc<BatchContent>), Unprepared> {
        let Some(batch) = &self.header.batch else { return Ok((mail, Arc::default())) };
        let batch: BatchId = batch.parse().map_err(|error: InvalidInput| Unprepared::Invalid(error.to_string()))?;
        let (redis, batches) = (&self.worker.redis, &self.worker.rendering.batches);
        match redis.watch(batches.of(&redis.store, &batch).await) {
            Ok(Some(shared)) => Ok((Box::new(mail.over(&shared.mail)), shared)),
            Ok(None) => Err(Unprepared::Invalid(format!("the content of its batch {batch} is gone"))),
            Err(_) => Err(Unprepared::Away),
        }
    }

    /// Reads the contents that are stored apart from the mail.
    async fn fill(&self, mail: &mut Mail) -> Result<(), Unprepared> {
        let (redis, contents) = (&self.worker.redis, &self.worker.rendering.contents);
        let filled = contents.fill(&redis.store, self.job.id.queue(), mail).await;
        match redis.watch_error(filled).map_err(|_| Unprepared::Away)? {
            None => Ok(()),
            Some(name) => Err(Unprepared::Invalid(format!("the content of its {name} is gone"))),
        }
    }

    fn draft(&self, mail: &Arc<Mail>, shared: &Arc<BatchContent>) -> Draft {
        let identity = Identity {
            message_id: self.message_id(mail),
            date_ms: self.date_ms(),
            boundary_seed: self.job.id.to_string(),
            generation: self.job.generation,
        };
        Draft {
            rendering: Arc::clone(&self.worker.rendering),
            mail: Arc::clone(mail),
            shared: Arc::clone(shared),
            identity,
        }
    }

    fn date_ms(&self) -> i64 {
        self.job.date_ms.unwrap_or(self.now_ms)
    }

    /// Returns the Message-ID of the first begin; before that, the job's id at the sender's domain.
    fn message_id(&self, mail: &Mail) -> String {
        let sender = mail.from.as_ref().or(self.worker.rendering.sender.as_ref());
        let domain = sender.map_or("postroom.invalid", |sender| sender.address.domain());
        self.job.message_id.clone().unwrap_or_else(|| format!("{}@{domain}", self.job.id))
    }

    fn before(&self, mail: &Mail) -> JobProgress<'_> {
        let stored = self.job.recipients.clone();
        let recipients = if stored.is_empty() { all_open(&mail.recipients()) } else { stored };
        let (attempt, tries) = (self.job.attempt, self.job.tries);
        JobProgress { header: &self.header, attempt, tries, recipients, records: Vec::new() }
    }

    async fn settle(&self, judgement: Judgement, attempt: &Attempt) {
        match judgement {
            Judgement::Finish(outcome, reason, left) => {
                match outcome {
                    Outcome::Sent => debug!("{}", self.describe(attempt)),
                    Outcome::Failed | Outcome::Unknown => warn!("{}", self.describe(attempt)),
                }
                self.finish(outcome, reason, &left).await;
            }
            Judgement::Defer(delay, left) => {
                info!("{}; next try in {:.1} s", self.describe(attempt), delay.as_secs_f64());
                self.defer(delay, left).await;
            }
        }
    }

    /// Describes an attempt for logs, without addresses and content.
    fn describe(&self, attempt: &Attempt) -> String {
        if attempt.transport.is_empty() {
            let (id, verdict) = (&self.job.id, attempt.verdict);
            return format!("{id}: {verdict}, so nothing was sent; the reason is shown by: postroom status {id}");
        }
        let phase = attempt.phase.map(|phase| format!(" at {phase}")).unwrap_or_default();
        format!("{}: {}{phase} by {} after {} ms", self.job.id, attempt.verdict, attempt.transport, attempt.ms)
    }

    async fn settle_unprepared(&self, mail: &Mail, unprepared: Unprepared) {
        match unprepared {
            Unprepared::Away => self.hand_back().await,
            Unprepared::TemplateMissing(error) => self.wait_for_template(mail, &error).await,
            Unprepared::NoSender => self.wait_for_sender(mail).await,
            Unprepared::Invalid(error) => self.refuse(mail, &error).await,
        }
    }

    /// Defers the mail: the template may reach this machine in a moment.
    async fn wait_for_template(&self, mail: &Mail, error: &str) {
        if self.worker.rendering.lacks_template(mail.template.as_deref().unwrap_or_default()) >= TEMPLATE_WAIT {
            return self.refuse(mail, error).await;
        }
        let subject = AlertSubject::Template(mail.template.clone().unwrap_or_default());
        self.worker.alerts.raise(subject, format!("mail waits for a template: {error}"));
        self.defer_unprepared(mail, "template_missing", error, TEMPLATE_RETRY).await;
    }

    /// Defers the mail: a setting is missing, which is not the mail's fault.
    async fn wait_for_sender(&self, mail: &Mail) {
        let error = format!("{}; set it for this worker and restart it", ComposeError::NoSender);
        self.worker.alerts.raise(AlertSubject::Sender, format!("mail waits for a sender: {error}"));
        self.defer_unprepared(mail, "sender_missing", &error, SENDER_RETRY).await;
    }

    /// Defers a mail that can't be prepared now. The attempt does not count.
    async fn defer_unprepared(&self, mail: &Mail, verdict: &str, error: &str, delay: Duration) {
        let record = AttemptRecord {
            n: self.job.tries + 1,
            counted: false,
            at_ms: self.at_ms(),
            transport: String::new(),
            phase: None,
            code: None,
            enhanced: None,
            reply: error.to_owned(),
            verdict: verdict.to_owned(),
            ms: 0,
        };
        let error = Some((record.verdict.clone(), error.to_owned()));
        let recipients = self.before(mail).recipients;
        let left = Settled { attempt: self.job.attempt, error, recipients, records: vec![record], receipt: None };
        self.defer(delay, left).await;
    }

    /// Fails the mail: its content is invalid, and no attempt helps.
    async fn refuse(&self, mail: &Mail, error: &str) {
        let before = self.before(mail);
        let to: Vec<EmailAddress> = before.recipients.iter().map(|recipient| recipient.address.clone()).collect();
        let attempt = Attempt::invalid(&to, error);
        self.settle(judge(before, &attempt, self.at_ms(), 0.0), &attempt).await;
    }

    /// Hands the job back; nothing was tried.
    async fn hand_back(&self) {
        self.defer(Duration::ZERO, Settled { attempt: self.job.attempt, ..Settled::default() }).await;
    }

    async fn finish(&self, outcome: Outcome, reason: &str, left: &Settled) {
        self.slot.settling();
        finish(&self.route.settler, &self.worker.stats, &self.job, outcome, reason, left).await;
    }

    async fn defer(&self, delay: Duration, left: Settled) {
        let item = Defer { id: self.job.id.clone(), fence: self.job.fence, delay, left };
        self.slot.settling();
        if let Err(error) = self.route.settler.defer(item).await {
            warn!(job = %self.job.id, "cannot hand back {}: {error}", self.job.id);
        }
    }

    /// Returns the present by Redis's clock, as far as this process can tell.
    fn at_ms(&self) -> i64 {
        let since = lease_clock::now().saturating_sub(self.claimed_at);
        self.now_ms + i64::try_from(since.as_millis()).unwrap_or(0)
    }
}

async fn finish(settler: &Settler, stats: &SendStats, job: &Claimed, outcome: Outcome, reason: &str, left: &Settled) {
    let id = &job.id;
    match settler.finish(id, job.fence, outcome, reason, left).await {
        Ok(FinishReply::Finished | FinishReply::Late) => stats.count_outcome(outcome),
        Ok(FinishReply::Twice) => warn!(job = %id, "{id} was also sent by another worker"),
        Ok(FinishReply::Lost) => warn!(job = %id, "{id} was no longer this worker's to settle"),
        Err(error) => warn!(job = %id, "cannot settle {id}: {error}"),
    }
}
