//! Hostile mails: a mail that passes the checks can be sent by a worker and read by another parser.

mod agreement;
mod read_back;
