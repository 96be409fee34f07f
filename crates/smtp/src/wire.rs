//! Commands and replies on a connection, each with a time limit.

use std::{io, time::Duration};

use tokio::time::timeout;

use crate::{
    error::{ErrorKind, Phase, SmtpError},
    redaction::Redaction,
    reply::Reply,
    reply_buffer::ReplyBuffer,
    stream::Stream,
};

/// Maximum wait for a reply that explains a failed write or unexpected input.
const EXPLANATION_TIMEOUT: Duration = Duration::from_millis(200);

#[derive(Debug)]
pub(crate) struct Wire {
    stream: Stream,
    replies: ReplyBuffer,
    /// Bytes of the next write; the buffer is reused.
    pub(crate) out: Vec<u8>,
    /// Maximum number of bytes of the last write that the kernel has taken.
    taken: usize,
    /// Whether bytes have arrived since the last write.
    has_read: bool,
    /// Number of refusals so far.
    refusals: u64,
}

impl Wire {
    pub(crate) fn new(stream: Stream) -> Self {
        Self { stream, replies: ReplyBuffer::new(), out: Vec::new(), taken: 0, has_read: false, refusals: 0 }
    }

    /// Redacts all later replies.
    pub(crate) fn redact(&mut self, redaction: Redaction) {
        self.replies.redact(redaction);
    }

    /// Adds a command to the next write. Its parts must not contain line ends, which their types
    /// guarantee.
    pub(crate) fn add(&mut self, parts: &[&str]) {
        for part in parts {
            self.out.extend_from_slice(part.as_bytes());
        }
        self.out.extend_from_slice(b"\r\n");
    }

    /// Writes the buffer.
    pub(crate) async fn flush(&mut self, phase: Phase, limit: Duration) -> Result<(), SmtpError> {
        let written = timeout(limit, self.stream.write(&self.out, &mut self.taken)).await;
        self.out.clear();
        self.has_read = false;
        match written {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(self.write_error(phase, error).await),
            Err(_) => Err(SmtpError::new(phase, ErrorKind::Timeout(limit))),
        }
    }

    /// Whether this many bytes of the last write may have been sent, although the write failed.
    pub(crate) fn may_have_sent(&self, bytes: usize) -> bool {
        self.taken >= bytes
    }

    /// Reads the next reply. Reply 421 is an error in every phase, because the server closes the
    /// connection.
    pub(crate) async fn reply(&mut self, phase: Phase, limit: Duration) -> Result<Reply, SmtpError> {
        let reply = match self.buffered_reply(phase)? {
            Some(reply) => reply,
            None => timeout(limit, self.read_reply(phase))
                .await
                .map_err(|_| SmtpError::new(phase, ErrorKind::Timeout(limit)))??,
        };
        self.refusals += u64::from(reply.is_refusal());
        if reply.is_closing() {
            return Err(SmtpError::new(phase, reply));
        }
        Ok(reply)
    }

    /// Number of refusals on this connection.
    pub(crate) fn refusals(&self) -> u64 {
        self.refusals
    }

    /// Writes one command and reads its reply.
    pub(crate) async fn command(&mut self, phase: Phase, limit: Duration, parts: &[&str]) -> Result<Reply, SmtpError> {
        self.add(parts);
        self.flush(phase, limit).await?;
        self.reply(phase, limit).await
    }

    /// Returns an error if the server closed the connection or sent an unexpected reply.
    pub(crate) async fn expect_no_input(&mut self, phase: Phase) -> Result<(), SmtpError> {
        if !self.has_input() {
            return Ok(());
        }
        let unexpected = match self.buffered_reply(phase)? {
            Some(reply) => reply,
            None => match timeout(EXPLANATION_TIMEOUT, self.read_reply(phase)).await {
                Ok(reply) => reply?,
                // TLS records without data, or part of a reply that is read later.
                Err(_) => return Ok(()),
            },
        };
        Err(SmtpError::new(phase, unexpected))
    }

    /// Whether every received byte was parsed.
    pub(crate) fn is_drained(&self) -> bool {
        self.replies.is_empty()
    }

    /// See [`Stream::has_input`].
    pub(crate) fn has_input(&self) -> bool {
        !self.is_drained() || self.stream.has_input()
    }

    pub(crate) fn is_tls(&self) -> bool {
        self.stream.is_tls()
    }

    pub(crate) fn close(&self) {
        self.stream.close();
    }

    /// Waits a short time for the server to close: until then the server counts the connection.
    pub(crate) async fn wait_for_close(&mut self) {
        const CLOSE_TIMEOUT: Duration = Duration::from_millis(300);
        let _ = timeout(CLOSE_TIMEOUT, async { while self.read_reply(Phase::Quit).await.is_ok() {} }).await;
    }

    /// Returns the stream for a TLS handshake and discards buffered bytes.
    pub(crate) fn into_stream(self) -> Stream {
        self.stream
    }

    fn buffered_reply(&mut self, phase: Phase) -> Result<Option<Reply>, SmtpError> {
        self.replies.next().map_err(|bad| SmtpError::new(phase, bad))
    }

    async fn read_reply(&mut self, phase: Phase) -> Result<Reply, SmtpError> {
        loop {
            let read = self.stream.read(self.replies.unfilled(), self.has_read).await;
            self.has_read = true;
            match read.map_err(|error| SmtpError::new(phase, without_close_notify(error)))? {
                0 => return Err(SmtpError::new(phase, ErrorKind::Closed)),
                count => self.replies.advance(count),
            }
            if let Some(reply) = self.buffered_reply(phase)? {
                return Ok(reply);
            }
        }
    }

    /// Error of a failed write: the reply that the server sent before it closed, if there is one.
    async fn write_error(&mut self, phase: Phase, error: io::Error) -> SmtpError {
        match timeout(EXPLANATION_TIMEOUT, self.read_reply(phase)).await {
            Ok(Ok(reply)) if reply.is_refusal() => SmtpError::new(phase, reply),
            _ => SmtpError::new(phase, error),
        }
    }
}

/// Treats a TLS connection that ended without `close_notify` as closed; many servers end it so.
fn without_close_notify(error: io::Error) -> ErrorKind {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => ErrorKind::Closed,
        _ => ErrorKind::Io(error),
    }
}
