use http::{HeaderMap, header::ACCEPT};

/// Whether a scraper would rather have the text format of Prometheus than OpenMetrics, by the weights in its `Accept`.
/// Who has no preference, or says nothing, gets OpenMetrics.
pub(super) fn prefers_text(headers: &HeaderMap) -> bool {
    let (mut open_metrics, mut text) = (Weight::default(), Weight::default());
    let values = headers.get_all(ACCEPT).iter();
    let ranges = values.filter_map(|value| value.to_str().ok());
    for range in ranges.flat_map(|value| value.split(',')) {
        open_metrics.heed(range, "application", "openmetrics-text");
        text.heed(range, "text", "plain");
    }
    text.weight > open_metrics.weight
}

/// How welcome a type is, by the most exact range that it is in.
#[derive(Default)]
struct Weight {
    exactness: u8,
    weight: f32,
}

impl Weight {
    fn heed(&mut self, range: &str, kind: &str, subtype: &str) {
        let mut parts = range.split(';').map(str::trim);
        let range = parts.next().and_then(|range| range.split_once('/'));
        let exactness = match range {
            Some((k, s)) if k.eq_ignore_ascii_case(kind) && s.eq_ignore_ascii_case(subtype) => 3,
            Some((k, "*")) if k.eq_ignore_ascii_case(kind) => 2,
            Some(("*", "*")) => 1,
            _ => return,
        };
        let weight = parts.find_map(|part| {
            let (name, value) = part.split_once('=')?;
            name.trim().eq_ignore_ascii_case("q").then_some(value.trim())
        });
        let weight = match weight {
            None => 1.0,
            // One that makes no sense recommends nothing.
            Some(weight) => weight.parse().unwrap_or(0.0),
        };
        // Versions of a format, each with a weight of its own, are the same to us.
        if exactness > self.exactness || (exactness == self.exactness && weight > self.weight) {
            *self = Self { exactness, weight };
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn what_a_scraper_would_rather_have_is_what_it_gets() {
        let of_prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,\
                             application/openmetrics-text;version=0.0.1;q=0.4,\
                             text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        for (accept, is_text) in [
            ("", false),
            ("*/*", false),
            ("text/html, */*;q=0.8", false),
            (of_prometheus, false),
            ("application/openmetrics-text", false),
            ("application/*", false),
            (
                "text/plain;version=0.0.4;q=0.5, application/openmetrics-text",
                false,
            ),
            ("text/plain;version=0.0.4", true),
            ("Text/Plain; version=0.0.4", true),
            ("text/*", true),
            ("text/plain, */*;q=0.1", true),
            ("application/openmetrics-text;q=0, */*", true),
            ("application/openmetrics-text;q=x, text/plain;q=0.1", true),
            ("text/plain;q=0.5,application/openmetrics-text;q=0.4", true),
            ("text/plain;q=0", false),
            ("application/json", false),
        ] {
            let mut headers = HeaderMap::new();
            if !accept.is_empty() {
                headers.insert(ACCEPT, HeaderValue::from_static(accept));
            }
            assert_eq!(prefers_text(&headers), is_text, "{accept}");
        }
    }

    #[test]
    fn what_is_said_in_two_headers_counts_as_said_in_one() {
        let mut headers = HeaderMap::new();
        headers.append(
            ACCEPT,
            HeaderValue::from_static("application/openmetrics-text;q=0.1"),
        );
        headers.append(ACCEPT, HeaderValue::from_static("text/plain"));
        assert!(prefers_text(&headers));
    }
}
