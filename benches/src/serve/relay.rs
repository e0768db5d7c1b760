//! Bytes from one socket to another and back, without a look at them: the floor of mode=http.
//! Every client has a connection of its own to the function.

use std::io;

use rustix::event::epoll::EventFlags;

use super::{Session, Side, Socket, Watch, closed};

/// Where the function listens.
#[derive(Clone, Debug)]
pub struct Function {
    /// `ADDRESS:PORT` or `unix:PATH`.
    address: String,
    buffer: Vec<u8>,
}

impl Function {
    /// At this address.
    #[must_use]
    pub fn at(address: &str) -> Self {
        Self { address: address.to_owned(), buffer: vec![0; 256 * 1024] }
    }
}

/// One pair of connections. Writes wait for their reader: a relay holds one piece at a time.
#[derive(Debug)]
pub struct Relay {
    client: Socket,
    function: Socket,
}

impl Session for Relay {
    type Shared = Function;

    fn open(client: Socket, shared: &Function, watch: &Watch<'_>) -> io::Result<Self> {
        let function = Socket::connect(&shared.address)?;
        watch.add(Side::Client, &client, EventFlags::IN)?;
        watch.add(Side::Other, &function, EventFlags::IN)?;
        Ok(Self { client, function })
    }

    fn advance(&mut self, side: Side, shared: &mut Function, _: &Watch<'_>) -> io::Result<()> {
        let (from, to) = match side {
            Side::Client => (&mut self.client, &mut self.function),
            Side::Other => (&mut self.function, &mut self.client),
        };
        let read = from.read(&mut shared.buffer)?;
        if read == 0 {
            return Err(closed());
        }
        let mut rest = &shared.buffer[..read];
        while !rest.is_empty() {
            rest = &rest[to.write(rest)?..];
        }
        Ok(())
    }
}
