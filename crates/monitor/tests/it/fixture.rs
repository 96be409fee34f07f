//! Test surroundings: a monitor in this process.

use std::net::SocketAddr;

use postroom_core::{Settings, Shutdown, Store, settings::Sources};
use postroom_monitor::serve;
use postroom_testkit::{PrivateRedis, unique_prefix};
use tokio::net::TcpListener;

use crate::browser::{BrowserResponse, request};

/// A monitor and its store.
pub(crate) struct Fixture {
    pub(crate) store: Store,
    pub(crate) at: SocketAddr,
    pub(crate) prefix: String,
    shutdown: Shutdown,
}

impl Fixture {
    /// Starts a monitor without a password, on the shared Redis.
    pub(crate) async fn open() -> Self {
        Self::with(&[]).await
    }

    /// Starts a monitor with additional settings.
    pub(crate) async fn with(env: &[(&str, &str)]) -> Self {
        Self::start(settings(&PrivateRedis::shared().url(), env)).await
    }

    pub(crate) async fn start(settings: Settings) -> Self {
        let store = Store::connect(&settings.redis).await.expect("Redis");
        let prefix = settings.redis.prefix.clone();
        let (at, shutdown) = start(settings).await;
        let site = Self { store, at, prefix, shutdown };
        site.is_ready().await;
        site
    }

    async fn is_ready(&self) {
        let limit = std::time::Duration::from_secs(20);
        postroom_testkit::eventually(limit, "the monitor is healthy", async || {
            (self.get("/healthz").await.status == 200).then_some(())
        })
        .await;
    }

    /// Returns the running processes, including the monitor itself.
    pub(crate) async fn processes(&self) -> Vec<serde_json::Value> {
        let limit = std::time::Duration::from_secs(20);
        postroom_testkit::eventually(limit, "the monitor is listed", async || {
            let response = self.get("/api/workers").await.json();
            let all = response["workers"].as_array().unwrap().clone();
            all.iter().any(|process| process["kind"] == "monitor").then_some(all)
        })
        .await
    }

    pub(crate) async fn get(&self, path: &str) -> BrowserResponse {
        request(self.at, "GET", path, &[], "").await
    }

    pub(crate) async fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> BrowserResponse {
        request(self.at, "GET", path, headers, "").await
    }

    /// Submits a form.
    pub(crate) async fn post(&self, path: &str, headers: &[(&str, &str)], body: &str) -> BrowserResponse {
        let mut all = vec![("Content-Type", "application/x-www-form-urlencoded")];
        all.extend(headers);
        request(self.at, "POST", path, &all, body).await
    }

    /// Submits the form of a page's button, and follows the redirect.
    pub(crate) async fn press(&self, page: &str, action: &str) -> BrowserResponse {
        let token = self.get(page).await.token().to_owned();
        let response = self.post(action, &[], &format!("token={token}")).await;
        assert_eq!(response.status, 303, "{}", response.body);
        let flash = response.cookie("postroom_flash").expect("a message about the result");
        let location = response.header("location").unwrap().to_owned();
        self.get_with(&location, &[("Cookie", &flash)]).await
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        self.shutdown.request();
    }
}

/// Builds settings from a few variables only.
pub(crate) fn settings(redis: &str, env: &[(&str, &str)]) -> Settings {
    let templates = concat!(env!("CARGO_MANIFEST_DIR"), "/../../templates");
    let own = [("REDIS_URL", redis), ("POSTROOM_PREFIX", &unique_prefix()), ("TEMPLATES_DIR", templates)];
    let env = own.iter().chain(env).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Settings::from_sources(&Sources { env, ..Sources::default() }).expect("settings")
}

/// Starts a monitor without waiting for Redis.
pub(crate) async fn start(settings: Settings) -> (SocketAddr, Shutdown) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let shutdown = Shutdown::new();
    tokio::spawn(serve(settings, listener, shutdown.clone()));
    (at, shutdown)
}
