//! Default name in EHLO.

use super::value;
use crate::Mailbox;

/// Ends of host names that have no meaning outside a private network.
const PRIVATE_DOMAINS: [&str; 13] = [
    "localdomain",
    "localhost",
    "local",
    "internal",
    "intranet",
    "private",
    "corp",
    "home",
    "lan",
    "arpa",
    "invalid",
    "test",
    "example",
];

/// Returns the default EHLO name. Servers expect a full name that DNS knows: this host's if it is
/// one, else the sender's domain.
pub(super) fn own_hello_name(sender: Option<&Mailbox>) -> String {
    hello_name_of(&gethostname::gethostname().to_string_lossy(), sender.map(|sender| sender.address.domain()))
}

fn hello_name_of(host: &str, sender_domain: Option<&str>) -> String {
    let host = value::hello_name(host).ok();
    let domain = sender_domain.and_then(|domain| value::hello_name(domain).ok());
    let full = |name: &String| is_public(name);
    host.clone()
        .filter(full)
        .or(domain.clone().filter(full))
        .or(domain)
        .or(host)
        .unwrap_or_else(|| "localhost".to_owned())
}

fn is_public(name: &str) -> bool {
    let name = name.trim_matches('.').to_ascii_lowercase();
    name.rsplit_once('.').is_some_and(|(_, last)| !PRIVATE_DOMAINS.contains(&last))
}

#[cfg(test)]
mod tests {
    use super::hello_name_of;

    #[test]
    fn the_name_in_ehlo_is_public_where_possible() {
        for (host, sender, expected) in [
            ("app.example.org", Some("example.net"), "app.example.org"),
            ("app", Some("example.net"), "example.net"),
            ("localhost", Some("example.net"), "example.net"),
            ("localhost.localdomain", Some("example.net"), "example.net"),
            ("ip-10-0-0-1.eu-west-1.compute.internal", Some("example.net"), "example.net"),
            ("Laptop.LOCAL", Some("example.net"), "example.net"),
            ("app-7d9.default.svc.cluster.local.", Some("example.net"), "example.net"),
            ("app_1", Some("example.net"), "example.net"),
            ("app.internal", Some("corp.internal"), "corp.internal"),
            ("app.internal", Some("żółw.example.org"), "app.internal"),
            ("app.internal", None, "app.internal"),
            ("app", None, "app"),
            ("", None, "localhost"),
        ] {
            assert_eq!(hello_name_of(host, sender), expected, "{host} {sender:?}");
        }
    }
}
