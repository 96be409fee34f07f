//! Parameters of the MAIL command.

use std::sync::Arc;

use crate::{
    capabilities::Capabilities,
    envelope::Envelope,
    error::{ErrorKind, Phase, SmtpError},
};

/// Properties of a message that determine the parameters of MAIL.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MailSize {
    bytes: usize,
    eight_bit: bool,
    utf8_header: bool,
}

/// Parameters of the MAIL command.
#[derive(Debug)]
pub(crate) struct MailParameters {
    pub(crate) size: Option<usize>,
    pub(crate) eight_bit: bool,
    pub(crate) smtputf8: bool,
}

/// Envelope of the next mail, to be pipelined with the message before it.
pub(crate) struct NextEnvelope {
    pub(crate) envelope: Arc<Envelope>,
    pub(crate) parameters: MailParameters,
}

impl MailSize {
    pub(crate) fn of(message: &[u8]) -> Self {
        let eight_bit = !message.is_ascii();
        Self { bytes: message.len(), eight_bit, utf8_header: eight_bit && !header_of(message).is_ascii() }
    }
}

impl MailParameters {
    /// Chooses the parameters that this mail needs.
    ///
    /// # Errors
    /// Returns an error if the server lacks an extension that the mail needs, or does not accept
    /// its size.
    pub(crate) fn choose(offered: &Capabilities, envelope: &Envelope, message: MailSize) -> Result<Self, SmtpError> {
        let (size, eight_bit) = (message.bytes as u64, message.eight_bit);
        let utf8_text = envelope.needs_smtputf8().map(ToString::to_string);
        let utf8_text = utf8_text.or_else(|| message.utf8_header.then(|| "a header".to_owned()));
        let smtputf8 = utf8_text.is_some();
        let kind = match (offered.max_size, utf8_text) {
            (Some(limit), _) if size > limit => ErrorKind::TooBig { size, limit },
            (_, Some(text)) if !offered.smtputf8 => ErrorKind::SmtpUtf8Missing(text),
            _ if eight_bit && !offered.eight_bit_mime => ErrorKind::EightBitMissing,
            _ => {
                return Ok(Self { size: offered.size.then_some(message.bytes), eight_bit, smtputf8 });
            }
        };
        Err(SmtpError::new(Phase::Mail, kind))
    }
}

/// Header section of a message. Non-ASCII text there requires SMTPUTF8 (RFC 6531 §3.3), in the body
/// only 8BITMIME.
fn header_of(message: &[u8]) -> &[u8] {
    let end = message.windows(4).position(|bytes| bytes == b"\r\n\r\n");
    &message[..end.unwrap_or(message.len())]
}
