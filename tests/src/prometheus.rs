//! The text format of metrics (Prometheus exposition format 0.0.4).

use std::collections::BTreeMap;

/// One scrape.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// The whole text, for checks of `# HELP` and `# TYPE` lines.
    pub text: String,
    samples: BTreeMap<(String, BTreeMap<String, String>), f64>,
}

impl Metrics {
    /// # Panics
    /// When a line is neither a comment nor a sample.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let samples = text
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .map(|line| sample(line).unwrap_or_else(|| panic!("not a sample: {line:?}")))
            .collect();
        Self { text: text.to_owned(), samples }
    }

    /// The value of the sample with exactly these labels, in any order; `None` when there is none.
    #[must_use]
    pub fn get(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let labels =
            labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        self.samples.get(&(name.to_owned(), labels)).copied()
    }

    /// `http_requests_total` for a status and a lower-case method; 0 when it was never counted.
    #[must_use]
    pub fn requests(&self, code: u16, method: &str) -> f64 {
        let code = code.to_string();
        self.get("http_requests_total", &[("code", &code), ("method", method)]).unwrap_or(0.0)
    }

    /// `http_requests_total` over every label.
    #[must_use]
    pub fn all_requests(&self) -> f64 {
        self.series("http_requests_total").map(|(_, value)| value).sum()
    }

    /// Every sample of one name.
    pub fn series(&self, name: &str) -> impl Iterator<Item = (&BTreeMap<String, String>, f64)> {
        self.samples
            .iter()
            .filter(move |((own, _), _)| own == name)
            .map(|((_, labels), value)| (labels, *value))
    }
}

type Sample = ((String, BTreeMap<String, String>), f64);

fn sample(line: &str) -> Option<Sample> {
    let (name_and_labels, value) = line.rsplit_once(' ')?;
    let value = match value {
        "+Inf" => f64::INFINITY,
        other => other.parse().ok()?,
    };
    let Some((name, labels)) = name_and_labels.split_once('{') else {
        return Some(((name_and_labels.to_owned(), BTreeMap::new()), value));
    };
    let labels = labels
        .strip_suffix('}')?
        .split(',')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (key, quoted) = pair.split_once('=')?;
            let value = quoted.strip_prefix('"')?.strip_suffix('"')?;
            Some((key.to_owned(), value.to_owned()))
        })
        .collect::<Option<_>>()?;
    Some(((name.to_owned(), labels), value))
}
