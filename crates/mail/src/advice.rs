//! Table from an error of a session to the next step for a person. Log, alerts, `postroom doctor`
//! and the dashboard show its texts.

use std::io;

use postroom_smtp::{ErrorKind, Phase, Reply, SmtpError, TlsFailure};

const PORT: &str = "check SMTP_HOST and SMTP_PORT. Many hosting providers block the outgoing ports 25, 465 and 587: \
    try port 2525, or the API of a provider (MAIL_TRANSPORT=resend)";
const NO_LISTENER: &str = "no program accepts connections at this port: check SMTP_HOST and SMTP_PORT, and whether \
    the server runs. In a container, localhost is the container itself";
const NAME: &str = "check the name in SMTP_HOST, and the DNS server of this machine";
const SILENT: &str = "a server that expects TLS at once sends no greeting: for port 465, set SMTP_SECURITY=tls";
const NOT_TLS: &str = "the server does not begin with TLS at this port: set SMTP_SECURITY=starttls (usual for port \
    587), or SMTP_SECURITY=none for a relay on this machine or in a private network";
const NO_STARTTLS: &str = "for a relay on this machine or in a private network, set SMTP_SECURITY=none; for port 465, \
    set SMTP_SECURITY=tls";
const NO_AUTH: &str = "many servers offer a login only after TLS, so check SMTP_SECURITY and SMTP_PORT; or leave out \
    SMTP_USERNAME and SMTP_PASSWORD";
const CERTIFICATE: &str = "the certificate is of no known authority: set SMTP_CA_FILE to a PEM file with the \
    certificate of its authority, or with the server's own certificate";
const CERTIFICATE_NAME: &str = "set SMTP_HOST to a name in the certificate, or SMTP_CA_FILE to a PEM file with this \
    certificate";
const CERTIFICATE_DATE: &str = "renew the server's certificate, and check the clock of this machine";
const OLD_TLS: &str = "the server supports no TLS 1.2 or 1.3 with a common cipher suite: upgrade it, or use another \
    port or server";
const TLS_CLOSED: &str = "the server closed during the TLS handshake: check SMTP_PORT and SMTP_SECURITY; it may \
    support only TLS older than 1.2";
const NO_SMTP: &str = "the program at this port is not a mail server: check SMTP_HOST and SMTP_PORT";

/// Returns the next step for an error of a session.
pub(crate) fn of_error(error: &SmtpError) -> Option<&'static str> {
    match error.kind() {
        ErrorKind::Refused(reply) => Some(of_reply(error.phase(), reply)),
        ErrorKind::Timeout(_) => of_silence(error.phase()),
        ErrorKind::Closed if error.phase() == Phase::Greeting => Some(SILENT),
        ErrorKind::Closed if error.phase() == Phase::Tls => Some(TLS_CLOSED),
        ErrorKind::Io(cause) => of_io(error.phase(), cause, error.tls_failure()),
        ErrorKind::StartTlsMissing => Some(NO_STARTTLS),
        ErrorKind::AuthMissing => Some(NO_AUTH),
        ErrorKind::Unexpected(_) if matches!(error.phase(), Phase::Greeting | Phase::Ehlo) => Some(NO_SMTP),
        ErrorKind::BadHost(_) => Some(NAME),
        ErrorKind::Closed
        | ErrorKind::Unexpected(_)
        | ErrorKind::PipeliningRejected(_)
        | ErrorKind::ReplyTooLong
        | ErrorKind::PlainAfterStartTls
        | ErrorKind::TooBig { .. }
        | ErrorKind::SmtpUtf8Missing(_)
        | ErrorKind::EightBitMissing
        | ErrorKind::Aborted
        | ErrorKind::NotReusable => None,
    }
}

/// Whether another `SMTP_SECURITY` may cure the error.
pub(crate) fn is_about_security(error: &SmtpError) -> bool {
    let advice = of_error(error);
    [SILENT, NOT_TLS, NO_STARTTLS, NO_AUTH, TLS_CLOSED].into_iter().any(|security| advice == Some(security))
}

/// Whether the server speaks TLS, and its certificate is refused.
pub(crate) fn is_about_certificate(error: &SmtpError) -> bool {
    use TlsFailure::{UnknownIssuer, WrongDate, WrongName};
    matches!(error.tls_failure(), Some(UnknownIssuer | WrongName | WrongDate))
}

