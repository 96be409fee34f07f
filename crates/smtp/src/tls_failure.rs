//! Reasons of a failed TLS handshake.

use std::io;

use rustls::{AlertDescription, CertificateError, Error};

/// Reason why a TLS handshake failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsFailure {
    /// The server does not speak TLS at this point.
    NotTls,
    /// No trusted authority has issued the certificate, or the certificate is unusable.
    UnknownIssuer,
    /// The certificate is for other names.
    WrongName,
    /// The certificate has expired or is not valid yet.
    WrongDate,
    /// Neither TLS 1.2 nor 1.3, or no common cipher suite.
    OldTls,
    /// Another reason.
    Other,
}

impl TlsFailure {
    /// Returns the reason if the error is one of TLS.
    pub(crate) fn of(error: &io::Error) -> Option<Self> {
        let error = error.get_ref()?.downcast_ref::<Error>()?;
        Some(match error {
            Error::InvalidMessage(_) => Self::NotTls,
            Error::InvalidCertificate(why) => Self::of_certificate(why),
            Error::PeerIncompatible(_) => Self::OldTls,
            Error::AlertReceived(
                AlertDescription::ProtocolVersion
                | AlertDescription::HandshakeFailure
                | AlertDescription::InsufficientSecurity,
            ) => Self::OldTls,
            _ => Self::Other,
        })
    }

    fn of_certificate(why: &CertificateError) -> Self {
        match why {
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => Self::WrongName,
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. } => Self::WrongDate,
            // A certificate signed by itself is refused as CaUsedAsEndEntity or
            // UnsupportedCertVersion too.
            _ => Self::UnknownIssuer,
        }
    }
}
