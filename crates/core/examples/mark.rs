//! Measures the cost of `begin`, the mark before the committing bytes; a part of `scripts/bench`.
//!
//! Usage: `mark`, with `REDIS_URL` set. Claims and finishes mails in tens, alternately with and
//! without `begin`. Prints both medians in microseconds per mail.
#![expect(clippy::print_stdout, reason = "the numbers are the output")]

use std::{error::Error, time::Instant};

use postroom_core::{
    JobId, Mail, Policy, Priority, QueueName, Store,
    settings::{Settings, Sources},
    store::{Begin, Claim, ClaimId, ClaimReply, Claimed, Due, Finish, JobTerms, NewJob, Outcome, Settled, WorkerId},
};

const ROUNDS: usize = 20;
const MAILS: usize = 500;
const AT_ONCE: usize = 10;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let store = Store::connect(&Settings::from_sources(&Sources::of_process(&[])?)?.redis).await?;
    let (queue, worker): (QueueName, _) = ("mark".parse()?, WorkerId::generate());
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        with.push(round(&store, &queue, &worker, true).await?);
        without.push(round(&store, &queue, &worker, false).await?);
    }
    println!("{:.1} {:.1}", median(with), median(without));
    Ok(())
}

/// Returns the microseconds per mail of one round.
async fn round(store: &Store, queue: &QueueName, worker: &WorkerId, marked: bool) -> Result<f64, Box<dyn Error>> {
    enqueue(store, queue).await?;
    let start = Instant::now();
    for _ in 0..MAILS / AT_ONCE {
        let id = ClaimId::generate();
        let claim = Claim::new(queue, worker, &id, AT_ONCE);
        let ClaimReply::Jobs { jobs, .. } = store.claim(&claim).await? else { return Err("no jobs".into()) };
        if marked {
            let mark = |job: &Claimed| Begin {
                id: job.id.clone(),
                fence: job.fence,
                message_id: format!("{}@example.org", job.id),
                date_ms: 1,
            };
            store.begin(queue, worker, &jobs.iter().map(mark).collect::<Vec<_>>()).await?;
        }
        let sent = |job: &Claimed| Finish::new(&job.id, job.fence, Outcome::Sent, "", &Settled::default());
        let sent = jobs.iter().map(sent).collect::<Result<Vec<_>, _>>()?;
        store.finish(queue, worker, &sent).await?;
    }
    #[expect(clippy::cast_precision_loss, reason = "a small number")]
    Ok(start.elapsed().as_secs_f64() * 1e6 / MAILS as f64)
}

async fn enqueue(store: &Store, queue: &QueueName) -> Result<(), Box<dyn Error>> {
    let policy = Policy { retention: None, ..Policy::of_queue("emails") };
    let terms = JobTerms { priority: Priority::NORMAL, due: Due::Now, expires: None, policy, sensitive: false };
    let mail = Mail { subject: Some("Hello".to_owned()), text: Some("x".repeat(1_000).into()), ..Mail::default() };
    let new = |_| NewJob { id: JobId::new(queue.clone()), mail: mail.clone() };
    let jobs: Vec<NewJob> = (0..MAILS).map(new).collect();
    for chunk in jobs.chunks(100) {
        store.enqueue(queue, None, &terms, chunk).await?;
    }
    Ok(())
}

fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}
