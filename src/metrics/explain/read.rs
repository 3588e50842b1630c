//! An exposition in the text format, read back.
//!
//! **Invariant:** a line that cannot be read is an error, since the server writes none.

use crate::metrics::explain::{Unreadable, seconds};

/// What most names begin with.
const OURS: &str = "agent_memory_";

/// The samples of a scrape.
#[derive(Debug)]
pub(super) struct Scrape<'a>(Vec<Sample<'a>>);

/// A sample.
#[derive(Debug)]
pub(super) struct Sample<'a> {
    name: &'a str,
    labels: Vec<(&'a str, String)>,
    pub(super) value: f64,
}

impl Sample<'_> {
    /// The value of a label.
    pub(super) fn label(&self, name: &str) -> Option<&str> {
        let found = self.labels.iter().find(|(label, _)| *label == name);
        found.map(|(_, value)| value.as_str())
    }

    fn has(&self, labels: &[(&str, &str)]) -> bool {
        labels
            .iter()
            .all(|(name, value)| self.label(name) == Some(*value))
    }
}

impl<'a> Scrape<'a> {
    /// Reads one.
    pub(super) fn read(text: &'a str) -> Result<Self, Unreadable> {
        let lines = text
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with('#'));
        let samples = lines.map(|line| {
            sample(line).ok_or_else(|| Unreadable(format!("\"{}\"", line.escape_debug())))
        });
        Ok(Self(samples.collect::<Result<_, _>>()?))
    }

    /// The samples of this name of ours.
    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &Sample<'a>> {
        self.0
            .iter()
            .filter(move |sample| sample.name.strip_prefix(OURS) == Some(name))
    }

    /// Whether there are any.
    pub(super) fn has(&self, name: &str) -> bool {
        self.all(name).next().is_some()
    }

    /// The one sample of this name of ours.
    pub(super) fn one(&self, name: &str) -> Option<f64> {
        self.labelled(name, &[])
    }

    /// The sample with these labels.
    pub(super) fn labelled(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let mut found = self.all(name).filter(|sample| sample.has(labels));
        found.next().map(|sample| sample.value)
    }

    /// What the samples with these labels come to.
    pub(super) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let found = self.all(name).filter(|sample| sample.has(labels));
        found.fold(0.0, |sum, sample| sum + sample.value)
    }

    /// A label of the first sample.
    pub(super) fn label(&self, name: &str, label: &str) -> Option<&str> {
        self.all(name).next()?.label(label)
    }

    /// A sample of a name that is not ours.
    pub(super) fn exactly(&self, name: &str) -> Option<f64> {
        let found = self.0.iter().find(|sample| sample.name == name);
        found.map(|sample| sample.value)
    }

    /// The time of the scrape, in Unix seconds, by the server's own account.
    pub(super) fn now(&self) -> Option<f64> {
        Some(self.exactly("process_start_time_seconds")? + self.one("uptime_seconds")?)
    }

    /// The histogram with these labels.
    pub(super) fn histogram(&self, name: &str, labels: &[(&str, &str)]) -> Histogram {
        let name = format!("{name}_bucket");
        let buckets = self.all(&name).filter(|sample| sample.has(labels));
        let mut buckets: Vec<_> = buckets
            .filter_map(|sample| Some((sample.label("le")?.parse().ok()?, sample.value)))
            .collect();
        buckets.sort_by(|a: &(f64, f64), b| a.0.total_cmp(&b.0));
        Histogram(buckets)
    }
}

/// Upper bounds, and how many values were not above them.
#[derive(Debug)]
pub(super) struct Histogram(Vec<(f64, f64)>);

/// Between which bounds a quantile lies.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Range {
    /// It is above this.
    pub(super) at_least: f64,
    /// It is not above this.
    pub(super) at_most: f64,
}

impl Range {
    fn words(self) -> String {
        if self.at_most.is_infinite() {
            return format!("over {}", seconds(self.at_least));
        }
        format!("at most {}", seconds(self.at_most))
    }
}

