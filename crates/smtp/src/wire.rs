//! Commands out, replies in, each within its limit.

use std::{io, time::Duration};

use tokio::time::timeout;

use crate::{
    error::{Phase, SmtpError, Trouble},
    redaction::Redaction,
    reply::Reply,
    reply_buffer::ReplyBuffer,
    stream::Stream,
};

/// "Service not available, closing": may answer any command (RFC 5321 §3.8).
pub(crate) const CLOSING: u16 = 421;

/// How long to listen for the reason when a server stops taking our bytes, or speaks out of turn.
const LAST_WORDS: Duration = Duration::from_millis(200);

#[derive(Debug)]
pub(crate) struct Wire {
    stream: Stream,
    replies: ReplyBuffer,
    /// What the next flight will be, reused from flight to flight.
    pub(crate) out: Vec<u8>,
    /// How much of the last flight has left, at most.
    taken: usize,
}

impl Wire {
    pub(crate) fn new(stream: Stream) -> Self {
        Self { stream, replies: ReplyBuffer::new(), out: Vec::new(), taken: 0 }
    }

    /// Redacts the replies that are read from now on.
    pub(crate) fn redact(&mut self, redaction: Redaction) {
        self.replies.redact(redaction);
    }

    /// Adds a command to the flight. Its parts must not hold line ends, which their types see to.
    pub(crate) fn add(&mut self, parts: &[&str]) {
        for part in parts {
            self.out.extend_from_slice(part.as_bytes());
        }
        self.out.extend_from_slice(b"\r\n");
    }

    /// Sends the flight in one write.
    pub(crate) async fn flush(&mut self, phase: Phase, limit: Duration) -> Result<(), SmtpError> {
        let written = timeout(limit, self.stream.write(&self.out, &mut self.taken)).await;
        self.out.clear();
        match written {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(self.last_words(phase, error).await),
            Err(_) => Err(SmtpError::new(phase, Trouble::Timeout(limit))),
        }
    }

    /// Whether this much of the last flight may have left, though it failed.
    pub(crate) fn may_have_left(&self, bytes: usize) -> bool {
        self.taken >= bytes
    }

    /// The next reply; 421 is an error in any phase, since the connection ends with it.
    pub(crate) async fn reply(&mut self, phase: Phase, limit: Duration) -> Result<Reply, SmtpError> {
        let reply = match self.buffered_reply(phase)? {
            Some(reply) => reply,
            None => timeout(limit, self.read_reply(phase))
                .await
                .map_err(|_| SmtpError::new(phase, Trouble::Timeout(limit)))??,
        };
        if reply.code == CLOSING {
            return Err(SmtpError::new(phase, reply));
        }
        Ok(reply)
    }

    /// One command and its reply.
    pub(crate) async fn command(&mut self, phase: Phase, limit: Duration, parts: &[&str]) -> Result<Reply, SmtpError> {
        self.add(parts);
        self.flush(phase, limit).await?;
        self.reply(phase, limit).await
    }

    /// An error if the server has closed the connection, or has said anything that was not asked for.
    pub(crate) async fn expect_silence(&mut self, phase: Phase) -> Result<(), SmtpError> {
        if !self.has_news() {
            return Ok(());
        }
        let said = match self.buffered_reply(phase)? {
            Some(reply) => reply,
            None => match timeout(LAST_WORDS, self.read_reply(phase)).await {
                Ok(reply) => reply?,
                // Bytes of TLS itself, or half a reply that will be read as one.
                Err(_) => return Ok(()),
            },
        };
        Err(SmtpError::new(phase, said))
    }

    /// Whether every byte received was the reply to something.
    pub(crate) fn is_quiet(&self) -> bool {
        self.replies.is_empty()
    }

    /// See [`Stream::has_news`].
    pub(crate) fn has_news(&self) -> bool {
        !self.is_quiet() || self.stream.has_news()
    }

    pub(crate) fn is_tls(&self) -> bool {
        self.stream.is_tls()
    }

    pub(crate) fn close(&self) {
        self.stream.close();
    }

    /// Waits until the server has closed, if it does so soon: only then does it count one connection less.
    pub(crate) async fn end(&mut self) {
        const SOON: Duration = Duration::from_millis(300);
        let _ = timeout(SOON, async { while self.read_reply(Phase::Quit).await.is_ok() {} }).await;
    }

    /// The bare connection, to begin TLS on; what was read is thrown away.
    pub(crate) fn into_stream(self) -> Stream {
        self.stream
    }

    fn buffered_reply(&mut self, phase: Phase) -> Result<Option<Reply>, SmtpError> {
        self.replies.next().map_err(|bad| SmtpError::new(phase, bad))
    }

    async fn read_reply(&mut self, phase: Phase) -> Result<Reply, SmtpError> {
        loop {
            let read = self.stream.read(self.replies.room()).await;
            match read.map_err(|error| SmtpError::new(phase, without_close_notify(error)))? {
                0 => return Err(SmtpError::new(phase, Trouble::Closed)),
                count => self.replies.filled(count),
            }
            if let Some(reply) = self.buffered_reply(phase)? {
                return Ok(reply);
            }
        }
    }

    /// A server that closes mostly says why first, and that tells more than "broken pipe".
    async fn last_words(&mut self, phase: Phase, error: io::Error) -> SmtpError {
        match timeout(LAST_WORDS, self.read_reply(phase)).await {
            Ok(Ok(reply)) if reply.is_refusal() => SmtpError::new(phase, reply),
            _ => SmtpError::new(phase, error),
        }
    }
}

/// A TLS connection that ends without goodbye, as most do.
fn without_close_notify(error: io::Error) -> Trouble {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => Trouble::Closed,
        _ => Trouble::Io(error),
    }
}
