//! Transport for the provider Resend: one HTTP request for each mail.
//!
//! Every request carries an idempotency key, under which Resend accepts a mail once within 24
//! hours. A request without an answer is therefore repeated at once, and a mail with an unknown
//! result can be sent again without a duplicate.

mod addressing;
mod answer;
mod body;
mod history;

use std::time::{Duration, Instant};

use http_body_util::Full;
use hyper::{
    Method, Request,
    body::{Body, Bytes},
    header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue, USER_AGENT},
};
use postroom_core::{EmailAddress, settings::ResendSettings};
use postroom_smtp::{Commit, Redaction};
use secrecy::ExposeSecret;
use tokio::time::timeout;

use self::{
    addressing::Addressing,
    answer::ApiAnswer,
    history::{RequestHistory, RequestOutcome},
};
use super::{BadTransport, aborted, smtp};
use crate::{
    Attempt, Message,
    http::{ConnectFailure, HttpClient, HttpConnection, RequestError, USER_AGENT_VALUE},
};

/// Maximum number of requests for one attempt, and the first pause between them; each pause is
/// twice the one before.
const ROUNDS: u32 = 3;
const PAUSE: Duration = Duration::from_millis(500);

/// Time added to the time limit for each byte of the request (100 kB/s).
const PER_BYTE: Duration = Duration::from_micros(10);

/// Sends mail through one Resend account, over connections that are kept open for the next mail.
#[derive(Debug)]
pub struct ResendTransport {
    client: HttpClient,
    /// Value of the `Authorization` header; marked as sensitive, so it is not logged.
    authorization: HeaderValue,
    redaction: Redaction,
    timeout: Duration,
}

impl ResendTransport {
    /// Creates a transport. No connection is opened before the first mail.
    ///
    /// # Errors
    ///
    /// Returns an error if the CA file or the API key is invalid.
    pub fn from_settings(settings: &ResendSettings) -> Result<Self, BadTransport> {
        let tls = settings.url.secure.then(|| smtp::tls(settings.ca_file.as_deref())).transpose()?;
        let key = settings.api_key.expose_secret();
        let mut authorization = HeaderValue::from_str(&format!("Bearer {key}")).map_err(|_| BadTransport {
            field: "api_key",
            problem: "it has a character that is invalid in an HTTP header".into(),
        })?;
        authorization.set_sensitive(true);
        let (client, redaction) = (HttpClient::new(settings.url.clone(), tls), Redaction::of_key(key));
        Ok(Self { client, authorization, redaction, timeout: settings.timeout })
    }

    pub(super) async fn send(
        &self,
        message: &Message,
        to: &[EmailAddress],
        commit: impl Future<Output = Commit>,
    ) -> Attempt {
        let addressing = Addressing::of(&message.mail, to);
        let request = match self.request_for(message, &addressing) {
            Ok(request) => request,
            Err(problem) => return Attempt::invalid(to, &problem),
        };
        let connection = match self.client.checkout().await {
            Ok(connection) => connection,
            Err(failure) => return RequestHistory::of(RequestOutcome::NotSent(failure)).attempt(&addressing),
        };
        if commit.await == Commit::Abort {
            self.client.put_back(connection);
            return aborted(to);
        }
        // A mail without a sender uses the configured sender.
        let is_own_sender = message.mail.from.is_none();
        self.send_until_settled(connection, &request, is_own_sender).await.attempt(&addressing)
    }

    /// Checks the API key with a request that sends nothing, and returns a description of what
    /// worked.
    pub(super) async fn check(&self) -> Result<String, String> {
        let request = self.request(Method::GET, "/domains", Full::default()).map_err(|error| error.to_string())?;
        let connection = self.client.checkout().await.map_err(|failure| failure.to_string())?;
        match self.client.exchange(connection, request, self.timeout).await {
            Ok(answer) => answer::check_domains(&answer, &self.redaction),
            Err(failure) => Err(failure.to_string()),
        }
    }

    /// Opens a connection for the next mail if none is idle.
    pub(super) async fn warm(&self) {
        if let Ok(connection) = self.client.checkout().await {
            self.client.put_back(connection);
        }
    }

    pub(super) fn retire_old(&self) {
        self.client.retire_old();
    }

    pub(super) fn close(&self) {
        self.client.close();
    }

    fn request_for(&self, message: &Message, addressing: &Addressing<'_>) -> Result<Request<Full<Bytes>>, String> {
        let body = body::of(message, addressing).map_err(|error| error.to_string())?;
        let key = HeaderValue::from_str(&addressing.key(message)).map_err(|error| error.to_string())?;
        let mut request = self.request(Method::POST, "/emails", body.into()).map_err(|error| error.to_string())?;
        request.headers_mut().insert("idempotency-key", key);
        Ok(request)
    }

    fn request(&self, method: Method, path: &str, body: Full<Bytes>) -> hyper::http::Result<Request<Full<Bytes>>> {
        let base = self.client.base();
        Request::builder()
            .method(method)
            .uri(format!("{}{path}", base.path))
            .header(HOST, base.authority())
            .header(USER_AGENT, USER_AGENT_VALUE)
            .header(AUTHORIZATION, self.authorization.clone())
            .header(CONTENT_TYPE, "application/json")
            .body(body)
    }

    /// Sends a request and repeats it while its result is unknown, until the time limit.
    async fn send_until_settled(
        &self,
        connection: HttpConnection,
        request: &Request<Full<Bytes>>,
        is_own_sender: bool,
    ) -> RequestHistory {
        let end = Instant::now() + self.limit(request);
        let mut history =
            RequestHistory::of(self.send_once(Ok(connection), request, is_own_sender, share(end, ROUNDS)).await);
        for round in 1..ROUNDS {
            if history.is_settled() {
                break;
            }
            tokio::time::sleep(PAUSE * 2_u32.pow(round - 1)).await;
            let connection = timeout(share(end, ROUNDS - round), self.client.checkout()).await;
            let connection = connection.unwrap_or_else(|_| {
                Err(ConnectFailure { phase: "connect", problem: "no connection within the time limit".to_owned() })
            });
            history.record(self.send_once(connection, request, is_own_sender, share(end, ROUNDS - round)).await);
        }
        history
    }

    async fn send_once(
        &self,
        connection: Result<HttpConnection, ConnectFailure>,
        request: &Request<Full<Bytes>>,
        is_own_sender: bool,
        limit: Duration,
    ) -> RequestOutcome {
        let connection = match connection {
            Ok(connection) => connection,
            Err(failure) => return RequestOutcome::NotSent(failure),
        };
        match self.client.exchange(connection, request.clone(), limit).await {
            Ok(answer) => RequestOutcome::Answered(ApiAnswer::read(&answer, is_own_sender, &self.redaction)),
            Err(RequestError::NotSent(problem)) => {
                RequestOutcome::NotSent(ConnectFailure { phase: "request", problem })
            }
            Err(RequestError::Unanswered(problem)) => RequestOutcome::Unanswered(problem),
        }
    }

    fn limit(&self, request: &Request<Full<Bytes>>) -> Duration {
        let bytes = request.body().size_hint().exact().unwrap_or_default();
        self.timeout + PER_BYTE.saturating_mul(u32::try_from(bytes).unwrap_or(u32::MAX))
    }
}

/// Time limit of this request: an equal share of the time left, for this and the remaining rounds.
fn share(end: Instant, rounds: u32) -> Duration {
    (end.saturating_duration_since(Instant::now()) / rounds).max(Duration::from_millis(100))
}
