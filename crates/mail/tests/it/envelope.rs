//! Envelope senders, and mail that requires SMTPUTF8.

use std::sync::Arc;

use postroom_core::settings::TransportSettings;
use postroom_mail::{Attempt, Commit, Message, Rendered, Transport, Verdict, compose};
use postroom_testkit::smtp::{Action, FakeSmtp, Fault, FaultPhase};
use serde_json::{Value, json};

use crate::{
    fixture::{MemorySink, addresses, settings_of, verdicts},
    identity, mail,
};

const REASON: &str = "żółć@example.net is not ASCII, and the server does not offer SMTPUTF8";

fn composed(fields: Value) -> Message {
    let mut value = json!({"from": "Shop <shop@example.org>", "to": "ann@example.net", "subject": "s", "text": "t"});
    let Value::Object(more) = fields else { panic!("not an object") };
    value.as_object_mut().expect("an object").extend(more);
    let rendered = Rendered::literal("s", Some("t"), None);
    compose(&Arc::new(mail(value)), rendered, &identity(), None).expect("composed")
}

fn transport(server: &FakeSmtp, envelope_from: Option<&str>) -> Transport {
    let settings = TransportSettings::Smtp(settings_of(server));
    let transport = Transport::from_settings("main", &settings, Arc::new(MemorySink::default())).expect("a transport");
    transport.with_envelope_from(envelope_from.map(|text| text.parse().expect("a pattern")))
}

async fn send(transport: &Transport, message: &Message) -> Attempt {
    transport.send(message, &message.envelope.rcpt_to, async { Commit::Proceed }).await
}

async fn server_without_smtputf8() -> FakeSmtp {
    FakeSmtp::builder().smtputf8(false).start().await
}

#[tokio::test]
async fn the_envelope_sender_is_the_mails_or_the_transports_or_from() {
    let server = FakeSmtp::start().await;
    let id = identity().message_id;
    let verp = format!("bounces+{}@example.org", id.split('@').next().expect("an id"));
    for (of_mail, of_transport, expected) in [
        (None, None, "shop@example.org"),
        (None, Some("bounces@example.org"), "bounces@example.org"),
        (None, Some("bounces+{id}@example.org"), verp.as_str()),
        (None, Some("<>"), ""),
        (Some("own@example.org"), None, "own@example.org"),
        (Some("own@example.org"), Some("bounces@example.org"), "own@example.org"),
        (Some("<>"), Some("bounces@example.org"), ""),
        (Some("bounces+{id}@example.org"), Some("<>"), verp.as_str()),
        (Some("\"a b\"@[192.0.2.5]"), None, "\"a b\"@[192.0.2.5]"),
        (Some("a@żółw.pl"), None, "a@xn--w-uga1v8h.pl"),
    ] {
        let fields = of_mail.map_or(json!({}), |sender| json!({"envelope_from": sender}));
        let attempt = send(&transport(&server, of_transport), &composed(fields)).await;
        assert_eq!(attempt.verdict, Verdict::Accepted, "{attempt:?}");
        let received = server.received().pop().expect("a mail");
        assert_eq!(received.mail_from, expected, "{of_mail:?} {of_transport:?}");
        assert_eq!(received.header("From").as_deref(), Some("Shop <shop@example.org>"));
        assert_eq!(received.header("Return-Path"), None);
    }
    assert_eq!(server.violations(), Vec::<String>::new());
}

#[tokio::test]
async fn recipients_with_quotes_and_literals_are_sent_as_they_are() {
    let server = FakeSmtp::start().await;
    let to = ["\"ann lee\"@example.net", "\"a, b\"@example.net", "ann@[192.0.2.5]", "ann@[IPv6:2001:db8::1]"];
    let attempt = send(&transport(&server, None), &composed(json!({"to": to}))).await;
    assert_eq!(verdicts(&attempt), to.map(|address| (address, Verdict::Accepted)));
    assert_eq!(server.received()[0].rcpt_to, to);
    assert_eq!(server.violations(), Vec::<String>::new());
}

#[tokio::test]
async fn smtputf8_is_requested_when_an_address_needs_it() {
    let server = FakeSmtp::start().await;
    for (fields, needed) in [
        (json!({"to": "Żółć <ann@example.net>", "subject": "żółć"}), false),
        (json!({"to": "ann@żółw.pl", "reply_to": "Ёлка <info@żółw.pl>"}), false),
        (json!({"to": "żółć@example.net"}), true),
        (json!({"bcc": "żółć@example.net"}), true),
        (json!({"reply_to": "żółć@example.net"}), true),
        (json!({"from": "żółć@example.org", "envelope_from": "shop@example.org"}), true),
        (json!({"envelope_from": "żółć@example.org"}), true),
        (json!({"from": "żółć@example.org", "envelope_from": "<>"}), true),
    ] {
        let attempt = send(&transport(&server, None), &composed(fields.clone())).await;
        assert_eq!(attempt.verdict, Verdict::Accepted, "{fields}: {attempt:?}");
        let received = server.received().pop().expect("a mail");
        assert_eq!(received.params.iter().any(|param| param == "SMTPUTF8"), needed, "{fields}: {:?}", received.params);
    }
    assert_eq!(server.violations(), Vec::<String>::new());
}

#[tokio::test]
async fn recipients_in_a_copy_alone_need_smtputf8_for_their_header() {
    let server = FakeSmtp::start().await;
    let message = composed(json!({"cc": "żółć@example.net"}));
    let only = addresses(&["ann@example.net"]);
    let attempt = transport(&server, None).send(&message, &only, async { Commit::Proceed }).await;
    assert_eq!(attempt.verdict, Verdict::Accepted, "{attempt:?}");
    let received = server.received().pop().expect("a mail");
    assert_eq!(
        (received.rcpt_to, received.params.contains(&"SMTPUTF8".to_owned())),
        (vec!["ann@example.net".to_owned()], true)
    );
}

