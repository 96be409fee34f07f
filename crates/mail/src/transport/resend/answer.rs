//! Answer of Resend to a request.

use std::{borrow::Cow, time::Duration};

use chrono::{DateTime, Datelike, Days, Months, NaiveTime, Utc};
use hyper::HeaderMap;
use postroom_smtp::Redaction;
use serde::Deserialize;

use crate::{
    Hint, Scope,
    http::HttpResponse,
    verdict::{NotAccepted, resend},
};

/// Answer of the API and its meaning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ApiAnswer {
    pub(super) status: u16,
    /// Resend's id of the mail, which proves that it was accepted; otherwise the verdict.
    pub(super) result: Result<String, NotAccepted>,
    /// Description for people.
    pub(super) description: String,
    pub(super) hint: Hint,
}

/// Fields of an answer: an id, an error, or a list of domains.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ApiBody {
    id: Option<String>,
    name: String,
    message: String,
    data: Vec<Domain>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Domain {
    name: String,
    status: String,
}

impl ApiAnswer {
    /// Interprets the answer to a mail. `is_own_sender`: the mail is sent from the configured
    /// sender.
    pub(super) fn read(answer: &HttpResponse, is_own_sender: bool, redaction: &Redaction) -> Self {
        let (status, body) = (answer.status, ApiBody::read(answer, redaction));
        let hint = hint(&answer.headers, &body.name, Utc::now());
        match body.id.as_deref().map(str::trim) {
            Some(id) if (200..300).contains(&status) && !id.is_empty() => {
                Self { status, result: Ok(id.to_owned()), description: format!("{status}: accepted as {id}"), hint }
            }
            _ => {
                let error = resend::Error { status, name: &body.name, message: &body.message, is_own_sender };
                Self { status, result: Err(resend::judge(&error)), description: describe(status, &body), hint }
            }
        }
    }
}

impl ApiBody {
    /// Parses an answer and masks the API key in it. The result is empty if the body is not JSON of
    /// the API.
    fn read(answer: &HttpResponse, redaction: &Redaction) -> Self {
        let mut body = serde_json::from_slice::<Self>(&answer.body).unwrap_or_default();
        let texts = [&mut body.name, &mut body.message].into_iter().chain(&mut body.id);
        let texts = texts.chain(body.data.iter_mut().map(|domain| &mut domain.name));
        for text in texts {
            if let Cow::Owned(redacted) = redaction.redact(text) {
                *text = redacted;
            }
        }
        body
    }
}

/// Checks the answer to a request for the account's domains. Returns a description of what worked,
/// or of the error.
pub(super) fn check_domains(answer: &HttpResponse, redaction: &Redaction) -> Result<String, String> {
    let body = ApiBody::read(answer, redaction);
    match (answer.status, body.name.as_str()) {
        (200, _) => Ok(format!("the key works; {}", verified(&body.data))),
        (401 | 403, "restricted_api_key") => Ok("the key works; its permissions are restricted to sending".to_owned()),
        (status, _) => Err(describe(status, &body)),
    }
}

fn verified(domains: &[Domain]) -> String {
    let names = domains.iter().filter(|domain| domain.status == "verified").map(|domain| domain.name.as_str());
    match names.collect::<Vec<_>>().as_slice() {
        [] => "no domain is verified yet, so mail can be sent to the account's owner only".to_owned(),
        names => format!("verified to send from: {}", names.join(", ")),
    }
}

fn describe(status: u16, body: &ApiBody) -> String {
    match (body.name.as_str(), body.message.as_str()) {
        ("", "") => format!("{status} without an error of the API"),
        (name, message) => format!("{status} {name}: {message}"),
    }
}

/// Rate limits in the headers and the error of an answer.
fn hint(headers: &HeaderMap, name: &str, now: DateTime<Utc>) -> Hint {
    let number = |header: &str| headers.get(header)?.to_str().ok()?.trim().parse::<u32>().ok();
    let retry_after = number("retry-after").map(|seconds| Duration::from_secs(seconds.into()));
    let limit = number("ratelimit-limit").filter(|limit| *limit > 0);
    let (scope, retry_after) = match name {
        "daily_quota_exceeded" => (Scope::Quota("daily"), Some(until_tomorrow(now))),
        "monthly_quota_exceeded" => (Scope::Quota("monthly"), Some(until_next_month(now))),
        _ => (Scope::Rate, retry_after),
    };
    Hint { scope, retry_after, limit }
}

