//! `/metrics`, on a port of its own.

use std::{convert::Infallible, sync::Arc, time::Duration};

use http::{Response, StatusCode};
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use modes::Body;
use tokio::{net::TcpListener, time::sleep};

use crate::{
    account::Sent,
    connection::{Connection, Timeouts},
    metrics,
    phase::Phase,
    respond,
    router::Router,
};

/// `/metrics` and nothing else.
pub(super) async fn serve(listener: TcpListener, router: Arc<Router>) {
    let timeouts = Timeouts {
        head: Some(Duration::from_secs(5)),
        idle: Some(Duration::from_secs(120)),
        write: Some(Duration::from_secs(5)),
    };
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            sleep(Duration::from_millis(100)).await;
            continue;
        };
        let router = Arc::clone(&router);
        tokio::spawn(async move {
            let phase = Arc::new(Phase::default());
            let io = TokioIo::new(Connection::new(stream, timeouts, Arc::clone(&phase)));
            let service = service_fn(|request: http::Request<hyper::body::Incoming>| {
                phase.begin_call(request.version());
                let response = scrape(&router, request.uri().path());
                phase.end_call(None);
                async move { Ok::<_, Infallible>(response) }
            });
            let served =
                http1::Builder::new().header_read_timeout(None).serve_connection(io, service);
            let _ = served.await;
        });
    }
}

fn scrape(router: &Router, path: &str) -> Response<Sent> {
    if path != "/metrics" {
        return respond::bare(StatusCode::NOT_FOUND).map(Sent::unaccounted);
    }
    let mut response = Response::new(Body::full(router.ledger.render()));
    let content_type = http::HeaderValue::from_static(metrics::CONTENT_TYPE);
    response.headers_mut().insert(http::header::CONTENT_TYPE, content_type);
    response.map(Sent::unaccounted)
}
