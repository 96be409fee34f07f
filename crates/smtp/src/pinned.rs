//! Trust in the exact certificates of a file, beside the usual check.

use std::sync::Arc;

use rustls::{
    CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls13_signature_with_raw_key},
};
use rustls_pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};

const SEQUENCE: u8 = 0x30;
const BIT_STRING: u8 = 0x03;

/// Verifier that checks chains as usual. A server whose certificate equals a pinned one byte for
/// byte is trusted too, whatever the names, dates and version of the certificate.
#[derive(Debug)]
pub(crate) struct PinningVerifier {
    usual: Arc<WebPkiServerVerifier>,
    pinned: Vec<PinnedCertificate>,
    algorithms: WebPkiSupportedAlgorithms,
}

/// Certificate and its public key.
#[derive(Debug)]
struct PinnedCertificate {
    certificate: CertificateDer<'static>,
    /// SubjectPublicKeyInfo in DER (RFC 5280 §4.1).
    key: Vec<u8>,
}

impl PinningVerifier {
    /// Creates a verifier with these roots.
    ///
    /// # Errors
    /// Returns an error if a certificate is malformed.
    pub(crate) fn new(
        roots: RootCertStore,
        pinned: Vec<CertificateDer<'static>>,
        provider: Arc<CryptoProvider>,
    ) -> Result<Self, Error> {
        let algorithms = provider.signature_verification_algorithms;
        let usual = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
        let usual = usual.map_err(|error| Error::General(error.to_string()))?;
        let pinned = pinned.into_iter().map(PinnedCertificate::new).collect::<Result<_, _>>()?;
        Ok(Self { usual, pinned, algorithms })
    }

    fn pinned(&self, certificate: &CertificateDer<'_>) -> Option<&PinnedCertificate> {
        self.pinned.iter().find(|pinned| pinned.certificate == *certificate)
    }
}

impl PinnedCertificate {
    fn new(certificate: CertificateDer<'static>) -> Result<Self, Error> {
        let mut store = RootCertStore::empty();
        store.add(certificate.clone())?;
        let key = store.roots.first().map(|anchor| element(SEQUENCE, &anchor.subject_public_key_info));
        Ok(Self { certificate, key: key.unwrap_or_default() })
    }

    /// Checks a signature of TLS 1.2. Unlike the usual check, this accepts a certificate of X.509
    /// version 1.
    fn verify(
        &self,
        message: &[u8],
        signed: &DigitallySignedStruct,
        algorithms: &WebPkiSupportedAlgorithms,
    ) -> Option<()> {
        let (_, info, _) = parse(&self.key)?;
        let (_, algorithm, rest) = parse(info)?;
        let (tag, bits, _) = parse(rest)?;
        let key = bits.strip_prefix(&[0]).filter(|_| tag == BIT_STRING)?;
        let (_, candidates) = algorithms.mapping.iter().find(|(scheme, _)| *scheme == signed.scheme)?;
        let fits = |candidate: &&&dyn rustls_pki_types::SignatureVerificationAlgorithm| {
            candidate.public_key_alg_id().as_ref() == algorithm
        };
        let verified = |candidate: &&dyn rustls_pki_types::SignatureVerificationAlgorithm| {
            candidate.verify_signature(key, message, signed.signature()).is_ok()
        };
        candidates.iter().filter(fits).any(verified).then_some(())
    }
}

/// Encodes a DER element.
fn element(tag: u8, contents: &[u8]) -> Vec<u8> {
    let length = contents.len().to_be_bytes();
    let digits: Vec<u8> = length.into_iter().skip_while(|byte| *byte == 0).collect();
    let mut der = vec![tag];
    match (contents.len(), u8::try_from(contents.len()), u8::try_from(digits.len())) {
        (0..0x80, Ok(short), _) => der.push(short),
        (_, _, Ok(count)) => {
            der.push(0x80 | count);
            der.extend_from_slice(&digits);
        }
        (_, _, Err(_)) => return Vec::new(),
    }
    der.extend_from_slice(contents);
    der
}

/// Splits a DER element: its tag, its contents, and what follows it.
fn parse(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match usize::from(first) {
        short @ 0..0x80 => (short, rest),
        long => {
            let (digits, rest) = rest.split_at_checked(long & 0x7f).filter(|(digits, _)| digits.len() <= 4)?;
            (digits.iter().fold(0, |sum, digit| (sum << 8) | usize::from(*digit)), rest)
        }
    };
    let (contents, rest) = rest.split_at_checked(length)?;
    Some((tag, contents, rest))
}

impl ServerCertVerifier for PinningVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let usual = self.usual.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        if self.pinned(end_entity).is_some() { Ok(ServerCertVerified::assertion()) } else { usual }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let Some(pinned) = self.pinned(cert) else {
            return self.usual.verify_tls12_signature(message, cert, dss);
        };
        match pinned.verify(message, dss, &self.algorithms) {
            Some(()) => Ok(HandshakeSignatureValid::assertion()),
            None => Err(Error::InvalidCertificate(CertificateError::BadSignature)),
        }
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let Some(pinned) = self.pinned(cert) else {
            return self.usual.verify_tls13_signature(message, cert, dss);
        };
        let key = SubjectPublicKeyInfoDer::from(pinned.key.as_slice());
        verify_tls13_signature_with_raw_key(message, &key, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.usual.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_element_is_parsed_as_it_was_encoded() {
        for length in [0, 1, 127, 128, 255, 256, 70_000] {
            let der = [element(SEQUENCE, &vec![7; length]), vec![1, 2]].concat();
            let (tag, contents, rest) = parse(&der).expect("an element");
            assert_eq!((tag, contents.len(), rest), (SEQUENCE, length, [1, 2].as_slice()));
        }
        for der in [&[][..], &[0x30], &[0x30, 5, 1], &[0x30, 0x84, 0xff, 0xff, 0xff, 0xff], &[0x30, 0x89, 1]] {
            assert!(parse(der).is_none(), "{der:?}");
        }
    }
}
