//! Replies of real servers and their verdicts.

use postroom_smtp::{
    EnhancedCode,
    Phase::{self, Auth, Data, Dot, Ehlo, Greeting, Mail, Quit, Rcpt, Rset, StartTls},
};

use super::{
    super::{
        NotAccepted::{
            self, Account, ContentRefused, Greylisted, Later, NothingSent, PolicyRefused, RecipientRefused, Throttled,
            TooBig, TooManyRecipients,
        },
        Verdict,
    },
    is_bad_address, judge,
};

/// Replies with the same result: verdict, whether it counts as an attempt, whether the address is
/// suppressed, and the replies.
type Group = (NotAccepted, bool, bool, &'static [(Phase, &'static str)]);

const REPLIES: &[Group] = &[
    (
        Greylisted,
        false,
        false,
        &[
            (Rcpt, "450 4.2.0 <a@example.org>: Recipient address rejected: Greylisted, see http://postgrey.example/"),
            (Rcpt, "450 4.7.0 Greylisted for 5 minutes"),
            (Rcpt, "451 4.7.1 Greylisting in action, please come back in 00:05:00"),
            (
                Rcpt,
                "451 4.7.1 <a@example.org>: Recipient address rejected: Intentional policy rejection, \
                 please try again later",
            ),
            (Dot, "451 4.7.1 Try again later"),
            (Rcpt, "451 Temporarily greylisted, try again later."),
            (Rcpt, "422 4.2.2 Greylisted, please try again in a few moments."),
            (Rcpt, "451 Internal resource temporarily unavailable - https://community.example/docs/DOC-1369#451"),
            (Rcpt, "421 4.3.2 Graylisted, please come back later"),
        ],
    ),
    (
        TooManyRecipients,
        false,
        false,
        &[
            (Rcpt, "452 4.5.3 Too many recipients"),
            (Rcpt, "452 4.5.3 Error: too many recipients"),
            (Rcpt, "452 4.5.3 Too many recipients (AS780090) [AM4PEPF00027A5F.example]"),
            (Rcpt, "452-4.5.3 Your message has too many recipients. For more information regarding limits"),
            (Rcpt, "452 too many recipients"),
            (Rcpt, "552 Too many recipients"),
            (Rcpt, "552 5.5.3 Too many recipients"),
        ],
    ),
    (
        Later,
        true,
        false,
        &[
            (Rcpt, "451 Temporary local problem - please try later"),
            (Dot, "451 4.3.0 Error: queue file write error"),
            (Dot, "451 4.3.0 Mail server temporarily rejected message. - gsmtp"),
            (Dot, "451"),
            (Dot, "451 Message temporarily deferred - [170]"),
            (
                Rcpt,
                "450 4.1.1 <a@example.org>: Recipient address rejected: unverified address: Address \
                 verification in progress",
            ),
            (Mail, "450 4.1.8 <a@example.org>: Sender address rejected: Domain not found"),
            (Rcpt, "450 4.7.25 Client host rejected: cannot find your hostname, [192.0.2.1]"),
            (Rcpt, "451 Could not complete sender verify callout"),
            (Rcpt, "452 4.2.2 The recipient's inbox is out of storage space; over quota exceeded"),
            (
                Rcpt,
                "450 4.2.1 The user you are trying to contact is receiving mail at a rate that prevents \
                 additional messages",
            ),
            (Rcpt, "450 User is receiving mail too quickly"),
            (Rcpt, "450 4.2.1 <a@example.org>: Mailbox received too much email in a short period of time (G30)"),
            (Dot, "452 4.3.1 Insufficient system storage"),
            (Data, "451 4.3.5 Server configuration problem, please separate your operation"),
            (Rcpt, "454 4.7.1 <a@example.org>: Relay access denied"),
        ],
    ),
    (
        Throttled,
        false,
        false,
        &[
            (Dot, "454 Throttling failure: Maximum sending rate exceeded."),
            (Dot, "454 Throttling failure: Daily message quota exceeded."),
            (Dot, "432 4.3.21 Mailbox server busy"),
            (Rcpt, "432 4.3.2 Concurrent connections limit exceeded"),
            (Dot, "432 4.3.2 STOREDRV.ClientSubmit; sender thread limit exceeded"),
            (Rcpt, "450 4.7.0 Transmit rate limit exceeded"),
            (Mail, "450 Too many requests #MS-ST-G"),
            (Rcpt, "450 Too many recipient attempts"),
            (Rcpt, "452 Too many recipients received this hour"),
            (Rcpt, "450 4.7.1 Error: too much mail from 192.0.2.1"),
            (Rcpt, "451 4.7.1 Received too many messages from a new or untrusted IP: 192.0.2.1 (G28)"),
            (Mail, "451 4.7.500 Server busy. Please try again later from [192.0.2.1]. (AS77712344)"),
            (Mail, "451 4.7.650 The mail server [192.0.2.1] has been temporarily rate limited due to IP reputation."),
            (
                Mail,
                "421 RP-001 The mail server IP connecting to Outlook.com server has exceeded the rate limit allowed.",
            ),
            (Dot, "421 4.7.28 Our system has detected an unusual rate of unsolicited mail"),
            (Dot, "421 4.7.0 Try again later, closing connection"),
            (
                Mail,
                "421 4.7.0 [TSS04] Messages from 192.0.2.1 temporarily deferred due to unexpected volume \
                 or user complaints",
            ),
            (Rcpt, "421 4.1.0 192.0.2.1 Throttled - try again later."),
            (Greeting, "421 4.7.0 mx.example Error: too many connections from 192.0.2.1"),
            (Greeting, "421 Too many concurrent SMTP connections; please try again later."),
            (
                Greeting,
                "421 4.3.2 The maximum number of concurrent connections per resource forest has exceeded a limit",
            ),
            (Dot, "550 5.4.5 Daily user sending limit exceeded"),
            (
                Dot,
                "550 5.1.90 Your message can't be sent because you've reached your daily limit for message recipients",
            ),
            (Rcpt, "550 Sender rate overlimit - 112.1 / 1h"),
            (Dot, "550 5.4.6 Unusual sending activity detected. Please try after sometime."),
            (Rcpt, "554 5.7.1 <a@example.org>: Recipient address rejected: You have exceeded your quota"),
            (Auth, "454 4.7.0 Too many login attempts, please try again later"),
        ],
    ),
    (
        NothingSent,
        false,
        false,
        &[
            (Greeting, "421 Service not available, closing transmission channel"),
            (Greeting, "554 No SMTP service here"),
            (Greeting, "521 Host does not accept mail"),
            (
                Greeting,
                "554 Your access to this mail system has been rejected due to the sending MTA's poor reputation.",
            ),
            (Ehlo, "550 go away"),
            (StartTls, "454 4.7.0 TLS not available due to local problem"),
            (Auth, "451 Internal error"),
            (Auth, "454 4.7.0 Temporary authentication failure: Connection lost to authentication server"),
            (Rcpt, "421 4.3.0 Shutting down"),
            (Dot, "421 4.3.2 System going down, closing connection"),
            (Mail, "421 4.4.2 mx.example Error: timeout exceeded"),
            (Dot, "451 4.4.2 Timeout waiting for data from client"),
            (Mail, "421 too many messages in this connection"),
            (Mail, "421 Max message per connection reached closing transmission channel"),
            (Mail, "421 4.7.0 Too many messages on this connection"),
            (Mail, "503 5.5.1 Error: send HELO/EHLO first"),
            (Rset, "421 4.4.2 Connection dropped due to inactivity"),
        ],
    ),
    (
        Account,
        false,
        false,
        &[
            (Auth, "535 5.7.8 Username and Password not accepted. Learn more at - gsmtp"),
            (Auth, "534 5.7.9 Application-specific password required."),
            (Auth, "535 Authentication Credentials Invalid"),
            (Auth, "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant."),
            (Auth, "504 Unrecognized authentication type"),
            (Auth, "525 5.7.1 Unauthorized IP address"),
            (Auth, "451 Authentication failed: Maximum credits exceeded"),
            (Mail, "530 5.7.0 Authentication Required"),
            (Mail, "530 5.7.57 SMTP; Client was not authenticated to send anonymous mail during MAIL FROM"),
            (Mail, "530 5.7.0 Must issue a STARTTLS command first"),
            (Mail, "535 Authentication failed"),
            (Mail, "502 5.7.0 Please authenticate first"),
            (Mail, "550 Unauthenticated senders not allowed"),
            (Rcpt, "550 authentication required"),
            (Dot, "554 Message rejected: Sending paused for this account"),
            (Dot, "554 Access denied: User arn:aws:iam::1:user/x is not authorized to perform ses:SendRawEmail"),
            (Dot, "550 5.7.705 Service unavailable. Access denied, tenant has exceeded threshold."),
            (Mail, "554 5.1.8 Email Outgoing Blocked"),
        ],
    ),
    (
        RecipientRefused,
        true,
        true,
        &[
            (Rcpt, "550 5.1.1 The email account that you tried to reach does not exist. - gsmtp"),
            (Rcpt, "550 5.1.1 <a@example.org>: Recipient address rejected: User unknown in local recipient table"),
            (Dot, "550 5.1.1 No such user"),
            (
                Rcpt,
                "550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient a@example.org not found by SMTP address lookup",
            ),
            (Rcpt, "553 5.1.2 The recipient address <a@example> is not a valid RFC-5321 address. - gsmtp"),
            (Rcpt, "501 5.1.3 Bad recipient address syntax"),
            (Rcpt, "551 5.1.6 User has moved with no forwarding address"),
            (Rcpt, "550 5.2.1 The email account that you tried to reach is disabled."),
            (Rcpt, "556 5.1.10 Domain has null MX"),
            (Rcpt, "556 No mail for this domain"),
        ],
    ),
    (
        RecipientRefused,
        true,
        false,
        &[
            (Rcpt, "550 No such user here"),
            (Rcpt, "550 Requested action not taken: mailbox unavailable"),
            (Rcpt, "550 5.4.1 Recipient address rejected: Access denied. [AM4PEPF00025F97.example]"),
            (
                Rcpt,
                "550 5.2.1 The user you are trying to contact is receiving mail at a rate that prevents \
                 additional messages",
            ),
            (Rcpt, "552 5.2.2 The email account that you tried to reach is over quota."),
            (Rcpt, "552 Exceeded storage allocation"),
            (Rcpt, "550 5.7.1 This group takes mail of its members only"),
            (Rcpt, "550 Administrative prohibition"),
            (Rcpt, "554 blocked"),
            (Dot, "552 Requested mail action aborted, mailbox not found"),
            (Dot, "554 delivery error: dd This user doesn't have a yahoo.com account (a@yahoo.com) [-9] - mta.example"),
        ],
    ),
    (
        ContentRefused,
        true,
        false,
        &[
            (Dot, "550 5.7.1 Our system has detected that this message is likely unsolicited mail. - gsmtp"),
            (Dot, "552 5.7.0 This message was blocked because its content presents a potential security issue"),
            (Dot, "550 5.7.1 Message contains spam or virus"),
            (Dot, "554 5.7.1 [CS01] Message rejected due to local policy."),
            (Dot, "554 5.6.0 Message is malformed"),
            (Dot, "554 Message not allowed - Headers are not RFC compliant[291]"),
            (Dot, "554 Transaction failed"),
            (Dot, "550 refused"),
            (Data, "554 5.3.0 not now and not later"),
        ],
    ),
    (
        PolicyRefused,
        true,
        false,
        &[
            (
                Dot,
                "550 5.7.133 RESOLVER.RST.SenderNotAuthenticatedForGroup; authentication required; \
                 Delivery restriction check failed",
            ),
            (Dot, "550 5.7.26 This mail has been blocked because the sender is unauthenticated. - gsmtp"),
            (Dot, "550 5.7.1 Unauthenticated email from example.com is not accepted due to domain's DMARC policy."),
            (Dot, "550 5.7.25 The IP address sending this message does not have a PTR record"),
            (Dot, "550 5.7.1 [192.0.2.1] likely suspicious due to the very low reputation of the sending domain."),
            (Dot, "550 5.7.515 Access denied, sending domain does not meet the required authentication level"),
            (
                Mail,
                "550 5.7.1 Unfortunately, messages from [192.0.2.1] weren't sent. Part of their network is \
                 on our block list (S3150).",
            ),
            (Rcpt, "550 5.7.606 Access denied, banned sending IP [192.0.2.1]."),
            (Rcpt, "550 5.7.1 Service unavailable, Client host [192.0.2.1] blocked using Spamhaus."),
            (Rcpt, "554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using zen.spamhaus.org"),
            (Dot, "553 5.7.9 Mail not accepted for policy reasons"),
            (
                Mail,
                "553 5.7.1 [BL21] Connections will not be accepted from 192.0.2.1, because the ip is in \
                 Spamhaus's list",
            ),
            (Rcpt, "554 5.7.1 <a@example.org>: Relay access denied"),
            (Rcpt, "550 5.7.54 SMTP; Unable to relay recipient in non-accepted domain"),
            (Rcpt, "550 relay not permitted"),
            (Mail, "553 5.7.1 <a@example.org>: Sender address rejected: not owned by user b@example.org"),
            (Rcpt, "550 5.1.0 <a@example.org> sender rejected"),
            (Rcpt, "550 Sender verify failed"),
            (Mail, "550 5.1.8 Sender's domain does not resolve"),
            (Mail, "501 Invalid MAIL FROM address provided"),
            (Mail, "550 The from address does not match a verified Sender Identity."),
            (Dot, "554 Message rejected: Email address is not verified. The following identities failed the check"),
            (Dot, "550 5.7.60 SMTP; Client does not have permissions to send as this sender"),
            (Dot, "554 5.2.0 STOREDRV.Submission.Exception:SendAsDeniedException.MapiExceptionSendAsDenied"),
        ],
    ),
    (
        TooBig,
        true,
        false,
        &[
            (Mail, "552 5.3.4 Message size exceeds fixed maximum message size"),
            (Dot, "552 5.2.3 Your message exceeded Google's message size limits."),
            (Dot, "552 Message is too long."),
            (Dot, "552 message size exceeds maximum permitted"),
        ],
    ),
];

