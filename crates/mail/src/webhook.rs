//! Webhooks: one POST for each event, signed according to the Standard Webhooks specification.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use http_body_util::Full;
use hyper::{
    Method, Request,
    body::Bytes,
    header::{CONTENT_TYPE, HOST, USER_AGENT},
};
use postroom_core::{HttpUrl, settings::NotifySettings};
use ring::hmac;
use secrecy::ExposeSecret;
use tokio::time::timeout;

use crate::{
    http::{HttpClient, USER_AGENT_VALUE},
    tls::tls,
};

/// Time limit of one call, including connecting.
const LIMIT: Duration = Duration::from_secs(10);

/// Client that sends events to URLs, signed if a signing key is set.
#[derive(Debug)]
pub struct Webhooks {
    settings: NotifySettings,
    tls: postroom_smtp::TlsClient,
}

/// Content of one webhook call. Retries differ only in `at_s`.
#[derive(Debug, Clone, Copy)]
pub struct Webhook<'a> {
    /// Unique id of the event, by which the receiver detects duplicates.
    pub id: &'a str,
    /// Time of the call, in Unix seconds.
    pub at_s: i64,
    /// Event, as JSON.
    pub body: &'a str,
}

impl Webhooks {
    /// Creates a client. No connection is opened before the first call.
    ///
    /// # Errors
    ///
    /// Returns an error if the CA file is unusable.
    pub fn from_settings(settings: &NotifySettings) -> Result<Self, String> {
        Ok(Self { tls: tls(settings.ca_file.as_deref())?, settings: settings.clone() })
    }

    /// Sends an event to a URL. Redirects are not followed.
    ///
    /// # Errors
    ///
    /// Returns a description of the error if the call fails or the status is not 2xx. Without an
    /// answer the receiver may have processed the event.
    pub async fn post(&self, url: &HttpUrl, webhook: Webhook<'_>) -> Result<(), String> {
        let request = self.request(url, webhook).map_err(|error| error.to_string())?;
        let client = HttpClient::new(url.clone(), url.secure.then(|| self.tls.clone()));
        let call = async {
            let connection = client.checkout().await.map_err(|error| error.to_string())?;
            connection.status(request).await.map_err(|error| error.to_string())
        };
        match timeout(LIMIT, call).await.map_err(|_| format!("no answer within {LIMIT:?}"))?? {
            200..300 => Ok(()),
            status @ 300..400 => Err(format!("{status}, and redirects are not followed")),
            status => Err(format!("{status}")),
        }
    }

    fn request(&self, url: &HttpUrl, webhook: Webhook<'_>) -> hyper::http::Result<Request<Full<Bytes>>> {
        let Webhook { id, at_s, body } = webhook;
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(if url.path.is_empty() { "/" } else { &url.path })
            .header(HOST, url.authority())
            .header(USER_AGENT, USER_AGENT_VALUE)
            .header(CONTENT_TYPE, "application/json")
            .header("webhook-id", id)
            .header("webhook-timestamp", at_s);
        if let Some(signature) = self.signature(webhook) {
            request = request.header("webhook-signature", signature);
        }
        request.body(Full::from(body.to_owned()))
    }

    fn signature(&self, Webhook { id, at_s, body }: Webhook<'_>) -> Option<String> {
        let secret = self.settings.signing_key.as_ref()?;
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose_secret());
        let tag = hmac::sign(&key, format!("{id}.{at_s}.{body}").as_bytes());
        Some(format!("v1,{}", STANDARD.encode(tag)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Example of the reference libraries of the specification.
    #[test]
    fn a_webhook_is_signed_according_to_the_specification() {
        let secret = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("base64");
        let settings = NotifySettings { signing_key: Some(secret.into()), ca_file: None };
        let webhooks = Webhooks::from_settings(&settings).expect("a client");
        let webhook =
            Webhook { id: "msg_p5jXN8AQM9LWM0D4loKWxJek", at_s: 1_614_265_330, body: r#"{"test": 2432232314}"# };
        let url = "https://app.example.org?a=b".parse().expect("a URL");
        let request = webhooks.request(&url, webhook).expect("a request");
        assert_eq!(request.uri(), "/?a=b");
        assert_eq!(request.headers()["webhook-signature"], "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        let unsigned = Webhooks::from_settings(&NotifySettings::default()).expect("a client");
        assert!(!unsigned.request(&url, webhook).expect("a request").headers().contains_key("webhook-signature"));
    }
}
