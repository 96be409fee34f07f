//! The query of an address, within bounds.

use axum::{
    extract::{FromRequestParts, Query},
    http::request::Parts,
};
use postroom_core::InvalidInput;
use serde::Deserialize;

use crate::{app::App, failure::Failure};

/// Maximum of parameters, and of bytes in one.
const MOST: usize = 32;
const BYTES: usize = 400;
/// Maximum of bytes in an address that a login leads back to.
const ADDRESS_BYTES: usize = 1_100;

/// The query of an address. A parameter that is too long, holds a control character, or stands there twice is refused
/// with its name.
#[derive(Debug)]
pub(crate) struct Asked<T>(pub(crate) T);

impl<T: for<'de> Deserialize<'de>> FromRequestParts<App> for Asked<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _app: &App) -> Result<Self, Failure> {
        let unreadable =
            |error: &dyn std::fmt::Display| InvalidInput::new("query", format!("it can't be read: {error}"));
        let pairs = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri).map_err(|error| unreadable(&error))?;
        check(&pairs)?;
        let Query(query) = Query::<T>::try_from_uri(&parts.uri).map_err(|error| unreadable(&error))?;
        Ok(Self(query))
    }
}

fn check(pairs: &[(String, String)]) -> Result<(), InvalidInput> {
    if pairs.len() > MOST {
        return Err(InvalidInput::new("query", format!("it may have up to {MOST} parameters")));
    }
    for (at, (name, value)) in pairs.iter().enumerate() {
        let refuse = |problem: String| Err(InvalidInput::new(shown(name), problem));
        let most = if name == "next" { ADDRESS_BYTES } else { BYTES };
        if value.len() > most || name.len() > BYTES {
            return refuse(format!("it may have up to {most} bytes"));
        }
        if value.chars().any(char::is_control) {
            return refuse("it holds a line break or control character; it may be one line of text".to_owned());
        }
        if pairs[..at].iter().any(|(before, _)| before == name) {
            return refuse("it is given more than once".to_owned());
        }
    }
    Ok(())
}

/// A name that is fit for a message.
fn shown(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_named() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let long = "x".repeat(BYTES + 1);
        for (pairs, field) in [
            (vec![pair("state", &long)], "state"),
            (vec![pair("queue", "a\nb")], "queue"),
            (vec![pair("a", "1"), pair("b", "1"), pair("a", "2")], "a"),
            (vec![pair("x", "1"); MOST + 1], "query"),
        ] {
            assert_eq!(check(&pairs).expect_err(field).field, field);
        }
        assert_eq!(check(&[pair("next", &long), pair("state", "")]), Ok(()));
    }
}
