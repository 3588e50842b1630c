//! Writing an exposition: the text format 0.0.4, or OpenMetrics 1.0.0.
//!
//! Ours, because the `prometheus` crate's encoder can write neither untyped families, which three names of the
//! monitoring guide need, nor exemplars. Both formats come from the same calls and so have the same series with the same
//! values; they differ in how a family is announced and in the end mark, and exemplars stand in OpenMetrics alone.
//!
//! A bound of a histogram is written as OpenMetrics and Prometheus 3 write it (`1.0`, `1e+06`) in both formats, since it
//! is a label: otherwise a scraper that changes its mind about the format would see other series.
//!
//! **Invariant:** each family is written once, `HELP` and `TYPE` before its samples.

use std::fmt::{Display, Write as _};

/// The content type of the text format.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
/// The content type of OpenMetrics.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// How an exposition is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Prometheus text, 0.0.4.
    Text,
    /// OpenMetrics, 1.0.0.
    OpenMetrics,
}

impl Format {
    /// Its content type.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Text => TEXT,
            Self::OpenMetrics => OPEN_METRICS,
        }
    }
}

/// What a family's numbers mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Only grows; the name ends in `_total`.
    Counter,
    /// A counter beside a gauge of the same name without `_total`. OpenMetrics calls both families by that name, which
    /// it forbids, so there it is of unknown type.
    TwinCounter,
    Gauge,
    Untyped,
    Histogram,
}

impl Kind {
    fn word(self, format: Format) -> &'static str {
        match (self, format) {
            (Self::Counter, _) | (Self::TwinCounter, Format::Text) => "counter",
            (Self::Gauge, _) => "gauge",
            (Self::Histogram, _) => "histogram",
            (Self::Untyped, Format::Text) => "untyped",
            (Self::Untyped | Self::TwinCounter, Format::OpenMetrics) => "unknown",
        }
    }
}

/// A value as both formats write it.
pub(super) trait Value: Copy {
    fn put(&self, into: &mut String);
}

macro_rules! whole_numbers {
    ($($number:ty)*) => {$(
        impl Value for $number {
            fn put(&self, into: &mut String) {
                let _cannot_fail = write!(into, "{self}");
            }
        }
    )*};
}

whole_numbers!(i64 u64 u32 usize);

impl Value for f64 {
    fn put(&self, into: &mut String) {
        match *self {
            value if value.is_nan() => into.push_str("NaN"),
            Self::INFINITY => into.push_str("+Inf"),
            Self::NEG_INFINITY => into.push_str("-Inf"),
            value => {
                let _cannot_fail = write!(into, "{value}");
            }
        }
    }
}

impl Value for bool {
    fn put(&self, into: &mut String) {
        into.push(if *self { '1' } else { '0' });
    }
}

/// A distribution at one moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Snapshot<'a> {
    /// Upper bounds of the buckets, without the infinite one.
    pub(super) bounds: &'a [f64],
    /// For each bound, how many values were not above it.
    pub(super) cumulative: &'a [u64],
    /// How many values there were.
    pub(super) count: u64,
    /// Their sum.
    pub(super) sum: f64,
}

/// One of the values that a bucket counts, with what led to it.
#[derive(Debug, Clone)]
pub(super) struct Exemplar {
    /// The id of the request.
    pub(super) request_id: String,
    /// Its value.
    pub(super) value: f64,
    /// When, in Unix seconds.
    pub(super) at: f64,
}

/// An exposition being written.
#[derive(Debug)]
pub(super) struct Body {
    text: String,
    format: Format,
    /// The family that was begun.
    name: String,
    series: usize,
}

impl Body {
    /// An empty one, with room for a usual scrape.
    pub(super) fn new(format: Format) -> Self {
        Self {
            text: String::with_capacity(256 * 1024),
            format,
            name: String::new(),
            series: 0,
        }
    }

    /// The text, and how many series there are in it.
    pub(super) fn finish(mut self) -> (String, usize) {
        if self.format == Format::OpenMetrics {
            self.text.push_str("# EOF\n");
        }
        (self.text, self.series)
    }

    /// Begins a family. The help is one line.
    pub(super) fn family(&mut self, name: &str, kind: Kind, help: &str) {
        let announced = match (self.format, kind) {
            (Format::OpenMetrics, Kind::Counter) => name.strip_suffix("_total").unwrap_or(name),
            _ => name,
        };
        for (word, text) in [("HELP", help), ("TYPE", kind.word(self.format))] {
            self.text.push_str("# ");
            self.text.push_str(word);
            self.text.push(' ');
            self.text.push_str(announced);
            self.text.push(' ');
            self.text.push_str(text);
            self.text.push('\n');
        }
        self.name.clear();
        self.name.push_str(name);
    }

