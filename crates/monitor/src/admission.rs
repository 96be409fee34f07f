//! Admission of requests: every request passes through this middleware first.

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header, request::Parts},
    middleware::Next,
    response::{IntoResponse, Redirect, Response},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use postroom_core::Error;

use crate::{
    app::{ANSWER_LIMIT, App},
    cookie,
    guard::{AccessGuard, PasswordFrom, PasswordRefusal, SESSION, Visitor, host, proxy, site},
    handler_error::{HandlerError, is_for_programs},
    query,
};

/// Maximum length of an address that a login returns to.
const RETURN_BYTES: usize = 1_000;

/// Admits a request with its [`Visitor`], or responds with a refusal. The response carries the
/// visitor, so that errors can be rendered as pages.
pub(crate) async fn admit_request(State(app): State<App>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let (visitor, mut response) = match admit(&app, &parts).await {
        Ok(visitor) => {
            parts.extensions.insert(visitor.clone());
            (visitor, next.run(Request::from_parts(parts, body)).await)
        }
        Err(response) => (Visitor::of_session(app.guard(), ""), *response),
    };
    response.extensions_mut().insert(visitor);
    response
}

async fn admit(app: &App, parts: &Parts) -> Result<Visitor, Box<Response>> {
    let (guard, path) = (app.guard(), parts.uri.path());
    check_origin(guard, parts)?;
    check_site(parts)?;
    if path.starts_with("/static/") {
        return Ok(Visitor::of_session(guard, ""));
    }
    let is_open = path == "/login";
    match session(app, &parts.headers).await {
        Ok(Some(session)) => return Ok(Visitor::of_session(guard, &session)),
        Err(error) if !is_open => return Err(Box::new(HandlerError::from(error).into_response())),
        Ok(None) | Err(_) => {}
    }
    if is_open {
        return Ok(Visitor::of_session(guard, ""));
    }
    if is_for_programs(path) {
        return admit_program(guard, parts).await;
    }
    let address = parts.uri.path_and_query().map_or("/", |target| target.as_str());
    let may_return = parts.method == Method::GET && address.len() <= RETURN_BYTES;
    let query = query::encode(&[("next", if may_return { address } else { "/" })]);
    Err(Box::new(Redirect::to(&format!("/login{query}")).into_response()))
}

/// Returns the session of a request; empty if no password is set.
async fn session(app: &App, headers: &HeaderMap) -> Result<Option<String>, Error> {
    if !app.guard().requires_password() {
        return Ok(Some(String::new()));
    }
    let Some(session) = cookie::read(headers, SESSION).filter(|session| !session.is_empty()) else {
        return Ok(None);
    };
    let hash = app.guard().session_key().hash(session);
    let known = tokio::time::timeout(ANSWER_LIMIT, app.store()?.has_session(&hash)).await;
    let known = known.unwrap_or_else(|_| Err(Error::Away("no reply in time".to_owned())))?;
    Ok(known.then(|| session.to_owned()))
}

/// Without a password, accepts only direct requests with a loopback name. Another name may be DNS
/// rebinding, and a proxy may serve anyone.
fn check_origin(guard: &AccessGuard, parts: &Parts) -> Result<(), Box<Response>> {
    if guard.requires_password() {
        return Ok(());
    }
    if let Some(header) = proxy::proxy_header(&parts.headers) {
        let text = format!(
            "This request came through a proxy (it has the header {header}), but no password is set: set \
             MONITOR_PASSWORD to use it behind a proxy.\n"
        );
        return Err(Box::new((StatusCode::FORBIDDEN, text).into_response()));
    }
    let mut hosts = parts.headers.get_all(header::HOST).into_iter();
    let host = hosts.next().and_then(|host| host.to_str().ok()).unwrap_or_default();
    let target = parts.uri.authority().is_none_or(|target| host::is_local(target.as_str()));
    if host::is_local(host) && hosts.next().is_none() && target {
        return Ok(());
    }
    refuse(
        StatusCode::MISDIRECTED_REQUEST,
        "Without a password, this dashboard serves only the hosts localhost, 127.0.0.1 and [::1]; \
         set MONITOR_PASSWORD to use another name.\n",
    )
}

/// Refuses requests that another site initiated, by Fetch Metadata. Form tokens are a second check.
fn check_site(parts: &Parts) -> Result<(), Box<Response>> {
    if site::is_allowed(&parts.method, &parts.headers) {
        return Ok(());
    }
    refuse(StatusCode::FORBIDDEN, "Another site sent this request; nothing was changed.\n")
}

fn refuse<T>(status: StatusCode, text: &'static str) -> Result<T, Box<Response>> {
    Err(Box::new((status, text).into_response()))
}

/// Admits scrapers and scripts, which send the password with each request (HTTP Basic, any user
/// name).
async fn admit_program(guard: &AccessGuard, parts: &Parts) -> Result<Visitor, Box<Response>> {
    let Some(password) = basic_password(&parts.headers) else { return Err(Box::new(password_required())) };
    match guard.try_password(&password, PasswordFrom::Program, parts).await {
        Ok(()) => Ok(Visitor::of_session(guard, "")),
        Err(PasswordRefusal::Wrong) => Err(Box::new(password_required())),
        Err(PasswordRefusal::TooMany(wait)) => Err(Box::new(HandlerError::too_many_attempts(wait).as_json())),
    }
}

fn password_required() -> Response {
    let mut response = HandlerError::no_password().as_json();
    let challenge = HeaderValue::from_static(r#"Basic realm="Postroom", charset="UTF-8""#);
    response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    response
}

fn basic_password(headers: &HeaderMap) -> Option<String> {
    let line = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, encoded) = line.split_once(' ')?;
    let decoded = STANDARD.decode(encoded.trim()).ok().filter(|_| scheme.eq_ignore_ascii_case("basic"))?;
    let text = String::from_utf8(decoded).ok()?;
    text.split_once(':').map(|(_, password)| password.to_owned())
}
