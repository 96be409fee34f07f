//! Access control: every request passes through this module first.

pub(crate) mod cookie;
mod headers;
mod host;
mod image;
mod log;
mod password;
mod password_limiter;
mod proxy;
pub(crate) mod session;
mod site;
mod visitor;

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header, request::Parts},
    middleware::Next,
    response::{IntoResponse, Redirect, Response},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use postroom_core::{Error, Settings, listener::ClientConnection, settings::Network};

pub(crate) use self::{
    headers::{add_headers, set_headers},
    image::ImageProof,
    proxy::ClientInfo,
    visitor::{SignedForm, Visitor},
};
use self::{log::WrongPasswordLog, password::Password, password_limiter::PasswordLimiter, session::SessionKey};
use crate::{
    app::{ANSWER_LIMIT, App},
    request_error::RequestError,
};

/// Name of the session cookie.
pub(crate) const SESSION: &str = "postroom_session";
/// Maximum length of an address that a login returns to.
const RETURN_BYTES: usize = 1_000;

/// Access control of the dashboard.
#[derive(Debug)]
pub(crate) struct AccessGuard {
    password: Option<Password>,
    session_key: SessionKey,
    /// Limiters of the login page and of programs, separate so that neither slows down the other.
    by_form: PasswordLimiter,
    by_program: PasswordLimiter,
    log: WrongPasswordLog,
    trusted_proxies: Vec<Network>,
    /// Whether the log has named the missing setting.
    is_proxy_logged: AtomicBool,
}

/// Source of a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PasswordFrom {
    /// The login page.
    Form,
    /// HTTP Basic.
    Program,
}

/// Reason for refusing a password.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum PasswordRefusal {
    Wrong,
    TooMany(Duration),
}

impl AccessGuard {
    pub(crate) fn new(settings: &Settings) -> Self {
        let password = settings.monitor_password.as_ref();
        Self {
            session_key: SessionKey::new(password),
            by_form: PasswordLimiter::default(),
            by_program: PasswordLimiter::default(),
            log: WrongPasswordLog::default(),
            trusted_proxies: settings.trusted_proxies.clone(),
            is_proxy_logged: AtomicBool::new(false),
            password: password.map(Password::new),
        }
    }

    /// Whether a password is set.
    pub(crate) fn requires_password(&self) -> bool {
        self.password.is_some()
    }

    pub(crate) fn session_key(&self) -> &SessionKey {
        &self.session_key
    }

    /// Returns the client of a request, considering trusted proxies.
    pub(crate) fn client(&self, parts: &Parts) -> ClientInfo {
        let connection = parts.extensions.get::<ClientConnection>();
        let peer = connection.map_or(Ipv4Addr::UNSPECIFIED.into(), |connection| connection.peer().ip());
        let client = proxy::client(&self.trusted_proxies, peer, &parts.headers);
        if client.address == peer.to_canonical() {
            self.log_proxy(peer, &parts.headers);
        }
        client
    }

    /// Checks a password. A wrong one causes a delay, during which the connection counts as waiting
    /// for its client.
    pub(crate) async fn try_password(
        &self,
        text: &str,
        by: PasswordFrom,
        parts: &Parts,
    ) -> Result<(), PasswordRefusal> {
        let Some(password) = &self.password else { return Ok(()) };
        let from = self.client(parts).address;
        let limiter = match by {
            PasswordFrom::Form => &self.by_form,
            PasswordFrom::Program => &self.by_program,
        };
        limiter.take(from, Instant::now()).map_err(PasswordRefusal::TooMany)?;
        if password.is(text) {
            limiter.refund(from);
            return Ok(());
        }
        self.log.note(from);
        if let Some(connection) = parts.extensions.get::<ClientConnection>() {
            connection.waits();
        }
        tokio::time::sleep(password_limiter::DELAY).await;
        Err(PasswordRefusal::Wrong)
    }

    /// Returns the session of a request; empty if no password is set.
    async fn session(&self, app: &App, headers: &HeaderMap) -> Result<Option<String>, Error> {
        if !self.requires_password() {
            return Ok(Some(String::new()));
        }
        let Some(session) = cookie::read(headers, SESSION).filter(|session| !session.is_empty()) else {
            return Ok(None);
        };
        let hash = self.session_key.hash(session);
        let known = tokio::time::timeout(ANSWER_LIMIT, app.store()?.has_session(&hash)).await;
        let known = known.unwrap_or_else(|_| Err(Error::Away("no answer in time".to_owned())))?;
        Ok(known.then(|| session.to_owned()))
    }

    /// Logs once that all clients of a proxy count as one.
    fn log_proxy(&self, peer: IpAddr, headers: &HeaderMap) {
        let is_proxied = headers.contains_key("x-forwarded-for") || headers.contains_key("forwarded");
        if is_proxied && !self.is_proxy_logged.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "requests come through a proxy at {peer}, and all its clients count as one: to trust it, set \
                 TRUSTED_PROXIES={peer}"
            );
        }
    }
}

/// Admits a request with its [`Visitor`], or returns an error response.
pub(crate) async fn watch(State(app): State<App>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    match admit(&app, &parts).await {
        Ok(visitor) => {
            parts.extensions.insert(visitor);
            next.run(Request::from_parts(parts, body)).await
        }
        Err(response) => *response,
    }
}

async fn admit(app: &App, parts: &Parts) -> Result<Visitor, Box<Response>> {
    let (guard, path) = (app.guard(), parts.uri.path());
    check_origin(guard, parts)?;
    check_site(parts)?;
    if path.starts_with("/static/") {
        return Ok(Visitor::of_session(guard, ""));
    }
    let is_open = path == "/login";
    match guard.session(app, &parts.headers).await {
        Ok(Some(session)) => return Ok(Visitor::of_session(guard, &session)),
        Err(error) if !is_open => return Err(Box::new(RequestError::from(error).respond(app, parts))),
        Ok(None) | Err(_) => {}
    }
    if is_open {
        return Ok(Visitor::of_session(guard, ""));
    }
    if path == "/metrics" || path.starts_with("/api/") {
        return admit_program(guard, parts).await;
    }
    let address = parts.uri.path_and_query().map_or("/", |target| target.as_str());
    let may_return = parts.method == Method::GET && address.len() <= RETURN_BYTES;
    let query = crate::query::encode(&[("next", if may_return { address } else { "/" })]);
    Err(Box::new(Redirect::to(&format!("/login{query}")).into_response()))
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
        Err(PasswordRefusal::TooMany(wait)) => Err(Box::new(RequestError::too_many_attempts(wait).as_json())),
    }
}

fn password_required() -> Response {
    let mut response = RequestError::no_password().as_json();
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
