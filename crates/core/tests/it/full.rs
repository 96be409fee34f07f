//! Redis at its memory limit: new mail is refused, stored mail is sent.

use postroom_core::{
    Error, JobId, JobState,
    store::{Defer, NewJob, Outcome, WorkerId},
};
use postroom_testkit::PrivateRedis;

use crate::fixture::{Fixture, mail, terms};

#[tokio::test]
async fn a_full_redis_refuses_new_mail_and_drains_stored_mail() {
    let redis = PrivateRedis::start().await;
    let fixture = Fixture::on(&redis).await;
    let id = fixture.enqueue(&terms()).await;
    let later = fixture.enqueue(&terms()).await;
    redis.ask(&["CONFIG", "SET", "maxmemory", "1mb"]);

    let job = NewJob { id: JobId::new(fixture.queue.clone()), mail: mail() };
    let refused = fixture.store.enqueue(&fixture.queue, None, &terms(), &[job]).await;
    assert!(matches!(refused, Err(Error::Full)), "{refused:?}");

    let worker = WorkerId::generate();
    let jobs = fixture.claim(&worker, 2).await;
    assert_eq!(jobs.iter().map(|job| job.id.clone()).collect::<Vec<_>>(), [id.clone(), later.clone()]);
    for job in &jobs {
        fixture.begin(&worker, job).await;
    }
    fixture.finish(&worker, &jobs[0], Outcome::Sent).await;
    let item = Defer {
        id: later.clone(),
        fence: jobs[1].fence,
        delay: std::time::Duration::from_secs(60),
        left: postroom_core::store::Settled::default(),
    };
    fixture.store.defer(&fixture.queue, &worker, &[item]).await.expect("deferred");
    assert_eq!(fixture.state(&id).await, JobState::Sent);
    assert_eq!(fixture.state(&later).await, JobState::Deferred);
}
