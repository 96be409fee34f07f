//! Endpoints of the API.

use super::ledger::KeyState;
use super::{ApiFault, FakeResend, ResendState, validation};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use serde_json::{Value, json};
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// Maximum size of a request body, in bytes.
const MAX_BODY: usize = 40_000_000;

/// Response without the headers that every response has.
struct ApiResponse {
    status: u16,
    body: String,
    headers: Vec<(String, String)>,
}

/// Handles one request. An error closes the connection without a response.
pub(super) async fn answer(state: Arc<ResendState>, request: Request<Incoming>) -> io::Result<Response<Full<Bytes>>> {
    let answer = match (request.method().clone(), request.uri().path()) {
        (Method::POST, "/emails") => send(&state, request).await?,
        (Method::GET, "/domains") => domains(&state, request.headers()),
        (_, "/emails" | "/domains") => {
            ApiResponse::error(405, "method_not_allowed", "This endpoint does not support it.")
        }
        _ => ApiResponse::error(404, "not_found", "The requested endpoint does not exist."),
    };
    Ok(answer.into_response())
}

impl ApiResponse {
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

fn domains(state: &ResendState, headers: &HeaderMap) -> ApiResponse {
    if let Some(refused) = refused(headers) {
        return refused;
    }
    if state.options.sending_only {
        return ApiResponse::error(401, "restricted_api_key", "This API key is restricted to only send emails.");
    }
    ApiResponse::ok(&json!({"data": [{"id": "1", "name": "example.org", "status": "verified"}]}))
}

/// Returns the refusal of a request without `User-Agent` or a valid API key.
fn refused(headers: &HeaderMap) -> Option<ApiResponse> {
    let authorization = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !headers.contains_key(USER_AGENT) {
        return Some(ApiResponse::error(403, "forbidden", "Missing User-Agent."));
    }
    match authorization.strip_prefix("Bearer ") {
        None => Some(ApiResponse::error(401, "missing_api_key", "Missing API key in the authorization header.")),
        Some(FakeResend::API_KEY) => None,
        Some(_) => Some(ApiResponse::error(403, "invalid_api_key", "API key is invalid.")),
    }
}

async fn send(state: &Arc<ResendState>, request: Request<Incoming>) -> io::Result<ApiResponse> {
    let fault = state.faults.next();
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let key = head.headers.get("idempotency-key").and_then(|key| key.to_str().ok()).map(str::to_owned);
    let index = state.ledger.record_request(key.clone());
    let answer = match refused(&head.headers) {
        Some(refused) => refused,
        None => limited(state, key, &body, fault).await?,
    };
    state.ledger.record_status(index, answer.status);
    Ok(answer)
}

/// Applies the rate limit, and adds its headers to each response.
async fn limited(
    state: &Arc<ResendState>,
    key: Option<String>,
    body: &Bytes,
    fault: ApiFault,
) -> io::Result<ApiResponse> {
    let Some(rate) = state.options.rate else { return apply_fault(state, key, body, fault).await };
    let answer = if state.pace.allows(rate) {
        apply_fault(state, key, body, fault).await?
    } else {
        let message = format!("Too many requests. You can only make {rate} requests per second.");
        ApiResponse::error(429, "rate_limit_exceeded", &message).with("retry-after", "1")
    };
    Ok(answer.with("ratelimit-limit", &rate.to_string()).with("ratelimit-remaining", "0").with("ratelimit-reset", "1"))
}

async fn apply_fault(
    state: &Arc<ResendState>,
    key: Option<String>,
    body: &Bytes,
    fault: ApiFault,
) -> io::Result<ApiResponse> {
    match fault {
        ApiFault::None => Ok(accept(state, key, body)),
        ApiFault::Error { status, name, message, headers } => {
            let answer = ApiResponse::error(status, &name, &message);
            Ok(headers.iter().fold(answer, |answer, (name, value)| answer.with(name, value)))
        }
        ApiFault::Page(status) => Ok(ApiResponse::page(status)),
        ApiFault::AcceptThenPage(status) => {
            accept(state, key, body);
            Ok(ApiResponse::page(status))
        }
        ApiFault::Close => Err(io::Error::other("closed on purpose")),
        ApiFault::AcceptThenClose => {
            accept(state, key, body);
            Err(io::Error::other("closed on purpose"))
        }
        ApiFault::Slow(delay) => accept_slowly(Arc::clone(state), key, body, delay).await,
    }
}

/// Accepts the mail after `delay`, even if the client disconnects meanwhile.
async fn accept_slowly(
    state: Arc<ResendState>,
    key: Option<String>,
    body: &Bytes,
    delay: Duration,
) -> io::Result<ApiResponse> {
    let body: Value = serde_json::from_slice(body).map_err(io::Error::other)?;
    if let Some(key) = &key {
        state.ledger.begin_key(key, &body);
    }
    let taken = tokio::spawn(async move {
        tokio::time::sleep(delay).await;
        state.ledger.accept(key, body)
    });
    Ok(ApiResponse::ok(&json!({"id": taken.await.map_err(io::Error::other)?})))
}

/// Accepts a valid mail, once per idempotency key.
fn accept(state: &ResendState, key: Option<String>, body: &Bytes) -> ApiResponse {
    if body.len() > MAX_BODY {
        return ApiResponse::error(413, "validation_error", "The email is larger than 40 MB.");
    }
    let Ok(body) = serde_json::from_slice::<Value>(body) else {
        return ApiResponse::error(400, "validation_error", "The body is not JSON.");
    };
    if let Err((name, message)) = validation::check(&body) {
        return ApiResponse::error(422, name, &message);
    }
    let Some(key) = key else { return ApiResponse::ok(&json!({"id": state.ledger.accept(None, body)})) };
    if !(1..=256).contains(&key.len()) {
        return ApiResponse::error(400, "invalid_idempotency_key", "The key must be between 1-256 chars.");
    }
    match state.ledger.key_state(&key, &body) {
        KeyState::New => ApiResponse::ok(&json!({"id": state.ledger.accept(Some(key), body)})),
        KeyState::Accepted(id) => ApiResponse::ok(&json!({"id": id})),
        KeyState::InUse => ApiResponse::error(
            409,
            "concurrent_idempotent_requests",
            "Same idempotency key used while original request is still in progress.",
        ),
        KeyState::OtherBody => ApiResponse::error(
            409,
            "invalid_idempotent_request",
            "Same idempotency key used with a different request payload.",
        ),
    }
}
