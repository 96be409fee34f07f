//! From template to MIME to transport to verdict
