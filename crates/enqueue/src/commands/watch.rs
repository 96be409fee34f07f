//! Looking on until the end of a job or a batch.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use postroom_core::{BatchId, BatchReport, JobId, JobReport, JobState};

use super::{Context, console::Console, exit::Result, outcome};

/// How often the picture changes.
const STEP: Duration = Duration::from_millis(300);
/// One lost connection is no absence yet.
const WORTH_TELLING: Duration = Duration::from_secs(1);

/// Shows a job's state each time it changes.
pub(crate) async fn job(context: &Context, id: &JobId, limit: Option<Duration>) -> Result<JobReport> {
    let start = Instant::now();
    let mut shown: Option<JobState> = None;
    let mut absence = Absence::new(context.console);
    loop {
        let looked = context.postroom.wait(id, step(start, limit)).await;
        let Some(report) = absence.bridge(looked, out_of_time(start, limit))? else { continue };
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
    let mut absence = Absence::new(context.console);
    loop {
        let looked = context.postroom.wait_for_batch(id, step(start, limit)).await;
        let Some(report) = absence.bridge(looked, out_of_time(start, limit))? else { continue };
        let counts = outcome::counts(&report);
        if bar.is_hidden() && counts != shown {
            context.console.note(outcome::progress(&report));
        }
        bar.set_length(report.total);
        bar.set_position(report.total - report.unfinished());
        bar.set_message(outcome::progress(&report));
        shown = counts;
        let over = report.sealed && report.unfinished() == report.unknown;
        if over || out_of_time(start, limit) {
            bar.finish_and_clear();
            return Ok(report);
        }
    }
}

/// Redis being away: said once when it goes and once when it is back.
struct Absence {
    console: Console,
    since: Option<Instant>,
    is_told: bool,
}

impl Absence {
    fn new(console: Console) -> Self {
        Self { console, since: None, is_told: false }
    }

    /// What was looked at; nothing while Redis is away, unless there is no time left.
    fn bridge<T>(&mut self, looked: crate::Result<T>, is_last: bool) -> Result<Option<T>> {
        match looked {
            Err(crate::Error::Core(error)) if error.is_transient() && !is_last => {
                let since = *self.since.get_or_insert_with(Instant::now);
                if !self.is_told && since.elapsed() >= WORTH_TELLING {
                    self.is_told = true;
                    self.console.note(format_args!("{error}; waiting for it"));
                }
                Ok(None)
            }
            looked => {
                let report = looked?;
                if self.since.take().is_some() && std::mem::take(&mut self.is_told) {
                    self.console.note("Redis is back");
                }
                Ok(Some(report))
            }
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
