//! Settings of a Redis server that Sentinels watch.

use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo, RedisConnectionInfo};

use super::trust::Trust;
use crate::{Error, InvalidInput, Result};

const PORT: u16 = 26_379;

/// Sentinels, the name of the master, and how to connect to it.
pub(crate) struct WatchedRedis {
    /// Host and port of each Sentinel.
    pub(crate) sentinels: Vec<(String, u16)>,
    /// Name of the master.
    pub(crate) master: String,
    /// User, password and database of the master.
    pub(crate) user: RedisConnectionInfo,
    tls: bool,
    trust: Trust,
}

impl WatchedRedis {
    /// Parses `redis+sentinel://[user:password@]host[:port],…/master[/database]`. The error never
    /// contains the URL.
    pub(super) fn parse(url: &str, trust: Trust) -> Result<Self, String> {
        let (scheme, rest) = url.split_once("://").ok_or("it has no scheme")?;
        let (user, rest) = rest.rsplit_once('@').map_or(("", rest), |(user, rest)| (user, rest));
        let (hosts, path) = rest.split_once('/').ok_or("the name of the master is missing after the sentinels")?;
        let (master, database) = path.split_once('/').unwrap_or((path, ""));
        Ok(Self {
            sentinels: hosts.split(',').map(sentinel).collect::<Result<_, _>>()?,
            master: master_name(master)?,
            user: server_user(user, database)?,
            tls: scheme == "rediss+sentinel",
            trust,
        })
    }

    /// Returns how to connect to a server that a Sentinel named.
    pub(crate) fn server_at(&self, host: &str, port: u16) -> Result<ConnectionInfo> {
        let host = host.to_owned();
        let addr = if self.tls {
            ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None }
        } else {
            ConnectionAddr::Tcp(host, port)
        };
        let unfit = |error| Error::Invalid(InvalidInput::new("REDIS_URL", format!("the URL can't be used: {error}")));
        let info = addr.into_connection_info().map_err(|error| unfit(error.to_string()))?;
        self.trust.applied_to(info.set_redis_settings(self.user.clone())).map_err(unfit)
    }
}

/// Parses `host`, `host:port` or `[address]:port`.
fn sentinel(address: &str) -> Result<(String, u16), String> {
    let unfit = || format!("{address:?} is not the address of a sentinel");
    let (host, port) = match address.rsplit_once(':').filter(|(host, _)| !host.contains(':') || host.ends_with(']')) {
        Some((host, port)) => (host, port.parse().map_err(|_| unfit())?),
        None => (address, PORT),
    };
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
    if host.is_empty() || !host.chars().all(fits) {
        return Err(unfit());
    }
    Ok((host.to_owned(), port))
}

fn master_name(name: &str) -> Result<String, String> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    if name.is_empty() || !name.bytes().all(fits) {
        return Err(format!("{name:?} is not a master's name"));
    }
    Ok(name.to_owned())
}

/// Parses user and database as in any Redis URL.
fn server_user(user: &str, database: &str) -> Result<RedisConnectionInfo, String> {
    let at = if user.is_empty() { "" } else { "@" };
    let info =
        format!("redis://{user}{at}server/{database}").into_connection_info().map_err(|error| error.to_string())?;
    Ok(info.redis_settings().clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentinel_urls_are_parsed() {
        let read = |url| {
            let redis = WatchedRedis::parse(url, Trust::default()).expect(url);
            let server = redis.server_at("10.0.0.1", 6380).expect("a server");
            let user = redis.user;
            let (name, password) = (user.username().map(str::to_owned), user.password().map(str::to_owned));
            (redis.sentinels, redis.master, name, password, user.db(), server.addr().to_string())
        };
        let text = |text: &str| Some(text.to_owned());
        let host = |host: &str, port| (host.to_owned(), port);
        assert_eq!(
            read("redis+sentinel://ann:p%40ss@one,two:1234,[::1]:5/mail/3"),
            (
                vec![host("one", 26_379), host("two", 1_234), host("::1", 5)],
                "mail".to_owned(),
                text("ann"),
                text("p@ss"),
                3,
                "10.0.0.1:6380".to_owned()
            )
        );
        let (sentinels, master, name, password, database, _) = read("rediss+sentinel://:secret@one/my.master-1");
        assert_eq!((sentinels, master.as_str()), (vec![host("one", 26_379)], "my.master-1"));
        assert_eq!((name, password, database), (None, text("secret"), 0));
    }

    #[test]
    fn invalid_urls_are_refused() {
        for (url, word) in [
            ("redis+sentinel://one:26379", "master is missing"),
            ("redis+sentinel://one:26379/", "not a master's name"),
            ("redis+sentinel:///mail", "not the address of a sentinel"),
            ("redis+sentinel://one:x/mail", "one:x"),
            ("redis+sentinel://one,,two/mail", "not the address of a sentinel"),
            ("redis+sentinel://one/mail/zero", "database"),
        ] {
            let Err(problem) = WatchedRedis::parse(url, Trust::default()) else { panic!("{url} was accepted") };
            assert!(problem.to_lowercase().contains(word), "{url}: {problem}");
        }
    }
}
