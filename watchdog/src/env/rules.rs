//! Checks that need more than one setting, or the whole environment: what is missing, what
//! collides, and what may have been meant differently.

use std::fs;

use super::report::quoted;
use super::{Environment, Mistake, Notice, Reading, Source, table};
use crate::settings::{Mode, Settings};

/// Adds the mistakes that no single variable shows, and decides which defaults must not stand in
/// for a refused value.
pub(super) fn check(reading: &mut Reading<'_>) {
    let Settings { mode, port, metrics_port, jwt_auth, .. } = reading.settings;
    // Then the port is nobody's.
    let port = if reading.settings.socket.is_some() { 0 } else { port };

    // Another mode is another program, and without authentication the function is open: no default
    // is a stand-in.
    reading.make_fatal("mode");
    reading.make_fatal("jwt_auth");

    if mode.has_process() && reading.settings.fprocess.is_empty() {
        let problem =
            format!("is not set and mode={mode} needs a command, such as fprocess=\"cat\"");
        reading.missing("function_process", "fprocess", &problem);
    }
    if mode == Mode::Http && reading.settings.upstream.is_none() {
        let problem = "is not set and mode=http needs the address the function listens on, \
                       such as http://127.0.0.1:3000";
        reading.missing("http_upstream_url", "http_upstream_url", problem);
    }
    if port != 0 && metrics_port == Some(port) {
        let advice = "the port of the function too; give one of them another, \
                      or switch metrics off with 0";
        let (value, problem) = if reading.sources.contains_key("metrics_port") {
            (Some(port.to_string()), format!("is {advice}"))
        } else {
            (None, format!("is {port} by default, {advice}"))
        };
        reading.fatal("metrics_port", "metrics_port", value, &problem);
    }
    if reading.settings.warm_spares > 0 {
        check_spares(reading);
    }
    if jwt_auth {
        check_identity(reading);
    }
}

/// A spare is started before its call, so nothing of the call can be in its environment.
fn check_spares(reading: &mut Reading<'_>) {
    let Settings { mode, warm_spares, cgi_headers, .. } = reading.settings;
    let problem = if !mode.forks() {
        format!("has no meaning in mode={mode}, which starts no process for a call")
    } else if cgi_headers {
        let why =
            if reading.sources.contains_key("cgi_headers") { "is on" } else { "is the default" };
        format!(
            "cannot be used with cgi_headers, which {why} and gives the process of each call an \
             environment of its own; set cgi_headers=false if the function needs no Http_* variable"
        )
    } else {
        return;
    };
    reading.fatal("warm_spares", "warm_spares", Some(warm_spares.to_string()), &problem);
}

fn check_identity(reading: &mut Reading<'_>) {
    if reading.settings.function_name.is_none() {
        let problem = "is not set and jwt_auth needs the function's name";
        reading.missing("OPENFAAS_NAME", "OPENFAAS_NAME", problem);
    }
    if reading.settings.function_namespace.is_some() {
        return;
    }
    let file = &reading.environment.namespace_file;
    let namespace = fs::read_to_string(file).unwrap_or_default();
    match namespace.trim() {
        // A value that was refused is not replaced by another namespace in silence.
        _ if reading.is_mistaken("OPENFAAS_NAMESPACE") => reading.make_fatal("OPENFAAS_NAMESPACE"),
        "" => {
            let problem = format!(
                "is not set, jwt_auth needs the function's namespace, and {} does not give it",
                file.display()
            );
            reading.missing("OPENFAAS_NAMESPACE", "OPENFAAS_NAMESPACE", &problem);
        }
        namespace => {
            reading.settings.function_namespace = Some(namespace.to_owned());
            let source = Source::File(file.clone());
            reading.sources.insert("OPENFAAS_NAMESPACE", source);
        }
    }
}

/// Notes what is allowed but may not be what was meant.
pub(super) fn notices(reading: &Reading<'_>) -> Vec<Notice> {
    let settings = &reading.settings;
    let mut notices = Vec::new();
    let mut note = |text: String| notices.push(Notice(text));

    if settings.mode.forks() && settings.upstream.is_some() {
        note(format!(
            "http_upstream_url has no effect in mode={}; \
             a function that is an HTTP server needs mode=http",
            settings.mode
        ));
    }
    let idle: Vec<&str> = reading.without_effect().collect();
    if !idle.is_empty() {
        note(format!("no effect in mode={}: {}", settings.mode, idle.join(", ")));
    }
    if settings.max_queue > 0 && settings.max_inflight.is_none() {
        note("max_queue has no effect without max_inflight".to_owned());
    }
    if settings.warm_spares == 0 && reading.sources.contains_key("warm_spares_max_age") {
        note("warm_spares_max_age has no effect without warm_spares".to_owned());
    }
    if let Some(path) = &settings.ready_path
        && let Some(Source::Variable { value, .. }) = reading.sources.get("ready_path")
        && value != path
    {
        note(format!("ready_path={} has no leading slash and is read as {path:?}", quoted(value)));
    }
    for variable in table::variables() {
        let mut set =
            variable.names.iter().filter_map(|name| Some((name, reading.environment.value(name)?)));
        let Some((winner, taken)) = set.next() else {
            continue;
        };
        for (name, _) in set.filter(|(_, value)| *value != taken) {
            note(format!("{name} is ignored because {winner} is set too"));
        }
    }
    for (name, meant) in misspelt(reading.environment) {
        note(format!("{name} is not a setting of the watchdog; did you mean {meant}?"));
    }
    for entry in &reading.environment.dropped {
        note(format!(
            "environment entry {} has no name and is not passed on",
            quoted(&entry.to_string_lossy())
        ));
    }
    notices
}

