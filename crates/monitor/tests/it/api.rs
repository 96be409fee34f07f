//! JSON API and metrics.

use postroom_core::{
    QueueName,
    store::{Outcome, ProcessInfo, ProcessKind, TransportReport, TransportState},
};

use crate::{
    fixture::Fixture,
    worker::{FakeWorker, batch, emails, enqueue, mail},
};

#[tokio::test]
async fn the_api_has_the_fields_of_the_command_line() {
    let site = Fixture::open().await;
    let id = enqueue(&site.store, &emails(), mail("ann@example.org", "Hello")).await;
    let waiting = enqueue(&site.store, &emails(), mail("ben@example.org", "Hello")).await;
    let batch = batch(&site.store, "May", 2).await;
    FakeWorker::new(&site.store, emails()).settle_next(Outcome::Sent, "250 OK").await;
    let report = |job| serde_json::to_value(job).unwrap();
    let response = site.get(&format!("/api/jobs/{id}")).await;
    assert_eq!(response.header("content-type"), Some("application/json"));
    assert_eq!(response.json(), report(site.store.job(&id).await.unwrap().unwrap()));
    assert_eq!(site.get(&format!("/api/batches/{batch}")).await.json()["total"], 2);
    assert_eq!(site.get("/api/batches?limit=1").await.json()["batches"][0]["name"], "May");
    let page = site.get("/api/jobs?queue=emails&limit=1").await.json();
    assert_eq!(page["jobs"][0]["id"], waiting.to_string());
    let cursor = page["next"].as_str().unwrap();
    let page = site.get(&format!("/api/jobs?queue=emails&limit=1&cursor={cursor}")).await.json();
    assert_eq!(page["jobs"][0]["id"], id.to_string());
    let queues = site.get("/api/queues").await.json();
    let emails = queues["queues"].as_array().unwrap().iter().find(|queue| queue["queue"] == "emails").unwrap();
    assert_eq!((&emails["queued"], &emails["sent_total"]), (&1.into(), &1.into()));
    let overview = site.get("/api/overview").await.json();
    assert_eq!(overview["minutes"].as_array().unwrap().len(), 60);
    assert_eq!(overview["average_ms"], 42);
    assert!(overview["warnings"][0]["text"].as_str().unwrap().contains("No worker"));
}

#[tokio::test]
async fn the_monitor_is_listed_as_a_process() {
    let site = Fixture::open().await;
    let processes = site.processes().await;
    assert_eq!(processes[0]["kind"], "monitor");
    assert_eq!(processes[0]["pid"], std::process::id());
}

#[tokio::test]
async fn errors_have_a_code() {
    let site = Fixture::open().await;
    for (path, status, code, field) in [
        ("/api/jobs?state=gone", 400, "invalid", Some("state")),
        ("/api/jobs?limit=0", 400, "invalid", Some("limit")),
        ("/api/jobs?limit=7&limit=8", 400, "invalid", Some("limit")),
        ("/api/jobs?template=a%0Ab", 400, "invalid", Some("template")),
        ("/api/batches?page=-1", 400, "invalid", Some("page")),
        ("/api/batches?page=1000001", 400, "invalid", Some("page")),
        ("/api/batches?limit=x", 400, "invalid", Some("limit")),
        ("/api/batches?queue=A%20b", 400, "invalid", Some("queue")),
        ("/api/jobs?cursor=x", 400, "invalid", Some("cursor")),
        ("/api/jobs/x", 400, "invalid", Some("id")),
        ("/api/jobs/emails-01ARZ3NDEKTSV4RRFFQ69G5FAV", 404, "not_found", None),
        ("/api/nothing", 404, "not_found", None),
    ] {
        let response = site.get(path).await;
        assert_eq!(response.status, status, "{path}");
        let error = &response.json()["error"];
        assert_eq!((error["code"].as_str(), error["field"].as_str()), (Some(code), field), "{path}");
    }
}

