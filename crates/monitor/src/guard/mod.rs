//! Who may ask for what: every request comes through here first.

pub(crate) mod cookie;
mod headers;
mod host;
mod image;
mod log;
mod password;
mod proxy;
pub(crate) mod session;
mod site;
mod tries;
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
    visitor::{Signed, Visitor},
};
use self::{log::WrongPasswordLog, password::Password, session::Sealer, tries::Tries};
use crate::{
    app::{ANSWER_LIMIT, App},
    failure::Failure,
};

/// The cookie that holds a session.
pub(crate) const SESSION: &str = "postroom_session";
/// The longest address that a login leads back to.
const LONGEST_WANTED: usize = 1_000;

/// Judges who asks.
#[derive(Debug)]
pub(crate) struct Gate {
    password: Option<Password>,
    sealer: Sealer,
    /// Wrong passwords from the login page, and those from programs: neither slows down the other.
    by_form: Tries,
    by_program: Tries,
    log: WrongPasswordLog,
    trusted_proxies: Vec<Network>,
    /// Whether the log names the missing setting already.
    is_proxy_named: AtomicBool,
}

/// By which way a password came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PasswordFrom {
    /// The login page.
    Form,
    /// HTTP Basic.
    Program,
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
            by_form: Tries::default(),
            by_program: Tries::default(),
            log: WrongPasswordLog::default(),
            trusted_proxies: settings.trusted_proxies.clone(),
            is_proxy_named: AtomicBool::new(false),
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

    /// The client of a request, behind proxies that are trusted.
    pub(crate) fn client(&self, parts: &Parts) -> ClientInfo {
        let connection = parts.extensions.get::<ClientConnection>();
        let peer = connection.map_or(Ipv4Addr::UNSPECIFIED.into(), |connection| connection.peer().ip());
        let client = proxy::client(&self.trusted_proxies, peer, &parts.headers);
        if client.address == peer.to_canonical() {
            self.name_proxy(peer, &parts.headers);
        }
        client
    }

    /// Judges a password; a wrong one takes its time, in which the connection counts as waiting for its client.
    pub(crate) async fn try_password(&self, given: &str, by: PasswordFrom, parts: &Parts) -> Result<(), Refused> {
        let Some(password) = &self.password else { return Ok(()) };
        let from = self.client(parts).address;
        let tries = match by {
            PasswordFrom::Form => &self.by_form,
            PasswordFrom::Program => &self.by_program,
        };
        tries.take(from, Instant::now()).map_err(Refused::TooMany)?;
        if password.is(given) {
            tries.give_back(from);
            return Ok(());
        }
        self.log.note(from);
        if let Some(connection) = parts.extensions.get::<ClientConnection>() {
            connection.waits();
        }
        tokio::time::sleep(tries::DELAY).await;
        Err(Refused::Wrong)
    }

    /// The session of a request: empty where none is needed.
    async fn session(&self, app: &App, headers: &HeaderMap) -> Result<Option<String>, Error> {
        if !self.is_locked() {
            return Ok(Some(String::new()));
        }
        let Some(session) = cookie::read(headers, SESSION).filter(|session| !session.is_empty()) else {
            return Ok(None);
        };
        let hash = self.sealer.hash(session);
        let known = tokio::time::timeout(ANSWER_LIMIT, app.store()?.has_session(&hash)).await;
        let known = known.unwrap_or_else(|_| Err(Error::Away("no answer in time".to_owned())))?;
        Ok(known.then(|| session.to_owned()))
    }

    /// Logs once that clients can't be told apart.
    fn name_proxy(&self, peer: IpAddr, headers: &HeaderMap) {
        let is_proxied = headers.contains_key("x-forwarded-for") || headers.contains_key("forwarded");
        if is_proxied && !self.is_proxy_named.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "requests come through a proxy at {peer}, and all its clients count as one: if it is yours, set \
                 TRUSTED_PROXIES={peer}"
            );
        }
    }
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
    check_way(gate, parts)?;
    check_site(parts)?;
    if path.starts_with("/static/") {
        return Ok(Visitor::of_session(gate, ""));
    }
    let is_open = path == "/login";
    match gate.session(app, &parts.headers).await {
        Ok(Some(session)) => return Ok(Visitor::of_session(gate, &session)),
        Err(error) if !is_open => return Err(Box::new(Failure::from(error).respond(app, parts))),
        Ok(None) | Err(_) => {}
    }
    if is_open {
        return Ok(Visitor::of_session(gate, ""));
    }
    if path == "/metrics" || path.starts_with("/api/") {
        return admit_program(gate, parts).await;
    }
    let wanted = parts.uri.path_and_query().map_or("/", |wanted| wanted.as_str());
    let may_return = parts.method == Method::GET && wanted.len() <= LONGEST_WANTED;
    let query = crate::query::encode(&[("next", if may_return { wanted } else { "/" })]);
    Err(Box::new(Redirect::to(&format!("/login{query}")).into_response()))
}

/// Without a password only this machine is answered: by a loopback name, so that no other page can rebind its own name
/// to here, and without a proxy, behind which anybody may be.
fn check_way(gate: &Gate, parts: &Parts) -> Result<(), Box<Response>> {
    if gate.is_locked() {
        return Ok(());
    }
    if let Some(header) = proxy::trace(&parts.headers) {
        let text = format!(
            "This request came through a proxy (it has the header {header}), and this dashboard has no password: set \
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
        "This dashboard has no password, so it answers to localhost, 127.0.0.1 and [::1] only; \
         set MONITOR_PASSWORD to call it by another name.\n",
    )
}

/// The browser's own word that another site made it ask; a form's token says the same again.
fn check_site(parts: &Parts) -> Result<(), Box<Response>> {
    if site::may_ask(&parts.method, &parts.headers) {
        return Ok(());
    }
    refuse(StatusCode::FORBIDDEN, "Another site asked for this; nothing was done.\n")
}

fn refuse<T>(status: StatusCode, text: &'static str) -> Result<T, Box<Response>> {
    Err(Box::new((status, text).into_response()))
}

/// Scrapers and scripts send the password with each request (HTTP Basic, any user name).
async fn admit_program(gate: &Gate, parts: &Parts) -> Result<Visitor, Box<Response>> {
    let Some(given) = basic_password(&parts.headers) else { return Err(Box::new(ask_for_password())) };
    match gate.try_password(&given, PasswordFrom::Program, parts).await {
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
