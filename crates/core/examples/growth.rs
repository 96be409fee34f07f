//! Measures the cost of claims and listings with few and with many jobs queued; a part of
//! `scripts/bench`.
//!
//! Usage: `growth FEW MANY`, with `REDIS_URL` set. Prints four numbers: the CPU time of Redis in
//! microseconds for a claim of ten jobs with FEW and with MANY queued, then for a listing. A
//! listing reads 50 jobs, the queue's counters and its last hour.
#![expect(clippy::print_stdout, reason = "the numbers are the output")]

use std::{error::Error, time::Duration};

use postroom_core::{
    JobId, JobState, Mail, Policy, Priority, QueueName, Store,
    settings::{Settings, Sources},
    store::{Claim, ClaimId, ClaimReply, Defer, Due, JobFilter, JobTerms, NewJob, Settled, WorkerId},
};

type BoxError = Box<dyn Error>;

const ROUNDS: u32 = 40;
const AT_ONCE: u32 = 10;
const CHUNK: usize = 200;

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let numbers: Vec<usize> = std::env::args().skip(1).map(|word| word.parse()).collect::<Result<_, _>>()?;
    let store = Store::connect(&Settings::from_sources(&Sources::of_process(&[])?)?.redis).await?;
    let queue: QueueName = "growth".parse()?;
    let (mut claims, mut listings, mut queued) = (Vec::new(), Vec::new(), 0);
    for number in numbers {
        fill(&store, &queue, number - queued).await?;
        queued = number;
        // The first round is not measured, so that all measurements start alike.
        claim(&store, &queue).await?;
        claims.push(claim(&store, &queue).await?);
        listings.push(list(&store, &queue).await?);
    }
    let figures: Vec<String> = claims.iter().chain(&listings).map(|us| format!("{us:.1}")).collect();
    println!("{}", figures.join(" "));
    Ok(())
}

/// Claims jobs, then releases them outside the measurement.
async fn claim(store: &Store, queue: &QueueName) -> Result<f64, BoxError> {
    let worker = WorkerId::generate();
    let mut spent = Duration::ZERO;
    for _ in 0..ROUNDS {
        let before = store.server_info().await?.cpu;
        let mut claimed = Vec::new();
        for _ in 0..AT_ONCE {
            let id = ClaimId::generate();
            let claim = Claim::new(queue, &worker, &id, 10);
            let ClaimReply::Jobs { jobs, .. } = store.claim(&claim).await? else { return Err("no jobs".into()) };
            claimed.extend(jobs.into_iter().map(|job| Defer {
                id: job.id,
                fence: job.fence,
                delay: Duration::ZERO,
                left: Settled::default(),
            }));
        }
        spent += store.server_info().await?.cpu.saturating_sub(before);
        store.defer(queue, &worker, &claimed).await?;
    }
    Ok(each(spent))
}

async fn list(store: &Store, queue: &QueueName) -> Result<f64, BoxError> {
    let filter = JobFilter { queues: vec![queue.clone()], state: Some(JobState::Queued), ..JobFilter::default() };
    let mut spent = Duration::ZERO;
    for _ in 0..ROUNDS {
        let before = store.server_info().await?.cpu;
        for _ in 0..AT_ONCE {
            store.find_jobs(&filter, None, 50).await?;
            store.queue(queue).await?;
            store.minutes(queue, 60).await?;
        }
        spent += store.server_info().await?.cpu.saturating_sub(before);
    }
    Ok(each(spent))
}

fn each(spent: Duration) -> f64 {
    spent.as_secs_f64() * 1e6 / f64::from(ROUNDS * AT_ONCE)
}

async fn fill(store: &Store, queue: &QueueName, number: usize) -> Result<(), BoxError> {
    let policy = Policy::of_queue("emails");
    let terms = JobTerms { priority: Priority::NORMAL, due: Due::Now, expires: None, policy, sensitive: false };
    let mail = Mail { subject: Some("Hello".to_owned()), text: Some("How are you?".into()), ..Mail::default() };
    for start in (0..number).step_by(CHUNK) {
        let new = |_| NewJob { id: JobId::new(queue.clone()), mail: mail.clone() };
        let jobs: Vec<NewJob> = (start..number.min(start + CHUNK)).map(new).collect();
        store.enqueue(queue, None, &terms, &jobs).await?;
    }
    Ok(())
}
