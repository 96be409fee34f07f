//! Access control: passwords, sessions, proxies, and requests of other sites.
//!
//! The middleware in `admission.rs` applies it to each request.

mod access;
mod headers;
pub(crate) mod host;
mod image;
mod log;
mod password;
mod password_limiter;
pub(crate) mod proxy;
pub(crate) mod session;
pub(crate) mod site;
mod visitor;

pub(crate) use self::{
    access::{AccessGuard, PasswordFrom, PasswordRefusal},
    headers::{add_headers, set_headers},
    image::ImageProof,
    session::SESSION,
    visitor::Visitor,
};
