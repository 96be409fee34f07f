//! A Redis, a mail server and a folder, with the programs set up for them.

use crate::args::OnUnknown;
use postroom_testkit::{FakeSmtp, PrivateRedis, Proxy, target_bin};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Output;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tempfile::TempDir;

/// Where mail of the load goes.
pub(crate) const QUEUES: [&str; 2] = ["bulk", "emails"];
const PREFIX: &str = "chaos";

/// What a site is made of.
#[derive(Debug)]
pub(crate) struct Setup {
    pub(crate) redis: PrivateRedis,
    /// How programs reach Redis; directly when absent.
    pub(crate) url: Option<String>,
    pub(crate) on_unknown: OnUnknown,
    pub(crate) lease: Duration,
    /// The table of the transport by which all mail leaves; the mail server's when absent.
    pub(crate) transport: Option<String>,
    /// More lines of `postroom.toml`.
    pub(crate) toml: String,
}

/// Everything but the workers and beats.
#[derive(Debug)]
pub(crate) struct Site {
    redis: Mutex<Arc<PrivateRedis>>,
    pub(crate) smtp: FakeSmtp,
    folder: TempDir,
    env: Vec<(String, String)>,
    /// Workers that were killed.
    dead: Mutex<BTreeSet<String>>,
}

impl Site {
    pub(crate) async fn new(setup: Setup) -> Arc<Self> {
        Self::on(setup, FakeSmtp::start().await).await
    }

    /// With the rate of the transport by which all mail leaves.
    pub(crate) async fn limited(setup: Setup, rate: &str) -> Arc<Self> {
        let smtp = FakeSmtp::start().await;
        let transport = format!("{}rate = \"{rate}\"\n", by(&smtp));
        Self::on(Setup { transport: Some(transport), ..setup }, smtp).await
    }

    /// With this server.
    pub(crate) async fn on(setup: Setup, smtp: FakeSmtp) -> Arc<Self> {
        let folder = tempfile::Builder::new().prefix("postroom-chaos-").tempdir().expect("a folder");
        std::fs::create_dir(folder.path().join("templates")).expect("a folder");
        std::fs::write(folder.path().join("postroom.toml"), toml(&setup, &smtp)).expect("a file");
        let env = [
            ("REDIS_URL", setup.url.unwrap_or_else(|| setup.redis.url())),
            ("POSTROOM_PREFIX", PREFIX.to_owned()),
            ("SMTP_MAIL_FROM", "Chaos <chaos@chaos.example>".to_owned()),
            ("TEMPLATES_DIR", "templates".to_owned()),
        ];
        let env = env.map(|(name, value)| (name.to_owned(), value)).into();
        Arc::new(Self { redis: Mutex::new(Arc::new(setup.redis)), smtp, folder, env, dead: Mutex::default() })
    }

