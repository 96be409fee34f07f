//! Can mail leave this way? For a person who asks.

use std::io;

use postroom_core::settings::TransportSettings;
use postroom_smtp::{Session, SmtpError};

use super::{BadTransport, FileTransport, ResendTransport, smtp};

/// Why mail could not leave.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// The settings can't be used.
    #[error(transparent)]
    Settings(#[from] BadTransport),
    /// The server can't be reached, or does not let us in.
    #[error("{server}: {error}")]
    Smtp {
        /// Host and port.
        server: String,
        /// What happened, with the phase.
        error: SmtpError,
    },
    /// The provider can't be reached, or refuses our key.
    #[error("{server}: {problem}")]
    Provider {
        /// Where its API is.
        server: String,
        /// What happened or was answered.
        problem: String,
    },
    /// The folder can't be written to.
    #[error("can't write to the folder {folder}: {error}")]
    Folder {
        /// The folder.
        folder: String,
        /// Why.
        error: io::Error,
    },
}

/// Connects, protects the connection, logs in and leaves; asks a provider for what sends nothing; or writes to the folder. Says in words what worked.
pub async fn login_check(settings: &TransportSettings) -> Result<String, LoginError> {
    match settings {
        TransportSettings::Smtp(settings) => {
            let endpoint = smtp::endpoint(settings)?;
            let server = format!("{}:{}", settings.host, settings.port);
            let session = Session::connect(&endpoint)
                .await
                .map_err(|error| LoginError::Smtp { server: server.clone(), error })?;
            let said = greeting(&server, session.is_encrypted(), settings.credentials.as_ref().map(|(user, _)| user));
            session.quit().await;
            Ok(said)
        }
        TransportSettings::Resend(settings) => {
            let server = settings.url.to_string();
            match ResendTransport::from_settings(settings)?.check().await {
                Ok(said) => Ok(format!("{server}: {said}")),
                Err(problem) => Err(LoginError::Provider { server, problem }),
            }
        }
        TransportSettings::File(path) => match FileTransport::new(path).check().await {
            Ok(folder) => Ok(format!("mail is written to the folder {}", folder.display())),
            Err(error) => Err(LoginError::Folder { folder: path.display().to_string(), error }),
        },
        TransportSettings::Capture => Ok("mail is captured and shown in the monitor; none leaves".to_owned()),
        TransportSettings::Discard => Ok("mail is discarded; none leaves".to_owned()),
    }
}

fn greeting(server: &str, encrypted: bool, user: Option<&String>) -> String {
    let protection = if encrypted { "with TLS" } else { "without TLS" };
    let login = user.map_or_else(|| "no login".to_owned(), |user| format!("logged in as {user}"));
    format!("{server} answers {protection}, {login}")
}
