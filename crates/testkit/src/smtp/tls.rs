//! Certificate of one server.

use super::builder::CertificateKind;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::DEFAULT_VERSIONS;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::server::ServerConfig;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::TLS12;
use std::fmt;
use std::sync::Arc;
use tokio_rustls::TlsAcceptor;

pub(crate) struct TestCertificate {
    pub(crate) ca_pem: String,
    pub(crate) acceptor: TlsAcceptor,
}

impl TestCertificate {
    /// Creates a certificate signed by its own authority.
    pub(crate) fn for_name(name: &str) -> Self {
        Self::new(name, CertificateKind::OfAuthority, false)
    }

    /// Creates a certificate of this kind, for a server that speaks TLS 1.2 and, unless
    /// `only_tls12`, TLS 1.3.
    pub(crate) fn new(name: &str, kind: CertificateKind, only_tls12: bool) -> Self {
        let (ca_pem, certificate, key) = match kind {
            CertificateKind::OfAuthority => of_authority(name),
            CertificateKind::OfItself => of_itself(name),
            CertificateKind::Version1 => version_1(),
        };
        let provider = rustls::crypto::ring::default_provider();
        let key = provider.key_provider.load_private_key(key.into()).expect("a usable key");
        let certified = CertifiedKey::new(vec![certificate], key);
        let builder = ServerConfig::builder_with_provider(Arc::new(provider));
        let versions = if only_tls12 { &[&TLS12][..] } else { DEFAULT_VERSIONS };
        let config = builder
            .with_protocol_versions(versions)
            .expect("ring supports these TLS versions")
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
        Self { ca_pem, acceptor: TlsAcceptor::from(Arc::new(config)) }
    }
}

type Parts = (String, CertificateDer<'static>, PrivatePkcs8KeyDer<'static>);

fn of_authority(name: &str) -> Parts {
    let (ca, ca_key) = (authority(name), key());
    let ca_pem = ca.self_signed(&ca_key).expect("a certificate can be signed").pem();
    let (issuer, key) = (Issuer::new(ca, ca_key), key());
    let certificate = CertificateParams::new([name.to_owned()]).expect("a valid name for a certificate");
    let certificate = certificate.signed_by(&key, &issuer).expect("a certificate can be signed");
    (ca_pem, certificate.into(), PrivatePkcs8KeyDer::from(key.serialize_der()))
}

fn of_itself(name: &str) -> Parts {
    let key = key();
    let certificate = authority(name).self_signed(&key).expect("a certificate can be signed");
    (certificate.pem(), certificate.into(), PrivatePkcs8KeyDer::from(key.serialize_der()))
}

/// Returns a certificate that openssl has made: rcgen makes only version 3.
fn version_1() -> Parts {
    let pem = include_str!("version1.pem");
    let (certificate, _) = pem.split_once("-----BEGIN PRIVATE KEY-----").expect("a certificate and a key");
    let der = CertificateDer::from_pem_slice(pem.as_bytes()).expect("a certificate");
    (certificate.to_owned(), der, PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes()).expect("a key"))
}

fn authority(name: &str) -> CertificateParams {
    let mut ca = CertificateParams::new([name.to_owned()]).expect("a valid name for a certificate");
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    ca
}

impl fmt::Debug for TestCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestCertificate").field("ca_pem", &self.ca_pem).finish_non_exhaustive()
    }
}

fn key() -> KeyPair {
    KeyPair::generate().expect("a key can be generated")
}
