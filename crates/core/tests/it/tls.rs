//! Redis over TLS: accepted and refused certificates.

use std::time::Duration;

use postroom_core::{
    Error, InvalidInput, Store,
    settings::{RedisSettings, Settings, Sources},
};
use postroom_testkit::{PrivateRedis, Sentinel, TlsProxy, unique_prefix};
use tempfile::TempDir;

/// A private Redis behind TLS, and a file with the authority that signed its certificate.
struct Fixture {
    _redis: PrivateRedis,
    proxy: TlsProxy,
    folder: TempDir,
}

impl Fixture {
    async fn for_name(name: &str) -> Self {
        // An error only means that the provider is installed already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let redis = PrivateRedis::start_tcp().await;
        let proxy = TlsProxy::start(redis.addr(), name);
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("ca.pem"), proxy.ca_pem()).expect("a file");
        Self { _redis: redis, proxy, folder }
    }

    fn ca_file(&self) -> String {
        self.folder.path().join("ca.pem").display().to_string()
    }

    fn url(&self) -> String {
        format!("rediss://localhost:{}", self.proxy.addr().port())
    }
}

fn settings(pairs: &[(&str, &str)]) -> Result<RedisSettings, InvalidInput> {
    let pairs = pairs.iter().chain([&("POSTROOM_PREFIX", "t")]);
    let env = pairs.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Ok(Settings::from_sources(&Sources { env, ..Sources::default() })?.redis)
}

async fn connect(pairs: &[(&str, &str)]) -> Result<Store, Error> {
    let settings = RedisSettings { prefix: unique_prefix(), ..settings(pairs)? };
    let store = Store::connect(&settings).await?;
    store.ping().await?;
    Ok(store)
}

fn refusal(answer: Result<Store, Error>) -> InvalidInput {
    match answer {
        Err(Error::Invalid(problem)) => problem,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_private_authority_is_accepted_only_with_its_file() {
    let fixture = Fixture::for_name("localhost").await;
    let (url, file) = (fixture.url(), fixture.ca_file());
    connect(&[("REDIS_URL", &url), ("REDIS_CA_FILE", &file)]).await.expect("a connection");
    connect(&[("REDIS_URL", &url), ("REDIS_TLS_INSECURE", "true")]).await.expect("any certificate is accepted");

    let problem = refusal(connect(&[("REDIS_URL", &url)]).await);
    assert_eq!(problem.field, "REDIS_CA_FILE");
    assert!(problem.problem.contains("UnknownIssuer") && problem.problem.contains("PEM"), "{problem}");

    let other = Fixture::for_name("localhost").await;
    let problem = refusal(connect(&[("REDIS_URL", &url), ("REDIS_CA_FILE", &other.ca_file())]).await);
    assert_eq!(problem.field, "REDIS_CA_FILE", "another authority: {problem}");
}

#[tokio::test]
async fn a_certificate_for_another_host_is_refused() {
    let fixture = Fixture::for_name("redis.example.org").await;
    let problem = refusal(connect(&[("REDIS_URL", &fixture.url()), ("REDIS_CA_FILE", &fixture.ca_file())]).await);
    assert_eq!(problem.field, "REDIS_URL");
    assert!(problem.problem.contains("redis.example.org") && problem.problem.contains("a host"), "{problem}");
}

/// The Sentinel returns 127.0.0.1 and the TLS port, so the servers' certificate is for that
/// address.
#[tokio::test]
async fn servers_behind_sentinels_are_checked() {
    let fixture = Fixture::for_name("127.0.0.1").await;
    let sentinel = Sentinel::naming(fixture.proxy.addr(), Duration::from_secs(60)).await;
    let url = format!("rediss+sentinel://{}/{}", sentinel.addr(), Sentinel::NAME);
    connect(&[("REDIS_URL", &url), ("REDIS_CA_FILE", &fixture.ca_file())]).await.expect("a connection");
    let problem = refusal(connect(&[("REDIS_URL", &url)]).await);
    assert_eq!(problem.field, "REDIS_CA_FILE", "{problem}");
}
