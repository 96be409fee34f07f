//! Actions on jobs, batches and queues.

use postroom_core::{JobState, QueueName, store::Outcome};

use crate::{
    fixture::Fixture,
    worker::{FakeWorker, batch, emails, enqueue, mail},
};

async fn state(site: &Fixture, id: &postroom_core::JobId) -> JobState {
    site.store.job(id).await.unwrap().unwrap().state
}

#[tokio::test]
async fn a_job_is_cancelled_and_retried() {
    let site = Fixture::open().await;
    let id = enqueue(&site.store, &emails(), mail("ann@example.org", "Hello")).await;
    let page = format!("/jobs/{id}");
    site.press(&page, &format!("{page}/cancel")).await.shows("The mail is cancelled and will not be sent.");
    assert_eq!(state(&site, &id).await, JobState::Cancelled);
    site.get(&page).await.lacks("The mail is cancelled and");
    site.press(&page, &format!("{page}/retry")).await.shows("The mail is queued for an immediate attempt.");
    assert_eq!(state(&site, &id).await, JobState::Queued);
    let worker = FakeWorker::new(&site.store, emails());
    let job = worker.claim(1).await.remove(0);
    worker.begin(&job).await;
    site.press(&page, &format!("{page}/cancel")).await.shows("Too late to cancel: the mail is being sent.");
    assert_eq!(state(&site, &id).await, JobState::Sending);
}

#[tokio::test]
async fn a_flash_is_shown_once() {
    let site = Fixture::open().await;
    let id = enqueue(&site.store, &emails(), mail("ann@example.org", "Hello")).await;
    let page = format!("/jobs/{id}");
    let token = site.get(&page).await.token().to_owned();
    let response = site.post(&format!("{page}/cancel"), &[], &format!("token={token}")).await;
    let flash = response.cookie("postroom_flash").unwrap();
    let next = site.get_with(&page, &[("Cookie", &flash)]).await;
    assert_eq!(next.cookie("postroom_flash").as_deref(), Some("postroom_flash="), "the cookie is deleted");
}

#[tokio::test]
async fn an_unknown_job_is_resolved() {
    let site = Fixture::open().await;
    let bulk = QueueName::bulk();
    for (action, expected) in [("sent", JobState::Sent), ("failed", JobState::Failed), ("resend", JobState::Queued)] {
        enqueue(&site.store, &bulk, mail("a@example.org", "Hello")).await;
        let id = FakeWorker::new(&site.store, bulk.clone()).settle_next(Outcome::Unknown, "no reply").await;
        let page = format!("/jobs/{id}");
        site.get(&page).await.shows("It was not sent");
        let token = site.get(&page).await.token().to_owned();
        assert_eq!(site.post(&format!("{page}/{action}"), &[], &format!("token={token}")).await.status, 303);
        assert_eq!(state(&site, &id).await, expected);
    }
    let settled = enqueue(&site.store, &bulk, mail("a@example.org", "Hello")).await;
    let page = format!("/jobs/{settled}");
    site.press(&page, &format!("{page}/sent")).await.shows("Nothing was changed");
}

#[tokio::test]
async fn a_batch_is_cancelled() {
    let site = Fixture::open().await;
    let id = batch(&site.store, "May", 3).await;
    FakeWorker::new(&site.store, QueueName::bulk()).settle_next(Outcome::Sent, "250 OK").await;
    let page = format!("/batches/{id}");
    site.press(&page, &format!("{page}/cancel")).await.shows("2 waiting mails are cancelled");
    assert_eq!(site.store.batch(&id).await.unwrap().unwrap().cancelled, 2);
}

#[tokio::test]
async fn a_batch_is_paused_and_resumed() {
    let site = Fixture::open().await;
    let id = batch(&site.store, "May", 3).await;
    FakeWorker::new(&site.store, QueueName::bulk()).settle_next(Outcome::Sent, "250 OK").await;
    let page = format!("/batches/{id}");
    site.press(&page, &format!("{page}/pause")).await.shows("The batch is paused");
    assert!(site.store.batch(&id).await.unwrap().unwrap().paused);
    site.get(&page).await.shows("Resume</button>");
    site.press(&page, &format!("{page}/resume")).await.shows("The batch is resumed.");
    assert!(!site.store.batch(&id).await.unwrap().unwrap().paused);
}

#[tokio::test]
async fn a_queue_is_paused_and_resumed() {
    let site = Fixture::open().await;
    site.press("/queues", "/queues/bulk/pause").await.shows("Queue bulk is paused");
    assert!(site.store.is_paused(&QueueName::bulk()).await.unwrap());
    assert!(!site.store.is_paused(&emails()).await.unwrap());
    site.press("/queues", "/queues/bulk/resume").await.shows("Queue bulk is running");
    assert!(!site.store.is_paused(&QueueName::bulk()).await.unwrap());
}

#[tokio::test]
async fn foreign_forms_have_no_effect() {
    let site = Fixture::open().await;
    let id = enqueue(&site.store, &emails(), mail("ann@example.org", "Hello")).await;
    let action = format!("/jobs/{id}/cancel");
    let valid = format!("token={}", site.get(&format!("/jobs/{id}")).await.token());
    for (headers, body) in [
        (vec![], ""),
        (vec![], "token="),
        (vec![], "token=AAAA"),
        (vec![("Sec-Fetch-Site", "cross-site")], valid.as_str()),
        (vec![("Sec-Fetch-Site", "same-site")], valid.as_str()),
        (vec![("Host", "evil.example")], valid.as_str()),
    ] {
        let response = site.post(&action, &headers, body).await;
        assert!(matches!(response.status, 403 | 421), "{headers:?} {body} {}", response.status);
        assert_eq!(state(&site, &id).await, JobState::Queued);
    }
    for path in ["/queues/emails/pause", "/batches/b.bulk.01ARZ3NDEKTSV4RRFFQ69G5FAV/cancel"] {
        assert_eq!(site.post(path, &[], "").await.status, 403, "{path}");
    }
    assert_eq!(site.get(&action).await.status, 405);
    assert_eq!(site.post(&action, &[("Sec-Fetch-Site", "same-origin")], &valid).await.status, 303);
    assert_eq!(state(&site, &id).await, JobState::Cancelled);
}
