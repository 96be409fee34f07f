#![allow(warnings)]
#[path = "../tests/it/worker.rs"] mod worker;
use worker::*;
use postroom_core::{*, store::*, settings::Sources};
use serde_json::json;
#[tokio::main]
async fn main() {
    let env = std::env::vars().collect();
    let settings = Settings::from_sources(&Sources { env, ..Sources::default() }).unwrap();
    let store = Store::connect(&settings.redis).await.unwrap();
    let tpl = |n: &str, to: &str, vars| -> Mail { serde_json::from_value(json!({"to": to, "template": n, "vars": vars})).unwrap() };
    let people = ["Żaneta Wójcik <zaneta@example.pl>", "Ann Baker <ann@example.org>", "李雷 <lilei@example.cn>", "\"O'Brien & <b>\" <obrien@example.ie>"];
    for (i, p) in people.iter().enumerate() {
        enqueue(&store, &emails(), tpl("user_activation", p, json!({"name": p, "activation_url": "https://example.org/activate/x", "url":"https://example.org","expires_in":"2 days", "app_name":"Example", "link":"https://example.org/a"}))).await;
    }
    let hands = Hands::new(&store, emails());
    hands.settle_next(Outcome::Sent, "250 2.0.0 Ok: queued as 4FjK2").await;
    hands.settle_next(Outcome::Failed, "550 5.1.1 <lilei@example.cn>: Recipient address rejected: User unknown in virtual mailbox table").await;
    let id = hands.defer_next("451 4.7.1 Greylisting in action, please come back later").await;
    store.retry(&id).await;
    hands.defer_next("421 4.3.2 Service shutting down").await;
    let mut t = terms(&emails()); t.sensitive = true;
    enqueue_with(&store, &emails(), &t, tpl("password_reset", "ann@example.org", json!({"name":"Ann"}))).await;
    let mut t = terms(&emails()); t.due = Due::In(std::time::Duration::from_secs(9000));
    enqueue_with(&store, &emails(), &t, mail("ben@example.org", "Your event starts tomorrow")).await;
    let html = "<div style='font-family:sans-serif;padding:32px;background:#eef'><h1 style='color:#334'>Hello Ann</h1><p>This is <b>rich</b> mail with <a href='https://example.org'>a link</a>.</p></div>";
    let j = enqueue(&store, &emails(), serde_json::from_value(json!({"from":"Example <news@example.org>","to":["Ann <ann@example.org>","ben@example.org"],"cc":"cid@example.org","subject":"Your invoice 2026-11","html":html,"vars":{}})).unwrap()).await;
    println!("JOB {j}");
    println!("JOBD {id}");
    let b = batch(&store, "November newsletter", 150).await;
    let h = Hands::new(&store, QueueName::bulk());
    for i in 0..90 { h.settle_next(if i % 17 == 3 { Outcome::Failed } else { Outcome::Sent }, if i % 17 == 3 {"552 5.2.2 Mailbox full"} else {"250 OK"}).await; }
    h.settle_next(Outcome::Unknown, "the connection was lost after the final dot").await;
    println!("BATCH {b}");
    let b2 = batch(&store, "Spring sale", 20).await;
    store.cancel_batch(&b2).await;
    for i in 0..12 {
        let m = format!("From: Example <news@example.org>\r\nTo: Ann <ann{i}@example.org>\r\nSubject: Welcome aboard, number {i}\r\nMIME-Version: 1.0\r\nMessage-ID: <x{i}@example.org>\r\nContent-Type: multipart/alternative; boundary=a\r\n\r\n--a\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nHello\r\n--a\r\nContent-Type: text/html; charset=utf-8\r\n\r\n{html}\r\n--a--\r\n");
        let id = store.capture(&CapturedMail{mail_from: Some("news@example.org".parse().unwrap()), rcpt_to: vec![format!("ann{i}@example.org").parse().unwrap()], subject: format!("Welcome aboard, number {i}"), message: m.into_bytes()}).await.unwrap();
        println!("CAP {id}");
    }
    let mut w = ProcessInfo::of_this_process(ProcessKind::Worker, "w1".into());
    w.queues = vec![emails(), "default".parse().unwrap()]; w.concurrency = 10; w.sent = 1234; w.failed = 7;
    let mut bt = ProcessInfo::of_this_process(ProcessKind::Beat, "b1".into());
    bt.alert = Some("schedule daily-report: template newsletter is missing here".into());
    loop { store.say_alive(&w).await; store.say_alive(&bt).await; tokio::time::sleep(std::time::Duration::from_secs(4)).await; }
}