    /// The Redis that is in use.
    pub(crate) fn redis(&self) -> Arc<PrivateRedis> {
        Arc::clone(&self.redis.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Another one has taken its place.
    pub(crate) fn redis_is_now(&self, redis: PrivateRedis) {
        *self.redis.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(redis);
    }

    /// One of our programs, to be run here.
    pub(crate) fn command(&self, program: &str) -> std::process::Command {
        let mut command = std::process::Command::new(target_bin(program));
        let inherited = ["HOME", "PATH", "TMPDIR"].into_iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
        command.env_clear().envs(inherited).envs(self.env.iter().cloned()).current_dir(self.folder.path());
        command
    }

    /// Runs `postroom` to its end.
    pub(crate) async fn postroom(&self, args: &[&str]) -> Output {
        let mut command = tokio::process::Command::from(self.command("postroom"));
        command.args(args).kill_on_drop(true).output().await.expect("postroom runs")
    }

    /// What `postroom … --json` prints, line by line, once it can be had: Redis may be away.
    pub(crate) async fn json(&self, args: &[&str]) -> Vec<Value> {
        let args = [args, &["--json"]].concat();
        let mut output = self.postroom(&args).await;
        for _ in 0..20 {
            if output.status.success() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
            output = self.postroom(&args).await;
        }
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "postroom {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        told.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }

    /// What `postroom … --json` prints in one line; `None` when there is no such thing.
    pub(crate) async fn json_or_none(&self, args: &[&str]) -> Option<Value> {
        let output = self.postroom(&[args, &["--json"]].concat()).await;
        serde_json::from_slice(&output.stdout).ok()
    }

    /// Puts a file into the folder.
    pub(crate) fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, content).expect("a file");
        path
    }

    /// Puts a template into the folder of templates.
    pub(crate) fn template(&self, name: &str, html: &str) {
        let folder = self.folder.path().join("templates").join(name);
        std::fs::create_dir_all(&folder).expect("a folder");
        for (file, text) in [("subject.txt", name), ("body.html", html)] {
            std::fs::write(folder.join(file), text).expect("a file");
        }
    }

    /// A worker was killed: what it held is not being sent any more.
    pub(crate) fn bury(&self, worker: String) {
        self.dead.lock().unwrap_or_else(PoisonError::into_inner).insert(worker);
    }

    /// How many jobs living workers hold now; 0 when Redis can't say.
    pub(crate) fn under_way(&self) -> usize {
        let (leased, redis) = (self.leased(), self.redis());
        let dead = self.dead.lock().unwrap_or_else(PoisonError::into_inner);
        let is_dead = |job: &Leased| job.holding(&redis).is_none_or(|holding| dead.contains(&holding.worker));
        leased.iter().filter(|job| dead.is_empty() || !is_dead(job)).count()
    }

    /// The jobs that workers hold now, with their queues' base keys.
    pub(crate) fn leased(&self) -> Vec<Leased> {
        let redis = self.redis();
        let of_queue = |queue: &&str| {
            let base = format!("{{{PREFIX}:{queue}}}");
            let ids = redis.try_ask(&["ZRANGE", &format!("{base}:leases"), "0", "-1"]).unwrap_or_default();
            let ids: Vec<String> = ids.lines().filter(|id| !id.starts_with('-')).map(str::to_owned).collect();
            let leased = move |id: String| {
                let short = id.rsplit('-').next().unwrap_or_default();
                let key = |kind: &str| format!("{base}:{kind}{short}");
                Leased { flight: key("f:"), hash: key("h:"), payload: key("") }
            };
            ids.into_iter().map(leased)
        };
        QUEUES.iter().flat_map(of_queue).collect()
    }
}

/// A job that a worker holds, by its keys in Redis.
#[derive(Clone, Debug)]
pub(crate) struct Leased {
    flight: String,
    hash: String,
    payload: String,
}

impl Leased {
    /// Its worker, whether its mark was written, and its fence; `None` when nobody holds it or Redis can't say.
    pub(crate) fn holding(&self, redis: &PrivateRedis) -> Option<Holding> {
        let flight = redis.try_ask(&["GET", &self.flight]).ok()?;
        if let [fence, worker, _, _, _, _, mark @ ..] = &flight.split_whitespace().collect::<Vec<_>>()[..] {
            let (worker, fence) = ((*worker).to_owned(), (*fence).to_owned());
            return Some(Holding { worker, begun: !mark.is_empty(), fence });
        }
        let facts = redis.try_ask(&["HMGET", &self.hash, "state", "worker", "begun_ms", "fence"]).ok()?;
        let facts: Vec<&str> = facts.split('\n').collect();
        let ["sending", worker, begun, fence] = facts[..] else { return None };
        Some(Holding { worker: worker.to_owned(), begun: !begun.is_empty(), fence: fence.to_owned() })
    }

    /// Its recipient.
    pub(crate) fn to(&self, redis: &PrivateRedis) -> Option<String> {
        let payload = redis.try_ask(&["GET", &self.payload]).ok()?;
        let mail: Value = serde_json::from_str(payload.lines().nth(1)?).ok()?;
        mail["to"][0].as_str().map(str::to_owned)
    }
}

/// Who holds a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Holding {
    pub(crate) worker: String,
    pub(crate) begun: bool,
    pub(crate) fence: String,
}

/// A Redis on a port behind a network that can be bad, and the address that leads through it.
pub(crate) fn through(redis: &PrivateRedis) -> (Proxy, String) {
    let proxy = Proxy::start(redis.addr());
    let url = format!("redis://{}", proxy.addr());
    (proxy, url)
}

fn toml(setup: &Setup, smtp: &FakeSmtp) -> String {
    let (on_unknown, lease) = (setup.on_unknown.as_str(), setup.lease.as_millis());
    let queue = |name: &&str| {
        format!(
            "[queue.{name}]\non_unknown = \"{on_unknown}\"\nlease = \"{lease}ms\"\nbackoff = \"200ms\"\n\
             backoff_max = \"2s\"\nattempts = 100\n"
        )
    };
    let transport = setup.transport.clone().unwrap_or_else(|| by(smtp));
    QUEUES.iter().map(queue).collect::<String>() + &transport + &setup.toml
}

/// The table of the transport that leads to this server.
fn by(smtp: &FakeSmtp) -> String {
    let (host, port) = (smtp.host(), smtp.port());
    format!("[transport.default]\nkind = \"smtp\"\nhost = \"{host}\"\nport = {port}\nsecurity = \"none\"\n")
}
