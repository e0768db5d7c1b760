//! One blocking connection, for one request at a time that is looked at closely.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use super::{Decoder, Progress, Request};
use crate::{
    Result,
    pattern::{Check, Expected},
};

/// See the module.
#[derive(Debug)]
pub struct Probe {
    stream: TcpStream,
    decoder: Decoder,
}

impl Probe {
    /// Connects.
    pub fn connect(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        Ok(Self { stream, decoder: Decoder::default() })
    }

    /// One request; hands on the body as it arrives and returns the status.
    pub fn call(&mut self, request: &Request, mut body: impl FnMut(&[u8])) -> Result<u16> {
        self.stream.write_all(request.bytes())?;
        let mut buffer = vec![0; 256 * 1024];
        loop {
            let progress = match self.stream.read(&mut buffer)? {
                0 => self.decoder.end()?,
                read => self.decoder.feed(&buffer[..read], &mut body)?,
            };
            if let Progress::Complete(status) = progress {
                return Ok(status);
            }
        }
    }

    /// One request whose answer has to be 200 with this body.
    pub fn expect(&mut self, request: &Request, expected: Expected) -> Result<()> {
        let mut check = Check::new(expected);
        let status = self.call(request, |piece| check.feed(piece))?;
        if status != 200 {
            return Err(format!("status {status}").into());
        }
        Ok(check.finish()?)
    }
}
