//! Grants of limits that all workers share, feedback of servers, and rates set at run time.

use std::{collections::BTreeMap, time::Duration};

use chrono::Utc;

use crate::{
    LimitName, Measure, Rate, Result, WorkerId,
    store::{
        connection::Store,
        script::{Args, Fields, ReplyWords, Script, unexpected},
    },
};

/// Reply to a request for a grant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TakeReply {
    /// Mails may be sent at these times.
    Granted(Grant),
    /// No mail may be sent yet. Retry after this time.
    Wait(Duration),
    /// No mail may be sent for a longer time. The reason is `quota` for the configured quota, or
    /// why the server accepts nothing.
    Shut(Duration, String),
    /// There is no limit any more.
    Free,
}

/// Permission to send a number of mails at given times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// Number of mails.
    pub number: usize,
    /// Time from now to the first mail.
    pub first_in: Duration,
    /// Time between two mails.
    pub spacing: Duration,
    /// Time of the next mail after these (Redis's clock, microseconds); 0 without a rate.
    until_us: u64,
    /// Start of the quota's window (milliseconds); 0 without a quota.
    window_ms: i64,
}

/// Feedback of a transport's server about its capacity.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ServerFeedback<'a> {
    /// Whether the server refused a mail because mails came too fast.
    pub refused: bool,
    /// Mails per second that the server recently accepted from this worker.
    pub accepted_per_second: f64,
    /// Configured time between two mails.
    pub spacing: Option<Duration>,
    /// Pause requested by the server, and its reason.
    pub pause: Option<(Duration, &'a str)>,
    /// Time between two mails announced by the server.
    pub announced: Option<Duration>,
}

impl Grant {
    /// Returns the part of the grant that is on the quota. Unsent mails can be returned to the
    /// quota even when their time has passed.
    #[must_use]
    pub fn of_quota(&self) -> Option<Self> {
        (self.window_ms != 0).then(|| Self { until_us: 0, ..self.clone() })
    }
}

fn micros(span: Option<Duration>) -> u128 {
    span.map_or(0, |span| span.as_micros().max(1))
}

impl Store {
    /// Requests a grant for up to `want` mails. Waiting requests of a lower class number are served
    /// first.
    pub async fn take_grant(&self, limit: &LimitName, class: u8, want: usize, measure: &Measure) -> Result<TakeReply> {
        let mut args = Args::default();
        args.push(class).push(want).push(micros(measure.spacing));
        args.push(measure.quota.map_or(0, |quota| quota.number));
        for start in measure.quota.map_or([0; 4], |quota| quota.windows(Utc::now().timestamp_millis())) {
            args.push(start);
        }
        let mut reply = ReplyWords::new(self.call_at(Script::LimitTake, self.keys.limit(limit), args).await?);
        match reply.next::<String>()?.as_str() {
            "granted" => Ok(TakeReply::Granted(Grant {
                number: reply.next()?,
                first_in: Duration::from_micros(reply.next()?),
                until_us: reply.next()?,
                spacing: Duration::from_micros(reply.next()?),
                window_ms: reply.next()?,
            })),
            "wait" => Ok(TakeReply::Wait(Duration::from_millis(reply.next()?))),
            "shut" => Ok(TakeReply::Shut(Duration::from_millis(reply.next()?), reply.next()?)),
            "free" => Ok(TakeReply::Free),
            other => Err(unexpected(other)),
        }
    }

    /// Returns the last `unused` mails of a grant. If only the quota is credited, they may be any
    /// of its mails.
    pub async fn return_grant(&self, limit: &LimitName, grant: &Grant, unused: usize) -> Result<()> {
        let mut args = Args::default();
        args.push(unused).push(grant.until_us).push(grant.spacing.as_micros()).push(grant.window_ms);
        match self.call_at::<Vec<String>>(Script::LimitGiveBack, self.keys.limit(limit), args).await?.first() {
            Some(word) if word == "given" || word == "late" => Ok(()),
            other => Err(unexpected(other.map_or("", String::as_str))),
        }
    }

    /// Records a server's feedback for all workers and returns the spacing now in force.
    pub async fn report_feedback(
        &self,
        limit: &LimitName,
        worker: &WorkerId,
        feedback: &ServerFeedback<'_>,
    ) -> Result<Option<Duration>> {
        let (pause, why) = feedback.pause.map_or((None, "-"), |(pause, why)| (Some(pause), why));
        let mut args = Args::default();
        args.push(worker).push(u8::from(feedback.refused)).push(feedback.accepted_per_second);
        args.push(micros(feedback.spacing)).push(micros(pause)).push(why).push(micros(feedback.announced));
        let mut reply = ReplyWords::new(self.call_at(Script::LimitHeard, self.keys.limit(limit), args).await?);
        match reply.next::<String>()?.as_str() {
            "heard" => Ok(Some(Duration::from_micros(reply.next()?)).filter(|spacing| !spacing.is_zero())),
            other => Err(unexpected(other)),
        }
    }

    /// Whether a transport's server recently asked for a lower rate.
    pub async fn is_limited(&self, transport: &LimitName) -> Result<bool> {
        let state = format!("{}:state", self.keys.limit(transport));
        let fields = redis::cmd("HMGET").arg(state).arg(&["good_us", "told_us", "shut_until_us"]).to_owned();
        let fields: Vec<Option<String>> = self.run(&fields).await?;
        Ok(fields.iter().any(Option::is_some))
    }

    /// Returns the rates set at run time; `None` disables the configured rate.
    pub async fn live_limits(&self) -> Result<BTreeMap<LimitName, Option<Rate>>> {
        let all: Fields = self.run(redis::cmd("HGETALL").arg(self.keys.system("limits"))).await?;
        // Limits and rates written by a newer version are ignored.
        let known = |(name, rate): (String, String)| {
            let rate = if rate == "none" { None } else { Some(rate.parse().ok()?) };
            Some((name.parse().ok()?, rate))
        };
        Ok(all.into_inner().into_iter().filter_map(known).collect())
    }

    /// Sets a rate at run time, which replaces the configured one; `None` disables it.
    pub async fn set_live_limit(&self, limit: &LimitName, rate: Option<Rate>) -> Result<()> {
        let rate = rate.map_or_else(|| "none".to_owned(), |rate| rate.to_string());
        self.run(redis::cmd("HSET").arg(self.keys.system("limits")).arg(limit.to_string()).arg(rate)).await
    }

    /// Removes a rate set at run time and returns whether there was one.
    pub async fn unset_live_limit(&self, limit: &LimitName) -> Result<bool> {
        self.run(redis::cmd("HDEL").arg(self.keys.system("limits")).arg(limit.to_string())).await
    }
}
