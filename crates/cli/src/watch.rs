//! Shows the progress of a job or a batch until it is finished.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use postroom_core::{BatchId, BatchReport, JobId, JobReport, JobState};

use crate::{console::Console, context::Context, exit::Result, outcome};

/// Interval between updates.
const INTERVAL: Duration = Duration::from_millis(300);
/// Minimum duration of an outage that is reported; shorter ones are lost connections.
const MIN_OUTAGE: Duration = Duration::from_secs(1);

/// Shows the state of a job each time it changes, and returns the last one.
pub(crate) async fn job(context: &Context, id: &JobId, limit: Option<Duration>) -> Result<JobReport> {
    let start = Instant::now();
    let mut shown: Option<JobState> = None;
    let mut outage = OutageNotice::new(context.console);
    loop {
        let result = context.postroom.wait(id, step(start, limit)).await;
        let Some(report) = outage.filter(result, out_of_time(start, limit))? else { continue };
        if shown != Some(report.state) {
            context.console.note(format_args!("{id} is {}", report.state));
            shown = Some(report.state);
        }
        let is_done = report.state.is_finished() || report.state == JobState::Unknown;
        if is_done || out_of_time(start, limit) {
            return Ok(report);
        }
    }
}

/// Shows the counters of a batch, and returns the last ones. A terminal gets a progress bar, a file
/// or pipe a line for each change.
pub(crate) async fn batch(context: &Context, id: &BatchId, limit: Option<Duration>) -> Result<BatchReport> {
    let start = Instant::now();
    let bar = bar();
    let mut shown = String::new();
    let mut outage = OutageNotice::new(context.console);
    loop {
        let result = context.postroom.wait_for_batch(id, step(start, limit)).await;
        let Some(report) = outage.filter(result, out_of_time(start, limit))? else { continue };
        let counts = outcome::counts(&report);
        if bar.is_hidden() && counts != shown {
            context.console.note(outcome::progress(&report));
        }
        bar.set_length(report.total);
        bar.set_position(report.total - report.unfinished());
        bar.set_message(outcome::progress(&report));
        shown = counts;
        let is_done = report.sealed && report.unfinished() == report.unknown;
        if is_done || out_of_time(start, limit) {
            bar.finish_and_clear();
            return Ok(report);
        }
    }
}

/// Reports an outage of Redis once when it begins and once when it ends.
struct OutageNotice {
    console: Console,
    since: Option<Instant>,
    is_reported: bool,
}

impl OutageNotice {
    fn new(console: Console) -> Self {
        Self { console, since: None, is_reported: false }
    }

    /// Returns the report, or `None` during an outage of Redis. The last result is returned even if
    /// it is an outage.
    fn filter<T>(&mut self, result: postroom_enqueue::Result<T>, is_last: bool) -> Result<Option<T>> {
        match result {
            Err(postroom_enqueue::Error::Core(error)) if error.is_transient() && !is_last => {
                let since = *self.since.get_or_insert_with(Instant::now);
                if !self.is_reported && since.elapsed() >= MIN_OUTAGE {
                    self.is_reported = true;
                    self.console.note(format_args!("{error}; waiting for Redis"));
                }
                Ok(None)
            }
            result => {
                let report = result?;
                if self.since.take().is_some() && std::mem::take(&mut self.is_reported) {
                    self.console.note("Redis is available again");
                }
                Ok(Some(report))
            }
        }
    }
}

/// Progress bar on standard error; hidden if that is not a terminal.
fn bar() -> ProgressBar {
    let style =
        ProgressStyle::with_template("{bar:30} {percent}% {msg}").unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(0).with_style(style)
}

fn step(start: Instant, limit: Option<Duration>) -> Duration {
    limit.map_or(INTERVAL, |limit| limit.saturating_sub(start.elapsed()).min(INTERVAL))
}

fn out_of_time(start: Instant, limit: Option<Duration>) -> bool {
    limit.is_some_and(|limit| start.elapsed() >= limit)
}
