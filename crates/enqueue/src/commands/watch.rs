//! Looking on until the end of a job or a batch.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use postroom_core::{BatchId, BatchReport, JobId, JobReport, JobState};

use super::{Context, exit::Result, outcome};

/// How often the picture changes.
const STEP: Duration = Duration::from_millis(300);

/// Shows a job's state each time it changes.
pub(crate) async fn job(context: &Context, id: &JobId, limit: Option<Duration>) -> Result<JobReport> {
    let start = Instant::now();
    let mut shown: Option<JobState> = None;
    loop {
        let report = context.postroom.wait(id, step(start, limit)).await?;
        if shown != Some(report.state) {
            context.console.note(format_args!("{id} is {}", report.state));
            shown = Some(report.state);
        }
        let over = report.state.is_finished() || report.state == JobState::Unknown;
        if over || out_of_time(start, limit) {
            return Ok(report);
        }
    }
}

/// Shows a batch's counters: a bar on a terminal, else a line each time they changed.
pub(crate) async fn batch(context: &Context, id: &BatchId, limit: Option<Duration>) -> Result<BatchReport> {
    let start = Instant::now();
    let bar = bar();
    let mut shown = String::new();
    loop {
        let report = context.postroom.wait_for_batch(id, step(start, limit)).await?;
        let counts = outcome::counts(&report);
        if bar.is_hidden() && counts != shown {
            context.console.note(&counts);
        }
        bar.set_length(report.total);
        bar.set_position(report.total - report.unfinished());
        bar.set_message(counts.clone());
        shown = counts;
        let over = report.sealed && report.unfinished() == report.unknown;
        if over || out_of_time(start, limit) {
            bar.finish_and_clear();
            return Ok(report);
        }
    }
}

/// On standard error; hidden where that is no terminal.
fn bar() -> ProgressBar {
    let style =
        ProgressStyle::with_template("{bar:30} {percent}% {msg}").unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(0).with_style(style)
}

fn step(start: Instant, limit: Option<Duration>) -> Duration {
    limit.map_or(STEP, |limit| limit.saturating_sub(start.elapsed()).min(STEP))
}

fn out_of_time(start: Instant, limit: Option<Duration>) -> bool {
    limit.is_some_and(|limit| start.elapsed() >= limit)
}
