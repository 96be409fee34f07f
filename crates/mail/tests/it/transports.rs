//! Conformance suite over every transport, and tests of each transport.

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::STANDARD};
use postroom_core::settings::{SmtpSettings, TransportSettings};
use postroom_mail::{Commit, Verdict, login_check};
use postroom_testkit::{
    FakeResend,
    smtp::{Action, FakeSmtp, Fault, FaultPhase},
};

use crate::fixture::{
    ALL, Destination, Fixture, MemorySink, addresses, files, is_that, message, settings_of, verdicts,
};

#[tokio::test]
async fn every_transport_accepts_after_the_commit() {
    for fixture in Fixture::all().await {
        let message = message();
        let (attempt, commits) = fixture.send(&message, &addresses(&ALL), Commit::Proceed).await;
        assert_eq!((attempt.verdict, commits, &*attempt.transport), (Verdict::Accepted, 1, "main"), "{attempt:?}");
        assert_eq!(verdicts(&attempt), ALL.map(|address| (address, Verdict::Accepted)));
        assert_eq!(attempt.receipt.is_some(), !fixture.stores_nothing(), "{attempt:?}");
        let got = fixture.messages();
        assert_eq!(got.len(), usize::from(!fixture.stores_nothing()));
        assert!(got.iter().all(|(_, bytes)| is_that(bytes.as_ref(), &message)), "the bytes are sent unchanged");
    }
}

#[tokio::test]
async fn every_transport_sends_nothing_after_an_abort() {
    for fixture in Fixture::all().await {
        let (attempt, commits) = fixture.send(&message(), &addresses(&ALL), Commit::Abort).await;
        assert_eq!((attempt.verdict, commits), (Verdict::Aborted, 1), "{attempt:?}");
        assert!(!attempt.verdict.counts() && !attempt.verdict.is_final());
        assert_eq!(fixture.messages(), []);
        if let Destination::Folder(folder) = &fixture.destination {
            assert!(files(folder.path()).is_empty(), "no temporary file is left");
        }
    }
}

#[tokio::test]
async fn every_transport_sends_to_the_open_recipients_only() {
    for fixture in Fixture::all().await {
        let (attempt, _) = fixture.send(&message(), &addresses(&[ALL[2], ALL[1]]), Commit::Proceed).await;
        assert_eq!(verdicts(&attempt), [(ALL[1], Verdict::Accepted), (ALL[2], Verdict::Accepted)]);
        for (to, _) in fixture.messages() {
            assert!(to.is_none_or(|to| to == [ALL[1], ALL[2]]));
        }
        let (attempt, commits) = fixture.send(&message(), &addresses(&["other@example.net"]), Commit::Proceed).await;
        assert_eq!((attempt.verdict, commits), (Verdict::Invalid, 0), "{attempt:?}");
    }
}

#[tokio::test]
async fn every_transport_sends_the_same_bytes_again() {
    for fixture in Fixture::all().await {
        for _ in 0..2 {
            let (attempt, _) = fixture.send(&message(), &addresses(&ALL), Commit::Proceed).await;
            assert_eq!(attempt.verdict, Verdict::Accepted);
        }
        let got = fixture.messages();
        let copies = match &fixture.destination {
            Destination::Server(_) | Destination::Sink(_) => 2,
            // The second mail replaces the first or is a duplicate of it.
            Destination::Folder(_) | Destination::Provider(_) => 1,
            Destination::Nothing => 0,
        };
        assert_eq!(got.len(), copies);
        assert!(got.iter().all(|(_, bytes)| is_that(bytes.as_ref(), &message())));
        match &fixture.destination {
            Destination::Server(server) => {
                assert_eq!((server.connections(), server.violations()), (1, vec![]), "the connection is reused");
            }
            Destination::Provider(server) => assert_eq!((server.connections(), server.requests().len()), (1, 2)),
            Destination::Folder(_) | Destination::Sink(_) | Destination::Nothing => {}
        }
    }
}

