//! Captured mail, shown as an inbox.

use std::{fmt::Write as _, net::SocketAddr, time::Duration};

use postroom_core::{Settings, Store, store::CapturedMail};
use postroom_testkit::{PrivateRedis, Process, eventually};

use crate::{
    browser::request,
    fixture::{Fixture, settings},
};

const LIMIT: Duration = Duration::from_secs(60);

const MESSAGE: &str = "From: =?utf-8?q?=C5=BB=C3=B3=C5=82=C4=87?= <z@example.org>\r\nTo: ann@example.org\r\n\
    Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\nX-Evil: <script>alert(1)</script>\r\nMIME-Version: 1.0\r\n\
    Content-Type: multipart/alternative; boundary=a\r\n\r\n--a\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n\
    plain <script>words</script>\r\n--a\r\nContent-Type: text/html; charset=utf-8\r\n\r\n\
    <p>rich</p><script>alert(2)</script><img src=\"https://tracker.example/x.png\">\r\n--a--\r\n";

async fn capture(store: &Store, subject: &str, message: &str) -> String {
    let mail = CapturedMail {
        mail_from: Some("z@example.org".parse().unwrap()),
        rcpt_to: vec!["ann@example.org".parse().unwrap()],
        subject: subject.to_owned(),
        message: message.as_bytes().to_vec(),
    };
    store.capture(&mail).await.unwrap()
}

#[tokio::test]
async fn the_inbox_has_pages() {
    let site = Fixture::open().await;
    site.get("/captured").await.shows("No mail is captured");
    for n in 0..51 {
        capture(&site.store, &format!("subject {n}."), MESSAGE).await;
    }
    let first = site.get("/captured").await;
    first.shows("subject 50.");
    first.lacks("subject 0.");
    first.shows("rel=\"next\" href=\"/captured?page=1\"");
    let second = site.get("/captured?page=1").await;
    second.shows("subject 0.");
    second.lacks("rel=\"next\"");
    assert_eq!(site.get("/captured?page=x").await.status, 400);
}

#[tokio::test]
async fn a_mail_is_shown_with_its_parts() {
    let site = Fixture::open().await;
    let id = capture(&site.store, "Grüße <script>", MESSAGE).await;
    let page = site.get(&format!("/captured/{id}")).await;
    page.shows("Grüße &#60;script&#62;");
    page.shows("Żółć &#60;z@example.org&#62;");
    page.shows("plain &#60;script&#62;words");
    page.shows("&#60;script&#62;alert(1)&#60;/script&#62;");
    page.lacks("<script>");
    let frame = site.get(&format!("/captured/{id}/preview")).await;
    frame.shows("<p>rich</p>");
    frame.lacks("script");
    let policy = frame.header("content-security-policy").unwrap();
    assert!(policy.starts_with("sandbox;") && policy.contains("img-src data:"), "{policy}");
    let raw = site.get(&format!("/captured/{id}/raw")).await;
    assert_eq!(raw.body, MESSAGE);
    assert_eq!(raw.header("content-type"), Some("message/rfc822"));
    assert_eq!(raw.header("content-disposition").unwrap(), format!("attachment; filename=\"{id}.eml\""));
}

#[tokio::test]
async fn malformed_messages_are_shown() {
    let site = Fixture::open().await;
    for message in
        ["", "no header at all", "Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n", "\0\0\r\n\r\n\u{1}"]
    {
        let id = capture(&site.store, "", message).await;
        let page = site.get(&format!("/captured/{id}")).await;
        assert_eq!(page.status, 200, "{message:?}");
        page.shows("(no subject)");
        assert_eq!(site.get(&format!("/captured/{id}/raw")).await.body, message);
    }
    assert_eq!(site.get("/captured/01ARZ3NDEKTSV4RRFFQ69G5FAV").await.status, 404);
}

/// Returns an HTML mail with an embedded image.
fn with_picture(html: &str, kind: &str) -> String {
    format!(
        "MIME-Version: 1.0\r\nContent-Type: multipart/related; boundary=m\r\n\r\n\
         --m\r\nContent-Type: text/html; charset=utf-8\r\n\r\n{html}\r\n\
         --m\r\nContent-Type: {kind}\r\nContent-ID: <pic@x>\r\nContent-Transfer-Encoding: base64\r\n\r\n\
         iVBORw0KGgo=\r\n--m--\r\n"
    )
}

