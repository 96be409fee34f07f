//! Reply of the server.

/// Reply code and lines; no lines mean no reply.
#[derive(Clone, Debug)]
pub(super) struct ServerReply {
    pub(super) code: u16,
    lines: Vec<String>,
}

impl ServerReply {
    pub(super) fn new(code: u16, line: impl Into<String>) -> Self {
        Self { code, lines: vec![line.into()] }
    }

    pub(super) fn of_lines(code: u16, lines: &[String]) -> Self {
        Self { code, lines: lines.to_vec() }
    }

    /// Reply for phases in which the server sends nothing: accept, TLS handshake and content.
    pub(super) fn none() -> Self {
        Self { code: 0, lines: Vec::new() }
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let last = self.lines.len().saturating_sub(1);
        let lines = self.lines.iter().enumerate().map(|(index, line)| {
            let separator = if index == last { ' ' } else { '-' };
            format!("{}{separator}{line}\r\n", self.code)
        });
        lines.collect::<String>().into_bytes()
    }
}

/// Whether a reply code is positive (2yz or 3yz).
pub(super) fn is_yes(code: u16) -> bool {
    (200..400).contains(&code)
}
