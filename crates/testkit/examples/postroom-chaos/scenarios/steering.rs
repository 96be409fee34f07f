//! A large batch in the hands of a person.

use super::{Play, slow};
use crate::account::{Account, STATES};
use crate::crew::Crew;
use crate::load::Load;
use crate::report::Report;
use crate::site::Site;
use postroom_testkit::PrivateRedis;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a mail takes.
const MAIL: Duration = Duration::from_millis(20);
/// For so long after an act mails may still arrive: those under way.
const UNDER_WAY: Duration = Duration::from_secs(1);
/// As many mails have to arrive for the sending to be real.
const ENOUGH: usize = 20;

/// Paused, resumed and cancelled in the middle, at any size.
pub(super) async fn batch_steered(play: Play, mut report: Report) -> Report {
    let number = play.scale.pick(100_000, 3_000);
    let site = play.site(PrivateRedis::start().await, None).await;
    slow(&site, MAIL);
    let mut load = Load::new(&site);
    let (id, _) = load.bulk(number, &[]).await;
    let books = Arc::new(Books::default());
    let audit = tokio::spawn(Arc::clone(&books).audit(Arc::clone(&site), id.clone(), number));
    let crew = Crew::workers(&site, 2, 5).await;

    let steering = Steering { site: &site, id: &id, most: play.scale.seconds(0.5, 2.0) };
    steering.sending(0, &mut report).await;
    steering.act("pause", &mut report).await;
    let before = steering.silence("paused", &mut report).await;
    steering.act("resume", &mut report).await;
    steering.sending(before, &mut report).await;
    steering.act("cancel", &mut report).await;
    steering.silence("cancelled", &mut report).await;
    audit.abort();

    books.tell(&mut report);
    let account = Account::settled(&site, &load, play.scale.patience()).await;
    report.balance(&account);
    report.at_most("duplicates", 0, account.duplicates);
    report.check("some are cancelled", account.cancelled, account.cancelled > 0);
    let settled = account.sent + account.cancelled;
    report.check("each is sent or cancelled", settled, settled == number);
    play.tell_logs(&mut report, &crew);
    report
}

/// Who steers what.
struct Steering<'a> {
    site: &'a Site,
    id: &'a str,
    /// How long an act may take.
    most: Duration,
}

impl Steering<'_> {
    async fn act(&self, act: &str, report: &mut Report) {
        let start = Instant::now();
        let output = self.site.postroom(&[act, self.id]).await;
        let took = output.status.success().then(|| start.elapsed());
        report.within(&format!("postroom {act} was back"), self.most, took);
    }

    /// Mails arrive.
    async fn sending(&self, before: usize, report: &mut Report) {
        let end = Instant::now() + Duration::from_secs(30);
        while self.site.smtp.received_count() < before + ENOUGH && Instant::now() < end {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        if Instant::now() >= end {
            report.void(format!("after {before} mails no more came"));
        }
    }

    /// But for those under way none arrives; returns how many there are.
    async fn silence(&self, what: &str, report: &mut Report) -> usize {
        tokio::time::sleep(UNDER_WAY).await;
        let before = self.site.smtp.received_count();
        tokio::time::sleep(UNDER_WAY).await;
        let after = self.site.smtp.received_count();
        report.note(format!("{before} mails had arrived when it was {what}"));
        report.at_most(&format!("mails later than 1 s after it was {what}"), 0, after - before);
        after
    }
}

/// The batch's counters, looked at again and again.
#[derive(Debug, Default)]
struct Books(Mutex<(usize, Vec<String>)>);

impl Books {
    async fn audit(self: Arc<Self>, site: Arc<Site>, id: String, number: usize) {
        loop {
            if let Some(batch) = site.json_or_none(&["status", &id]).await {
                let counter = |name: &str| batch[name].as_u64().unwrap_or(0);
                let sum: u64 = STATES.iter().map(|state| counter(state)).sum();
                let (looks, wrong) = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner);
                *looks += 1;
                if sum != number as u64 || counter("total") != number as u64 {
                    wrong.push(format!("{sum} of {}: {batch}", counter("total")));
                }
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn tell(&self, report: &mut Report) {
        let (looks, wrong) = &*self.0.lock().unwrap_or_else(PoisonError::into_inner);
        report.note(format!("its counters were looked at {looks} times"));
        let first = wrong.first().cloned().unwrap_or_else(|| "each time".to_owned());
        report.check("counters add up at every look", first, wrong.is_empty() && *looks > 0);
    }
}
