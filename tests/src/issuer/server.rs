//! The least of an HTTP server: one request a connection, one thread for each.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use serde_json::Value;

/// A client that says nothing for so long is given up.
const SILENCE: Duration = Duration::from_secs(5);

/// Answers connections, each in a thread that ends with it. Dropping it closes the port.
#[derive(Debug)]
pub(super) struct Server {
    address: SocketAddr,
    stopped: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Server {
    pub(super) fn start(
        listener: TcpListener,
        answer: impl Fn(TcpStream) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        let address = listener.local_addr().expect("the address it was bound to");
        let stopped = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stopped);
        let answer = Arc::new(answer);
        let thread = thread::spawn(move || {
            for stream in listener.incoming() {
                if told.load(Ordering::SeqCst) {
                    return;
                }
                let answer = Arc::clone(&answer);
                // A stranger that found the port by chance and is silent must not keep it from others.
                thread::spawn(move || {
                    // A client that leaves early has its own reasons.
                    let _ = stream.and_then(|stream| {
                        stream.set_read_timeout(Some(SILENCE))?;
                        answer(stream)
                    });
                });
            }
        });
        Self { address, stopped, thread: Some(thread) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        // Wakes the thread, which then lets the port go.
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Reads a request to the end of its head; gives its path.
pub(super) fn read_path(stream: &mut impl Read) -> io::Result<String> {
    let mut lines = BufReader::new(stream).lines();
    let first = lines.next().transpose()?.unwrap_or_default();
    for line in lines {
        if line?.is_empty() {
            break;
        }
    }
    Ok(first.split(' ').nth(1).unwrap_or_default().to_owned())
}

/// Answers with a document, or with 404 for `null`.
pub(super) fn write_document(stream: &mut impl Write, document: &Value) -> io::Result<()> {
    let status = if document.is_null() { "404 Not Found" } else { "200 OK" };
    let body = document.to_string();
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n"
    );
    stream.write_all((head + &body).as_bytes())?;
    stream.flush()
}
