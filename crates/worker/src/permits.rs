//! Permits: everything that a mail needs before it is sent.
//!
//! | permit | guards | acquired | released |
//! | --- | --- | --- | --- |
//! | [`Slot`] | mails at once in this worker | when a job starts | before its outcome is recorded |
//! | [`Allowance`] | jobs of one claim | before the claim | unused parts after the claim |
//! | [`ConnectionPermit`] | connections, all workers | before the claim | after the attempt |
//! | [`SendReservation`] | rates and quotas, all workers | before the claim | if nothing was sent |
//! | `CpuPermit` | renderings that take long | before the rendering | after the rendering |
//! | share of `Contents` | memory of large mails | before content is read | after the attempt |
//! | `Admission` | transports with a half-open circuit | before the attempt | with its outcome |
//! | permit of `WebhookNotices` | webhook calls at once | before the call | after the call |
//!
//! A rendering that takes long releases the connection permit and the admission meanwhile. They are
//! acquired again before the attempt. A fallback acquires a connection permit and a reservation of
//! the next transport.
//!
//! The last three belong to the modules `rendering`, `transports` and `notices`.

mod allowance;
mod connections;
mod cpu;
mod limits;
mod slots;

pub(crate) use self::{
    allowance::{Allowance, AllowanceReply, AllowanceRequest},
    connections::{ConnectionPermit, ConnectionPermits},
    cpu::CpuLimiter,
    limits::{Limits, SendReservation, TakeOutcome},
    slots::{FreeSlots, Slot, Slots},
};
