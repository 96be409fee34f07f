//! Query strings within bounds.

use axum::{
    extract::{FromRequestParts, Query},
    http::request::Parts,
};
use postroom_core::InvalidInput;
use serde::Deserialize;

use crate::handler_error::HandlerError;

/// Maximum number of parameters, and of bytes in one.
const PARAMETERS: usize = 32;
const BYTES: usize = 400;
/// Maximum number of bytes in the address that a login returns to.
const ADDRESS_BYTES: usize = 1_100;

/// A parsed query string. A parameter that is too long, contains a control character, or occurs
/// twice is refused by name.
#[derive(Debug)]
pub(crate) struct BoundedQuery<T>(pub(crate) T);

impl<T, S> FromRequestParts<S> for BoundedQuery<T>
where
    T: for<'de> Deserialize<'de>,
    S: Send + Sync,
{
    type Rejection = HandlerError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, HandlerError> {
        let unreadable =
            |error: &dyn std::fmt::Display| InvalidInput::new("query", format!("the query can't be parsed: {error}"));
        let pairs = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri).map_err(|error| unreadable(&error))?;
        check(&pairs)?;
        let Query(query) = Query::<T>::try_from_uri(&parts.uri).map_err(|error| unreadable(&error))?;
        Ok(Self(query))
    }
}

fn check(pairs: &[(String, String)]) -> Result<(), InvalidInput> {
    if pairs.len() > PARAMETERS {
        return Err(InvalidInput::new(
            "query",
            format!("the query has too many parameters; it may have up to {PARAMETERS}"),
        ));
    }
    for (at, (name, value)) in pairs.iter().enumerate() {
        let refuse = |problem: String| Err(InvalidInput::new(shown(name), problem));
        let limit = if name == "next" { ADDRESS_BYTES } else { BYTES };
        if value.len() > limit || name.len() > BYTES {
            return refuse(format!("the value is too long; it may have up to {limit} bytes"));
        }
        if value.chars().any(char::is_control) {
            return refuse("the value contains a line break or control character; it may be one line".to_owned());
        }
        if pairs[..at].iter().any(|(before, _)| before == name) {
            return refuse("the parameter occurs more than once".to_owned());
        }
    }
    Ok(())
}

/// Shortens a name for a message.
fn shown(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invalid_parameters_are_reported_by_name() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let long = "x".repeat(BYTES + 1);
        for (pairs, field) in [
            (vec![pair("state", &long)], "state"),
            (vec![pair("queue", "a\nb")], "queue"),
            (vec![pair("a", "1"), pair("b", "1"), pair("a", "2")], "a"),
            (vec![pair("x", "1"); PARAMETERS + 1], "query"),
        ] {
            assert_eq!(check(&pairs).expect_err(field).field, field);
        }
        assert_eq!(check(&[pair("next", &long), pair("state", "")]), Ok(()));
    }
}
