//! In and out.

use axum::{
    extract::{Request, State},
    http::{HeaderMap, StatusCode, header},
    response::{AppendHeaders, IntoResponse, Redirect, Response},
};

use crate::{
    app::App,
    failure::Failure,
    guard::{self, Refused, SESSION, Signed, cookie, session::LASTS_S},
    page::{self, Shell},
};
use axum::extract::FromRequest;

pub(crate) async fn enter(State(app): State<App>, shell: Shell, request: Request) -> Result<Response, Failure> {
    let (parts, body) = request.into_parts();
    let (from, https) = (guard::peer(&parts), guard::is_https(&parts.headers));
    let form = Signed::from_request(Request::from_parts(parts, body), &app).await?;
    let next = local(form.field("next"));
    match app.gate().try_password(form.field("password"), from).await {
        Ok(()) => Ok(welcome(&app, next, https)),
        Err(Refused::Wrong) => {
            let page = page::login::render(&app, shell, next, "That is not the password.")?;
            Ok((StatusCode::UNAUTHORIZED, page).into_response())
        }
        Err(Refused::TooMany(wait)) => Err(Failure::too_many_tries(wait)),
    }
}

pub(crate) async fn leave(headers: HeaderMap, _form: Signed) -> Response {
    let gone = cookie::set(SESSION, "", 0, guard::is_https(&headers));
    (AppendHeaders([(header::SET_COOKIE, gone)]), Redirect::to("/login")).into_response()
}

fn welcome(app: &App, next: &str, https: bool) -> Response {
    let session = app.gate().sealer().session(guard::now_s());
    let cookie = cookie::set(SESSION, &session, LASTS_S, https);
    (AppendHeaders([(header::SET_COOKIE, cookie)]), Redirect::to(next)).into_response()
}

/// Only to a place of ours: `//elsewhere` and `/\elsewhere` lead away.
fn local(next: &str) -> &str {
    let fits = next.starts_with('/') && !next.starts_with("//") && !next.contains(['\\', '\r', '\n', '\t']);
    if fits { next } else { "/" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_to_places_of_ours() {
        assert_eq!(local("/jobs?state=failed"), "/jobs?state=failed");
        for bad in ["", "jobs", "//evil.example", "/\\evil.example", "https://evil.example", "/\n/evil"] {
            assert_eq!(local(bad), "/", "{bad:?}");
        }
    }
}
