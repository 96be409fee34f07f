//! Certificates that are accepted from Redis.

use redis::{Client, ConnectionAddr, ConnectionInfo, TlsCertificates};

/// Certificates that are accepted.
#[derive(Debug, Clone, Default)]
pub(super) struct Trust {
    pub(super) insecure: bool,
    pub(super) ca_pem: Option<Vec<u8>>,
}

impl Trust {
    /// Applies this trust to a server that uses TLS.
    pub(super) fn applied_to(&self, mut info: ConnectionInfo) -> Result<ConnectionInfo, String> {
        let ConnectionAddr::TcpTls { host, port, .. } = info.addr().clone() else { return Ok(info) };
        info = info.set_addr(ConnectionAddr::TcpTls { host, port, insecure: self.insecure, tls_params: None });
        let certificates = TlsCertificates { client_tls: None, root_cert: self.ca_pem.clone() };
        let client = Client::build_with_tls(info, certificates).map_err(|error| error.to_string())?;
        Ok(client.get_connection_info().clone())
    }
}
