//! The loading side: HTTP/1.1 over TCP, cheap enough not to be what is measured.

mod closed;
mod connection;
mod decoder;
mod open;
mod probe;
mod request;
mod sample;

pub use self::{
    closed::{Closed, Until},
    decoder::{Broken, Decoder, Progress},
    open::Open,
    probe::Probe,
    request::Request,
    sample::Sample,
};
