//! With a password.

use crate::{
    browser::Answer,
    site::Site,
    worker::{emails, enqueue, mail},
};

const PASSWORD: &str = "correct horse & battery";
const TYPED: &str = "correct+horse+%26+battery";
/// `any:correct horse & battery`
const BASIC: &str = "Basic YW55OmNvcnJlY3QgaG9yc2UgJiBiYXR0ZXJ5";

async fn site() -> Site {
    Site::with(&[("MONITOR_PASSWORD", PASSWORD)]).await
}

async fn log_in(site: &Site, password: &str, next: &str) -> Answer {
    let token = site.get("/login").await.token().to_owned();
    site.post("/login", &[], &format!("token={token}&next={next}&password={password}")).await
}

#[tokio::test]
async fn pages_are_for_those_who_logged_in() {
    let site = site().await;
    let away = site.get("/jobs?state=failed").await;
    assert_eq!(away.status, 303);
    assert_eq!(away.header("location"), Some("/login?next=%2Fjobs%3Fstate%3Dfailed"));
    let answer = log_in(&site, TYPED, "%2Fjobs%3Fstate%3Dfailed").await;
    assert_eq!((answer.status, answer.header("location")), (303, Some("/jobs?state=failed")));
    let line = answer.header("set-cookie").unwrap();
    assert!(line.contains("HttpOnly") && line.contains("SameSite=Strict") && !line.contains("Secure"), "{line}");
    let session = answer.cookie("postroom_session").unwrap();
    let page = site.get_with("/jobs", &[("Cookie", &session)]).await;
    assert_eq!(page.status, 200);
    page.shows("Log out");
    let forged = format!("{}x", &session[..session.len() - 1]);
    for cookie in ["postroom_session=", "postroom_session=99999999999.AAAA", forged.as_str()] {
        assert_eq!(site.get_with("/jobs", &[("Cookie", cookie)]).await.status, 303, "{cookie}");
    }
}

#[tokio::test]
async fn a_session_outlives_the_process_that_made_it() {
    let (one, other) = (site().await, site().await);
    let session = log_in(&one, TYPED, "/").await.cookie("postroom_session").unwrap();
    assert_eq!(other.get_with("/", &[("Cookie", &session)]).await.status, 200);
    let third = Site::with(&[("MONITOR_PASSWORD", "another")]).await;
    assert_eq!(third.get_with("/", &[("Cookie", &session)]).await.status, 303);
}

#[tokio::test]
async fn what_is_open_and_what_is_not() {
    let site = site().await;
    assert_eq!(site.get("/healthz").await.status, 200);
    assert_eq!(site.get("/static/style.css").await.status, 200);
    for path in ["/metrics", "/api/overview", "/api/jobs"] {
        let refused = site.get(path).await;
        assert_eq!(refused.status, 401, "{path}");
        assert!(refused.header("www-authenticate").unwrap().starts_with("Basic"));
        assert_eq!(site.get_with(path, &[("Authorization", BASIC)]).await.status, 200, "{path}");
    }
    for wrong in ["Basic eDp5", "Basic !!", "Bearer x", "Basic"] {
        assert_eq!(site.get_with("/metrics", &[("Authorization", wrong)]).await.status, 401, "{wrong}");
    }
    for path in ["/", "/jobs", "/captured", "/queues", "/nowhere"] {
        assert_eq!(site.get_with(path, &[("Authorization", BASIC)]).await.status, 303, "Basic opens no page: {path}");
    }
    assert_eq!(site.get_with("/login", &[("Host", "mail.example.org")]).await.status, 200, "behind a proxy");
}

#[tokio::test]
async fn acts_need_the_session_that_their_form_was_made_for() {
    let site = site().await;
    let id = enqueue(&site.store, &emails(), mail("ann@example.org", "Hello")).await;
    let act = format!("/jobs/{id}/cancel");
    let outside = site.get("/login").await.token().to_owned();
    assert_eq!(site.post(&act, &[], &format!("token={outside}")).await.header("location"), Some("/login?next=%2F"));
    let session = log_in(&site, TYPED, "/").await.cookie("postroom_session").unwrap();
    let cookie = [("Cookie", session.as_str())];
    assert_eq!(site.post(&act, &cookie, &format!("token={outside}")).await.status, 403);
    let token = site.get_with("/queues", &cookie).await.token().to_owned();
    assert_eq!(site.post(&act, &cookie, &format!("token={token}")).await.status, 303);
    let left = site.post("/logout", &cookie, &format!("token={token}")).await;
    assert_eq!(left.cookie("postroom_session").as_deref(), Some("postroom_session="));
}

#[tokio::test]
async fn guessing_is_slow_and_ends() {
    let site = site().await;
    for _ in 0..10 {
        let wrong = log_in(&site, "guess", "%2F").await;
        assert_eq!(wrong.status, 401);
        wrong.shows("That is not the password.");
        assert!(wrong.cookie("postroom_session").is_none());
    }
    let refused = log_in(&site, TYPED, "%2F").await;
    assert_eq!(refused.status, 429, "even the right one has to wait");
    assert!(refused.header("retry-after").unwrap().parse::<u64>().unwrap() <= 61);
    assert_eq!(site.get_with("/metrics", &[("Authorization", BASIC)]).await.status, 429);
}

#[tokio::test]
async fn nobody_is_led_elsewhere() {
    let site = site().await;
    for next in ["https%3A%2F%2Fevil.example", "%2F%2Fevil.example", "%2F%5Cevil.example"] {
        assert_eq!(log_in(&site, TYPED, next).await.header("location"), Some("/"), "{next}");
    }
    let page = site.get("/login?next=%22%3E%3Cscript%3E").await;
    page.lacks("<script>");
}