#[tokio::test]
async fn each_recipient_has_its_own_result() {
    let server = FakeSmtp::start().await;
    server.fault(Fault::at(FaultPhase::Rcpt, Action::reply(550, "5.1.1 No such user")).recipient(ALL[0]));
    server.fault(Fault::at(FaultPhase::Rcpt, Action::reply(451, "4.7.1 Greylisted")).recipient(ALL[1]).times(1));
    let fixture = Fixture::smtp(server);
    let (first, _) = fixture.send(&message(), &addresses(&ALL), Commit::Proceed).await;
    let expected = [(ALL[0], Verdict::RecipientRefused), (ALL[1], Verdict::Greylisted), (ALL[2], Verdict::Accepted)];
    assert_eq!(verdicts(&first), expected);
    assert_eq!(
        (first.verdict, first.phase, first.code, first.enhanced.as_deref()),
        (Verdict::Greylisted, Some("rcpt"), Some(451), Some("4.7.1"))
    );
    assert!(first.recipients[0].suppress && first.recipients[0].reply.contains("No such user"), "{first:?}");
    let open: Vec<_> = first
        .recipients
        .iter()
        .filter(|own| own.verdict == Verdict::Greylisted)
        .map(|own| own.address.clone())
        .collect();
    let (second, _) = fixture.send(&message(), &open, Commit::Proceed).await;
    assert_eq!((second.verdict, second.recipients.len()), (Verdict::Accepted, 1), "{second:?}");
    let got: Vec<_> = fixture.messages().into_iter().filter_map(|(to, _)| to).collect();
    assert_eq!(got, [[ALL[2]], [ALL[1]]]);
}

#[tokio::test]
async fn a_server_reply_becomes_a_verdict() {
    for (phase, act, verdict, words, at) in [
        (FaultPhase::Banner, Action::reply_and_close(421, "busy"), Verdict::NothingSent, "busy", "greeting"),
        (FaultPhase::Mail, Action::reply(552, "5.3.4 too large"), Verdict::TooBig, "too large", "mail"),
        (FaultPhase::Rcpt, Action::reply(550, "unknown"), Verdict::RecipientRefused, "unknown", "rcpt"),
        (
            FaultPhase::Rcpt,
            Action::reply(450, "4.7.0 Transmit rate limit exceeded"),
            Verdict::Throttled,
            "rate limit",
            "rcpt",
        ),
        (FaultPhase::Dot, Action::reply(554, "5.7.1 spam"), Verdict::ContentRefused, "spam", "dot"),
        (FaultPhase::Dot, Action::reply(451, "4.3.0 later"), Verdict::Later, "later", "dot"),
        (FaultPhase::Dot, Action::reply(550, "5.7.26 no SPF"), Verdict::PolicyRefused, "no SPF", "dot"),
        (
            FaultPhase::Dot,
            Action::StoreThenClose,
            Verdict::Unknown,
            "it is unknown whether the mail was accepted",
            "dot",
        ),
        (FaultPhase::Mail, Action::Close, Verdict::NothingSent, "closed", "mail"),
    ] {
        let server = FakeSmtp::start().await;
        server.fault(Fault::at(phase, act));
        let fixture = Fixture::smtp(server);
        let (attempt, _) = fixture.send(&message(), &addresses(&ALL), Commit::Proceed).await;
        assert_eq!((attempt.verdict, attempt.phase), (verdict, Some(at)), "{attempt:?}");
        assert!(attempt.reply.contains(words), "{attempt:?}");
        assert!(attempt.recipients.iter().all(|own| own.verdict == verdict), "{attempt:?}");
    }
}

/// Recipients beyond the server's limit are sent in the next transaction. If none was accepted,
/// another transaction would fail too.
#[tokio::test]
async fn too_many_recipients_are_sent_in_several_transactions() {
    let server = FakeSmtp::builder().max_recipients(2).start().await;
    let fixture = Fixture::smtp(server);
    let (first, _) = fixture.send(&message(), &addresses(&ALL), Commit::Proceed).await;
    let expected = [(ALL[0], Verdict::Accepted), (ALL[1], Verdict::Accepted), (ALL[2], Verdict::TooManyRecipients)];
    assert_eq!((first.verdict, verdicts(&first)), (Verdict::TooManyRecipients, expected.to_vec()), "{first:?}");
    assert!(!first.verdict.counts());
    let (second, _) = fixture.send(&message(), &addresses(&[ALL[2]]), Commit::Proceed).await;
    assert_eq!(second.verdict, Verdict::Accepted);

    for (limit, act) in [(0, Action::Usual), (2, Action::reply(451, "4.3.0 later"))] {
        let server = FakeSmtp::builder().max_recipients(limit).start().await;
        server.fault(Fault::at(FaultPhase::Dot, act));
        let (attempt, _) = Fixture::smtp(server).send(&message(), &addresses(&ALL), Commit::Proceed).await;
        let left = attempt.recipients.last().map(|own| own.verdict);
        assert_eq!(left, Some(Verdict::Throttled), "{attempt:?}");
        assert_eq!(attempt.verdict, if limit == 0 { Verdict::Throttled } else { Verdict::Later }, "{attempt:?}");
    }
}

