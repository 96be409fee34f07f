//! Connection and login check of a transport, for `postroom doctor`.

use std::{io, time::Duration};

use postroom_core::settings::{Security, SmtpSettings, TransportSettings};
use postroom_smtp::{ErrorKind, Session, SmtpError};

use super::{BadTransport, FileTransport, ResendTransport, smtp};
use crate::advice;

/// Time without a greeting after which the check tries other encryption.
const SILENCE: Duration = Duration::from_secs(4);
/// Maximum time of each step after the connection.
const STEP_LIMIT: Duration = Duration::from_secs(12);
/// Maximum time of each step with other encryption.
const OTHER_LIMIT: Duration = Duration::from_secs(3);

/// Reason why a transport can't send mail.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// The settings are invalid.
    #[error(transparent)]
    Settings(#[from] BadTransport),
    /// The server can't be reached or refuses the login.
    #[error("{server}: {error}{}", of_advice(*.advice))]
    Smtp {
        /// Host and port of the server.
        server: String,
        /// Error, with the phase of the session.
        error: SmtpError,
        /// Next step for a person.
        advice: Option<&'static str>,
    },
    /// The server answers only with other encryption.
    #[error("{server}: {problem}; with {works} the server answers at this port: set it")]
    Security {
        /// Host and port of the server.
        server: String,
        /// Error of the configured encryption.
        problem: String,
        /// Setting that works.
        works: &'static str,
    },
    /// The provider can't be reached or refuses the API key.
    #[error("{server}: {problem}")]
    Provider {
        /// Base URL of the API.
        server: String,
        /// Error, or the answer of the provider.
        problem: String,
    },
    /// The folder is not writable.
    #[error("can't write to the folder {folder}: {error}")]
    Folder {
        /// Path of the folder.
        folder: String,
        /// I/O error.
        error: io::Error,
    },
}

/// Checks that a transport works, without sending mail, and returns a description of what worked.
///
/// SMTP: connects, starts TLS, logs in and disconnects. Resend: sends a request that changes
/// nothing. File: writes a test file.
///
/// # Errors
///
/// Returns an error if the settings are invalid or the check fails.
pub async fn login_check(settings: &TransportSettings) -> Result<String, LoginError> {
    match settings {
        TransportSettings::Smtp(settings) => smtp_check(settings).await,
        TransportSettings::Resend(settings) => {
            let server = settings.url.to_string();
            match ResendTransport::from_settings(settings)?.check().await {
                Ok(description) => Ok(format!("{server}: {description}")),
                Err(problem) => Err(LoginError::Provider { server, problem }),
            }
        }
        TransportSettings::File(path) => match FileTransport::new(path).check().await {
            Ok(folder) => Ok(format!("mail is written to the folder {}", folder.display())),
            Err(error) => Err(LoginError::Folder { folder: path.display().to_string(), error }),
        },
        TransportSettings::Capture => Ok("mail is captured and shown in the monitor, not sent".to_owned()),
        TransportSettings::Discard => Ok("mail is discarded, not sent".to_owned()),
    }
}

async fn smtp_check(settings: &SmtpSettings) -> Result<String, LoginError> {
    let mut endpoint = smtp::endpoint(settings)?;
    let limits = &mut endpoint.limits;
    for limit in [&mut limits.tls, &mut limits.greeting, &mut limits.command] {
        *limit = STEP_LIMIT.min(*limit);
    }
    let server = format!("{}:{}", settings.host, settings.port);
    // A server that expects TLS at once is silent. Any other server may only be slow.
    let silent = async {
        tokio::time::sleep(SILENCE).await;
        match other_security(settings, &[Security::Tls]).await {
            Some(works) => works,
            None => std::future::pending().await,
        }
    };
    let connected = tokio::select! {
        connected = Session::connect(&endpoint) => connected,
        works = silent => {
            let problem = format!("no reply within {} s", SILENCE.as_secs());
            return Err(LoginError::Security { server, problem, works });
        }
    };
    match connected {
        Ok(session) => {
            let user = settings.credentials.as_ref().map(|(user, _)| user);
            let description = describe_connection(&server, session.is_encrypted(), user);
            session.quit().await;
            Ok(description)
        }
        Err(error) => match other_security(settings, others_after(&error)).await {
            Some(works) => Err(LoginError::Security { server, problem: error.to_string(), works }),
            None => Err(LoginError::Smtp { server, advice: advice::of_error(&error), error }),
        },
    }
}

/// Encryption that may cure an error. A missing login is never cured by less of it.
fn others_after(error: &SmtpError) -> &'static [Security] {
    match error.kind() {
        ErrorKind::AuthMissing => &[Security::Tls, Security::StartTls],
        _ if advice::is_about_security(error) => &[Security::Tls, Security::StartTls, Security::None],
        _ => &[],
    }
}

/// Connects with other encryption, without a login. Returns the first setting that works.
async fn other_security(settings: &SmtpSettings, others: &[Security]) -> Option<&'static str> {
    for &security in others {
        let setting = match security {
            Security::Tls => "SMTP_SECURITY=tls",
            Security::StartTls => "SMTP_SECURITY=starttls",
            Security::None => {
                "SMTP_SECURITY=none (without encryption, so only for a relay on this machine or in a private network)"
            }
        };
        if security == settings.security {
            continue;
        }
        let mut endpoint = smtp::endpoint(&SmtpSettings { security, credentials: None, ..settings.clone() }).ok()?;
        let limits = &mut endpoint.limits;
        (limits.connect, limits.tls, limits.greeting, limits.command) =
            (OTHER_LIMIT, OTHER_LIMIT, OTHER_LIMIT, OTHER_LIMIT);
        match Session::connect(&endpoint).await {
            Ok(session) => {
                session.quit().await;
                return Some(setting);
            }
            // The server speaks TLS there, but its certificate is refused.
            Err(error) if security != Security::None && advice::is_about_certificate(&error) => return Some(setting),
            Err(_) => {}
        }
    }
    None
}

fn of_advice(advice: Option<&str>) -> String {
    advice.map(|advice| format!("; {advice}")).unwrap_or_default()
}

fn describe_connection(server: &str, encrypted: bool, user: Option<&String>) -> String {
    let protection = if encrypted { "connected with TLS" } else { "connected without TLS" };
    let login = user.map_or_else(|| "no login".to_owned(), |user| format!("logged in as {user}"));
    format!("{server}: {protection}, {login}")
}
