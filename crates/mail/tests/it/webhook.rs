//! Webhook calls that succeed and fail.

use postroom_core::settings::NotifySettings;
use postroom_mail::{Webhook, Webhooks};
use postroom_testkit::FakeReceiver;

const EVENT: Webhook<'_> = Webhook { id: "a-done", at_s: 1_700_000_000, body: r#"{"type":"a"}"# };

fn client() -> Webhooks {
    Webhooks::from_settings(&NotifySettings::default()).expect("a client")
}

#[tokio::test]
async fn the_status_of_the_receiver_is_the_result() {
    let receiver = FakeReceiver::start();
    let url = receiver.url("/a/b?c=d").parse().expect("a URL");
    for status in [200, 204, 299] {
        receiver.answer(status, 1);
        assert_eq!(client().post(&url, EVENT).await, Ok(()), "{status}");
    }
    for status in [302, 400, 410, 429, 500] {
        receiver.answer(status, 1);
        let error = client().post(&url, EVENT).await.expect_err("refused");
        assert!(error.starts_with(&status.to_string()), "{error}");
    }
    let call = receiver.requests().remove(0);
    assert_eq!((call.line.as_str(), call.body.as_str()), ("POST /a/b?c=d", EVENT.body));
    assert_eq!(
        (call.headers["webhook-id"].as_str(), call.headers["webhook-timestamp"].as_str()),
        ("a-done", "1700000000")
    );
    receiver.stop();
    assert!(client().post(&url, EVENT).await.expect_err("it is down").starts_with("connect"));
}

#[tokio::test]
async fn the_certificate_is_verified() {
    let receiver = FakeReceiver::start_tls();
    let url = receiver.url("").parse().expect("a URL");
    let error = client().post(&url, EVENT).await.expect_err("an unknown authority");
    assert!(error.starts_with("tls") && receiver.requests().is_empty(), "{error}");

    let folder = tempfile::tempdir().expect("a folder");
    let ca_file = folder.path().join("ca.pem");
    std::fs::write(&ca_file, receiver.ca_pem()).expect("a file");
    let settings = NotifySettings { ca_file: Some(ca_file.clone()), ..NotifySettings::default() };
    let trusting = Webhooks::from_settings(&settings).expect("a client");
    assert_eq!(trusting.post(&url, EVENT).await, Ok(()));
    assert_eq!(receiver.requests()[0].line, "POST /");

    std::fs::remove_file(&ca_file).expect("removed");
    assert!(Webhooks::from_settings(&settings).expect_err("no file").contains("ca.pem"));
}

#[tokio::test]
async fn a_call_without_an_answer_times_out() {
    let receiver = FakeReceiver::start();
    receiver.ignore(1);
    let error = client().post(&receiver.url("/").parse().expect("a URL"), EVENT).await.expect_err("no answer");
    assert!(error.contains("no answer within 10s"), "{error}");
}
