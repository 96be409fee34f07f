//! The dashboard with a password.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use postroom_core::store::CapturedMail;
use postroom_testkit::{PrivateRedis, eventually};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpSocket,
    sync::Semaphore,
    task::JoinSet,
};

use crate::{
    browser::BrowserResponse,
    fixture::{Fixture, settings},
    worker::{emails, enqueue, mail},
};

const PASSWORD: &str = "correct horse & battery";
const TYPED: &str = "correct+horse+%26+battery";
/// `any:correct horse & battery`
const BASIC: &str = "Basic YW55OmNvcnJlY3QgaG9yc2UgJiBiYXR0ZXJ5";

async fn site() -> Fixture {
    Fixture::with(&[("MONITOR_PASSWORD", PASSWORD)]).await
}

async fn log_in(site: &Fixture, password: &str, next: &str) -> BrowserResponse {
    let token = site.get("/login").await.token().to_owned();
    site.post("/login", &[], &format!("token={token}&next={next}&password={password}")).await
}

#[tokio::test]
async fn pages_require_a_login() {
    let site = site().await;
    let redirect = site.get("/jobs?state=failed").await;
    assert_eq!(redirect.status, 303);
    assert_eq!(redirect.header("location"), Some("/login?next=%2Fjobs%3Fstate%3Dfailed"));
    let response = log_in(&site, TYPED, "%2Fjobs%3Fstate%3Dfailed").await;
    assert_eq!((response.status, response.header("location")), (303, Some("/jobs?state=failed")));
    let line = response.header("set-cookie").unwrap();
    assert!(line.contains("HttpOnly") && line.contains("SameSite=Strict") && !line.contains("Secure"), "{line}");
    let session = response.cookie("postroom_session").unwrap();
    let page = site.get_with("/jobs", &[("Cookie", &session)]).await;
    assert_eq!(page.status, 200);
    page.shows("Log out");
    let forged = format!("{}x", &session[..session.len() - 1]);
    for cookie in ["postroom_session=", "postroom_session=99999999999.AAAA", forged.as_str()] {
        assert_eq!(site.get_with("/jobs", &[("Cookie", cookie)]).await.status, 303, "{cookie}");
    }
}

#[tokio::test]
async fn a_session_is_valid_at_every_monitor_with_its_password() {
    let redis = PrivateRedis::shared().url();
    let one = Fixture::start(settings(&redis, &[("MONITOR_PASSWORD", PASSWORD)])).await;
    let session = log_in(&one, TYPED, "/").await.cookie("postroom_session").unwrap();
    let mut same = settings(&redis, &[("MONITOR_PASSWORD", PASSWORD)]);
    same.redis.prefix = one.prefix.clone();
    let mut changed = settings(&redis, &[("MONITOR_PASSWORD", "another one")]);
    changed.redis.prefix = one.prefix.clone();
    let (other, changed) = (Fixture::start(same).await, Fixture::start(changed).await);
    assert_eq!(other.get_with("/", &[("Cookie", &session)]).await.status, 200);
    assert_eq!(changed.get_with("/", &[("Cookie", &session)]).await.status, 303);
    log_out(&other, &session).await;
    assert_eq!(one.get_with("/", &[("Cookie", &session)]).await.status, 303, "the session ended everywhere");
}

async fn log_out(site: &Fixture, session: &str) -> BrowserResponse {
    let token = site.get_with("/queues", &[("Cookie", session)]).await.token().to_owned();
    site.post("/logout", &[("Cookie", session)], &format!("token={token}")).await
}

