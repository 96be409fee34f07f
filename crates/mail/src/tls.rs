//! TLS client configuration from settings.

use std::{io, path::Path};

use postroom_core::{SETTINGS_FILE, read_file};
use postroom_smtp::{TlsClient, TlsOptions};

/// Creates a TLS client that trusts Mozilla's root certificates and those of a file. Returns a
/// description of the problem if the file is unusable.
pub(crate) fn tls(ca_file: Option<&Path>) -> Result<TlsClient, String> {
    let refuse = |path: &Path, error: io::Error| format!("can't read {}: {error}", path.display());
    let read = |path: &Path| read_file(path, SETTINGS_FILE).map_err(|error| refuse(path, error));
    let extra_ca_pem = ca_file.map(read).transpose()?;
    TlsClient::new(&TlsOptions { extra_ca_pem, accept_invalid_certs: false }).map_err(|error| error.to_string())
}
