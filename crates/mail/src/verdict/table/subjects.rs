//! Replies of real servers about our set-up and about single mails.

use postroom_smtp::Phase::{self, Auth, Data, Dot, Ehlo, Greeting, Mail, Rcpt};

use super::{
    super::{
        NotAccepted::{
            self, Account, ContentRefused, Greylisted, Later, NothingSent, PolicyRefused, RecipientRefused, Throttled,
            TooBig,
        },
        Verdict,
    },
    Blame, judge,
    tests::parse,
};

/// Replies about our set-up: they fail no mail while the server accepts no other.
const ABOUT_US: &[(NotAccepted, &[(Phase, &str)])] = &[
    (
        Account,
        &[
            (Auth, "535 5.7.8 Error: authentication failed: UGFzc3dvcmQ6"),
            (Auth, "535 5.7.3 Authentication unsuccessful [AM0PR01CA0001.example]"),
            (Auth, "535 5.7.8 Error: authentication failed: Invalid user or password!"),
            (Auth, "503 5.5.1 Error: authentication not enabled"),
            (Auth, "538 5.7.11 Encryption required for requested authentication mechanism"),
            (Mail, "530 5.7.0 Authentication required"),
            (Mail, "530 5.7.1 Authentication required"),
            (Mail, "530 5.7.0 Must issue a STARTTLS command first."),
            (Mail, "530 5.7.57 Client not authenticated to send mail."),
            (Mail, "550-5.7.1 Invalid credentials for relay [192.0.2.1]. The IP address you've registered"),
            (Rcpt, "550 5.7.1 Invalid credentials for relay [192.0.2.1]"),
            (Mail, "553 authentication is required,smtp7,C8CowEDp7ZZ"),
            (Mail, "503 Error: need EHLO and AUTH first !"),
            (Mail, "554 5.7.1 <a@example.org>: Sender address rejected: not logged in"),
            (Rcpt, "530 SMTP authentication is required."),
            (Rcpt, "550 Please turn on SMTP Authentication in your mail client."),
            (Rcpt, "550-Please turn on SMTP Authentication in your mail client, or login to the IMAP/POP3 server"),
            (Rcpt, "550 5.7.1 Relaying denied. Proper authentication required."),
            (Rcpt, "535 5.7.1 authentication needed to relay"),
            (
                Rcpt,
                "503 This mail server requires authentication when attempting to send to a non-local e-mail address.",
            ),
            (Mail, "550 5.7.1 Client does not have permission to submit to this server"),
            (Dot, "554 5.7.708 Service unavailable. Access denied, traffic not accepted from this IP."),
            (Dot, "550 Sandbox subdomains are for test purposes only. Please add your own domain"),
            (Dot, "550 5.7.1 Your account is pending approval"),
            (Mail, "550 5.1.8 Access denied, bad outbound sender AS(42004)"),
        ],
    ),
    (
        Throttled,
        &[
            (Dot, "550 5.4.5 Daily SMTP relay sending limit exceeded for customer."),
            (Rcpt, "550 5.7.232 Your message can't be sent because your tenant has exceeded its daily limit"),
            (Mail, "550 Connection frequency limited"),
            (Mail, "451 Ratelimit exceeded for mailbox a@example.org. Try again later."),
        ],
    ),
    (
        NothingSent,
        &[
            (Greeting, "554-example ESMTP No SMTP service Bad DNS PTR resource record."),
            (Greeting, "554 5.7.1 Connection refused: your address is listed in zen.example"),
            (Ehlo, "501 5.0.0 Invalid domain name"),
            (Ehlo, "550 R1: HELO should be a FQDN or address literal (See RFC 2821 4.1.1.1)"),
            (Ehlo, "501 Syntactically invalid HELO argument(s)"),
            (Mail, "421 Domain example.org is not allowed to send: The domain is unverified"),
        ],
    ),
    (
        PolicyRefused,
        &[
            (Rcpt, "504 5.5.2 <localhost>: Helo command rejected: need fully-qualified hostname"),
            (Rcpt, "550 5.7.1 <app>: Helo command rejected: Access denied"),
            (Rcpt, "501 5.5.2 <app_1>: Helo command rejected: Invalid name"),
            (Rcpt, "550 Access denied - Invalid HELO name (See RFC2821 4.1.1.1)"),
            (Rcpt, "550 \"REJECTED - Bad HELO - Host impersonating [example.org]\""),
            (Rcpt, "554 5.7.1 <ann@example.net>: Relay access denied"),
            (Rcpt, "550 5.7.64 TenantAttribution; Relay Access Denied [AM5EUR03FT051.example]"),
            (Rcpt, "550 5.7.1 Unable to relay for ann@example.net"),
            (Rcpt, "550 5.1.2 Relay not allowed."),
            (Rcpt, "553 sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)"),
            (Rcpt, "550 5.7.1 <ann@example.net>... Relaying denied. IP name lookup failed [192.0.2.1]"),
            (Rcpt, "550-relay not permitted"),
            (Mail, "553 Relaying disallowed as ann@example.org"),
            (Dot, "553 Sender is not allowed to relay emails"),
            (Rcpt, "550 5.7.1 We do not relay"),
            (Rcpt, "554 5.7.1 <unknown[192.0.2.1]>: Client host rejected: Access denied"),
            (Rcpt, "550 5.7.25 Client host rejected: cannot find your reverse hostname, [192.0.2.1]"),
            (Rcpt, "550 5.7.1 Fix reverse DNS for 192.0.2.1"),
            (Dot, "550-5.7.25 [192.0.2.1] The IP address sending this message does not have a PTR record setup"),
            (Mail, "553 5.7.1 <a@example.org>: Sender address rejected: not owned by auth user."),
            (Rcpt, "553 5.7.1 <a@example.org>: Sender address rejected: not owned by user b@example.org"),
            (Rcpt, "550 5.1.0 <a@example.org>: Sender address rejected: User unknown in virtual mailbox table"),
            (Rcpt, "504 5.5.2 <root>: Sender address rejected: need fully-qualified address"),
            (Dot, "554 5.2.252 SendAsDenied; a@example.org not allowed to send as b@example.org"),
            (Dot, "550 5.7.60 SMTP; Client does not have permissions to send as this sender"),
            (Dot, "554 Message rejected: Email address is not verified. The following identities failed the check"),
            (Mail, "501 mail from address must be same as authorization user"),
            (Mail, "553 Mail from must equal authorized user"),
            (Mail, "550 not local sender over smtp"),
            (Dot, "550 5.7.0 From address is not one of your addresses."),
            (Dot, "551 5.7.1 Not authorised to send from this header address"),
            (Dot, "550 Requested action not taken: mailbox unavailable Sender address is not allowed."),
            (Mail, "550 Requested action not taken: mailbox unavailable invalid DNS MX or A/AAAA resource record"),
            (Rcpt, "553 5.1.8 <a@example.org>... Domain of sender address a@example.org does not exist"),
            (Rcpt, "550 Verification failed for <a@example.org> Unrouteable address Sender verify failed"),
            (Rcpt, "550 SMTP is available only with SSL or TLS connection enabled."),
            (Rcpt, "554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using zen.spamhaus.org"),
            (Rcpt, "550 JunkMail rejected - app [192.0.2.1] is in an RBL, see https://example.net"),
            (Rcpt, "550 rejected because 192.0.2.1 is in a black list at zen.example"),
            (Dot, "550-5.7.26 Your email has been blocked because the sender is unauthenticated."),
            (Rcpt, "550 5.7.23 <ann@example.net>: Recipient address rejected: Message rejected due to: SPF fail"),
            (Dot, "550 5.7.509 Access denied, sending domain example.org does not pass DMARC verification"),
            (Dot, "554 5.7.5 Permanent error evaluating DMARC policy"),
            (Mail, "550 User has no permission"),
        ],
    ),
    (
        Later,
        &[
            (Rcpt, "450 4.7.1 <app>: Helo command rejected: Host not found"),
            (Rcpt, "450 4.7.25 Client host rejected: cannot find your hostname, [192.0.2.1]"),
            (Rcpt, "450 4.1.8 <a@example.org>: Sender address rejected: Domain not found"),
            (Rcpt, "454 4.7.1 <ann@example.net>: Relay access denied"),
            (Dot, "451 4.7.24 The SPF record of the sending domain has one or more suspicious entries."),
            (Rcpt, "450 4.7.1 Client host rejected: cannot find your reverse hostname, [192.0.2.1]"),
        ],
    ),
];

