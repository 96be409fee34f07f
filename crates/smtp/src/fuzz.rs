//! Fuzz tests of the parsers of replies and EHLO keywords.

use postroom_testkit::fuzz::{Case, Fuzz};

use crate::{
    Capabilities, Reply,
    reply::{BadReply, ReplyLines},
    reply_buffer::ReplyBuffer,
};

const REPLIES: [&str; 12] = [
    "250 ok\r\n",
    "250\r\n",
    "250 2.1.0 ok\r\n",
    "250-mx.example.org at your service\r\n250-PIPELINING\r\n250-SIZE 35882577\r\n250 HELP\r\n",
    "550-5.1.1 The account\r\n550 5.1.1 does not exist\r\n",
    "550 5.7.515 Access denied, sending domain does not meet the required level\r\n",
    "421-4.7.0 Try again later\r\n421 4.7.0 closing connection\r\n",
    "354 go on\r\n250 2.0.0 Ok: queued as 4TqX9z\r\n",
    "334 VXNlcm5hbWU6\r\n",
    "220-x\r\n220 ESMTP żółć\r\n",
    "250-mixed\r\n550 up\r\n",
    "451 4.3.2 Please\ttry\nagain\r\n",
];

const EHLOS: [&str; 6] = [
    "250-mx\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-STARTTLS\r\n250-SIZE 1000\r\n\
     250-AUTH PLAIN LOGIN\r\n250 HELP\r\n",
    "250-smtp.example.org Hello [192.0.2.1]\r\n250-SIZE 52428800\r\n250-8BITMIME\r\n\
     250-AUTH=LOGIN PLAIN\r\n250 CHUNKING\r\n",
    "250 mx\r\n",
    "250-mx\r\n250-size\r\n250-starttls\r\n250 pipelining\r\n",
    "250-mx\r\n250-SIZE 0\r\n250 AUTH\tCRAM-MD5\tXOAUTH2\r\n",
    "250-mx\r\n250-ENHANCEDSTATUSCODES\r\n250-DSN\r\n250 REQUIRETLS\r\n",
];

/// Parses bytes that arrive in pieces of sizes from `size`. Returns the replies before the first
/// error, and the error.
fn replies(bytes: &[u8], mut size: impl FnMut() -> usize) -> (Vec<Reply>, Option<BadReply>) {
    let (mut buffer, mut all, mut rest) = (ReplyBuffer::new(), Vec::new(), bytes);
    while !rest.is_empty() {
        let free = buffer.unfilled();
        assert!(!free.is_empty(), "the buffer is full and needs more bytes");
        let count = size().clamp(1, rest.len().min(free.len()));
        free[..count].copy_from_slice(&rest[..count]);
        buffer.advance(count);
        rest = &rest[count..];
        loop {
            match buffer.next() {
                Ok(Some(reply)) => all.push(reply),
                Ok(None) => break,
                Err(fault) => return (all, Some(fault)),
            }
        }
    }
    (all, None)
}

/// Formats a reply as a server writes it.
fn as_written(reply: &Reply) -> String {
    let lines: Vec<&str> = reply.lines().collect();
    let line = |(number, line): (usize, &&str)| {
        let sign = if number + 1 < lines.len() { '-' } else { ' ' };
        format!("{}{sign}{line}\r\n", reply.code)
    };
    lines.iter().enumerate().map(line).collect()
}

#[test]
fn reply() {
    let tokens = ["250-", "250 ", "250", "\r\n", "\n", "\r", "5.1.1", "4.7.1", "5.7.515", "+50", "2.0.0 ", "999"];
    Fuzz::target("reply").seeds(REPLIES).seeds(EHLOS).tokens(&tokens).run(|case: &mut Case<'_>| {
        let bytes = case.bytes();
        let whole = replies(&bytes, || usize::MAX);
        let pieces = replies(&bytes, || 1 + case.below(97));
        assert_eq!(whole, pieces, "the size of the pieces changes the result");
        whole.0.iter().for_each(check_reply);
    });
}

fn check_reply(reply: &Reply) {
    assert!((200..600).contains(&reply.code), "{reply:?}");
    // Each invalid byte becomes three bytes. A line beyond the limit is rejected.
    let length: usize = reply.lines().map(|line| line.len() + 1).sum();
    assert!(length <= 4 * 32 * 1024, "a reply of {length} bytes");
    assert!(reply.enhanced.is_none_or(|enhanced| enhanced.class == reply.code / 100), "{reply:?}");
    let kinds = [reply.is_positive(), reply.is_intermediate(), reply.is_transient(), reply.is_permanent()];
    assert_eq!(kinds.iter().filter(|is_so| **is_so).count(), 1, "{reply:?}");
    assert!(!reply.to_string().contains('\n'), "displayed in more than one line: {reply}");
    let again = as_written(reply);
    if length <= 16 * 1024 && again.lines().all(|line| line.len() < 4_000) {
        assert_eq!(replies(again.as_bytes(), || usize::MAX), (vec![reply.clone()], None), "{again:?}");
    }
}

#[test]
fn ehlo() {
    let tokens = [
        "250-",
        "250 ",
        "\r\n",
        "PIPELINING",
        "8BITMIME",
        "SMTPUTF8",
        "STARTTLS",
        "SIZE ",
        "AUTH ",
        "=",
        "PLAIN",
        "LOGIN",
    ];
    Fuzz::target("ehlo").seeds(EHLOS).tokens(&tokens).run(|case: &mut Case<'_>| {
        for reply in replies(&case.bytes(), || usize::MAX).0 {
            check_capabilities(&reply);
        }
    });
}

fn check_capabilities(reply: &Reply) {
    let offered = Capabilities::parse(reply);
    let words: String = reply.lines().skip(1).collect::<Vec<_>>().join("\n").to_ascii_uppercase();
    for (offers, word) in [
        (offered.pipelining, "PIPELINING"),
        (offered.eight_bit_mime, "8BITMIME"),
        (offered.smtputf8, "SMTPUTF8"),
        (offered.starttls, "STARTTLS"),
        (offered.size, "SIZE"),
        (offered.auth_plain, "PLAIN"),
        (offered.auth_login, "LOGIN"),
    ] {
        assert!(!offers || words.contains(word), "{word} is not in {words:?}");
    }
    assert!(offered.size || offered.max_size.is_none(), "{offered:?}");
    assert_ne!(offered.max_size, Some(0));
    assert_eq!(parsed(&printed(&offered)), offered);
}

/// EHLO reply of a server that offers exactly these extensions.
fn printed(offered: &Capabilities) -> String {
    let size = offered.max_size.map_or_else(|| "SIZE".to_owned(), |bytes| format!("SIZE {bytes}"));
    let lines = [
        (offered.pipelining, "PIPELINING"),
        (offered.eight_bit_mime, "8bitmime"),
        (offered.smtputf8, "SMTPUTF8"),
        (offered.starttls, "StartTLS"),
        (offered.size, &size),
        (offered.auth_plain, "AUTH PLAIN"),
        (offered.auth_login, "AUTH=LOGIN"),
    ];
    let lines = lines.iter().filter(|(offers, _)| *offers).map(|(_, line)| format!("250-{line}\r\n"));
    format!("250-mx\r\n{}250 HELP\r\n", lines.collect::<String>())
}

fn parsed(text: &str) -> Capabilities {
    let mut lines = ReplyLines::default();
    let reply = text.lines().find_map(|line| lines.push(line.as_bytes()).expect("a line"));
    Capabilities::parse(&reply.expect("a complete reply"))
}
