//! Certificate of one server, signed by its own certificate authority.

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivatePkcs8KeyDer;
use std::fmt;
use std::sync::Arc;
use tokio_rustls::TlsAcceptor;

pub(crate) struct TestCertificate {
    pub(crate) ca_pem: String,
    pub(crate) acceptor: TlsAcceptor,
}

impl TestCertificate {
    pub(crate) fn for_name(name: &str) -> Self {
        let ca_key = key();
        let mut ca = CertificateParams::default();
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca_pem = ca.self_signed(&ca_key).expect("a certificate can be signed").pem();
        let issuer = Issuer::new(ca, ca_key);

        let key = key();
        let certificate = CertificateParams::new([name.to_owned()]).expect("a valid name for a certificate");
        let certificate = certificate.signed_by(&key, &issuer).expect("a certificate can be signed");
        let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring supports the default TLS versions")
            .with_no_client_auth()
            .with_single_cert(vec![certificate.into()], PrivatePkcs8KeyDer::from(key.serialize_der()).into())
            .expect("the key belongs to the certificate");
        Self { ca_pem, acceptor: TlsAcceptor::from(Arc::new(config)) }
    }
}

impl fmt::Debug for TestCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestCertificate").field("ca_pem", &self.ca_pem).finish_non_exhaustive()
    }
}

fn key() -> KeyPair {
    KeyPair::generate().expect("a key can be generated")
}
