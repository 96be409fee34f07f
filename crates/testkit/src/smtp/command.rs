//! Strict parser of commands.

/// Command of a client.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum SmtpCommand {
    Ehlo,
    Helo,
    StartTls,
    Auth {
        mechanism: String,
        initial: Option<String>,
    },
    Mail(Path),
    Rcpt(Path),
    Data,
    Rset,
    Noop,
    Quit,
    /// Known verb with invalid arguments.
    Malformed,
    Unknown,
}

/// Argument of MAIL or RCPT.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Path {
    pub(super) address: String,
    pub(super) params: Vec<String>,
}

impl SmtpCommand {
    pub(super) fn parse(line: &str) -> Self {
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        match (verb.to_ascii_uppercase().as_str(), rest.is_empty()) {
            ("EHLO", false) => Self::Ehlo,
            ("HELO", false) => Self::Helo,
            ("STARTTLS", true) => Self::StartTls,
            ("AUTH", false) => auth(rest),
            ("MAIL", false) => path(rest, "FROM:").map_or(Self::Malformed, Self::Mail),
            ("RCPT", false) => path(rest, "TO:").map_or(Self::Malformed, Self::Rcpt),
            ("DATA", true) => Self::Data,
            ("RSET", true) => Self::Rset,
            ("NOOP", _) => Self::Noop,
            ("QUIT", true) => Self::Quit,
            ("EHLO" | "HELO" | "STARTTLS" | "AUTH" | "MAIL" | "RCPT" | "DATA" | "RSET" | "QUIT", _) => Self::Malformed,
            _ => Self::Unknown,
        }
    }

    /// Whether a client must await the reply before it sends more, even with PIPELINING (RFC 2920
    /// §3.1).
    pub(super) fn ends_command_group(&self) -> bool {
        match self {
            Self::Mail(_) | Self::Rcpt(_) | Self::Rset | Self::Malformed | Self::Unknown => false,
            Self::Ehlo | Self::Helo | Self::StartTls | Self::Auth { .. } => true,
            Self::Data | Self::Noop | Self::Quit => true,
        }
    }
}

fn auth(rest: &str) -> SmtpCommand {
    let (mechanism, initial) = match rest.split_once(' ') {
        Some((mechanism, initial)) => (mechanism, Some(initial.to_owned())),
        None => (rest, None),
    };
    SmtpCommand::Auth { mechanism: mechanism.to_ascii_uppercase(), initial }
}

/// Parses `FROM:<address> PARAMETERS`, without a space after the colon.
fn path(rest: &str, keyword: &str) -> Option<Path> {
    let (found, rest) = rest.split_at_checked(keyword.len())?;
    let rest = rest.strip_prefix('<').filter(|_| found.eq_ignore_ascii_case(keyword))?;
    let (address, params) = rest.split_at(closing_bracket(rest)?);
    let params = params[1..].split(' ').map(str::to_owned);
    let mut params: Vec<_> = params.collect();
    // The bracket must be followed by a space, and spaces must be single.
    let first = params.remove(0);
    let well_formed = first.is_empty() && params.iter().all(|param| !param.is_empty());
    well_formed.then(|| Path { address: address.to_owned(), params })
}

/// Position of the first `>` outside a quoted local part.
fn closing_bracket(text: &str) -> Option<usize> {
    let (mut quoted, mut escaped) = (false, false);
    for (index, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'>' if !quoted => return Some(index),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mail(address: &str, params: &[&str]) -> SmtpCommand {
        let params = params.iter().map(ToString::to_string).collect();
        SmtpCommand::Mail(Path { address: address.to_owned(), params })
    }

    #[test]
    fn paths_are_parsed_strictly() {
        assert_eq!(SmtpCommand::parse("MAIL FROM:<a@b.example>"), mail("a@b.example", &[]));
        assert_eq!(SmtpCommand::parse("mail from:<> SIZE=1 BODY=8BITMIME"), mail("", &["SIZE=1", "BODY=8BITMIME"]));
        assert_eq!(SmtpCommand::parse(r#"MAIL FROM:<"a>\"b"@c.example>"#), mail(r#""a>\"b"@c.example"#, &[]));
        for bad in
            ["MAIL FROM: <a@b>", "MAIL FROM:a@b", "MAIL FROM:<a@b", "MAIL FROM:<a@b>SIZE=1", "MAIL", "MAIL FROM:<a>  X"]
        {
            assert_eq!(SmtpCommand::parse(bad), SmtpCommand::Malformed, "{bad}");
        }
    }

    #[test]
    fn arguments_of_verbs_without_arguments_are_rejected() {
        assert_eq!(SmtpCommand::parse("data"), SmtpCommand::Data);
        assert_eq!(SmtpCommand::parse("DATA now"), SmtpCommand::Malformed);
        assert_eq!(SmtpCommand::parse("Subject: hello"), SmtpCommand::Unknown);
    }
}