pub(super) fn parse(line: &str) -> (u16, Option<EnhancedCode>, &str) {
    let (code, text) = line.split_at_checked(3).expect("a code");
    let text = text.strip_prefix([' ', '-']).unwrap_or_default();
    let mut digits = text.split(' ').next().unwrap_or_default().split('.').map_while(|part| part.parse().ok());
    let enhanced = match (digits.next(), digits.next(), digits.next()) {
        (Some(class), Some(subject), Some(detail)) => Some(EnhancedCode { class, subject, detail }),
        _ => None,
    };
    (code.parse().expect("a code"), enhanced, text)
}

#[test]
fn replies_of_real_servers_have_their_verdict() {
    let (mut number, mut wrong) = (0, Vec::new());
    for (expected, counts, suppresses, replies) in REPLIES {
        for (phase, line) in *replies {
            let (code, enhanced, text) = parse(line);
            let (found, _) = judge(*phase, code, enhanced, text);
            let is_bad = found == RecipientRefused && is_bad_address(code, enhanced, text);
            if (found, Verdict::from(found).counts(), is_bad) != (*expected, *counts, *suppresses) {
                wrong.push(format!("{phase}: {line}\n    is {found:?}, not {expected:?}; suppress {suppresses}"));
            }
            number += 1;
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(number >= 80, "only {number} replies");
}

#[test]
fn each_code_has_a_verdict_of_its_class() {
    let phases = [Mail, Rcpt, Data, Dot];
    for (phase, code) in phases.into_iter().flat_map(|phase| (400..600).map(move |code| (phase, code))) {
        let verdict = Verdict::from(judge(phase, code, None, "").0);
        let ours = verdict.blames_transport();
        assert_eq!(verdict.is_final(), code >= 500 && !ours, "{phase} {code}: {verdict}");
        assert_eq!(
            ours,
            matches!(code, 421 | 432 | 530 | 534 | 535 | 538) || (phase != Dot && matches!(code, 500 | 502 | 503)),
            "{phase} {code}: {verdict}"
        );
    }
}

#[test]
fn a_reply_before_mail_never_fails_the_mail() {
    let phases = [Greeting, Ehlo, StartTls, Auth, Rset, Quit];
    for (phase, code) in phases.into_iter().flat_map(|phase| (400..600).map(move |code| (phase, code))) {
        let verdict = Verdict::from(judge(phase, code, None, "").0);
        assert!(verdict.blames_transport(), "{phase} {code}: {verdict}");
        assert_eq!(
            verdict == Verdict::Account,
            matches!(code, 530 | 534 | 535 | 538) || (phase == Auth && code >= 500),
            "{phase} {code}"
        );
    }
}
