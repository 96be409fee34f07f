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
    http::{Uri, request::Parts},
    response::{Html, IntoResponse, Redirect, Response},
};
use postroom_core::{BatchId, JobId};
use serde::Deserialize;

pub(crate) use crate::bounded_query::BoundedQuery;
use crate::{app::App, assets, flash::Flash, guard::Visitor, handler_error::HandlerError, query::encode};

/// A page, or an error.
pub(crate) type PageResult = Result<Html<String>, HandlerError>;

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
    pub(crate) fn new(app: &App, visitor: &Visitor, flash: Option<Flash>) -> Self {
        Self {
            here: "",
            token: visitor.form_token.clone(),
            flash,
            locked: app.guard().requires_password(),
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
    type Rejection = HandlerError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, HandlerError> {
        let visitor = parts.extensions.get::<Visitor>().ok_or_else(HandlerError::no_password)?;
        Ok(Self::new(app, visitor, Flash::of(&parts.headers)))
    }
}

fn html(template: &impl Template) -> PageResult {
    template.render().map(Html).map_err(HandlerError::defect)
}

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage<'a> {
    shell: Shell,
    title: &'a str,
    message: &'a str,
    /// Whether the error may be temporary.
    is_temporary: bool,
}

/// Renders an error as a page.
pub(crate) fn error(shell: Shell, error: &HandlerError) -> Response {
    let is_temporary = error.status.as_u16() == 503;
    let page = ErrorPage { shell, title: error.title(), message: &error.message, is_temporary };
    let body = page.render().map_or_else(|_| error.message.clone().into_response(), |text| Html(text).into_response());
    error.with_retry_after((error.status, body).into_response())
}

/// Responds to unknown paths.
pub(crate) async fn not_found(uri: Uri) -> HandlerError {
    HandlerError::not_found(uri.path())
}

/// Text of the search field.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct SearchQuery {
    q: String,
}

/// Redirects to the job, the batch, the address or the template with this name.
pub(crate) async fn find(BoundedQuery(SearchQuery { q }): BoundedQuery<SearchQuery>) -> Redirect {
    let q = q.trim();
    let path = if q.parse::<BatchId>().is_ok() {
        format!("/batches/{q}")
    } else if q.parse::<JobId>().is_ok() {
        format!("/jobs/{q}")
    } else if q.contains('@') {
        format!("/jobs{}", encode(&[("address", q)]))
    } else {
        format!("/jobs{}", encode(&[("template", q)]))
    };
    Redirect::to(&path)
}
