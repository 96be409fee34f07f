//! Pages of the dashboard, and their common parts.

mod bar;
pub(crate) mod batch;
pub(crate) mod batches;
pub(crate) mod captured;
pub(crate) mod frame;
pub(crate) mod job;
pub(crate) mod jobs;
pub(crate) mod login;
pub(crate) mod overview;
pub(crate) mod queues;
mod row;
pub(crate) mod schedules;

use askama::Template;
use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, Uri, request::Parts},
    response::{Html, IntoResponse, Redirect, Response},
};
use postroom_core::{BatchId, JobId};
use serde::Deserialize;

pub(crate) use crate::asked::Asked;
use crate::{app::App, assets, failure::Failure, flash::Flash, guard::Visitor, query::encode};

/// A page, or an error.
pub(crate) type Page = Result<Html<String>, Failure>;

/// Common parts of every page.
#[derive(Debug)]
pub(crate) struct Shell {
    /// Current section of the site.
    here: &'static str,
    /// Token of the page's forms.
    token: String,
    flash: Option<Flash>,
    /// Whether a password is set, so that the page offers a logout.
    locked: bool,
    /// Version in the addresses of style sheet and script.
    version: &'static str,
}

impl Shell {
    pub(crate) fn new(app: &App, visitor: &Visitor, headers: &HeaderMap) -> Self {
        Self {
            here: "",
            token: visitor.form_token.clone(),
            flash: Flash::of(headers),
            locked: app.gate().is_locked(),
            version: &assets::VERSION,
        }
    }

    /// Sets the section of the site.
    fn at(self, here: &'static str) -> Self {
        Self { here, ..self }
    }

    /// Returns the `aria-current` value of a section's link.
    fn mark(&self, part: &str) -> &'static str {
        if self.here == part { "page" } else { "false" }
    }
}

impl FromRequestParts<App> for Shell {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Failure> {
        let visitor = parts.extensions.get::<Visitor>().ok_or_else(Failure::no_password)?;
        Ok(Self::new(app, visitor, &parts.headers))
    }
}

fn html(template: &impl Template) -> Page {
    template.render().map(Html).map_err(Failure::defect)
}

#[derive(Template)]
#[template(path = "failure.html")]
struct FailurePage<'a> {
    shell: Shell,
    title: &'a str,
    message: &'a str,
    /// Whether the error may be temporary.
    is_temporary: bool,
}

/// Renders an error as a page.
pub(crate) fn failure(shell: Shell, failure: &Failure) -> Result<Response, askama::Error> {
    let is_temporary = failure.status.as_u16() == 503;
    let page = FailurePage { shell, title: failure.title(), message: &failure.message, is_temporary };
    page.render().map(|text| Html(text).into_response())
}

/// Responds to unknown paths.
pub(crate) async fn not_found(uri: Uri) -> Failure {
    Failure::not_found(uri.path())
}

/// Text of the search field.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Find {
    q: String,
}

/// Redirects to the job, the batch, the address or the template with this name.
pub(crate) async fn find(Asked(Find { q }): Asked<Find>) -> Redirect {
    let q = q.trim();
    let place = if q.parse::<BatchId>().is_ok() {
        format!("/batches/{q}")
    } else if q.parse::<JobId>().is_ok() {
        format!("/jobs/{q}")
    } else if q.contains('@') {
        format!("/jobs{}", encode(&[("address", q)]))
    } else {
        format!("/jobs{}", encode(&[("template", q)]))
    };
    Redirect::to(&place)
}
