//! The command line.

use clap::{Parser, ValueEnum};

const EXAMPLES: &str = "Examples:
  scripts/chaos --minutes 2 --seed 7
  scripts/chaos --minutes 60 --jobs 100000
  scripts/chaos workers-killed --on-unknown resend
  scripts/chaos redis-cut-back
  scripts/chaos lost-replies --quick

Exits with 0 when all holds, with 1 when something required does not, and with 3 when the run is void: a fault
counts only if at least 10 mails were being sent when it came, and mail has to go out after the last one.";

/// Makes trouble while mail is going out, and shows that none is lost and none sent twice by accident
///
/// Without a scenario: faults of all kinds, one after the other, as the seed has them.
#[derive(Debug, Parser)]
#[command(name = "scripts/chaos", after_help = EXAMPLES)]
pub(crate) struct Args {
    /// One row of README's table "What is guaranteed"
    #[arg(value_enum)]
    pub(crate) scenario: Option<Scenario>,
    /// What is done with a mail of which nobody can know whether it went out
    #[arg(long, value_enum, default_value_t = OnUnknown::Hold)]
    pub(crate) on_unknown: OnUnknown,
    /// The faults, their order and their moments follow from it
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub(crate) seed: u64,
    /// How long faults go on
    #[arg(long, value_name = "MINUTES", default_value_t = 1.0)]
    pub(crate) minutes: f64,
    /// How many mails at least
    #[arg(long, value_name = "NUMBER", default_value_t = 2_000)]
    pub(crate) jobs: usize,
    /// The same in a few seconds: short leases, few mails
    #[arg(long)]
    pub(crate) quick: bool,
    /// Show what workers and beats said, too
    #[arg(long)]
    pub(crate) logs: bool,
}

/// What a queue does in doubt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OnUnknown {
    /// A person decides
    Hold,
    /// It is sent once more, then held
    Resend,
}

impl OnUnknown {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Hold => "hold",
            Self::Resend => "resend",
        }
    }
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scenario {
    /// One of three workers is killed every 2 s for a minute
    WorkersKilled,
    /// Redis is killed five times for 3 s
    RedisKilled,
    /// Redis is killed five times and has forgotten its last second
    RedisCutBack,
    /// A replica a second behind takes the place of a killed Redis
    RedisFailover,
    /// Redis does not answer for 20 s
    RedisStalled,
    /// Redis is frozen, then stopped, for 30 s
    RedisStopped,
    /// The clock of Redis goes forward by an hour, and back
    RedisClock,
    /// Redis has no memory left
    RedisFull,
    /// A worker is frozen for longer than its lease, with mails on their way
    WorkerStopped,
    /// The connections to Redis swallow everything; new ones pass
    BlackHole,
    /// The server keeps a mail and closes before it answers
    LostReplies,
    /// Workers whose clocks are an hour ahead and an hour behind
    WorkerClocks,
    /// Four workers hold a limit of 50 a second, killed and replaced meanwhile
    Limit,
    /// A million mails due at the same second, and an urgent one
    MillionDue,
    /// A batch of 100,000 is paused, resumed and cancelled while it is being sent
    BatchSteered,
    /// A worker with 200 mails under way is told to end, and killed after 30 s
    Sigterm,
    /// Of 1,000 scheduled mails 500 are cancelled, then everything is killed
    ScheduledCancelled,
    /// Records in Redis are mutated at random while mail is sent
    DamagedRecords,
    /// One mail each 5 s in a bulk, while its worker is stopped and killed
    BulkDelay,
    /// Two mails a second, a newsletter that waits, and urgent mail
    UrgentLimited,
    /// A server that refuses more than 50 mails a second, in three ways
    ServerRate,
    /// A server that takes three connections
    ServerConnections,
    /// HTML and templates that would take for ever or all memory, beside urgent mail
    HostileContent,
    /// The provider Resend takes two requests a second
    Resend,
    /// 2,000 clients that never finish a request at each port, then wrong passwords from 10,000 addresses
    SlowClients,
}
