//! A web dashboard for Postroom: what runs, what failed, what became of a mail