#[tokio::test]
async fn a_session_is_random_and_ends_at_logout() {
    let site = site().await;
    let token = site.get("/login").await.token().to_owned();
    let body = format!("token={token}&password={TYPED}");
    let first = site.post("/login", &[], &body).await.cookie("postroom_session").unwrap();
    let second = log_in(&site, TYPED, "/").await.cookie("postroom_session").unwrap();
    assert_ne!(first, second);
    let cookie = [("Cookie", first.as_str())];
    let token = site.get_with("/login", &cookie).await.token().to_owned();
    let third = site.post("/login", &cookie, &format!("token={token}&password={TYPED}")).await;
    let third = third.cookie("postroom_session").unwrap();
    assert_eq!(site.get_with("/", &cookie).await.status, 303, "another login replaces the session");
    for session in [&second, &third] {
        assert_eq!(site.get_with("/", &[("Cookie", session)]).await.status, 200);
    }
    log_out(&site, &second).await;
    assert_eq!(site.get_with("/", &[("Cookie", &second)]).await.status, 303);
    assert_eq!(site.get_with("/", &[("Cookie", &third)]).await.status, 200, "other sessions stay valid");
    let redis = PrivateRedis::shared();
    let keys = redis.ask(&["KEYS", &format!("*{}*session*", site.prefix)]);
    let key = keys.trim();
    assert!(!key.contains(third.split('=').nth(1).unwrap()), "only its hash is stored: {key}");
    let left: u64 = redis.ask(&["TTL", key]).trim().trim_start_matches("(integer) ").parse().unwrap();
    assert!((43_000..=43_200).contains(&left), "{left}");
    redis.ask(&["DEL", key]);
    assert_eq!(site.get_with("/", &[("Cookie", &third)]).await.status, 303, "the session has ended");
}

#[tokio::test]
async fn an_image_is_shown_while_its_session_is_valid() {
    let site = site().await;
    let message = "MIME-Version: 1.0\r\nContent-Type: multipart/related; boundary=m\r\n\r\n--m\r\n\
        Content-Type: text/html\r\n\r\n<img src=cid:a>\r\n\
        --m\r\nContent-Type: image/png\r\nContent-ID: <a>\r\n\r\nx\r\n--m--\r\n";
    let (rcpt_to, message) = (Vec::new(), message.as_bytes().to_vec());
    let mail = CapturedMail { mail_from: None, rcpt_to, subject: String::new(), message };
    let id = site.store.capture(&mail).await.unwrap();
    let session = log_in(&site, TYPED, "/").await.cookie("postroom_session").unwrap();
    let frame = site.get_with(&format!("/captured/{id}/preview"), &[("Cookie", &session)]).await;
    let (_, rest) = frame.body.split_once("src=\"").unwrap();
    let address = format!("/captured/{id}/{}", rest.split('"').next().unwrap().replace("&amp;", "&"));
    assert_eq!(site.get(&address).await.status, 200);
    log_out(&site, &session).await;
    assert_eq!(site.get(&address).await.status, 401);
    assert_eq!(site.get(&format!("/captured/{id}/preview")).await.status, 303);
}

