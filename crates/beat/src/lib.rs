//! Turns schedules into mail when they are due
