//! Table that maps errors of Resend's API to verdicts. Names take precedence over statuses, since
//! one status has several meanings.

use super::NotAccepted;

/// Answer that is not an acceptance.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Error<'a> {
    /// The HTTP status.
    pub(crate) status: u16,
    /// Name of the error; empty if the answer has none.
    pub(crate) name: &'a str,
    /// Error message of the API.
    pub(crate) message: &'a str,
    /// Whether the sender is the configured one, not one set in the mail.
    pub(crate) is_own_sender: bool,
}

/// Returns the verdict on an error.
pub(crate) fn judge(error: &Error<'_>) -> NotAccepted {
    match error.name {
        "rate_limit_exceeded" | "daily_quota_exceeded" | "monthly_quota_exceeded" => NotAccepted::Throttled,
        "missing_api_key" | "invalid_api_key" | "restricted_api_key" => NotAccepted::Account,
        // The mail was sent under this key with other content, or is still in progress.
        "invalid_idempotent_request" => NotAccepted::Unknown,
        "concurrent_idempotent_requests" => NotAccepted::Greylisted,
        "security_error" => NotAccepted::Later,
        "invalid_attachment" => NotAccepted::ContentRefused,
        _ => error.by_status(),
    }
}

impl Error<'_> {
    fn by_status(&self) -> NotAccepted {
        match self.status {
            // Neither an acceptance nor an error: another server answers in place of the API.
            200..300 => NotAccepted::Unknown,
            403 => self.forbidden(),
            // Account problem, or a wrong API address.
            300..=399 | 401 | 402 | 404 | 405 | 407 => NotAccepted::Account,
            408 => NotAccepted::NothingSent,
            413 => NotAccepted::TooBig,
            425 | 429 => NotAccepted::Throttled,
            409 | 451 => NotAccepted::Later,
            // A gateway lost the connection to the API.
            502 | 504 | 520 | 524 => NotAccepted::Unknown,
            500.. => NotAccepted::NothingSent,
            _ => self.invalid(),
        }
    }

    /// Verdict on a 403. An unverified domain is an account problem if the configured sender uses
    /// it. It is a problem of the mail if the mail sets the sender, since one such mail must not
    /// stop all others.
    fn forbidden(&self) -> NotAccepted {
        let about_sender =
            self.contains_any(&["not verified", "`from`", "from address"]) || self.name == "invalid_from_address";
        if about_sender && !self.is_own_sender && !self.contains_any(&["testing emails"]) {
            NotAccepted::PolicyRefused
        } else {
            NotAccepted::Account
        }
    }

    fn invalid(&self) -> NotAccepted {
        if self.contains_any(&["`to`", "`cc`", "`bcc`"]) {
            NotAccepted::RecipientRefused
        } else if self.contains_any(&["too large", "exceeds the", "maximum size", "size limit"]) {
            NotAccepted::TooBig
        } else {
            NotAccepted::Invalid
        }
    }

    fn contains_any(&self, words: &[&str]) -> bool {
        let message = self.message.to_lowercase();
        words.iter().any(|word| message.contains(word))
    }
}

#[cfg(test)]
mod tests {
    use super::{NotAccepted::*, *};

    const NOT_VERIFIED: &str = "The example.org domain is not verified. Please, add and verify your domain";
    const TESTING: &str = "You can only send testing emails to your own email address (a@example.org). \
        To send emails to other recipients, please verify a domain, and change the from address to an email \
        using this domain.";

    #[test]
    fn each_error_has_its_verdict() {
        for (status, name, message, verdict) in [
            (400, "invalid_idempotency_key", "The key must be between 1-256 chars.", Invalid),
            (400, "validation_error", "We found an error with one or more fields in the request.", Invalid),
            (401, "missing_api_key", "Missing API key in the authorization header.", Account),
            (401, "restricted_api_key", "This API key is restricted to only send emails.", Account),
            (403, "invalid_api_key", "API key is invalid.", Account),
            (403, "validation_error", TESTING, Account),
            (403, "validation_error", NOT_VERIFIED, PolicyRefused),
            (403, "invalid_from_address", "Invalid `from` field.", PolicyRefused),
            (403, "", "", Account),
            (404, "not_found", "The requested endpoint does not exist.", Account),
            (405, "method_not_allowed", "This endpoint does not support the specified HTTP method.", Account),
            (409, "invalid_idempotent_request", "Same idempotency key used with a different payload.", Unknown),
            (409, "concurrent_idempotent_requests", "Original request is still in progress.", Greylisted),
            (413, "", "", TooBig),
            (
                422,
                "validation_error",
                "Invalid `to` field. The email address needs to follow the format.",
                RecipientRefused,
            ),
            (422, "validation_error", "Attachments exceeds the maximum size.", TooBig),
            (422, "invalid_attachment", "Attachment must have either a `content` or `path`.", ContentRefused),
            (422, "invalid_from_address", "Invalid `from` field.", Invalid),
            (422, "invalid_access", "Access must be one of", Invalid),
            (422, "invalid_parameter", "The parameter must be a valid UUID.", Invalid),
            (422, "invalid_region", "Region must be one of", Invalid),
            (422, "missing_required_field", "The request body is missing one or more required fields.", Invalid),
            (429, "rate_limit_exceeded", "Too many requests.", Throttled),
            (429, "daily_quota_exceeded", "You have reached your daily email sending quota.", Throttled),
            (429, "monthly_quota_exceeded", "You have reached your monthly email sending quota.", Throttled),
            (429, "", "", Throttled),
            (451, "security_error", "We may have found a security issue with the request.", Later),
            (500, "application_error", "An unexpected error occurred.", NothingSent),
            (500, "internal_server_error", "An unexpected error occurred.", NothingSent),
            (503, "service_unavailable", "", NothingSent),
            (502, "", "", Unknown),
            (504, "", "", Unknown),
            (521, "", "", NothingSent),
            (301, "", "", Account),
            (200, "", "", Unknown),
        ] {
            let error = Error { status, name, message, is_own_sender: false };
            assert_eq!(judge(&error), verdict, "{error:?}");
        }
    }

    #[test]
    fn a_refused_configured_sender_is_an_account_problem() {
        for message in [NOT_VERIFIED, TESTING] {
            let error = Error { status: 403, name: "validation_error", message, is_own_sender: true };
            assert_eq!(judge(&error), Account);
        }
    }
}
