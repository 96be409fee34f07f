//! List of jobs, filtered and in pages.

use askama::Template;
use axum::{extract::State, http::StatusCode, response::Html};
use postroom_core::{JobState, store::JobPage};

use super::{BoundedQuery, Shell, html, row::JobRow};
use crate::{
    app::App,
    handler_error::HandlerError,
    query::{JobQuery, PAGE},
};

#[derive(Template)]
#[template(path = "jobs.html")]
struct JobsPage {
    shell: Shell,
    query: JobQuery,
    states: Vec<StateLink>,
    queues: Vec<String>,
    rows: Vec<JobRow>,
    next: Option<String>,
    /// Problem of the query, if it is invalid.
    problem: Option<String>,
}

/// Link to the same list in one state.
struct StateLink {
    word: &'static str,
    link: String,
    here: bool,
}

pub(crate) async fn show(
    State(app): State<App>,
    shell: Shell,
    BoundedQuery(query): BoundedQuery<JobQuery>,
) -> Result<(StatusCode, Html<String>), HandlerError> {
    let (store, clock) = (app.store()?, app.clock());
    let queues = store.known_queues().await?.iter().map(ToString::to_string).collect();
    let (found, problem) = match query.filter().and_then(|filter| query.limit().map(|_| filter)) {
        Ok(filter) => (store.find_jobs(&filter, query.cursor(), PAGE).await?, None),
        Err(problem) => (JobPage { jobs: Vec::new(), next: None }, Some(problem.to_string())),
    };
    let status = if problem.is_some() { StatusCode::BAD_REQUEST } else { StatusCode::OK };
    let page = html(&JobsPage {
        shell: shell.at("jobs"),
        states: states(&query),
        queues,
        rows: found.jobs.iter().map(|job| JobRow::new(job, clock)).collect(),
        next: found.next.map(|cursor| query.encoded(&query.state, &cursor)),
        problem,
        query,
    })?;
    Ok((status, page))
}

fn states(query: &JobQuery) -> Vec<StateLink> {
    let link = |word: &'static str, state: &str| StateLink {
        word,
        link: query.encoded(state, ""),
        here: query.state == state,
    };
    let all = std::iter::once(link("all", ""));
    all.chain(JobState::ALL.map(|state| link(state.as_str(), state.as_str()))).collect()
}
