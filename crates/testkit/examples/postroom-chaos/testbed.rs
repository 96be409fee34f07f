//! Surroundings of a run: a Redis, a mail server, and a folder with the configuration.

use crate::args::UnknownPolicy;
use postroom_testkit::{FakeSmtp, PrivateRedis, Proxy, target_bin};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Output;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tempfile::TempDir;

/// Queues of the load.
pub(crate) const QUEUES: [&str; 2] = ["bulk", "emails"];
const PREFIX: &str = "chaos";

/// Parameters of a testbed.
#[derive(Debug)]
pub(crate) struct Setup {
    pub(crate) redis: PrivateRedis,
    /// URL of Redis for the programs. `None` connects directly.
    pub(crate) url: Option<String>,
    pub(crate) on_unknown: UnknownPolicy,
    pub(crate) lease: Duration,
    /// TOML table of the transport. `None` uses the mail server.
    pub(crate) transport: Option<String>,
    /// Additional lines of `postroom.toml`.
    pub(crate) toml: String,
}

/// Redis, mail server and configuration, without workers and beats.
#[derive(Debug)]
pub(crate) struct Testbed {
    redis: Mutex<Arc<PrivateRedis>>,
    pub(crate) smtp: FakeSmtp,
    folder: TempDir,
    env: Vec<(String, String)>,
    /// Ids of killed workers.
    killed: Mutex<BTreeSet<String>>,
}

impl Testbed {
    pub(crate) async fn new(setup: Setup) -> Arc<Self> {
        Self::on(setup, FakeSmtp::start().await).await
    }

    /// Creates a testbed whose transport has a rate limit.
    pub(crate) async fn limited(setup: Setup, rate: &str) -> Arc<Self> {
        let smtp = FakeSmtp::start().await;
        let transport = format!("{}rate = \"{rate}\"\n", transport_to(&smtp));
        Self::on(Setup { transport: Some(transport), ..setup }, smtp).await
    }

    /// Creates a testbed with this mail server.
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
        Arc::new(Self { redis: Mutex::new(Arc::new(setup.redis)), smtp, folder, env, killed: Mutex::default() })
    }

    /// Returns the current Redis.
    pub(crate) fn redis(&self) -> Arc<PrivateRedis> {
        Arc::clone(&self.redis.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Replaces the current Redis, after a failover.
    pub(crate) fn replace_redis(&self, redis: PrivateRedis) {
        *self.redis.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(redis);
    }

    /// Returns the command of a Postroom program in this testbed.
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

    /// Returns the lines that `postroom … --json` prints. Retries for 10 s, because Redis may be
    /// unreachable.
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
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "postroom {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }

    /// Returns the single object that `postroom … --json` prints, or `None` if it fails.
    pub(crate) async fn json_or_none(&self, args: &[&str]) -> Option<Value> {
        let output = self.postroom(&[args, &["--json"]].concat()).await;
        serde_json::from_slice(&output.stdout).ok()
    }

    /// Creates a file in the folder.
    pub(crate) fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, content).expect("a file");
        path
    }

    /// Creates a template.
    pub(crate) fn template(&self, name: &str, html: &str) {
        let folder = self.folder.path().join("templates").join(name);
        std::fs::create_dir_all(&folder).expect("a folder");
        for (file, text) in [("subject.txt", name), ("body.html", html)] {
            std::fs::write(folder.join(file), text).expect("a file");
        }
    }

    /// Records that a worker was killed. Its jobs no longer count as being sent.
    pub(crate) fn mark_killed(&self, worker: String) {
        self.killed.lock().unwrap_or_else(PoisonError::into_inner).insert(worker);
    }

    /// Returns the number of jobs that live workers hold, or 0 if Redis does not reply.
    pub(crate) fn sending_count(&self) -> usize {
        let (leased, redis) = (self.leased(), self.redis());
        let killed = self.killed.lock().unwrap_or_else(PoisonError::into_inner);
        let is_dead = |job: &Leased| job.holder(&redis).is_none_or(|holder| killed.contains(&holder.worker));
        leased.iter().filter(|job| killed.is_empty() || !is_dead(job)).count()
    }

    /// Returns the leased jobs of all queues.
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

/// Keys in Redis of a leased job.
#[derive(Clone, Debug)]
pub(crate) struct Leased {
    flight: String,
    hash: String,
    payload: String,
}

impl Leased {
    /// Returns the current lease holder, or `None` if there is none or Redis does not reply.
    pub(crate) fn holder(&self, redis: &PrivateRedis) -> Option<LeaseHolder> {
        let flight = redis.try_ask(&["GET", &self.flight]).ok()?;
        if let [fence, worker, _, _, _, _, mark @ ..] = &flight.split_whitespace().collect::<Vec<_>>()[..] {
            let (worker, fence) = ((*worker).to_owned(), (*fence).to_owned());
            return Some(LeaseHolder { worker, begun: !mark.is_empty(), fence });
        }
        let fields = redis.try_ask(&["HMGET", &self.hash, "state", "worker", "begun_ms", "fence"]).ok()?;
        let fields: Vec<&str> = fields.split('\n').collect();
        let ["sending", worker, begun, fence] = fields[..] else { return None };
        Some(LeaseHolder { worker: worker.to_owned(), begun: !begun.is_empty(), fence: fence.to_owned() })
    }

    /// Returns the recipient.
    pub(crate) fn to(&self, redis: &PrivateRedis) -> Option<String> {
        let payload = redis.try_ask(&["GET", &self.payload]).ok()?;
        let mail: Value = serde_json::from_str(payload.lines().nth(1)?).ok()?;
        mail["to"][0].as_str().map(str::to_owned)
    }
}

/// Holder of a job's lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LeaseHolder {
    pub(crate) worker: String,
    /// Whether the attempt was begun, so that its mail may have been sent.
    pub(crate) begun: bool,
    pub(crate) fence: String,
}

/// Starts a proxy in front of Redis. Returns it with its URL.
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
    let transport = setup.transport.clone().unwrap_or_else(|| transport_to(smtp));
    QUEUES.iter().map(queue).collect::<String>() + &transport + &setup.toml
}

/// Returns the TOML table of a transport to this server.
fn transport_to(smtp: &FakeSmtp) -> String {
    let (host, port) = (smtp.host(), smtp.port());
    format!("[transport.default]\nkind = \"smtp\"\nhost = \"{host}\"\nport = {port}\nsecurity = \"none\"\n")
}