/// Variables that are one typing mistake away from one of ours. Only lower-case names of several
/// words are looked at: the environment is full of other programs' variables, and short names are
/// all near one another.
fn misspelt(environment: &Environment) -> impl Iterator<Item = (&str, &'static str)> {
    let ours = || table::variables().flat_map(|variable| variable.names.iter().copied());
    environment
        .base()
        .iter()
        .filter_map(|(name, _)| name.to_str())
        .filter(|name| name.contains('_') && !name.contains(|c: char| c.is_uppercase()))
        .filter(move |name| !ours().any(|known| known == *name))
        .filter_map(move |name| Some((name, ours().find(|known| is_one_edit_apart(name, known))?)))
}

/// Whether one text becomes the other by adding, dropping or changing one character, or by swapping
/// two neighbours.
fn is_one_edit_apart(left: &str, right: &str) -> bool {
    let (left, right) = (left.as_bytes(), right.as_bytes());
    let front = left.iter().zip(right).take_while(|(a, b)| a == b).count();
    let (left, right) = (&left[front..], &right[front..]);
    let back = left.iter().rev().zip(right.iter().rev()).take_while(|(a, b)| a == b).count();
    match (&left[..left.len() - back], &right[..right.len() - back]) {
        ([_], [] | [_]) | ([], [_]) => true,
        ([a, b], [c, d]) => a == d && b == c,
        _ => false,
    }
}

// === impl Reading ===

impl Reading<'_> {
    fn is_mistaken(&self, setting: &str) -> bool {
        self.mistakes.iter().any(|mistake| mistake.setting == setting)
    }

    /// Variables that ask for something the mode has no use for. Images set many that only repeat a
    /// default: those are nobody's mistake. `http_upstream_url` has a note of its own.
    fn without_effect(&self) -> impl Iterator<Item = &'static str> {
        let defaults = Settings::defaults(self.settings.mode);
        table::variables()
            .filter(|row| !row.modes.contains(&self.settings.mode))
            .filter(|row| row.name() != "http_upstream_url" || !self.settings.mode.forks())
            .filter(move |row| (row.show)(&self.settings) != (row.show)(&defaults))
            .filter_map(|row| match self.sources.get(row.name()) {
                Some(Source::Variable { name, .. }) => Some(*name),
                _ => None,
            })
    }

    fn make_fatal(&mut self, setting: &str) {
        for mistake in self.mistakes.iter_mut().filter(|mistake| mistake.setting == setting) {
            mistake.fatal = true;
        }
    }

    /// Reports a variable that has to be set; if it is and was refused, that report becomes fatal
    /// instead.
    fn missing(&mut self, setting: &'static str, variable: &'static str, problem: &str) {
        if self.is_mistaken(setting) {
            self.make_fatal(setting);
        } else {
            self.fatal(setting, variable, None, problem);
        }
    }

    fn fatal(
        &mut self,
        setting: &'static str,
        variable: &'static str,
        value: Option<String>,
        problem: &str,
    ) {
        let accepted =
            table::variables().find(|row| row.name() == setting).map_or("", |row| row.accepts);
        self.mistakes.push(Mistake {
            setting,
            variable,
            value,
            problem: problem.to_owned(),
            accepted,
            kept: String::new(),
            fatal: true,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_typing_mistake_is_recognised() {
        for near in ["exec_timout", "exec_timeoutt", "exec_timeuot", "exec-timeout", "xec_timeout"]
        {
            assert!(is_one_edit_apart(near, "exec_timeout"), "{near}");
            assert!(is_one_edit_apart("exec_timeout", near), "{near}");
        }
        for far in ["exec_timeout", "exec_timot", "exec", "", "read_timeout", "xece_timeout"] {
            assert!(!is_one_edit_apart(far, "exec_timeout"), "{far}");
        }
    }
}
