//! Content of the pages.

use std::time::Duration;

use postroom_core::{
    QueueName, Settings,
    settings::Sources,
    store::{Alert, Due, JobTerms, Outcome, ProcessInfo, ProcessKind, TransportReport, TransportState},
};
use postroom_testkit::PrivateRedis;
use serde_json::json;

use crate::{
    fixture::Fixture,
    worker::{FakeWorker, batch, emails, enqueue, enqueue_with, mail, terms},
};

#[tokio::test]
async fn the_overview_counts_and_warns() {
    let site = Fixture::open().await;
    let empty = site.get("/").await;
    assert_eq!(empty.status, 200, "{}", empty.body);
    empty.lacks("class=\"warnings\"");
    for n in 0..4 {
        enqueue(&site.store, &emails(), mail(&format!("r{n}@example.org"), "Hello")).await;
    }
    let worker = FakeWorker::new(&site.store, emails());
    worker.settle_next(Outcome::Sent, "250 OK").await;
    worker.settle_next(Outcome::Failed, "550 no such <user>").await;
    worker.defer_next("451 later").await;
    let page = site.get("/").await;
    page.shows("No worker serves queue emails; 2 mails waiting");
    page.shows("Sent per minute over the last hour: 1 in total, at most 1 per minute");
    page.shows("Failed per minute over the last hour: 1 in total");
    page.shows("Deferred per minute over the last hour: 1 in total");
    page.shows("550 no such &#60;user&#62;");
    page.shows("42 ms");
    site.store.pause(&emails()).await.unwrap();
    let mut process = ProcessInfo::of_this_process(ProcessKind::Worker, "w1".into());
    process.queues = vec![emails()];
    process.concurrency = 7;
    let alert = |about: &str, text: &str| Alert { about: about.into(), text: text.into(), since_ms: 0 };
    process.alerts = vec![
        alert("template:gone", "template <gone> is missing"),
        alert("transport:main", "transport main is down: connect: refused"),
    ];
    let transport = |name: &str, state| TransportReport {
        name: name.into(),
        state,
        since_ms: 1_700_000_000_000,
        why: Some("say <421>".into()),
        next_try_ms: None,
    };
    process.transports = vec![transport("main", TransportState::Down), transport("spare", TransportState::Up)];
    site.store.report_alive(&process).await.unwrap();
    let page = site.get("/").await;
    page.lacks("No worker serves");
    page.shows("Queue emails is paused; 2 mails waiting");
    page.shows("template &#60;gone&#62; is missing");
    page.shows("transport main is down: connect: refused");
    page.shows("title=\"say &#60;421&#62;\">down</span>");
    page.shows("spare</div>");
    page.shows("0 of 7");
}

#[tokio::test]
async fn an_unknown_job_causes_a_warning() {
    let site = Fixture::open().await;
    let bulk = QueueName::bulk();
    let id = enqueue(&site.store, &bulk, mail("a@example.org", "Hello")).await;
    FakeWorker::new(&site.store, bulk).settle_next(Outcome::Unknown, "no reply").await;
    site.get("/").await.shows("The outcome of 1 mail in queue bulk is unknown");
    let list = site.get("/jobs?state=unknown&queue=bulk").await;
    list.shows(&id.to_string());
}

#[tokio::test]
async fn jobs_are_filtered() {
    let site = Fixture::open().await;
    let here = enqueue(&site.store, &emails(), mail("ann@example.org", "One")).await;
    let there = enqueue(&site.store, &QueueName::bulk(), mail("ben@example.org", "Two")).await;
    let named = serde_json::from_value(json!({ "to": "cid@example.org", "template": "newsletter" })).unwrap();
    let third = enqueue(&site.store, &emails(), named).await;
    let batch = batch(&site.store, "May", 2).await;
    let (here, there, third, of_batch) =
        (here.to_string(), there.to_string(), third.to_string(), batch.job(1).to_string());
    for (query, shown) in [
        ("", vec![&here, &there, &third, &of_batch]),
        ("?queue=emails", vec![&here, &third]),
        ("?queue=bulk&state=queued&template=", vec![&there, &of_batch]),
        ("?address=ben%40example.org", vec![&there]),
        ("?address=BEN%40EXAMPLE.ORG", vec![]),
        ("?template=newsletter", vec![&third]),
        (&format!("?batch={batch}"), vec![&of_batch]),
        ("?state=sent", vec![]),
    ] {
        let page = site.get(&format!("/jobs{query}")).await;
        assert_eq!(page.status, 200, "{query}");
        for id in [&here, &there, &third, &of_batch] {
            let expected = shown.contains(&id);
            assert_eq!(page.body.contains(&format!("/jobs/{id}\"")), expected, "{query} {id}");
        }
    }
}

