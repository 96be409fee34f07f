//! Maps errors of the Redis client to [`Error`].

use std::{error::Error as _, io, sync::Arc};

use redis::{ErrorKind, RedisError};
use rustls::CertificateError;

use crate::{Error, InvalidInput};

/// Errors of a server that can't serve for a while; retry later. NOSCRIPT directly after a load
/// means that the scripts were flushed.
const TRANSIENT: [&str; 9] =
    ["MISCONF", "NOREPLICAS", "BUSY", "LOADING", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "NOSCRIPT"];

/// Errors of a server that does not accept writes any more.
const WRONG_SERVER: [&str; 3] = ["READONLY", "MASTERDOWN", "UNBLOCKED"];

/// Errors for a missing right inside a script, before and since Redis 7.2.
const DENIED: [&str; 2] = ["The user executing the script can't ", "ACL failure in script"];

const MISSING_RIGHT: &str = "its user lacks a right in Redis (docs/redis.md lists what each program needs; ACL \
                             LOG on the server names the command and the key): NOPERM";

/// Maps an error of the client.
pub(in crate::store) fn convert(error: &RedisError) -> Error {
    if let Some(problem) = certificate(error) {
        return refused_certificate(problem);
    }
    let text = error.to_string();
    if has_code(error, &text, "OOM") {
        return Error::Full;
    }
    if TRANSIENT.iter().chain(&WRONG_SERVER).any(|word| has_code(error, &text, word)) {
        return Error::Away(text);
    }
    if has_code(error, &text, "NOPERM") || DENIED.iter().any(|words| text.contains(words)) {
        return Error::Invalid(InvalidInput::new("REDIS_URL", format!("{MISSING_RIGHT}: {text}")));
    }
    if has_code(error, &text, "NOAUTH") {
        return Error::Invalid(InvalidInput::new(
            "REDIS_URL",
            "NOAUTH: the server requires a password (:PASSWORD@ before the host, ?pass=PASSWORD after a socket)",
        ));
    }
    if text.contains("DB index is out of range") || text.contains("invalid DB index") {
        return Error::Invalid(InvalidInput::new("REDIS_URL", "the server has no database of this number (SELECT)"));
    }
    if has_code(error, &text, "WRONGTYPE") {
        return Error::WrongType(text);
    }
    match error.kind() {
        ErrorKind::Io | ErrorKind::ClusterConnectionNotFound => Error::Away(text),
        ErrorKind::AuthenticationFailed => Error::Invalid(InvalidInput::new("REDIS_URL", text)),
        _ if error.is_timeout() || is_broken(error) => Error::Away(text),
        _ => Error::Protocol(text),
    }
}

/// Whether the connection must be closed: it is broken, out of step, or its server does not accept
/// writes.
pub(in crate::store) fn ends_connection(error: &RedisError) -> bool {
    let text = error.to_string();
    let out_of_step = matches!(error.kind(), ErrorKind::Io | ErrorKind::Parse) || error.is_unrecoverable_error();
    out_of_step || is_broken(error) || WRONG_SERVER.iter().any(|word| has_code(error, &text, word))
}

/// Adds the user and the denied call to an error about a missing right.
pub(in crate::store) fn name_denied_call(error: Error, user: &str, what: impl FnOnce() -> String) -> Error {
    match error {
        Error::Invalid(problem) if problem.problem.starts_with(MISSING_RIGHT) => {
            let detailed = format!("{} (user {user}, call {})", problem.problem, what());
            Error::Invalid(InvalidInput::new(problem.field, detailed))
        }
        error => error,
    }
}

/// Returns the error of the server's certificate, if that is the cause.
fn certificate(error: &RedisError) -> Option<&CertificateError> {
    // The client wraps the original error.
    let original: &Arc<dyn std::error::Error + Send + Sync> = error.source()?.downcast_ref()?;
    match original.downcast_ref::<io::Error>()?.get_ref()?.downcast_ref()? {
        rustls::Error::InvalidCertificate(problem) => Some(problem),
        _ => None,
    }
}

/// A certificate for another name or of another issuer is a wrong setting. Other errors, such as an
/// expired certificate, are transient.
fn refused_certificate(problem: &CertificateError) -> Error {
    let why = format!("the certificate of Redis is refused ({problem})");
    let setting = |name: &str, advice: &str| Error::Invalid(InvalidInput::new(name, format!("{why}: {advice}")));
    match problem {
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            setting("REDIS_CA_FILE", "it may name a PEM file with the certificate authority that signed it")
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            setting("REDIS_URL", "it may name a host that the certificate is for")
        }
        _ => Error::Away(format!("{why}; REDIS_CA_FILE may name the trusted certificate authorities")),
    }
}

fn is_broken(error: &RedisError) -> bool {
    error.is_connection_dropped() || error.is_connection_refusal()
}

/// Whether an error has this code. An error inside a script may contain it after a code of its own.
fn has_code(error: &RedisError, text: &str, word: &str) -> bool {
    // In errors of a pipeline, codes are in quotes.
    error.code() == Some(word) || text.contains(&format!("{word} ")) || text.contains(&format!("\"{word}\""))
}
