//! Content made to use endless time or memory: other mail is sent, and the worker stops on request.

use std::{
    fs,
    time::{Duration, Instant},
};

use postroom_core::{JobId, JobState, Mail, Policy, Priority, store::JobTerms};
use postroom_testkit::eventually;
use serde_json::{Value, json};

use crate::fixture::{Fixture, LIMIT, mail_to, terms};

const ROUNDS: usize = 3;
/// Four nested loops over a thousand numbers each: days of work.
const ENDLESS: &str = "{% for a in xs %}{% for b in xs %}{% for c in xs %}{% for d in xs %}{% if d in xs %}{% endif %}\
    {% endfor %}{% endfor %}{% endfor %}{% endfor %}";

fn template(fixture: &Fixture, name: &str, html: &str) {
    let folder = fixture.folder().join("templates").join(name);
    fs::create_dir_all(&folder).expect("a folder");
    fs::write(folder.join("subject.txt"), name).expect("written");
    fs::write(folder.join("body.html"), html).expect("written");
}

fn mail(value: Value) -> Mail {
    serde_json::from_value(value).expect("a mail")
}

fn of_template(name: &str) -> Mail {
    let numbers: Vec<usize> = (0..1_000).collect();
    mail(json!({"to": "hostile@example.org", "template": name, "vars": {"xs": numbers, "text": "a".repeat(100_000)}}))
}

fn of_html(html: &str) -> Mail {
    mail(json!({"to": "hostile@example.org", "subject": "s", "html": html}))
}

/// Returns the mails with the expected error of each; empty if the mail is sent.
fn hostile(fixture: &Fixture) -> Vec<(Mail, &'static str)> {
    let templates = [
        ("endless", ENDLESS, "it takes more than 5 s|its loops have more than 1000000 turns"),
        ("endless-too", ENDLESS, "it takes more than 5 s|its loops have more than 1000000 turns"),
        ("loud", "{% for x in xs %}{{ text }}{% endfor %}", "its output has more than 32 MB|it takes more than 5 s"),
        (
            "grown",
            "{% set_global x = text %}{% for a in xs %}{% set_global x = x ~ x %}{% endfor %}",
            "the variables that it sets have more than",
        ),
        ("amplified", "{{ text | replace(from='a', to=text) }}", "may have values of at most"),
    ];
    let of_template = |(name, html, problem): (&'static str, &str, &'static str)| {
        template(fixture, name, html);
        (of_template(name), problem)
    };
    let nested = |open: &str, close: &str| format!("{}x{}", open.repeat(40_000), close.repeat(40_000));
    let html = [nested("<div>", "</div>"), nested("<dl><dt>x<dd>", "</dd></dl>"), "<li>item".repeat(30_000)];
    templates.into_iter().map(of_template).chain(html.map(|html| (of_html(&html), ""))).collect()
}

async fn finished(fixture: &Fixture, jobs: &[(JobId, &str)]) -> usize {
    let mut finished = 0;
    for (id, _) in jobs {
        finished += usize::from(fixture.job(id).await.state.is_finished());
    }
    finished
}

fn urgent() -> JobTerms {
    JobTerms { priority: Priority::try_from(0).expect("the most urgent"), ..terms() }
}

/// Short, so that a lease that is not renewed during rendering is noticed.
fn with_short_leases() -> JobTerms {
    JobTerms { policy: Policy { lease: Duration::from_secs(5), ..Policy::of_queue("emails") }, ..terms() }
}

#[tokio::test]
async fn urgent_mail_is_sent_beside_hostile_mail_and_each_job_ends_with_a_reason() {
    let fixture = Fixture::new().await;
    // So few that hostile mail holds all of them unless it releases them during rendering.
    fixture.configure(&[("default", &fixture.smtp, "connections = 2")], "");
    let hostile = hostile(&fixture);
    let worker = fixture.worker(&[]).await;
    let mut jobs: Vec<(JobId, &str)> = Vec::new();
    let endless: Vec<(Mail, &str)> = (0..6).map(|_| (of_template("endless"), hostile[0].1)).collect();
    for (mail, problem) in endless.into_iter().chain(hostile) {
        jobs.push((fixture.enqueue_on(&with_short_leases(), mail).await, problem));
    }
    let (first, _) = &jobs[0];
    fixture.reaches(first, JobState::Sending).await;
    let mut waited = 0;
    for number in 0..ROUNDS {
        let before = finished(&fixture, &jobs).await;
        let to = format!("urgent{number}@example.org");
        fixture.enqueue_on(&urgent(), mail_to(&to)).await;
        eventually(LIMIT, "urgent mail is sent", async || fixture.arrived().contains(&to).then_some(())).await;
        waited += usize::from(finished(&fixture, &jobs).await > before);
    }
    // A single slow one may be caused by the machine.
    assert!(waited < ROUNDS, "each urgent mail waited for a hostile one");
    for (id, problem) in &jobs {
        let state = if problem.is_empty() { JobState::Sent } else { JobState::Failed };
        let report = eventually(2 * LIMIT, &format!("{problem} is {state}"), async || {
            Some(fixture.job(id).await).filter(|job| job.state.is_finished())
        })
        .await;
        let error = report.error.map(|error| error.message).unwrap_or_default();
        let is_expected = problem.split('|').any(|problem| error.contains(problem));
        assert!(report.state == state && is_expected, "{problem}: {:?} {error}\n{}", report.state, worker.stderr());
    }
    let log = worker.stderr();
    assert!(!log.contains("of lost workers") && !log.contains("no longer this worker's"), "{log}");
}

#[tokio::test]
async fn a_worker_stops_in_time_while_endless_mail_is_rendered() {
    let mut fixture = Fixture::new().await;
    fixture.env.push(("SHUTDOWN_TIMEOUT".to_owned(), "1s".to_owned()));
    template(&fixture, "endless", ENDLESS);
    let mut worker = fixture.worker(&[]).await;
    let mut ids = Vec::new();
    for _ in 0..8 {
        ids.push(fixture.enqueue(of_template("endless")).await);
    }
    for id in &ids {
        fixture.reaches(id, JobState::Sending).await;
    }
    worker.terminate();
    let start = Instant::now();
    assert_eq!(worker.wait(LIMIT).await.code(), Some(0), "{}", worker.stderr());
    assert!(
        start.elapsed() < Duration::from_secs(30),
        "the worker waited for 8 renderings of 5 s: {:?}",
        start.elapsed()
    );
    let mut waiting = 0;
    for id in &ids {
        let report = fixture.job(id).await;
        assert!([JobState::Queued, JobState::Failed].contains(&report.state), "{:?}\n{}", report, worker.stderr());
        waiting += usize::from(report.state == JobState::Queued);
    }
    assert!(waiting > 0, "no job was handed back\n{}", worker.stderr());
}
