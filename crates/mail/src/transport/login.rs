//! Connection and login check of a transport, for `postroom doctor`.

use std::io;

use postroom_core::settings::TransportSettings;
use postroom_smtp::{Session, SmtpError};

use super::{BadTransport, FileTransport, ResendTransport, smtp};

/// Reason why a transport can't send mail.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// The settings are invalid.
    #[error(transparent)]
    Settings(#[from] BadTransport),
    /// The server can't be reached or refuses the login.
    #[error("{server}: {error}")]
    Smtp {
        /// Host and port of the server.
        server: String,
        /// Error, with the phase of the session.
        error: SmtpError,
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
        TransportSettings::Smtp(settings) => {
            let endpoint = smtp::endpoint(settings)?;
            let server = format!("{}:{}", settings.host, settings.port);
            let session = Session::connect(&endpoint)
                .await
                .map_err(|error| LoginError::Smtp { server: server.clone(), error })?;
            let description = describe_connection(
                &server,
                session.is_encrypted(),
                settings.credentials.as_ref().map(|(user, _)| user),
            );
            session.quit().await;
            Ok(description)
        }
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

fn describe_connection(server: &str, encrypted: bool, user: Option<&String>) -> String {
    let protection = if encrypted { "connected with TLS" } else { "connected without TLS" };
    let login = user.map_or_else(|| "no login".to_owned(), |user| format!("logged in as {user}"));
    format!("{server}: {protection}, {login}")
}
