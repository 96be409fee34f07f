//! Who may ask for what: every request comes through here first.

pub(crate) mod cookie;
mod headers;
mod host;
mod password;
pub(crate) mod session;
mod tries;
mod visitor;

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

use axum::{
    extract::{ConnectInfo, Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header, request::Parts},
    middleware::Next,
    response::{IntoResponse, Redirect, Response},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use postroom_core::Settings;

pub(crate) use self::{
    headers::add_headers,
    visitor::{Signed, Visitor},
};
use self::{password::Password, session::Sealer, tries::Tries};
use crate::{app::App, failure::Failure};

/// The cookie that holds a session.
pub(crate) const SESSION: &str = "postroom_session";

/// Judges who asks.
#[derive(Debug)]
pub(crate) struct Gate {
    password: Option<Password>,
    sealer: Sealer,
    tries: Tries,
    /// Where only the names of this machine may be called, and the address it listens on.
    local_only: Option<IpAddr>,
}

/// Why a password was not taken.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    Wrong,
    TooMany(Duration),
}

impl Gate {
    pub(crate) fn new(settings: &Settings) -> Self {
        let password = settings.monitor_password.as_ref();
        Self {
            sealer: Sealer::new(password),
            tries: Tries::new(),
            // With a password, a rebound name has no session; and a proxy on this machine may call us by its own name.
            local_only: (password.is_none() && settings.bind.is_loopback()).then_some(settings.bind),
            password: password.map(Password::new),
        }
    }

    /// Whether there is a password.
    pub(crate) fn is_locked(&self) -> bool {
        self.password.is_some()
    }

    pub(crate) fn sealer(&self) -> &Sealer {
        &self.sealer
    }

    /// Judges a password that somebody said; a wrong one takes its time.
    pub(crate) async fn try_password(&self, said: &str, from: IpAddr) -> Result<(), Refused> {
        let Some(password) = &self.password else { return Ok(()) };
        self.tries.take(from, Instant::now()).map_err(Refused::TooMany)?;
        if password.is(said) {
            self.tries.give_back(from);
            return Ok(());
        }
        tracing::warn!(%from, "a wrong password was said");
        tokio::time::sleep(tries::DELAY).await;
        Err(Refused::Wrong)
    }

    /// The session of a request: empty where none is needed.
    fn session(&self, headers: &HeaderMap) -> Option<String> {
        if !self.is_locked() {
            return Some(String::new());
        }
        let session = cookie::read(headers, SESSION)?;
        self.sealer.is_session(session, now_s()).then(|| session.to_owned())
    }
}

/// Seconds since 1970.
pub(crate) fn now_s() -> u64 {
    u64::try_from(chrono::Utc::now().timestamp()).unwrap_or(0)
}

/// Lets a request through, with its [`Visitor`], or answers it.
pub(crate) async fn watch(State(app): State<App>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    match admit(&app, &parts).await {
        Ok(visitor) => {
            parts.extensions.insert(visitor);
            next.run(Request::from_parts(parts, body)).await
        }
        Err(answer) => *answer,
    }
}

async fn admit(app: &App, parts: &Parts) -> Result<Visitor, Box<Response>> {
    let (gate, path) = (app.gate(), parts.uri.path());
    check_host(gate, parts)?;
    check_site(parts)?;
    if let Some(session) = gate.session(&parts.headers) {
        return Ok(Visitor::of_session(gate, &session));
    }
    if path == "/login" || path.starts_with("/static/") {
        return Ok(Visitor::of_session(gate, ""));
    }
    if path == "/metrics" || path.starts_with("/api/") {
        return admit_program(gate, parts).await;
    }
    let wanted = parts.uri.path_and_query().map_or("/", |wanted| wanted.as_str());
    let next = if parts.method == Method::GET { wanted } else { "/" };
    let query = crate::query::encode(&[("next", next)]);
    Err(Box::new(Redirect::to(&format!("/login{query}")).into_response()))
}

fn check_host(gate: &Gate, parts: &Parts) -> Result<(), Box<Response>> {
    let Some(bound) = gate.local_only else { return Ok(()) };
    let host = parts.headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    if host::is_local(host, bound) {
        return Ok(());
    }
    refuse(
        StatusCode::MISDIRECTED_REQUEST,
        "This dashboard has no password, so it answers to localhost, 127.0.0.1 and [::1] only; \
         set MONITOR_PASSWORD to call it by another name.\n",
    )
}

/// The browser's own word that another site made it ask; a form's token says the same again.
fn check_site(parts: &Parts) -> Result<(), Box<Response>> {
    let site = parts.headers.get("sec-fetch-site").and_then(|site| site.to_str().ok()).unwrap_or("none");
    if parts.method.is_safe() || matches!(site, "none" | "same-origin") {
        return Ok(());
    }
    refuse(StatusCode::FORBIDDEN, "Another site asked for this; nothing was done.\n")
}

fn refuse<T>(status: StatusCode, text: &'static str) -> Result<T, Box<Response>> {
    Err(Box::new((status, text).into_response()))
}

/// Scrapers and scripts say the password with each request (HTTP Basic, any user name).
async fn admit_program(gate: &Gate, parts: &Parts) -> Result<Visitor, Box<Response>> {
    let Some(said) = basic_password(&parts.headers) else { return Err(Box::new(ask_for_password())) };
    match gate.try_password(&said, peer(parts)).await {
        Ok(()) => Ok(Visitor::of_session(gate, "")),
        Err(Refused::Wrong) => Err(Box::new(ask_for_password())),
        Err(Refused::TooMany(wait)) => Err(Box::new(Failure::too_many_tries(wait).as_json())),
    }
}

fn ask_for_password() -> Response {
    let mut response = Failure::no_password().as_json();
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

/// Where a request comes from.
pub(crate) fn peer(parts: &Parts) -> IpAddr {
    let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
    peer.map_or(Ipv4Addr::UNSPECIFIED.into(), |ConnectInfo(address)| address.ip())
}

/// Whether the browser's way to here is encrypted, as a proxy tells.
pub(crate) fn is_https(headers: &HeaderMap) -> bool {
    headers.get("x-forwarded-proto").is_some_and(|proto| proto == "https")
}
