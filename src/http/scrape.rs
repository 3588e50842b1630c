//! The metrics on the wire: which format, whether it is compressed.
//!
//! A scraper says what it can read in `Accept`. `OpenMetrics` is given to those that ask for it and would not rather have
//! text; everybody else gets the text format, also who asks for nothing or for something that there is not, since
//! Prometheus 3 fails a scrape without a content type that it knows and a person with curl has sent none.
//!
//! **Invariant:** touches neither the file nor a connection to it, and says the same in each format and encoding.

use std::io::Write as _;

use actix_web::http::header::{
    ACCEPT, ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, HeaderMap, HeaderName, VARY,
};
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::http::State;
use crate::http::operate::waiting;
use crate::metrics::{Format, Moment};

/// What is shorter fits into a few packets anyway.
const WORTH_COMPRESSING: usize = 8 * 1024;

/// Answers a scrape.
pub(super) async fn scrape(state: Data<State>, request: HttpRequest) -> HttpResponse {
    let services = state.exec.services();
    let health = services.health();
    let consolidation = services.consolidation_view();
    let format = format(&offers(request.headers(), &ACCEPT));
    let moment = Moment {
        now: services.now(),
        up: health.usable && !health.damaged,
        stats: &services.stats(),
        pool: (
            health.readers.total,
            health.readers.idle,
            waiting(&state, health.readers.waiting),
        ),
        queueing: &state.exec.queueing(),
        queue: (health.queue_depth, health.queue_capacity),
        engine_bytes: services.engine_bytes(),
        measures: &services.measures(),
        blocking: state.exec.admitted(),
        consolidation: consolidation.as_ref(),
    };
    let body = state.metrics.render(&moment, format);
    let mut response = HttpResponse::Ok();
    response
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header((VARY, "Accept, Accept-Encoding"))
        .content_type(format.content_type());
    if body.len() > WORTH_COMPRESSING
        && takes_gzip(&offers(request.headers(), &ACCEPT_ENCODING))
        && let Ok(packed) = packed(body.as_bytes())
    {
        response.insert_header((CONTENT_ENCODING, "gzip"));
        return response.body(packed);
    }
    response.body(body)
}

fn packed(body: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 8), Compression::fast());
    encoder.write_all(body)?;
    encoder.finish()
}

/// One of the things that a client says it can read: what, how it is qualified, and how gladly.
#[derive(Debug)]
struct Offer {
    what: String,
    version: Option<String>,
    gladly: f32,
}

/// The offers of all headers of this name. One that cannot be read is none.
fn offers(headers: &HeaderMap, name: &HeaderName) -> Vec<Offer> {
    let texts = headers
        .get_all(name)
        .filter_map(|value| value.to_str().ok());
    texts
        .flat_map(|text| text.split(','))
        .filter_map(offer)
        .collect()
}

fn offer(text: &str) -> Option<Offer> {
    let mut parts = text.split(';').map(str::trim);
    let what = parts.next()?.to_ascii_lowercase();
    let mut offer = Offer {
        what,
        version: None,
        gladly: 1.0,
    };
    for part in parts {
        let (key, value) = part.split_once('=')?;
        let value = value.trim().trim_matches('"');
        match key.trim().to_ascii_lowercase().as_str() {
            "q" => offer.gladly = value.parse().ok()?,
            "version" => offer.version = Some(value.to_owned()),
            _ => {}
        }
    }
    (0.0..=1.0).contains(&offer.gladly).then_some(offer)
}

fn format(offers: &[Offer]) -> Format {
    let most = |wanted: &dyn Fn(&Offer) -> bool| {
        let asked = offers.iter().filter(|offer| wanted(offer));
        asked.map(|offer| offer.gladly).fold(0.0, f32::max)
    };
    let version = |offer: &Offer, known: &[&str]| {
        let version = offer.version.as_deref();
        version.is_none_or(|version| known.contains(&version))
    };
    let open =
        most(&|offer| offer.what == "application/openmetrics-text" && version(offer, &["1.0.0"]));
    let text = most(&|offer| {
        ["text/plain", "text/*"].contains(&offer.what.as_str())
            && version(offer, &["0.0.4", "1.0.0"])
    });
    if open > 0.0 && open >= text {
        Format::OpenMetrics
    } else {
        Format::Text
    }
}

fn takes_gzip(offers: &[Offer]) -> bool {
    let of = |what: &str| offers.iter().find(|offer| offer.what == what);
    of("gzip")
        .or_else(|| of("*"))
        .is_some_and(|offer| offer.gladly > 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<Offer> {
        text.split(',').filter_map(offer).collect()
    }

    #[test]
    fn a_scraper_gets_the_format_it_would_rather_have() {
        let prometheus_2 = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
            text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        let prometheus_3 = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,\
            application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,\
            text/plain;version=0.0.4;q=0.2,*/*;q=0.1";
        let protobuf_first = format!(
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,{prometheus_3}"
        );
        for (accept, expected) in [
            ("", Format::Text),
            ("*/*", Format::Text),
            (prometheus_2, Format::OpenMetrics),
            (prometheus_3, Format::OpenMetrics),
            (&protobuf_first, Format::OpenMetrics),
            ("application/openmetrics-text", Format::OpenMetrics),
            (
                "Application/OpenMetrics-Text; Version=\"1.0.0\"",
                Format::OpenMetrics,
            ),
            ("application/openmetrics-text;q=0", Format::Text),
            ("application/openmetrics-text;version=0.0.1", Format::Text),
            (
                "application/openmetrics-text;version=1.0.0;q=0.2,text/plain",
                Format::Text,
            ),
            ("application/json", Format::Text),
            ("application/openmetrics-text;q=7", Format::Text),
            ("application/openmetrics-text;;;=,,", Format::Text),
        ] {
            assert_eq!(format(&read(accept)), expected, "{accept}");
        }
    }

    #[test]
    fn compresses_for_who_can_read_it() {
        for (accept, expected) in [
            ("gzip", true),
            ("br, gzip;q=0.5", true),
            ("*", true),
            ("gzip;q=0, *", false),
            ("identity", false),
            ("", false),
        ] {
            assert_eq!(takes_gzip(&read(accept)), expected, "{accept}");
        }
    }
}
