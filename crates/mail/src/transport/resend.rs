//! Mail through the provider Resend, one request a mail.
//!
//! Every request carries a key under which Resend takes it once within 24 hours, however often it comes. So a request that
//! left and was not answered is said again at once, and a mail that was in doubt is not doubled by being sent again.

mod addressing;
mod body;
mod said;
mod story;

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
    said::Said,
    story::{Heard, Story},
};
use super::{BadTransport, aborted, smtp};
use crate::{
    Attempt, Message,
    http::{HttpClient, Line, NoAnswer, NoLine, OURSELVES},
};

/// A request that is in doubt is said so often at most, after pauses of which each is twice the one before.
const ROUNDS: u32 = 3;
const PAUSE: Duration = Duration::from_millis(500);

/// What is added to the time limit for each byte: 100 kB a second.
const PER_BYTE: Duration = Duration::from_micros(10);

/// Sends through one account, over connections that are kept for the next mail.
#[derive(Debug)]
pub struct ResendTransport {
    client: HttpClient,
    /// Marked as a secret, so it is not shown.
    authorization: HeaderValue,
    redaction: Redaction,
    timeout: Duration,
}

impl ResendTransport {
    /// Nothing is connected before the first mail.
    pub fn from_settings(settings: &ResendSettings) -> Result<Self, BadTransport> {
        let tls = settings.url.secure.then(|| smtp::tls(settings.ca_file.as_deref())).transpose()?;
        let key = settings.api_key.expose_secret();
        let mut authorization = HeaderValue::from_str(&format!("Bearer {key}"))
            .map_err(|_| BadTransport { field: "api_key", problem: "it holds a character that no key has".into() })?;
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
        let line = match self.client.checkout().await {
            Ok(line) => line,
            Err(none) => return Story::of(Heard::NoLine(none)).attempt(&addressing),
        };
        if commit.await == Commit::Abort {
            self.client.put_back(line);
            return aborted(to);
        }
        // Where the mail names no sender, it is the configured one.
        let is_own_sender = message.mail.from.is_none();
        self.tell(line, &request, is_own_sender).await.attempt(&addressing)
    }

    /// Whether the key is taken, with a request that sends nothing; says in words what worked.
    pub(super) async fn check(&self) -> Result<String, String> {
        let request = self.request(Method::GET, "/domains", Full::default()).map_err(|error| error.to_string())?;
        let line = self.client.checkout().await.map_err(|none| none.to_string())?;
        match self.client.exchange(line, request, self.timeout).await {
            Ok(answer) => said::of_domains(&answer, &self.redaction),
            Err(none) => Err(none.to_string()),
        }
    }

    /// Makes sure that a connection is there for the next mail.
    pub(super) async fn warm(&self) {
        if let Ok(line) = self.client.checkout().await {
            self.client.put_back(line);
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
            .header(USER_AGENT, OURSELVES)
            .header(AUTHORIZATION, self.authorization.clone())
            .header(CONTENT_TYPE, "application/json")
            .body(body)
    }

    /// Says a request, and says it again while it is in doubt, until the time is up.
    async fn tell(&self, line: Line, request: &Request<Full<Bytes>>, is_own_sender: bool) -> Story {
        let end = Instant::now() + self.limit(request);
        let mut story = Story::of(self.say(Ok(line), request, is_own_sender, share(end, ROUNDS)).await);
        for round in 1..ROUNDS {
            if story.is_at_its_end() {
                break;
            }
            tokio::time::sleep(PAUSE * 2_u32.pow(round - 1)).await;
            let line = timeout(share(end, ROUNDS - round), self.client.checkout()).await;
            let line = line.unwrap_or_else(|_| Err(NoLine { phase: "connect", words: "not in time".to_owned() }));
            story.goes_on(self.say(line, request, is_own_sender, share(end, ROUNDS - round)).await);
        }
        story
    }

    async fn say(
        &self,
        line: Result<Line, NoLine>,
        request: &Request<Full<Bytes>>,
        is_own_sender: bool,
        limit: Duration,
    ) -> Heard {
        let line = match line {
            Ok(line) => line,
            Err(none) => return Heard::NoLine(none),
        };
        match self.client.exchange(line, request.clone(), limit).await {
            Ok(answer) => Heard::Said(Said::read(&answer, is_own_sender, &self.redaction)),
            Err(NoAnswer::NotSent(words)) => Heard::NoLine(NoLine { phase: "request", words }),
            Err(NoAnswer::Unanswered(words)) => Heard::Nothing(words),
        }
    }

    fn limit(&self, request: &Request<Full<Bytes>>) -> Duration {
        let bytes = request.body().size_hint().exact().unwrap_or_default();
        self.timeout + PER_BYTE.saturating_mul(u32::try_from(bytes).unwrap_or(u32::MAX))
    }
}

/// The time of this round, when so many are left that share what there is.
fn share(end: Instant, rounds: u32) -> Duration {
    (end.saturating_duration_since(Instant::now()) / rounds).max(Duration::from_millis(100))
}
