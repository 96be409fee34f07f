//! Login and logout.

use axum::{
    Extension,
    extract::{FromRequest, Request, State},
    http::{StatusCode, header, request::Parts},
    response::{AppendHeaders, IntoResponse, Redirect, Response},
};

use crate::{
    app::App,
    cookie,
    guard::{
        PasswordFrom, PasswordRefusal, SESSION, Visitor,
        session::{LIFETIME, new_session},
    },
    handler_error::HandlerError,
    page::{self, Shell},
    signed_form::SignedForm,
};

pub(crate) async fn enter(State(app): State<App>, shell: Shell, request: Request) -> Result<Response, HandlerError> {
    let (parts, body) = request.into_parts();
    let form = SignedForm::from_request(Request::from_parts(parts.clone(), body), &app).await?;
    let next = local(form.field("next"));
    match app.guard().try_password(form.field("password"), PasswordFrom::Form, &parts).await {
        Ok(()) => welcome(&app, next, &parts).await,
        Err(PasswordRefusal::Wrong) => {
            let page = page::login::render(&app, shell, next, "The password is wrong.")?;
            Ok((StatusCode::UNAUTHORIZED, page).into_response())
        }
        Err(PasswordRefusal::TooMany(wait)) => Err(HandlerError::too_many_attempts(wait)),
    }
}

pub(crate) async fn leave(
    State(app): State<App>,
    Extension(visitor): Extension<Visitor>,
    parts: Parts,
    _form: SignedForm,
) -> Result<Response, HandlerError> {
    app.store()?.end_session(visitor.hash()).await?;
    let deleted = cookie::set(SESSION, "", 0, app.guard().client(&parts).is_https);
    Ok((AppendHeaders([(header::SET_COOKIE, deleted)]), Redirect::to("/login")).into_response())
}

/// Creates a new session at each login and ends the previous one.
async fn welcome(app: &App, next: &str, parts: &Parts) -> Result<Response, HandlerError> {
    let (store, session_key, session) = (app.store()?, app.guard().session_key(), new_session());
    store.open_session(&session_key.hash(&session), LIFETIME).await?;
    if let Some(old) = cookie::read(&parts.headers, SESSION) {
        store.end_session(&session_key.hash(old)).await?;
    }
    let cookie = cookie::set(SESSION, &session, LIFETIME.as_secs(), app.guard().client(parts).is_https);
    Ok((AppendHeaders([(header::SET_COOKIE, cookie)]), Redirect::to(next)).into_response())
}

/// Returns `next` if it is a path of this site, otherwise `/`. Browsers read `//host` and `/\host`
/// as other sites.
fn local(next: &str) -> &str {
    let fits = next.starts_with('/') && !next.starts_with("//") && !next.contains(['\\', '\r', '\n', '\t']);
    if fits { next } else { "/" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_returns_only_to_this_site() {
        assert_eq!(local("/jobs?state=failed"), "/jobs?state=failed");
        for bad in ["", "jobs", "//evil.example", "/\\evil.example", "https://evil.example", "/\n/evil"] {
            assert_eq!(local(bad), "/", "{bad:?}");
        }
    }
}
