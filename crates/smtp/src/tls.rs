//! TLS by rustls with ring, whatever provider the process has installed.

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

use crate::error::Trouble;

/// Whom to trust. Mozilla's roots always are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsOptions {
    /// More certificate authorities, in PEM.
    pub extra_ca_pem: Option<Vec<u8>>,
    /// Takes any certificate: encrypted, but from anyone who stands in between. For tests.
    pub accept_invalid_certs: bool,
}

/// Why TLS options can't be used.
#[derive(Debug, Error)]
pub enum BadTlsOptions {
    /// The PEM can't be read.
    #[error("the extra certificate authorities are not PEM: {0}")]
    Pem(String),
    /// The PEM has no certificate.
    #[error("the extra certificate authorities hold no certificate")]
    Empty,
    /// A certificate or the TLS set-up was refused.
    #[error("TLS can't be set up: {0}")]
    Rustls(#[from] Error),
}

/// TLS, ready for use: made once, cheap to clone, and sharing session tickets between connections.
#[derive(Clone)]
pub struct TlsClient(Arc<ClientConfig>);

impl TlsClient {
    /// Reads the certificates.
    pub fn new(options: &TlsOptions) -> Result<Self, BadTlsOptions> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let roots = roots(options.extra_ca_pem.as_deref())?;
        let mut config = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        if options.accept_invalid_certs {
            let anyone = Arc::new(TrustAnyone(provider));
            config.dangerous().set_certificate_verifier(anyone);
        }
        Ok(Self(Arc::new(config)))
    }

    /// The handshake with a server that must have a certificate for this host.
    pub async fn handshake(&self, host: &str, tcp: TcpStream) -> Result<TlsStream<TcpStream>, Trouble> {
        let name = ServerName::try_from(host.to_owned()).map_err(|_| Trouble::BadHost(host.to_owned()))?;
        let connector = TlsConnector::from(Arc::clone(&self.0));
        Ok(connector.connect(name, tcp).await?)
    }
}

impl std::fmt::Debug for TlsClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TlsClient")
    }
}

fn roots(extra_ca_pem: Option<&[u8]>) -> Result<RootCertStore, BadTlsOptions> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let Some(pem) = extra_ca_pem else {
        return Ok(roots);
    };
    let before = roots.len();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| BadTlsOptions::Pem(error.to_string()))?;
        roots.add(certificate)?;
    }
    if roots.len() == before {
        return Err(BadTlsOptions::Empty);
    }
    Ok(roots)
}

/// Checks that the server holds the key of its certificate, but not whose certificate it is.
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
    fn certificate_authorities_that_are_none() {
        assert!(matches!(client(""), Err(BadTlsOptions::Empty)));
        assert!(matches!(client("hello"), Err(BadTlsOptions::Empty)));
        let broken = "-----BEGIN CERTIFICATE-----\n????\n-----END CERTIFICATE-----\n";
        assert!(matches!(client(broken), Err(BadTlsOptions::Pem(_))));
    }
}
