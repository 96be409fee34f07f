//! What Resend said of a request.

use std::time::Duration;

use chrono::{DateTime, Datelike, Days, Months, NaiveTime, Utc};
use hyper::HeaderMap;
use serde::Deserialize;

use crate::http::Answer;
use crate::{Hint, Scope, Verdict, verdict::resend};

/// An answer, and what it means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) status: u16,
    pub(super) verdict: Verdict,
    /// For people.
    pub(super) words: String,
    /// Resend's id of the mail.
    pub(super) receipt: Option<String>,
    pub(super) hint: Hint,
}

/// What an answer may hold: an id, or an error.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Content {
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

impl Said {
    /// Reads the answer to a mail, whose sender is the configured one or its own.
    pub(super) fn read(answer: &Answer, is_own_sender: bool) -> Self {
        let content = serde_json::from_slice::<Content>(&answer.body).ok();
        let hint = hint(&answer.headers, content.as_ref().map_or("", |content| &content.name), Utc::now());
        let status = answer.status;
        match content {
            Some(Content { id: Some(id), .. }) if (200..300).contains(&status) => {
                let words = format!("{status}: taken as {id}");
                Self { status, verdict: Verdict::Accepted, words, receipt: Some(id), hint }
            }
            other => {
                let content = other.unwrap_or_default();
                let error = resend::Error { status, name: &content.name, message: &content.message, is_own_sender };
                Self { status, verdict: resend::judge(&error), words: words(status, &content), receipt: None, hint }
            }
        }
    }
}

/// Whether the answer to a request for the account's domains shows that its key works; in words.
pub(super) fn of_domains(answer: &Answer) -> Result<String, String> {
    let content = serde_json::from_slice::<Content>(&answer.body).unwrap_or_default();
    match (answer.status, content.name.as_str()) {
        (200, _) => Ok(format!("the key works; {}", verified(&content.data))),
        (401 | 403, "restricted_api_key") => Ok("the key works, and may do no more than send".to_owned()),
        (status, _) => Err(words(status, &content)),
    }
}

fn verified(domains: &[Domain]) -> String {
    let names = domains.iter().filter(|domain| domain.status == "verified").map(|domain| domain.name.as_str());
    match names.collect::<Vec<_>>().as_slice() {
        [] => "no domain is verified yet, so mail goes to the account's owner alone".to_owned(),
        names => format!("verified to send from: {}", names.join(", ")),
    }
}

fn words(status: u16, content: &Content) -> String {
    match (content.name.as_str(), content.message.as_str()) {
        ("", "") => format!("{status} without a word of the API"),
        (name, message) => format!("{status} {name}: {message}"),
    }
}

/// What an answer tells of how much is taken.
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

/// Quotas go by UTC.
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
