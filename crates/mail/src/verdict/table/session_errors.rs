//! Verdicts on session errors, in every phase.

use std::{io, time::Duration};

use postroom_smtp::{
    ErrorKind,
    Phase::{Auth, Body, Connect, Data, Dot, Ehlo, Greeting, Mail, Quit, Rcpt, Rset, StartTls, Tls},
    SmtpError,
};

use super::super::{
    NotAccepted::{self, Aborted, Account, Invalid, NothingSent, TooBig, Unknown},
    Verdict,
};

/// Every kind of session error. A new kind must be added here, or the match below does not compile.
fn error_kinds() -> Vec<ErrorKind> {
    vec![
        ErrorKind::Io(io::ErrorKind::ConnectionReset.into()),
        ErrorKind::Io(io::Error::other("invalid peer certificate: UnknownIssuer")),
        ErrorKind::Closed,
        ErrorKind::Timeout(Duration::from_secs(1)),
        ErrorKind::Unexpected("SSH-2.0-OpenSSH_9.9".to_owned()),
        ErrorKind::PipeliningRejected("503 5.5.1 bad sequence of commands".to_owned()),
        ErrorKind::ReplyTooLong,
        ErrorKind::BadHost("a b".to_owned()),
        ErrorKind::StartTlsMissing,
        ErrorKind::PlainAfterStartTls,
        ErrorKind::AuthMissing,
        ErrorKind::TooBig { size: 2, limit: 1 },
        ErrorKind::SmtpUtf8Missing("ż@example.org".to_owned()),
        ErrorKind::EightBitMissing,
        ErrorKind::Aborted,
        ErrorKind::NotReusable,
    ]
}

fn expected(trouble: &ErrorKind) -> NotAccepted {
    match trouble {
        ErrorKind::Io(_)
        | ErrorKind::Closed
        | ErrorKind::Timeout(_)
        | ErrorKind::Unexpected(_)
        | ErrorKind::ReplyTooLong => NothingSent,
        ErrorKind::PipeliningRejected(_)
        | ErrorKind::BadHost(_)
        | ErrorKind::StartTlsMissing
        | ErrorKind::PlainAfterStartTls
        | ErrorKind::NotReusable => NothingSent,
        ErrorKind::AuthMissing => Account,
        ErrorKind::TooBig { .. } => TooBig,
        ErrorKind::SmtpUtf8Missing(_) | ErrorKind::EightBitMissing => Invalid,
        ErrorKind::Aborted => Aborted,
        ErrorKind::Refused(_) => unreachable!("replies are covered by the tests of the reply table"),
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
