//! The text exposition format 0.0.4.
//!
//! Ours, because the `prometheus` crate's encoder cannot write untyped families, which three names of the monitoring
//! guide need.
//!
//! **Invariant:** each family is written once, `HELP` and `TYPE` before its samples.

use std::fmt::{Display, Write as _};

use prometheus::proto::{MetricFamily, MetricType};

/// What a family's numbers mean.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Untyped,
    Histogram,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Untyped => "untyped",
            Self::Histogram => "histogram",
        }
    }
}

/// An exposition being written.
#[derive(Debug)]
pub(super) struct Body(String);

/// Writes into the exposition; a string takes whatever comes.
macro_rules! put {
    ($body:expr, $($what:tt)*) => {{
        let _cannot_fail = write!($body.0, $($what)*);
    }};
}

impl Body {
    /// An empty one, with room for a usual scrape.
    pub(super) fn new() -> Self {
        Self(String::with_capacity(128 * 1024))
    }

    pub(super) fn into_text(self) -> String {
        self.0
    }

    /// Begins a family.
    pub(super) fn family(&mut self, name: &str, kind: Kind, help: &str) {
        let help = help.replace('\\', "\\\\").replace('\n', "\\n");
        put!(
            self,
            "# HELP {name} {help}\n# TYPE {name} {}\n",
            kind.as_str()
        );
    }

    /// Writes a sample of the family that was begun.
    pub(super) fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.0.push_str(name);
        self.labels(labels);
        put!(self, " {value}\n");
    }

    /// A family of one sample.
    pub(super) fn one(&mut self, name: &str, kind: Kind, help: &str, value: impl Display) {
        self.family(name, kind, help);
        self.sample(name, &[], value);
    }

    /// A family of one sample that is no whole number.
    pub(super) fn float(&mut self, name: &str, kind: Kind, help: &str, value: f64) {
        self.one(name, kind, help, Number(value));
    }

    /// Families that the registry's types have collected.
    pub(super) fn collected(&mut self, families: &[MetricFamily]) {
        for family in families {
            let kind = match family.get_field_type() {
                MetricType::COUNTER => Kind::Counter,
                MetricType::GAUGE => Kind::Gauge,
                MetricType::HISTOGRAM => Kind::Histogram,
                MetricType::SUMMARY | MetricType::UNTYPED => Kind::Untyped,
            };
            self.family(family.name(), kind, family.help());
            for metric in family.get_metric() {
                let labels: Vec<_> = metric
                    .get_label()
                    .iter()
                    .map(|pair| (pair.name(), pair.value()))
                    .collect();
                match kind {
                    Kind::Histogram => {
                        self.histogram(family.name(), &labels, metric.get_histogram())
                    }
                    Kind::Counter => self.sample(
                        family.name(),
                        &labels,
                        Number(metric.get_counter().get_value()),
                    ),
                    Kind::Gauge | Kind::Untyped => self.sample(
                        family.name(),
                        &labels,
                        Number(metric.get_gauge().get_value()),
                    ),
                }
            }
        }
    }

    fn histogram(
        &mut self,
        name: &str,
        labels: &[(&str, &str)],
        histogram: &prometheus::proto::Histogram,
    ) {
        let bucket_name = format!("{name}_bucket");
        let count = histogram.get_sample_count();
        for bucket in histogram.get_bucket() {
            let bound = Number(bucket.upper_bound()).to_string();
            self.bucket(&bucket_name, labels, &bound, bucket.cumulative_count());
        }
        self.bucket(&bucket_name, labels, "+Inf", count);
        self.sample(
            &format!("{name}_sum"),
            labels,
            Number(histogram.get_sample_sum()),
        );
        self.sample(&format!("{name}_count"), labels, count);
    }

    fn bucket(&mut self, name: &str, labels: &[(&str, &str)], bound: &str, count: u64) {
        let labels: Vec<_> = labels.iter().copied().chain([("le", bound)]).collect();
        self.sample(name, &labels, count);
    }

    fn labels(&mut self, labels: &[(&str, &str)]) {
        for (index, (name, value)) in labels.iter().enumerate() {
            self.0.push(if index == 0 { '{' } else { ',' });
            put!(self, "{name}=\"");
            for char in value.chars() {
                match char {
                    '\\' => self.0.push_str("\\\\"),
                    '"' => self.0.push_str("\\\""),
                    '\n' => self.0.push_str("\\n"),
                    other => self.0.push(other),
                }
            }
            self.0.push('"');
        }
        if !labels.is_empty() {
            self.0.push('}');
        }
    }
}

/// A float as the format wants it.
struct Number(f64);

impl Display for Number {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            value if value.is_nan() => f.write_str("NaN"),
            f64::INFINITY => f.write_str("+Inf"),
            f64::NEG_INFINITY => f.write_str("-Inf"),
            value => Display::fmt(&value, f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_what_would_break_a_line() {
        let mut body = Body::new();
        body.family("m", Kind::Gauge, "a\\b\nc");
        body.sample("m", &[("l", "a\"b\\c\nd")], Number(f64::INFINITY));
        assert_eq!(
            body.into_text(),
            "# HELP m a\\\\b\\nc\n# TYPE m gauge\nm{l=\"a\\\"b\\\\c\\nd\"} +Inf\n"
        );
    }
}