/// Replies that are plainly about one mail, whatever other mails get.
const ABOUT_MAILS: &[(NotAccepted, &[(Phase, &str)])] = &[
    (
        RecipientRefused,
        &[
            (Rcpt, "550 5.1.1 <a@example.net>: Recipient address rejected: User unknown in virtual mailbox table"),
            (Rcpt, "550 5.1.1 <a@example.net> User doesn't exist: a@example.net"),
            (Rcpt, "550-5.1.1 The email account that you tried to reach does not exist. Please try double-checking"),
            (Rcpt, "550 5.1.1 <a@example.net>... User unknown"),
            (Rcpt, "550 5.1.1 RESOLVER.ADR.RecipNotFound; not found"),
            (Rcpt, "550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup"),
            (Rcpt, "550 5.1.2 <a@example.net>: Recipient address rejected: Domain not found"),
            (Rcpt, "550 5.1.3 Invalid address"),
            (Rcpt, "551 5.1.6 The user has moved"),
            (Rcpt, "550 5.2.1 This mailbox has been blocked due to inactivity"),
            (Rcpt, "552 5.2.2 Mailbox full"),
            (Rcpt, "552-5.2.2 The recipient's inbox is out of storage space."),
            (Rcpt, "554 5.2.2 mailbox full; STOREDRV.Deliver.Exception:QuotaExceededException.MapiExceptionShutoff"),
            (Rcpt, "550 No such user here"),
            (Rcpt, "550 Unknown user"),
            (Rcpt, "550 unknown recipient"),
            (Rcpt, "550 Invalid recipient: <a@example.net>"),
            (Rcpt, "550 Invalid Recipient - https://example.net/docs#550"),
            (Rcpt, "550 no mailbox by that name is currently available"),
            (Rcpt, "550 Requested action not taken: mailbox unavailable"),
            (Rcpt, "550 Mailbox unavailable or access denied - <a@example.net>"),
            (Rcpt, "550 Mailbox not found"),
            (Rcpt, "550 Unrouteable address"),
            (Rcpt, "550 Address rejected: no such address here"),
            (Rcpt, "550 <a@example.net> recipient rejected"),
            (Rcpt, "550 Message was not accepted -- invalid mailbox. Local mailbox a@example.net is unavailable"),
            (Dot, "550 Message was not accepted -- invalid mailbox. Local mailbox a@x.ru: account is disabled"),
            (Rcpt, "554 delivery error: dd This user doesn't have a example.net account [-9]"),
            (
                Rcpt,
                "554 30 Sorry, your message to a@example.net cannot be delivered. This mailbox is disabled (554.30).",
            ),
            (Rcpt, "550 5.4.1 Recipient address rejected: Access denied. [DB5EUR03FT010.example]"),
            (Rcpt, "504 5.5.2 <ann>: Recipient address rejected: need fully-qualified address"),
            (Rcpt, "554 5.7.1 <a@example.net>: Recipient address rejected: Access denied"),
            (Rcpt, "556 5.1.10 Recipient address has null MX"),
            (Rcpt, "550 5.1.1 Recipient unknown: callout said 550 Client host blocked using Spamhaus"),
            (Rcpt, "550 5.1.1 <hello@example.net> no such user, it was deleted for spam"),
        ],
    ),
    (
        ContentRefused,
        &[
            (Dot, "550-5.7.1 Our system has detected that this message is likely unsolicited mail."),
            (Dot, "550 5.7.1 Our system has detected that this message is likely suspicious due to the content"),
            (Dot, "552-5.7.0 This message was blocked because its content presents a potential security issue."),
            (Dot, "554 5.7.1 Spam message rejected"),
            (Dot, "554 5.7.0 Reject, id=01234-05 - spam"),
            (Dot, "554 5.7.1 Message rejected under suspicion of SPAM; https://example.net/support"),
            (Dot, "550 5.7.1 Message rejected as spam by Content Filtering."),
            (Dot, "554 DT:SPM 163 smtp13,Spam suspected"),
            (Dot, "550 spam message rejected. Please visit https://example.net"),
            (Dot, "550 Mail content denied."),
            (Dot, "554 5.7.0 Virus detected: Eicar-Test-Signature"),
            (Dot, "550 5.7.1 Message contains malware"),
            (Dot, "554 5.7.1 Message blocked due to a URL on the blacklist uribl.example"),
            (Dot, "550 5.7.1 This message contains a URL listed in multi.surbl.example"),
            (Dot, "550 5.6.0 Message contains bare LF"),
            (Dot, "554 5.6.1 Body type not supported by Remote Host"),
            (Dot, "550 Messages without a From header are not accepted"),
            (Dot, "550 5.7.1 Attachment of this type is not accepted"),
            (Data, "554 5.6.0 Content not accepted"),
        ],
    ),
    (
        TooBig,
        &[
            (Mail, "552 5.3.4 Message size exceeds fixed limit"),
            (Mail, "552 Message size exceeds maximum permitted"),
            (Dot, "552-5.3.4 Your message exceeded Google's message size limits."),
        ],
    ),
    (
        PolicyRefused,
        &[
            (Dot, "550 5.7.124 RESOLVER.RST.SenderNotInGroup; sender is not in allowed-senders list"),
            (
                Rcpt,
                "550 5.7.129 RESOLVER.RST.RestrictedToRecipientsPermission; not authorized to send to the recipient",
            ),
            (Dot, "550 5.7.703 Your message can't be delivered because one or more recipients are blocked"),
        ],
    ),
    (
        Greylisted,
        &[
            (Rcpt, "450 4.2.0 <a@example.net>: Recipient address rejected: Greylisted for 300 seconds"),
            (Rcpt, "451 Please try again later"),
            (Rcpt, "450 You are new here, come back in five minutes"),
        ],
    ),
    (
        Later,
        &[
            (Rcpt, "452 4.2.2 Mailbox full"),
            (Rcpt, "452-4.2.2 The recipient's inbox is out of storage space."),
            (Rcpt, "450 4.2.1 The user you are trying to contact is receiving mail too quickly."),
            (Rcpt, "450 4.1.1 <a@example.net>: Recipient address rejected: unverified address: timed out"),
            (Rcpt, "450 4.1.2 <a@example.net>: Recipient address rejected: Domain not found"),
            (Rcpt, "452 4.1.1 <a@example.net> mailbox is unavailable"),
        ],
    ),
];

