//! TLS as settings describe it.

use std::{fs, path::Path};

use postroom_smtp::{TlsClient, TlsOptions};

/// With Mozilla's roots and those of a file; what is wrong with that, if it can't be used.
pub(crate) fn tls(ca_file: Option<&Path>) -> Result<TlsClient, String> {
    let read = |path: &Path| fs::read(path).map_err(|error| format!("can't read {}: {error}", path.display()));
    let extra_ca_pem = ca_file.map(read).transpose()?;
    TlsClient::new(&TlsOptions { extra_ca_pem, accept_invalid_certs: false }).map_err(|error| error.to_string())
}
