//! Page of the schedules, with their last and next times.

use askama::Template;
use axum::extract::State;
use postroom_core::store::{FiringId, ProcessKind, ScheduleReport};

use super::{PageResult, Shell, html};
use crate::{
    app::App,
    time_format::{FormattedTime, TimeFormatter},
};

#[derive(Template)]
#[template(path = "schedules.html")]
struct SchedulesPage {
    shell: Shell,
    rows: Vec<ScheduleRow>,
    /// Number of running beats; without one no schedule fires.
    beats: usize,
}

/// A schedule as a row.
struct ScheduleRow {
    report: ScheduleReport,
    about: String,
    to: String,
    last: Option<FormattedTime>,
    /// Link to the job or batch of the last firing.
    last_link: String,
    next: Vec<FormattedTime>,
}

impl ScheduleRow {
    fn new(report: ScheduleReport, clock: TimeFormatter) -> Self {
        let about = report.template.as_ref().or(report.subject.as_ref());
        Self {
            about: about.cloned().unwrap_or_default(),
            to: report.to.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
            last: clock.at(report.last_at.as_deref()),
            last_link: link(report.last_id.as_ref()),
            next: report.next.iter().filter_map(|at| clock.at(Some(at))).collect(),
            report,
        }
    }
}

pub(crate) async fn show(State(app): State<App>, shell: Shell) -> PageResult {
    let (store, clock) = (app.store()?, app.clock());
    let reports = store.schedules().await?;
    let processes = store.processes().await?;
    html(&SchedulesPage {
        shell: shell.at("schedules"),
        rows: reports.into_iter().map(|report| ScheduleRow::new(report, clock)).collect(),
        beats: processes.iter().filter(|process| process.kind == ProcessKind::Beat).count(),
    })
}

fn link(last: Option<&FiringId>) -> String {
    match last {
        Some(FiringId::Job(id)) => format!("/jobs/{id}"),
        Some(FiringId::Batch(id)) => format!("/batches/{id}"),
        None => String::new(),
    }
}
