//! The pages, and what they have in common.

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

/// A page, or why there is none.
pub(crate) type Page = Result<Html<String>, Failure>;

/// What surrounds every page.
#[derive(Debug)]
pub(crate) struct Shell {
    /// Which part of the site it is.
    here: &'static str,
    /// What its forms hold.
    token: String,
    flash: Option<Flash>,
    /// Whether there is a password, so that one can log out.
    locked: bool,
    /// Part of the addresses of style and script.
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

    /// The same on this part of the site.
    fn at(self, here: &'static str) -> Self {
        Self { here, ..self }
    }

    /// The mark of the link to where we are.
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
    /// Whether it may be over soon.
    passing: bool,
}

/// What a failure looks like to a person.
pub(crate) fn failure(shell: Shell, failure: &Failure) -> Result<Response, askama::Error> {
    let passing = failure.status.as_u16() == 503;
    let page = FailurePage { shell, title: failure.title(), message: &failure.message, passing };
    page.render().map(|text| Html(text).into_response())
}

/// Every path that leads nowhere.
pub(crate) async fn not_found(uri: Uri) -> Failure {
    Failure::not_found(uri.path())
}

/// What was typed into the search field.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Find {
    q: String,
}

/// Leads to the job, the batch, the address or the template of that name.
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