#[tokio::test]
async fn the_list_of_jobs_has_pages() {
    let site = Fixture::open().await;
    for n in 0..60 {
        enqueue(&site.store, &emails(), mail(&format!("r{n}@example.org"), "Hello")).await;
    }
    let first = site.get("/jobs?queue=emails").await;
    let (_, rest) = first.body.split_once("rel=\"next\" href=\"").expect("a next page");
    let next = rest.split('"').next().unwrap().replace("&#38;", "&");
    let second = site.get(&next).await;
    second.lacks("rel=\"next\"");
    second.shows("First page");
    for n in 0..60 {
        let address = format!(">r{n}@example.org<");
        let (one, two) = (first.body.contains(&address), second.body.contains(&address));
        assert!(one ^ two, "{address} is on one page: {one} {two}");
    }
}

#[tokio::test]
async fn invalid_queries_and_unknown_paths_are_reported() {
    let site = Fixture::open().await;
    for (query, problem) in [
        ("state=gone", "is not a state"),
        ("queue=A%20b", "is not a queue name"),
        ("address=%3Cscript%3E", "address:"),
        ("batch=%22%3E", "is not a batch id"),
    ] {
        let page = site.get(&format!("/jobs?{query}")).await;
        page.shows(problem);
        page.lacks("<script>");
        assert_eq!(site.get(&format!("/api/jobs?{query}")).await.status, 400, "{query}");
    }
    for path in ["/nowhere", "/jobs/x", "/jobs/emails-01ARZ3NDEKTSV4RRFFQ69G5FAV", "/batches/x", "/captured/%2e%2e"] {
        let page = site.get(path).await;
        assert_eq!(page.status, 404, "{path}");
        page.shows("Not found");
    }
}

#[tokio::test]
async fn a_job_shows_its_history() {
    let site = Fixture::open().await;
    let id = enqueue(&site.store, &emails(), mail("ann@example.org", "Hello")).await;
    let worker = FakeWorker::new(&site.store, emails());
    worker.defer_next("451 4.2.1 come back later").await;
    let page = site.get(&format!("/jobs/{id}")).await;
    page.shows("451 4.2.1 come back later");
    page.shows("Retry now");
    site.store.retry(&id).await.unwrap();
    worker.settle_next(Outcome::Sent, "250 2.0.0 Ok: queued").await;
    let page = site.get(&format!("/jobs/{id}")).await;
    for text in
        ["1. refused", "2. accepted", "250 2.0.0 Ok: queued", "queued as 4711", "text of Hello", "id@example.org"]
    {
        page.shows(text);
    }
    page.lacks("Retry");
}

#[tokio::test]
async fn html_is_shown_in_a_sandboxed_frame() {
    let site = Fixture::open().await;
    let vars =
        json!({ "title": "May", "name": "<b>Żółć</b>", "intro": "Hi", "items": [], "unsubscribe_url": "https://x" });
    let named = json!({ "to": "ann@example.org", "template": "newsletter", "vars": vars });
    let id = enqueue(&site.store, &emails(), serde_json::from_value(named).unwrap()).await;
    let page = site.get(&format!("/jobs/{id}")).await;
    page.shows("&#60;b&#62;Żółć&#60;/b&#62;");
    page.lacks("<b>Żółć");
    let html = json!({ "to": "ann@example.org", "subject": "x", "html": "<h1>Hello</h1><script>alert(1)</script>" });
    let id = enqueue(&site.store, &emails(), serde_json::from_value(html).unwrap()).await;
    let page = site.get(&format!("/jobs/{id}")).await;
    page.shows("<iframe class=\"mail\" sandbox src=");
    page.lacks("<script>alert");
    let frame = site.get(&format!("/jobs/{id}/preview")).await;
    frame.shows("<h1>Hello</h1>");
    let policy = frame.header("content-security-policy").unwrap();
    assert!(policy.contains("sandbox;") && policy.contains("default-src 'none'"), "{policy}");
    assert_eq!(frame.header("x-frame-options"), Some("SAMEORIGIN"));
}

