//! What somebody should look at.

use postroom_core::{
    QueueReport,
    store::{ProcessInfo, ProcessKind, ScheduleReport, ServerInfo},
};
use serde::Serialize;

use crate::{moment::grouped, snapshot::workers_of};

/// What somebody should look at, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Warning {
    pub(crate) text: String,
    /// The page where more of it is told.
    #[serde(skip)]
    pub(crate) link: Option<String>,
}

impl Warning {
    fn new(text: String, link: Option<String>) -> Self {
        Self { text, link }
    }
}

/// All there is to warn of.
pub(crate) fn of(queues: &[QueueReport], processes: &[ProcessInfo], redis: &ServerInfo) -> Vec<Warning> {
    let mut told: Vec<Warning> = queues.iter().flat_map(|queue| of_queue(queue, processes)).collect();
    told.extend(processes.iter().flat_map(of_process));
    told.extend(redis.warnings().into_iter().map(|text| Warning::new(text, None)));
    told
}

/// Schedules without anybody to fire them.
pub(crate) fn of_schedules(schedules: &[ScheduleReport], processes: &[ProcessInfo]) -> Option<Warning> {
    let waiting = schedules.iter().filter(|schedule| schedule.enabled).count();
    let has_beat = processes.iter().any(|process| process.kind == ProcessKind::Beat);
    let some = if waiting == 1 { "a schedule does".to_owned() } else { format!("{waiting} schedules do") };
    let text = format!("No beat is running, so {some} not fire");
    (waiting > 0 && !has_beat).then(|| Warning::new(text, Some("/schedules".to_owned())))
}

fn of_queue(queue: &QueueReport, processes: &[ProcessInfo]) -> Vec<Warning> {
    let name = &queue.queue;
    let mut told = Vec::new();
    if queue.paused {
        let text = format!("Queue {name} is paused; {} wait in it", mails(waiting(queue)));
        told.push(Warning::new(text, Some("/queues".to_owned())));
    }
    if waiting(queue) > 0 && workers_of(queue, processes).next().is_none() {
        let text = format!("No worker serves queue {name}, where {} wait", mails(waiting(queue)));
        told.push(Warning::new(text, Some(format!("/jobs?queue={name}"))));
    }
    if queue.unknown > 0 {
        let who = if queue.unknown == 1 { "it" } else { "they" };
        let text = format!(
            "Of {} in queue {name} it can't be known whether {who} went out: somebody has to decide",
            mails(queue.unknown)
        );
        told.push(Warning::new(text, Some(format!("/jobs?state=unknown&queue={name}"))));
    }
    told
}

fn of_process(process: &ProcessInfo) -> impl Iterator<Item = Warning> {
    process.alerts.iter().map(|alert| {
        let text = format!("{} (process {}): {}", process.host, process.pid, alert.text);
        Warning::new(text, Some("/#processes".to_owned()))
    })
}

fn waiting(queue: &QueueReport) -> u64 {
    queue.queued + queue.deferred + queue.scheduled
}

fn mails(number: u64) -> String {
    if number == 1 { "1 mail".to_owned() } else { format!("{} mails", grouped(number)) }
}
