//! Captured mail as an inbox.

use postroom_core::store::CapturedMail;

use crate::site::Site;

const MESSAGE: &str = "From: =?utf-8?q?=C5=BB=C3=B3=C5=82=C4=87?= <z@example.org>\r\nTo: ann@example.org\r\n\
    Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\nX-Evil: <script>alert(1)</script>\r\nMIME-Version: 1.0\r\n\
    Content-Type: multipart/alternative; boundary=a\r\n\r\n--a\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n\
    plain <script>words</script>\r\n--a\r\nContent-Type: text/html; charset=utf-8\r\n\r\n\
    <p>rich</p><script>alert(2)</script><img src=\"https://tracker.example/x.png\">\r\n--a--\r\n";

async fn capture(site: &Site, subject: &str, message: &str) -> String {
    let mail = CapturedMail {
        mail_from: Some("z@example.org".parse().unwrap()),
        rcpt_to: vec!["ann@example.org".parse().unwrap()],
        subject: subject.to_owned(),
        message: message.as_bytes().to_vec(),
    };
    site.store.capture(&mail).await.unwrap()
}

#[tokio::test]
async fn an_inbox_page_by_page() {
    let site = Site::open().await;
    site.get("/captured").await.shows("Nothing is captured");
    for n in 0..51 {
        capture(&site, &format!("subject {n}."), MESSAGE).await;
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
async fn a_mail_is_taken_apart() {
    let site = Site::open().await;
    let id = capture(&site, "Grüße <script>", MESSAGE).await;
    let page = site.get(&format!("/captured/{id}")).await;
    page.shows("Grüße &#60;script&#62;");
    page.shows("Żółć &#60;z@example.org&#62;");
    page.shows("plain &#60;script&#62;words");
    page.shows("&#60;script&#62;alert(1)&#60;/script&#62;");
    page.lacks("<script>");
    let frame = site.get(&format!("/captured/{id}/preview")).await;
    frame.shows("<p>rich</p>");
    let policy = frame.header("content-security-policy").unwrap();
    assert!(policy.starts_with("sandbox;") && policy.contains("img-src data:"), "{policy}");
    let raw = site.get(&format!("/captured/{id}/raw")).await;
    assert_eq!(raw.body, MESSAGE);
    assert_eq!(raw.header("content-type"), Some("message/rfc822"));
    assert_eq!(raw.header("content-disposition").unwrap(), format!("attachment; filename=\"{id}.eml\""));
}

#[tokio::test]
async fn odd_messages_are_shown_as_far_as_they_go() {
    let site = Site::open().await;
    for message in
        ["", "no header at all", "Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n", "\0\0\r\n\r\n\u{1}"]
    {
        let id = capture(&site, "", message).await;
        let page = site.get(&format!("/captured/{id}")).await;
        assert_eq!(page.status, 200, "{message:?}");
        page.shows("(no subject)");
        assert_eq!(site.get(&format!("/captured/{id}/raw")).await.body, message);
    }
    assert_eq!(site.get("/captured/01ARZ3NDEKTSV4RRFFQ69G5FAV").await.status, 404);
}
