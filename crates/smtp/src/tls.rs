//! TLS with rustls and ring, independent of the crypto provider that the process has installed.

use std::sync::Arc;

use rustls::{
    ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject};
use thiserror::Error;
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::{error::ErrorKind, pinned::PinningVerifier};

/// Certificate checks. Mozilla's root certificates are always trusted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsOptions {
    /// Additional certificate authorities, in PEM. A server whose own certificate is one of these
    /// is trusted as well.
    pub extra_ca_pem: Option<Vec<u8>>,
    /// Accepts any certificate, which allows a man in the middle. For tests only.
    pub accept_invalid_certs: bool,
}

/// Error: the TLS options are unusable.
#[derive(Debug, Error)]
pub enum BadTlsOptions {
    /// The PEM is malformed.
    #[error("the extra certificate authorities are not PEM: {0}")]
    Pem(String),
    /// The PEM contains no certificate.
    #[error("the extra certificate authorities contain no certificate")]
    Empty,
    /// rustls rejected a certificate or the configuration.
    #[error("TLS can't be configured: {0}")]
    Rustls(#[from] Error),
}

/// TLS configuration, cheap to clone. Clones share session tickets.
#[derive(Clone)]
pub struct TlsClient(Arc<ClientConfig>);

impl TlsClient {
    /// Creates a client from options.
    ///
    /// # Errors
    /// Returns an error if the extra certificate authorities are unusable.
    pub fn new(options: &TlsOptions) -> Result<Self, BadTlsOptions> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let extra = options.extra_ca_pem.as_deref().map(certificates).transpose()?.unwrap_or_default();
        let roots = roots(&extra)?;
        let pinning = match extra.is_empty() {
            true => None,
            false => Some(PinningVerifier::new(roots.clone(), extra, Arc::clone(&provider))?),
        };
        let mut config = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        if let Some(pinning) = pinning {
            config.dangerous().set_certificate_verifier(Arc::new(pinning));
        }
        if options.accept_invalid_certs {
            let anyone = Arc::new(TrustAnyone(provider));
            config.dangerous().set_certificate_verifier(anyone);
        }
        Ok(Self(Arc::new(config)))
    }

    /// Performs the handshake with a server, which must have a certificate for this host.
    ///
    /// # Errors
    /// Returns [`ErrorKind::BadHost`] if the host can't be checked, [`ErrorKind::Io`] if the
    /// handshake fails.
    pub async fn handshake(&self, host: &str, tcp: TcpStream) -> Result<TlsStream<TcpStream>, ErrorKind> {
        let name = ServerName::try_from(host.to_owned()).map_err(|_| ErrorKind::BadHost(host.to_owned()))?;
        let connector = TlsConnector::from(Arc::clone(&self.0));
        Ok(connector.connect(name, tcp).await?)
    }
}

impl std::fmt::Debug for TlsClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TlsClient")
    }
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, BadTlsOptions> {
    let certificates = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    let certificates = certificates.map_err(|error| BadTlsOptions::Pem(error.to_string()))?;
    if certificates.is_empty() { Err(BadTlsOptions::Empty) } else { Ok(certificates) }
}

fn roots(extra: &[CertificateDer<'static>]) -> Result<RootCertStore, BadTlsOptions> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    for certificate in extra {
        roots.add(certificate.clone())?;
    }
    Ok(roots)
}

/// Verifier that checks the signature of the handshake but not the certificate itself.
#[derive(Debug)]
struct TrustAnyone(Arc<CryptoProvider>);

impl ServerCertVerifier for TrustAnyone {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(pem: &str) -> Result<TlsClient, BadTlsOptions> {
        TlsClient::new(&TlsOptions { extra_ca_pem: Some(pem.as_bytes().to_vec()), accept_invalid_certs: false })
    }

    #[test]
    fn unusable_certificate_authorities_are_rejected() {
        assert!(matches!(client(""), Err(BadTlsOptions::Empty)));
        assert!(matches!(client("hello"), Err(BadTlsOptions::Empty)));
        let broken = "-----BEGIN CERTIFICATE-----\n????\n-----END CERTIFICATE-----\n";
        assert!(matches!(client(broken), Err(BadTlsOptions::Pem(_))));
    }
}