    /// Writes a sample of the family that was begun.
    pub(super) fn sample(&mut self, labels: &[(&str, &str)], value: impl Value) {
        self.begin("");
        if !labels.is_empty() {
            self.text.push('{');
            put_labels(&mut self.text, labels);
            self.text.push('}');
        }
        self.end(value);
    }

    /// The same for labels that were written before, by [`labels`], and one more.
    pub(super) fn sample_with(&mut self, labels: &str, more: (&str, &str), value: impl Value) {
        self.begin("");
        self.labels_and(labels, more);
        self.end(value);
    }

    /// A family of one sample.
    pub(super) fn one(&mut self, name: &str, kind: Kind, help: &str, value: impl Value) {
        self.family(name, kind, help);
        self.sample(&[], value);
    }

    /// Writes a distribution of the family that was begun.
    pub(super) fn histogram(&mut self, labels: &[(&str, &str)], snapshot: Snapshot<'_>) {
        let mut written = String::new();
        put_labels(&mut written, labels);
        self.histogram_with(&written, snapshot, |_| None);
    }

    /// The same for labels that were written before, with exemplars by bucket.
    pub(super) fn histogram_with(
        &mut self,
        labels: &str,
        snapshot: Snapshot<'_>,
        exemplar: impl Fn(usize) -> Option<Exemplar>,
    ) {
        let bounds = snapshot.bounds.iter().map(|bound| Bound(*bound));
        let infinite = (Bound(f64::INFINITY), snapshot.count);
        let buckets = bounds
            .zip(snapshot.cumulative.iter().copied())
            .chain([infinite]);
        let mut bound_text = String::new();
        for (index, (bound, count)) in buckets.enumerate() {
            bound_text.clear();
            let _cannot_fail = write!(bound_text, "{bound}");
            self.begin("_bucket");
            self.labels_and(labels, ("le", &bound_text));
            self.text.push(' ');
            count.put(&mut self.text);
            if self.format == Format::OpenMetrics
                && let Some(exemplar) = exemplar(index)
            {
                self.exemplar(&exemplar);
            }
            self.text.push('\n');
            self.series += 1;
        }
        self.begin("_sum");
        self.only(labels);
        self.end(snapshot.sum);
        self.begin("_count");
        self.only(labels);
        self.end(snapshot.count);
    }

    fn begin(&mut self, suffix: &str) {
        self.text.push_str(&self.name);
        self.text.push_str(suffix);
    }

    fn end(&mut self, value: impl Value) {
        self.text.push(' ');
        value.put(&mut self.text);
        self.text.push('\n');
        self.series += 1;
    }

    fn only(&mut self, labels: &str) {
        if !labels.is_empty() {
            self.text.push('{');
            self.text.push_str(labels);
            self.text.push('}');
        }
    }

    fn labels_and(&mut self, labels: &str, more: (&str, &str)) {
        self.text.push('{');
        self.text.push_str(labels);
        if !labels.is_empty() {
            self.text.push(',');
        }
        put_labels(&mut self.text, &[more]);
        self.text.push('}');
    }

    fn exemplar(&mut self, exemplar: &Exemplar) {
        self.text.push_str(" # {");
        put_labels(
            &mut self.text,
            &[("request_id", exemplar.request_id.as_str())],
        );
        self.text.push_str("} ");
        exemplar.value.put(&mut self.text);
        self.text.push(' ');
        let _cannot_fail = write!(self.text, "{:.3}", exemplar.at);
    }
}

/// Labels as they stand between the braces.
pub(super) fn labels(labels: &[(&str, &str)]) -> String {
    let mut text = String::new();
    put_labels(&mut text, labels);
    text
}

fn put_labels(into: &mut String, labels: &[(&str, &str)]) {
    for (index, (name, value)) in labels.iter().enumerate() {
        if index > 0 {
            into.push(',');
        }
        into.push_str(name);
        into.push_str("=\"");
        for char in value.chars() {
            match char {
                '\\' => into.push_str("\\\\"),
                '"' => into.push_str("\\\""),
                '\n' => into.push_str("\\n"),
                other => into.push(other),
            }
        }
        into.push('"');
    }
}