#[tokio::test]
async fn only_health_styles_and_login_are_public() {
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
async fn actions_need_the_session_of_their_form() {
    let site = site().await;
    let id = enqueue(&site.store, &emails(), mail("ann@example.org", "Hello")).await;
    let action = format!("/jobs/{id}/cancel");
    let outside = site.get("/login").await.token().to_owned();
    assert_eq!(site.post(&action, &[], &format!("token={outside}")).await.header("location"), Some("/login?next=%2F"));
    let session = log_in(&site, TYPED, "/").await.cookie("postroom_session").unwrap();
    let cookie = [("Cookie", session.as_str())];
    assert_eq!(site.post(&action, &cookie, &format!("token={outside}")).await.status, 403);
    let token = site.get_with("/queues", &cookie).await.token().to_owned();
    assert_eq!(site.post(&action, &cookie, &format!("token={token}")).await.status, 303);
    let logout = site.post("/logout", &cookie, &format!("token={token}")).await;
    assert_eq!(logout.cookie("postroom_session").as_deref(), Some("postroom_session="));
}

#[tokio::test]
async fn guessing_is_limited() {
    let site = site().await;
    for _ in 0..10 {
        let wrong = log_in(&site, "guess", "%2F").await;
        assert_eq!(wrong.status, 401);
        wrong.shows("The password is wrong.");
        assert!(wrong.cookie("postroom_session").is_none());
    }
    let refused = log_in(&site, TYPED, "%2F").await;
    assert_eq!(refused.status, 429, "the right password has to wait too");
    assert!(refused.header("retry-after").unwrap().parse::<u64>().unwrap() <= 61);
    assert_eq!(
        site.get_with("/metrics", &[("Authorization", BASIC)]).await.status,
        200,
        "programs have a separate limit"
    );
}

/// Sends a request from a loopback address.
async fn from(address: [u8; 4], at: SocketAddr, request: &str) -> String {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((address, 0).into()).unwrap();
    let mut stream = socket.connect(at).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut response = Vec::new();
    stream.read_to_end(&mut response).await.unwrap();
    String::from_utf8_lossy(&response).into_owned()
}

/// Sends wrong passwords from more addresses than the table holds. Others are not slowed down.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_passwords_from_many_addresses_do_not_slow_down_others() {
    let site = site().await;
    let (at, mut tasks) = (site.at, JoinSet::new());
    let token = site.get("/login").await.token().to_owned();
    let form = format!("token={token}&password=");
    let post = |password: &str| {
        let body = format!("{form}{password}");
        let length = body.len();
        format!(
            "POST /login HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n\
             Content-Type: application/x-www-form-urlencoded\r\n\r\n{body}"
        )
    };
    let (get, wrong, right) = ("GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n", post("wrong"), post(TYPED));
    let permits = Arc::new(Semaphore::new(300));
    for n in 0..10_500_u32 {
        let (permits, wrong) = (Arc::clone(&permits), wrong.clone());
        let [_, _, high, low] = n.to_be_bytes();
        tasks.spawn(async move {
            let _permit = permits.acquire().await.unwrap();
            let program = format!("{get}Authorization: Basic eDp5\r\n\r\n");
            let response = from([127, 7, high, low], at, if n % 50 == 0 { &wrong } else { &program }).await;
            assert!(response.starts_with("HTTP/1.1 401 "), "{response}");
        });
    }
    let mut slowest = Duration::ZERO;
    while tasks.len() > 100 {
        let start = Instant::now();
        assert!(from([127, 9, 9, 9], at, &right).await.starts_with("HTTP/1.1 303 "));
        let program = format!("{get}Authorization: {BASIC}\r\n\r\n");
        assert!(from([127, 9, 9, 9], at, &program).await.starts_with("HTTP/1.1 200 "));
        slowest = slowest.max(start.elapsed());
        while tasks.try_join_next().is_some() {}
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    tasks.join_all().await;
    eprintln!("the slowest login and scrape together: {slowest:?}");
    assert!(slowest < Duration::from_secs(10), "{slowest:?}");
    assert!(from([127, 9, 9, 8], at, &right).await.starts_with("HTTP/1.1 303 "));
}

#[tokio::test]
async fn only_a_trusted_proxy_names_the_client() {
    let proxied = Fixture::with(&[("MONITOR_PASSWORD", PASSWORD), ("TRUSTED_PROXIES", "127.0.0.0/8")]).await;
    let attempt = async |site: &Fixture, client: &str, password: &str| {
        let token = site.get("/login").await.token().to_owned();
        let headers = [("X-Forwarded-For", client), ("X-Forwarded-Proto", "https")];
        site.post("/login", &headers, &format!("token={token}&password={password}")).await
    };
    for _ in 0..10 {
        assert_eq!(attempt(&proxied, "198.51.100.7, 192.0.2.1", "wrong").await.status, 401);
    }
    assert_eq!(
        attempt(&proxied, "198.51.100.8, 192.0.2.1", TYPED).await.status,
        429,
        "the client's own headers are ignored"
    );
    let inside = attempt(&proxied, "192.0.2.1, 192.0.2.2", TYPED).await;
    assert_eq!(inside.status, 303);
    assert!(inside.header("set-cookie").unwrap().contains("; Secure"));
    let direct = site().await;
    for n in 0..10 {
        assert_eq!(attempt(&direct, &format!("192.0.2.{n}"), "wrong").await.status, 401);
    }
    assert_eq!(attempt(&direct, "192.0.2.99", TYPED).await.status, 429);
    let token = direct.get("/login").await.token().to_owned();
    let other = format!("token={token}&password={TYPED}");
    let request = format!(
        "POST /login HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Forwarded-Proto: https\r\nContent-Length: {}\r\n\
         Content-Type: application/x-www-form-urlencoded\r\n\r\n{other}",
        other.len()
    );
    let response = from([127, 9, 9, 9], direct.at, &request).await;
    assert!(response.starts_with("HTTP/1.1 303 ") && !response.contains("; Secure"), "{response}");
}

#[tokio::test]
async fn other_sites_may_only_link_here() {
    for site in [Fixture::open().await, site().await] {
        let headers =
            |mode, dest| [("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", mode), ("Sec-Fetch-Dest", dest)];
        for path in ["/", "/jobs", "/login", "/static/style.css", "/captured", "/api/jobs"] {
            for (mode, dest) in [("no-cors", "image"), ("cors", "empty"), ("navigate", "iframe"), ("no-cors", "script")]
            {
                assert_eq!(site.get_with(path, &headers(mode, dest)).await.status, 403, "{path} {mode} {dest}");
            }
        }
        assert!(matches!(site.get_with("/jobs", &headers("navigate", "document")).await.status, 200 | 303));
        assert!(matches!(site.get("/jobs").await.status, 200 | 303), "programs send no such header");
    }
}

#[tokio::test]
async fn without_a_password_requests_through_proxies_are_refused() {
    let site = Fixture::open().await;
    for header in [
        "Forwarded",
        "X-Forwarded-For",
        "X-Forwarded-Proto",
        "X-Forwarded-Host",
        "X-Forwarded-Anything",
        "X-Real-IP",
        "Via",
    ] {
        for path in ["/", "/api/jobs", "/metrics", "/captured"] {
            let refused = site.get_with(path, &[(header, "1.1 x")]).await;
            assert_eq!(refused.status, 403, "{header} {path}");
            refused.shows("set MONITOR_PASSWORD");
        }
    }
    for host in ["evil.example", "localhost.evil.example", "10.0.0.1", "127.0.0.1.nip.io:5555"] {
        assert_eq!(site.get_with("/", &[("Host", host)]).await.status, 421, "{host}");
    }
    assert_eq!(site.get_with("/", &[("Host", "localhost"), ("Host", "evil.example")]).await.status, 421);
    assert_eq!(site.get_with("/", &[("Host", "127.0.0.9:1")]).await.status, 200);
}

#[tokio::test]
async fn an_outage_of_redis_ends_no_session() {
    let redis = PrivateRedis::start_tcp().await;
    let site = Fixture::start(settings(&redis.url(), &[("MONITOR_PASSWORD", PASSWORD)])).await;
    let session = log_in(&site, TYPED, "/").await.cookie("postroom_session").unwrap();
    redis.kill();
    let page = site.get_with("/jobs", &[("Cookie", &session)]).await;
    assert_eq!(page.status, 503);
    page.shows("<h1>Redis is unavailable</h1>");
    redis.start_again().await;
    eventually(Duration::from_secs(30), "Redis is available again", async || {
        (site.get("/healthz").await.status == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_login_redirects_only_to_this_site() {
    let site = site().await;
    for next in ["https%3A%2F%2Fevil.example", "%2F%2Fevil.example", "%2F%5Cevil.example"] {
        assert_eq!(log_in(&site, TYPED, next).await.header("location"), Some("/"), "{next}");
    }
    let page = site.get("/login?next=%22%3E%3Cscript%3E").await;
    page.lacks("<script>");
}