/// At the final dot the reply does not name the address it refers to.
#[tokio::test]
async fn an_address_is_suppressed_only_if_the_reply_refers_to_it() {
    for (to, suppressed) in [(&ALL[..1], true), (&ALL[..], false)] {
        let server = FakeSmtp::start().await;
        server.fault(Fault::at(FaultPhase::Dot, Action::reply(550, "5.1.1 No such user")));
        let (attempt, _) = Fixture::smtp(server).send(&message(), &addresses(to), Commit::Proceed).await;
        assert_eq!(attempt.verdict, Verdict::RecipientRefused);
        assert!(attempt.recipients.iter().all(|own| own.suppress == suppressed), "{attempt:?}");
    }
}

async fn accepted(fixture: &Fixture) {
    let (attempt, commits) = fixture.send(&message(), &addresses(&ALL[..1]), Commit::Proceed).await;
    assert_eq!((attempt.verdict, commits), (Verdict::Accepted, 1), "{attempt:?}");
}

/// An idle connection that the server has closed does not count as an attempt of the next mail.
#[tokio::test]
async fn a_closed_idle_connection_costs_no_attempt() {
    for pipelining in [true, false] {
        for (phase, act) in [
            (FaultPhase::Mail, Action::Close),
            (FaultPhase::Mail, Action::Reset),
            (FaultPhase::Mail, Action::reply_and_close(421, "4.4.2 idle for too long")),
            (FaultPhase::Mail, Action::reply_and_close(421, "4.7.0 Too many messages on this connection")),
            (FaultPhase::Mail, Action::reply_and_close(451, "4.4.2 Timeout waiting for data from client")),
            (FaultPhase::Rcpt, Action::Close),
            (FaultPhase::Rcpt, Action::reply_and_close(421, "4.3.2 restarting")),
        ] {
            let server = FakeSmtp::builder().pipelining(pipelining).start().await;
            server.fault(Fault::at(phase, act.clone()).connection(1).message(2));
            let fixture = Fixture::smtp(server);
            accepted(&fixture).await;
            accepted(&fixture).await;
            let Destination::Server(server) = &fixture.destination else { panic!("a server") };
            assert_eq!((server.connections(), server.received_count()), (2, 2), "{act:?}");
        }
    }
}

/// There is no retry on a closed new connection, after throttling, or after the commit.
#[tokio::test]
async fn a_mail_is_retried_on_at_most_one_new_connection() {
    for (fault, verdict, connections) in [
        (Fault::at(FaultPhase::Mail, Action::Close), Verdict::NothingSent, 2),
        (Fault::at(FaultPhase::Mail, Action::reply_and_close(421, "4.7.28 unusual rate")), Verdict::Throttled, 1),
        (Fault::at(FaultPhase::Data, Action::Close), Verdict::NothingSent, 1),
        (Fault::at(FaultPhase::Dot, Action::Close), Verdict::Unknown, 1),
    ] {
        for pipelining in [true, false] {
            let server = FakeSmtp::builder().pipelining(pipelining).start().await;
            let fixture = Fixture::smtp(server);
            accepted(&fixture).await;
            let Destination::Server(server) = &fixture.destination else { panic!("a server") };
            server.fault(fault.clone());
            let (attempt, commits) = fixture.send(&message(), &addresses(&ALL[..1]), Commit::Proceed).await;
            assert_eq!((attempt.verdict, server.connections()), (verdict, connections), "{fault:?}: {attempt:?}");
            assert!(commits <= 1, "{fault:?}");
        }
    }
}

#[tokio::test]
async fn an_unreachable_server_is_nothing_sent() {
    let (server, provider) = (FakeSmtp::start().await, FakeResend::start());
    server.stop();
    provider.stop();
    for fixture in [Fixture::smtp(server), Fixture::resend(provider)] {
        let (attempt, commits) = fixture.send(&message(), &addresses(&ALL), Commit::Proceed).await;
        assert_eq!(
            (attempt.verdict, attempt.phase, commits),
            (Verdict::NothingSent, Some("connect"), 0),
            "{attempt:?}"
        );
    }
}