#[tokio::test]
async fn a_large_body_is_shown_while_it_is_stored() {
    let site = Fixture::open().await;
    let mut mail = mail("ann@example.org", "Hello");
    let html = format!("<p>{}</p>", "All of it. ".repeat(3_000));
    mail.html = Some(html.as_str().into());
    let id = enqueue(&site.store, &emails(), mail.clone()).await;
    assert!(site.get(&format!("/jobs/{id}/preview")).await.body.contains(&html));
    site.get(&format!("/jobs/{id}")).await.shows("text of Hello");

    mail.html = Some("x".repeat(30_000).into());
    let other = enqueue(&site.store, &emails(), mail.clone()).await;
    let redis = PrivateRedis::shared();
    let key = redis.ask(&["KEYS", &format!("*:a:{}", mail.html.expect("a body").hash())]);
    assert_eq!(redis.ask(&["UNLINK", key.trim()]), "1");
    site.get(&format!("/jobs/{other}")).await.shows("its html was stored separately and has been deleted");
    assert_eq!(site.get(&format!("/jobs/{other}/preview")).await.status, 404);
}

#[tokio::test]
async fn a_missing_template_is_reported() {
    let site = Fixture::open().await;
    let named = json!({ "to": "ann@example.org", "template": "no<where" });
    let id = enqueue(&site.store, &emails(), serde_json::from_value(named).unwrap()).await;
    let page = site.get(&format!("/jobs/{id}")).await;
    assert_eq!(page.status, 200);
    page.shows("The mail can't be shown");
    page.lacks("no<where");
    assert_eq!(site.get(&format!("/jobs/{id}/preview")).await.status, 404);
}

#[tokio::test]
async fn a_sensitive_job_shows_no_content() {
    let site = Fixture::open().await;
    let vars = json!({ "reset_url": "https://example.org/SECRET", "name": "Ann" });
    let named = json!({ "to": "ann@example.org", "template": "password_reset", "vars": vars });
    let terms = JobTerms { sensitive: true, ..terms(&emails()) };
    let id = enqueue_with(&site.store, &emails(), &terms, serde_json::from_value(named).unwrap()).await;
    let page = site.get(&format!("/jobs/{id}")).await;
    page.shows("This mail is sensitive");
    page.shows("ann@example.org");
    for path in [format!("/jobs/{id}"), format!("/jobs/{id}/preview"), "/jobs".into(), format!("/api/jobs/{id}")] {
        site.get(&path).await.lacks("SECRET");
    }
    assert_eq!(site.get(&format!("/jobs/{id}/preview")).await.status, 404);
}

#[tokio::test]
async fn hostile_text_is_escaped() {
    let site = Fixture::open().await;
    let evil = "<script>alert(1)</script>";
    let hostile = json!({ "to": format!("\"{evil}\" <ann@example.org>"), "subject": evil, "text": evil,
        "headers": { "X-Evil": evil }, "reply_to": [format!("\"{evil}\" <x@example.org>")] });
    let id = enqueue(&site.store, &emails(), serde_json::from_value(hostile).unwrap()).await;
    let batch = batch(&site.store, evil, 1).await;
    FakeWorker::new(&site.store, emails()).settle_next(Outcome::Failed, evil).await;
    let paths = [
        "/",
        "/jobs",
        &format!("/jobs/{id}"),
        "/batches",
        &format!("/batches/{batch}"),
        "/queues",
        "/jobs?template=%3Cscript%3Ealert(1)%3C/script%3E",
        "/find?q=%3Cscript%3E",
        "/%3Cscript%3Ealert(1)",
    ];
    for path in paths {
        let page = site.get(path).await;
        page.lacks("<script>");
        assert!(page.status < 500, "{path}");
    }
    site.get(&format!("/jobs/{id}")).await.shows("&#60;script&#62;alert(1)");
}

#[tokio::test]
async fn batches_show_their_progress() {
    let site = Fixture::open().await;
    let id = batch(&site.store, "May news", 4).await;
    let worker = FakeWorker::new(&site.store, QueueName::bulk());
    worker.settle_next(Outcome::Sent, "250 OK").await;
    worker.settle_next(Outcome::Failed, "550 no").await;
    let list = site.get("/batches").await;
    list.shows("May news");
    list.shows("2 of 4 settled");
    list.shows("50 %");
    let page = site.get(&format!("/batches/{id}")).await;
    page.shows("2 waiting mails will not be sent");
    page.shows("a0@example.org");
    page.shows("a3@example.org");
    let failed = site.get(&format!("/batches/{id}?state=failed")).await;
    failed.shows("550 no");
    failed.lacks("a3@example.org");
    site.get("/batches?queue=emails").await.shows("No batches");
}