/// Returns the address of the only image of a frame.
fn image_of(frame: &str) -> String {
    let (_, rest) = frame.split_once("<img src=\"").expect("an image");
    rest.split('"').next().unwrap().replace("&amp;", "&")
}

#[tokio::test]
async fn images_have_separate_addresses_with_a_proof() {
    let site = Fixture::open().await;
    let id = capture(&site.store, "x", &with_picture("<img src='cid:pic@x'>", "image/png")).await;
    let frame = site.get(&format!("/captured/{id}/preview")).await;
    frame.lacks("data:image");
    assert!(frame.header("content-security-policy").unwrap().contains("img-src data: 'self';"));
    let address = format!("/captured/{id}/{}", image_of(&frame.body));
    // As a browser requests it from a frame with an opaque origin.
    let from_frame = [("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "no-cors"), ("Sec-Fetch-Dest", "image")];
    let image = site.get_with(&address, &from_frame).await;
    assert_eq!((image.status, image.header("content-type")), (200, Some("image/png")));
    assert_eq!(image.header("x-content-type-options"), Some("nosniff"));
    assert!(image.header("content-security-policy").unwrap().starts_with("sandbox;"));
    for forged in
        [address.replace("image/0", "image/1"), address.replace("proof=", "proof=A"), format!("/captured/{id}/image/0")]
    {
        assert_eq!(site.get(&forged).await.status, 401, "{forged}");
    }
    for kind in ["image/svg+xml", "text/html", "application/pdf"] {
        let id = capture(&site.store, "x", &with_picture("<img src='cid:pic@x'>", kind)).await;
        let frame = site.get(&format!("/captured/{id}/preview")).await;
        assert_eq!(image_of(&frame.body), "cid:pic@x", "{kind}");
    }
}

#[tokio::test]
async fn a_preview_loads_nothing_and_can_not_navigate() {
    let site = Fixture::open().await;
    let html = "<link rel=dns-prefetch href=//tracker.example><base href=//x.example><p>rich</p>\
        <meta http-equiv=refresh content='0;url=//x.example'><form action=//x.example><input></form>\
        <img src=x onerror=alert(1)><<link>script>alert(1)</script><svg><style><img src=y onerror=alert(1)></style>";
    let id = capture(&site.store, "x", &with_picture(html, "image/png")).await;
    let frame = site.get(&format!("/captured/{id}/preview")).await;
    frame.shows("<p>rich</p>");
    for removed in ["<link", "<base", "<meta", "<form", "<img src=x onerror", "src=\"x\" onerror", "<script", "<svg"] {
        frame.lacks(removed);
    }
    assert_eq!(frame.header("x-dns-prefetch-control"), Some("off"));
    assert_eq!(frame.header("referrer-policy"), Some("no-referrer"));
}

#[tokio::test]
async fn mail_without_a_summary_is_listed() {
    let site = Fixture::open().await;
    let id = capture(&site.store, "From before", MESSAGE).await;
    let pattern = format!("*:captured:{id}:summary");
    let keys = PrivateRedis::shared().ask(&["KEYS", &pattern]);
    assert_eq!(PrivateRedis::shared().ask(&["DEL", keys.trim()]).trim(), "1");
    let page = site.get("/captured").await;
    page.shows("From before");
    page.shows("ann@example.org");
}

/// Starts a monitor as a separate process, so that its memory can be measured.
async fn monitor(settings: &Settings, url: &str) -> (Process, SocketAddr) {
    let envs = [("POSTROOM_PREFIX", settings.redis.prefix.as_str())];
    let process = Process::spawn(env!("CARGO_BIN_EXE_postroom-monitor"), &["--port", "0", "--redis-url", url], &envs);
    let line = process.wait_for_line("listening on http://", LIMIT).await;
    let at = line.split("http://").nth(1).unwrap().trim().parse().unwrap();
    eventually(LIMIT, "it is healthy", async || {
        (request(at, "GET", "/healthz", &[], "").await.status == 200).then_some(())
    })
    .await;
    (process, at)
}

/// Extends the stored mail to a number of bytes, without sending them to Redis.
fn lengthen(redis: &PrivateRedis, settings: &Settings, id: &str, bytes: u64) {
    let system = format!("{{{}:system}}", settings.redis.prefix);
    redis.ask(&["SETRANGE", &format!("{system}:captured:{id}"), &(bytes - 1).to_string(), "x"]);
    redis.ask(&["INCRBY", &format!("{system}:captured_bytes"), &bytes.to_string()]);
}

#[tokio::test]
async fn an_inbox_of_large_mails_needs_little_memory() {
    let redis = PrivateRedis::start().await;
    let settings = settings(&redis.url(), &[]);
    let store = Store::connect(&settings.redis).await.unwrap();
    for n in 0..50 {
        let id = capture(&store, &format!("subject {n}."), MESSAGE).await;
        lengthen(&redis, &settings, &id, 8_000_000 / 3 * 4);
    }
    let (process, at) = monitor(&settings, &redis.url()).await;
    let page = request(at, "GET", "/captured", &[], "").await;
    page.shows("subject 0.");
    page.shows("subject 49.");
    let peak = process.peak_rss_kb() / 1_000;
    eprintln!("an inbox of 50 mails of 8 MB: {peak} MB");
    assert!(peak < 100, "{peak} MB");
}

#[tokio::test]
async fn captured_mail_is_bounded_in_bytes() {
    let redis = PrivateRedis::start().await;
    let settings = settings(&redis.url(), &[]);
    let store = Store::connect(&settings.redis).await.unwrap();
    let mut ids = Vec::new();
    for n in 0..20 {
        ids.push(capture(&store, &format!("{n}"), MESSAGE).await);
        lengthen(&redis, &settings, &ids[n], 40_000_000);
    }
    // The next capture finds 800 MB stored; 17 mails fit into the limit of 700 MB.
    ids.push(capture(&store, "last", MESSAGE).await);
    let left: Vec<String> = store.captured(0, 100).await.unwrap().into_iter().map(|mail| mail.id).collect();
    assert_eq!(left, ids[3..].iter().rev().cloned().collect::<Vec<_>>());
    let left = redis.ask(&["DBSIZE"]);
    assert_eq!(left.trim().trim_start_matches("(integer) "), "38", "18 mails, their summaries, the list and the sum");
}

#[tokio::test]
async fn hostile_messages_need_bounded_memory() {
    let redis = PrivateRedis::start().await;
    let settings = settings(&redis.url(), &[]);
    let store = Store::connect(&settings.redis).await.unwrap();
    let (process, at) = monitor(&settings, &redis.url()).await;
    let picture = with_picture(&"<img src=cid:pic@x>".repeat(20_000), "image/png");
    let picture = picture.replace("iVBORw0KGgo=", &"AAAA".repeat(5_000));
    let mut nested = String::from("MIME-Version: 1.0\r\n");
    for n in 0..20_000 {
        let _ = write!(nested, "Content-Type: multipart/mixed; boundary=b{n}\r\n\r\n--b{n}\r\n");
    }
    for (what, message) in [
        ("20,000 references", picture),
        ("headers", "a:\r\n".repeat(590_000)),
        ("parts", format!("Content-Type: multipart/mixed; boundary=a\r\n\r\n{}", "--a\r\n\r\n".repeat(290_000))),
        ("nested parts", nested),
        ("addresses", format!("To: {}\r\n\r\n", "a@b,".repeat(1_500_000))),
        ("parameters", format!("Content-Type: a/b{}\r\n\r\n", ";a=b".repeat(1_900_000))),
        ("ids", format!("Content-ID: {}\r\n\r\n", "<a>".repeat(1_900_000))),
        ("too many lines", "a:\r\n".repeat(1_000_000)),
        ("text", format!("\r\n{}", "<\u{1}&".repeat(1_900_000))),
        ("html", format!("Content-Type: text/html\r\n\r\n{}", "<i a=cid:a>".repeat(170_000))),
    ] {
        let id = capture(&store, what, &message).await;
        for path in ["", "/preview", "/raw"] {
            let response = request(at, "GET", &format!("/captured/{id}{path}"), &[], "").await;
            assert!(matches!(response.status, 200 | 404 | 413 | 503), "{what} {path} {}", response.status);
        }
        eprintln!("{what}: {} MB", process.peak_rss_kb() / 1_000);
    }
    assert_eq!(request(at, "GET", "/healthz", &[], "").await.status, 200);
    let peak = process.peak_rss_kb() / 1_000;
    assert!(peak < 350, "{peak} MB");
}