#[tokio::test]
async fn a_failing_folder_or_sink_is_nothing_sent() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("file");
    std::fs::write(&file, "x").expect("written");
    let broken = Fixture::new(&TransportSettings::File(file), &Arc::default(), Destination::Nothing);
    let sink = Arc::new(MemorySink { fails: true, ..MemorySink::default() });
    let full = Fixture::new(&TransportSettings::Capture, &sink, Destination::Nothing);
    for (fixture, words) in [(broken, "can't write"), (full, "the store is full")] {
        let (attempt, _) = fixture.send(&message(), &addresses(&ALL), Commit::Proceed).await;
        assert_eq!(attempt.verdict, Verdict::NothingSent);
        assert!(attempt.reply.contains(words), "{attempt:?}");
    }
}

/// Attempts are stored, logged and shown.
#[tokio::test]
async fn a_secret_echoed_by_a_server_is_masked_in_attempts() {
    const PASSWORD: &str = "correct horse";
    let forms = [PASSWORD.to_owned(), STANDARD.encode(PASSWORD), STANDARD.encode(format!("\0ada\0{PASSWORD}"))];
    let echoed = forms.join(" or ");
    for (phase, code) in [
        (FaultPhase::Auth, 535),
        (FaultPhase::Auth, 435),
        (FaultPhase::Auth, 354),
        (FaultPhase::Mail, 550),
        (FaultPhase::Rcpt, 550),
        (FaultPhase::Data, 250),
        (FaultPhase::Dot, 550),
        (FaultPhase::Dot, 354),
        (FaultPhase::Dot, 250),
    ] {
        let server = FakeSmtp::builder().auth("ada", PASSWORD).start().await;
        server.fault(Fault::at(phase, Action::reply(code, &format!("bad secret {echoed}"))));
        let settings =
            SmtpSettings { credentials: Some(("ada".into(), PASSWORD.to_owned().into())), ..settings_of(&server) };
        let settings = TransportSettings::Smtp(settings);
        let fixture = Fixture::new(&settings, &Arc::default(), Destination::Server(server));
        let (attempt, _) = fixture.send(&message(), &addresses(&ALL), Commit::Proceed).await;
        let mut shown = vec![format!("{attempt:?}")];
        if phase == FaultPhase::Auth {
            shown.push(login_check(&settings).await.expect_err("refused").to_string());
        }
        for shown in shown {
            assert!(shown.contains("bad secret *** or ***"), "{phase:?} {code}: {shown}");
            assert!(!forms.iter().any(|form| shown.contains(form.trim_end_matches('='))), "{phase:?} {code}: {shown}");
        }
    }
}

#[tokio::test]
async fn a_login_is_checked() {
    let server = FakeSmtp::builder().auth("ada", "secret").start().await;
    let mut settings = settings_of(&server);
    settings.credentials = Some(("ada".into(), "secret".to_owned().into()));
    let description = login_check(&TransportSettings::Smtp(settings.clone())).await.expect("logged in");
    assert!(description.contains("without TLS, logged in as ada"), "{description}");
    settings.credentials = Some(("ada".into(), "wrong".to_owned().into()));
    let error = login_check(&TransportSettings::Smtp(settings.clone())).await.expect_err("refused").to_string();
    assert!(error.contains("auth") && error.contains("535") && !error.contains("wrong"), "{error}");
    let fixture = Fixture::new(&TransportSettings::Smtp(settings), &Arc::default(), Destination::Nothing);
    let (attempt, commits) = fixture.send(&message(), &addresses(&ALL), Commit::Proceed).await;
    assert_eq!((attempt.verdict, commits), (Verdict::Account, 0), "{attempt:?}");

    let folder = tempfile::tempdir().expect("a folder");
    login_check(&TransportSettings::File(folder.path().join("new"))).await.expect("writable");
    assert!(files(folder.path()).is_empty());
    login_check(&TransportSettings::File("/proc/nowhere".into())).await.expect_err("not writable");
    for settings in [TransportSettings::Capture, TransportSettings::Discard] {
        assert!(login_check(&settings).await.expect("always").contains("not sent"));
    }
}