impl Histogram {
    /// The bucket in which a quantile lies; a place within it would be a guess.
    pub(super) fn quantile(&self, part: f64) -> Option<Range> {
        let all = self.0.last()?.1;
        if all <= 0.0 {
            return None;
        }
        let index = self.0.iter().position(|(_, count)| *count >= part * all)?;
        let at_most = self.0.get(index)?.0;
        let below = index.checked_sub(1).and_then(|below| self.0.get(below));
        Some(Range {
            at_least: below.map_or(0.0, |(bound, _)| *bound),
            at_most,
        })
    }

    /// The median and the slowest hundredth in words, if there is anything.
    pub(super) fn both(&self) -> Option<(String, String)> {
        Some((self.quantile(0.5)?.words(), self.quantile(0.99)?.words()))
    }
}

fn sample(line: &str) -> Option<Sample<'_>> {
    let end = line.find(['{', ' '])?;
    let (name, rest) = line.split_at_checked(end)?;
    let (labels, value) = match rest.strip_prefix('{') {
        None => (Vec::new(), rest),
        Some(inside) => labels(inside)?,
    };
    let value = value.split_whitespace().next()?;
    let is_name = |text: &str| {
        !text.is_empty()
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b':')
    };
    Some(Sample {
        name: Some(name).filter(|name| is_name(name))?,
        labels,
        value: value.parse().ok()?,
    })
}

/// Labels and what follows their closing brace.
fn labels(text: &str) -> Option<(Vec<(&str, String)>, &str)> {
    let mut found = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches(',');
        if let Some(rest) = rest.strip_prefix('}') {
            return Some((found, rest));
        }
        let (name, after) = rest.split_once("=\"")?;
        let mut value = String::new();
        let mut chars = after.char_indices();
        loop {
            let (index, char) = chars.next()?;
            match char {
                '"' => {
                    rest = after.get(index + 1..)?;
                    break;
                }
                '\\' => value.push(match chars.next()?.1 {
                    'n' => '\n',
                    other => other,
                }),
                other => value.push(other),
            }
        }
        found.push((name, value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_labels_with_everything_in_them() {
        let text = "# HELP x y\nagent_memory_x{a=\"1,}\\\"\\\\\\n\",b=\"\"} 2.5\nagent_memory_y +Inf 123\n";
        let scrape = Scrape::read(text).unwrap();
        assert_eq!(scrape.label("x", "a"), Some("1,}\"\\\n"));
        assert_eq!(scrape.labelled("x", &[("b", "")]), Some(2.5));
        assert_eq!(scrape.labelled("x", &[("b", "c")]), None);
        assert_eq!(scrape.one("y"), Some(f64::INFINITY));
    }

    #[test]
    fn refuses_what_is_no_exposition() {
        for text in [
            "<html>",
            "a b",
            "a{b=\"c\" 1",
            "a",
            "{} 1",
            "a-b 1",
            "a{b=c} 1",
        ] {
            assert!(Scrape::read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_quantile_lies_in_the_bucket_that_reaches_it() {
        let text = "agent_memory_h_bucket{le=\"+Inf\"} 100\nagent_memory_h_bucket{le=\"0.1\"} 50\n\
             agent_memory_h_bucket{le=\"1.0\"} 98\n";
        let histogram = Scrape::read(text).unwrap().histogram("h", &[]);
        let range = |at_least, at_most| Some(Range { at_least, at_most });
        assert_eq!(histogram.quantile(0.5), range(0.0, 0.1));
        assert_eq!(histogram.quantile(0.51), range(0.1, 1.0));
        assert_eq!(histogram.quantile(0.99), range(1.0, f64::INFINITY));
        let said = histogram.both().unwrap();
        assert_eq!(said, ("at most 100 ms".to_owned(), "over 1 s".to_owned()));
        assert_eq!(Histogram(vec![(1.0, 0.0)]).quantile(0.5), None);
        assert_eq!(Histogram(Vec::new()).quantile(0.5), None);
    }
}
