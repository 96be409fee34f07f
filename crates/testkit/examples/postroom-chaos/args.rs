//! The command line.

use clap::{Parser, ValueEnum};

const EXAMPLES: &str = "Examples:
  scripts/chaos --minutes 2 --seed 7
  scripts/chaos --minutes 60 --jobs 100000
  scripts/chaos workers-killed --on-unknown resend
  scripts/chaos redis-cut-back
  scripts/chaos lost-replies --quick

Exit codes: 0 if all checks pass, 1 if a check fails, 3 if the run is void. A run is void if fewer
than 10 mails were being sent when a fault began, or fewer than 10 mails arrived after the last fault.";

/// Inject faults while mail is sent, and check that no mail is lost or sent twice by mistake
///
/// Without a scenario, faults of all kinds follow each other in an order derived from the seed.
#[derive(Debug, Parser)]
#[command(name = "scripts/chaos", after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Scenario to run: a row of the first table under "The proof" in docs/guarantees.md
    #[arg(value_enum)]
    pub(crate) scenario: Option<Scenario>,
    /// Policy for a mail that may or may not have been sent
    #[arg(long, value_enum, default_value_t = UnknownPolicy::Hold)]
    pub(crate) on_unknown: UnknownPolicy,
    /// Seed of the faults, their order and their times
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub(crate) seed: u64,
    /// Duration of the faults
    #[arg(long, value_name = "MINUTES", default_value_t = 1.0)]
    pub(crate) minutes: f64,
    /// Minimum number of mails
    #[arg(long, value_name = "NUMBER", default_value_t = 2_000)]
    pub(crate) jobs: usize,
    /// Run a short version with short leases and few mails
    #[arg(long)]
    pub(crate) quick: bool,
    /// Also print the logs of workers and beats
    #[arg(long)]
    pub(crate) logs: bool,
}

/// Policy of a queue for mails with an unknown result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum UnknownPolicy {
    /// Hold the mail until a person decides
    Hold,
    /// Send it once more, then hold it
    Resend,
}

impl UnknownPolicy {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Hold => "hold",
            Self::Resend => "resend",
        }
    }
}

/// Scenario with one kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scenario {
    /// Kill one of three workers every 2 s for a minute
    WorkersKilled,
    /// Kill Redis five times for 3 s
    RedisKilled,
    /// Kill Redis five times and remove its last second of writes
    RedisCutBack,
    /// Kill the primary and promote a replica that lags by one second
    RedisFailover,
    /// Stall Redis for 20 s
    RedisStalled,
    /// Freeze Redis for 30 s, then stop it for 30 s
    RedisStopped,
    /// Move the clock of Redis one hour forward, then back
    RedisClock,
    /// Fill the memory of Redis
    RedisFull,
    /// Freeze a worker for longer than its lease while it sends mails
    WorkerStopped,
    /// Black-hole the existing connections to Redis; new ones pass
    BlackHole,
    /// Lose replies: the server accepts mails and closes the connection
    LostReplies,
    /// Run workers with clocks one hour ahead and one hour behind
    WorkerClocks,
    /// Send at a shared limit of 50 mails per second while workers are killed and replaced
    Limit,
    /// Schedule a million mails and an urgent one for the same second
    MillionDue,
    /// Pause, resume and cancel a batch of 100,000 mails while it is sent
    BatchSteered,
    /// Terminate a worker that is sending 200 mails, and kill it after 30 s
    Sigterm,
    /// Cancel 500 of 1,000 scheduled mails, then kill every process
    ScheduledCancelled,
    /// Mutate records in Redis at random while mail is sent
    DamagedRecords,
    /// Send a batch at one mail per 5 s while its worker is terminated and killed
    BulkDelay,
    /// Send urgent mail beside a queued newsletter at a limit of two mails per second
    UrgentLimited,
    /// Send to a server that refuses more than 50 mails per second, with three kinds of reply
    ServerRate,
    /// Send to a server that accepts at most three connections
    ServerConnections,
    /// Render HTML and templates that need unbounded time or memory, beside urgent mail
    HostileContent,
    /// Send through the provider Resend at its limit of two requests per second
    Resend,
    /// Occupy each port with 2,000 unfinished requests, then send 10,000 wrong passwords
    SlowClients,
}
