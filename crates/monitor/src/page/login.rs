//! Login page.

use askama::Template;
use axum::extract::State;
use serde::Deserialize;

use super::{BoundedQuery, PageResult, Shell, html};
use crate::app::App;

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage {
    shell: Shell,
    next: String,
    problem: String,
    locked: bool,
}

/// Address to return to after the login.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct LoginQuery {
    next: String,
}

pub(crate) async fn show(
    State(app): State<App>,
    shell: Shell,
    BoundedQuery(LoginQuery { next }): BoundedQuery<LoginQuery>,
) -> PageResult {
    render(&app, shell, &next, "")
}

/// Renders the page, with the problem of the last attempt if there is one.
pub(crate) fn render(app: &App, shell: Shell, next: &str, problem: &str) -> PageResult {
    let (next, problem) = (next.to_owned(), problem.to_owned());
    html(&LoginPage { shell, next, problem, locked: app.guard().requires_password() })
}
