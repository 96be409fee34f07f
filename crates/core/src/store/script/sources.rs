//! The Lua scripts and the parts that they include.

macro_rules! scripts {
    ($($variant:ident $name:literal)*) => {
        /// A Lua script. Its name is the name of its file.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(in crate::store) enum Script {
            $($variant),*
        }

        impl Script {
            /// All scripts, in the order of the enum.
            pub(super) const ALL: &[Self] = &[$(Self::$variant),*];

            /// Name of the script.
            pub(super) fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name),*
                }
            }

            /// Lua source of the script, without its parts.
            pub(super) fn source(self) -> &'static str {
                match self {
                    $(Self::$variant => include_str!(concat!("../../lua/", $name, ".lua"))),*
                }
            }
        }
    };
}

scripts! {
    BatchCancel "batch_cancel"
    BatchCreate "batch_create"
    BatchNotify "batch_notify"
    BatchSeal "batch_seal"
    BatchSteer "batch_steer"
    Batches "batches"
    Begin "begin"
    Cancel "cancel"
    Capture "capture"
    Claim "claim"
    ConnectionsHold "connections_hold"
    ContentKeep "content_keep"
    Defer "defer"
    Enqueue "enqueue"
    Finish "finish"
    Jobs "jobs"
    LimitGiveBack "limit_give_back"
    LimitHeard "limit_heard"
    LimitStates "limit_states"
    LimitTake "limit_take"
    Mend "mend"
    Pause "pause"
    Peek "peek"
    Prune "prune"
    Renew "renew"
    Reserve "reserve"
    Resolve "resolve"
    Restate "restate"
    Retry "retry"
    SayAlive "say_alive"
    ScheduleDue "schedule_due"
    ScheduleList "schedule_list"
    SchedulePut "schedule_put"
    ScheduleRemove "schedule_remove"
    ScheduleTick "schedule_tick"
    Sweep "sweep"
    WebhookAdd "webhook_add"
    WebhookDefer "webhook_defer"
    WebhookTake "webhook_take"
}

impl Script {
    /// Whether the script allocates memory, so that Redis must be able to refuse it when full.
    pub(super) fn allocates(self) -> bool {
        matches!(
            self,
            Self::Enqueue
                | Self::Capture
                | Self::ContentKeep
                | Self::BatchCreate
                | Self::SchedulePut
                | Self::ScheduleTick
        )
    }
}

/// Names and sources of the parts that a script's header may include.
pub(super) const PARTS: [(&str, &str); 7] = [
    ("prelude", include_str!("../../lua/parts/prelude.lua")),
    (
        "job",
        concat!(
            include_str!("../../lua/parts/row.lua"),
            include_str!("../../lua/parts/header.lua"),
            include_str!("../../lua/parts/flight.lua"),
            include_str!("../../lua/parts/sent_record.lua"),
            include_str!("../../lua/parts/contents.lua"),
            include_str!("../../lua/parts/job.lua"),
            include_str!("../../lua/parts/aside.lua")
        ),
    ),
    ("checked", include_str!("../../lua/parts/checked.lua")),
    ("time", include_str!("../../lua/parts/time.lua")),
    ("promote", include_str!("../../lua/parts/promote.lua")),
    ("claim_limits", include_str!("../../lua/parts/claim_limits.lua")),
    ("learned_rate", include_str!("../../lua/parts/learned_rate.lua")),
];