/// Time until midnight. Resend resets quotas in UTC.
fn until_tomorrow(now: DateTime<Utc>) -> Duration {
    until(now, now.date_naive().checked_add_days(Days::new(1)))
}

fn until_next_month(now: DateTime<Utc>) -> Duration {
    until(now, now.date_naive().with_day(1).and_then(|first| first.checked_add_months(Months::new(1))))
}

fn until(now: DateTime<Utc>, day: Option<chrono::NaiveDate>) -> Duration {
    let left = day.map(|day| day.and_time(NaiveTime::MIN).and_utc() - now);
    left.and_then(|left| left.to_std().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(headers: &[(&'static str, &'static str)], name: &str) -> Hint {
        let headers =
            headers.iter().map(|(name, value)| (name.parse().expect("a name"), value.parse().expect("a value")));
        hint(&headers.collect(), name, "2026-12-31T23:59:30Z".parse().expect("a time"))
    }

    fn answer(status: u16, body: &'static str) -> HttpResponse {
        HttpResponse { status, headers: HeaderMap::new(), body: body.into() }
    }

    #[test]
    fn only_an_id_with_a_success_is_an_acceptance() {
        for (status, body, is_accepted) in [
            (200, r#"{"id":"49a3999c"}"#, true),
            (202, r#"{"id":"49a3999c"}"#, true),
            (200, r#"{"id":""}"#, false),
            (200, r#"{"id":" "}"#, false),
            (200, r#"{"id":null}"#, false),
            (200, "{}", false),
            (204, "", false),
            (200, "<html>49a3999c</html>", false),
            (302, r#"{"id":"49a3999c"}"#, false),
            (422, r#"{"id":"49a3999c"}"#, false),
            (500, r#"{"id":"49a3999c"}"#, false),
        ] {
            let answer = ApiAnswer::read(&answer(status, body), false, &Redaction::default());
            assert_eq!(answer.result.ok().as_deref(), is_accepted.then_some("49a3999c"), "{status} {body}");
        }
    }

    #[test]
    fn a_key_that_is_echoed_is_masked() {
        let redaction = Redaction::of_key("re_0123456789");
        for body in [
            r#"{"name":"re_0123456789","message":"no"}"#,
            r#"{"name":"a","message":"the key re_0123456789 is unknown"}"#,
            r#"{"name":"a","message":"the key re_\u00301234\u00356789 is unknown"}"#,
            r#"{"id":"re_0123456789"}"#,
            r#"{"data":[{"name":"re_0123456789","status":"verified"}]}"#,
        ] {
            for status in [200, 401] {
                let answer = answer(status, body);
                let shown = format!(
                    "{:?} {:?}",
                    ApiAnswer::read(&answer, false, &redaction),
                    check_domains(&answer, &redaction)
                );
                assert!(!shown.contains("0123456789"), "{status} {body}: {shown}");
            }
        }
    }

    #[test]
    fn headers_are_hints() {
        let seconds = |n| Some(Duration::from_secs(n));
        let rate = Hint { limit: Some(2), retry_after: seconds(3), scope: Scope::Rate };
        assert_eq!(of(&[("ratelimit-limit", "2"), ("retry-after", "3")], "rate_limit_exceeded"), rate);
        assert_eq!(of(&[("ratelimit-limit", "2")], "").limit, Some(2));
        assert_eq!(of(&[("ratelimit-limit", "0"), ("retry-after", "soon")], ""), Hint::default());
        let daily = of(&[("retry-after", "3")], "daily_quota_exceeded");
        assert_eq!((daily.scope, daily.retry_after), (Scope::Quota("daily"), seconds(30)));
        let monthly = of(&[], "monthly_quota_exceeded");
        assert_eq!((monthly.scope, monthly.retry_after), (Scope::Quota("monthly"), seconds(30)));
        let earlier =
            hint(&HeaderMap::new(), "monthly_quota_exceeded", "2026-02-28T00:00:00Z".parse().expect("a time"));
        assert_eq!(earlier.retry_after, seconds(86_400));
    }
}
