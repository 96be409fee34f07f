//! State shared by the sessions of a server.

use super::builder::ServerOptions;
use super::fault::Faults;
use super::ledger::SmtpLedger;
use super::pace::RateCheck;
use super::tls::TestCertificate;

/// State shared by all sessions of a server.
#[derive(Debug)]
pub(super) struct SmtpState {
    pub(super) options: ServerOptions,
    pub(super) identity: TestCertificate,
    pub(super) faults: Faults,
    pub(super) pace: RateCheck,
    pub(super) connection_pace: RateCheck,
    pub(super) ledger: SmtpLedger,
}

impl SmtpState {
    pub(super) fn new(options: ServerOptions) -> Self {
        Self {
            identity: TestCertificate::new(&options.certificate_name, options.certificate_kind, options.only_tls12),
            options,
            faults: Faults::default(),
            pace: RateCheck::default(),
            connection_pace: RateCheck::default(),
            ledger: SmtpLedger::default(),
        }
    }
}
