//! One client's connection, from its first byte to its end, request by request.
//!
//! Who answers is up to an [`Answer`]; this knows when hyper is needed, when the connection rests,
//! and how it ends when the [`Doors`] close.

use std::{
    convert::Infallible,
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use http::{Request, Response, StatusCode};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, time::timeout};

use crate::{
    account::{Account, Ledger, Sent},
    connection::{self, Connection, Timeouts, rest::Lender},
    doors::{Doors, LAST_MOMENT},
    log::Call,
    metrics,
    phase::Phase,
};

/// The largest request head, in bytes (Go's default and its slack) and in headers.
const HEAD_BYTES: usize = 1024 * 1024 + 4096;
const HEAD_FIELDS: usize = 512;

/// Who answers the requests of a connection.
pub trait Answer: Sync {
    /// Answers one request, on the connection of `account`, whose phase is that of a call.
    fn answer(
        &self,
        request: Request<Incoming>,
        account: &Arc<Account>,
    ) -> impl Future<Output = Response<Sent>> + Send;
}

/// Serves a connection to its end.
pub async fn serve(
    stream: TcpStream,
    answer: &impl Answer,
    ledger: &Arc<Ledger>,
    timeouts: Timeouts,
    doors: &Doors,
) {
    let phase = Arc::new(Phase::default());
    let mut connection = Connection::new(stream, timeouts, Arc::clone(&phase));
    let account = Arc::new(Account::new(Arc::clone(ledger), phase));
    loop {
        let in_time = tokio::select! {
            in_time = connection.rest() => in_time,
            () = doors.closing.begun() => true,
        };
        if !in_time {
            return;
        }
        // Boxed: a connection that rests has no room for it.
        match Box::pin(converse(connection, answer, &account, doors)).await {
            Some(rests) => connection = rests,
            None => return,
        }
    }
}

/// Serves until there is nothing more to do, or nothing for the moment: then the connection comes
/// back.
async fn converse(
    connection: Connection,
    answer: &impl Answer,
    account: &Arc<Account>,
    doors: &Doors,
) -> Option<Connection> {
    let phase = &account.phase;
    let lender = Lender::default();
    let io = TokioIo::new(lender.lend(connection));
    let service = service_fn(|request: Request<Incoming>| {
        // At once: hyper asks for more bytes before it polls the answer, and would start the timer
        // of a head that is not complete.
        phase.begin_call(request.version());
        async { Ok::<_, Infallible>(answer.answer(request, account).await) }
    });
    let connection = http1::Builder::new()
        .header_read_timeout(None)
        .title_case_headers(true)
        .max_headers(HEAD_FIELDS)
        .max_header_size(HEAD_BYTES)
        .max_buf_size(HEAD_BYTES + 64 * 1024)
        .serve_connection(io, service)
        .with_upgrades();
    let result = {
        let mut connection = pin!(connection);
        tokio::select! {
            result = connection.as_mut() => result,
            () = doors.closing.begun() => {
                // A request may have been on its way when the doors closed.
                let last = timeout(LAST_MOMENT, connection.as_mut());
                match if phase.is_reading_head() { last.await.ok() } else { None } {
                    Some(result) => result,
                    None if phase.is_reading_head() => return None,
                    None => {
                        connection.as_mut().graceful_shutdown();
                        tokio::select! {
                            result = connection.as_mut() => result,
                            () = doors.cut.cancelled() => {
                                phase.cut("the server stopped before it was complete");
                                return None;
                            }
                        }
                    }
                }
            }
        }
    };
    let returned = lender.returned();
    if returned.is_none() {
        unreadable(&account.ledger, phase, result.err().as_ref());
    }
    returned
}

/// The line and the count of a request that never became a call: what hyper or the connection
/// answered by itself.
fn unreadable(ledger: &Ledger, phase: &Phase, error: Option<&hyper::Error>) {
    let text = error.map_or_else(String::new, ToString::to_string);
    let (status, bytes, why) = match (phase.refusal(), error) {
        (Some(408), _) => (408, connection::LATE_HEAD.len(), connection::LATE_HEAD.to_owned()),
        (Some(505), _) => (505, connection::HTTP_1_ONLY.len(), connection::HTTP_1_ONLY.to_owned()),
        (Some(status), _) => (status, 0, text),
        // hyper's answer followed a response in one write.
        (None, Some(error)) if error.is_parse_too_large() => (431, 0, text),
        (None, Some(error)) if error.is_parse() => (400, 0, text),
        (None, _) => return,
    };
    let code = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
    ledger.metrics.record(code, metrics::MethodLabel::Unknown, Duration::ZERO);
    ledger.log.call(&Call {
        method: "-",
        target: "-",
        status,
        bytes: bytes as u64,
        at: Instant::now(),
        took: Duration::ZERO,
        call_id: None,
        error: Some(&why),
    });
}
