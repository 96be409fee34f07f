//! An SMTP client session: pipelined, a time limit for each phase, a result for each recipient
