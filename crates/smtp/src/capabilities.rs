//! What a server offers in its reply to EHLO.

use crate::reply::Reply;

/// The extensions that matter to a sender. A server that only knows HELO offers none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// Several commands in one write.
    pub pipelining: bool,
    /// Bodies with bytes beyond ASCII. Without it, encode as quoted-printable or base64.
    pub eight_bit_mime: bool,
    /// Addresses beyond ASCII.
    pub smtputf8: bool,
    /// TLS within the conversation.
    pub starttls: bool,
    /// Whether SIZE is understood.
    pub size: bool,
    /// The largest message taken, where the server says so.
    pub max_size: Option<u64>,
    /// Login by AUTH PLAIN.
    pub auth_plain: bool,
    /// Login by AUTH LOGIN.
    pub auth_login: bool,
}

impl Capabilities {
    /// Reads the keywords, in upper or lower case, of a positive reply to EHLO.
    pub(crate) fn parse(ehlo: &Reply) -> Self {
        let mut offered = Self::default();
        for line in ehlo.lines().skip(1) {
            // AUTH=LOGIN is what servers wrote before the RFC, and some still do.
            let mut words = line.split([' ', '\t', '=']).filter(|word| !word.is_empty());
            if let Some(keyword) = words.next() {
                offered.add(&keyword.to_ascii_uppercase(), words);
            }
        }
        offered
    }

    fn add<'a>(&mut self, keyword: &str, mut words: impl Iterator<Item = &'a str>) {
        match keyword {
            "PIPELINING" => self.pipelining = true,
            "8BITMIME" => self.eight_bit_mime = true,
            "SMTPUTF8" => self.smtputf8 = true,
            "STARTTLS" => self.starttls = true,
            "SIZE" => self.add_size(words.next()),
            "AUTH" => words.for_each(|mechanism| self.add_mechanism(mechanism)),
            _ => {}
        }
    }

    /// `SIZE 0` and a bare `SIZE` mean: no fixed limit.
    fn add_size(&mut self, number: Option<&str>) {
        self.size = true;
        self.max_size = number.and_then(|number| number.parse().ok()).filter(|&bytes| bytes > 0);
    }

    fn add_mechanism(&mut self, mechanism: &str) {
        self.auth_plain |= mechanism.eq_ignore_ascii_case("PLAIN");
        self.auth_login |= mechanism.eq_ignore_ascii_case("LOGIN");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reply::ReplyLines;

    fn parse(lines: &[&str]) -> Capabilities {
        let mut reply = ReplyLines::default();
        for line in lines {
            if let Some(reply) = reply.push(line.as_bytes()).expect("a line") {
                return Capabilities::parse(&reply);
            }
        }
        panic!("the reply has no last line");
    }

    #[test]
    fn keywords_in_either_case() {
        let all = Capabilities {
            pipelining: true,
            eight_bit_mime: true,
            smtputf8: true,
            starttls: true,
            size: true,
            max_size: Some(1000),
            auth_plain: true,
            auth_login: true,
        };
        let upper = [
            "250-mx",
            "250-PIPELINING",
            "250-8BITMIME",
            "250-SMTPUTF8",
            "250-STARTTLS",
            "250-SIZE 1000",
            "250-AUTH CRAM-MD5 PLAIN LOGIN",
            "250 HELP",
        ];
        assert_eq!(parse(&upper), all);
        let lower = upper.map(str::to_lowercase);
        assert_eq!(parse(&lower.each_ref().map(String::as_str)), all);
    }

    #[test]
    fn odd_lines() {
        assert_eq!(parse(&["250 PIPELINING"]), Capabilities::default());
        assert!(parse(&["250-mx", "250 AUTH=LOGIN"]).auth_login);
        for line in ["250 SIZE", "250 SIZE 0", "250 SIZE many"] {
            let offered = parse(&["250-mx", line]);
            assert_eq!((offered.size, offered.max_size), (true, None), "{line}");
        }
        assert!(!parse(&["250-mx", "250 XPIPELINING"]).pipelining);
    }
}