fn of_silence(phase: Phase) -> Option<&'static str> {
    match phase {
        Phase::Connect => Some(PORT),
        Phase::Tls => Some(NOT_TLS),
        Phase::Greeting => Some(SILENT),
        _ => None,
    }
}

fn of_io(phase: Phase, error: &io::Error, tls: Option<TlsFailure>) -> Option<&'static str> {
    match tls {
        Some(TlsFailure::NotTls) => return Some(NOT_TLS),
        Some(TlsFailure::UnknownIssuer) => return Some(CERTIFICATE),
        Some(TlsFailure::WrongName) => return Some(CERTIFICATE_NAME),
        Some(TlsFailure::WrongDate) => return Some(CERTIFICATE_DATE),
        Some(TlsFailure::OldTls) => return Some(OLD_TLS),
        Some(TlsFailure::Other) | None => {}
    }
    let is_lookup = error.to_string().contains("lookup address");
    match (phase, error.kind()) {
        (Phase::Connect, _) if is_lookup => Some(NAME),
        (Phase::Connect, io::ErrorKind::ConnectionRefused) => Some(NO_LISTENER),
        (Phase::Connect, _) => Some(PORT),
        (Phase::Greeting, io::ErrorKind::ConnectionReset) => Some(SILENT),
        (Phase::Tls, io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset) => Some(TLS_CLOSED),
        _ => None,
    }
}

/// Words of a reply and the next step; the first row with one of its words holds.
const REPLIES: &[(&[&str], &str)] = &[
    (
        &["application-specific", "app password", "5.7.9 application"],
        "create an app password at the provider, and set it as SMTP_PASSWORD",
    ),
    (
        &["smtpclientauthentication", "5.7.139", "basic authentication is disabled"],
        "enable authenticated SMTP for this mailbox at the provider",
    ),
    (
        &["starttls", "ssl or tls", "tls is required", "tls required", "encryption required", "encryption needed"],
        "set SMTP_SECURITY=starttls, or tls for port 465",
    ),
    (&["helo", "ehlo", "invalid domain name"], "set SMTP_HELLO_NAME to the full name of this host, as in DNS"),
    (
        &["ptr", "reverse dns", "rdns", "cannot find your", "ip name", "5.7.25", "5.7.26 ptr"],
        "set a PTR record for the IP address of this host, or send through a provider",
    ),
    (
        &["spf", "dkim", "dmarc", "5.7.26", "5.7.515", "5.7.23"],
        "publish the SPF, DKIM and DMARC records of the sender's domain as the provider describes",
    ),
    (
        &["spamhaus", "blocked using", "blocklist", "block list", "black list", "blacklist", "rbl", "banned", "listed"],
        "the IP address of this host is blocked: ask the list for removal, or send through another server",
    ),
    (
        &["relay"],
        "the server does not forward mail for us: set SMTP_USERNAME and SMTP_PASSWORD, or permit this host to relay",
    ),
    (
        &["suspended", "paused", "credits", "disabled", "not yet activated", "pending", "outgoing blocked", "sandbox"],
        "check the state of the account at the provider",
    ),
    (
        &["not verified", "unverified", "sender", "send as", "from address", "mail from", "owned by", "identity"],
        "set SMTP_MAIL_FROM to a sender that this account may use, or verify the sender at the provider",
    ),
];

/// Returns the next step for a refusal, in case it is about us.
pub(crate) fn of_reply(phase: Phase, reply: &Reply) -> &'static str {
    const LOGIN: &str = "check SMTP_USERNAME and SMTP_PASSWORD";
    const NO_LOGIN: &str = "set SMTP_USERNAME and SMTP_PASSWORD, or check them if they are set";
    const NO_MECHANISM: &str = "Postroom logs in with PLAIN or LOGIN: enable one of them, or leave out SMTP_USERNAME";
    const SERVER: &str = "the log of the server names the cause, or its administrator";
    let text = reply.to_string().to_lowercase();
    let has_any = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if let Some((_, advice)) = REPLIES.iter().find(|(words, _)| has_any(words)) {
        return advice;
    }
    match reply.code {
        504 if phase == Phase::Auth => NO_MECHANISM,
        503 if phase == Phase::Auth => NO_AUTH,
        _ if phase == Phase::Auth => LOGIN,
        530 => NO_LOGIN,
        _ if has_any(&["authenticat", "credentials", "log in", "logged in", "auth first"]) => NO_LOGIN,
        _ => SERVER,
    }
}
