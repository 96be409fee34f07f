//! One claimed job from its content to its end: render, compose, begin, send, judge, settle.

mod draft;
mod sending;

use std::{
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use postroom_core::{
    AttemptRecord, BatchId, EmailAddress, Header, InvalidInput, Mail, Priority, Result,
    store::{Claimed, FinishReply, Outcome, Settled},
};
use postroom_mail::{Attempt, Identity, Message};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use self::draft::Draft;
use crate::{
    alerts::AlertSubject,
    batch_content::BatchContent,
    connections::ConnectionPermit,
    contents,
    judge::{JobProgress, Judgement, all_open, judge},
    lease_clock,
    outlet::Admission,
    panics::PanicRecovery,
    permits::limits::SendReservation,
    route::Route,
    worker::Worker,
};

/// The delivery of one claimed job.
pub(crate) struct Delivery {
    pub(crate) worker: Arc<Worker>,
    pub(crate) job: Claimed,
    /// Time of the claim by Redis's clock.
    pub(crate) now_ms: i64,
    /// Time of the claim by the lease clock.
    pub(crate) claimed_at: Duration,
    /// Ends the delivery when the worker stops.
    pub(crate) give_up: CancellationToken,
    /// Whether the mark was written and the committing bytes may have left.
    pub(crate) begun: Arc<AtomicBool>,
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
    /// Redis is away, or the worker stops.
    Away,
}

/// Time for which mail with a missing template is deferred before it fails: deploys are not atomic.
const TEMPLATE_WAIT: Duration = Duration::from_secs(600);
const TEMPLATE_RETRY: Duration = Duration::from_secs(20);

impl Delivery {
    /// Returns what is needed to settle the job if the delivery panics.
    pub(crate) fn recovery(&self) -> PanicRecovery {
        PanicRecovery {
            worker: Arc::clone(&self.worker),
            id: self.job.id.clone(),
            fence: self.job.fence,
            attempt: self.job.attempt,
            begun: Arc::clone(&self.begun),
        }
    }

    /// Runs the delivery to its end.
    pub(crate) async fn run(mut self: Box<Self>) {
        let mut permits = std::mem::take(&mut self.permits);
        match std::mem::replace(&mut self.job.content, Err(String::new())) {
            Ok((header, mail)) => self.deliver(&header, Box::new(mail), &mut permits).await,
            Err(error) => self.fail_unreadable(&error).await,
        }
        // Still there, so the mail was never sent.
        if let Some(reservation) = permits.reservation {
            reservation.release(&self.worker.store).await;
        }
    }

    async fn deliver(&self, header: &Header, mail: Box<Mail>, permits: &mut ClaimPermits) {
        let worker = Arc::clone(&self.worker);
        let _in_flight = worker.in_flight.enter(&self.job, header.policy.lease, self.now_ms);
        if let Some((before, prepared)) = self.prepare_message(header, mail, permits).await {
            self.send(before, &prepared, permits).await;
        }
    }

    /// Prepares the message. Returns `None` if the job was settled instead.
    async fn prepare_message<'a>(
        &self,
        header: &'a Header,
        mail: Box<Mail>,
        permits: &mut ClaimPermits,
    ) -> Option<(JobProgress<'a>, Prepared)> {
        let (mail, shared) = match self.merge_shared(header, mail).await {
            Ok(merged) => merged,
            Err(unprepared) => {
                self.settle_unprepared(header, &Mail::default(), unprepared).await;
                return None;
            }
        };
        // Rendering may take long, and a stopping worker does not wait for it.
        let (mail, made) = tokio::select! {
            made = self.make(header, mail, &shared, permits) => made,
            () = self.give_up.cancelled() => (Arc::default(), Err(Unprepared::Away)),
        };
        match made {
            Ok(prepared) => Some((self.before(header, &mail), prepared)),
            Err(unprepared) => {
                self.settle_unprepared(header, &mail, unprepared).await;
                None
            }
        }
    }

    /// Reads the contents that are stored apart and makes the message.
    async fn make(
        &self,
        header: &Header,
        mut mail: Box<Mail>,
        shared: &Arc<BatchContent>,
        permits: &mut ClaimPermits,
    ) -> (Arc<Mail>, Result<Prepared, Unprepared>) {
        if mail.content_bytes() >= contents::LARGE_FROM {
            permits.release();
        }
        let room = self.worker.contents.room_for(&mail).await;
        let filled = self.fill(&mut mail).await;
        let mail = Arc::new(*mail);
        let made = match filled {
            Ok(()) => self.prepare(header, &mail, shared, room, permits).await,
            Err(unprepared) => Err(unprepared),
        };
        (mail, made)
    }

    async fn prepare(
        &self,
        header: &Header,
        mail: &Arc<Mail>,
        shared: &Arc<BatchContent>,
        mut room: Option<OwnedSemaphorePermit>,
        permits: &mut ClaimPermits,
    ) -> Result<Prepared, Unprepared> {
        let urgent = header.priority <= Priority::LAST_URGENT;
        let (cpu, draft) = (&self.worker.cpu, self.draft(mail, shared));
        let quick = match mail.content_bytes() < contents::LARGE_FROM {
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
                    Some(_) => contents::release_copies(&mut room),
                    None => room = self.worker.contents.room_of(&message).await,
                }
                drop(permit);
                message
            }
        };
        message.urgent = urgent;
        Ok(Prepared { message, date_ms: self.date_ms(), _room: room })
    }

    /// Merges the mail with its batch's shared content. The shared variables stay separate.
    async fn merge_shared(
        &self,
        header: &Header,
        mail: Box<Mail>,
    ) -> Result<(Box<Mail>, Arc<BatchContent>), Unprepared> {
        let Some(batch) = &header.batch else { return Ok((mail, Arc::default())) };
        let batch: BatchId = batch.parse().map_err(|error: InvalidInput| Unprepared::Invalid(error.to_string()))?;
        match self.worker.outage.watch(self.worker.batches.of(&self.worker.store, &batch).await) {
            Ok(Some(shared)) => Ok((Box::new(mail.over(&shared.mail)), shared)),
            Ok(None) => Err(Unprepared::Invalid(format!("the content of its batch {batch} is gone"))),
            Err(_) => Err(Unprepared::Away),
        }
    }

    /// Reads the contents that are stored apart from the mail.
    async fn fill(&self, mail: &mut Mail) -> Result<(), Unprepared> {
        let worker = &self.worker;
        let filled = worker.contents.fill(&worker.store, self.job.id.queue(), mail).await;
        // A success may not have called Redis, so only an error is reported to the outage.
        match filled.or_else(|error| worker.outage.watch(Err(error))).map_err(|_| Unprepared::Away)? {
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
        Draft { worker: Arc::clone(&self.worker), mail: Arc::clone(mail), shared: Arc::clone(shared), identity }
    }

    fn date_ms(&self) -> i64 {
        self.job.date_ms.unwrap_or(self.now_ms)
    }

    /// Returns the Message-ID of the first begin; before that, the job's id at the sender's domain.
    fn message_id(&self, mail: &Mail) -> String {
        let sender = mail.from.as_ref().or(self.worker.settings.sender.as_ref());
        let domain = sender.map_or("postroom.invalid", |sender| sender.address.domain());
        self.job.message_id.clone().unwrap_or_else(|| format!("{}@{domain}", self.job.id))
    }

    fn before<'a>(&self, header: &'a Header, mail: &Mail) -> JobProgress<'a> {
        let stored = self.job.recipients.clone();
        let recipients = if stored.is_empty() { all_open(&mail.recipients()) } else { stored };
        JobProgress { header, attempt: self.job.attempt, tries: self.job.tries, recipients, records: Vec::new() }
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
        let phase = attempt.phase.map(|phase| format!(" at {phase}")).unwrap_or_default();
        format!("{}: {}{phase} by {} after {} ms", self.job.id, attempt.verdict, attempt.transport, attempt.ms)
    }

    async fn settle_unprepared(&self, header: &Header, mail: &Mail, unprepared: Unprepared) {
        match unprepared {
            Unprepared::Away => self.hand_back().await,
            Unprepared::TemplateMissing(error) => self.wait_for_template(header, mail, &error).await,
            Unprepared::Invalid(error) => self.refuse(header, mail, &error).await,
        }
    }

    /// Defers the mail: the template may reach this machine in a moment.
    async fn wait_for_template(&self, header: &Header, mail: &Mail, error: &str) {
        if self.worker.lacks_template(mail.template.as_deref().unwrap_or_default()) >= TEMPLATE_WAIT {
            return self.refuse(header, mail, error).await;
        }
        let about = AlertSubject::Template(mail.template.clone().unwrap_or_default());
        self.worker.alerts.raise(about, format!("mail waits for a template: {error}"));
        let record = AttemptRecord {
            n: self.job.tries + 1,
            counted: false,
            at_ms: self.at_ms(),
            transport: String::new(),
            phase: None,
            code: None,
            enhanced: None,
            reply: error.to_owned(),
            verdict: "template_missing".to_owned(),
            ms: 0,
        };
        let error = Some((record.verdict.clone(), error.to_owned()));
        let recipients = self.before(header, mail).recipients;
        let left = Settled { attempt: self.job.attempt, error, recipients, records: vec![record], receipt: None };
        self.defer(TEMPLATE_RETRY, left).await;
    }

    /// Fails the mail: its content is invalid, and no attempt helps.
    async fn refuse(&self, header: &Header, mail: &Mail, error: &str) {
        let before = self.before(header, mail);
        let to: Vec<EmailAddress> = before.recipients.iter().map(|recipient| recipient.address.clone()).collect();
        let attempt = Attempt::invalid(&to, error);
        self.settle(judge(before, &attempt, self.at_ms(), 0.0), &attempt).await;
    }

    async fn fail_unreadable(&self, error: &str) {
        warn!(job = %self.job.id, "cannot read the job {}; it fails", self.job.id);
        let error = Some(("unreadable".to_owned(), error.to_owned()));
        let left = Settled { attempt: self.job.attempt, error, ..Settled::default() };
        self.finish(Outcome::Failed, "unreadable", &left).await;
    }

    /// Hands the job back; nothing was tried.
    async fn hand_back(&self) {
        self.defer(Duration::ZERO, Settled { attempt: self.job.attempt, ..Settled::default() }).await;
    }

    async fn finish(&self, outcome: Outcome, reason: &str, left: &Settled) {
        match self.route().settler.finish(&self.job.id, self.job.fence, outcome, reason, left).await {
            Ok(FinishReply::Finished | FinishReply::Late) => self.worker.tally(outcome),
            Ok(FinishReply::Twice) => warn!(job = %self.job.id, "{} was also sent by another worker", self.job.id),
            Ok(FinishReply::Lost) => warn!(job = %self.job.id, "{} was no longer this worker's to settle", self.job.id),
            Err(error) => warn!(job = %self.job.id, "cannot settle {}: {error}", self.job.id),
        }
    }

    async fn defer(&self, delay: Duration, left: Settled) {
        let item = (self.job.id.clone(), self.job.fence, delay, left);
        if let Err(error) = self.route().settler.defer(item).await {
            warn!(job = %self.job.id, "cannot hand back {}: {error}", self.job.id);
        }
    }

    fn route(&self) -> &Route {
        self.worker.route(self.job.id.queue())
    }

    /// Returns the present by Redis's clock, as far as this process can tell.
    fn at_ms(&self) -> i64 {
        let since = lease_clock::now().saturating_sub(self.claimed_at);
        self.now_ms + i64::try_from(since.as_millis()).unwrap_or(0)
    }
}