#[tokio::test]
async fn a_page_refuses_an_invalid_query() {
    let site = Fixture::open().await;
    let long = "x".repeat(500);
    for (path, name) in [
        ("/jobs?state=gone", "state"),
        ("/jobs?queue=A%20b", "queue"),
        ("/jobs?address=nobody", "address"),
        ("/jobs?batch=x", "batch"),
        ("/jobs?cursor=x", "cursor"),
        ("/jobs?limit=0", "limit"),
        (&format!("/jobs?template={long}"), "template"),
        ("/jobs?state=failed&state=sent", "state"),
        ("/batches?page=x", "page"),
        ("/batches?limit=9999", "limit"),
        ("/captured?page=99999999999999999999", "page"),
        (&format!("/find?q={long}"), "q"),
        (&format!("/login?next=/{}", "x".repeat(2_000)), "next"),
    ] {
        let page = site.get(path).await;
        assert_eq!(page.status, 400, "{path}");
        page.shows(name);
    }
}

#[tokio::test]
async fn metrics_are_read_from_redis() {
    let site = Fixture::open().await;
    for _ in 0..3 {
        enqueue(&site.store, &emails(), mail("ann@example.org", "Hello")).await;
    }
    let worker = FakeWorker::new(&site.store, emails());
    worker.settle_next(Outcome::Sent, "250 OK").await;
    worker.settle_next(Outcome::Failed, "550 no").await;
    site.store.pause(&QueueName::bulk()).await.unwrap();
    let mut process = ProcessInfo::of_this_process(ProcessKind::Worker, "w1".into());
    process.queues = vec![emails()];
    process.concurrency = 7;
    let transport =
        |name: &str, state| TransportReport { name: name.into(), state, since_ms: 0, why: None, next_try_ms: None };
    process.transports = vec![transport("main", TransportState::Down), transport("spare", TransportState::Up)];
    site.store.report_alive(&process).await.unwrap();
    site.processes().await;
    let metrics = site.get("/metrics").await;
    assert_eq!(metrics.header("content-type"), Some("application/openmetrics-text; version=1.0.0; charset=utf-8"));
    let lines: Vec<&str> = metrics.body.lines().collect();
    for expected in [
        "postroom_jobs{queue=\"emails\",state=\"queued\"} 1",
        "postroom_jobs{queue=\"bulk\",state=\"queued\"} 0",
        "postroom_jobs_finished_total{queue=\"emails\",outcome=\"sent\"} 1",
        "postroom_jobs_finished_total{queue=\"emails\",outcome=\"failed\"} 1",
        "postroom_jobs_enqueued_total{queue=\"emails\"} 3",
        "postroom_queue_paused{queue=\"bulk\"} 1",
        "postroom_queue_paused{queue=\"emails\"} 0",
        "postroom_workers{queue=\"emails\"} 1",
        "postroom_workers{queue=\"bulk\"} 0",
        "postroom_worker_slots{queue=\"emails\"} 7",
        "postroom_processes{kind=\"monitor\"} 1",
        "postroom_transport_up{transport=\"main\",worker=\"w1\"} 0",
        "postroom_transport_up{transport=\"spare\",worker=\"w1\"} 1",
    ] {
        assert!(lines.contains(&expected), "no {expected} in {}", metrics.body);
    }
    assert_eq!(lines.last(), Some(&"# EOF"));
    for line in lines.iter().filter(|line| !line.starts_with('#')) {
        let (name, value) = line.rsplit_once(' ').unwrap();
        assert!(name.starts_with("postroom_") && value.parse::<f64>().is_ok(), "{line}");
    }
    let families: Vec<&&str> = lines.iter().filter(|line| line.starts_with("# TYPE")).collect();
    let names: std::collections::BTreeSet<_> = families.iter().filter_map(|line| line.split(' ').nth(2)).collect();
    assert_eq!(names.len(), families.len(), "each family occurs once");
}
