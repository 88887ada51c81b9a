//! The operators' port, as an operator has it: over HTTP, with the token.

use std::collections::HashMap;

use buttress::{BoxError, value::Table};
use bytes::Bytes;
use http::{Method, Request, header::AUTHORIZATION};
use http_body_util::{BodyExt, Empty};

use super::load::HttpClient;

/// Who has it may drill.
pub(crate) const TOKEN: &str = "demo";

pub(crate) struct Office {
    /// `http://` and the port.
    address: String,
    http: HttpClient,
}

impl Office {
    pub(crate) fn at(address: std::net::SocketAddr, http: HttpClient) -> Self {
        let address = format!("http://{address}");
        Self { address, http }
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    pub(crate) async fn drill(&self, breaker: &str, drill: &str) -> Result<(), BoxError> {
        let path = format!("/circuit-breakers/{breaker}/{drill}");
        self.ask(Method::POST, &path).await.map(drop)
    }

    /// `/state`.
    pub(crate) async fn state(&self) -> Result<Table, BoxError> {
        Ok(serde_json::from_slice(&self.ask(Method::GET, "/state").await?)?)
    }

    /// `/metrics`.
    pub(crate) async fn figures(&self) -> Result<Figures, BoxError> {
        let page = self.ask(Method::GET, "/metrics").await?;
        Ok(Figures::read(&String::from_utf8_lossy(&page)))
    }

    async fn ask(&self, method: Method, path: &str) -> Result<Bytes, BoxError> {
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.address))
            .header(AUTHORIZATION, format!("Bearer {TOKEN}"))
            .body(Empty::new())?;
        let response = self.http.request(request).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        match status.is_success() {
            true => Ok(body),
            false => Err(format!("{path}: {status}").into()),
        }
    }
}

/// What a page of `/metrics` says.
#[derive(Clone, Debug, Default)]
pub(crate) struct Figures {
    /// By name and labels, as they stand there.
    series: HashMap<String, f64>,
}

impl Figures {
    fn read(page: &str) -> Self {
        let series = page.lines().filter(|line| !line.starts_with('#'));
        let series = series.filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            Some((series.to_owned(), value.parse().ok()?))
        });
        Self {
            series: series.collect(),
        }
    }

    /// The sum of the series of that name (without the prefix) that have these labels; nothing if there is none.
    pub(crate) fn of(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
        let name = format!("buttress_{name}");
        let labels: Vec<_> = labels
            .iter()
            .map(|(key, value)| format!("{key}=\"{value}\""))
            .collect();
        let fits = |series: &str| {
            let (its_name, its_labels) = series.split_once('{').unwrap_or((series, ""));
            its_name == name && labels.iter().all(|label| its_labels.contains(label))
        };
        let values = self.series.iter().filter(|(series, _)| fits(series));
        values.map(|(_, value)| *value as u64).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_summed_over_the_labels_that_are_not_asked_for() {
        let figures = Figures::read(
            "# TYPE buttress_pool_endpoint_moved counter\n\
             buttress_pool_endpoint_moved_total{name=\"upstream\",endpoint=\"a\"} 3\n\
             buttress_pool_endpoint_moved_total{name=\"upstream\",endpoint=\"b\"} 4\n\
             buttress_pool_endpoint_moved_total_too{endpoint=\"a\"} 1\n\
             # EOF\n",
        );
        let moved = |labels| figures.of("pool_endpoint_moved_total", labels);
        assert_eq!(moved(&[]), 7);
        assert_eq!(moved(&[("endpoint", "a")]), 3);
        assert_eq!(moved(&[("endpoint", "a"), ("name", "other")]), 0);
    }
}
