//! The schedules: when each fired, and when it will.

use askama::Template;
use axum::extract::State;
use postroom_core::store::{FiringId, ProcessKind, ScheduleReport};

use super::{Page, Shell, html};
use crate::{
    app::App,
    moment::{Clock, Moment},
};

#[derive(Template)]
#[template(path = "schedules.html")]
struct SchedulesPage {
    shell: Shell,
    lines: Vec<Line>,
    /// How many beats are alive: without one nothing fires.
    beats: usize,
}

/// A schedule as a line.
struct Line {
    report: ScheduleReport,
    about: String,
    to: String,
    last: Option<Moment>,
    /// The way to what its last firing became.
    last_link: String,
    next: Vec<Moment>,
}

impl Line {
    fn new(report: ScheduleReport, clock: Clock) -> Self {
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

pub(crate) async fn show(State(app): State<App>, shell: Shell) -> Page {
    let (store, clock) = (app.store()?, app.clock());
    let reports = store.schedules().await?;
    let processes = store.processes().await?;
    html(&SchedulesPage {
        shell: shell.at("schedules"),
        lines: reports.into_iter().map(|report| Line::new(report, clock)).collect(),
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
