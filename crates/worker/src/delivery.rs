//! One claimed job, from its content to its end: render, compose, begin, send, judge, settle.

mod draft;
mod sending;

use std::{
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use postroom_core::{
    AttemptRecord, BatchId, EmailAddress, Header, InvalidInput, Mail, Priority, Result,
    store::{Claimed, Defer, FinishReply, Outcome, Settled},
};
use postroom_mail::{Attempt, Identity, Message};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use self::draft::Draft;
use crate::{
    alerts::About,
    contents,
    counter::Counter,
    judge::{Before, Judgement, all_open, judge},
    lease_clock,
    limits::Turn,
    office::Office,
    outlet::Admission,
    panics::InCase,
    seats::Seat,
    shared_content::Shared,
};

/// One job in the hands of this worker.
pub(crate) struct Delivery {
    pub(crate) office: Arc<Office>,
    pub(crate) job: Claimed,
    /// Redis's clock when the job was claimed.
    pub(crate) now_ms: i64,
    /// When it was claimed, by the lease clock.
    pub(crate) claimed_at: Duration,
    /// Ends what is under way.
    pub(crate) give_up: CancellationToken,
    /// Whether the mark was written and the committing bytes may have left.
    pub(crate) begun: Arc<AtomicBool>,
    /// What was got for it before it was claimed.
    pub(crate) provided: Provided,
}

/// What a mail needs to leave.
#[derive(Debug, Default)]
pub(crate) struct Provided {
    /// Its leave to try a transport that was down, if it was claimed for that.
    pub(crate) reserved: Option<Admission>,
    /// Its seat on the way that was the first when it was claimed.
    pub(crate) seat: Option<Seat>,
    /// When it may go, where there are limits.
    pub(crate) turn: Option<Turn>,
}

impl Provided {
    /// Others go by the way that this mail was claimed for: making it takes long. It asks again when it is made.
    fn let_go(&mut self) {
        (self.reserved, self.seat) = (None, None);
    }
}

/// What a delivery needs before it can send.
struct Prepared {
    message: Message,
    date_ms: i64,
    /// What it takes of the room for large contents, until it is gone.
    _room: Option<OwnedSemaphorePermit>,
}

/// Why a mail can't be prepared now.
enum Unprepared {
    /// It never can be.
    Invalid(String),
    /// Perhaps later: its template has not reached this machine yet.
    TemplateMissing(String),
    /// Redis is away.
    Away,
}

/// For how long a mail whose template is missing is put off before it fails: deploys are not atomic.
const TEMPLATE_PATIENCE: Duration = Duration::from_secs(600);
const TEMPLATE_PAUSE: Duration = Duration::from_secs(20);

impl Delivery {
    /// What is to be known when it panics.
    pub(crate) fn in_case(&self) -> InCase {
        InCase {
            office: Arc::clone(&self.office),
            id: self.job.id.clone(),
            fence: self.job.fence,
            attempt: self.job.attempt,
            begun: Arc::clone(&self.begun),
        }
    }

    /// Runs the whole delivery.
    pub(crate) async fn run(mut self: Box<Self>) {
        let mut provided = std::mem::take(&mut self.provided);
        match std::mem::replace(&mut self.job.content, Err(String::new())) {
            Ok((header, mail)) => self.deliver(&header, Box::new(mail), &mut provided).await,
            Err(problem) => self.set_aside(&problem).await,
        }
        // It was never sent.
        if let Some(turn) = provided.turn {
            turn.give_back(&self.office.store).await;
        }
    }

    async fn deliver(&self, header: &Header, mail: Box<Mail>, provided: &mut Provided) {
        let office = Arc::clone(&self.office);
        let _ticket = office.in_flight.enter(&self.job, header.policy.lease, self.now_ms);
        if let Some((before, prepared)) = self.ready(header, mail, provided).await {
            self.send(before, &prepared, provided).await;
        }
    }

    /// The mail as it is to be sent; `None` where it was settled otherwise.
    async fn ready<'a>(
        &self,
        header: &'a Header,
        mail: Box<Mail>,
        provided: &mut Provided,
    ) -> Option<(Before<'a>, Prepared)> {
        let (mail, shared) = match self.whole(header, mail).await {
            Ok(whole) => whole,
            Err(unprepared) => {
                self.settle_unprepared(header, &Mail::default(), unprepared).await;
                return None;
            }
        };
        // Making may take long; a worker that ends does not wait for it.
        let (mail, made) = tokio::select! {
            made = self.made(header, mail, &shared, provided) => made,
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

    /// The mail, filled with what is kept apart from it, and what was made of it.
    async fn made(
        &self,
        header: &Header,
        mut mail: Box<Mail>,
        shared: &Arc<Shared>,
        provided: &mut Provided,
    ) -> (Arc<Mail>, Result<Prepared, Unprepared>) {
        if mail.content_bytes() >= contents::SMALL {
            provided.let_go();
        }
        let room = self.office.contents.room_for(&mail).await;
        let filled = self.fill(&mut mail).await;
        let mail = Arc::new(*mail);
        let made = match filled {
            Ok(()) => self.prepare(header, &mail, shared, room, provided).await,
            Err(unprepared) => Err(unprepared),
        };
        (mail, made)
    }

    async fn prepare(
        &self,
        header: &Header,
        mail: &Arc<Mail>,
        shared: &Arc<Shared>,
        mut room: Option<OwnedSemaphorePermit>,
        provided: &mut Provided,
    ) -> Result<Prepared, Unprepared> {
        let urgent = header.priority <= Priority::LAST_URGENT;
        let (making, draft) = (&self.office.making, self.draft(mail, shared));
        let quick = match mail.content_bytes() < contents::SMALL {
            true => making.make(urgent, || draft.make_quickly()).await,
            false => None,
        };
        let mut message = match quick {
            Some(made) => made?,
            None => {
                provided.let_go();
                let (made, leave) = making.make_long(move || draft.make()).await;
                let message = made?;
                match room {
                    Some(_) => contents::made(&mut room),
                    None => room = self.office.contents.room_of(&message).await,
                }
                drop(leave);
                message
            }
        };
        message.urgent = urgent;
        Ok(Prepared { message, date_ms: self.date_ms(), _room: room })
    }

    /// The mail with what its batch shares; the shared variables stand beside it.
    async fn whole(&self, header: &Header, mail: Box<Mail>) -> Result<(Box<Mail>, Arc<Shared>), Unprepared> {
        let Some(batch) = &header.batch else { return Ok((mail, Arc::default())) };
        let batch: BatchId = batch.parse().map_err(|error: InvalidInput| Unprepared::Invalid(error.to_string()))?;
        match self.office.outage.watch(self.office.shared.of(&self.office.store, &batch).await) {
            Ok(Some(shared)) => Ok((Box::new(mail.over(&shared.mail)), shared)),
            Ok(None) => Err(Unprepared::Invalid(format!("the content of its batch {batch} is gone"))),
            Err(_) => Err(Unprepared::Away),
        }
    }

    /// What is kept apart from it.
    async fn fill(&self, mail: &mut Mail) -> Result<(), Unprepared> {
        let office = &self.office;
        let filled = office.contents.fill(&office.store, self.job.id.queue(), mail).await;
        // That nothing was asked of Redis tells nothing of it.
        match filled.or_else(|problem| office.outage.watch(Err(problem))).map_err(|_| Unprepared::Away)? {
            None => Ok(()),
            Some(name) => Err(Unprepared::Invalid(format!("the content of its {name} is gone"))),
        }
    }

    fn draft(&self, mail: &Arc<Mail>, shared: &Arc<Shared>) -> Draft {
        let identity = Identity {
            message_id: self.message_id(mail),
            date_ms: self.date_ms(),
            boundary_seed: self.job.id.to_string(),
            generation: self.job.generation,
        };
        Draft { office: Arc::clone(&self.office), mail: Arc::clone(mail), shared: Arc::clone(shared), identity }
    }

    fn date_ms(&self) -> i64 {
        self.job.date_ms.unwrap_or(self.now_ms)
    }

    /// The one of its first begin; before that, the job's id at the sender's domain.
    fn message_id(&self, mail: &Mail) -> String {
        let sender = mail.from.as_ref().or(self.office.settings.sender.as_ref());
        let domain = sender.map_or("postroom.invalid", |sender| sender.address.domain());
        self.job.message_id.clone().unwrap_or_else(|| format!("{}@{domain}", self.job.id))
    }

    fn before<'a>(&self, header: &'a Header, mail: &Mail) -> Before<'a> {
        let known = self.job.recipients.clone();
        let recipients = if known.is_empty() { all_open(&mail.recipients()) } else { known };
        Before { header, attempt: self.job.attempt, tries: self.job.tries, recipients, records: Vec::new() }
    }

    async fn settle(&self, judgement: Judgement, attempt: &Attempt) {
        match judgement {
            Judgement::Finish(outcome, reason, left) => {
                match outcome {
                    Outcome::Sent => debug!("{}", self.story(attempt)),
                    Outcome::Failed | Outcome::Unknown => warn!("{}", self.story(attempt)),
                }
                self.finish(outcome, reason, &left).await;
            }
            Judgement::Defer(delay, left) => {
                info!("{}; again in {:.1} s", self.story(attempt), delay.as_secs_f64());
                self.defer(delay, left).await;
            }
        }
    }

    /// For logs: without addresses and content.
    fn story(&self, attempt: &Attempt) -> String {
        let phase = attempt.phase.map(|phase| format!(" at {phase}")).unwrap_or_default();
        format!("{}: {}{phase} by {} after {} ms", self.job.id, attempt.verdict, attempt.transport, attempt.ms)
    }

    async fn settle_unprepared(&self, header: &Header, mail: &Mail, unprepared: Unprepared) {
        match unprepared {
            Unprepared::Away => self.hand_back().await,
            Unprepared::TemplateMissing(problem) => self.wait_for_template(header, mail, &problem).await,
            Unprepared::Invalid(problem) => self.refuse(header, mail, &problem).await,
        }
    }

    /// Deploys are not atomic: the template may reach this machine in a moment.
    async fn wait_for_template(&self, header: &Header, mail: &Mail, problem: &str) {
        if self.office.lacks_template(mail.template.as_deref().unwrap_or_default()) >= TEMPLATE_PATIENCE {
            return self.refuse(header, mail, problem).await;
        }
        let about = About::Template(mail.template.clone().unwrap_or_default());
        self.office.alerts.raise(about, format!("mail waits for a template: {problem}"));
        let record = AttemptRecord {
            n: self.job.tries + 1,
            counted: false,
            at_ms: self.at_ms(),
            transport: String::new(),
            phase: None,
            code: None,
            enhanced: None,
            reply: problem.to_owned(),
            verdict: "template_missing".to_owned(),
            ms: 0,
        };
        let error = Some((record.verdict.clone(), problem.to_owned()));
        let recipients = self.before(header, mail).recipients;
        let left = Settled { attempt: self.job.attempt, error, recipients, records: vec![record], receipt: None };
        self.defer(TEMPLATE_PAUSE, left).await;
    }

    /// Ours, and no attempt will mend it.
    async fn refuse(&self, header: &Header, mail: &Mail, problem: &str) {
        let before = self.before(header, mail);
        let to: Vec<EmailAddress> = before.recipients.iter().map(|recipient| recipient.address.clone()).collect();
        let attempt = Attempt::invalid(&to, problem);
        self.settle(judge(before, &attempt, self.at_ms(), 0.0), &attempt).await;
    }

    async fn set_aside(&self, problem: &str) {
        warn!(job = %self.job.id, "{} can't be read and is set aside", self.job.id);
        let error = Some(("unreadable".to_owned(), problem.to_owned()));
        let left = Settled { attempt: self.job.attempt, error, ..Settled::default() };
        self.finish(Outcome::Failed, "unreadable", &left).await;
    }

    /// Back at once, nothing was tried.
    async fn hand_back(&self) {
        self.defer(Duration::ZERO, Settled { attempt: self.job.attempt, ..Settled::default() }).await;
    }

    async fn finish(&self, outcome: Outcome, reason: &str, left: &Settled) {
        match self.counter().settler.finish(&self.job.id, self.job.fence, outcome, reason, left).await {
            Ok(FinishReply::Finished | FinishReply::Late) => self.office.tally(outcome),
            Ok(FinishReply::Twice) => warn!(job = %self.job.id, "{} was sent by another worker too", self.job.id),
            Ok(FinishReply::Lost) => warn!(job = %self.job.id, "{} was no longer this worker's to settle", self.job.id),
            Err(problem) => warn!(job = %self.job.id, "{} could not be settled: {problem}", self.job.id),
        }
    }

    async fn defer(&self, delay: Duration, left: Settled) {
        let item = Defer { id: self.job.id.clone(), fence: self.job.fence, delay, left };
        if let Err(problem) = self.counter().settler.defer(item).await {
            warn!(job = %self.job.id, "{} could not be put back: {problem}", self.job.id);
        }
    }

    fn counter(&self) -> &Counter {
        self.office.counter(self.job.id.queue())
    }

    /// Redis's clock now, as far as this process can tell.
    fn at_ms(&self) -> i64 {
        let since = lease_clock::now().saturating_sub(self.claimed_at);
        self.now_ms + i64::try_from(since.as_millis()).unwrap_or(0)
    }
}
