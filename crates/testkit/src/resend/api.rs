//! The API itself.

use super::ledger::Known;
use super::{FakeResend, Shared, Trouble, shape};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use serde_json::{Value, json};
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// The largest body.
const LARGEST: usize = 40_000_000;

/// What is answered before headers are added.
struct Answer {
    status: u16,
    body: String,
    headers: Vec<(String, String)>,
}

/// An error closes the connection without an answer.
pub(super) async fn answer(shared: Arc<Shared>, request: Request<Incoming>) -> io::Result<Response<Full<Bytes>>> {
    let answer = match (request.method().clone(), request.uri().path()) {
        (Method::POST, "/emails") => send(&shared, request).await?,
        (Method::GET, "/domains") => domains(&shared, request.headers()),
        (_, "/emails" | "/domains") => Answer::error(405, "method_not_allowed", "This endpoint does not support it."),
        _ => Answer::error(404, "not_found", "The requested endpoint does not exist."),
    };
    Ok(answer.into_response())
}

impl Answer {
    fn ok(body: &Value) -> Self {
        Self { status: 200, body: body.to_string(), headers: Vec::new() }
    }

    fn error(status: u16, name: &str, message: &str) -> Self {
        let body = json!({"statusCode": status, "name": name, "message": message}).to_string();
        Self { status, body, headers: Vec::new() }
    }

    fn page(status: u16) -> Self {
        Self { status, body: "<html>Bad gateway</html>".to_owned(), headers: Vec::new() }
    }

    fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    fn into_response(self) -> Response<Full<Bytes>> {
        let status = StatusCode::from_u16(self.status).expect("a status");
        let mut response = Response::builder().status(status).header(CONTENT_TYPE, "application/json");
        for (name, value) in self.headers {
            response = response.header(name, value);
        }
        response.body(Full::new(self.body.into())).expect("a response")
    }
}

fn domains(shared: &Shared, headers: &HeaderMap) -> Answer {
    if let Some(refused) = refused(headers) {
        return refused;
    }
    if shared.options.sending_only {
        return Answer::error(401, "restricted_api_key", "This API key is restricted to only send emails.");
    }
    Answer::ok(&json!({"data": [{"id": "1", "name": "example.org", "status": "verified"}]}))
}

/// Who does not say who they are.
fn refused(headers: &HeaderMap) -> Option<Answer> {
    let told = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !headers.contains_key(USER_AGENT) {
        return Some(Answer::error(403, "forbidden", "Missing User-Agent."));
    }
    match told.strip_prefix("Bearer ") {
        None => Some(Answer::error(401, "missing_api_key", "Missing API key in the authorization header.")),
        Some(FakeResend::API_KEY) => None,
        Some(_) => Some(Answer::error(403, "invalid_api_key", "API key is invalid.")),
    }
}

async fn send(shared: &Arc<Shared>, request: Request<Incoming>) -> io::Result<Answer> {
    let trouble = shared.troubles.next();
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let key = head.headers.get("idempotency-key").and_then(|key| key.to_str().ok()).map(str::to_owned);
    let place = shared.ledger.ask(key.clone());
    let answer = match refused(&head.headers) {
        Some(refused) => refused,
        None => limited(shared, key, &body, trouble).await?,
    };
    shared.ledger.answered(place, answer.status);
    Ok(answer)
}

/// Every answer tells the limit.
async fn limited(shared: &Arc<Shared>, key: Option<String>, body: &Bytes, trouble: Trouble) -> io::Result<Answer> {
    let Some(rate) = shared.options.rate else { return troubled(shared, key, body, trouble).await };
    let answer = if shared.pace.allows(rate) {
        troubled(shared, key, body, trouble).await?
    } else {
        let message = format!("Too many requests. You can only make {rate} requests per second.");
        Answer::error(429, "rate_limit_exceeded", &message).with("retry-after", "1")
    };
    Ok(answer.with("ratelimit-limit", &rate.to_string()).with("ratelimit-remaining", "0").with("ratelimit-reset", "1"))
}

async fn troubled(shared: &Arc<Shared>, key: Option<String>, body: &Bytes, trouble: Trouble) -> io::Result<Answer> {
    match trouble {
        Trouble::None => Ok(take(shared, key, body)),
        Trouble::Answer { status, name, message, headers } => {
            let answer = Answer::error(status, &name, &message);
            Ok(headers.iter().fold(answer, |answer, (name, value)| answer.with(name, value)))
        }
        Trouble::Page(status) => Ok(Answer::page(status)),
        Trouble::KeepThenPage(status) => {
            take(shared, key, body);
            Ok(Answer::page(status))
        }
        Trouble::Cut => Err(io::Error::other("cut")),
        Trouble::KeepThenCut => {
            take(shared, key, body);
            Err(io::Error::other("cut"))
        }
        Trouble::Slow(delay) => take_slowly(Arc::clone(shared), key, body, delay).await,
    }
}

/// The client may leave meanwhile; what it asked for goes on.
async fn take_slowly(shared: Arc<Shared>, key: Option<String>, body: &Bytes, delay: Duration) -> io::Result<Answer> {
    let body: Value = serde_json::from_slice(body).map_err(io::Error::other)?;
    if let Some(key) = &key {
        shared.ledger.begin(key, &body);
    }
    let taken = tokio::spawn(async move {
        tokio::time::sleep(delay).await;
        shared.ledger.take(key, body)
    });
    Ok(Answer::ok(&json!({"id": taken.await.map_err(io::Error::other)?})))
}

/// Takes the mail if everything about it is right, once for each key.
fn take(shared: &Shared, key: Option<String>, body: &Bytes) -> Answer {
    if body.len() > LARGEST {
        return Answer::error(413, "validation_error", "The email is larger than 40 MB.");
    }
    let Ok(body) = serde_json::from_slice::<Value>(body) else {
        return Answer::error(400, "validation_error", "The body is not JSON.");
    };
    if let Err((name, message)) = shape::check(&body) {
        return Answer::error(422, name, &message);
    }
    let Some(key) = key else { return Answer::ok(&json!({"id": shared.ledger.take(None, body)})) };
    if !(1..=256).contains(&key.len()) {
        return Answer::error(400, "invalid_idempotency_key", "The key must be between 1-256 chars.");
    }
    match shared.ledger.known(&key, &body) {
        Known::New => Answer::ok(&json!({"id": shared.ledger.take(Some(key), body)})),
        Known::Answered(id) => Answer::ok(&json!({"id": id})),
        Known::InUse => Answer::error(
            409,
            "concurrent_idempotent_requests",
            "Same idempotency key used while original request is still in progress.",
        ),
        Known::Other => Answer::error(
            409,
            "invalid_idempotent_request",
            "Same idempotency key used with a different request payload.",
        ),
    }
}