/// A bound in the form that OpenMetrics calls canonical.
struct Bound(f64);

impl Display for Bound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let value = self.0;
        if value == f64::INFINITY {
            return f.write_str("+Inf");
        }
        let size = value.abs();
        if size == 0.0 || (1e-4..1e6).contains(&size) {
            return write!(f, "{value:?}");
        }
        let text = format!("{value:e}");
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, digits) = match exponent.strip_prefix('-') {
            Some(digits) => ('-', digits),
            None => ('+', exponent),
        };
        write!(f, "{mantissa}e{sign}{digits:0>2}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(format: Format, write: impl Fn(&mut Body)) -> String {
        let mut body = Body::new(format);
        write(&mut body);
        body.finish().0
    }

    #[test]
    fn escapes_what_would_break_a_line() {
        let text = written(Format::Text, |body| {
            body.family("m", Kind::Gauge, "help");
            body.sample(&[("l", "a\"b\\c\nd")], f64::INFINITY);
        });
        assert_eq!(
            text,
            "# HELP m help\n# TYPE m gauge\nm{l=\"a\\\"b\\\\c\\nd\"} +Inf\n"
        );
    }

    #[test]
    fn the_formats_differ_in_how_they_announce_and_in_the_end() {
        let write = |body: &mut Body| {
            body.one("a_total", Kind::Counter, "A.", 1_u64);
            body.one("b_total", Kind::TwinCounter, "B.", 2_u64);
            body.one("b", Kind::Gauge, "B now.", 3_i64);
            body.one("c_total", Kind::Untyped, "C.", 4_usize);
        };
        assert_eq!(
            written(Format::Text, write),
            "# HELP a_total A.\n# TYPE a_total counter\na_total 1\n\
             # HELP b_total B.\n# TYPE b_total counter\nb_total 2\n\
             # HELP b B now.\n# TYPE b gauge\nb 3\n\
             # HELP c_total C.\n# TYPE c_total untyped\nc_total 4\n"
        );
        assert_eq!(
            written(Format::OpenMetrics, write),
            "# HELP a A.\n# TYPE a counter\na_total 1\n\
             # HELP b_total B.\n# TYPE b_total unknown\nb_total 2\n\
             # HELP b B now.\n# TYPE b gauge\nb 3\n\
             # HELP c_total C.\n# TYPE c_total unknown\nc_total 4\n# EOF\n"
        );
    }

    #[test]
    fn a_histogram_ends_in_all_there_were_and_has_exemplars_in_openmetrics_alone() {
        let snapshot = Snapshot {
            bounds: &[0.5, 1.0, 4_194_304.0],
            cumulative: &[1, 1, 2],
            count: 3,
            sum: 9.25,
        };
        let write = |body: &mut Body| {
            body.family("h", Kind::Histogram, "H.");
            body.histogram_with("a=\"b\"", snapshot, |index| {
                (index == 1).then(|| Exemplar {
                    request_id: "r1".to_owned(),
                    value: 0.75,
                    at: 12.5,
                })
            });
        };
        let plain = "h_bucket{a=\"b\",le=\"0.5\"} 1\nh_bucket{a=\"b\",le=\"1.0\"} 1\n\
             h_bucket{a=\"b\",le=\"4.194304e+06\"} 2\nh_bucket{a=\"b\",le=\"+Inf\"} 3\nh_sum{a=\"b\"} 9.25\nh_count{a=\"b\"} 3\n";
        assert_eq!(
            written(Format::Text, write),
            format!("# HELP h H.\n# TYPE h histogram\n{plain}")
        );
        let with = plain.replace(
            "le=\"1.0\"} 1\n",
            "le=\"1.0\"} 1 # {request_id=\"r1\"} 0.75 12.500\n",
        );
        assert_eq!(
            written(Format::OpenMetrics, write),
            format!("# HELP h H.\n# TYPE h histogram\n{with}# EOF\n")
        );
    }

    #[test]
    fn bounds_are_canonical() {
        for (bound, text) in [
            (0.0001, "0.0001"),
            (0.00002, "2e-05"),
            (0.5, "0.5"),
            (256.0, "256.0"),
            (262_144.0, "262144.0"),
            (1e6, "1e+06"),
            (16_777_216.0, "1.6777216e+07"),
            (f64::INFINITY, "+Inf"),
        ] {
            assert_eq!(Bound(bound).to_string(), text);
        }
    }
}
