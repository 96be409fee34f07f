//! Warnings on the overview.

use postroom_core::{
    QueueReport,
    store::{ProcessInfo, ProcessKind, ScheduleReport, ServerInfo},
};
use serde::Serialize;

use crate::{inventory::workers_of, time_format::grouped};

/// A problem that needs attention.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Warning {
    pub(crate) text: String,
    /// Page with details.
    #[serde(skip)]
    pub(crate) link: Option<String>,
}

impl Warning {
    fn new(text: String, link: Option<String>) -> Self {
        Self { text, link }
    }
}

/// Returns the warnings about queues, processes and Redis.
pub(crate) fn of(queues: &[QueueReport], processes: &[ProcessInfo], redis: &ServerInfo) -> Vec<Warning> {
    let mut warnings: Vec<Warning> = queues.iter().flat_map(|queue| of_queue(queue, processes)).collect();
    warnings.extend(processes.iter().flat_map(of_process));
    warnings.extend(redis.warnings().into_iter().map(|text| Warning::new(text, None)));
    warnings
}

/// Warns about enabled schedules without a running beat.
pub(crate) fn of_schedules(schedules: &[ScheduleReport], processes: &[ProcessInfo]) -> Option<Warning> {
    let waiting = schedules.iter().filter(|schedule| schedule.enabled).count();
    let has_beat = processes.iter().any(|process| process.kind == ProcessKind::Beat);
    let some = if waiting == 1 { "a schedule does".to_owned() } else { format!("{waiting} schedules do") };
    let text = format!("No beat is running, so {some} not fire");
    (waiting > 0 && !has_beat).then(|| Warning::new(text, Some("/schedules".to_owned())))
}

fn of_queue(queue: &QueueReport, processes: &[ProcessInfo]) -> Vec<Warning> {
    let name = &queue.queue;
    let mut warnings = Vec::new();
    if queue.paused {
        let text = format!("Queue {name} is paused; {} waiting", mails(waiting(queue)));
        warnings.push(Warning::new(text, Some("/queues".to_owned())));
    }
    if waiting(queue) > 0 && workers_of(queue, processes).next().is_none() {
        let text = format!("No worker serves queue {name}; {} waiting", mails(waiting(queue)));
        warnings.push(Warning::new(text, Some(format!("/jobs?queue={name}"))));
    }
    if queue.unknown > 0 {
        let text =
            format!("The outcome of {} in queue {name} is unknown: decide whether to send again", mails(queue.unknown));
        warnings.push(Warning::new(text, Some(format!("/jobs?state=unknown&queue={name}"))));
    }
    warnings
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