/// Replies that name no subject: only those of other mails show what they are about.
const UNCLEAR: &[(Phase, &str)] = &[
    (Rcpt, "550 Administrative prohibition"),
    (Rcpt, "554 blocked"),
    (Rcpt, "554 5.7.1 Access denied"),
    (Rcpt, "550 5.7.1 Policy violation"),
    (Dot, "554 Transaction failed"),
    (Dot, "554 5.7.1 [CS01] Message rejected due to local policy."),
    (Dot, "550 refused"),
    (Data, "554 5.3.0 not now and not later"),
    (Rcpt, "451 Temporary local problem - please try later"),
    (Dot, "451 4.3.0 Error: queue file write error"),
    (Rcpt, "451 4.3.5 Server configuration problem"),
    (Dot, "452 4.3.1 Insufficient system storage"),
    (Mail, "451 4.3.0 <a@example.org>: Temporary lookup failure"),
    (Rcpt, "451 Please try again later: lookup failed"),
];

fn check(table: &[(NotAccepted, &[(Phase, &str)])], is_about_us: bool, least: usize) {
    let (mut number, mut wrong) = (0, Vec::new());
    for (expected, replies) in table {
        for (phase, line) in *replies {
            let (code, enhanced, text) = parse(line);
            let (found, blame) = judge(*phase, code, enhanced, text);
            let fails_no_mail = Verdict::from(found).blames_transport() || blame == Blame::Setup;
            let is_right = if is_about_us { fails_no_mail } else { blame == Blame::Mail && !fails_no_mail };
            if found != *expected || !is_right {
                wrong.push(format!("{phase}: {line}\n    is {found:?} {blame:?}, not {expected:?}"));
            }
            number += 1;
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(number >= least, "only {number} replies");
}

#[test]
fn replies_about_us_fail_no_mail() {
    check(ABOUT_US, true, 80);
}

#[test]
fn replies_about_mails_blame_only_their_mail() {
    check(ABOUT_MAILS, false, 60);
}

#[test]
fn replies_without_a_subject_are_unclear() {
    for (phase, line) in UNCLEAR {
        let (code, enhanced, text) = parse(line);
        let (_, blame) = judge(*phase, code, enhanced, text);
        assert_eq!(blame, Blame::Unclear, "{phase}: {line}");
    }
}
