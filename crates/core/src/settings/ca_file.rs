//! Certificate authorities of a PEM file.

use std::{fs::File, io::Read, path::Path};

use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};

use crate::InvalidInput;

/// Maximum file size. All public authorities together take a quarter of it.
const MOST_BYTES: u64 = 1 << 20;

/// Reads the file and checks that it contains only valid certificate authorities. Returns the text.
///
/// # Errors
///
/// Returns the path, and the problem of the file or of one of its certificates.
pub(super) fn read(path: &str) -> Result<Vec<u8>, InvalidInput> {
    let refuse = |why: String| InvalidInput::new("ca_file", format!("{path} {why}"));
    let pem = bytes(Path::new(path)).map_err(&refuse)?;
    let mut number = 0;
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        number += 1;
        authority(certificate).map_err(|why| refuse(format!("can't be used: certificate {number}: {why}")))?;
    }
    if number == 0 {
        return Err(refuse("contains no certificate; it may be PEM with -----BEGIN CERTIFICATE-----".to_owned()));
    }
    Ok(pem)
}

fn bytes(path: &Path) -> Result<Vec<u8>, String> {
    let mut pem = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MOST_BYTES + 1).read_to_end(&mut pem));
    match read {
        Err(error) => Err(format!("can't be read: {error}")),
        Ok(length) if length as u64 > MOST_BYTES => Err("is larger than 1 MiB".to_owned()),
        Ok(_) => Ok(pem),
    }
}

fn authority(certificate: Result<CertificateDer<'static>, rustls::pki_types::pem::Error>) -> Result<(), String> {
    let certificate = certificate.map_err(|error| error.to_string())?;
    RootCertStore::empty().add(certificate).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unusable_files_are_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).expect("a file");
            path.display().to_string()
        };
        let pem = |body: &str| format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n");
        for (path, word) in [
            (folder.path().join("none").display().to_string(), "can't be read: No such file"),
            (folder.path().display().to_string(), "can't be read: "),
            ("/dev/zero".to_owned(), "is larger than 1 MiB"),
            (file("empty", ""), "contains no certificate"),
            (file("text", "hello"), "contains no certificate"),
            (file("base64", &pem("????")), "certificate 1: "),
            (file("der", &pem("aGVsbG8=")), "certificate 1: "),
        ] {
            let problem = read(&path).expect_err(word).problem;
            assert!(problem.starts_with(&path) && problem.contains(word), "{problem}");
        }
    }
}
