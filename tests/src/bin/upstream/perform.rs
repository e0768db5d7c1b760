//! One step of what a request asks for.

use std::{
    io::{self, Write},
    net::Shutdown,
    process, thread,
    time::Duration,
};

use e2e::play::{Step, pattern};

use crate::{
    append,
    connection::{Closed, Connection, Request},
    listener::unlisten,
    wait_for,
};

/// Does one step; an error means that the connection is over.
pub(crate) fn perform(
    step: &Step,
    connection: &mut Connection,
    request: &mut Request,
) -> Result<(), Closed> {
    match step {
        Step::Body => connection.read_body(request)?,
        Step::Echo => {
            let echo = [request.head.as_slice(), &request.raw_body].concat();
            ok(connection, &echo, request.is_head())?;
        }
        Step::Reply => ok(connection, &request.body, request.is_head())?,
        Step::Send(bytes) => connection.send(bytes)?,
        Step::Fill(size) => connection.send(&pattern(*size))?,
        Step::Wait(file) => wait_for(file),
        Step::Touch(file) => append(file, b""),
        Step::Pause(millis) => thread::sleep(Duration::from_millis(*millis)),
        Step::Close => close(connection)?,
        Step::Reset => {
            let _ = connection.writer.set_linger(Some(Duration::ZERO));
            return Err(Closed);
        }
        Step::Copy => {
            io::copy(&mut connection.reader, &mut connection.writer)?;
            close(connection)?;
        }
        Step::Eof => {
            // A reset ends it as well.
            let _ = io::copy(&mut connection.reader, &mut io::sink());
        }
        Step::CloseIfReused if connection.count > 1 => close(connection)?,
        Step::CloseIfReused => {}
        Step::Unlisten => unlisten(&connection.address),
        Step::Stdout(bytes) => write_out(&mut io::stdout(), bytes)?,
        Step::Stderr(bytes) => write_out(&mut io::stderr(), bytes)?,
        Step::LongLine(size) => {
            let mut line = vec![b'x'; *size];
            line.push(b'\n');
            write_out(&mut io::stdout(), &line)?;
        }
        Step::Exit(code) => process::exit(i32::from(*code)),
    }
    Ok(())
}

fn ok(connection: &mut Connection, body: &[u8], without_body: bool) -> Result<(), Closed> {
    let mut response = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    if !without_body {
        response.extend_from_slice(body);
    }
    connection.send(&response)
}

/// Sends a FIN and lets the steps go on; reading what is left keeps the kernel from turning it into
/// a RST (RFC 9112 section 9.6).
fn close(connection: &mut Connection) -> Result<(), Closed> {
    connection.writer.shutdown(Shutdown::Write)?;
    Ok(())
}

fn write_out(stream: &mut impl Write, bytes: &[u8]) -> Result<(), Closed> {
    stream.write_all(bytes)?;
    Ok(stream.flush()?)
}
