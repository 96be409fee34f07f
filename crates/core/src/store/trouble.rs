//! What an error of the client means to us.

use redis::{ErrorKind, RedisError};

use crate::{Error, InvalidInput};

/// What a server says that is up but can't serve: it passes, and then what was said can be said again. A script that is
/// missing still was flushed the moment it was loaded.
const PASSES: [&str; 9] =
    ["MISCONF", "NOREPLICAS", "BUSY", "LOADING", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "NOSCRIPT"];

/// What a server says that is no longer the one to talk to.
const WRONG_SERVER: [&str; 3] = ["READONLY", "MASTERDOWN", "UNBLOCKED"];

/// The error as callers know it.
pub(super) fn told(error: &RedisError) -> Error {
    let text = error.to_string();
    if says(error, &text, "OOM") {
        return Error::Full;
    }
    if PASSES.iter().chain(&WRONG_SERVER).any(|word| says(error, &text, word)) {
        return Error::Away(text);
    }
    if says(error, &text, "NOAUTH") {
        return Error::Invalid(InvalidInput::new(
            "REDIS_URL",
            "NOAUTH: the server wants a password (:PASSWORD@ before the host, ?pass=PASSWORD behind a socket)",
        ));
    }
    if says(error, &text, "WRONGTYPE") {
        return Error::WrongType(text);
    }
    match error.kind() {
        ErrorKind::Io | ErrorKind::ClusterConnectionNotFound => Error::Away(text),
        ErrorKind::AuthenticationFailed => Error::Invalid(InvalidInput::new("REDIS_URL", text)),
        _ if error.is_timeout() || is_broken(error) => Error::Away(text),
        _ => Error::Protocol(text),
    }
}

/// Whether the connection is of no more use: broken, out of step, or to a server that no longer takes writes.
pub(super) fn ends_connection(error: &RedisError) -> bool {
    let text = error.to_string();
    let out_of_step = matches!(error.kind(), ErrorKind::Io | ErrorKind::Parse) || error.is_unrecoverable_error();
    out_of_step || is_broken(error) || WRONG_SERVER.iter().any(|word| says(error, &text, word))
}

fn is_broken(error: &RedisError) -> bool {
    error.is_connection_dropped() || error.is_connection_refusal()
}

/// An error inside a script may stand behind a code of its own.
fn says(error: &RedisError, text: &str, word: &str) -> bool {
    // In a pipeline's error the codes stand in quotes.
    error.code() == Some(word) || text.contains(&format!("{word} ")) || text.contains(&format!("\"{word}\""))
}