#[tokio::test]
async fn reachable_recipients_get_their_mail_from_a_server_without_smtputf8() {
    for (fields, to, cc) in [
        (
            json!({"to": ["ann@example.net", "Ż <żółć@example.net>", "Ben <ben@example.net>"]}),
            "ann@example.net, Ben <ben@example.net>",
            None,
        ),
        (
            json!({"to": "ann@example.net", "cc": ["żółć@example.net", "ben@example.net"]}),
            "ann@example.net",
            Some("ben@example.net"),
        ),
        (
            json!({"to": ["ann@example.net", "ben@example.net"], "bcc": "żółć@example.net"}),
            "ann@example.net, ben@example.net",
            None,
        ),
        (
            json!({"to": "żółć@example.net", "bcc": ["ann@example.net", "ben@example.net"]}),
            "undisclosed-recipients:;",
            None,
        ),
    ] {
        let server = server_without_smtputf8().await;
        let message = composed(fields.clone());
        let attempt = send(&transport(&server, None), &message).await;
        assert_eq!(attempt.verdict, Verdict::Accepted, "{fields}: {attempt:?}");
        for own in &attempt.recipients {
            let is_reachable = own.address.as_str() != "żółć@example.net";
            let expected = if is_reachable { Verdict::Accepted } else { Verdict::Invalid };
            assert_eq!(own.verdict, expected, "{attempt:?}");
            assert!(is_reachable || own.reply == REASON, "{}", own.reply);
        }
        let order: Vec<_> = attempt.recipients.iter().map(|own| &own.address).collect();
        assert_eq!(order, message.envelope.rcpt_to.iter().collect::<Vec<_>>());
        let received = server.received();
        assert_eq!(
            (received.len(), &received[0].rcpt_to[..]),
            (1, &["ann@example.net".to_owned(), "ben@example.net".to_owned()][..])
        );
        assert!(!received[0].params.contains(&"SMTPUTF8".to_owned()) && received[0].data.is_ascii());
        assert_eq!((received[0].header("To").as_deref(), received[0].header("Cc").as_deref()), (Some(to), cc));
        let text = String::from_utf8_lossy(&received[0].data).into_owned();
        assert!(text.contains("\r\nMIME-Version: 1.0\r\nContent-Type: ") && text.ends_with("\r\n\r\nt\r\n"), "{text}");
        assert_eq!(server.violations(), Vec::<String>::new());
    }
}

#[tokio::test]
async fn an_unreachable_recipient_stays_open_while_the_transport_is_at_fault() {
    let message = composed(json!({"to": ["ann@example.net", "żółć@example.net"]}));
    let (all, invalid) = (["ann@example.net", "żółć@example.net"], Verdict::Invalid);
    for (reply, verdict, own) in [
        (Action::reply(451, "4.3.0 try later"), Verdict::Later, invalid),
        (Action::reply(450, "4.7.0 Transmit rate limit exceeded"), Verdict::Throttled, Verdict::Throttled),
        (Action::reply(550, "5.1.1 no such user"), Verdict::RecipientRefused, invalid),
    ] {
        let server = server_without_smtputf8().await;
        server.fault(Fault::at(FaultPhase::Rcpt, reply));
        let attempt = send(&transport(&server, None), &message).await;
        assert_eq!(
            (attempt.verdict, verdicts(&attempt)),
            (verdict, vec![(all[0], verdict), (all[1], own)]),
            "{attempt:?}"
        );
    }
}

#[tokio::test]
async fn a_sender_that_requires_smtputf8_is_refused_with_its_reason() {
    for (fields, words) in [
        (json!({"to": "żółć@example.net"}), "żółć@example.net is not ASCII"),
        (json!({"envelope_from": "żółć@example.org"}), "żółć@example.org is not ASCII"),
        (json!({"from": "żółć@example.org", "envelope_from": "<>"}), "a header is not ASCII"),
        (json!({"reply_to": "żółć@example.org"}), "a header is not ASCII"),
    ] {
        let server = server_without_smtputf8().await;
        let attempt = send(&transport(&server, None), &composed(fields.clone())).await;
        assert_eq!(attempt.verdict, Verdict::Invalid, "{fields}: {attempt:?}");
        assert!(attempt.reply.contains(words) && attempt.reply.contains("SMTPUTF8"), "{}", attempt.reply);
        assert_eq!(server.received_count(), 0);
    }
}

#[tokio::test]
async fn a_captured_mail_has_its_envelope_sender() {
    let sink = Arc::new(MemorySink::default());
    let transport = Transport::from_settings("main", &TransportSettings::Capture, Arc::clone(&sink) as _);
    let transport = transport.expect("a transport").with_envelope_from("<>".parse().ok());
    send(&transport, &composed(json!({}))).await;
    send(&transport, &composed(json!({"envelope_from": "own@example.org"}))).await;
    let senders: Vec<_> = sink.stored.lock().expect("stored").iter().map(|mail| mail.mail_from.clone()).collect();
    assert_eq!(senders, [None, "own@example.org".parse().ok()]);
}

#[test]
fn an_envelope_sender_that_is_too_long_with_its_id_is_refused() {
    let long = json!({"from": "a@example.org", "to": "b@example.org", "subject": "s", "text": "t",
        "envelope_from": format!("{}{{id}}@example.org", "b".repeat(60))});
    let error = compose(&Arc::new(mail(long)), Rendered::literal("s", Some("t"), None), &identity(), None);
    let error = error.expect_err("too long").to_string();
    assert!(error.contains("envelope_from") && error.contains("longer than 64"), "{error}");
}