#[tokio::test]
async fn the_jobs_of_a_large_batch_continue_in_the_list_of_jobs() {
    let site = Fixture::open().await;
    let id = batch(&site.store, "May", 60).await;
    enqueue(&site.store, &QueueName::bulk(), mail("other@example.org", "Hello")).await;
    let page = site.get(&format!("/batches/{id}?state=queued")).await;
    let (_, rest) = page.body.split_once("rel=\"next\" href=\"").expect("a next page");
    let next = rest.split('"').next().unwrap().replace("&#38;", "&");
    let rest = site.get(&next).await;
    rest.shows("a59@example.org");
    rest.lacks("a49@example.org");
    rest.lacks("other@example.org");
}

#[tokio::test]
async fn a_scheduled_job_shows_its_due_time() {
    let site = Fixture::open().await;
    let terms = JobTerms { due: Due::In(Duration::from_secs(7_230)), ..terms(&emails()) };
    let id = enqueue_with(&site.store, &emails(), &terms, mail("ann@example.org", "Later")).await;
    let page = site.get(&format!("/jobs/{id}")).await;
    page.shows("Send now");
    page.shows("in 2 h");
    site.get("/jobs?state=scheduled").await.shows("ann@example.org");
}

#[tokio::test]
async fn schedules_show_their_times() {
    let site = Fixture::open().await;
    site.get("/schedules").await.shows("No schedules");
    let toml = "[[schedule]]\nname = \"daily\"\ncron = \"0 8 * * *\"\ntimezone = \"Europe/Warsaw\"\n\
                subject = \"<b>News</b>\"\ntext = \"x\"\nto = [\"ann@example.org\"]\n";
    let sources = Sources { file: Some(("postroom.toml".into(), toml.into())), ..Sources::default() };
    let schedule = Settings::from_sources(&sources).unwrap().schedules.remove(0);
    site.store.put_schedule(&schedule).await.unwrap();
    let page = site.get("/schedules").await;
    for text in ["daily", "0 8 * * *", "Europe/Warsaw", "&#60;b&#62;News", "never", "No beat is running"] {
        page.shows(text);
    }
    site.get("/").await.shows("No beat is running, so a schedule does not fire");
    let response = site.get("/api/schedules").await.json();
    assert_eq!(response["schedules"][0]["next"].as_array().unwrap().len(), 5);
    let beat = ProcessInfo::of_this_process(ProcessKind::Beat, "b1".into());
    site.store.report_alive(&beat).await.unwrap();
    site.get("/schedules").await.lacks("No beat is running");
}

#[tokio::test]
async fn the_search_field_finds_jobs_batches_addresses_and_templates() {
    let site = Fixture::open().await;
    for (q, place) in [
        ("emails-01ARZ3NDEKTSV4RRFFQ69G5FAV", "/jobs/emails-01ARZ3NDEKTSV4RRFFQ69G5FAV"),
        ("b.bulk.01ARZ3NDEKTSV4RRFFQ69G5FAV", "/batches/b.bulk.01ARZ3NDEKTSV4RRFFQ69G5FAV"),
        ("ann%40example.org", "/jobs?address=ann%40example.org"),
        ("newsletter", "/jobs?template=newsletter"),
    ] {
        assert_eq!(site.get(&format!("/find?q={q}")).await.header("location"), Some(place));
    }
}

#[tokio::test]
async fn every_response_has_security_headers() {
    let site = Fixture::open().await;
    for path in ["/", "/jobs", "/nowhere", "/api/overview", "/healthz"] {
        let response = site.get(path).await;
        let policy = response.header("content-security-policy").unwrap();
        assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(response.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert_eq!(response.header("referrer-policy"), Some("same-origin"), "{path}");
        assert_eq!(response.header("cache-control"), Some("no-store"), "{path}");
        response.lacks(" style=");
        response.lacks("onclick");
    }
    let page = site.get("/").await;
    let (_, rest) = page.body.split_once("href=\"/static/style.css").unwrap();
    let style = site.get(&format!("/static/style.css{}", rest.split('"').next().unwrap())).await;
    assert_eq!(style.status, 200);
    assert!(style.header("cache-control").unwrap().contains("immutable"));
    assert_eq!(site.get("/static/nothing.css").await.status, 404);
}

#[tokio::test]
async fn hosts_other_than_loopback_are_refused() {
    let site = Fixture::open().await;
    let port = site.at.port();
    for local in ["localhost", "127.0.0.1:1", &format!("localhost:{port}"), "[::1]:5555"] {
        assert_eq!(site.get_with("/", &[("Host", local)]).await.status, 200, "{local}");
    }
    for bad in ["evil.example", &format!("evil.example:{port}"), "localhost.evil.example"] {
        assert_eq!(site.get_with("/", &[("Host", bad)]).await.status, 421, "{bad}");
        assert_eq!(site.get_with("/api/jobs", &[("Host", bad)]).await.status, 421, "{bad}");
    }
}
