//! Extensions that a server offers in its reply to EHLO.

use crate::reply::Reply;

/// Extensions that a client uses. A server that only knows HELO offers none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// PIPELINING: several commands in one write (RFC 2920).
    pub pipelining: bool,
    /// 8BITMIME: messages with 8-bit bytes (RFC 6152). Without it, encode as quoted-printable or
    /// base64.
    pub eight_bit_mime: bool,
    /// SMTPUTF8: non-ASCII addresses (RFC 6531).
    pub smtputf8: bool,
    /// STARTTLS (RFC 3207).
    pub starttls: bool,
    /// SIZE: the size of a message in MAIL (RFC 1870).
    pub size: bool,
    /// Maximum size of a message in bytes, if the server gives one.
    pub max_size: Option<u64>,
    /// AUTH PLAIN (RFC 4616).
    pub auth_plain: bool,
    /// AUTH LOGIN.
    pub auth_login: bool,
}

impl Capabilities {
    /// Parses the keywords of a positive reply to EHLO, in upper or lower case.
    pub(crate) fn parse(ehlo: &Reply) -> Self {
        let mut offered = Self::default();
        for line in ehlo.lines().skip(1) {
            // AUTH=LOGIN is a form from before the RFC that some servers still send.
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

    /// Reads the parameter of SIZE. `SIZE 0` and a bare `SIZE` mean no fixed limit.
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
    fn keywords_are_parsed_in_either_case() {
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
    fn unusual_lines_are_parsed() {
        assert_eq!(parse(&["250 PIPELINING"]), Capabilities::default());
        assert!(parse(&["250-mx", "250 AUTH=LOGIN"]).auth_login);
        for line in ["250 SIZE", "250 SIZE 0", "250 SIZE many"] {
            let offered = parse(&["250-mx", line]);
            assert_eq!((offered.size, offered.max_size), (true, None), "{line}");
        }
        assert!(!parse(&["250-mx", "250 XPIPELINING"]).pipelining);
    }
}
