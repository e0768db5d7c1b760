//! `/system/logs`: one JSON object a line, as it comes.

use axum::{
    body::{Body, Bytes},
    extract::{Query, State},
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
};
use futures_util::{StreamExt as _, stream};
use serde::Deserialize;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{Api, functions};
use crate::{
    error::{Error, Result},
    logs::{self, Message},
    provider::Lines,
};

#[derive(Debug, Default, Deserialize)]
pub(super) struct Asked {
    name: Option<String>,
    namespace: Option<String>,
    instance: Option<String>,
    tail: Option<String>,
    follow: Option<String>,
    since: Option<String>,
}

pub(super) async fn get(State(api): State<Api>, Query(asked): Query<Asked>) -> Result<Response> {
    let query = match asked.query() {
        Ok(query) => query,
        Err(text) => return Ok((StatusCode::UNPROCESSABLE_ENTITY, text).into_response()),
    };
    let Some(name) = asked.name.as_deref().filter(|name| !name.is_empty()) else {
        let text = "the query has no name: say whose logs, with ?name=FUNCTION".to_owned();
        return Err(Error::Invalid(text));
    };
    let id = functions::named(name, asked.namespace.as_deref())?;
    if api.registry.get(&id).is_none() {
        return Err(functions::unknown(&id));
    }
    let is_endless = query.lines.follow;
    let messages = logs::open(api.provider, id, query).await?;
    let lines = stream::unfold(messages, |mut messages| async move {
        let message = messages.recv().await?;
        Some((Ok::<_, std::convert::Infallible>(line(&message)), messages))
    });
    let closing = api.closing.cancelled_owned();
    let lines = lines.take_until(async move {
        closing.await;
        if !is_endless {
            // What is there already has an end of its own.
            std::future::pending::<()>().await;
        }
    });
    let json = [(header::CONTENT_TYPE, "application/x-ndjson")];
    Ok((json, Body::from_stream(lines)).into_response())
}

fn line(message: &Message) -> Bytes {
    // Texts and a time always have a JSON form.
    let mut line = serde_json::to_vec(message).unwrap_or_default();
    line.push(b'\n');
    line.into()
}

impl Asked {
    fn query(&self) -> std::result::Result<logs::Query, String> {
        let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        let tail = match given(&self.tail) {
            None => None,
            Some(text) => text
                .parse::<i64>()
                .map(|tail| usize::try_from(tail).ok().filter(|tail| *tail > 0))
                .map_err(|_| format!("tail={text:?} is no number of lines\n"))?,
        };
        let since = match given(&self.since) {
            None => None,
            Some(text) => Some(OffsetDateTime::parse(&text, &Rfc3339).map_err(|_| {
                format!("since={text:?} is no time: write it as 2006-01-02T15:04:05Z\n")
            })?),
        };
        let follow = matches!(self.follow.as_deref(), Some("true" | "1"));
        Ok(logs::Query { instance: given(&self.instance), lines: Lines { since, tail, follow } })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(tail: &str, since: &str) -> std::result::Result<logs::Query, String> {
        let text = |text: &str| Some(text.to_owned());
        Asked { tail: text(tail), since: text(since), follow: text("1"), ..Asked::default() }
            .query()
    }

    #[test]
    fn what_faas_cli_asks_for_is_understood() {
        let all = query("-1", "").unwrap();
        assert_eq!((all.lines.tail, all.lines.since, all.lines.follow), (None, None, true));
        assert_eq!(query("5", "2026-01-02T03:04:05Z").unwrap().lines.tail, Some(5));
    }

    #[test]
    fn what_is_no_number_or_time_is_named() {
        assert!(query("five", "").unwrap_err().contains("five"));
        assert!(query("", "yesterday").unwrap_err().contains("yesterday"));
    }
}
