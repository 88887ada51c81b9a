use std::fmt::{self, Write};

use super::{Kind, Metric, Point, Reading, Series};

/// The text format of Prometheus, version 0.0.4, for scrapers that know no other: the content type is
/// `text/plain; version=0.0.4; charset=utf-8`. It has the same series as the OpenMetrics page, and no exemplars.
///
/// ```
/// use buttress::{Registry, export::Export};
///
/// # #[cfg(feature = "metrics")] {
/// let registry = Registry::new();
/// registry.register("payments", &buttress::metrics::Metrics::new());
///
/// let page = Export::of(&registry).read().to_string();
/// assert!(page.contains("# TYPE buttress_requests_total counter\n"));
/// assert!(page.contains("buttress_requests_total{stack=\"payments\",outcome=\"success\"} 0\n"));
/// # }
/// ```
impl fmt::Display for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for metric in self.metrics() {
            let name = metric.full_name();
            let kind = match metric.kind {
                Kind::Counter => "counter",
                Kind::Gauge => "gauge",
                Kind::Durations => "histogram",
            };
            write!(f, "# HELP {name} ")?;
            escape(f, metric.help, false)?;
            writeln!(f, "\n# TYPE {name} {kind}")?;
            for series in &metric.series {
                write_series(f, metric, &name, series)?;
            }
        }
        Ok(())
    }
}

fn write_series(f: &mut fmt::Formatter<'_>, metric: &Metric, name: &str, series: &Series) -> fmt::Result {
    match &series.point {
        Point::Counter(count) => {
            write_labels(f, name, series, None)?;
            writeln!(f, " {count}")
        }
        Point::Gauge(value) => {
            write_labels(f, name, series, None)?;
            writeln!(f, " {}", Number(*value))
        }
        Point::Durations(durations) => {
            let (bucket, mut seen) = (format!("{}_bucket", metric.name), 0);
            for (bound, count) in &durations.buckets {
                seen += count;
                write_labels(f, &bucket, series, Some(*bound))?;
                writeln!(f, " {seen}")?;
            }
            write_labels(f, &format!("{}_sum", metric.name), series, None)?;
            writeln!(f, " {}", Number(durations.sum))?;
            write_labels(f, &format!("{}_count", metric.name), series, None)?;
            writeln!(f, " {}", durations.count())
        }
    }
}

fn write_labels(f: &mut fmt::Formatter<'_>, name: &str, series: &Series, bound: Option<f64>) -> fmt::Result {
    f.write_str(name)?;
    let mut before = '{';
    for (key, value) in &series.labels {
        write!(f, "{before}{key}=\"")?;
        escape(f, value, true)?;
        f.write_char('"')?;
        before = ',';
    }
    if let Some(bound) = bound {
        write!(f, "{before}le=\"{}\"", Number(bound))?;
        before = ',';
    }
    if before == ',' {
        f.write_char('}')?;
    }
    Ok(())
}

/// A number as Prometheus has it, a whole one with its point: so the bounds of buckets read as in OpenMetrics.
struct Number(f64);

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            f64::INFINITY => f.write_str("+Inf"),
            f64::NEG_INFINITY => f.write_str("-Inf"),
            number => write!(f, "{number:?}"),
        }
    }
}

fn escape(f: &mut fmt::Formatter<'_>, text: &str, is_quoted: bool) -> fmt::Result {
    for c in text.chars() {
        match c {
            '\\' => f.write_str("\\\\")?,
            '\n' => f.write_str("\\n")?,
            '"' if is_quoted => f.write_str("\\\"")?,
            c => f.write_char(c)?,
        }
    }
    Ok(())
}
