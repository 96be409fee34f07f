//! Verdicts on session errors, in every phase.

use std::{io, time::Duration};

use postroom_smtp::{
    Phase::{Auth, Body, Connect, Data, Dot, Ehlo, Greeting, Mail, Quit, Rcpt, Rset, StartTls, Tls},
    SmtpError, Trouble,
};

use super::super::{
    NotAccepted::{self, Aborted, Account, Invalid, NothingSent, TooBig, Unknown},
    Verdict,
};

/// Every kind of session error. A new kind must be added here, or the match below does not compile.
fn error_kinds() -> Vec<Trouble> {
    vec![
        Trouble::Io(io::ErrorKind::ConnectionReset.into()),
        Trouble::Io(io::Error::other("invalid peer certificate: UnknownIssuer")),
        Trouble::Closed,
        Trouble::Timeout(Duration::from_secs(1)),
        Trouble::Unexpected("SSH-2.0-OpenSSH_9.9".to_owned()),
        Trouble::OutOfStep("503 5.5.1 bad sequence of commands".to_owned()),
        Trouble::ReplyTooLong,
        Trouble::BadHost("a b".to_owned()),
        Trouble::StartTlsMissing,
        Trouble::PlainAfterStartTls,
        Trouble::AuthMissing,
        Trouble::TooBig { size: 2, limit: 1 },
        Trouble::SmtpUtf8Missing("ż@example.org".to_owned()),
        Trouble::EightBitMissing,
        Trouble::Aborted,
        Trouble::NotReusable,
    ]
}

fn expected(trouble: &Trouble) -> NotAccepted {
    match trouble {
        Trouble::Io(_) | Trouble::Closed | Trouble::Timeout(_) | Trouble::Unexpected(_) | Trouble::ReplyTooLong => {
            NothingSent
        }
        Trouble::OutOfStep(_)
        | Trouble::BadHost(_)
        | Trouble::StartTlsMissing
        | Trouble::PlainAfterStartTls
        | Trouble::NotReusable => NothingSent,
        Trouble::AuthMissing => Account,
        Trouble::TooBig { .. } => TooBig,
        Trouble::SmtpUtf8Missing(_) | Trouble::EightBitMissing => Invalid,
        Trouble::Aborted => Aborted,
        Trouble::Refused(_) => unreachable!("replies are covered by the tests of the reply table"),
    }
}

#[test]
fn each_session_error_has_its_verdict_in_every_phase() {
    let phases = [Connect, Tls, Greeting, Ehlo, StartTls, Auth, Mail, Rcpt, Data, Body, Dot, Rset, Quit];
    for phase in phases {
        for trouble in error_kinds() {
            let (expected, case) = (expected(&trouble), format!("{phase}: {trouble}"));
            let error = SmtpError::new(phase, trouble);
            let before = NotAccepted::of_error(&error);
            assert_eq!(before, expected, "{case}");
            let verdict = Verdict::from(before);
            assert!(verdict.blames_transport() || before == Aborted || verdict.is_final(), "{case}");
            let after = NotAccepted::of_error(&error.after_commit());
            assert_eq!(after, Unknown, "{case}, after the dot");
            let after = Verdict::from(after);
            assert!(!after.counts() && !after.is_final() && !after.blames_transport(), "{case}");
        }
    }
}
